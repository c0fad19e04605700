//! A model's tracks in memory: what a rollout asks for is carried out as the slots of a process do it, or as a cluster
//! does, where requests follow a write of the route only after a while.

use chrono::Duration;
use planner::Timestamp;
use planner::deployment::ResolvedPin;
use planner::names::{Revision, Track, Weight};
use planner::per_track::PerTrack;
use planner::rollout::{Capacity, TrackAction, TrackState, Tracks};

/// One model's tracks.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Slots {
    pub(crate) tracks: Tracks,
    /// The commits that the loads under way are to name.
    named: PerTrack<Option<Revision>>,
    /// Given for a cluster.
    cluster: Option<Cluster>,
}

/// What a cluster has and a process does not.
#[derive(Debug, Clone, PartialEq)]
struct Cluster {
    /// For how long requests may follow what the route said before.
    settle: Duration,
    /// What the route said before, and until when requests may follow that; no weight where it let any through at all.
    lagging: Vec<(Timestamp, Option<Weight>)>,
}

impl Slots {
    /// Returns a cluster's tracks: nothing is deployed.
    pub(crate) fn cluster(settle: Duration) -> Self {
        let mut slots = Self {
            cluster: Some(Cluster {
                settle,
                lagging: Vec::new(),
            }),
            ..Self::default()
        };
        slots.forget();
        slots
    }

    pub(crate) fn is_cluster(&self) -> bool {
        self.cluster.is_some()
    }

    pub(crate) fn track(&mut self, track: Track) -> &mut TrackState {
        self.tracks.track.get_mut(track)
    }

    /// Does what a step asks, in its order. Returns whether the record of an abort goes.
    pub(crate) fn carry_out(&mut self, actions: &[TrackAction], now: Timestamp) -> bool {
        let mut is_abort_done = false;
        for action in actions {
            match action {
                TrackAction::SetWeight(weight) => {
                    let is_served = self.tracks.track.canary.serving.is_some();
                    assert!(is_served || *weight == Weight::ZERO, "{weight} without a canary");
                    self.lag(Some(self.tracks.weight), now);
                    self.tracks.weight = *weight;
                }
                TrackAction::Load { track, pin, revision } => {
                    self.check_reach(*track, Some(pin), now);
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
                TrackAction::Scale { track, replicas } => self.scale(*track, *replicas, now),
                TrackAction::Unroute => {
                    assert!(self.is_cluster(), "slots have no route");
                    self.lag(None, now);
                    self.lag(Some(self.tracks.weight), now);
                    self.tracks.is_routed = false;
                    self.tracks.weight = Weight::ZERO;
                }
                TrackAction::Unload(track) => {
                    let is_canary = *track == Track::Canary;
                    assert!(
                        !is_canary || self.tracks.weight == Weight::ZERO,
                        "a canary with weight goes"
                    );
                    self.check_reach(*track, None, now);
                    let capacity = match self.cluster {
                        Some(_) => Capacity { wanted: 0, ready: 0 },
                        None => self.track(*track).capacity,
                    };
                    *self.track(*track) = TrackState {
                        capacity,
                        ..TrackState::default()
                    };
                }
                TrackAction::ClearAbort => is_abort_done = true,
                TrackAction::Forget => self.forget(),
            }
        }
        is_abort_done
    }

    fn scale(&mut self, track: Track, replicas: u32, now: Timestamp) {
        let stable = self.tracks.track.stable.capacity.wanted;
        let reach = self.reach(now);
        let capacity = &mut self.track(track).capacity;
        let needed = (u32::from(reach.percent()) * stable).div_ceil(100);
        assert!(
            track == Track::Stable || replicas >= capacity.ready.min(needed),
            "{replicas} canary replicas are left for {reach} beside {stable}"
        );
        capacity.wanted = replicas;
        capacity.ready = capacity.ready.min(replicas);
        if track == Track::Stable {
            capacity.ready = replicas;
        }
    }

    /// What the route says is said for a while yet.
    fn lag(&mut self, weight: Option<Weight>, now: Timestamp) {
        if let Some(cluster) = &mut self.cluster {
            cluster.lagging.retain(|(until, _)| now < *until);
            cluster.lagging.push((now + cluster.settle, weight));
        }
    }

    /// The greatest part of the requests that may come to the canary.
    fn reach(&self, now: Timestamp) -> Weight {
        let lagging = self.cluster.iter().flat_map(|cluster| &cluster.lagging);
        let lagging = lagging.filter(|(until, _)| now < *until);
        let before = lagging.filter_map(|(_, weight)| *weight).max();
        before.unwrap_or_default().max(self.tracks.weight)
    }

    /// No request goes where nothing answers, or something else than the route's writer meant.
    fn check_reach(&self, track: Track, goal: Option<&ResolvedPin>, now: Timestamp) {
        let Some(cluster) = &self.cluster else { return };
        let serving = self.tracks.get(track).serving.as_ref();
        if serving.is_none() || serving == goal {
            return;
        }
        match track {
            Track::Canary => assert_eq!(self.reach(now), Weight::ZERO, "the canary may still be asked"),
            Track::Stable if goal.is_some() => {}
            Track::Stable => {
                assert!(!self.tracks.is_routed, "stable is routed to and goes");
                let is_asked = cluster.lagging.iter().any(|(until, _)| now < *until);
                assert!(!is_asked, "stable may still be asked");
            }
        }
    }

    /// All requests follow the route.
    pub(crate) fn all_follow(&mut self) {
        if let Some(cluster) = &mut self.cluster {
            cluster.lagging.clear();
        }
    }

    /// What is being loaded on a track is there, or is not.
    pub(crate) fn finish(&mut self, track: Track, load: impl Fn(&ResolvedPin) -> Result<(), String>) {
        let revision = self.named.get(track).clone();
        let is_cluster = self.is_cluster();
        let state = self.track(track);
        let Some(pin) = state.loading.take() else { return };
        match load(&pin) {
            Ok(()) => {
                let ready = if is_cluster {
                    state.capacity.wanted
                } else {
                    state.capacity.ready
                };
                *state = TrackState {
                    serving: Some(pin),
                    revision,
                    capacity: Capacity {
                        ready,
                        ..state.capacity
                    },
                    ..TrackState::default()
                };
            }
            Err(message) => state.unloadable = Some((pin, message)),
        }
    }

    /// The canary stops answering.
    pub(crate) fn lose_canary(&mut self) {
        let is_cluster = self.is_cluster();
        let canary = &mut self.tracks.track.canary;
        let lost = canary.serving.take();
        // A cluster goes on to start what was deployed.
        if is_cluster {
            canary.capacity.ready = 0;
            canary.loading = canary.loading.take().or(lost);
        }
    }

    /// Stable wants so many replicas, and so many of the canary's are ready.
    pub(crate) fn replicas(&mut self, wanted: u32, canary_ready: u32) {
        let capacity = |ready| Capacity { wanted, ready };
        self.track(Track::Stable).capacity = capacity(wanted);
        self.track(Track::Canary).capacity = capacity(canary_ready);
    }

    /// So many of the canary's replicas are ready, of those that there should be.
    pub(crate) fn canary_ready(&mut self, ready: u32) {
        let canary = self.track(Track::Canary);
        if canary.serving.is_some() {
            canary.capacity.ready = ready.min(canary.capacity.wanted);
            if canary.capacity.ready == 0 {
                self.lose_canary();
            }
        }
    }

    /// The process starts anew: nothing is loaded. A cluster's tracks do not know of it.
    pub(crate) fn restart(&mut self) {
        if !self.is_cluster() {
            *self = Self::default();
        }
    }

    fn forget(&mut self) {
        let mut tracks = Tracks::default();
        if self.is_cluster() {
            for track in [Track::Stable, Track::Canary] {
                tracks.track.get_mut(track).capacity = Capacity { wanted: 0, ready: 0 };
            }
        }
        self.tracks = tracks;
        self.named = PerTrack::default();
    }

    pub(crate) fn weight(&self) -> Weight {
        self.tracks.weight
    }
}
