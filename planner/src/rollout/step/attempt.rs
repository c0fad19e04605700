//! One track's way to its pin: attempts at loading it, and the back-off between them.

use chrono::Duration;

use crate::Timestamp;
use crate::deployment::ResolvedPin;
use crate::rollout::{Retry, State, Status, TrackState};

/// The wait after the first failure or loss, in seconds; it doubles each time.
const BACK_OFF_SECONDS_MIN: u32 = 10;
/// The longest wait, in seconds.
const BACK_OFF_SECONDS_MAX: u32 = 600;

/// Returns how long to wait after `count` failures or losses.
pub(super) fn back_off(count: u32) -> Duration {
    let doublings = count.saturating_sub(1).min(16);
    let seconds = (BACK_OFF_SECONDS_MIN << doublings).min(BACK_OFF_SECONDS_MAX);
    Duration::seconds(seconds.into())
}

/// What a track does about its pin now.
pub(super) struct Attempt {
    /// What the target makes the track serve.
    pub(super) goal: Option<ResolvedPin>,
    /// The failures so far, until the pin is served or changes.
    pub(super) retry: Option<Retry>,
    version: String,
    failure: Option<String>,
}

impl Attempt {
    pub(super) fn at(want: &ResolvedPin, track: &TrackState, memory: Option<&Retry>, now: Timestamp) -> Self {
        let mut attempt = Self {
            goal: Some(want.clone()),
            retry: None,
            version: want.version.to_string(),
            failure: None,
        };
        if track.serving.as_ref() == Some(want) {
            return attempt;
        }
        attempt.retry = memory.filter(|retry| retry.pin == *want).cloned();
        let failure = track
            .failed
            .as_ref()
            .filter(|(pin, _)| pin == want && track.loading.as_ref() != Some(want));
        let Some((_, message)) = failure else {
            return attempt;
        };
        attempt.failure = Some(message.clone());
        let is_due = attempt.retry.as_ref().is_some_and(|retry| retry.until <= now);
        if !is_due {
            attempt.goal.clone_from(&track.serving);
        }
        if is_due || attempt.retry.is_none() {
            // Also moved forward as an attempt begins: a target that is cut before it does so waits for the next one.
            let count = attempt.retry.map_or(1, |retry| retry.count.saturating_add(1));
            attempt.retry = Some(Retry {
                pin: want.clone(),
                count,
                until: now + back_off(count),
            });
        }
        attempt
    }

    /// Holding from the first failure on until the pin is served or changes, also while it is tried again.
    pub(super) fn state(&self, track: &str, before: Option<&Status>) -> Option<State> {
        if let Some(failure) = &self.failure {
            return Some(State::Holding {
                reason: "LoadFailed".to_owned(),
                message: format!("{track} cannot load {}: {failure}", self.version),
            });
        }
        self.retry.as_ref()?;
        let held = before.map(|before| &before.state)?;
        matches!(held, State::Holding { reason, .. } if reason == "LoadFailed").then(|| held.clone())
    }
}
