//! Keeps the reconciler's metrics: the server renders them, and only the reconciler's events know them.

use std::collections::{BTreeMap, BTreeSet};

use planner::names::{EnvironmentName, ModelName};
use planner::rollout::State;
use reconciler::standalone::Event;
use server::Metrics;

use crate::clock;

/// What is known of each model, as the gauges need it.
#[derive(Debug)]
pub(crate) struct Meters {
    metrics: Metrics,
    environment: EnvironmentName,
    /// Subject of the model's findings, and whether its tracks serve what its object says.
    models: BTreeMap<ModelName, (String, bool)>,
    /// The subjects that have a finding.
    stopped: BTreeSet<String>,
}

impl Meters {
    /// Counts into `metrics`.
    pub(crate) fn new(metrics: Metrics, environment: EnvironmentName) -> Self {
        Self {
            metrics,
            environment,
            models: BTreeMap::new(),
            stopped: BTreeSet::new(),
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
                self.stopped = pass
                    .findings
                    .iter()
                    .map(|finding| finding.subject.clone())
                    .collect();
                self.converged();
            }
            Event::Rollout {
                deployment,
                model,
                status,
            } => {
                self.metrics
                    .set_canary_weight(&self.environment, model, status.weight);
                let serves = status.state == State::Idle;
                self.models
                    .insert(model.clone(), (format!("MLDeployment/{deployment}"), serves));
                self.converged();
            }
            Event::Removed { model } => {
                self.models.remove(model);
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

    fn converged(&self) {
        for (model, (subject, serves)) in &self.models {
            let converged = *serves && !self.stopped.contains(subject);
            self.metrics.set_converged(&self.environment, model, converged);
        }
    }
}
