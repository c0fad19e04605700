//! A model that was made elsewhere, and comes in by a commit.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::{Address, CommittedFile};
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
    /// Where a signature of them lies. It says nothing of what is imported, but whether it may be.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signature: Option<SignatureSource>,
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

    /// Returns the file of the commit that holds its signature, where one does.
    pub fn committed_signature(&self) -> Option<&CommittedFile> {
        match &self.signature {
            Some(SignatureSource::Committed(file)) => Some(file),
            Some(SignatureSource::Elsewhere(_)) | None => None,
        }
    }

    /// Says whether anything of it lies on another machine.
    pub const fn is_from_elsewhere(&self) -> bool {
        matches!(self.source, ImportSource::Elsewhere(_))
            || matches!(self.signature, Some(SignatureSource::Elsewhere(_)))
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

/// Where the signature of a model lies: a bundle of OpenSSF Model Signing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum SignatureSource {
    /// A file of the same commit.
    Committed(CommittedFile),
    /// A file on another machine; its address is a path.
    Elsewhere(Address),
}

impl FromStr for SignatureSource {
    type Err = Malformed;

    fn from_str(text: &str) -> Result<Self, Malformed> {
        if !text.contains("://") {
            return text.parse().map(Self::Committed);
        }
        let address: Address = text.parse()?;
        if address.scheme().is_of_paths() {
            Ok(Self::Elsewhere(address))
        } else {
            Err(Malformed::new(
                text,
                "where a signature lies: a file of the commit, or an https, hf, s3, gs or az address",
            ))
        }
    }
}

/// As a manifest gives it, with the digest of a file of the commit once that is known.
impl fmt::Display for SignatureSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Committed(file) => file.fmt(f),
            Self::Elsewhere(address) => address.fmt(f),
        }
    }
}

impl TryFrom<String> for SignatureSource {
    type Error = Malformed;

    fn try_from(text: String) -> Result<Self, Malformed> {
        text.parse()
    }
}

impl From<SignatureSource> for String {
    fn from(source: SignatureSource) -> Self {
        source.to_string()
    }
}

/// As a plan names it.
impl fmt::Display for Import {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            source,
            digest,
            files: _,
            signature: _,
            told: _,
        } = self;
        write!(f, "import {} ({})", escape(&source.to_string()), digest.short())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signature_is_a_file_of_the_commit_or_one_that_has_an_address() {
        let digest = Digest::of(b"signature");
        for text in [
            "m.sig".to_owned(),
            format!("models/m.sig@{digest}"),
            "https://models.example.org/m.sig".to_owned(),
            "s3://team/wine/m.sig".to_owned(),
        ] {
            let source: SignatureSource = text.parse().unwrap();
            assert_eq!(source.to_string(), text);
        }
        for text in [
            "",
            "../m.sig",
            "/etc/m.sig",
            "ftp://h/m.sig",
            "https://u:p@h/m.sig",
            "mlflow://h/wine/3",
            "oci://h/team/wine",
        ] {
            assert!(text.parse::<SignatureSource>().is_err(), "{text}");
        }
    }
}
