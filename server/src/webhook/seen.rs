//! Which calls were accepted: of a day, and of so many.

use std::collections::{HashSet, VecDeque};
use std::time::Duration;

/// How long a call is remembered.
const KEPT: Duration = Duration::from_hours(24);
/// The most calls that are.
const CALLS_MAX: usize = 10_000;

/// What tells a call from others: the SHA-256 of its id, and of its body.
pub(super) type Mark = [u8; 32];

#[derive(Debug, Default)]
pub(super) struct Seen {
    marks: HashSet<Mark>,
    /// By when they were accepted, the oldest first.
    calls: VecDeque<(Duration, [Mark; 2])>,
}

impl Seen {
    /// Says whether a call with one of these was accepted.
    pub(super) fn has(&mut self, marks: &[Mark; 2], now: Duration) -> bool {
        while let Some((at, old)) = self.calls.front()
            && (self.calls.len() > CALLS_MAX || now.saturating_sub(*at) > KEPT)
        {
            for mark in old {
                self.marks.remove(mark);
            }
            self.calls.pop_front();
        }
        marks.iter().any(|mark| self.marks.contains(mark))
    }

    /// Remembers a call.
    pub(super) fn accept(&mut self, marks: [Mark; 2], now: Duration) {
        self.marks.extend(marks);
        self.calls.push_back((now, marks));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_is_remembered_for_a_day_and_among_so_many() {
        let marks = |number: u64| {
            let mut marks = [[0; 32], [1; 32]];
            for mark in &mut marks {
                mark[..8].copy_from_slice(&number.to_be_bytes());
            }
            marks
        };
        let mut seen = Seen::default();
        let day = Duration::from_hours(24);
        seen.accept(marks(0), Duration::ZERO);
        assert!(seen.has(&marks(0), day));
        assert!(seen.has(&[marks(1)[0], marks(0)[1]], day), "by its body too");
        assert!(!seen.has(&marks(0), day + Duration::from_secs(1)));
        for number in 0..20_000 {
            seen.accept(marks(number), day);
        }
        assert!(seen.has(&marks(19_999), day) && !seen.has(&marks(0), day));
        assert!(seen.calls.len() <= CALLS_MAX && seen.marks.len() <= 2 * CALLS_MAX);
    }
}
