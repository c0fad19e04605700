//! Who changed when: a change costs its own look, not one at all that there is. For stores that keep a cache.

use std::collections::BTreeMap;

use planner::object::ObjectId;

/// How many names that changed long ago are kept beside those that are asked for, before the oldest are forgotten.
const KEPT: usize = 100_000;

/// The order of changes. A name stands in it once, at its last change; one that is gone stays as such.
#[derive(Debug, Default)]
pub struct Log {
    now: u64,
    at: BTreeMap<u64, ObjectId>,
    of: BTreeMap<ObjectId, u64>,
    /// What was asked for before this moment may miss a name that was forgotten.
    forgotten: u64,
}

impl Log {
    /// Returns the moment of the last change.
    pub fn now(&self) -> u64 {
        self.now
    }

    /// Notes a change.
    pub fn touch(&mut self, id: &ObjectId) {
        self.now += 1;
        if let Some(before) = self.of.insert(id.clone(), self.now) {
            self.at.remove(&before);
        }
        self.at.insert(self.now, id.clone());
        while self.at.len() > KEPT
            && let Some((moment, id)) = self.at.pop_first()
        {
            self.of.remove(&id);
            self.forgotten = moment;
        }
    }

    /// Returns what changed after a moment, in order; `None` where that cannot be said any more.
    pub fn since(&self, moment: Option<u64>) -> Option<Vec<ObjectId>> {
        let moment = moment.filter(|moment| *moment >= self.forgotten)?;
        Some(self.at.range(moment + 1..).map(|(_, id)| id.clone()).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(n: usize) -> ObjectId {
        ObjectId::deployment(&format!("m{n}").parse().unwrap())
    }

    #[test]
    fn a_name_stands_at_its_last_change() {
        let mut log = Log::default();
        for n in [1, 2, 1, 3] {
            log.touch(&id(n));
        }
        assert_eq!(log.since(Some(0)), Some(vec![id(2), id(1), id(3)]));
        assert_eq!(log.since(Some(3)), Some(vec![id(3)]));
        assert_eq!(log.since(Some(log.now())), Some(vec![]));
        assert_eq!(log.since(None), None);
    }

    #[test]
    fn what_was_forgotten_cannot_be_told() {
        let mut log = Log::default();
        for n in 0..=KEPT {
            log.touch(&id(n));
        }
        assert_eq!(log.since(Some(0)), None);
        assert_eq!(log.since(Some(1)).map(|ids| ids.len()), Some(KEPT));
    }
}
