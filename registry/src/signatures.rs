//! Who has signed a version: bundles beside it, `<model>/signatures/<version>/<key>.json`, one for each key.
//!
//! What is signed are the files of the version's folder, all of them: the record names model and version, so that a signature
//! says nothing of another one. A signature is part of no digest, and goes when the version does.

use std::collections::BTreeMap;
use std::fmt;

use planner::names::{Digest, ModelName, Version};
use signing::{KeyId, Manifest, Refused, SigningKey, VerifyingKey};

use crate::error::StoreError;
use crate::files::Dir;
use crate::reference::Entry;
use crate::store::{Store, within};

pub(crate) const SIGNATURES: &str = "signatures";
const ENDING: &str = ".json";
/// The most signatures of a version that are looked at.
const SIGNATURES_MAX: usize = 100;

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
        let mut signatures = Signatures::new();
        for name in dir.regular_files()?.into_iter().take(SIGNATURES_MAX) {
            let Some(key) = name.strip_suffix(ENDING) else {
                continue;
            };
            match dir.read(&name, "a signature", signing::BUNDLE_BYTES_MAX as u64) {
                Ok(bundle) => signatures.extend(bundle.map(|bundle| (key.to_owned(), bundle))),
                // It is none.
                Err(StoreError::TooLarge { .. }) => {}
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
