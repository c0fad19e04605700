//! What is to be stepped, and when: pure, time is an argument.
//!
//! A name is stepped once at a time. What happens while it is stepped lets it be stepped once more. Several things that
//! happen shortly after each other are one step. One that fails waits for a back-off of its own. Asking costs what is asked
//! for, not what is known.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::leadership::Moment;

/// How long is waited for more that happens.
const DEBOUNCE: Duration = Duration::from_millis(100);
/// The wait after the first failure; it doubles each time.
const BACK_OFF_MIN: Duration = Duration::from_millis(500);
const BACK_OFF_MAX: Duration = Duration::from_mins(1);

#[derive(Debug)]
pub(super) struct Queue<K> {
    entries: BTreeMap<K, Entry>,
    /// The names that are due and not being stepped, by when.
    due: BTreeSet<(Moment, K)>,
}

#[derive(Debug, Default)]
struct Entry {
    due: Option<Moment>,
    is_running: bool,
    failures: u32,
}

/// What a step of a name came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Outcome {
    /// It rests, or is to be stepped again at a moment.
    Done(Option<Moment>),
    /// It is tried again after a back-off.
    Failed,
}

impl<K: Ord + Clone> Queue<K> {
    pub(super) const fn new() -> Self {
        Self {
            entries: BTreeMap::new(),
            due: BTreeSet::new(),
        }
    }

    /// Something happened to a name.
    pub(super) fn touch(&mut self, name: &K, now: Moment) {
        self.change(name, |entry| {
            // What fails is not tried sooner because of what others write.
            if entry.failures == 0 || entry.due.is_none() {
                entry.is_due_at(now + DEBOUNCE);
            }
        });
    }

    /// Takes the names that are due, at most so many, the longest due first.
    pub(super) fn take(&mut self, most: usize, now: Moment) -> Vec<K> {
        let due = self.due.iter().take_while(|(due, _)| *due <= now).take(most);
        let taken: Vec<K> = due.map(|(_, name)| name.clone()).collect();
        for name in &taken {
            self.change(name, |entry| {
                entry.due = None;
                entry.is_running = true;
            });
        }
        taken
    }

    /// A step of a name is over.
    pub(super) fn ended(&mut self, name: &K, outcome: Outcome, now: Moment) {
        self.change(name, |entry| {
            entry.is_running = false;
            match outcome {
                Outcome::Done(again) => {
                    entry.failures = 0;
                    if let Some(again) = again {
                        entry.is_due_at(again);
                    }
                }
                Outcome::Failed => {
                    let wait = BACK_OFF_MIN * (1 << entry.failures.min(8));
                    entry.failures = entry.failures.saturating_add(1);
                    entry.due = Some(now + wait.min(BACK_OFF_MAX));
                }
            }
        });
    }

    /// Returns when the next name is due that is not being stepped.
    pub(super) fn next(&self) -> Option<Moment> {
        self.due.first().map(|(due, _)| *due)
    }

    /// Changes what is known of a name. One of which nothing is to be known is forgotten.
    fn change(&mut self, name: &K, change: impl FnOnce(&mut Entry)) {
        let mut entry = self.entries.remove(name).unwrap_or_default();
        if let Some(before) = entry.waits_for() {
            self.due.remove(&(before, name.clone()));
        }
        change(&mut entry);
        if let Some(after) = entry.waits_for() {
            self.due.insert((after, name.clone()));
        }
        if entry.due.is_some() || entry.is_running {
            self.entries.insert(name.clone(), entry);
        }
    }
}

impl Entry {
    fn is_due_at(&mut self, at: Moment) {
        self.due = Some(self.due.map_or(at, |due| due.min(at)));
    }

    fn waits_for(&self) -> Option<Moment> {
        self.due.filter(|_| !self.is_running)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: u64) -> Moment {
        Duration::from_millis(millis)
    }

    #[test]
    fn what_happens_together_is_one_step_and_none_runs_twice_at_once() {
        let mut queue = Queue::new();
        queue.touch(&"a", at(0));
        queue.touch(&"a", at(50));
        queue.touch(&"b", at(20));
        assert_eq!(queue.next(), Some(at(100)));
        assert_eq!(queue.take(9, at(99)), [""; 0]);
        assert_eq!(queue.take(1, at(150)), ["a"], "the longest due first");
        assert_eq!(queue.take(9, at(150)), ["b"]);
        queue.touch(&"a", at(160));
        assert_eq!((queue.take(9, at(900)), queue.next()), (vec![], None));
        queue.ended(&"a", Outcome::Done(None), at(900));
        assert_eq!(queue.take(9, at(900)), ["a"], "what happened meanwhile");
        queue.ended(&"a", Outcome::Done(Some(at(5_000))), at(1_000));
        queue.ended(&"b", Outcome::Done(None), at(1_000));
        assert_eq!(queue.next(), Some(at(5_000)));
        queue.touch(&"a", at(2_000));
        assert_eq!(queue.next(), Some(at(2_100)), "whatever comes first");
    }

    #[test]
    fn a_failure_waits_longer_each_time_and_what_others_write_does_not_hurry_it() {
        let mut queue = Queue::new();
        let mut now = at(0);
        let mut waits = Vec::new();
        queue.touch(&"a", now);
        now += DEBOUNCE;
        for _ in 0..9 {
            assert_eq!(queue.take(9, now), ["a"]);
            queue.ended(&"a", Outcome::Failed, now);
            queue.touch(&"a", now);
            let next = queue.next().unwrap();
            waits.push(next.saturating_sub(now).as_millis());
            now = next;
        }
        assert_eq!(
            waits,
            [500, 1_000, 2_000, 4_000, 8_000, 16_000, 32_000, 60_000, 60_000]
        );
        queue.take(9, now);
        queue.ended(&"a", Outcome::Done(None), now);
        assert_eq!(queue.next(), None);
    }
}
