//! One track's way to its pin: attempts at loading it, and the back-off between them.

use chrono::Duration;

use crate::Timestamp;
use crate::deployment::ResolvedPin;
use crate::names::Track;
use crate::rollout::{HoldReason, Retry, State, TrackState};

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

/// Returns the longest wait that there is.
pub(super) fn longest_back_off() -> Duration {
    Duration::seconds(BACK_OFF_SECONDS_MAX.into())
}

/// Says whether the wait after `count` failures or losses is over. A wait that is longer than any means that the clock
/// was set back.
pub(super) fn is_over(until: Timestamp, count: u32, now: Timestamp) -> bool {
    until <= now || until - now > back_off(count)
}

/// What a track does about its pin now.
pub(super) struct Attempt {
    /// What the target makes the track serve.
    pub(super) goal: Option<ResolvedPin>,
    /// The failures so far, until the pin is served or changes.
    pub(super) retry: Option<Retry>,
}

impl Attempt {
    /// `is_sound` says whether the registry holds the pin as it should be, where that was looked at.
    pub(super) fn at(
        want: &ResolvedPin,
        track: &TrackState,
        memory: Option<&Retry>,
        is_sound: Option<bool>,
        now: Timestamp,
    ) -> Self {
        let goal = Some(want.clone());
        if track.serving.as_ref() == Some(want) {
            return Self { goal, retry: None };
        }
        let known = memory.filter(|retry| retry.pin == *want).cloned();
        let is_loading = track.loading.as_ref() == Some(want);
        let failure = track
            .unloadable
            .as_ref()
            .filter(|(pin, _)| pin == want && !is_loading);
        let Some((_, message)) = failure else {
            return Self { goal, retry: known };
        };
        let is_due = known.as_ref().is_some_and(|retry| {
            let is_mended = retry.sound == Some(false) && is_sound == Some(true);
            is_mended || is_over(retry.until, retry.count, now)
        });
        if let Some(known) = known.clone().filter(|_| !is_due) {
            return Self {
                goal: track.serving.clone(),
                retry: Some(Retry {
                    sound: is_sound.or(known.sound),
                    ..known
                }),
            };
        }
        // Also moved forward as an attempt begins: a target that is cut before it does so waits for the next one.
        let count = known.map_or(1, |retry| retry.count.saturating_add(1));
        let retry = Retry {
            pin: want.clone(),
            count,
            message: message.clone(),
            until: now + back_off(count),
            sound: is_sound,
        };
        Self {
            goal: if is_due { goal } else { track.serving.clone() },
            retry: Some(retry),
        }
    }

    /// Holding from the first failure on until the pin is served or changes, also while it is tried again.
    pub(super) fn state(&self, track: Track) -> Option<State> {
        self.retry.as_ref().map(|retry| State::Holding {
            reason: HoldReason::LoadFailed,
            message: retry.describe(track),
        })
    }
}
