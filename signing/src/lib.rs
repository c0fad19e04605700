//! OpenSSF Model Signing v1.0 by keys: what a version of a model holds, signed as an in-toto statement in a Sigstore bundle.
//!
//! ```text
//! files ── name, SHA-256 ──> statement ── DSSE, ECDSA ──> bundle ── verify ──> files as they were signed
//! ```
//!
//! Sources: the [specification](https://github.com/ossf/model-signing-spec/blob/main/spec/v1.0.md), in-toto's
//! [statement](https://github.com/in-toto/attestation/blob/main/spec/v1/statement.md) and
//! [DSSE](https://github.com/secure-systems-lab/dsse/blob/v1.0.0/protocol.md). Nothing here reads files: keys come as PEM, and
//! files as their digests. What is signed by a certificate or by Sigstore's own service is refused: keys alone are trusted.
#![forbid(unsafe_code)]

mod bundle;
mod key;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

pub use key::{BadKey, KeyId, SigningKey, VerifyingKey};

/// The largest bundle that is read, in bytes.
pub const BUNDLE_BYTES_MAX: usize = 256 << 10;

/// A SHA-256.
pub type Hash = [u8; 32];

/// What a folder holds: the path of each file in it, with its SHA-256.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Manifest {
    /// What the model is called. It decides nothing: others write whatever they like.
    pub name: String,
    /// The files.
    pub files: BTreeMap<String, Hash>,
}

impl Manifest {
    /// Says whether it is about a model: about its own file by what that holds, whatever it was called, and about each file beside
    /// it by its name too, since the model finds it by that. What else is in the folder is nobody's business.
    ///
    /// A signature of one file alone calls it `.`, and is about none beside it.
    ///
    /// # Errors
    ///
    /// It is not: of which file.
    pub fn covers(&self, model: &Hash, beside: &BTreeMap<String, Hash>) -> Result<(), Uncovered> {
        let of_model = self.files.iter().filter(|(_, hash)| *hash == model);
        let mut missing = None;
        for (name, _) in of_model {
            let folder = name.rfind('/').map_or("", |at| &name[..=at]);
            let signed =
                |(name, hash): &(&String, &Hash)| self.files.get(&format!("{folder}{name}")) == Some(*hash);
            match beside.iter().find(|file| !signed(file)) {
                None => return Ok(()),
                Some((name, _)) => drop(missing.get_or_insert_with(|| name.clone())),
            }
        }
        Err(missing.map_or(Uncovered::Model, Uncovered::Beside))
    }
}

/// Says which file of a model a signature is not about.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Uncovered {
    /// The model's own.
    #[error("it is of other files: none of them has the digest of this one")]
    Model,
    /// One beside it.
    #[error("it is of the model's own file, and not of {0} as it lies beside it")]
    Beside(String),
}

/// Says why a signature is none that counts.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// It is no bundle of this kind.
    #[error("it is no signature of a model by a key: {0}")]
    Malformed(String),
    /// Nobody who is trusted made it.
    #[error("it is by the key {}, which is none of those that are trusted", .0.get(..12).unwrap_or(.0))]
    UnknownKey(String),
    /// It says to be by a key that is trusted, and is not.
    #[error("it is not by the key that it names, or what it says was changed")]
    Forged,
}

/// Signs what a folder holds, and returns the bundle: JSON, and a line's end. The same files and key give the same bytes
/// (RFC 6979).
pub fn sign(key: &SigningKey, manifest: &Manifest) -> String {
    let statement = bundle::statement(manifest);
    let signature = key.sign(&bundle::encoded(&statement));
    bundle::write(&statement, &signature, key.verifying().id())
}

/// Returns what a bundle says to be signed, if one of the keys has signed it, and which.
///
/// # Errors
///
/// It is no such bundle, or by nobody who is trusted.
pub fn verify<'k>(bundle: &[u8], keys: &'k [VerifyingKey]) -> Result<(Manifest, &'k VerifyingKey), Refused> {
    let bundle::Read {
        statement,
        signature,
        hint,
    } = bundle::read(bundle)?;
    // Older ones name no key: any of those that are trusted may have made it.
    let is_named = |key: &&VerifyingKey| hint.as_ref().is_none_or(|hint| key.id().as_str() == hint);
    let mut named = keys.iter().filter(is_named).peekable();
    if let (Some(hint), None) = (&hint, named.peek()) {
        return Err(Refused::UnknownKey(hint.clone()));
    }
    let message = bundle::encoded(&statement);
    let key = named
        .find(|key| key.verifies(&message, &signature))
        .ok_or(Refused::Forged)?;
    Ok((bundle::manifest(&statement)?, key))
}
