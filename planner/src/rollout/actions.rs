//! What the target does to reach a goal, in the order in which nobody is sent where nothing answers.

use super::{Model, TrackState};
use crate::deployment::ResolvedPin;
use crate::names::{Revision, Track, Weight};
use crate::observed::DeploymentObject;
use crate::per_track::PerTrack;

/// One thing that a target does to a model's tracks. None waits: a load goes on by itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TrackAction {
    /// Sets the live weight.
    SetWeight(Weight),
    /// Begins to load a pin beside what the track serves, and swaps when it is ready. A load of another pin that is
    /// under way is superseded: its result is dropped.
    Load {
        /// The track.
        track: Track,
        /// What to load.
        pin: ResolvedPin,
        /// The commit that the answers are to name.
        revision: Revision,
    },
    /// Lets the answers of a track name another commit.
    SetRevision {
        /// The track.
        track: Track,
        /// The commit.
        revision: Revision,
    },
    /// Lets a track have so many replicas.
    Scale {
        /// The track.
        track: Track,
        /// How many.
        replicas: u32,
    },
    /// Takes the route away: requests for the model are refused from now on, instead of sent where soon nothing answers.
    Unroute,
    /// Empties a track, and drops its load under way.
    Unload(Track),
    /// Takes the record of an abort away that is kept elsewhere by now, or whose canary is gone.
    ClearAbort,
    /// Drops everything about the model: its object is gone and its tracks are empty.
    Forget,
}

/// Weight down, loads and growth, weight up, shrinkage and unloads.
pub(super) fn actions(
    model: &Model<'_>,
    goal: &PerTrack<Option<ResolvedPin>>,
    replicas: &PerTrack<Option<u32>>,
    weight: Weight,
    is_abort_done: bool,
) -> Vec<TrackAction> {
    let live = model.tracks.weight;
    let mut actions = Vec::new();
    actions.extend(is_abort_done.then_some(TrackAction::ClearAbort));
    let is_closed = model.object.is_none() && model.tracks.is_routed;
    actions.extend(is_closed.then_some(TrackAction::Unroute));
    actions.extend((weight < live && !is_closed).then_some(TrackAction::SetWeight(weight)));
    if let Some(object) = model.object {
        for (track, goal) in goal.as_ref() {
            if let Some(goal) = goal {
                actions.extend(load(model, object, track, goal));
            }
        }
    }
    let scales = scales(model, replicas);
    let grows = |(track, replicas): &(Track, u32)| *replicas > model.tracks.get(*track).capacity.wanted;
    let (growth, shrinkage): (Vec<_>, Vec<_>) = scales.into_iter().partition(grows);
    let scale = |(track, replicas)| TrackAction::Scale { track, replicas };
    actions.extend(growth.into_iter().map(scale));
    actions.extend((weight > live).then_some(TrackAction::SetWeight(weight)));
    actions.extend(shrinkage.into_iter().map(scale));
    // A failure is remembered while there is an object: the time until the next attempt counts from it.
    let is_done = |state: &TrackState| {
        let is_empty = state.serving.is_none() && state.loading.is_none();
        is_empty && (model.object.is_some() || state.unloadable.is_none())
    };
    let tracks = model.tracks.track.as_ref();
    for (track, (goal, state)) in goal.as_ref().zip(tracks) {
        actions.extend((goal.is_none() && !is_done(state)).then_some(TrackAction::Unload(track)));
    }
    let is_forgotten =
        model.object.is_none() && !is_closed && is_done(tracks.stable) && is_done(tracks.canary);
    actions.extend((is_forgotten && live == Weight::ZERO).then_some(TrackAction::Forget));
    actions
}

/// The tracks that have other than the replicas that they are to have.
fn scales(model: &Model<'_>, replicas: &PerTrack<Option<u32>>) -> Vec<(Track, u32)> {
    let tracks = model.tracks.track.as_ref();
    let wanted = replicas.as_ref().zip(tracks).into_iter();
    wanted
        .filter_map(|(track, (replicas, state))| {
            let replicas = (*replicas)?;
            (replicas != state.capacity.wanted).then_some((track, replicas))
        })
        .collect()
}

fn load(
    model: &Model<'_>,
    object: &DeploymentObject,
    track: Track,
    goal: &ResolvedPin,
) -> Option<TrackAction> {
    let state = model.tracks.get(track);
    let revision = revision_of(object, track, goal)?;
    let load = || TrackAction::Load {
        track,
        pin: goal.clone(),
        revision: revision.clone(),
    };
    if state.serving.as_ref() == Some(goal) {
        // What is being loaded is not wanted any more: the one that serves is. Asked once, or it never ends.
        let is_other = state.loading.as_ref().is_some_and(|loading| loading != goal);
        let is_renamed =
            state.revision.as_ref() != Some(revision) && is_worth_naming(model, object, track, goal);
        return is_other.then(load).or_else(|| {
            is_renamed.then(|| TrackAction::SetRevision {
                track,
                revision: revision.clone(),
            })
        });
    }
    (state.loading.as_ref() != Some(goal)).then(load)
}

/// Says whether a track's answers are to name another commit, where that costs a restart: what goes on only until it may
/// go keeps the name that it has.
fn is_worth_naming(model: &Model<'_>, object: &DeploymentObject, track: Track, goal: &ResolvedPin) -> bool {
    let canary = object.spec.canary.as_ref();
    match track {
        Track::Canary if model.means.is_restarted_to_rename => {
            canary.is_some_and(|canary| canary.pin.digest == goal.digest)
        }
        Track::Canary | Track::Stable => true,
    }
}

/// Returns the commit that pinned what a track serves. A promotion keeps serving by the canary what stable gets.
fn revision_of<'a>(object: &'a DeploymentObject, track: Track, goal: &ResolvedPin) -> Option<&'a Revision> {
    let canary = object.spec.canary.as_ref();
    match track {
        Track::Canary if canary.is_some_and(|canary| canary.pin.digest == goal.digest) => {
            object.canary_revision.as_ref()
        }
        Track::Canary | Track::Stable => Some(&object.stable_revision),
    }
}
