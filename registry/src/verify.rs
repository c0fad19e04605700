//! Whether a version's files are still what was published.
//!
//! A version is sound when `checksums` lists exactly its files, each has the digest that it lists, and `metadata.json`
//! names this model, this version and this artifact.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;

use planner::names::{Digest, ModelName, Version};
use sha2::Digest as _;

use crate::error::{Damage, StoreError};
use crate::files::{Dir, Opened};
use crate::metadata::VersionMetadata;
use crate::reference::Entry;
use crate::store::{METADATA_BYTES_MAX, METADATA_FILE, MODEL_FILE, Store, VERSIONS};

pub(crate) const CHECKSUMS_FILE: &str = "checksums";
/// The largest list of checksums, in bytes.
pub const CHECKSUMS_BYTES_MAX: u64 = 16 << 10;
const BUFFER_BYTES: usize = 256 << 10;

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

    /// Opens a version's artifact, unverified, through no link.
    pub fn open_artifact(&self, entry: &Entry) -> Result<File, StoreError> {
        let dir = match self.versions_dir(&entry.model)? {
            Some(versions) => versions.dir(&entry.version.to_string())?,
            None => None,
        };
        let opened = match dir {
            Some(dir) => dir.file(MODEL_FILE)?,
            None => None,
        };
        opened
            .map(|opened| opened.file)
            .ok_or_else(|| StoreError::Damaged {
                model: entry.model.clone(),
                version: entry.version.clone(),
                damage: Damage::Missing(MODEL_FILE.to_owned()),
            })
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

    /// Verifies one version and returns its record.
    pub(crate) fn check(
        &self,
        versions: &Dir,
        model: &ModelName,
        version: &Version,
    ) -> Result<VersionMetadata, Damage> {
        let dir = versions
            .dir(&version.to_string())?
            .ok_or_else(|| missing("its folder"))?;
        let Record {
            metadata, checksums, ..
        } = Record::read(&dir, model, version)?;
        for name in dir.names()? {
            // NFS keeps a removed file that is still open under such a name.
            if name != CHECKSUMS_FILE && !name.starts_with(".nfs") && !checksums.contains_key(&name) {
                return Err(Damage::Unexpected(name));
            }
        }
        for (name, expected) in checksums.iter().filter(|(name, _)| *name != METADATA_FILE) {
            let opened = dir.file(name)?.ok_or_else(|| missing(name))?;
            let bytes = opened.stamp.bytes();
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

/// What a version says of itself: `metadata.json`, as its checksum has it.
pub(crate) struct Record {
    pub(crate) metadata: VersionMetadata,
    /// The digest of each file, `metadata.json` and the artifact among them.
    checksums: BTreeMap<String, Digest>,
    /// The digest of the list of these.
    list: Digest,
}

impl Record {
    /// Reads the record of a version and holds it against its checksum. Nothing else of the version is verified.
    pub(crate) fn read(dir: &Dir, model: &ModelName, version: &Version) -> Result<Self, Damage> {
        let (checksums, metadata) = Self::files(dir)?;
        Self::of(&checksums, &metadata, model, version)
    }

    /// Reads the files that say what a version is made of: `checksums` and `metadata.json`.
    pub(crate) fn files(dir: &Dir) -> Result<(Vec<u8>, Vec<u8>), Damage> {
        let checksums = dir
            .read(CHECKSUMS_FILE, "checksums", CHECKSUMS_BYTES_MAX)?
            .ok_or_else(|| missing(CHECKSUMS_FILE))?;
        let metadata = dir
            .read(METADATA_FILE, "metadata", METADATA_BYTES_MAX)?
            .ok_or_else(|| missing(METADATA_FILE))?;
        Ok((checksums, metadata))
    }

    /// Holds what a version says of itself against its checksum.
    pub(crate) fn of(
        checksums: &[u8],
        metadata: &[u8],
        model: &ModelName,
        version: &Version,
    ) -> Result<Self, Damage> {
        let list = Digest::of(checksums);
        let checksums = parse_checksums(checksums).map_err(|why| malformed(CHECKSUMS_FILE, why))?;
        for required in [METADATA_FILE, MODEL_FILE] {
            if !checksums.contains_key(required) {
                return Err(malformed(CHECKSUMS_FILE, format!("does not list {required}")));
            }
        }
        same_digest(METADATA_FILE, checksums[METADATA_FILE], Digest::of(metadata))?;
        let metadata = VersionMetadata::read(metadata, model, version)?;
        Ok(Self {
            metadata,
            checksums,
            list,
        })
    }

    /// Returns what the version says of itself, and the digest of each of its files, the list of checksums among them.
    pub(crate) fn parts(self) -> (VersionMetadata, BTreeMap<String, Digest>) {
        let Self {
            metadata,
            checksums: mut files,
            list,
        } = self;
        files.insert(CHECKSUMS_FILE.to_owned(), list);
        (metadata, files)
    }
}

fn missing(file: &str) -> Damage {
    Damage::Missing(file.to_owned())
}

fn malformed(file: &str, why: String) -> Damage {
    Damage::Malformed {
        file: file.to_owned(),
        why,
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
pub(crate) fn digest(opened: Opened, limit: u64) -> Result<Digest, StoreError> {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checksums_name_each_file_of_the_folder_once_and_nothing_else() {
        let hex = Digest::of(b"a").hex();
        let short = &hex[1..];
        for (text, expected) in [
            (String::new(), Ok(vec![])),
            (format!("{hex}  b\n{hex}  a.onnx\n"), Ok(vec!["a.onnx", "b"])),
            // A name may hold two spaces; the first two end the digest.
            (format!("{hex}  a  b\n"), Ok(vec!["a  b"])),
            (
                format!("{hex}  a\n{hex} b\n"),
                Err("is no list of checksums in line 2"),
            ),
            (format!("{short}  a\n"), Err("is no list of checksums in line 1")),
            (format!("{hex}  \n"), Err("is no list of checksums in line 1")),
            (format!("{hex}  ../a\n"), Err("is no list of checksums in line 1")),
            (
                format!("{hex}  checksums\n"),
                Err("is no list of checksums in line 1"),
            ),
            (format!("{hex}  a\n{hex}  a\n"), Err("lists a twice")),
        ] {
            let parsed = parse_checksums(text.as_bytes());
            let names = parsed
                .as_ref()
                .map(|files| files.keys().map(String::as_str).collect());
            assert_eq!(names.map_err(String::as_str), expected, "{text}");
        }
        assert_eq!(parse_checksums(&[0xFF]), Err("is no UTF-8".to_owned()));
    }

    #[test]
    fn checksums_are_read_as_they_are_written() {
        let files = [("a.onnx", Digest::of(b"a")), ("metadata.json", Digest::of(b"b"))];
        let read = parse_checksums(format_checksums(&files).as_bytes()).unwrap();
        let read: Vec<_> = read
            .iter()
            .map(|(name, digest)| (name.as_str(), *digest))
            .collect();
        assert_eq!(read, files);
    }
}
