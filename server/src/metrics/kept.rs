//! What is counted per key while the key is in use, and for a while after: each scraper sees its last values.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Instant;

use super::RETIRED_SERIES_KEPT;

/// Meters by key. Adding, retiring and removing one costs nothing that grows with the others but the look-up.
#[derive(Debug)]
pub(super) struct Kept<K, V> {
    entries: BTreeMap<K, Entry<V>>,
    /// What was retired, oldest first. An entry that is in use again, or was retired again later, is passed over.
    retired: VecDeque<(Instant, K)>,
}

#[derive(Debug)]
struct Entry<V> {
    meters: Arc<V>,
    /// Since when it is out of use.
    retired: Option<Instant>,
}

impl<K, V> Default for Kept<K, V> {
    fn default() -> Self {
        Self {
            entries: BTreeMap::new(),
            retired: VecDeque::new(),
        }
    }
}

impl<K: Ord + Clone, V> Kept<K, V> {
    /// Returns a key's meters, in use from now on; what comes back in time goes on counting where it stopped.
    pub(super) fn enter(&mut self, key: &K, make: impl FnOnce() -> V) -> Arc<V> {
        let entry = self.entries.entry(key.clone()).or_insert_with(|| Entry {
            meters: Arc::new(make()),
            retired: None,
        });
        entry.retired = None;
        entry.meters.clone()
    }

    /// Marks a key as out of use: it goes [`RETIRED_SERIES_KEPT`] later.
    pub(super) fn retire(&mut self, key: &K, now: Instant) {
        if let Some(entry) = self.entries.get_mut(key) {
            entry.retired = Some(now);
            self.retired.push_back((now, key.clone()));
        }
    }

    /// Removes what was retired long enough ago, and returns when the next may go.
    pub(super) fn sweep(&mut self, now: Instant) -> Option<Instant> {
        while let Some((at, _)) = self.retired.front() {
            let due = *at + RETIRED_SERIES_KEPT;
            if due > now {
                return Some(due);
            }
            if let Some((at, key)) = self.retired.pop_front()
                && self
                    .entries
                    .get(&key)
                    .is_some_and(|entry| entry.retired == Some(at))
            {
                self.entries.remove(&key);
            }
        }
        None
    }

    /// Returns the meters of a key that is in use.
    pub(super) fn get(&self, key: &K) -> Option<Arc<V>> {
        let entry = self.entries.get(key).filter(|entry| entry.retired.is_none())?;
        Some(entry.meters.clone())
    }

    /// Returns all meters by key, and whether the key is in use.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&K, &Arc<V>, bool)> {
        self.entries
            .iter()
            .map(|(key, entry)| (key, &entry.meters, entry.retired.is_none()))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn keys(kept: &Kept<u8, ()>) -> Vec<u8> {
        kept.iter().map(|(key, _, _)| *key).collect()
    }

    #[test]
    fn what_is_retired_goes_when_its_time_is_over_unless_it_came_back() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut kept = Kept::default();
        for key in 0..4 {
            kept.enter(&key, || ());
        }
        assert_eq!(kept.sweep(at(0)), None);
        kept.retire(&1, at(0));
        kept.retire(&2, at(1));
        kept.retire(&3, at(2));
        kept.enter(&2, || ());
        // Retired twice: the later time counts.
        kept.enter(&3, || ());
        kept.retire(&3, at(3));
        let over = |seconds| at(seconds) + RETIRED_SERIES_KEPT;
        assert_eq!(kept.sweep(at(5)), Some(over(0)));
        assert_eq!(keys(&kept), [0, 1, 2, 3]);
        assert_eq!(kept.sweep(over(2)), Some(over(3)));
        assert_eq!(keys(&kept), [0, 2, 3]);
        assert_eq!(kept.sweep(over(3)), None);
        assert_eq!(keys(&kept), [0, 2]);
    }

    #[test]
    fn what_comes_back_in_time_is_the_same() {
        let mut kept = Kept::default();
        let first = kept.enter(&1, || 'a');
        kept.retire(&1, Instant::now());
        assert!(Arc::ptr_eq(&first, &kept.enter(&1, || 'b')));
    }
}
