//! A model's history, of which only what was appended is read again.

use planner::names::Digest;

use super::Counters;
use crate::error::StoreError;
use crate::files::{Dir, Stamp};
use crate::history::{HISTORY, HistoryEntry, TAIL_BYTES_MAX, Tail};

/// How much before the end of what was read must be as it was, in bytes: more than one entry.
const GUARD_BYTES: usize = 512;

/// How far a history was read.
#[derive(Debug, Default)]
pub(super) struct Past {
    /// The stamp of the file that was read.
    stamp: Option<Stamp>,
    /// How much of it was whole lines, in bytes.
    whole: u64,
    guard_bytes: usize,
    /// Of the last `guard_bytes` before `whole`.
    guard: Option<Digest>,
}

/// What a history says.
pub(super) enum News {
    /// These entries, after those that are known.
    Appended(Vec<HistoryEntry>),
    /// These entries and no others.
    Anew(Vec<HistoryEntry>),
}

impl Past {
    /// Reads what is new: the rest of a file that has grown, else the whole of it.
    pub(super) fn read(&mut self, dir: &Dir, counters: &Counters) -> Result<News, StoreError> {
        let Some(opened) = dir.file(HISTORY)? else {
            *self = Self::default();
            return Ok(News::Anew(Vec::new()));
        };
        let failed = |e| StoreError::io("read", &opened.path, e);
        let stamp = opened.stamp.clone();
        // Every entry makes the file longer, but for one that takes the place of a torn line.
        if self.stamp.as_ref() == Some(&stamp) && self.whole == stamp.bytes() {
            return Ok(News::Appended(Vec::new()));
        }
        if self.has_grown(&stamp) {
            let from = self.whole - self.guard_bytes as u64;
            let tail = Tail::read(&opened.file, from, stamp.bytes()).map_err(failed)?;
            counters.count_history(tail.bytes.len());
            let (guard, appended) = tail.bytes.split_at(self.guard_bytes.min(tail.bytes.len()));
            if self.guard == Some(Digest::of(guard)) {
                let entries = crate::history::parse(appended);
                self.remember(stamp, &tail);
                return Ok(News::Appended(entries));
            }
        }
        let tail = Tail::last(&opened.file, stamp.bytes()).map_err(failed)?;
        counters.count_history(tail.bytes.len());
        let entries = crate::history::parse(&tail.bytes);
        self.remember(stamp, &tail);
        Ok(News::Anew(entries))
    }

    /// Says whether this may be the file that was read, with more in it. Of a very long one only the end counts, which
    /// must not depend on when it was read first.
    fn has_grown(&self, stamp: &Stamp) -> bool {
        let is_same = self
            .stamp
            .as_ref()
            .is_some_and(|known| known.is_same_file(stamp) && known.bytes() < stamp.bytes());
        is_same && stamp.bytes() <= TAIL_BYTES_MAX
    }

    fn remember(&mut self, stamp: Stamp, tail: &Tail) {
        let whole = tail.whole();
        let guard = &tail.bytes[whole.saturating_sub(GUARD_BYTES)..whole];
        *self = Self {
            stamp: Some(stamp),
            whole: tail.start + whole as u64,
            guard_bytes: guard.len(),
            guard: Some(Digest::of(guard)),
        };
    }
}
