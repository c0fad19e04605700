//! Which commit last changed a manifest.

use std::collections::BTreeMap;
use std::sync::Arc;

use git2::{Commit, Delta, FileMode, Oid};
use planner::Timestamp;
use planner::names::{EnvironmentName, Revision};
use planner::object::ObjectId;

use super::tree::{ManifestFile, is_manifest};
use super::{ENVIRONMENTS, Source, SourceError, oid_of, revision_of};

/// The most commits that are walked; beyond them a manifest counts as changed at the oldest one reached.
const COMMITS_MAX: usize = 10_000;

/// The last second that a version can be named after, since 1970.
const YEAR_9999_ENDS: i64 = 253_402_300_799;

/// The documents of one file: what each is about, and its canonical form (equal exactly if the parsed documents are).
pub(crate) type Documents = Arc<Vec<(ObjectId, Vec<u8>)>>;

/// The commit that last changed a manifest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Changed {
    /// The commit.
    pub revision: Revision,
    /// Its committer time.
    pub committed_at: Timestamp,
}

/// Remembers what it found at the last head, so that a new commit costs only its own difference.
#[derive(Debug, Default)]
pub struct History {
    head: Option<Oid>,
    known: BTreeMap<ObjectId, Changed>,
}

impl Source {
    /// Returns a commit with its time.
    pub fn changed_at(&self, revision: &Revision) -> Result<Changed, SourceError> {
        oid_of(revision)
            .and_then(|id| self.repository.find_commit(id))
            .map(|commit| changed_at(&commit))
            .map_err(|error| self.unreadable(format!("commit {}", revision.short()), &error))
    }

    /// Says whether a commit is `head` or one of its first parents, back to at most 10,000 commits.
    pub(crate) fn is_on_first_parent_line(
        &self,
        head: &Revision,
        revision: &Revision,
    ) -> Result<bool, SourceError> {
        let unreadable =
            |error: &git2::Error| self.unreadable(format!("the history of {}", head.short()), error);
        let Ok(wanted) = oid_of(revision) else {
            return Ok(false);
        };
        let mut commit = oid_of(head)
            .and_then(|id| self.repository.find_commit(id))
            .map_err(|error| unreadable(&error))?;
        for _ in 0..COMMITS_MAX {
            if commit.id() == wanted {
                return Ok(true);
            }
            let Ok(parent) = commit.parent(0) else {
                break;
            };
            commit = parent;
        }
        Ok(false)
    }
}

impl History {
    /// Finds for each manifest at `head` the newest first-parent commit where its parsed document differs from its
    /// parent's. Comments, formatting and moves to another file are no difference.
    ///
    /// `documents` parses one file; a file that does not parse has none.
    pub fn changes(
        &mut self,
        source: &Source,
        head: &Revision,
        environment: &EnvironmentName,
        manifests: &[ObjectId],
        documents: &mut dyn FnMut(&ManifestFile) -> Result<Documents, SourceError>,
    ) -> Result<BTreeMap<ObjectId, Changed>, SourceError> {
        let unreadable =
            |error: &git2::Error| source.unreadable(format!("the history of {}", head.short()), error);
        let repository = &source.repository;
        let folder = format!("{ENVIRONMENTS}/{environment}");

        let mut open: Vec<ObjectId> = manifests.to_vec();
        let mut found = BTreeMap::new();
        let mut commit = oid_of(head)
            .and_then(|id| repository.find_commit(id))
            .map_err(|error| unreadable(&error))?;
        let mut ours = folder_of(&commit, &folder).map_err(|error| unreadable(&error))?;
        for _ in 0..COMMITS_MAX {
            if self.head == Some(commit.id()) {
                open.retain(|id| match self.known.get(id) {
                    Some(known) => {
                        found.insert(id.clone(), known.clone());
                        false
                    }
                    None => true,
                });
            }
            if open.is_empty() {
                break;
            }
            // A shallow clone ends where the parent is missing, as the first commit does.
            let Ok(parent) = commit.parent(0) else { break };
            let theirs = folder_of(&parent, &folder).map_err(|error| unreadable(&error))?;
            if ours != theirs {
                let (after, before) = differing(source, &folder, ours, theirs)?;
                let after = read_all(&after, documents)?;
                let before = read_all(&before, documents)?;
                open.retain(|id| match after.get(id) {
                    Some(document) if before.get(id) != Some(document) => {
                        found.insert(id.clone(), changed_at(&commit));
                        false
                    }
                    Some(_) | None => true,
                });
            }
            commit = parent;
            ours = theirs;
        }
        for id in open {
            found.insert(id, changed_at(&commit));
        }
        self.head = oid_of(head).ok();
        self.known.clone_from(&found);
        Ok(found)
    }
}

fn changed_at(commit: &Commit<'_>) -> Changed {
    // Versions are named after it: a commit of the year 10000 counts as one of 1970.
    let seconds = Some(commit.time().seconds()).filter(|seconds| (0..=YEAR_9999_ENDS).contains(seconds));
    Changed {
        revision: revision_of(commit.id()),
        committed_at: seconds
            .and_then(|seconds| Timestamp::from_timestamp(seconds, 0))
            .unwrap_or_default(),
    }
}

fn folder_of(commit: &Commit<'_>, folder: &str) -> Result<Option<Oid>, git2::Error> {
    match commit.tree()?.get_path(std::path::Path::new(folder)) {
        Ok(entry) => Ok((entry.filemode() == i32::from(FileMode::Tree)).then(|| entry.id())),
        Err(error) if error.code() == git2::ErrorCode::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Returns the manifests that differ between two folders: as they are in the first, and as they are in the second.
fn differing(
    source: &Source,
    folder: &str,
    ours: Option<Oid>,
    theirs: Option<Oid>,
) -> Result<(Vec<ManifestFile>, Vec<ManifestFile>), SourceError> {
    let unreadable = |error: &git2::Error| source.unreadable(folder, error);
    let tree = |id: Option<Oid>| id.map(|id| source.repository.find_tree(id)).transpose();
    let new = tree(ours).map_err(|error| unreadable(&error))?;
    let old = tree(theirs).map_err(|error| unreadable(&error))?;
    let diff = source
        .repository
        .diff_tree_to_tree(old.as_ref(), new.as_ref(), None)
        .map_err(|error| unreadable(&error))?;
    let file = |file: &git2::DiffFile<'_>| {
        let path = std::str::from_utf8(file.path_bytes()?).ok()?;
        (is_manifest(path) && matches!(file.mode(), FileMode::Blob | FileMode::BlobExecutable)).then(|| {
            ManifestFile {
                path: format!("{folder}/{path}"),
                id: file.id(),
            }
        })
    };
    let mut after = Vec::new();
    let mut before = Vec::new();
    for delta in diff.deltas() {
        if delta.status() != Delta::Deleted {
            after.extend(file(&delta.new_file()));
        }
        if delta.status() != Delta::Added {
            before.extend(file(&delta.old_file()));
        }
    }
    Ok((after, before))
}

fn read_all(
    files: &[ManifestFile],
    documents: &mut dyn FnMut(&ManifestFile) -> Result<Documents, SourceError>,
) -> Result<BTreeMap<ObjectId, Vec<u8>>, SourceError> {
    let mut all = BTreeMap::new();
    for file in files {
        all.extend(documents(file)?.iter().cloned());
    }
    Ok(all)
}
