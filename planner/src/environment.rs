//! What an MLEnvironment says about all models of its folder.

use serde::{Deserialize, Serialize};

use crate::commits::{CommitPolicy, Verify};
use crate::endpoint::Endpoint;
use crate::gates::{Gates, PromotionOrder};
use crate::names::{EnvironmentName, Revision};
use crate::notify::Receiver;
use crate::trust::ModelPolicy;
use crate::window::Window;

/// The spec of an MLEnvironment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Environment {
    /// The folder's name, which is also `metadata.name`.
    pub name: EnvironmentName,
    /// Where models serve.
    #[serde(default)]
    pub target: Target,
    /// Whose signature commits need that touch the folder.
    #[serde(default)]
    pub commits: CommitPolicy,
    /// Whose signature the versions need that it serves.
    #[serde(default)]
    pub models: ModelPolicy,
    /// What happens to an object or an alias that somebody else changed.
    #[serde(default)]
    pub drift: Drift,
    /// While given, nothing in the environment is changed: the reason.
    pub suspend: Option<String>,
    /// Who is told of what happens.
    #[serde(default)]
    pub notify: Vec<Receiver>,
    /// Where the registry lies: absent, `<data-dir>/registry`; relative, below the data directory.
    pub registry_path: Option<String>,
    /// How much one commit may remove.
    pub removal: RemovalLimits,
    /// When a commit may raise what a version is exposed to.
    #[serde(default)]
    pub windows: Vec<Window>,
    /// What it demands of a raise besides; absent: nothing.
    #[serde(default)]
    pub gates: Option<Gates>,
    /// Through which environment versions come before this one; absent: through none.
    #[serde(default)]
    pub promotion: Option<PromotionOrder>,
    /// The control plane from whose registry pinned versions are imported that this one lacks; absent: from none.
    #[serde(default)]
    pub upstream: Option<Endpoint>,
}

impl Environment {
    /// Returns this environment with another one's word on raises.
    #[must_use]
    pub fn with_policy_of(mut self, other: &Self) -> Self {
        self.windows.clone_from(&other.windows);
        self.gates = other.gates;
        self.promotion.clone_from(&other.promotion);
        self.models.clone_from(&other.models);
        self
    }

    /// Says whether it says of raises what another one says.
    pub fn has_policy_of(&self, other: &Self) -> bool {
        self.windows == other.windows
            && self.gates == other.gates
            && self.promotion == other.promotion
            && self.models == other.models
    }

    /// Says whether it says nothing of raises.
    pub const fn is_silent(&self) -> bool {
        self.windows.is_empty()
            && self.gates.is_none()
            && self.promotion.is_none()
            && matches!(self.models.verify, Verify::Off)
    }
}

/// Where models serve.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Target {
    /// In one process that reconciles, trains and serves.
    #[default]
    Standalone,
    /// In a cluster.
    Kubernetes {
        /// The namespace of all that the environment has there.
        namespace: String,
    },
}

impl Target {
    /// Returns its name.
    pub const fn name(&self) -> TargetName {
        match self {
            Self::Standalone => TargetName::Standalone,
            Self::Kubernetes { .. } => TargetName::Kubernetes,
        }
    }
}

/// The name of a [`Target`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TargetName {
    /// One process.
    Standalone,
    /// A cluster.
    Kubernetes,
}

impl TargetName {
    /// Returns the name that a manifest gives it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Standalone => "Standalone",
            Self::Kubernetes => "Kubernetes",
        }
    }
}

/// What happens to an object or an alias that somebody else changed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Drift {
    /// It is made again what Git says.
    #[default]
    Correct,
    /// It is reported and stays until the commit changes the model.
    Warn,
    /// It stays until the commit changes the model.
    Off,
}

impl Drift {
    /// Returns the name that a manifest gives it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Correct => "Correct",
            Self::Warn => "Warn",
            Self::Off => "Off",
        }
    }
}

/// How many models one commit may stop to serve without being named in `allow`. One is always within.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RemovalLimits {
    /// At most so many models.
    pub max_count: u32,
    /// At most so many percent of the models that are served.
    pub max_percent: u8,
    /// The revision whose removals are allowed whatever their number. The only policy read from the commit itself.
    pub allow: Option<Revision>,
}

impl Default for RemovalLimits {
    fn default() -> Self {
        Self {
            max_count: 3,
            max_percent: 20,
            allow: None,
        }
    }
}
