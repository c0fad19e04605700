//! Keeps the reconciler's metrics: the server renders them, and only the reconciler's events know them.

use std::collections::{BTreeMap, BTreeSet};

use planner::names::{EnvironmentName, ModelName};
use planner::rollout::State;
use server::Metrics;
use standalone::Event;

use crate::clock;

/// What is known of each model, as the gauges need it.
#[derive(Debug)]
pub(crate) struct Meters {
    metrics: Metrics,
    environment: EnvironmentName,
    /// Whether the tracks of each model that has an object serve what that says.
    models: BTreeMap<ModelName, bool>,
    /// The models of which something is not as Git says.
    behind: BTreeSet<ModelName>,
    /// Whether nothing is known of what Git says.
    is_blind: bool,
}

impl Meters {
    /// Counts into `metrics`.
    pub(crate) fn new(metrics: Metrics, environment: EnvironmentName) -> Self {
        Self {
            metrics,
            environment,
            models: BTreeMap::new(),
            behind: BTreeSet::new(),
            is_blind: false,
        }
    }

    /// Counts an event.
    pub(crate) fn hear(&mut self, event: &Event) {
        match event {
            Event::PassEnded { result, took } => {
                self.metrics
                    .reconciled(&self.environment, result, *took, clock::now());
            }
            Event::Pass(pass) => {
                for (model, is_behind) in &pass.behind {
                    if *is_behind {
                        self.behind.insert(model.clone());
                    } else {
                        self.behind.remove(model);
                    }
                    self.converged(model);
                }
                if std::mem::replace(&mut self.is_blind, pass.is_blind) != pass.is_blind {
                    self.models.keys().for_each(|model| self.converged(model));
                }
            }
            Event::Rollout {
                deployment: _,
                model,
                status,
            } => {
                self.metrics
                    .set_canary_weight(&self.environment, model, status.weight);
                let serves = status.state == State::Idle;
                self.models.insert(model.clone(), serves);
                self.converged(model);
            }
            Event::Removed { model } => {
                self.models.remove(model);
                self.metrics.forget_model(&self.environment, model);
            }
            Event::TrainingStarted { .. }
            | Event::TrainingProgress { .. }
            | Event::TrainingEnded { .. }
            | Event::Settled { .. }
            | Event::Uncommitted(_)
            | Event::Trouble(_)
            | Event::Recovered => {}
        }
    }

    fn converged(&self, model: &ModelName) {
        if let Some(serves) = self.models.get(model) {
            let converged = *serves && !self.is_blind && !self.behind.contains(model);
            self.metrics.set_converged(&self.environment, model, converged);
        }
    }
}
