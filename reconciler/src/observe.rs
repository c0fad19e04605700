//! What is there: the objects with their status, and the registry. Reads, writes nothing.

use std::collections::{BTreeMap, BTreeSet};

use planner::desired::{Completeness, Desired};
use planner::finding::{Finding, Reason};
use planner::names::ModelName;
use planner::observed::{Observed, ObservedDeployment, ObservedTraining};
use registry::{Observer, StoreError};

use crate::standalone::objects::Objects;

/// What was observed, and what could not be.
#[derive(Debug)]
pub(crate) struct Observation {
    pub(crate) observed: Observed,
    /// The models of which the registry could not be read: nothing is decided about them.
    pub(crate) unreadable: BTreeMap<ModelName, StoreError>,
}

/// Observes the objects, and the registry for each model that a manifest or an object names.
///
/// An error means that not even the store's list of data files could be read.
pub(crate) fn observe(
    objects: &Objects,
    registry: &Observer,
    desired: &Desired,
) -> Result<Observation, StoreError> {
    let mut observed = {
        let state = objects.state();
        Observed {
            environment: state.environment.clone(),
            deployments: state
                .deployments
                .iter()
                .map(|(name, entry)| {
                    let observed = ObservedDeployment {
                        object: entry.object.clone(),
                        status: entry.status.clone(),
                    };
                    (name.clone(), observed)
                })
                .collect(),
            trainings: state
                .trainings
                .iter()
                .map(|(name, entry)| {
                    let observed = ObservedTraining {
                        object: entry.object.clone(),
                        phase: entry.status.phase.clone(),
                    };
                    (name.clone(), observed)
                })
                .collect(),
            models: BTreeMap::new(),
            datasets: BTreeSet::new(),
        }
    };
    observed.datasets.clone_from(&*registry.datasets()?);
    let mut unreadable = BTreeMap::new();
    for model in models(desired, &observed) {
        match registry.observe(&model) {
            Ok(found) => {
                observed.models.insert(model, found.as_ref().clone());
            }
            Err(error) => {
                unreadable.insert(model, error);
            }
        }
    }
    let mut state = objects.state();
    if state.models != observed.models {
        state.models.clone_from(&observed.models);
        state.generation += 1;
    }
    drop(state);
    Ok(Observation { observed, unreadable })
}

fn models(desired: &Desired, observed: &Observed) -> BTreeSet<ModelName> {
    let declared = desired.deployments.values().map(|declared| &declared.spec.model);
    let trained = desired.trainings.values().map(|declared| &declared.spec.model);
    let served = observed
        .deployments
        .values()
        .map(|found| &found.object.spec.model);
    let made = observed.trainings.values().map(|found| &found.object.spec.model);
    declared
        .chain(trained)
        .chain(served)
        .chain(made)
        .cloned()
        .collect()
}

impl Observation {
    /// Returns what can be decided: `desired` without the models that could not be observed, and findings for them.
    pub(crate) fn decidable(&self, desired: &Desired) -> (Desired, Vec<Finding>) {
        let mut decidable = desired.clone();
        if self.unreadable.is_empty() {
            return (decidable, Vec::new());
        }
        decidable.completeness = Completeness::Partial;
        decidable
            .deployments
            .retain(|_, declared| !self.unreadable.contains_key(&declared.spec.model));
        decidable
            .trainings
            .retain(|_, declared| !self.unreadable.contains_key(&declared.spec.model));
        let findings = self
            .unreadable
            .iter()
            .map(|(model, error)| Finding {
                location: None,
                reason: Reason::StorageUnavailable,
                subject: format!("model {model}"),
                message: error.to_string(),
                hint: "nothing is changed about the model until it can be read; what serves stays".to_owned(),
            })
            .collect();
        (decidable, findings)
    }
}
