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

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::os::unix::fs::FileExt;

use planner::Timestamp;
use planner::names::{Digest, ModelName, Revision, Track, Version};
use serde::{Deserialize, Serialize};

use crate::error::StoreError;
use crate::files::{Dir, sync_file};
use crate::lock::{Lock, Mode, PATIENCE};
use crate::store::Store;

pub(crate) const HISTORY: &str = "history.jsonl";
/// How much of the end of a history is read: more than ten thousand entries.
pub(crate) const TAIL_BYTES_MAX: u64 = 4 << 20;
/// The longest line, and so the longest torn one.
const LINE_BYTES_MAX: usize = 16 << 10;
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
    /// Returns a model's history, oldest first: at least the last ten thousand entries.
    pub fn history(&self, model: &ModelName) -> Result<Vec<HistoryEntry>, StoreError> {
        let Some(opened) = self.model_dir(model)?.map_or(Ok(None), |dir| dir.file(HISTORY))? else {
            return Ok(Vec::new());
        };
        let tail = Tail::last(&opened.file, opened.stamp.bytes())
            .map_err(|e| StoreError::io("read", opened.path, e))?;
        Ok(parse(&tail.bytes))
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
    /// How much of the file is whole lines, in bytes.
    whole: u64,
    bytes: u64,
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
        let tail = Tail::last(lock.file(), bytes).map_err(failed)?;
        let torn = tail.bytes.len() - tail.whole();
        if torn > LINE_BYTES_MAX {
            return Err(StoreError::malformed(
                &path,
                format!(
                    "ends in {torn} bytes that are no entry: move it away, then the next pass starts a new one"
                ),
            ));
        }
        Ok(Self {
            dir,
            lock,
            entries: parse(&tail.bytes),
            whole: bytes - torn as u64,
            bytes,
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
        if self.whole < self.bytes {
            tracing::warn!(path = %path.display(), "cut a torn last line off the history");
            file.set_len(self.whole)
                .map_err(|e| StoreError::io("cut", &path, e))?;
        }
        file.write_all(&entry.line())
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

/// The end of a history.
#[derive(Debug)]
pub(crate) struct Tail {
    /// Where it begins in the file: with a line.
    pub(crate) start: u64,
    pub(crate) bytes: Vec<u8>,
}

impl Tail {
    /// Reads as much of the end of a file of `end` bytes as counts.
    pub(crate) fn last(file: &std::fs::File, end: u64) -> std::io::Result<Self> {
        let mut tail = Self::read(file, end.saturating_sub(TAIL_BYTES_MAX), end)?;
        if tail.start > 0 {
            let line = tail
                .bytes
                .iter()
                .position(|b| *b == b'\n')
                .map_or(tail.bytes.len(), |at| at + 1);
            tail.bytes.drain(..line);
            tail.start += line as u64;
        }
        Ok(tail)
    }

    /// Reads what lies between two places of a file. A writer may cut a torn line off meanwhile: then there is less.
    pub(crate) fn read(file: &std::fs::File, start: u64, end: u64) -> std::io::Result<Self> {
        let mut bytes = vec![0; usize::try_from(end - start).unwrap_or(0)];
        let mut read = 0;
        while read < bytes.len() {
            match file.read_at(&mut bytes[read..], start + read as u64)? {
                0 => break,
                n => read += n,
            }
        }
        bytes.truncate(read);
        Ok(Self { start, bytes })
    }

    /// Returns how many of its bytes are whole lines.
    pub(crate) fn whole(&self) -> usize {
        self.bytes
            .iter()
            .rposition(|b| *b == b'\n')
            .map_or(0, |at| at + 1)
    }
}

/// Reads whole lines; what is after the last newline was torn off by a crash and never happened.
pub(crate) fn parse(tail: &[u8]) -> Vec<HistoryEntry> {
    let whole = tail.iter().rposition(|b| *b == b'\n').map_or(0, |at| at);
    let mut entries = Vec::new();
    for line in tail[..whole]
        .split(|b| *b == b'\n')
        .filter(|line| !line.is_empty())
    {
        match serde_json::from_slice(line) {
            Ok(entry) => entries.push(entry),
            Err(error) => tracing::warn!(%error, "skipped a line of a history that cannot be read"),
        }
    }
    entries
}
