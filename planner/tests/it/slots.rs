//! The standalone target's slots in memory: what a rollout asks for is carried out as the real ones do it.

use planner::deployment::ResolvedPin;
use planner::names::{Revision, Track, Weight};
use planner::per_track::PerTrack;
use planner::rollout::{Capacity, TrackAction, TrackState, Tracks};

/// One model's slots.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Slots {
    pub(crate) tracks: Tracks,
    /// The commits that the loads under way are to name.
    named: PerTrack<Option<Revision>>,
}

impl Slots {
    pub(crate) fn track(&mut self, track: Track) -> &mut TrackState {
        self.tracks.track.get_mut(track)
    }

    /// Does what a step asks, in its order. Returns whether the record of an abort goes.
    pub(crate) fn carry_out(&mut self, actions: &[TrackAction]) -> bool {
        let mut is_abort_done = false;
        for action in actions {
            match action {
                TrackAction::SetWeight(weight) => {
                    let is_served = self.tracks.track.canary.serving.is_some();
                    assert!(is_served || *weight == Weight::ZERO, "{weight} without a canary");
                    self.tracks.weight = *weight;
                }
                TrackAction::Load { track, pin, revision } => {
                    let state = self.track(*track);
                    state.unloadable = None;
                    if state.serving.as_ref() == Some(pin) {
                        state.loading = None;
                        state.revision = Some(revision.clone());
                    } else {
                        state.loading = Some(pin.clone());
                        *self.named.get_mut(*track) = Some(revision.clone());
                    }
                }
                TrackAction::SetRevision { track, revision } => {
                    self.track(*track).revision = Some(revision.clone());
                }
                TrackAction::Unload(track) => {
                    let is_canary = *track == Track::Canary;
                    assert!(
                        !is_canary || self.tracks.weight == Weight::ZERO,
                        "a canary with weight goes"
                    );
                    let state = self.track(*track);
                    *state = TrackState {
                        capacity: state.capacity,
                        ..TrackState::default()
                    };
                }
                TrackAction::ClearAbort => is_abort_done = true,
                TrackAction::Forget => *self = Self::default(),
            }
        }
        is_abort_done
    }

    /// What is being loaded on a track is there, or is not.
    pub(crate) fn finish(&mut self, track: Track, load: impl Fn(&ResolvedPin) -> Result<(), String>) {
        let revision = self.named.get(track).clone();
        let state = self.track(track);
        let Some(pin) = state.loading.take() else { return };
        match load(&pin) {
            Ok(()) => {
                *state = TrackState {
                    serving: Some(pin),
                    revision,
                    capacity: state.capacity,
                    ..TrackState::default()
                }
            }
            Err(message) => state.unloadable = Some((pin, message)),
        }
    }

    /// The canary stops answering.
    pub(crate) fn lose_canary(&mut self) {
        self.tracks.track.canary.serving = None;
    }

    /// Stable wants so many replicas, and so many of the canary's are ready.
    pub(crate) fn replicas(&mut self, wanted: u32, canary_ready: u32) {
        let capacity = |ready| Capacity { wanted, ready };
        self.track(Track::Stable).capacity = capacity(wanted);
        self.track(Track::Canary).capacity = capacity(canary_ready);
    }

    /// All replicas that are wanted are ready.
    pub(crate) fn all_ready(&mut self) {
        self.replicas(
            self.tracks.track.stable.capacity.wanted,
            self.tracks.track.stable.capacity.wanted,
        );
    }

    /// The process starts anew: nothing is loaded.
    pub(crate) fn restart(&mut self) {
        *self = Self::default();
    }

    pub(crate) fn weight(&self) -> Weight {
        self.tracks.weight
    }
}
