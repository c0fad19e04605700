//! What an object is called: its kind and its name.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::names::{EnvironmentName, Malformed, ObjectName};

/// One of the three kinds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Kind {
    /// Exactly one per environment.
    #[serde(rename = "MLEnvironment")]
    Environment,
    /// What a model serves.
    #[serde(rename = "MLDeployment")]
    Deployment,
    /// What makes a model's versions.
    #[serde(rename = "MLTrainingJob")]
    Training,
}

impl Kind {
    /// All, in the order in which documentation lists them.
    pub const ALL: [Self; 3] = [Self::Environment, Self::Deployment, Self::Training];

    /// Returns the name that a manifest gives it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Environment => "MLEnvironment",
            Self::Deployment => "MLDeployment",
            Self::Training => "MLTrainingJob",
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Kind {
    type Err = Malformed;

    fn from_str(text: &str) -> Result<Self, Malformed> {
        Self::ALL
            .into_iter()
            .find(|kind| kind.as_str() == text)
            .ok_or_else(|| Malformed::new(text, "a kind: MLEnvironment, MLDeployment or MLTrainingJob"))
    }
}

/// The kind and the `metadata.name` of an object or a manifest; shown as `MLDeployment/wine-quality`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ObjectId {
    /// Its kind.
    pub kind: Kind,
    /// Its name.
    pub name: ObjectName,
}

impl ObjectId {
    /// Names an MLDeployment.
    pub fn deployment(name: &ObjectName) -> Self {
        Self {
            kind: Kind::Deployment,
            name: name.clone(),
        }
    }

    /// Names an MLTrainingJob.
    pub fn training(name: &ObjectName) -> Self {
        Self {
            kind: Kind::Training,
            name: name.clone(),
        }
    }

    /// Names an MLEnvironment.
    pub fn environment(name: &EnvironmentName) -> Self {
        Self {
            kind: Kind::Environment,
            name: name
                .as_str()
                .parse()
                .expect("invariant: each kind's names have one grammar"),
        }
    }
}

impl fmt::Display for ObjectId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.kind, self.name)
    }
}
