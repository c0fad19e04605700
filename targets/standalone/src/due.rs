//! What is to be stepped although nothing touched it, and when.

use std::collections::{BTreeMap, BTreeSet};

use planner::Timestamp;

/// Times at which keys are due; a key has one.
#[derive(Debug, Clone)]
pub(crate) struct Due<K> {
    at: BTreeSet<(Timestamp, K)>,
    of: BTreeMap<K, Timestamp>,
}

impl<K> Default for Due<K> {
    fn default() -> Self {
        Self {
            at: BTreeSet::new(),
            of: BTreeMap::new(),
        }
    }
}

impl<K: Ord + Clone> Due<K> {
    /// Lets a key be due at a time, or not at all.
    pub(crate) fn set(&mut self, key: &K, at: Option<Timestamp>) {
        let before = match at {
            Some(at) => self.of.insert(key.clone(), at),
            None => self.of.remove(key),
        };
        if let Some(before) = before {
            self.at.remove(&(before, key.clone()));
        }
        if let Some(at) = at {
            self.at.insert((at, key.clone()));
        }
    }

    /// Takes the keys that are due.
    pub(crate) fn take(&mut self, now: Timestamp) -> Vec<K> {
        let mut due = Vec::new();
        while let Some((at, _)) = self.at.first()
            && *at <= now
            && let Some((_, key)) = self.at.pop_first()
        {
            self.of.remove(&key);
            due.push(key);
        }
        due
    }

    /// Returns when the next key is due.
    pub(crate) fn next(&self) -> Option<Timestamp> {
        self.at.first().map(|(at, _)| *at)
    }

    /// Lets every key be due now: the clock was set back.
    pub(crate) fn all(&mut self) -> Vec<K> {
        self.at.clear();
        std::mem::take(&mut self.of).into_keys().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_timestamp(seconds, 0).unwrap()
    }

    #[test]
    fn a_key_is_due_once_at_its_last_time() {
        let mut due = Due::default();
        due.set(&"a", Some(at(10)));
        due.set(&"b", Some(at(5)));
        due.set(&"a", Some(at(20)));
        assert_eq!(due.next(), Some(at(5)));
        assert_eq!(due.take(at(10)), ["b"]);
        due.set(&"a", None);
        assert_eq!((due.next(), due.take(at(30))), (None, vec![]));
        due.set(&"c", Some(at(99)));
        assert_eq!((due.all(), due.next()), (vec!["c"], None));
    }
}
