//! The standalone target's slots in memory: what a rollout asks for is carried out as the real ones do it.

use planner::deployment::ResolvedPin;
use planner::names::{Track, Weight};
use planner::rollout::{Rollout, TrackState, Tracks};

/// One model's slots.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Slots {
    pub(crate) tracks: Tracks,
}

impl Slots {
    pub(crate) fn track(&mut self, track: Track) -> &mut TrackState {
        match track {
            Track::Stable => &mut self.tracks.stable,
            Track::Canary => &mut self.tracks.canary,
        }
    }

    /// Weight down, loads, weight up, unloads.
    pub(crate) fn carry_out(&mut self, step: &Rollout) {
        self.tracks.weight = self.tracks.weight.min(step.weight);
        for (track, goal) in [(Track::Stable, &step.stable), (Track::Canary, &step.canary)] {
            let state = self.track(track);
            match goal {
                Some(goal) if state.serving.as_ref() == Some(goal) => state.loading = None,
                Some(goal) if state.loading.as_ref() != Some(goal) => {
                    state.loading = Some(goal.clone());
                    state.failed = None;
                }
                Some(_) | None => {}
            }
        }
        self.tracks.weight = step.weight;
        for (track, goal) in [(Track::Stable, &step.stable), (Track::Canary, &step.canary)] {
            let state = self.track(track);
            if goal.is_none() {
                state.serving = None;
                state.loading = None;
            }
        }
    }

    /// What is being loaded on a track is there, or is not.
    pub(crate) fn finish(&mut self, track: Track, load: impl Fn(&ResolvedPin) -> Result<(), String>) {
        let state = self.track(track);
        let Some(pin) = state.loading.take() else { return };
        match load(&pin) {
            Ok(()) => {
                *state = TrackState {
                    serving: Some(pin),
                    ..TrackState::default()
                }
            }
            Err(message) => state.failed = Some((pin, message)),
        }
    }

    /// The canary stops answering.
    pub(crate) fn lose_canary(&mut self) {
        self.tracks.canary.serving = None;
    }

    /// The process starts anew: nothing is loaded.
    pub(crate) fn restart(&mut self) {
        *self = Self::default();
    }

    pub(crate) fn weight(&self) -> Weight {
        self.tracks.weight
    }
}
