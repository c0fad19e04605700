//! One step of each model's rollout: what the planner decides, done to the slots.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crds::status::{Condition, ConditionStatus};
use planner::Timestamp;
use planner::deployment::ResolvedPin;
use planner::names::{ModelName, ObjectName, Revision, Track};
use planner::observed::{DeploymentObject, ObservedModel, ObservedVersion};
use planner::rollout::{self, Commands, Rollout, State, TrackState, Tracks, rollout};

use super::events::{Event, Events};
use super::objects::Objects;
use super::{LoadRequest, Slots, commands};
use crate::report::Facts;

/// Makes the slots follow the MLDeployment objects.
pub(super) struct Deployments {
    objects: Arc<Objects>,
    slots: Arc<dyn Slots>,
    events: Events,
    /// The commit that each track's answers were last told to name.
    revisions: BTreeMap<(ModelName, Track), Revision>,
    /// What the registry held of the versions that do not load, when they were last looked at.
    unloadable: BTreeMap<(ModelName, Track), Option<ObservedVersion>>,
}

/// What a step did.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Stepped {
    /// Whether a status changed, so that aliases may follow.
    pub(super) has_news: bool,
    /// Whether each rollout rests: nothing loads, nothing is due.
    pub(super) is_settled: bool,
    /// When to step again although nothing happens.
    pub(super) wake: Option<Timestamp>,
}

impl Deployments {
    pub(super) fn new(objects: Arc<Objects>, slots: Arc<dyn Slots>, events: Events) -> Self {
        Self {
            objects,
            slots,
            events,
            revisions: BTreeMap::new(),
            unloadable: BTreeMap::new(),
        }
    }

    /// Steps each model's rollout once. Touches only memory, the slots and small command files.
    pub(super) fn step(&mut self, now: Timestamp) -> Stepped {
        let mut stepped = Stepped {
            is_settled: true,
            ..Stepped::default()
        };
        let (deployments, draining, models) = {
            let state = self.objects.state();
            (
                state.deployments.clone(),
                state.draining.clone(),
                state.models.clone(),
            )
        };
        let commanded = commands::commanded(self.objects.data_dir.path());
        for (name, entry) in &deployments {
            let model = &entry.object.spec.model;
            let commands = if commanded.contains(model) {
                self.commands(
                    model,
                    &entry.object,
                    models.get(model).is_some_and(|observed| {
                        let canary = entry.object.spec.canary.as_ref();
                        canary.is_some_and(|canary| observed.aborted.contains(&canary.pin.digest))
                    }),
                )
            } else {
                kept_abort(&entry.object, Commands::default())
            };
            self.load_mended(&entry.object, models.get(model));
            let tracks = self.slots.tracks(model);
            let step = rollout(
                Some(&entry.object.spec),
                &commands,
                &tracks,
                entry.status.as_ref(),
                now,
            );
            self.carry_out(model, Some(&entry.object), &tracks, &step);
            stepped.wake = earliest(stepped.wake, step.wake);
            stepped.is_settled &= is_settled(&step, &tracks);
            if entry.status.as_ref() != Some(&step.status) {
                stepped.has_news = true;
                self.remember(name, model, &entry.conditions, step.status, now);
            }
        }
        let claimed: BTreeSet<&ModelName> = deployments
            .values()
            .map(|entry| &entry.object.spec.model)
            .collect();
        for (model, drained) in &draining {
            if claimed.contains(model) {
                self.finish_draining(model);
                continue;
            }
            let tracks = self.slots.tracks(model);
            if tracks == Tracks::default() {
                self.slots.forget(model);
                self.revisions.retain(|(known, _), _| known != model);
                self.finish_draining(model);
                self.events.send(Event::Removed { model: model.clone() });
                stepped.has_news = true;
                continue;
            }
            let step = rollout(None, &Commands::default(), &tracks, drained.status.as_ref(), now);
            self.carry_out(model, None, &tracks, &step);
            stepped.wake = earliest(stepped.wake, step.wake);
            stepped.is_settled = false;
            if let Some(drained) = self.objects.state().draining.get_mut(model) {
                drained.status = Some(step.status);
            }
        }
        stepped
    }

    /// Reads a model's commands; an abort that the registry's history holds, or of a canary that is gone, is taken away.
    fn commands(&self, model: &ModelName, object: &DeploymentObject, is_recorded: bool) -> Commands {
        let data_dir = self.objects.data_dir.path();
        let mut commands = commands::read(data_dir, model);
        if let Some((digest, _)) = &commands.abort {
            let is_current = object
                .spec
                .canary
                .as_ref()
                .is_some_and(|canary| canary.pin.digest == *digest);
            let is_kept = is_recorded && object.abort.as_ref() == Some(digest);
            if !is_current || is_kept {
                if let Err(error) = commands::clear_abort(data_dir, model) {
                    tracing::warn!(%model, %error, "cannot take away an abort that was taken up");
                }
                if !is_current {
                    commands.abort = None;
                }
            }
        }
        kept_abort(object, commands)
    }

    /// Loads at once what did not load, where the registry holds it sound since: nobody waits out a back-off for that.
    fn load_mended(&mut self, object: &DeploymentObject, registered: Option<&ObservedModel>) {
        let model = &object.spec.model;
        let tracks = self.slots.tracks(model);
        for (track, state) in [(Track::Stable, &tracks.stable), (Track::Canary, &tracks.canary)] {
            let key = (model.clone(), track);
            let failed = state.failed.as_ref().map(|(pin, _)| pin);
            let Some(pin) = failed.filter(|failed| pin_of(object, track) == Some(*failed)) else {
                self.unloadable.remove(&key);
                continue;
            };
            // A model that was not looked at tells nothing.
            let Some(registered) = registered else { continue };
            let found = registered.versions.get(&pin.version);
            let before = self.unloadable.insert(key, found.cloned());
            let is_sound =
                matches!(found, Some(ObservedVersion::Sound { digest, .. }) if *digest == pin.digest);
            if is_sound
                && before.is_some_and(|before| before.as_ref() != found)
                && let Some(revision) = revision_of(object, track, pin)
            {
                self.slots.begin_load(load(model, track, pin, revision));
            }
        }
    }

    /// Weight down, loads, weight up, unloads.
    fn carry_out(
        &mut self,
        model: &ModelName,
        object: Option<&DeploymentObject>,
        tracks: &Tracks,
        step: &Rollout,
    ) {
        if step.weight < tracks.weight {
            self.slots.set_weight(model, step.weight);
        }
        for (track, state, goal) in each(tracks, step) {
            let (Some(goal), Some(object)) = (goal, object) else {
                continue;
            };
            let Some(revision) = revision_of(object, track, goal) else {
                continue;
            };
            if state.serving.as_ref() == Some(goal) {
                if state.loading.as_ref().is_some_and(|loading| loading != goal) {
                    // What is being loaded is not wanted any more: the one that serves is. Asked once, or it never ends.
                    self.slots.begin_load(load(model, track, goal, revision));
                }
                let told = self.revisions.insert((model.clone(), track), revision.clone());
                if told.as_ref() != Some(revision) {
                    self.slots.set_revision(model, track, revision);
                }
            } else if state.loading.as_ref() != Some(goal) {
                self.slots.begin_load(load(model, track, goal, revision));
                self.revisions.remove(&(model.clone(), track));
            }
        }
        if step.weight > tracks.weight {
            self.slots.set_weight(model, step.weight);
        }
        for (track, state, goal) in each(tracks, step) {
            // A failure is remembered while there is an object: the planner counts the time until the next attempt.
            let is_empty = state.serving.is_none() && state.loading.is_none();
            let is_settled = is_empty && (object.is_some() || state.failed.is_none());
            if goal.is_none() && !is_settled {
                self.slots.unload(model, track);
                self.revisions.remove(&(model.clone(), track));
            }
        }
    }

    fn remember(
        &self,
        name: &ObjectName,
        model: &ModelName,
        old: &[Condition],
        status: rollout::Status,
        now: Timestamp,
    ) {
        let conditions = conditions(&status, old, now);
        self.events.send(Event::Rollout {
            deployment: name.clone(),
            model: model.clone(),
            status: Box::new(status.clone()),
        });
        self.objects.set_deployment_status(name, status, conditions);
    }

    fn finish_draining(&self, model: &ModelName) {
        if let Err(error) = self.objects.drained(model) {
            tracing::warn!(%model, %error, "cannot remove the status of a deployment that is gone");
        }
    }
}

fn load(model: &ModelName, track: Track, pin: &ResolvedPin, revision: &Revision) -> LoadRequest {
    LoadRequest {
        model: model.clone(),
        track,
        pin: pin.clone(),
        revision: revision.clone(),
    }
}

fn each<'a>(tracks: &'a Tracks, step: &'a Rollout) -> [(Track, &'a TrackState, Option<&'a ResolvedPin>); 2] {
    [
        (Track::Stable, &tracks.stable, step.stable.as_ref()),
        (Track::Canary, &tracks.canary, step.canary.as_ref()),
    ]
}

fn pin_of(object: &DeploymentObject, track: Track) -> Option<&ResolvedPin> {
    match track {
        Track::Stable => Some(&object.spec.stable),
        Track::Canary => object.spec.canary.as_ref().map(|canary| &canary.pin),
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

/// An abort that the registry's history holds stands also without its command.
fn kept_abort(object: &DeploymentObject, commands: Commands) -> Commands {
    Commands {
        abort: commands.abort.or_else(|| {
            object
                .abort
                .map(|digest| (digest, "recorded in the registry's history".to_owned()))
        }),
        paused: commands.paused,
    }
}

fn is_settled(step: &Rollout, tracks: &Tracks) -> bool {
    let loads = each(tracks, step)
        .iter()
        .any(|(_, state, goal)| state.loading.is_some() || state.serving.as_ref() != *goal);
    let moves = match &step.status.state {
        State::Promoting => true,
        State::Preparing => step.status.stable_retry.is_none() && step.status.canary_retry.is_none(),
        State::Idle | State::Holding { .. } | State::Aborted { .. } => false,
    };
    !loads && !moves && step.weight == tracks.weight
}

fn conditions(status: &rollout::Status, old: &[Condition], now: Timestamp) -> Vec<Condition> {
    let serves = if status.stable.is_some() {
        ConditionStatus::True
    } else {
        ConditionStatus::False
    };
    let facts = match &status.state {
        State::Idle => Facts {
            ready: (serves, "Idle", String::new()),
            reconciling: false,
            stalled: false,
        },
        State::Preparing => Facts {
            ready: (
                serves,
                "Preparing",
                "a track does not serve its pin yet".to_owned(),
            ),
            reconciling: true,
            stalled: false,
        },
        State::Promoting => Facts {
            ready: (
                serves,
                "Promoting",
                "stable becomes what the canary serves".to_owned(),
            ),
            reconciling: true,
            stalled: false,
        },
        State::Holding { reason, message } => Facts {
            ready: (serves, "Holding", format!("{reason}: {message}")),
            reconciling: false,
            stalled: true,
        },
        State::Aborted { digest, reason } => Facts {
            ready: (serves, "Aborted", format!("{}: {reason}", digest.short())),
            reconciling: false,
            stalled: true,
        },
    };
    facts.conditions(old, now)
}

/// Returns the earlier of two times, where there is one.
pub(super) fn earliest(a: Option<Timestamp>, b: Option<Timestamp>) -> Option<Timestamp> {
    match (a, b) {
        (Some(a), Some(b)) => Some(a.min(b)),
        (a, b) => a.or(b),
    }
}
