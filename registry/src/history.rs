//! `history.jsonl`: what happened to a model's aliases and canaries, and why. It is only ever appended to.
//!
//! Once it has grown, it is closed as `history-<n>.jsonl`, and the next one begins with what still counts of all before,
//! marked as carried. So it alone decides, whoever reads it: also a program that knows nothing of closed parts.
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

mod journal;
mod ledger;
mod parts;
mod walk;

use std::collections::{BTreeMap, BTreeSet};

use planner::Timestamp;
use planner::names::{Digest, ModelName, Revision, Track, Version};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::error::StoreError;
use crate::store::Store;

pub(crate) use journal::{Journal, PART_BYTES_MAX};
pub use walk::Junk;
pub(crate) use walk::{Resume, Walked, walk};

pub(crate) const HISTORY: &str = "history.jsonl";
/// The longest line, and so the longest torn one.
pub(crate) const LINE_BYTES_MAX: usize = 16 << 10;
/// The longest actor or reason, in characters; the rest is cut off.
const TEXT_CHARS_MAX: usize = 1_000;

/// What happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
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
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct HistoryEntry {
    /// When.
    #[schemars(with = "String")]
    pub at: Timestamp,
    /// What happened.
    pub event: Event,
    /// To which alias.
    #[schemars(with = "String")]
    pub alias: Track,
    /// What it named before.
    #[schemars(with = "Option<String>")]
    pub from: Option<Version>,
    /// What it names from then on.
    #[schemars(with = "Option<String>")]
    pub to: Option<Version>,
    /// The digest of `to`, of `from` where there is no `to`.
    #[schemars(with = "Option<String>")]
    pub digest: Option<Digest>,
    /// The commit behind it.
    #[schemars(with = "Option<String>")]
    pub revision: Option<Revision>,
    /// Who: `aurora`, or a person's words.
    pub actor: String,
    /// Why.
    pub reason: Option<String>,
}

/// What a history says.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Says {
    /// The newest digest of each version.
    pub(crate) digests: BTreeMap<Version, Digest>,
    /// The canary digests whose abort stands.
    pub(crate) aborted: BTreeSet<Digest>,
    /// Where each alias was moved to last.
    pub(crate) recorded: BTreeMap<Track, Version>,
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

    /// Counts the next entry of a history into what the ones before it say.
    pub(crate) fn count(&self, says: &mut Says) {
        if let Some((version, digest)) = self.named() {
            says.digests.insert(version.clone(), digest);
        }
        let Some(track) = self.change() else {
            says.aborted.extend(self.digest);
            return;
        };
        if track == Track::Canary {
            says.aborted.clear();
        }
        match &self.to {
            Some(to) => drop(says.recorded.insert(track, to.clone())),
            None => drop(says.recorded.remove(&track)),
        }
    }

    /// Returns the version that it names, with its digest.
    fn named(&self) -> Option<(&Version, Digest)> {
        self.to.as_ref().or(self.from.as_ref()).zip(self.digest)
    }

    /// Returns the alias that it moved or removed; `None` for an abort.
    fn change(&self) -> Option<Track> {
        match self.event {
            Event::Moved | Event::Removed => Some(self.alias),
            Event::Aborted => None,
        }
    }
}

/// A line as it stands in the file.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Line {
    #[serde(flatten)]
    entry: HistoryEntry,
    /// Whether it stands in a closed part too, and was taken along because it still counts.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    carried: bool,
}

impl Line {
    fn new(entry: &HistoryEntry) -> Self {
        let cut = |text: &str| text.chars().take(TEXT_CHARS_MAX).collect::<String>();
        Self {
            entry: HistoryEntry {
                actor: cut(&entry.actor),
                reason: entry.reason.as_deref().map(cut),
                ..entry.clone()
            },
            carried: false,
        }
    }

    fn carried(entry: &HistoryEntry) -> Self {
        Self {
            carried: true,
            ..Self::new(entry)
        }
    }

    fn bytes(&self) -> Vec<u8> {
        let mut line =
            serde_json::to_vec(self).expect("invariant: a history entry has text keys and cannot fail");
        line.push(b'\n');
        line
    }
}

impl Store {
    /// Returns the newest entries of a model's history, oldest first: at most `newest`, however many closed parts that
    /// takes. What is no entry is passed over.
    pub fn history(&self, model: &ModelName, newest: usize) -> Result<Vec<HistoryEntry>, StoreError> {
        match self.model_dir(model)? {
            Some(dir) => parts::newest(&dir, newest),
            None => Ok(Vec::new()),
        }
    }

    /// Says what in a model's history is no entry, by the names of the files, the newest first; none where all is in
    /// order.
    pub fn history_junk(&self, model: &ModelName) -> Result<Vec<(String, Junk)>, StoreError> {
        match self.model_dir(model)? {
            Some(dir) => parts::junk(&dir),
            None => Ok(Vec::new()),
        }
    }

    /// Closes a model's history though there is nothing to append, where that makes it much shorter; says whether it did.
    pub(crate) fn close_history(&self, model: &ModelName) -> Result<bool, StoreError> {
        let _lock = self.lock_shared()?;
        match self.model_dir(model)? {
            Some(dir) if dir.kind(HISTORY)?.is_some() => {
                let journal = Journal::open(&dir)?;
                self.permit()?;
                journal.close(&[])
            }
            Some(_) | None => Ok(false),
        }
    }

    /// Appends an entry that moves no alias. An abort that stands already is not written again.
    pub fn append_history(&self, model: &ModelName, entry: &HistoryEntry) -> Result<(), StoreError> {
        let _lock = self.lock_shared()?;
        let dir = self.ensure_model_dir(model)?;
        let journal = Journal::open(&dir)?;
        let stands = entry.event == Event::Aborted
            && entry
                .digest
                .is_some_and(|digest| journal.ledger().is_aborted(&digest));
        if stands {
            return Ok(());
        }
        self.permit()?;
        journal.append(entry)
    }
}
