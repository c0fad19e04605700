//! Whether a version's files are still what was published.
//!
//! A version is sound when `checksums` lists exactly its files, each has the digest that it lists, and `metadata.json`
//! names this model, this version and this artifact.

use std::collections::BTreeMap;
use std::io::Read;
use std::time::SystemTime;

use planner::names::{Digest, ModelName, Version};
use planner::observed::{ObservedModel, ObservedVersion};
use sha2::Digest as _;

use crate::error::{Damage, StoreError};
use crate::files::{Dir, Opened, Stamp};
use crate::history;
use crate::metadata::VersionMetadata;
use crate::reference::{Entry, versions_in};
use crate::store::{METADATA_BYTES_MAX, METADATA_FILE, MODEL_FILE, Store, VERSIONS};

pub(crate) const CHECKSUMS_FILE: &str = "checksums";
const CHECKSUMS_BYTES_MAX: u64 = 16 << 10;
const BUFFER_BYTES: usize = 256 << 10;

/// A file is taken as unchanged by its stamp only when the stamp is older than this, in seconds: a change right after
/// the check could bear the same time, as coarse as some filesystems keep it.
const SETTLED_SECONDS: i64 = 2;

/// What earlier passes verified, so that a converged pass hashes nothing. Lives as long as its reconciler.
#[derive(Debug, Default)]
pub struct VerifyCache {
    verdicts: BTreeMap<(ModelName, Version), Verdict>,
    hashed: u64,
}

#[derive(Debug)]
struct Verdict {
    stamps: Vec<(String, Stamp)>,
    version: ObservedVersion,
}

impl VerifyCache {
    /// Returns how many versions were verified by hashing their files, since the cache was made.
    pub fn hashed(&self) -> u64 {
        self.hashed
    }
}

impl Store {
    /// Recomputes the digests of a version and compares its files with each other and with `entry`.
    ///
    /// Reads the whole artifact, 256 KiB at a time.
    pub fn verify(&self, entry: &Entry) -> Result<(), Damage> {
        let missing = || Damage::Missing(VERSIONS.to_owned());
        let versions = self.versions_dir(&entry.model)?.ok_or_else(missing)?;
        let metadata = self.check(&versions, &entry.model, &entry.version)?;
        if metadata.artifact.digest == entry.digest {
            Ok(())
        } else {
            Err(Damage::Changed {
                file: MODEL_FILE.to_owned(),
                expected: entry.digest,
                got: metadata.artifact.digest,
            })
        }
    }

    /// Reads a version's artifact; its digest is that of `entry`, or this fails.
    pub fn read_artifact(&self, entry: &Entry) -> Result<Vec<u8>, StoreError> {
        let damaged = |damage| StoreError::Damaged {
            model: entry.model.clone(),
            version: entry.version.clone(),
            damage,
        };
        let dir = match self.versions_dir(&entry.model)? {
            Some(versions) => versions.dir(&entry.version.to_string())?,
            None => None,
        };
        let bytes = match dir {
            Some(dir) => dir.read(MODEL_FILE, "an artifact", self.artifact_bytes_max())?,
            None => None,
        };
        let bytes = bytes.ok_or_else(|| damaged(Damage::Missing(MODEL_FILE.to_owned())))?;
        let got = Digest::of(&bytes);
        if got == entry.digest {
            Ok(bytes)
        } else {
            Err(damaged(Damage::Changed {
                file: MODEL_FILE.to_owned(),
                expected: entry.digest,
                got,
            }))
        }
    }

    /// Returns what the store holds of a model, each version verified.
    ///
    /// An unknown model has nothing; a store that cannot be read is an error, never an empty model. Files are hashed
    /// only when they changed since `cache` last saw them.
    pub fn observe(&self, model: &ModelName, cache: &mut VerifyCache) -> Result<ObservedModel, StoreError> {
        let Some(dir) = self.model_dir(model)? else {
            cache.verdicts.retain(|(of, _), _| of != model);
            return Ok(ObservedModel::default());
        };
        let mut observed = ObservedModel::default();
        if let Some(versions) = dir.dir(VERSIONS)? {
            for version in versions_in(&versions)? {
                if let Some(found) = self.observe_version(&versions, model, &version, cache)? {
                    observed.versions.insert(version, found);
                }
            }
        }
        cache
            .verdicts
            .retain(|(of, version), _| of != model || observed.versions.contains_key(version));
        observed.aliases = crate::alias::aliases_in(&dir)?;
        let entries = self.history(model)?;
        observed.history_digests = history::digests(&entries);
        observed.aborted = history::aborted(&entries);
        Ok(observed)
    }

    fn observe_version(
        &self,
        versions: &Dir,
        model: &ModelName,
        version: &Version,
        cache: &mut VerifyCache,
    ) -> Result<Option<ObservedVersion>, StoreError> {
        let stamps = stamps(versions, version).ok();
        let key = (model.clone(), version.clone());
        if let (Some(stamps), Some(verdict)) = (&stamps, cache.verdicts.get(&key))
            && *stamps == verdict.stamps
        {
            return Ok(Some(verdict.version.clone()));
        }
        cache.hashed += 1;
        let checked = self.check(versions, model, version);
        // A collection may have taken it away while it was read: that is no damage.
        if checked.is_err() && versions.kind(&version.to_string())?.is_none() {
            return Ok(None);
        }
        let passing = matches!(checked, Err(Damage::Unreadable(_)));
        let found = match checked {
            Ok(metadata) => ObservedVersion::Sound {
                digest: metadata.artifact.digest,
                inputs: metadata.inputs_hash,
            },
            Err(damage) => ObservedVersion::Damaged(damage.to_string()),
        };
        match stamps {
            Some(stamps) if !passing && is_settled(&stamps) => {
                let version = found.clone();
                cache.verdicts.insert(key, Verdict { stamps, version });
            }
            _ => {
                cache.verdicts.remove(&key);
            }
        }
        Ok(Some(found))
    }

    /// Verifies one version and returns its record.
    pub(crate) fn check(
        &self,
        versions: &Dir,
        model: &ModelName,
        version: &Version,
    ) -> Result<VersionMetadata, Damage> {
        let missing = |file: &str| Damage::Missing(file.to_owned());
        let malformed = |file: &str, why: String| Damage::Malformed {
            file: file.to_owned(),
            why,
        };
        let dir = versions
            .dir(&version.to_string())?
            .ok_or_else(|| missing("its folder"))?;
        let checksums = dir
            .read(CHECKSUMS_FILE, "checksums", CHECKSUMS_BYTES_MAX)?
            .ok_or_else(|| missing(CHECKSUMS_FILE))?;
        let checksums = parse_checksums(&checksums).map_err(|why| malformed(CHECKSUMS_FILE, why))?;
        for name in dir.names()? {
            // NFS keeps a removed file that is still open under such a name.
            if name != CHECKSUMS_FILE && !name.starts_with(".nfs") && !checksums.contains_key(&name) {
                return Err(Damage::Unexpected(name));
            }
        }
        for required in [METADATA_FILE, MODEL_FILE] {
            if !checksums.contains_key(required) {
                return Err(malformed(CHECKSUMS_FILE, format!("does not list {required}")));
            }
        }
        let bytes = dir
            .read(METADATA_FILE, "metadata", METADATA_BYTES_MAX)?
            .ok_or_else(|| missing(METADATA_FILE))?;
        same_digest(METADATA_FILE, checksums[METADATA_FILE], Digest::of(&bytes))?;
        let metadata = VersionMetadata::read(&bytes, model, version)?;
        for (name, expected) in checksums.iter().filter(|(name, _)| *name != METADATA_FILE) {
            let opened = dir.file(name)?.ok_or_else(|| missing(name))?;
            let bytes = opened.bytes;
            same_digest(name, *expected, digest(opened, self.artifact_bytes_max())?)?;
            if name == MODEL_FILE
                && (metadata.artifact.digest != *expected || metadata.artifact.bytes != bytes)
            {
                return Err(malformed(
                    METADATA_FILE,
                    format!(
                        "says that {MODEL_FILE} has {} in {} bytes, and it has {expected} in {bytes}",
                        metadata.artifact.digest, metadata.artifact.bytes
                    ),
                ));
            }
        }
        Ok(metadata)
    }
}

fn same_digest(file: &str, expected: Digest, got: Digest) -> Result<(), Damage> {
    if expected == got {
        return Ok(());
    }
    Err(Damage::Changed {
        file: file.to_owned(),
        expected,
        got,
    })
}

/// Hashes a file of at most `limit` bytes.
fn digest(opened: Opened, limit: u64) -> Result<Digest, StoreError> {
    let Opened { file, path, .. } = opened;
    let mut hasher = Hasher::default();
    let read = copy(&mut file.take(limit + 1), |chunk| {
        hasher.update(chunk);
        Ok(())
    });
    let bytes = read.map_err(|e| StoreError::io("read", &path, e))?;
    if bytes > limit {
        return Err(StoreError::TooLarge {
            what: "a version's file",
            path,
            limit,
        });
    }
    Ok(hasher.finish())
}

/// A digest that is computed in pieces.
#[derive(Debug, Default)]
pub(crate) struct Hasher(sha2::Sha256);

impl Hasher {
    pub(crate) fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    pub(crate) fn finish(self) -> Digest {
        Digest::from_bytes(self.0.finalize().into())
    }
}

/// Hands `source` to `sink` in bounded pieces, and returns how many bytes there were.
pub(crate) fn copy(
    source: &mut impl Read,
    mut sink: impl FnMut(&[u8]) -> std::io::Result<()>,
) -> std::io::Result<u64> {
    let mut buffer = vec![0; BUFFER_BYTES];
    let mut bytes = 0;
    loop {
        match source.read(&mut buffer) {
            Ok(0) => return Ok(bytes),
            Ok(n) => {
                sink(&buffer[..n])?;
                bytes += n as u64;
            }
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

/// Renders the lines that `sha256sum --check` reads.
pub(crate) fn format_checksums(files: &[(&str, Digest)]) -> String {
    files.iter().fold(String::new(), |lines, (name, digest)| {
        lines + &digest.hex() + "  " + name + "\n"
    })
}

fn parse_checksums(bytes: &[u8]) -> Result<BTreeMap<String, Digest>, String> {
    let text = std::str::from_utf8(bytes).map_err(|_ignored| "is no UTF-8".to_owned())?;
    let mut files = BTreeMap::new();
    for (number, line) in (1..).zip(text.lines()) {
        let parsed = line
            .split_once("  ")
            .and_then(|(hex, name)| Some((Digest::from_hex(hex).ok()?, name)))
            .filter(|(_, name)| !name.is_empty() && !name.contains('/') && *name != CHECKSUMS_FILE);
        let Some((digest, name)) = parsed else {
            return Err(format!("is no list of checksums in line {number}"));
        };
        if files.insert(name.to_owned(), digest).is_some() {
            return Err(format!("lists {name} twice"));
        }
    }
    Ok(files)
}

/// Returns the stamps of a version's folder and of all that lies in it.
fn stamps(versions: &Dir, version: &Version) -> Result<Vec<(String, Stamp)>, StoreError> {
    let name = version.to_string();
    let mut stamps = Vec::new();
    stamps.extend(versions.stamp(&name)?.map(|stamp| (String::new(), stamp)));
    if let Some(dir) = versions.dir(&name)? {
        for name in dir.names()? {
            if let Some(stamp) = dir.stamp(&name)? {
                stamps.push((name, stamp));
            }
        }
    }
    Ok(stamps)
}

fn is_settled(stamps: &[(String, Stamp)]) -> bool {
    let now = SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .map_or(0, |elapsed| i64::try_from(elapsed.as_secs()).unwrap_or(i64::MAX));
    stamps
        .iter()
        .all(|(_, stamp)| stamp.changed_seconds() + SETTLED_SECONDS < now)
}
