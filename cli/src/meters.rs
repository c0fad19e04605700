//! Keeps the reconciler's metrics: the server renders them, and only the reconciler's events know them.

use std::collections::{BTreeMap, BTreeSet};

use planner::names::{EnvironmentName, ModelName, Weight};
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
        metrics.begin_reconciled(&environment);
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
            Event::Pass(pass) => self.pass(&pass.behind, &pass.drifted, pass.is_blind),
            Event::Rollout {
                deployment: _,
                model,
                revision: _,
                status,
            } => self.serves(model, status.weight, status.state == State::Idle),
            Event::Removed { model } => self.gone(model),
            Event::TrainingStarted { .. }
            | Event::TrainingProgress { .. }
            | Event::TrainingEnded { .. }
            | Event::Settled { .. }
            | Event::Reported(_)
            | Event::Uncommitted(_)
            | Event::Trouble(_)
            | Event::Recovered => {}
        }
    }

    /// Takes in what a pass found news: of which models something is not as Git says, or was changed by somebody and stands;
    /// and whether nothing is known of what Git says.
    pub(crate) fn pass(
        &mut self,
        behind: &[(ModelName, bool)],
        drifted: &[(ModelName, bool)],
        is_blind: bool,
    ) {
        for (model, is_behind) in behind {
            if *is_behind {
                self.behind.insert(model.clone());
            } else {
                self.behind.remove(model);
            }
            self.converged(model);
        }
        for (model, is_drifted) in drifted {
            self.metrics.set_drifted(&self.environment, model, *is_drifted);
        }
        if std::mem::replace(&mut self.is_blind, is_blind) != is_blind {
            self.models.keys().for_each(|model| self.converged(model));
        }
    }

    /// Takes in how a model serves.
    pub(crate) fn serves(&mut self, model: &ModelName, weight: Weight, is_idle: bool) {
        self.metrics.set_canary_weight(&self.environment, model, weight);
        // Whatever was never changed by anybody says so.
        if self.models.insert(model.clone(), is_idle).is_none() {
            self.metrics.begin_drifted(&self.environment, model);
        }
        self.converged(model);
    }

    /// Takes in that a model is no more.
    pub(crate) fn gone(&mut self, model: &ModelName) {
        self.models.remove(model);
        self.metrics.forget_model(&self.environment, model);
    }

    fn converged(&self, model: &ModelName) {
        if let Some(serves) = self.models.get(model) {
            let converged = *serves && !self.is_blind && !self.behind.contains(model);
            self.metrics.set_converged(&self.environment, model, converged);
        }
    }
}
