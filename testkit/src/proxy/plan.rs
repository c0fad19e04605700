//! Which request fares how: counted, not timed.

use std::collections::BTreeMap;

/// What becomes of a write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// It is answered with this code and does not reach the API server: 409, 429 or 500.
    Answer(u16),
    /// It is done, and the connection is closed instead of the answer.
    LoseAnswer,
}

/// What is done with a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    Pass,
    Answer(u16),
    /// Passed, without an answer.
    Lose,
    /// Not passed.
    Close,
}

/// What is to go wrong.
#[derive(Debug, Default)]
pub(super) struct Plan {
    /// Writes that came so far, but for those of Leases.
    pub(super) writes: u64,
    pub(super) faults: BTreeMap<u64, Fault>,
    pub(super) every: Option<(u64, Fault)>,
    /// After so many writes nothing passes.
    pub(super) cut_after: Option<u64>,
    pub(super) is_cut: bool,
}

impl Plan {
    /// Counts a request, and says what is done with it.
    pub(super) fn judge(&mut self, is_write: bool) -> Verdict {
        if self.is_cut {
            return Verdict::Close;
        }
        if self.cut_after == Some(self.writes) {
            // The one that it was to stop after was refused, or there was to be none.
            self.is_cut = true;
            return Verdict::Close;
        }
        if !is_write {
            return Verdict::Pass;
        }
        self.writes += 1;
        if self.cut_after == Some(self.writes) {
            self.is_cut = true;
            return Verdict::Lose;
        }
        let every = self
            .every
            .filter(|(n, _)| self.writes.is_multiple_of((*n).max(1)));
        let fault = self.faults.get(&self.writes).copied();
        match fault.or(every.map(|(_, fault)| fault)) {
            Some(Fault::Answer(code)) => Verdict::Answer(code),
            Some(Fault::LoseAnswer) => Verdict::Lose,
            None => Verdict::Pass,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `r` is a read, `w` a write; `.` passes, `!` is answered, `?` loses its answer, `x` is closed.
    fn check(mut plan: Plan, requests: &str, expected: &str) {
        let told: String = requests
            .chars()
            .map(|request| match plan.judge(request == 'w') {
                Verdict::Pass => '.',
                Verdict::Answer(_) => '!',
                Verdict::Lose => '?',
                Verdict::Close => 'x',
            })
            .collect();
        assert_eq!(told, expected, "{requests}");
    }

    #[test]
    fn writes_are_counted_and_reads_are_not() {
        let plan = Plan {
            faults: BTreeMap::from([(1, Fault::Answer(409)), (3, Fault::LoseAnswer)]),
            ..Plan::default()
        };
        check(plan, "rwrwrrwww", ".!....?..");
        let plan = Plan {
            every: Some((2, Fault::Answer(500))),
            ..Plan::default()
        };
        check(plan, "wwrwww", ".!..!.");
    }

    #[test]
    fn nothing_passes_after_the_cut() {
        let plan = |n| Plan {
            cut_after: Some(n),
            ..Plan::default()
        };
        check(plan(2), "rwrwrw", "...?xx");
        check(plan(0), "rw", "xx");
    }
}
