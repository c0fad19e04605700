//! What an object becomes in a cluster: pure functions from an object and what was decided about it to its children.
//!
//! ```text
//! MLDeployment ──> serving (a Deployment and a Service per track) ──> scaling (disruption budget, autoscaler)
//!             └──> route: Gateway API, NGINX, our router, or nothing
//! MLTrainingJob ─> training (a Job per run)
//! MLEnvironment ─> trust (a ConfigMap that all Pods that serve mount)
//! ```
//!
//! Whatever is built is built whole, with the defaults that an API server would fill in where they matter, so that
//! applying it again changes nothing. Nothing here asks a cluster anything.

pub mod gateway_api;
mod intent;
mod labels;
mod pod;
pub mod route;
pub mod scaling;
pub mod serving;
#[cfg(test)]
mod tests;
pub mod training;
pub mod trust;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use planner::engine::Engine;
use planner::names::{EnvironmentName, ObjectName};
use planner::object::Kind;
use planner::route::Gateway;
use planner::training::Prefix;

pub use intent::{INTENT, intent};
pub(crate) use labels::asks_for_router;
pub use labels::{DIGEST, MODEL, REVISION, TRACK, VERSION};

/// What all children of an installation have in common.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Installation {
    /// The environment.
    pub environment: EnvironmentName,
    /// Its namespace.
    pub namespace: String,
    /// The image of all roles and versions.
    pub image: String,
    /// The image of what loads models of ONNX Runtime; absent: none is loaded.
    pub onnx_runtime_image: Option<String>,
    /// Where pods that serve get their artifact: `http://HOST:PORT`.
    pub control_plane: String,
    /// The Secret that holds, under `inference`, the key to the control plane.
    pub keys_secret: String,
    /// The claim of the volume that is the registry.
    pub registry_claim: String,
    /// The folders outside the registry that jobs may read data from.
    pub dataset_claims: Vec<DatasetClaim>,
    /// Where models may be imported from, beside the commit.
    pub import_sources: Vec<ImportSource>,
    /// The ConfigMap whose `ca.crt` has the certificates of authorities that are trusted there beside the image's.
    pub import_ca: Option<String>,
    /// The Gateway of routes that name none.
    pub gateway: Gateway,
}

/// Where models may be imported from, and as whom.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImportSource {
    /// The beginning of addresses.
    pub prefix: Prefix,
    /// The Secret whose `credential` is the credential for it; absent: nobody is asked for one.
    pub secret: Option<String>,
}

impl Installation {
    /// Returns the image of what loads models of an engine. Where there is none for it the usual one says so, by what it lacks.
    pub(crate) fn image_of(&self, engine: Engine) -> &str {
        match engine {
            Engine::Aurora => &self.image,
            Engine::OnnxRuntime => self.onnx_runtime_image.as_ref().unwrap_or(&self.image),
        }
    }
}

/// A folder outside the registry that jobs may read data from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DatasetClaim {
    /// The folder, as manifests name it.
    pub folder: String,
    /// The claim of its volume.
    pub claim: String,
}

/// The object that a child belongs to, and goes with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Owner {
    /// Its kind.
    pub kind: Kind,
    /// Its name.
    pub name: ObjectName,
    /// What the cluster knows it by.
    pub uid: String,
}

impl Owner {
    /// Returns how a child names it.
    pub fn reference(&self) -> OwnerReference {
        OwnerReference {
            api_version: crds::API_VERSION.to_owned(),
            kind: self.kind.to_string(),
            name: self.name.to_string(),
            uid: self.uid.clone(),
            controller: Some(true),
            block_owner_deletion: Some(true),
        }
    }
}
