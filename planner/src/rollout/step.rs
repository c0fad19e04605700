//! The one transition function of a rollout. What it must remember is in [`Status`], so the process may die anywhere.

mod attempt;
mod capacity;
mod hold;
mod route;

use super::actions::actions;
use super::commands::{InForce, in_force};
use super::{
    Ceiling, Frozen, HISTORY_LENGTH_MAX, Lost, Model, Retry, Rollout, State, Status, Thinned, TrackState,
    Transition,
};
use crate::Timestamp;
use crate::deployment::{ResolvedDeployment, ResolvedPin};
use crate::names::{Track, Weight};
use crate::observed::ObservedVersion;
use crate::per_track::PerTrack;
use attempt::{Attempt, is_over};

pub(super) fn step(model: &Model<'_>, now: Timestamp) -> Rollout {
    let Some(object) = model.object else {
        let paused = model.commands.paused.clone();
        return finish(empty(model), model, paused, false, now);
    };
    let InForce {
        abort,
        paused,
        is_abort_done,
    } = in_force(model, object);
    let spec = &object.spec;
    let before = model.status;
    let frozen = hold::frozen(spec, model.tracks, before);
    let goal = Goal::of(spec, frozen.as_ref());
    let stable = attempt(model, Track::Stable, goal.stable, now);

    let mut next = Next {
        frozen: frozen.clone(),
        ..Next::default()
    };
    let promoting = frozen.is_none() && is_promotion(spec, model);
    let canary = &model.tracks.track.canary;
    let mut canary_state = None;
    if promoting {
        next.goal.canary.clone_from(&canary.serving);
        next.weight = model.tracks.weight;
        next.keeps_replicas = true;
    } else if let Some((pin, declared)) = goal.canary {
        if abort.is_some() {
            // What is loaded may stay for explicit requests; what is not is never loaded again.
            next.goal.canary = (canary.serving.as_ref() == Some(pin)).then(|| pin.clone());
        } else {
            canary_state = canary_step(model, &goal, pin, declared, paused.as_deref(), &mut next, now);
        }
    } else if canary.serving.is_some() {
        canary_state = Some(emptying(spec, canary, before));
    }

    let is_stable_ready = model.tracks.track.stable.serving.as_ref() == Some(goal.stable);
    next.state = abort
        .map(|(digest, reason)| State::Aborted { digest, reason })
        .or_else(|| spec.suspend.as_ref().map(|reason| hold::suspended(reason)))
        .or_else(|| stable.state(Track::Stable))
        .or_else(|| promoting.then_some(State::Promoting))
        .or_else(|| canary_state.take_if(|state| matches!(state, State::Holding { .. })))
        .or_else(|| (!is_stable_ready).then_some(State::Preparing))
        .or(canary_state)
        .unwrap_or(State::Idle);
    next.goal.stable = stable.goal;
    next.retry.stable = stable.retry;
    finish(next, model, paused, is_abort_done, now)
}

/// Decides about a canary that is declared and not aborted: what it loads, and how much it carries.
fn canary_step(
    model: &Model<'_>,
    goal: &Goal<'_>,
    pin: &ResolvedPin,
    declared: Weight,
    paused: Option<&str>,
    next: &mut Next,
    now: Timestamp,
) -> Option<State> {
    let tracks = model.tracks;
    let is_ready = tracks.track.canary.serving.as_ref() == Some(pin);
    let attempt = attempt(model, Track::Canary, pin, now);
    next.lost = hold::lost(pin, tracks, model.status, now);
    next.ceiling = hold::ceiling(pin, declared, paused, tracks, model.status);
    let ceiling = next.ceiling.as_ref().map_or(declared, |ceiling| ceiling.weight);
    let most = ceiling.min(declared);
    next.thinned = capacity::thinned(pin, most, tracks, model.status, now);
    next.share = most;
    let carried = capacity::carried(tracks).min(capacity::limit(next.thinned.as_ref(), now));
    let is_held_back = next
        .lost
        .as_ref()
        .is_some_and(|lost| !is_over(lost.until, lost.count, now));
    if is_ready && !is_held_back && tracks.track.stable.serving.is_some() {
        let live = if goal.is_undeclared {
            tracks.weight
        } else {
            Weight::FULL
        };
        next.weight = most.min(live).min(carried);
    }
    let state = attempt
        .state(Track::Canary)
        .or_else(|| is_held_back.then(|| hold::canary_lost(next.lost.as_ref())))
        .or_else(|| (!is_ready).then_some(State::Preparing))
        .or_else(|| (carried < most).then(|| capacity::state(tracks, most, next.thinned.as_ref())))
        .or_else(|| (ceiling < declared).then(|| hold::paused(paused)));
    next.goal.canary = attempt.goal;
    next.retry.canary = attempt.retry;
    state
}

/// One track's attempt at its pin.
fn attempt(model: &Model<'_>, track: Track, pin: &ResolvedPin, now: Timestamp) -> Attempt {
    let memory = model.status.and_then(|before| before.retry.get(track).as_ref());
    let is_sound = model.registered.map(|registered| {
        matches!(
            registered.versions.get(&pin.version),
            Some(ObservedVersion::Sound { digest, .. }) if *digest == pin.digest
        )
    });
    Attempt::at(pin, model.tracks.get(track), memory, is_sound, now)
}

/// What the pins, or a suspension in their place, ask for.
struct Goal<'a> {
    stable: &'a ResolvedPin,
    /// The pin and the most that it may carry.
    canary: Option<(&'a ResolvedPin, Weight)>,
    /// Git no longer declares the canary: a suspension keeps it, and nothing raises it once it is lower.
    is_undeclared: bool,
}

impl<'a> Goal<'a> {
    fn of(spec: &'a ResolvedDeployment, frozen: Option<&'a Frozen>) -> Self {
        let declared = spec.canary.as_ref().map(|canary| (&canary.pin, canary.weight));
        let Some(frozen) = frozen else {
            return Self {
                stable: &spec.stable,
                canary: declared,
                is_undeclared: false,
            };
        };
        let declared = declared.filter(|(pin, _)| frozen.canary.as_ref() == Some(*pin));
        let weight = declared.map_or(frozen.weight, |(_, declared)| declared.min(frozen.weight));
        Self {
            stable: &frozen.stable,
            canary: frozen.canary.as_ref().map(|pin| (pin, weight)),
            is_undeclared: declared.is_none(),
        }
    }
}

/// What [`Rollout`] and its status are made of.
#[derive(Default)]
struct Next {
    state: State,
    goal: PerTrack<Option<ResolvedPin>>,
    weight: Weight,
    /// What the canary is meant to carry once it can.
    share: Weight,
    /// Whether the canary has no fewer replicas than now.
    keeps_replicas: bool,
    lost: Option<Lost>,
    thinned: Option<Thinned>,
    ceiling: Option<Ceiling>,
    frozen: Option<Frozen>,
    retry: PerTrack<Option<Retry>>,
}

/// Stable is to become what the canary serves with a part of the traffic, and has not yet.
fn is_promotion(spec: &ResolvedDeployment, model: &Model<'_>) -> bool {
    let PerTrack { stable, canary } = model.tracks.track.as_ref();
    model.tracks.weight > Weight::ZERO
        && stable.serving.as_ref() != Some(&spec.stable)
        && canary
            .serving
            .as_ref()
            .is_some_and(|pin| pin.digest == spec.stable.digest)
}

/// The canary has left the spec and still answers explicit requests: the end of a promotion, or a removal.
fn emptying(spec: &ResolvedDeployment, canary: &TrackState, before: Option<&Status>) -> State {
    let is_promoted = canary
        .serving
        .as_ref()
        .is_some_and(|pin| pin.digest == spec.stable.digest);
    if is_promoted && before.is_some_and(|before| before.state == State::Promoting) {
        State::Promoting
    } else {
        State::Preparing
    }
}

/// The object is being removed: weight 0, then both tracks.
fn empty(model: &Model<'_>) -> Next {
    let is_empty = |track: &TrackState| track.serving.is_none() && track.loading.is_none();
    let PerTrack { stable, canary } = &model.tracks.track;
    let state = if is_empty(stable) && is_empty(canary) {
        State::Idle
    } else {
        State::Preparing
    };
    Next {
        state,
        ..Next::default()
    }
}

fn finish(
    next: Next,
    model: &Model<'_>,
    paused: Option<String>,
    is_abort_done: bool,
    now: Timestamp,
) -> Rollout {
    let Next {
        state,
        mut goal,
        weight,
        share,
        keeps_replicas,
        lost,
        thinned,
        ceiling,
        frozen,
        retry,
    } = next;
    let routed_at = route::written_at(model, weight, now);
    let settles_at = route::settles_at(model, routed_at, now);
    let is_kept = settles_at.is_some() && route::keep(model, &mut goal);
    let replicas = capacity::replicas(model, &goal, share, keeps_replicas || settles_at.is_some());
    let is_to_shrink = settles_at.is_some() && {
        let settled = capacity::replicas(model, &goal, share, keeps_replicas);
        settled.canary < replicas.canary
    };
    let before = model.status;
    let mut history = before.map(|before| before.history.clone()).unwrap_or_default();
    let mut since = now;
    if let Some(before) = before {
        if before.state == state {
            since = before.since;
        }
        if before.state != state || before.weight != weight {
            history.push(Transition {
                at: now,
                from: before.state.clone(),
                to: state.clone(),
                weight,
            });
            let surplus = history.len().saturating_sub(HISTORY_LENGTH_MAX);
            history.drain(..surplus);
        }
    }
    let wake = [
        retry.stable.as_ref().map(|retry| retry.until),
        retry.canary.as_ref().map(|retry| retry.until),
        lost.as_ref().map(|lost| lost.until),
        thinned.as_ref().map(|thinned| thinned.until),
        settles_at.filter(|_| is_kept || is_to_shrink),
    ];
    let is_settled = !is_kept && !is_to_shrink && is_settled(model, &state, &goal, weight);
    Rollout {
        actions: actions(model, &goal, &replicas, weight, is_abort_done),
        goal,
        replicas,
        weight,
        wake: wake.into_iter().flatten().filter(|until| now < *until).min(),
        is_settled,
        status: Status {
            state,
            since,
            serving: model.tracks.track.as_ref().map(|_, track| track.serving.clone()),
            weight,
            routed_at,
            lost,
            thinned,
            paused,
            ceiling,
            frozen,
            retry,
            history,
        },
    }
}

fn is_settled(
    model: &Model<'_>,
    state: &State,
    goal: &PerTrack<Option<ResolvedPin>>,
    weight: Weight,
) -> bool {
    let tracks = model.tracks;
    let loads = tracks
        .track
        .as_ref()
        .zip(goal.as_ref())
        .into_iter()
        .any(|(_, (track, goal))| track.loading.is_some() || track.serving != *goal);
    let moves = match state {
        State::Promoting | State::Preparing => true,
        State::Idle | State::Holding { .. } | State::Aborted { .. } => false,
    };
    let is_gone = model.object.is_none();
    !is_gone && !loads && !moves && weight == tracks.weight
}
