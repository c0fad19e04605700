//! What is in a store, and what a reference to a version of a model means. Of what it finds, it verifies the record only:
//! `metadata.json` by its checksum, the artifact not.

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
    /// Its folder.
    pub dir: PathBuf,
}

impl FromStr for Reference {
    type Err = Malformed;

    fn from_str(text: &str) -> Result<Self, Malformed> {
        let alias = text.parse().map(Self::Alias);
        let version = || text.parse().map(Self::Version);
        let digest = || text.parse().map(Self::Digest);
        alias
            .or_else(|_: Malformed| version())
            .or_else(|_: Malformed| digest())
            .map_err(|_ignored: Malformed| Malformed {
                got: text.chars().take(80).collect(),
                expected: "stable, canary, a version (v20261101-120000) or a digest (sha256:…)",
            })
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Version(version) => write!(f, "version {version}"),
            Self::Alias(track) => write!(f, "alias {track}"),
            Self::Digest(digest) => write!(f, "artifact {digest}"),
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
                for version in versions_in(&versions)?.iter().rev() {
                    match entry(&versions, model, version) {
                        Ok(Some(entry)) if entry.digest == *digest => return Ok(entry),
                        // A damaged neighbour must not hide a sound version.
                        Ok(_) | Err(StoreError::Damaged { .. } | StoreError::Link { .. }) => {}
                        Err(error) => return Err(error),
                    }
                }
                Err(not_found())
            }
        }
    }
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
    let Record { metadata, .. } = Record::read(&dir, model, version).map_err(|damage| match damage {
        Damage::Unreadable(error) => *error,
        damage => StoreError::Damaged {
            model: model.clone(),
            version: version.clone(),
            damage,
        },
    })?;
    Ok(Some(Entry {
        model: model.clone(),
        version: version.clone(),
        digest: metadata.artifact.digest,
        metadata,
        dir: dir.path().to_owned(),
    }))
}

/// Lists the entries that have a version's name, whatever they are: what is wrong with one is for its user to be told.
pub(crate) fn versions_in(dir: &Dir) -> Result<Vec<Version>, StoreError> {
    let mut versions: Vec<Version> = dir.names()?.iter().filter_map(|name| name.parse().ok()).collect();
    versions.sort_unstable();
    Ok(versions)
}
