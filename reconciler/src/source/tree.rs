//! The files of one environment at one commit, within limits.

use crds::parse::{FILE_BYTES_MAX, too_large};
use git2::{FileMode, ObjectType, Oid, Tree};
use planner::finding::{Finding, Location, Reason};
use planner::names::{EnvironmentName, Revision};

use super::{ENVIRONMENTS, Source, SourceError, oid_of};

/// The most entries that a folder is read with, folders included.
const ENTRIES_MAX: usize = 10_000;
/// The most levels of folders below the environment's.
const DEPTH_MAX: usize = 16;
/// The most that all manifests together may have, in bytes.
const TOTAL_BYTES_MAX: usize = 64 * 1024 * 1024;

/// One manifest of a commit; its content is read by [`Source::read`].
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ManifestFile {
    /// Its path from the repository's root.
    pub path: String,
    pub(super) id: Oid,
}

/// The manifests of one environment at one commit.
#[derive(Debug, Clone, Default)]
pub struct Snapshot {
    /// The readable manifests, by path.
    pub files: Vec<ManifestFile>,
    /// The entries that were not taken, and why.
    pub findings: Vec<Finding>,
}

/// Says whether a path is a manifest's by its ending.
pub(super) fn is_manifest(path: &str) -> bool {
    std::path::Path::new(path)
        .extension()
        .is_some_and(|extension| extension == "yaml" || extension == "yml")
}

impl Source {
    /// Lists the manifests of an environment at a commit. An environment without a folder is an error that names those
    /// that exist.
    pub fn snapshot(
        &self,
        revision: &Revision,
        environment: &EnvironmentName,
    ) -> Result<Snapshot, SourceError> {
        let Some(folder) = self.folder(revision, environment)? else {
            return Err(SourceError::NoEnvironment {
                revision: revision.short().to_owned(),
                environment: environment.clone(),
                existing: self.environments(revision)?,
            });
        };
        let mut walk = Walk {
            source: self,
            snapshot: Snapshot::default(),
            entries: 0,
            bytes: 0,
        };
        walk.folder(&folder, &format!("{ENVIRONMENTS}/{environment}"), 0)?;
        let mut snapshot = walk.snapshot;
        snapshot.files.sort_by(|a, b| a.path.cmp(&b.path));
        Ok(snapshot)
    }

    /// Reads a manifest's content, at most 1 MiB.
    pub fn read(&self, file: &ManifestFile) -> Result<Vec<u8>, SourceError> {
        self.repository
            .find_blob(file.id)
            .map(|blob| blob.content().to_vec())
            .map_err(|error| self.unreadable(&file.path, &error))
    }

    /// Lists the folders below `environments/` at a commit, at most 100.
    pub fn environments(&self, revision: &Revision) -> Result<Vec<String>, SourceError> {
        let Some(folder) = self
            .entry(revision, ENVIRONMENTS)?
            .filter(|entry| entry.1 == ObjectType::Tree)
        else {
            return Ok(Vec::new());
        };
        let folder = self
            .repository
            .find_tree(folder.0)
            .map_err(|error| self.unreadable(ENVIRONMENTS, &error))?;
        Ok(folder
            .iter()
            .filter(|entry| entry.kind() == Some(ObjectType::Tree))
            .map(|entry| String::from_utf8_lossy(entry.name_bytes()).into_owned())
            .take(100)
            .collect())
    }

    /// Lists the environments at a commit, at most 100; a folder whose name no environment can have is left out.
    pub fn environment_names(&self, revision: &Revision) -> Result<Vec<EnvironmentName>, SourceError> {
        let names = self.environments(revision)?;
        Ok(names.iter().filter_map(|name| name.parse().ok()).collect())
    }

    /// Returns the id and kind of what lies at a path of a commit.
    pub(super) fn entry(
        &self,
        revision: &Revision,
        path: &str,
    ) -> Result<Option<(Oid, ObjectType)>, SourceError> {
        let tree = oid_of(revision)
            .and_then(|id| self.repository.find_commit(id))
            .and_then(|commit| commit.tree())
            .map_err(|error| self.unreadable(format!("commit {}", revision.short()), &error))?;
        match tree.get_path(std::path::Path::new(path)) {
            Ok(entry) => Ok(entry.kind().map(|kind| (entry.id(), kind))),
            Err(error) if error.code() == git2::ErrorCode::NotFound => Ok(None),
            Err(error) => Err(self.unreadable(path, &error)),
        }
    }

    fn folder(
        &self,
        revision: &Revision,
        environment: &EnvironmentName,
    ) -> Result<Option<Tree<'_>>, SourceError> {
        let path = format!("{ENVIRONMENTS}/{environment}");
        match self.entry(revision, &path)? {
            Some((id, ObjectType::Tree)) => self
                .repository
                .find_tree(id)
                .map(Some)
                .map_err(|error| self.unreadable(path, &error)),
            Some(_) | None => Ok(None),
        }
    }
}

struct Walk<'a> {
    source: &'a Source,
    snapshot: Snapshot,
    entries: usize,
    bytes: usize,
}

impl Walk<'_> {
    fn folder(&mut self, folder: &Tree<'_>, path: &str, depth: usize) -> Result<(), SourceError> {
        if depth > DEPTH_MAX {
            self.refuse(
                path,
                Reason::Unreadable,
                &format!("folder lies more than {DEPTH_MAX} levels below the environment"),
                "move its manifests up",
            );
            return Ok(());
        }
        for entry in folder {
            self.entries += 1;
            if self.entries > ENTRIES_MAX {
                if self.entries == ENTRIES_MAX + 1 {
                    self.refuse(
                        path,
                        Reason::Unreadable,
                        &format!(
                            "environment has more than {ENTRIES_MAX} files and folders; the rest is not read"
                        ),
                        "move what is no manifest out of the folder",
                    );
                }
                return Ok(());
            }
            let Ok(name) = std::str::from_utf8(entry.name_bytes()) else {
                let lossy = format!("{path}/{}", String::from_utf8_lossy(entry.name_bytes()));
                self.refuse(&lossy, Reason::UnsupportedEntry, "name is not UTF-8", "rename it");
                continue;
            };
            self.entry(entry.id(), entry.filemode(), &format!("{path}/{name}"), depth)?;
        }
        Ok(())
    }

    fn entry(&mut self, id: Oid, mode: i32, path: &str, depth: usize) -> Result<(), SourceError> {
        if mode == i32::from(FileMode::Tree) {
            let folder = self
                .source
                .repository
                .find_tree(id)
                .map_err(|error| self.source.unreadable(path, &error))?;
            self.folder(&folder, path, depth + 1)?;
        } else if mode == i32::from(FileMode::Link) {
            // A link with another ending is data beside the manifests; one without may lead to a folder of them.
            if is_manifest(path) || std::path::Path::new(path).extension().is_none() {
                self.refuse(
                    path,
                    Reason::UnsupportedEntry,
                    "is a symbolic link, which Aurora does not follow",
                    "commit a copy of the file, or move the file here",
                );
            }
        } else if mode == i32::from(FileMode::Commit) {
            self.refuse(
                path,
                Reason::UnsupportedEntry,
                "is a submodule, which Aurora does not follow",
                "commit its manifests into this repository",
            );
        } else if is_manifest(path) {
            self.manifest(id, path)?;
        }
        Ok(())
    }

    fn manifest(&mut self, id: Oid, path: &str) -> Result<(), SourceError> {
        let (bytes, _kind) = self
            .source
            .repository
            .odb()
            .and_then(|objects| objects.read_header(id))
            .map_err(|error| self.source.unreadable(path, &error))?;
        let size = u64::try_from(bytes).unwrap_or(u64::MAX);
        if size > FILE_BYTES_MAX {
            self.snapshot.findings.push(too_large(path, size));
        } else if self.bytes + bytes > TOTAL_BYTES_MAX {
            self.refuse(
                path,
                Reason::Unreadable,
                &format!("the environment's manifests have more than {TOTAL_BYTES_MAX} bytes together; this one is not read"),
                "split the environment",
            );
        } else {
            self.bytes += bytes;
            self.snapshot.files.push(ManifestFile {
                path: path.to_owned(),
                id,
            });
        }
        Ok(())
    }

    fn refuse(&mut self, file: &str, reason: Reason, message: &str, hint: &str) {
        self.snapshot.findings.push(Finding {
            location: Some(Location {
                file: file.to_owned(),
                line: 0,
                column: 0,
            }),
            reason,
            subject: String::new(),
            message: message.to_owned(),
            hint: hint.to_owned(),
        });
    }
}
