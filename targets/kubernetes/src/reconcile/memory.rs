//! What is remembered from one process to the next because finding it out takes time: facts about commits and their files.
//! When a commit was first seen cannot be found out again, and counts from when it is seen again.

use std::path::{Path, PathBuf};

use planner::names::Revision;
use reconciler::Reconciler;
use reconciler::resolve::DataDigests;
use reconciler::signatures::Seen;
use reconciler::source::Remembered;
use registry::files::{Dir, read};
use serde::Serialize;
use serde::de::DeserializeOwned;

/// The names of the files.
const DATA_DIGESTS: &str = "data-digests.json";
const HISTORY: &str = "history.json";
const SEEN: &str = "commits-seen.json";
/// The most that is read back, in bytes.
const BYTES_MAX: u64 = 64 * 1024 * 1024;
/// How many commits the folder may know less of than a running process.
const COMMITS_UNREMEMBERED: usize = 200;

/// A folder of remembered facts. Nothing of it stops anything where it is lost.
#[derive(Debug)]
pub(super) struct Memory {
    folder: PathBuf,
    digests: DataDigests,
    first_seen: Seen,
    /// The commit down from which the history was last written, and how many were seen since.
    written: Option<Revision>,
    seen: Option<Revision>,
    unwritten: usize,
}

impl Memory {
    pub(super) fn open(folder: &Path) -> Self {
        Self {
            folder: folder.to_owned(),
            digests: read_back(folder, DATA_DIGESTS).unwrap_or_default(),
            first_seen: read_back(folder, SEEN).unwrap_or_default(),
            written: None,
            seen: None,
            unwritten: 0,
        }
    }

    pub(super) fn data_digests(&self) -> DataDigests {
        self.digests.clone()
    }

    pub(super) fn first_seen(&self) -> Seen {
        self.first_seen.clone()
    }

    pub(super) fn history(&self) -> Option<Remembered> {
        read_back(&self.folder, HISTORY)
    }

    /// Remembers what is worth it by now.
    pub(super) fn remember(&mut self, reconciler: &Reconciler) {
        let digests = reconciler.data_digests();
        if self.digests != *digests {
            self.digests.clone_from(digests);
            self.write(DATA_DIGESTS, digests);
        }
        let seen = reconciler.seen();
        if self.first_seen != *seen {
            self.first_seen.clone_from(seen);
            self.write(SEEN, seen);
        }
        let head = reconciler.walked_to();
        if self.seen != head {
            self.seen = head;
            self.unwritten += 1;
        }
        if self.written.is_none() || self.unwritten >= COMMITS_UNREMEMBERED {
            self.keep(reconciler);
        }
    }

    /// Remembers the branch's history.
    pub(super) fn keep(&mut self, reconciler: &Reconciler) {
        let head = reconciler.walked_to();
        if head.is_none() || head == self.written {
            return;
        }
        if let Some(remembered) = reconciler.remembered() {
            self.write(HISTORY, &remembered);
        }
        self.written = head;
        self.unwritten = 0;
    }

    fn write(&self, name: &str, value: &impl Serialize) {
        let bytes = serde_json::to_vec(value).unwrap_or_default();
        let written = Dir::ensure(&self.folder).and_then(|dir| dir.replace_unsynced(name, &bytes));
        if let Err(error) = written {
            tracing::debug!(%error, name, "cannot remember; the next start finds it out anew");
        }
    }
}

fn read_back<T: DeserializeOwned>(folder: &Path, name: &str) -> Option<T> {
    let bytes = read(&folder.join(name), "a memory", BYTES_MAX).ok()??;
    serde_json::from_slice(&bytes).ok()
}
