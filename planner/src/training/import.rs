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
        let Self { source, digest } = self;
        write!(f, "import {} ({})", escape(&source.to_string()), digest.short())
    }
}
