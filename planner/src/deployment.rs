//! What a model serves: pins, the declared weight, and their resolved form.

use serde::{Deserialize, Serialize};

use crate::names::{Digest, ModelName, Version, Weight};

/// What a manifest says that a track serves.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pin {
    /// The version.
    pub version: Version,
    /// The artifact's digest, where the manifest gives it.
    pub digest: Option<Digest>,
}

/// A pin with the digest that it stands for: byte for byte what serves.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ResolvedPin {
    /// The version.
    pub version: Version,
    /// The digest of the version's artifact.
    pub digest: Digest,
}

/// The canary of a manifest: its pin and Git's ceiling for its traffic.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Canary<P> {
    /// What it serves.
    pub pin: P,
    /// The declared weight.
    pub weight: Weight,
}

/// The spec of an MLDeployment, `P` being [`Pin`] in a manifest and [`ResolvedPin`] in an object.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Deployment<P> {
    /// The registered model.
    pub model: ModelName,
    /// What stable serves.
    pub stable: P,
    /// What the canary serves, if there is one. Never the stable version.
    pub canary: Option<Canary<P>>,
    /// While given, nothing is changed and what serves stays: the reason.
    pub suspend: Option<String>,
}

/// An MLDeployment as Git declares it.
pub type DeclaredDeployment = Deployment<Pin>;

/// An MLDeployment as its object holds it: the resolved form of the file.
pub type ResolvedDeployment = Deployment<ResolvedPin>;
