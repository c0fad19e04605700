//! When the server as a whole is ready: a latch over what the first pass wants loaded.
//!
//! It closes once and for all when every awaited pin is loaded, has a finding (and is no longer awaited), or has
//! waited long enough for its training run. After that only a drain or an empty runtime makes the server not ready.

use std::time::{Duration, Instant};

use planner::names::{ModelName, Track, Version};

/// How long the server's readiness waits for a version that a training run is still making.
pub(super) const TRAINING_WAIT: Duration = Duration::from_mins(1);

/// One pin that is not served yet and has no finding.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Awaited {
    /// The registered model.
    pub model: ModelName,
    /// The slot that the pin is for.
    pub track: Track,
    /// The pinned version.
    pub version: Version,
    /// Whether it waits for a training run: then only for a minute from the first pass on.
    pub training: bool,
}

#[derive(Debug, Default)]
pub(super) struct Latch {
    awaited: Vec<Awaited>,
    first: Option<Instant>,
    latched: bool,
    draining: bool,
}

impl Latch {
    pub(super) fn expect(&mut self, awaited: Vec<Awaited>, now: Instant) {
        self.first.get_or_insert(now);
        self.awaited = awaited;
    }

    pub(super) fn drain(&mut self) {
        self.draining = true;
    }

    /// Returns whether the server is ready; `any` says that something is loaded, `loaded` that a pin is.
    pub(super) fn ready(&mut self, now: Instant, any: bool, loaded: impl Fn(&Awaited) -> bool) -> bool {
        if !self.latched
            && let Some(first) = self.first
        {
            let waited = now.saturating_duration_since(first) >= TRAINING_WAIT;
            let settled = |awaited: &Awaited| loaded(awaited) || (awaited.training && waited);
            self.latched = any && self.awaited.iter().all(settled);
        }
        self.latched && any && !self.draining
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn awaited(model: &str, training: bool) -> Awaited {
        Awaited {
            model: model.parse().expect("a name"),
            track: Track::Stable,
            version: "v20260101-000000".parse().expect("a version"),
            training,
        }
    }

    #[test]
    fn not_ready_before_the_first_pass_even_with_a_loaded_model() {
        assert!(!Latch::default().ready(Instant::now(), true, |_| true));
    }

    #[test]
    fn ready_when_every_awaited_pin_is_loaded_and_stays_so_while_anything_is() {
        let now = Instant::now();
        let mut latch = Latch::default();
        latch.expect(vec![awaited("a", false), awaited("b", false)], now);
        assert!(!latch.ready(now + TRAINING_WAIT * 2, true, |pin| pin.model.as_str() == "a"));
        assert!(latch.ready(now, true, |_| true));
        // A model that is added later has a readiness of its own.
        latch.expect(vec![awaited("c", false)], now);
        assert!(latch.ready(now, true, |_| false));
        assert!(!latch.ready(now, false, |_| false));
        assert!(latch.ready(now, true, |_| false));
        latch.drain();
        assert!(!latch.ready(now, true, |_| true));
    }

    #[test]
    fn a_pin_that_is_trained_holds_readiness_up_for_a_minute() {
        let now = Instant::now();
        let mut latch = Latch::default();
        latch.expect(vec![awaited("a", false), awaited("b", true)], now);
        let loaded = |pin: &Awaited| pin.model.as_str() == "a";
        let almost = now + TRAINING_WAIT.saturating_sub(Duration::from_millis(1));
        assert!(!latch.ready(almost, true, loaded));
        assert!(!latch.ready(now + TRAINING_WAIT, false, loaded));
        // A later pass does not start the minute anew.
        latch.expect(vec![awaited("b", true)], now + TRAINING_WAIT / 2);
        assert!(latch.ready(now + TRAINING_WAIT, true, loaded));
    }

    #[test]
    fn a_pin_with_a_finding_is_no_longer_awaited() {
        let now = Instant::now();
        let mut latch = Latch::default();
        latch.expect(vec![awaited("a", false)], now);
        assert!(!latch.ready(now, true, |_| false));
        latch.expect(Vec::new(), now);
        assert!(latch.ready(now, true, |_| false));
    }
}
