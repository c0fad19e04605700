//! One step of each model's rollout that was touched: what the planner decides, done to the slots.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use planner::Timestamp;
use planner::engine::Engine;
use planner::names::{ModelName, ObjectName};
use planner::observed::DeploymentObject;
use planner::rollout::{self, Claimant, Commands, Means, Model, TrackAction, owner, rollout};
use reconciler::conditions;
use registry::Observer;

use crate::due::Due;
use crate::events::{Event, Events};
use crate::objects::Objects;
use crate::{LoadRequest, Slots, commands};

/// How long to wait until a model whose pin does not load is looked at again: it may have been mended.
const MENDED: Duration = Duration::from_secs(1);

/// How long to wait until a model is looked at again that something was done to.
const DONE: Duration = Duration::from_millis(10);

/// Makes the slots follow the MLDeployment objects.
pub(crate) struct Models {
    objects: Arc<Objects>,
    slots: Arc<dyn Slots>,
    registry: Observer,
    events: Events,
    /// Each model that has an object, or still has something in its slots.
    known: BTreeMap<ModelName, Known>,
    /// Which model each object was last seen to serve.
    model_of: BTreeMap<ObjectName, ModelName>,
    due: Due<ModelName>,
    unsettled: BTreeSet<ModelName>,
    /// The models that somebody commands, and by which files.
    commanded: BTreeMap<ModelName, commands::Stamps>,
}

/// What is remembered of a model between two steps.
#[derive(Debug, Default)]
struct Known {
    /// The object that had it.
    owner: Option<ObjectName>,
    /// Where it stood: its object may be gone, or be another one by now.
    last: Option<rollout::Status>,
}

/// What a step did.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Stepped {
    /// Whether a status changed, so that aliases may follow.
    pub(crate) has_news: bool,
    /// Whether everything rests: nothing loads, trains, or is behind.
    pub(crate) is_settled: bool,
    /// When to step again although nothing happens.
    pub(crate) wake: Option<Timestamp>,
}

impl Models {
    pub(crate) fn new(
        objects: Arc<Objects>,
        slots: Arc<dyn Slots>,
        registry: Observer,
        events: Events,
    ) -> Self {
        Self {
            objects,
            slots,
            registry,
            events,
            known: BTreeMap::new(),
            model_of: BTreeMap::new(),
            due: Due::default(),
            unsettled: BTreeSet::new(),
            commanded: BTreeMap::new(),
        }
    }

    /// Lets every model with a time be due: the clock was set back.
    pub(crate) fn clock_was_set_back(&mut self) -> Vec<ModelName> {
        self.due.all()
    }

    /// Steps the models of these objects, those whose slots changed, and those that are due or commanded.
    pub(crate) fn step(
        &mut self,
        objects: &[ObjectName],
        mut touched: BTreeSet<ModelName>,
        now: Timestamp,
    ) -> Stepped {
        for name in objects {
            touched.extend(self.models_of(name));
        }
        touched.extend(self.due.take(now));
        touched.extend(self.commanded());
        let mut has_news = false;
        for model in touched {
            has_news |= self.step_model(&model, now);
        }
        Stepped {
            has_news,
            is_settled: self.unsettled.is_empty(),
            wake: self.due.next(),
        }
    }

    /// Returns the models that an object served so far and serves now.
    fn models_of(&mut self, name: &ObjectName) -> Vec<ModelName> {
        let now = self
            .objects
            .deployment(name)
            .map(|entry| entry.found.object.spec.model);
        let before = match &now {
            Some(model) => self.model_of.insert(name.clone(), model.clone()),
            None => self.model_of.remove(name),
        };
        before.into_iter().chain(now).collect()
    }

    /// Returns the models whose commands changed.
    fn commanded(&mut self) -> Vec<ModelName> {
        let found = commands::commanded(self.objects.data_dir.path());
        if found == self.commanded {
            return Vec::new();
        }
        let before = std::mem::replace(&mut self.commanded, found);
        let found = &self.commanded;
        let changed = found
            .iter()
            .filter(|(model, stamps)| before.get(*model) != Some(*stamps));
        let gone = before.iter().filter(|(model, _)| !found.contains_key(*model));
        changed.chain(gone).map(|(model, _)| model.clone()).collect()
    }

    /// Steps one model. Touches only memory, the slots and small files. Returns whether its status changed.
    fn step_model(&mut self, model: &ModelName, now: Timestamp) -> bool {
        let objects = self.objects.of_model(model);
        let claimants: Vec<Claimant<'_>> = objects
            .iter()
            .map(|(name, entry)| Claimant {
                name,
                status: entry.found.status.as_ref(),
            })
            .collect();
        let known = self.known.remove(model).unwrap_or_default();
        let (name, status) = match owner(&claimants, known.last.as_ref()) {
            Some((name, status)) => (Some(name), status),
            None => (None, known.last.as_ref()),
        };
        let entry = name.and_then(|name| objects.iter().find(|(other, _)| other == name));
        let commands = match (name, self.commanded.get(model)) {
            (Some(_), Some(_)) => commands::read(self.objects.data_dir.path(), model),
            _ => Commands::default(),
        };
        let tracks = self.slots.tracks(model);
        let is_broken = tracks.track.stable.unloadable.is_some() || tracks.track.canary.unloadable.is_some();
        // What the registry holds matters to an abort that waits to be recorded, and to what does not load.
        let registered = (is_broken || commands.abort.is_some())
            .then(|| self.registry.observe(model).ok())
            .flatten();
        let step = rollout(
            &Model {
                object: entry.map(|(_, entry)| &entry.found.object),
                commands: &commands,
                registered: registered.as_deref(),
                tracks: &tracks,
                status,
                means: Means::SLOTS,
            },
            now,
        );
        let look = (is_broken || commands.abort.is_some()).then_some(now + MENDED);
        // A load tells its end by itself; whatever else is done has taken effect at once.
        let is_load = |action: &TrackAction| matches!(action, TrackAction::Load { .. });
        let done = (!step.actions.iter().all(is_load)).then_some(now + DONE);
        self.due.set(model, earliest(step.wake, earliest(look, done)));
        if step.is_settled {
            self.unsettled.remove(model);
        } else {
            self.unsettled.insert(model.clone());
        }
        let object = entry.map(|(_, entry)| &entry.found.object);
        self.carry_out(model, &step.actions, object);

        let is_gone = step.actions.contains(&TrackAction::Forget);
        let mut is_news = false;
        if let (Some(name), Some((_, entry))) = (name, entry) {
            is_news = entry.found.status.as_ref() != Some(&step.status);
            let facts = conditions::of_rollout(&step.status, &entry.found.object);
            let conditions = facts.conditions(&entry.conditions, now);
            if is_news {
                self.events.send(Event::Rollout {
                    deployment: name.clone(),
                    model: model.clone(),
                    revision: entry.found.object.revision.clone(),
                    status: Box::new(step.status.clone()),
                });
            }
            if is_news || conditions != entry.conditions {
                self.objects.set_rollout(name, step.status.clone(), conditions);
            }
        }
        self.leave(&known, name, model, is_gone);
        if is_gone {
            self.due.set(model, None);
            self.unsettled.remove(model);
        } else {
            let owner = name.cloned().or(known.owner);
            let last = Some(step.status);
            self.known.insert(model.clone(), Known { owner, last });
        }
        is_news || is_gone
    }

    /// The status under a name that has the model no longer is nobody's, once nothing of it serves any more.
    fn leave(&self, known: &Known, owner: Option<&ObjectName>, model: &ModelName, is_gone: bool) {
        let Some(old) = known.owner.as_ref().filter(|old| owner != Some(*old)) else {
            return;
        };
        if (owner.is_some() || is_gone)
            && let Err(error) = self.objects.forget_rollout(old)
        {
            tracing::warn!(%model, %error, "cannot remove the status of a deployment that is gone");
        }
    }

    /// Does what the planner says, in its order.
    fn carry_out(&self, model: &ModelName, actions: &[TrackAction], object: Option<&DeploymentObject>) {
        for action in actions {
            match action {
                TrackAction::SetWeight(weight) => self.slots.set_weight(model, *weight),
                TrackAction::Load { track, pin, revision } => self.slots.begin_load(LoadRequest {
                    model: model.clone(),
                    track: *track,
                    pin: pin.clone(),
                    revision: revision.clone(),
                    trust: object.and_then(|object| object.trust.clone()),
                    engine: object.map_or_else(Engine::default, |object| object.spec.engine),
                }),
                TrackAction::SetRevision { track, revision } => {
                    self.slots.set_revision(model, *track, revision);
                }
                // A slot is one replica, and requests come to it by no route of its own.
                TrackAction::Scale { .. } | TrackAction::Unroute => {}
                TrackAction::Unload(track) => self.slots.unload(model, *track),
                TrackAction::ClearAbort => {
                    if let Err(error) = commands::clear_abort(self.objects.data_dir.path(), model) {
                        tracing::warn!(%model, %error, "cannot take away an abort that was taken up");
                    }
                }
                TrackAction::Forget => {
                    self.slots.forget(model);
                    self.events.send(Event::Removed { model: model.clone() });
                }
            }
        }
    }
}

/// Returns the earlier of two times, where there is one.
pub(crate) fn earliest(a: Option<Timestamp>, b: Option<Timestamp>) -> Option<Timestamp> {
    match (a, b) {
        (Some(a), Some(b)) => Some(a.min(b)),
        (a, b) => a.or(b),
    }
}
