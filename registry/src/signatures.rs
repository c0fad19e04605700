//! Who has signed a version: bundles beside it, `<model>/signatures/<version>/<key>.json`, one for each key.
//!
//! What is signed are the files of the version's folder, all of them: the record names model and version, so that a signature
//! says nothing of another one. A signature is part of no digest, and goes when the version does.

use std::collections::BTreeMap;
use std::fmt;

use planner::commits::Verify;
use planner::names::{Digest, ModelName, Version};
use planner::trust::Trust;
use signing::{KeyId, Manifest, Refused, SigningKey, VerifyingKey};

use crate::error::{Damage, StoreError};
use crate::files::Dir;
use crate::metadata::VersionMetadata;
use crate::reference::Entry;
use crate::store::{Store, within};
use crate::verify::Record;

pub(crate) const SIGNATURES: &str = "signatures";
const ENDING: &str = ".json";
/// The most signatures of a version that are looked at.
const SIGNATURES_MAX: usize = 100;

/// The most bytes of a version's signatures that are handed to others.
pub const SIGNATURES_BYTES_MAX: usize = 2 << 20;

/// The signatures of a version: what each file holds, by its name without the ending.
pub type Signatures = BTreeMap<String, Vec<u8>>;

/// Says why nobody who is trusted has signed a version as it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Unsigned {
    /// Nobody who is trusted has: what is wrong with each signature that there is, by the name of its file.
    Nobody(BTreeMap<String, Refused>),
    /// There is one by a key that is trusted, of other files.
    Changed {
        /// By whom.
        key: KeyId,
        /// Which file is not what was signed.
        file: String,
    },
}

impl std::error::Error for Unsigned {}

impl fmt::Display for Unsigned {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Nobody(refused) if refused.is_empty() => f.write_str("nobody has signed it"),
            Self::Nobody(refused) => {
                let said = refused
                    .iter()
                    .map(|(name, refused)| format!("{}: {refused}", shown(name)));
                let said = said.collect::<Vec<_>>().join("; ");
                write!(f, "nobody who is trusted has signed it: {said}")
            }
            Self::Changed { key, file } => write!(
                f,
                "{file} is not what the key {} has signed: restore the version's files, or publish another version",
                key.short()
            ),
        }
    }
}

/// A version that is not to be trusted, and why.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{model} {version} is not to be trusted: {why}")]
pub struct Untrusted {
    model: ModelName,
    version: Version,
    why: Unsigned,
}

/// What becomes of a version that is about to be loaded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Held {
    /// It is loaded: who is trusted signed it, or nobody need have.
    Trusted,
    /// It is loaded and told.
    Told(Untrusted),
    /// It is not loaded.
    Refused(Untrusted),
}

/// What whoever loads a version elsewhere is handed to say who signed it: the files that say what it is made of, as they are,
/// and the signatures. Nothing of it is verified.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Signed {
    /// What `checksums` holds.
    pub checksums: Vec<u8>,
    /// What `metadata.json` holds.
    pub metadata: Vec<u8>,
    /// The signatures.
    pub signatures: Signatures,
}

impl Signed {
    /// Returns what the version says of itself, and holds it to somebody's signature. The artifact is to have the digest that
    /// the record says.
    ///
    /// # Errors
    ///
    /// The files do not fit each other, or are another version's.
    pub fn read(
        &self,
        model: &ModelName,
        version: &Version,
        trust: &Trust,
    ) -> Result<(VersionMetadata, Held), Damage> {
        let record = Record::of(&self.checksums, &self.metadata, model, version)?;
        let (metadata, files) = record.parts();
        let held = hold_to(trust, (model, version), &files, &self.signatures);
        Ok((metadata, held))
    }
}

/// The name of a file as it may be shown: whoever may write there chose it.
fn shown(name: &str) -> String {
    let printable = name.chars().take(16).filter(char::is_ascii_graphic);
    format!("{}{ENDING}", printable.collect::<String>())
}

impl Store {
    /// Signs a version, once its files are seen to be what its record says. One that the key has signed is signed anew.
    ///
    /// # Errors
    ///
    /// The version is damaged, or the signature cannot be written.
    pub fn sign(&self, entry: &Entry, key: &SigningKey) -> Result<(), StoreError> {
        self.verify(entry).map_err(|damage| StoreError::Damaged {
            model: entry.model.clone(),
            version: entry.version.clone(),
            damage,
        })?;
        let manifest = Manifest {
            name: entry.version.to_string(),
            files: signed(&entry.files),
        };
        let bundle = signing::sign(key, &manifest);
        self.keep_signature(
            &entry.model,
            &entry.version,
            key.verifying().id(),
            bundle.as_bytes(),
        )
    }

    /// Keeps a signature of a version, whatever it says.
    ///
    /// # Errors
    ///
    /// It cannot be written.
    pub fn keep_signature(
        &self,
        model: &ModelName,
        version: &Version,
        key: &KeyId,
        bundle: &[u8],
    ) -> Result<(), StoreError> {
        let _lock = self.lock_shared()?;
        let of_model = self.ensure_model_dir(model)?.ensure_dir(SIGNATURES)?;
        let dir = of_model.ensure_dir(&version.to_string())?;
        self.permit()?;
        dir.replace(&format!("{key}{ENDING}"), bundle)?;
        // Whoever looks at stamps looks at this folder alone.
        let (mark, _file) = of_model.make_temporary_file()?;
        of_model.remove(&mark)
    }

    /// Returns the signatures of a version, whatever they say; none where there is no such version.
    ///
    /// # Errors
    ///
    /// They cannot be read.
    pub fn signatures(&self, model: &ModelName, version: &Version) -> Result<Signatures, StoreError> {
        self.signatures_within(usize::MAX, model, version)
    }

    /// Returns the signatures of a version that fit into so many bytes, the first ones first.
    fn signatures_within(
        &self,
        bytes_max: usize,
        model: &ModelName,
        version: &Version,
    ) -> Result<Signatures, StoreError> {
        let Some(dir) = self.model_dir(model)? else {
            return Ok(Signatures::new());
        };
        let of_model = within(&dir, SIGNATURES)?;
        let dir = of_model
            .map(|dir| within(&dir, &version.to_string()))
            .transpose()?;
        let Some(dir) = dir.flatten() else {
            return Ok(Signatures::new());
        };
        let (mut signatures, mut left) = (Signatures::new(), bytes_max);
        for name in dir.regular_files()?.into_iter().take(SIGNATURES_MAX) {
            let Some(key) = name.strip_suffix(ENDING) else {
                continue;
            };
            match dir.read(&name, "a signature", signing::BUNDLE_BYTES_MAX as u64) {
                Ok(Some(bundle)) if bundle.len() <= left => {
                    left -= bundle.len();
                    signatures.insert(key.to_owned(), bundle);
                }
                // It is gone, one too many, or none.
                Ok(_) | Err(StoreError::TooLarge { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(signatures)
    }

    /// Returns which of the keys has signed a version as its entry says it is.
    ///
    /// # Errors
    ///
    /// The signatures cannot be read. That none of them counts is no error.
    pub fn signer<'k>(
        &self,
        entry: &Entry,
        keys: &'k [VerifyingKey],
    ) -> Result<Result<&'k VerifyingKey, Unsigned>, StoreError> {
        let signatures = self.signatures(&entry.model, &entry.version)?;
        Ok(judge(&signatures, &entry.files, keys))
    }

    /// Says what becomes of a version that is about to be loaded, where somebody's signature may be needed.
    ///
    /// # Errors
    ///
    /// The signatures cannot be read.
    pub fn hold_to(&self, trust: &Trust, entry: &Entry) -> Result<Held, StoreError> {
        let signatures = self.signatures(&entry.model, &entry.version)?;
        Ok(hold_to(
            trust,
            (&entry.model, &entry.version),
            &entry.files,
            &signatures,
        ))
    }

    /// Returns what others need to say who signed a version: at most [`SIGNATURES_BYTES_MAX`] of signatures.
    ///
    /// # Errors
    ///
    /// It is damaged, or cannot be read.
    pub fn signed(&self, entry: &Entry) -> Result<Signed, StoreError> {
        let Entry { model, version, .. } = entry;
        let damaged = |damage| match damage {
            Damage::Unreadable(error) => *error,
            damage => StoreError::Damaged {
                model: model.clone(),
                version: version.clone(),
                damage,
            },
        };
        let versions = self.versions_dir(model)?;
        let dir = versions
            .map(|versions| versions.dir(&version.to_string()))
            .transpose()?;
        let dir = dir
            .flatten()
            .ok_or_else(|| damaged(Damage::Missing("its folder".to_owned())))?;
        let (checksums, metadata) = Record::files(&dir).map_err(damaged)?;
        Ok(Signed {
            checksums,
            metadata,
            signatures: self.signatures_within(SIGNATURES_BYTES_MAX, model, version)?,
        })
    }
}

/// Says what becomes of a version with these files and signatures.
fn hold_to(
    trust: &Trust,
    (model, version): (&ModelName, &Version),
    files: &BTreeMap<String, Digest>,
    signatures: &Signatures,
) -> Held {
    let keys = VerifyingKey::usable(&trust.keys);
    let untrusted = |why| Untrusted {
        model: model.clone(),
        version: version.clone(),
        why,
    };
    match (trust.verify, judge(signatures, files, &keys)) {
        (Verify::Off, _) | (_, Ok(_)) => Held::Trusted,
        (Verify::Warn, Err(why)) => Held::Told(untrusted(why)),
        (Verify::Require, Err(why)) => Held::Refused(untrusted(why)),
    }
}

/// Says which of the keys has signed exactly these files.
fn judge<'k>(
    signatures: &Signatures,
    files: &BTreeMap<String, Digest>,
    keys: &'k [VerifyingKey],
) -> Result<&'k VerifyingKey, Unsigned> {
    let files = signed(files);
    let (mut refused, mut changed) = (BTreeMap::new(), None);
    for (name, bundle) in signatures {
        match signing::verify(bundle, keys) {
            Ok((manifest, key)) => match other(&manifest, &files) {
                None => return Ok(key),
                Some(file) => {
                    changed.get_or_insert(Unsigned::Changed {
                        key: key.id().clone(),
                        file,
                    });
                }
            },
            Err(why) => drop(refused.insert(name.clone(), why)),
        }
    }
    Err(changed.unwrap_or(Unsigned::Nobody(refused)))
}

/// Returns a file that is not what was signed, or that only one of both has.
fn other(manifest: &Manifest, files: &BTreeMap<String, signing::Hash>) -> Option<String> {
    let names = files.keys().chain(manifest.files.keys());
    let mut others = names.filter(|name| files.get(*name) != manifest.files.get(*name));
    others.next().cloned()
}

fn signed(files: &BTreeMap<String, Digest>) -> BTreeMap<String, signing::Hash> {
    let files = files.iter();
    files
        .map(|(name, digest)| (name.clone(), *digest.as_bytes()))
        .collect()
}

/// Forgets who signed a version that is gone.
pub(crate) fn forget(model: &Dir, version: &Version) -> Result<(), StoreError> {
    match within(model, SIGNATURES)? {
        Some(dir) => dir.remove(&version.to_string()),
        None => Ok(()),
    }
}
