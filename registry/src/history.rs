//! `history.jsonl`: what happened to a model's aliases and canaries, and why. It is only ever appended to.
//!
//! | event | alias | from | to | digest |
//! |---|---|---|---|---|
//! | `moved` | either | what it named, if anything | what it names from now on | of `to` |
//! | `removed` | either | what it named | — | of `from` |
//! | `aborted` | `canary` | the version that was aborted | — | of `from` |
//!
//! An `aborted` entry stands until a later `moved` or `removed` entry of the canary alias. An entry is written *before*
//! the alias changes: should the process die between the two, the next pass still finds the alias where it was and
//! repeats the move, which recognises its own entry; the other way round the entry would be lost for good.

mod walk;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fs::File;
use std::io::Write;

use planner::Timestamp;
use planner::names::{Digest, ModelName, Revision, Track, Version};
use serde::{Deserialize, Serialize};

use crate::error::StoreError;
use crate::files::{Dir, sync_file};
use crate::lock::{Lock, Mode, PATIENCE};
use crate::store::Store;

pub use walk::Junk;
pub(crate) use walk::{Resume, Walked, walk};

pub(crate) const HISTORY: &str = "history.jsonl";
/// How many of the newest entries of a history are shown, and are held while one is appended.
const ENTRIES_MAX: usize = 20_000;
/// The longest line, and so the longest torn one.
pub(crate) const LINE_BYTES_MAX: usize = 16 << 10;
/// The longest actor or reason, in characters; the rest is cut off.
const TEXT_CHARS_MAX: usize = 1_000;

/// What happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Event {
    /// An alias names another version.
    Moved,
    /// An alias is gone.
    Removed,
    /// A canary was aborted.
    Aborted,
}

/// One line of `history.jsonl`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HistoryEntry {
    /// When.
    pub at: Timestamp,
    /// What happened.
    pub event: Event,
    /// To which alias.
    pub alias: Track,
    /// What it named before.
    pub from: Option<Version>,
    /// What it names from then on.
    pub to: Option<Version>,
    /// The digest of `to`, of `from` where there is no `to`.
    pub digest: Option<Digest>,
    /// The commit behind it.
    pub revision: Option<Revision>,
    /// Who: `aurora`, or a person's words.
    pub actor: String,
    /// Why.
    pub reason: Option<String>,
}

impl HistoryEntry {
    /// Says whether two entries record the same change, whenever each was written.
    fn records_same(&self, other: &Self) -> bool {
        self.event == other.event
            && self.alias == other.alias
            && self.from == other.from
            && self.to == other.to
            && self.digest == other.digest
            && self.revision == other.revision
    }

    /// Counts the next entry of a history into what the ones before it say (see [`standing`]).
    pub(crate) fn count(&self, digests: &mut BTreeMap<Version, Digest>, aborted: &mut BTreeSet<Digest>) {
        if let (Some(version), Some(digest)) = (self.to.as_ref().or(self.from.as_ref()), self.digest) {
            digests.insert(version.clone(), digest);
        }
        match self.event {
            Event::Aborted => aborted.extend(self.digest),
            Event::Moved | Event::Removed if self.alias == Track::Canary => aborted.clear(),
            Event::Moved | Event::Removed => {}
        }
    }

    fn line(&self) -> Vec<u8> {
        let cut = |text: &str| text.chars().take(TEXT_CHARS_MAX).collect::<String>();
        let entry = Self {
            actor: cut(&self.actor),
            reason: self.reason.as_deref().map(cut),
            ..self.clone()
        };
        let mut line =
            serde_json::to_vec(&entry).expect("invariant: a history entry has text keys and cannot fail");
        line.push(b'\n');
        line
    }
}

/// Returns what a history says: the newest digest of each version, and the canary digests whose abort still stands.
pub(crate) fn standing(entries: &[HistoryEntry]) -> (BTreeMap<Version, Digest>, BTreeSet<Digest>) {
    let (mut digests, mut aborted) = (BTreeMap::new(), BTreeSet::new());
    for entry in entries {
        entry.count(&mut digests, &mut aborted);
    }
    (digests, aborted)
}

impl Store {
    /// Returns a model's history, oldest first: at least the last ten thousand entries. What is no entry is passed over.
    pub fn history(&self, model: &ModelName) -> Result<Vec<HistoryEntry>, StoreError> {
        let Some(opened) = self.model_dir(model)?.map_or(Ok(None), |dir| dir.file(HISTORY))? else {
            return Ok(Vec::new());
        };
        let (entries, _walked) =
            newest(&opened.file, opened.stamp.bytes()).map_err(|e| StoreError::io("read", opened.path, e))?;
        Ok(entries)
    }

    /// Says what in a model's history is no entry; `None` where all is in order.
    pub fn history_junk(&self, model: &ModelName) -> Result<Option<Junk>, StoreError> {
        let Some(opened) = self.model_dir(model)?.map_or(Ok(None), |dir| dir.file(HISTORY))? else {
            return Ok(None);
        };
        let end = opened.stamp.bytes();
        let walked = walk(&opened.file, Resume::start_of(end), end, &mut |_entry| {})
            .map_err(|e| StoreError::io("read", opened.path, e))?;
        Ok(Some(walked.junk).filter(|junk| junk.bytes > 0))
    }

    /// Appends an entry that moves no alias. An abort that stands already is not written again.
    pub fn append_history(&self, model: &ModelName, entry: &HistoryEntry) -> Result<(), StoreError> {
        let _lock = self.lock_shared()?;
        let dir = self.ensure_model_dir(model)?;
        let journal = Journal::open(&dir)?;
        let stands = entry.event == Event::Aborted
            && entry
                .digest
                .is_some_and(|digest| standing(journal.entries()).1.contains(&digest));
        if stands { Ok(()) } else { journal.append(entry) }
    }
}

/// A history held open by its one writer.
pub(crate) struct Journal<'a> {
    dir: &'a Dir,
    lock: Lock,
    entries: Vec<HistoryEntry>,
    end: End,
    /// Whether the names in the model's folder have yet to be made durable.
    has_new_names: bool,
}

impl<'a> Journal<'a> {
    /// Opens the history of a model's folder, waiting for another writer.
    pub(crate) fn open(dir: &'a Dir) -> Result<Self, StoreError> {
        let path = dir.path().join(HISTORY);
        let lock = Lock::take(dir, HISTORY, Mode::Exclusive, PATIENCE)?;
        let failed = |e| StoreError::io("read", &path, e);
        let metadata = lock.file().metadata().map_err(failed)?;
        if !metadata.is_file() {
            return Err(StoreError::malformed(&path, "is no regular file"));
        }
        let bytes = metadata.len();
        let (entries, walked) = newest(lock.file(), bytes).map_err(failed)?;
        Ok(Self {
            dir,
            lock,
            entries,
            end: walked.end(bytes),
            has_new_names: bytes == 0,
        })
    }

    pub(crate) fn entries(&self) -> &[HistoryEntry] {
        &self.entries
    }

    /// Returns the newest entry that moved or removed an alias.
    pub(crate) fn last_change(&self, track: Track) -> Option<&HistoryEntry> {
        self.entries
            .iter()
            .rfind(|entry| entry.alias == track && entry.event != Event::Aborted)
    }

    /// Lets the next append make the names in the model's folder durable too.
    pub(crate) fn sync_names(&mut self) {
        self.has_new_names = true;
    }

    /// Appends an entry unless the newest change of its alias is the same: then a crash came between entry and alias.
    pub(crate) fn append_change(self, entry: &HistoryEntry) -> Result<(), StoreError> {
        match self.last_change(entry.alias) {
            Some(last) if last.records_same(entry) => self.settle_names(),
            _ => self.append(entry),
        }
    }

    fn append(self, entry: &HistoryEntry) -> Result<(), StoreError> {
        let path = self.dir.path().join(HISTORY);
        let mut file = self.lock.file();
        let mut line = entry.line();
        match self.end {
            End::Whole => {}
            End::Torn { whole } => {
                tracing::warn!(path = %path.display(), "cut a torn last line off the history");
                file.set_len(whole).map_err(|e| StoreError::io("cut", &path, e))?;
            }
            // It is no line of ours that a crash has torn: it is left as it is, and the entry begins a line.
            End::Junk => line.insert(0, b'\n'),
        }
        file.write_all(&line)
            .map_err(|e| StoreError::io("append to", &path, e))?;
        sync_file(file, &path)?;
        self.settle_names()
    }

    fn settle_names(&self) -> Result<(), StoreError> {
        if self.has_new_names {
            self.dir.sync()?;
        }
        Ok(())
    }
}

/// How a history ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    /// With a whole line.
    Whole,
    /// With a line that a crash has torn: it never happened.
    Torn {
        /// Where it begins.
        whole: u64,
    },
    /// With something longer than any line of ours.
    Junk,
}

impl Walked {
    fn end(&self, bytes: u64) -> End {
        match self.resume {
            Resume {
                at,
                is_in_junk: false,
            } if at == bytes => End::Whole,
            Resume {
                at,
                is_in_junk: false,
            } => End::Torn { whole: at },
            Resume { is_in_junk: true, .. } => End::Junk,
        }
    }
}

/// Reads the newest entries of a file of `end` bytes.
fn newest(file: &File, end: u64) -> std::io::Result<(Vec<HistoryEntry>, Walked)> {
    let mut entries = VecDeque::new();
    let walked = walk(file, Resume::start_of(end), end, &mut |entry| {
        if entries.len() == ENTRIES_MAX {
            entries.pop_front();
        }
        entries.push_back(entry);
    })?;
    Ok((entries.into(), walked))
}
