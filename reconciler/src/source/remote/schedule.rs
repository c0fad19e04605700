//! When a remote is fetched next. Time and chance are arguments.

use std::time::Duration;

/// For how long nobody may have asked before a fetch that was asked for begins.
pub(super) const SETTLE: Duration = Duration::from_millis(100);
/// After how long it begins whoever still asks.
pub(super) const SETTLE_MAX: Duration = Duration::from_secs(2);

/// The longest that faults in a row let an interval grow.
const WAIT_MAX: Duration = Duration::from_mins(5);
/// The part of a wait that chance decides about, so that a thousand installations do not ask at once.
const JITTER: f64 = 0.2;

/// Returns how long to wait after a fetch. `faults`: how many in a row failed; `chance`: from 0 to below 1.
pub(super) fn wait(interval: Duration, faults: u32, chance: f64) -> Duration {
    let doubled = interval.saturating_mul(1 << faults.saturating_sub(1).min(16));
    let wait = doubled.min(WAIT_MAX.max(interval));
    wait.mul_f64(1.0 - JITTER / 2.0 + JITTER * chance.clamp(0.0, 1.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn faults_let_it_grow_and_chance_moves_it_by_a_tenth() {
        let tenths = |interval, faults, chance| {
            let wait = wait(Duration::from_secs(interval), faults, chance).as_millis();
            (wait + 50) / 100
        };
        assert_eq!(
            [0.0, 0.5, 1.0].map(|chance| tenths(30, 0, chance)),
            [270, 300, 330]
        );
        assert_eq!(
            [0, 1, 2, 3, 4, 5, 99].map(|faults| tenths(30, faults, 0.5)),
            [300, 300, 600, 1200, 2400, 3000, 3000]
        );
        // Who asks seldom is not made to ask more often.
        assert_eq!([0, 1, 9].map(|faults| tenths(3600, faults, 0.5)), [36000; 3]);
    }
}
