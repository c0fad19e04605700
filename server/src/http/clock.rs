//! A clock that fits into one atomic.

use std::sync::OnceLock;
use std::time::{Duration, Instant};

use tokio::time::Instant as TimerInstant;

/// Later than all that is.
pub(super) const NEVER: u64 = u64::MAX;

/// Microseconds since the process began to count; never 0, so that 0 can mean *not*.
pub(crate) fn now() -> u64 {
    microseconds(began().elapsed()) + 1
}

#[expect(clippy::cast_possible_truncation, reason = "room for half a million years")]
pub(crate) const fn microseconds(duration: Duration) -> u64 {
    duration.as_micros() as u64
}

/// Returns the moment for a timer; far away for what never comes.
pub(super) fn instant(at: u64) -> TimerInstant {
    const FAR: Duration = Duration::from_hours(24 * 365);
    let after = Duration::from_micros(at.saturating_sub(1)).min(FAR);
    TimerInstant::from_std(began() + after)
}

fn began() -> Instant {
    static BEGAN: OnceLock<Instant> = OnceLock::new();
    *BEGAN.get_or_init(Instant::now)
}
