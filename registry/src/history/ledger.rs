//! What of a history still counts.

use std::collections::BTreeMap;
use std::rc::Rc;

use planner::names::{Digest, Track, Version};

use super::HistoryEntry;

/// What a history says so far, as the entries that say it.
///
/// These entries alone, in their order, say the same as the whole history: each keeps its place behind those that it
/// outdates.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    /// How many entries were counted.
    counted: u64,
    /// The newest entry that names a version with a digest.
    named: BTreeMap<Version, Rc<Placed>>,
    /// The newest entry that moved or removed an alias.
    changed: BTreeMap<Track, Rc<Placed>>,
    /// The newest entry of each abort that stands.
    aborted: BTreeMap<Digest, Rc<Placed>>,
}

/// An entry and its place in the history.
#[derive(Debug)]
struct Placed {
    place: u64,
    entry: HistoryEntry,
}

impl Ledger {
    /// Counts the next entry.
    pub(super) fn count(&mut self, entry: HistoryEntry) {
        self.counted += 1;
        let place = self.counted;
        let placed = Rc::new(Placed { place, entry });
        let entry = &placed.entry;
        if let Some((version, _digest)) = entry.named() {
            self.named.insert(version.clone(), Rc::clone(&placed));
        }
        match (entry.change(), entry.digest) {
            (Some(track), _) => {
                if track == Track::Canary {
                    self.aborted.clear();
                }
                self.changed.insert(track, placed);
            }
            (None, Some(digest)) => drop(self.aborted.insert(digest, placed)),
            (None, None) => {}
        }
    }

    /// Returns the entries that count, oldest first.
    pub(super) fn entries(&self) -> impl Iterator<Item = &HistoryEntry> {
        let named = self.named.values();
        let all = named.chain(self.changed.values()).chain(self.aborted.values());
        let by_place: BTreeMap<u64, &HistoryEntry> =
            all.map(|placed| (placed.place, &placed.entry)).collect();
        by_place.into_values()
    }

    /// Returns the newest entry that moved or removed an alias.
    pub(crate) fn last_change(&self, track: Track) -> Option<&HistoryEntry> {
        self.changed.get(&track).map(|placed| &placed.entry)
    }

    /// Returns a version's newest digest.
    pub(crate) fn digest(&self, version: &Version) -> Option<Digest> {
        self.named.get(version)?.entry.digest
    }

    /// Says whether an abort stands.
    pub(crate) fn is_aborted(&self, digest: &Digest) -> bool {
        self.aborted.contains_key(digest)
    }
}
