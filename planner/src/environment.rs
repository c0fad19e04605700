//! What an MLEnvironment says about all models of its folder.

use serde::{Deserialize, Serialize};

use crate::names::{EnvironmentName, Revision};

/// The spec of an MLEnvironment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Environment {
    /// The folder's name, which is also `metadata.name`.
    pub name: EnvironmentName,
    /// While given, nothing in the environment is changed: the reason.
    pub suspend: Option<String>,
    /// Where the registry lies: absent, `<data-dir>/registry`; relative, below the data directory.
    pub registry_path: Option<String>,
    /// How much one commit may remove.
    pub removal: RemovalLimits,
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
