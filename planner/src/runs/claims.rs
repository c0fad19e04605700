//! Which versions each model's jobs claim: no two of them name a run alike.

use std::collections::{BTreeMap, BTreeSet};

use super::{Outcome, Status};
use crate::names::{ModelName, ObjectName, Version};

/// The versions that each model's jobs make, have made or are about to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Claims {
    of_model: BTreeMap<ModelName, BTreeMap<ObjectName, BTreeSet<Version>>>,
    /// Which model each job was last seen to train.
    model_of: BTreeMap<ObjectName, ModelName>,
}

impl Claims {
    /// Returns the versions that the model's jobs but this one claim.
    pub fn of_others(&self, job: &ObjectName, model: &ModelName) -> BTreeSet<Version> {
        let jobs = self.of_model.get(model).into_iter().flatten();
        let others = jobs.filter(|(other, _)| *other != job);
        others.flat_map(|(_, versions)| versions).cloned().collect()
    }

    /// Remembers which versions a job claims: those of its runs, and of the ones that are due.
    pub fn set<'a>(
        &mut self,
        job: &ObjectName,
        model: &ModelName,
        runs: &'a Status,
        due: impl Iterator<Item = &'a Version>,
    ) {
        if self.model_of.get(job) != Some(model) {
            self.remove(job);
        }
        let made = runs.records.iter();
        let made = made.filter(|record| !matches!(record.outcome, Outcome::Skipped { .. }));
        let versions = made.map(|record| &record.version).chain(due).cloned().collect();
        let jobs = self.of_model.entry(model.clone()).or_default();
        jobs.insert(job.clone(), versions);
        self.model_of.insert(job.clone(), model.clone());
    }

    /// Says whether it is known what a job claims.
    pub fn knows(&self, job: &ObjectName) -> bool {
        self.model_of.contains_key(job)
    }

    /// Forgets a job.
    pub fn remove(&mut self, job: &ObjectName) {
        let Some(model) = self.model_of.remove(job) else {
            return;
        };
        if let Some(jobs) = self.of_model.get_mut(&model) {
            jobs.remove(job);
            if jobs.is_empty() {
                self.of_model.remove(&model);
            }
        }
    }
}
