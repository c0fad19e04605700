//! The one transition function of a rollout. What it must remember is in [`Status`], so the process may die anywhere.

mod attempt;
mod hold;

use super::{Commands, HISTORY_LENGTH_MAX, Lost, Rollout, State, Status, Tracks, Transition};
use crate::Timestamp;
use crate::deployment::{ResolvedDeployment, ResolvedPin};
use crate::names::{Digest, Track, Weight};
use attempt::{Attempt, is_over};

pub(super) fn step(
    spec: Option<&ResolvedDeployment>,
    commands: &Commands,
    tracks: &Tracks,
    before: Option<&Status>,
    now: Timestamp,
) -> Rollout {
    let Some(spec) = spec else {
        return finish(empty(tracks), commands, tracks, before, now);
    };
    let abort = abort(spec, commands, before);
    let frozen = hold::frozen(spec, tracks, before);
    let goal = Goal::of(spec, frozen.as_ref());
    let stable = Attempt::at(
        goal.stable,
        &tracks.stable,
        before.and_then(|b| b.stable_retry.as_ref()),
        now,
    );

    let mut next = Next {
        frozen: frozen.clone(),
        ..Next::default()
    };
    let promoting = frozen.is_none() && is_promotion(spec, tracks);
    let mut canary_state = None;
    if promoting {
        next.canary.clone_from(&tracks.canary.serving);
        next.weight = tracks.weight;
    } else if let Some((pin, declared)) = goal.canary {
        let is_ready = tracks.canary.serving.as_ref() == Some(pin);
        if abort.is_some() {
            // What is loaded may stay for explicit requests; what is not is never loaded again.
            next.canary = is_ready.then(|| pin.clone());
        } else {
            let attempt = Attempt::at(
                pin,
                &tracks.canary,
                before.and_then(|b| b.canary_retry.as_ref()),
                now,
            );
            next.lost = hold::lost(pin, tracks, before, now);
            next.ceiling = hold::ceiling(pin, declared, commands, tracks, before);
            let ceiling = next.ceiling.as_ref().map_or(declared, |ceiling| ceiling.weight);
            let is_held_back = next
                .lost
                .as_ref()
                .is_some_and(|lost| !is_over(lost.until, lost.count, now));
            if is_ready && !is_held_back && tracks.stable.serving.is_some() {
                let live = if goal.is_undeclared {
                    tracks.weight
                } else {
                    Weight::FULL
                };
                next.weight = ceiling.min(declared).min(live);
            }
            canary_state = attempt
                .state(Track::Canary)
                .or_else(|| is_held_back.then(|| hold::canary_lost(next.lost.as_ref())))
                .or_else(|| (!is_ready).then_some(State::Preparing))
                .or_else(|| (ceiling < declared).then(|| hold::paused(commands)));
            next.canary = attempt.goal;
            next.canary_retry = attempt.retry;
        }
    } else if tracks.canary.serving.is_some() {
        canary_state = Some(emptying(spec, tracks, before));
    }

    let is_stable_ready = tracks.stable.serving.as_ref() == Some(goal.stable);
    next.state = abort
        .map(|(digest, reason)| State::Aborted { digest, reason })
        .or_else(|| spec.suspend.as_ref().map(|reason| hold::suspended(reason)))
        .or_else(|| stable.state(Track::Stable))
        .or_else(|| promoting.then_some(State::Promoting))
        .or_else(|| canary_state.take_if(|state| matches!(state, State::Holding { .. })))
        .or_else(|| (!is_stable_ready).then_some(State::Preparing))
        .or(canary_state)
        .unwrap_or(State::Idle);
    next.stable = stable.goal;
    next.stable_retry = stable.retry;
    finish(next, commands, tracks, before, now)
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
    fn of(spec: &'a ResolvedDeployment, frozen: Option<&'a super::Frozen>) -> Self {
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
    stable: Option<ResolvedPin>,
    canary: Option<ResolvedPin>,
    weight: Weight,
    lost: Option<Lost>,
    ceiling: Option<super::Ceiling>,
    frozen: Option<super::Frozen>,
    stable_retry: Option<super::Retry>,
    canary_retry: Option<super::Retry>,
}

/// An abort lasts while its digest is the canary's: by a command, or remembered.
fn abort(
    spec: &ResolvedDeployment,
    commands: &Commands,
    before: Option<&Status>,
) -> Option<(Digest, String)> {
    let canary = spec.canary.as_ref()?.pin.digest;
    let remembered = before.and_then(|before| match &before.state {
        State::Aborted { digest, reason } => Some((*digest, reason.clone())),
        State::Idle | State::Preparing | State::Holding { .. } | State::Promoting => None,
    });
    remembered
        .filter(|(digest, _)| *digest == canary)
        .or_else(|| commands.abort.clone().filter(|(digest, _)| *digest == canary))
}

/// Stable is to become what the canary serves with a part of the traffic, and has not yet.
fn is_promotion(spec: &ResolvedDeployment, tracks: &Tracks) -> bool {
    tracks.weight > Weight::ZERO
        && tracks.stable.serving.as_ref() != Some(&spec.stable)
        && tracks
            .canary
            .serving
            .as_ref()
            .is_some_and(|pin| pin.digest == spec.stable.digest)
}

/// The canary has left the spec and still answers explicit requests: the end of a promotion, or a removal.
fn emptying(spec: &ResolvedDeployment, tracks: &Tracks, before: Option<&Status>) -> State {
    let is_promoted = tracks
        .canary
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
fn empty(tracks: &Tracks) -> Next {
    let is_empty = |track: &super::TrackState| track.serving.is_none() && track.loading.is_none();
    let state = if is_empty(&tracks.stable) && is_empty(&tracks.canary) {
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
    commands: &Commands,
    tracks: &Tracks,
    before: Option<&Status>,
    now: Timestamp,
) -> Rollout {
    let Next {
        state,
        stable,
        canary,
        weight,
        lost,
        ceiling,
        frozen,
        stable_retry,
        canary_retry,
    } = next;
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
        stable_retry.as_ref().map(|retry| retry.until),
        canary_retry.as_ref().map(|retry| retry.until),
        lost.as_ref().map(|lost| lost.until),
    ];
    Rollout {
        stable,
        canary,
        weight,
        wake: wake.into_iter().flatten().filter(|until| now < *until).min(),
        status: Status {
            state,
            since,
            stable: tracks.stable.serving.clone(),
            canary: tracks.canary.serving.clone(),
            weight,
            lost,
            paused: commands.paused.clone(),
            ceiling,
            frozen,
            stable_retry,
            canary_retry,
            history,
        },
    }
}
