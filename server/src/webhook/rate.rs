//! How many calls are taken: a burst, and so many a second.

use std::time::Instant;

/// How many calls may come at once: a monorepo's night build, many times over.
const BURST: f64 = 400.0;
/// How many a second may come for good.
const PER_SECOND: f64 = 50.0;

#[derive(Debug)]
pub(super) struct Rate {
    left: f64,
    at: Instant,
}

impl Rate {
    pub(super) fn new(now: Instant) -> Self {
        Self { left: BURST, at: now }
    }

    /// Takes one call, if it may come now.
    pub(super) fn admits(&mut self, now: Instant) -> bool {
        let since = now.saturating_duration_since(self.at).as_secs_f64();
        self.left = (self.left + since * PER_SECOND).min(BURST);
        self.at = now;
        let is_admitted = self.left >= 1.0;
        if is_admitted {
            self.left -= 1.0;
        }
        is_admitted
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_burst_is_taken_and_then_so_many_a_second() {
        let now = Instant::now();
        let mut rate = Rate::new(now);
        let mut taken = |at: u64| {
            let at = now + Duration::from_secs(at);
            (0..1_000).filter(|_| rate.admits(at)).count()
        };
        assert_eq!([taken(0), taken(1), taken(3), taken(1_000)], [400, 50, 100, 400]);
    }
}
