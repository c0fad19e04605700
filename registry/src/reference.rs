//! What is in a store, and what a reference to a version of a model means. Of what it finds, it verifies the record only:
//! `metadata.json` by its checksum, the artifact not.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use planner::names::{Digest, Malformed, ModelName, Track, Version};
use planner::observed::ObservedAlias;

use crate::error::{Damage, StoreError};
use crate::files::Dir;
use crate::metadata::VersionMetadata;
use crate::store::{Store, is_reserved};
use crate::verify::Record;

/// What names a version of a model.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reference {
    /// The version itself.
    Version(Version),
    /// The version that an alias names now.
    Alias(Track),
    /// The newest version whose artifact has this digest.
    Digest(Digest),
    /// The newest version whose artifact's digest begins so; no other artifact of the model's may.
    Short(ShortDigest),
}

/// The beginning of a digest, as tables print it: at least 8 of its 64 hex digits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ShortDigest(Box<str>);

impl FromStr for ShortDigest {
    type Err = Malformed;

    fn from_str(text: &str) -> Result<Self, Malformed> {
        let digits = text.strip_prefix("sha256:").unwrap_or(text);
        let is_hex = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
        if (8..64).contains(&digits.len()) && digits.bytes().all(is_hex) {
            Ok(Self(digits.into()))
        } else {
            Err(Malformed {
                got: text.chars().take(80).collect(),
                expected: "the first 8 or more hex digits of a digest",
            })
        }
    }
}

/// A version that exists, as its record describes it: verified by its checksum, the artifact not.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    /// The model.
    pub model: ModelName,
    /// The version.
    pub version: Version,
    /// The artifact's digest.
    pub digest: Digest,
    /// All that is known of it.
    pub metadata: VersionMetadata,
    /// What its record says each of its files has for a digest; the list of these among them.
    pub files: BTreeMap<String, Digest>,
    /// Its folder.
    pub dir: PathBuf,
}

impl FromStr for Reference {
    type Err = Malformed;

    fn from_str(text: &str) -> Result<Self, Malformed> {
        let alias = text.parse().map(Self::Alias);
        let version = || text.parse().map(Self::Version);
        let digest = || text.parse().map(Self::Digest);
        let short = || text.parse().map(Self::Short);
        alias
            .or_else(|_: Malformed| version())
            .or_else(|_: Malformed| digest())
            .or_else(|_: Malformed| short())
            .map_err(|_ignored: Malformed| Malformed {
                got: text.chars().take(80).collect(),
                expected: "stable, canary, a version (v20261101-120000), a digest (sha256:…) or its first 8 or more digits",
            })
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Version(version) => write!(f, "version {version}"),
            Self::Alias(track) => write!(f, "alias {track}"),
            Self::Digest(digest) => write!(f, "artifact {digest}"),
            Self::Short(ShortDigest(digits)) => write!(f, "artifact sha256:{digits}…"),
        }
    }
}

impl Store {
    /// Lists the models that have a folder, sorted.
    pub fn models(&self) -> Result<Vec<ModelName>, StoreError> {
        let folders = self.base()?.folders()?;
        let named = folders.iter().filter_map(|name| name.parse().ok());
        Ok(named.filter(|model| !is_reserved(model)).collect())
    }

    /// Lists the versions of a model, ascending; none where the model is unknown.
    pub fn versions(&self, model: &ModelName) -> Result<Vec<Version>, StoreError> {
        match self.versions_dir(model)? {
            Some(dir) => versions_in(&dir),
            None => Ok(Vec::new()),
        }
    }

    /// Finds the version that `reference` names.
    pub fn resolve(&self, model: &ModelName, reference: &Reference) -> Result<Entry, StoreError> {
        let not_found = || StoreError::NotFound {
            model: model.clone(),
            reference: Box::new(reference.clone()),
        };
        let versions = self.versions_dir(model)?.ok_or_else(not_found)?;
        match reference {
            Reference::Version(version) => entry(&versions, model, version)?.ok_or_else(not_found),
            Reference::Alias(track) => match self.aliases(model)?.remove(track) {
                Some(ObservedAlias::To(version)) => {
                    entry(&versions, model, &version)?.ok_or_else(|| StoreError::NotFound {
                        model: model.clone(),
                        reference: Box::new(Reference::Version(version)),
                    })
                }
                Some(ObservedAlias::Broken(why)) => Err(StoreError::BrokenAlias {
                    path: self.alias_path(model, *track),
                    why,
                }),
                None => Err(not_found()),
            },
            Reference::Digest(digest) => {
                newest(&versions, model, |entry| entry.digest == *digest)?.ok_or_else(not_found)
            }
            Reference::Short(ShortDigest(digits)) => {
                let begins_so = |entry: &Entry| entry.digest.hex().starts_with(&**digits);
                let found = newest(&versions, model, begins_so)?.ok_or_else(not_found)?;
                let other = |entry: &Entry| begins_so(entry) && entry.digest != found.digest;
                match newest(&versions, model, other)? {
                    None => Ok(found),
                    Some(other) => Err(StoreError::Ambiguous {
                        model: model.clone(),
                        reference: Box::new(reference.clone()),
                        digests: Box::new([found.digest, other.digest]),
                    }),
                }
            }
        }
    }
}

/// Finds the newest version of which something is so. A damaged neighbour does not hide a sound version.
fn newest(
    versions: &Dir,
    model: &ModelName,
    is_so: impl Fn(&Entry) -> bool,
) -> Result<Option<Entry>, StoreError> {
    for version in versions_in(versions)?.iter().rev() {
        match entry(versions, model, version) {
            Ok(Some(entry)) if is_so(&entry) => return Ok(Some(entry)),
            Ok(_) | Err(StoreError::Damaged { .. } | StoreError::Link { .. }) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(None)
}

/// Returns the version's entry, `None` where it does not exist. Its record is what its checksum says, or this fails.
pub(crate) fn entry(
    versions: &Dir,
    model: &ModelName,
    version: &Version,
) -> Result<Option<Entry>, StoreError> {
    let Some(dir) = versions.dir(&version.to_string())? else {
        return Ok(None);
    };
    let record = Record::read(&dir, model, version).map_err(|damage| match damage {
        Damage::Unreadable(error) => *error,
        damage => StoreError::Damaged {
            model: model.clone(),
            version: version.clone(),
            damage,
        },
    })?;
    let (metadata, files) = record.parts();
    Ok(Some(Entry {
        model: model.clone(),
        version: version.clone(),
        digest: metadata.artifact.digest,
        metadata,
        files,
        dir: dir.path().to_owned(),
    }))
}

/// Lists the entries that have a version's name, whatever they are: what is wrong with one is for its user to be told.
pub(crate) fn versions_in(dir: &Dir) -> Result<Vec<Version>, StoreError> {
    let mut versions: Vec<Version> = dir.names()?.iter().filter_map(|name| name.parse().ok()).collect();
    versions.sort_unstable();
    Ok(versions)
}
