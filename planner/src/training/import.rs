//! A model that was made elsewhere, and comes in by a commit.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::Address;
use crate::names::Digest;
use crate::shown::escape;

/// A model that nobody here fits: its bytes are fetched, verified, evaluated and published.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Import {
    /// Where its bytes lie. It decides nothing: what is imported is what the digest says.
    pub source: ImportSource,
    /// The digest of its bytes.
    pub digest: Digest,
    /// What the job knows better than the graph.
    #[serde(default, skip_serializing_if = "Told::is_silent")]
    pub told: Told,
}

/// What whoever brings a model knows better than its graph.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Told {
    /// What its columns are called, over all inputs in their order; empty: as the graph says.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub features: Vec<String>,
    /// The classes in the order of the probabilities; empty: as the graph says.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub labels: Vec<String>,
    /// Which outputs are the answer.
    #[serde(default)]
    pub outputs: Outputs,
}

/// Which outputs of a model are its answer, by their names; what is not named is what types and names say.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outputs {
    /// The numbers that are predicted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prediction: Option<String>,
    /// The class that is predicted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub label: Option<String>,
    /// How likely each class is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub probabilities: Option<String>,
}

impl Told {
    /// Says whether nothing is told.
    pub fn is_silent(&self) -> bool {
        *self == Self::default()
    }
}

/// Where the bytes of a model lie that was made elsewhere.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum ImportSource {
    /// A file of the same commit, relative to the manifest's folder.
    Committed(String),
    /// A file on another machine.
    Elsewhere(Address),
}

/// As a manifest gives it.
impl fmt::Display for ImportSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Committed(path) => f.write_str(path),
            Self::Elsewhere(address) => address.fmt(f),
        }
    }
}

/// As a plan names it.
impl fmt::Display for Import {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            source,
            digest,
            told: _,
        } = self;
        write!(f, "import {} ({})", escape(&source.to_string()), digest.short())
    }
}
