//! A model that was made elsewhere, and comes in by a commit.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::Address;
use crate::names::{Digest, Malformed};
use crate::shown::escape;

/// A model that nobody here fits: its bytes are fetched, verified, evaluated and published.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Import {
    /// Where its bytes lie. It decides nothing: what is imported is what the digest says.
    pub source: ImportSource,
    /// The digest of its bytes.
    pub digest: Digest,
    /// The files beside it that hold its large tensors, each with its digest.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub files: BTreeMap<FileName, Digest>,
    /// What the job knows better than the graph.
    #[serde(default, skip_serializing_if = "Told::is_silent")]
    pub told: Told,
}

impl Import {
    /// Returns its files of the commit, relative to the manifest's folder, each with its digest.
    pub fn committed(&self) -> impl Iterator<Item = (Cow<'_, str>, Digest)> {
        let path = match &self.source {
            ImportSource::Committed(path) => Some(path.as_str()),
            ImportSource::Elsewhere(_) => None,
        };
        path.into_iter().flat_map(|path| {
            let beside = self.files.iter().map(move |(name, digest)| {
                let beside = match path.rsplit_once('/') {
                    Some((folder, _)) => format!("{folder}/{name}"),
                    None => name.to_string(),
                };
                (Cow::Owned(beside), *digest)
            });
            std::iter::once((Cow::Borrowed(path), self.digest)).chain(beside)
        })
    }
}

/// The name of a file, and of no folder: letters, digits and - . _ +, a letter, a digit or _ first.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct FileName(String);

impl FileName {
    /// Returns the name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for FileName {
    type Err = Malformed;

    fn from_str(text: &str) -> Result<Self, Malformed> {
        /// As most file systems have it, in bytes.
        const BYTES_MAX: usize = 255;
        let is_name = text.len() <= BYTES_MAX
            && text.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '_')
            && text
                .chars()
                .all(|c| c.is_ascii_alphanumeric() || "-._+".contains(c));
        if is_name {
            Ok(Self(text.to_owned()))
        } else {
            Err(Malformed::new(
                text,
                "the name of a file: letters, digits and - . _ +, and no folder",
            ))
        }
    }
}

impl fmt::Display for FileName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl TryFrom<String> for FileName {
    type Error = Malformed;

    fn try_from(text: String) -> Result<Self, Malformed> {
        text.parse()
    }
}

impl From<FileName> for String {
    fn from(name: FileName) -> Self {
        name.0
    }
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
            files: _,
            told: _,
        } = self;
        write!(f, "import {} ({})", escape(&source.to_string()), digest.short())
    }
}
