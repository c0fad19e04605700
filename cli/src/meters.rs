//! Keeps the reconciler's metrics: the server renders them, and only the reconciler's events know them.

use std::collections::{BTreeMap, BTreeSet};

use planner::names::{EnvironmentName, ModelName};
use planner::object::ObjectId;
use planner::rollout::State;
use server::Metrics;
use standalone::Event;

use crate::clock;

/// What is known of each model, as the gauges need it.
#[derive(Debug)]
pub(crate) struct Meters {
    metrics: Metrics,
    environment: EnvironmentName,
    /// Which object has the model, and whether its tracks serve what it says.
    models: BTreeMap<ModelName, (ObjectId, bool)>,
    model_of: BTreeMap<ObjectId, ModelName>,
    /// The objects that have a finding.
    stopped: BTreeSet<ObjectId>,
}

impl Meters {
    /// Counts into `metrics`.
    pub(crate) fn new(metrics: Metrics, environment: EnvironmentName) -> Self {
        Self {
            metrics,
            environment,
            models: BTreeMap::new(),
            model_of: BTreeMap::new(),
            stopped: BTreeSet::new(),
        }
    }

    /// Returns the models that have an object, in order.
    pub(crate) fn models(&self) -> impl Iterator<Item = &ModelName> {
        self.models.keys()
    }

    /// Counts an event.
    pub(crate) fn hear(&mut self, event: &Event) {
        match event {
            Event::PassEnded { result, took } => {
                self.metrics
                    .reconciled(&self.environment, result, *took, clock::now());
            }
            Event::Pass(pass) => {
                let subjects = pass
                    .findings
                    .iter()
                    .filter_map(|finding| finding.subject.object());
                let stopped: BTreeSet<ObjectId> = subjects.cloned().collect();
                let before = std::mem::replace(&mut self.stopped, stopped);
                for id in before.symmetric_difference(&self.stopped) {
                    if let Some(model) = self.model_of.get(id) {
                        self.converged(model);
                    }
                }
            }
            Event::Rollout {
                deployment,
                model,
                status,
            } => {
                self.metrics
                    .set_canary_weight(&self.environment, model, status.weight);
                let serves = status.state == State::Idle;
                let id = ObjectId::deployment(deployment);
                self.model_of.insert(id.clone(), model.clone());
                self.models.insert(model.clone(), (id, serves));
                self.converged(model);
            }
            Event::Removed { model } => {
                if let Some((id, _)) = self.models.remove(model) {
                    self.model_of.remove(&id);
                }
                self.metrics.forget_model(&self.environment, model);
            }
            Event::TrainingStarted { .. }
            | Event::TrainingProgress { .. }
            | Event::TrainingEnded { .. }
            | Event::Settled { .. }
            | Event::Trouble(_)
            | Event::Recovered => {}
        }
    }

    fn converged(&self, model: &ModelName) {
        if let Some((id, serves)) = self.models.get(model) {
            let converged = *serves && !self.stopped.contains(id);
            self.metrics.set_converged(&self.environment, model, converged);
        }
    }
}
