//! Fuzzing without a nightly compiler: what reads bytes from outside, one function per kind of input.
//!
//! ```text
//! corpus/<target>/*  ── replayed by an ordinary test
//!        └─ mutate(seed), bytes, or fields of a message ── run: never a panic, a hang or a broken promise        cargo xtask fuzz
//! ```
//!
//! An input is a function of corpus and seed, so a seed tells all about a find. A find is saved below `finds/`; mended, it
//! belongs into the corpus.
#![expect(
    clippy::panic,
    clippy::unwrap_used,
    reason = "a target fails by a panic, which the driver or the test reports with the input"
)]

mod artifact;
mod body;
mod driver;
mod manifest;
mod message;
mod model;
mod mutate;
mod signature;
mod store;

use std::path::PathBuf;

pub use driver::{Bounds, Find, run};
pub use mutate::{Random, mutate};

/// What takes inputs one after the other, and panics at one that breaks a promise.
pub type Taker = Box<dyn FnMut(&[u8])>;

/// A kind of input.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Target {
    /// A YAML file of an environment.
    Manifest,
    /// A request's body, for both protocols.
    Body,
    /// An ONNX file.
    Artifact,
    /// An ONNX file of any team's.
    Model,
    /// A file of a store: the first byte says which.
    Store,
    /// What says who signed a commit: the first byte says what of it.
    Signature,
}

impl Target {
    /// All of them.
    pub const ALL: [Self; 6] = [
        Self::Manifest,
        Self::Body,
        Self::Artifact,
        Self::Model,
        Self::Store,
        Self::Signature,
    ];

    /// Returns its name, which is that of its corpus.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Manifest => "manifest",
            Self::Body => "body",
            Self::Artifact => "artifact",
            Self::Model => "model",
            Self::Store => "store",
            Self::Signature => "signature",
        }
    }

    /// Returns the input that a seed makes: of messages, every other one is changed by its fields and not by its bytes.
    pub fn input(self, corpus: &[Vec<u8>], seed: u64) -> Vec<u8> {
        match self {
            Self::Artifact | Self::Model if seed.is_multiple_of(2) => message::mutate(corpus, seed),
            _ => mutate(corpus, seed),
        }
    }

    /// Returns what takes inputs; it is made once for many.
    pub fn taker(self) -> Taker {
        match self {
            Self::Manifest => Box::new(manifest::take),
            Self::Body => body::taker(),
            Self::Artifact => Box::new(artifact::take),
            Self::Model => Box::new(model::take),
            Self::Store => store::taker(),
            Self::Signature => signature::taker(),
        }
    }

    /// Reads the corpus, in the order of its names.
    ///
    /// # Panics
    ///
    /// If it cannot be read, or is empty.
    pub fn corpus(self) -> Vec<Vec<u8>> {
        let folder = folder().join("corpus").join(self.as_str());
        let mut paths: Vec<PathBuf> = std::fs::read_dir(&folder)
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .collect();
        paths.sort();
        let corpus: Vec<Vec<u8>> = paths.iter().map(|path| std::fs::read(path).unwrap()).collect();
        assert!(!corpus.is_empty(), "{} is empty", folder.display());
        corpus
    }
}

impl std::str::FromStr for Target {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        let found = Self::ALL.into_iter().find(|target| target.as_str() == name);
        found.ok_or_else(|| format!("{name} is no target: manifest, body, artifact, store or signature"))
    }
}

/// Returns where corpus and finds lie.
pub(crate) fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}
