//! How fast a forge is asked, by its own limits.

use std::time::Duration;

use tokio::time::Instant;
use web::{Response, StatusCode};

/// How long a forge is left alone that says nothing but that it was too much.
const LIMITED: Duration = Duration::from_mins(1);
/// The longest that it is left alone.
const LIMITED_MAX: Duration = Duration::from_hours(1);

/// When something was last written.
#[derive(Debug, Default)]
pub(super) struct Pace {
    written: Option<Instant>,
}

impl Pace {
    /// Waits until the next call may be made.
    pub(super) async fn turn(&self, is_write: bool, between_writes: Duration) {
        if let (true, Some(written)) = (is_write, self.written) {
            tokio::time::sleep_until(written + between_writes).await;
        }
    }

    pub(super) fn asked(&mut self, is_write: bool) {
        if is_write {
            self.written = Some(Instant::now());
        }
    }
}

/// Returns how long a forge wants to be left alone, where it takes no more. `now` is in seconds since 1970.
pub(super) fn limited(answer: &Response, now: i64) -> Option<Duration> {
    let is_refused = answer.status == StatusCode::FORBIDDEN || answer.status == StatusCode::TOO_MANY_REQUESTS;
    if !is_refused {
        return None;
    }
    if let Some(wait) = answer.retry_after() {
        return Some(wait);
    }
    let number = |name: &str| answer.headers.get(name)?.to_str().ok()?.parse::<i64>().ok();
    if number("x-ratelimit-remaining") == Some(0) {
        let reset = number("x-ratelimit-reset").unwrap_or(now);
        let wait = Duration::from_secs(u64::try_from(reset - now).unwrap_or_default());
        return Some(wait.clamp(Duration::from_secs(1), LIMITED_MAX));
    }
    (answer.status == StatusCode::TOO_MANY_REQUESTS).then_some(LIMITED)
}
