//! The objects and their status: in memory for the loops, in files for a restart.
//!
//! This process is the files' only writer. An object's spec is written by the reconciler alone, a status by the
//! operator alone. An object that cannot be written is not changed in memory either; a status counts at once and is
//! written as soon as that works.

mod files;

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crds::MLEnvironmentStatus;
use crds::status::Condition;
use planner::environment::Environment;
use planner::names::{EnvironmentName, ModelName, ObjectName, Version};
use planner::observed::{DeploymentObject, ObservedModel, TrainingObject};
use planner::rollout;
use planner::runs::{Phase, Record};

use super::data_dir::{DataDir, DataDirError};

/// The name of the kind, as in a manifest.
pub(crate) const ENVIRONMENT: &str = "MLEnvironment";
/// The name of the kind, as in a manifest.
pub(crate) const DEPLOYMENT: &str = "MLDeployment";
/// The name of the kind, as in a manifest.
pub(crate) const TRAINING: &str = "MLTrainingJob";

/// An MLDeployment object and how it stands.
#[derive(Debug, Clone)]
pub(crate) struct DeploymentEntry {
    pub(crate) object: DeploymentObject,
    pub(crate) status: Option<rollout::Status>,
    pub(crate) conditions: Vec<Condition>,
}

/// An MLTrainingJob object and how it stands.
#[derive(Debug, Clone)]
pub(crate) struct TrainingEntry {
    pub(crate) object: TrainingObject,
    pub(crate) status: TrainingStatus,
}

/// A job's whole memory.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct TrainingStatus {
    pub(crate) phase: Option<Phase>,
    /// Why a run that is due waits, for people.
    pub(crate) note: Option<String>,
    /// The last runs, oldest first.
    pub(crate) records: Vec<Record>,
    pub(crate) progress_percent: Option<u8>,
    pub(crate) metrics: BTreeMap<String, f64>,
    pub(crate) conditions: Vec<Condition>,
}

/// A model whose object is gone and whose tracks are being emptied.
#[derive(Debug, Clone)]
pub(crate) struct Draining {
    pub(crate) name: ObjectName,
    pub(crate) status: Option<rollout::Status>,
}

/// Everything that both loops look at.
#[derive(Debug, Default)]
pub(crate) struct State {
    pub(crate) environment: Option<Environment>,
    pub(crate) report: MLEnvironmentStatus,
    pub(crate) deployments: BTreeMap<ObjectName, DeploymentEntry>,
    pub(crate) trainings: BTreeMap<ObjectName, TrainingEntry>,
    pub(crate) draining: BTreeMap<ModelName, Draining>,
    /// What the registry held when it was last looked at. A model that is missing here was not looked at.
    pub(crate) models: BTreeMap<ModelName, ObservedModel>,
    /// The stable version that Git pins for each model, resolved or not.
    pub(crate) stable_pins: BTreeMap<ModelName, Version>,
    /// Counts the changes that the reconciler made to all of the above.
    pub(crate) generation: u64,
    /// Status files whose content is behind memory.
    unwritten: BTreeSet<(&'static str, ObjectName)>,
    /// What each status file holds, so that nothing is written twice.
    written: BTreeMap<(&'static str, String), Vec<u8>>,
}

/// The objects of one environment.
#[derive(Debug)]
pub(crate) struct Objects {
    pub(crate) data_dir: Arc<DataDir>,
    name: EnvironmentName,
    state: Mutex<State>,
}

impl Objects {
    /// Reads what the data directory holds. A file that cannot be understood is left out, with a warning: the next
    /// pass makes the object anew from Git.
    pub(crate) fn load(data_dir: Arc<DataDir>, name: &EnvironmentName) -> Result<Self, DataDirError> {
        let state = files::load(&data_dir, name)?;
        Ok(Self {
            data_dir,
            name: name.clone(),
            state: Mutex::new(state),
        })
    }

    /// Returns the state. Held for memory only, never while something is read or written.
    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn put_environment(&self, environment: &Environment) -> io::Result<()> {
        let bytes = files::json(&crds::convert::environment_object(environment));
        files::write_object(&self.data_dir, ENVIRONMENT, self.name.as_str(), &bytes)?;
        let mut state = self.state();
        state.environment = Some(environment.clone());
        state.generation += 1;
        Ok(())
    }

    pub(crate) fn put_deployment(&self, name: &ObjectName, object: &DeploymentObject) -> io::Result<()> {
        let bytes = files::json(&crds::convert::deployment_object(name, object, &self.name));
        files::write_object(&self.data_dir, DEPLOYMENT, name.as_str(), &bytes)?;
        let mut state = self.state();
        state.generation += 1;
        let mut status = None;
        if let Some(old) = state.deployments.remove(name) {
            if old.object.spec.model == object.spec.model {
                status = Some((old.status, old.conditions));
            } else {
                state.drain(name, old);
            }
        }
        let mut left = None;
        if status.is_none()
            && let Some(drained) = state.draining.remove(&object.spec.model)
        {
            status = Some((drained.status, Vec::new()));
            left = Some(drained.name).filter(|old| old != name && !state.deployments.contains_key(old));
        }
        let (status, conditions) = status.unwrap_or_default();
        state.deployments.insert(
            name.clone(),
            DeploymentEntry {
                object: object.clone(),
                status,
                conditions,
            },
        );
        drop(state);
        // The model came back under another name before it was gone: the status under the old one is nobody's.
        left.map_or(Ok(()), |old| self.remove_status(DEPLOYMENT, &old))
    }

    pub(crate) fn put_training(&self, name: &ObjectName, object: &TrainingObject) -> io::Result<()> {
        let bytes = files::json(&crds::convert::training_object(name, object, &self.name));
        files::write_object(&self.data_dir, TRAINING, name.as_str(), &bytes)?;
        let mut state = self.state();
        state.generation += 1;
        let status = match state.trainings.remove(name) {
            // What became of another spec says nothing about this one.
            Some(old) if old.object.spec != object.spec => TrainingStatus {
                phase: None,
                ..old.status
            },
            Some(old) => old.status,
            None => TrainingStatus::default(),
        };
        state.trainings.insert(
            name.clone(),
            TrainingEntry {
                object: object.clone(),
                status,
            },
        );
        Ok(())
    }

    /// Removes an MLDeployment; its tracks are emptied by the operator, then its status goes.
    pub(crate) fn delete_deployment(&self, name: &ObjectName) -> io::Result<()> {
        files::remove_object(&self.data_dir, DEPLOYMENT, name.as_str())?;
        let mut state = self.state();
        state.generation += 1;
        if let Some(old) = state.deployments.remove(name) {
            state.drain(name, old);
        }
        Ok(())
    }

    /// Removes an MLTrainingJob; its run is stopped by the operator.
    pub(crate) fn delete_training(&self, name: &ObjectName) -> io::Result<()> {
        files::remove_object(&self.data_dir, TRAINING, name.as_str())?;
        {
            let mut state = self.state();
            state.generation += 1;
            state.trainings.remove(name);
        }
        self.remove_status(TRAINING, name)
    }

    /// Remembers how a rollout stands; [`Self::write_statuses`] writes it.
    pub(crate) fn set_deployment_status(
        &self,
        name: &ObjectName,
        status: rollout::Status,
        conditions: Vec<Condition>,
    ) {
        let mut state = self.state();
        if let Some(entry) = state.deployments.get_mut(name) {
            entry.status = Some(status);
            entry.conditions = conditions;
            state.unwritten.insert((DEPLOYMENT, name.clone()));
        }
    }

    /// Remembers how a job stands; [`Self::write_statuses`] writes it.
    pub(crate) fn set_training_status(&self, name: &ObjectName, status: TrainingStatus) {
        let mut state = self.state();
        if let Some(entry) = state.trainings.get_mut(name)
            && entry.status != status
        {
            entry.status = status;
            state.unwritten.insert((TRAINING, name.clone()));
        }
    }

    /// Forgets a model whose tracks are empty.
    pub(crate) fn drained(&self, model: &ModelName) -> io::Result<()> {
        let drained = self.state().draining.remove(model);
        match drained {
            Some(drained) if !self.state().deployments.contains_key(&drained.name) => {
                self.remove_status(DEPLOYMENT, &drained.name)
            }
            Some(_) | None => Ok(()),
        }
    }

    /// Writes the statuses that changed. One that cannot be written does not stop the others; the first error is
    /// returned, and those that failed are tried again with the next call.
    pub(crate) fn write_statuses(&self) -> io::Result<()> {
        let due = std::mem::take(&mut self.state().unwritten);
        let mut result = Ok(());
        for (kind, name) in due {
            let bytes = {
                let state = self.state();
                match kind {
                    DEPLOYMENT => state.deployments.get(&name).and_then(files::deployment_status),
                    _ => state.trainings.get(&name).map(files::training_status),
                }
            };
            if let Some(bytes) = bytes
                && let Err(error) = self.write_status(kind, name.as_str(), bytes)
            {
                self.state().unwritten.insert((kind, name));
                result = result.and(Err(error));
            }
        }
        result
    }

    /// Writes the report of a pass if it differs from the last one.
    pub(crate) fn put_report(&self, report: MLEnvironmentStatus) -> io::Result<()> {
        let bytes = files::json(&report);
        self.state().report = report;
        self.write_status(ENVIRONMENT, self.name.as_str(), bytes)
    }

    /// Says whether the files of the objects are still there, by the one that is always there.
    pub(crate) fn are_there(&self) -> bool {
        let file = self.data_dir.object_file(ENVIRONMENT, self.name.as_str());
        self.state().environment.is_none() || file.exists()
    }

    /// Writes everything anew into a data directory that was deleted and made again.
    pub(crate) fn rewrite(&self) -> io::Result<()> {
        let (environment, deployments, trainings, report) = {
            let mut state = self.state();
            state.written.clear();
            let due: Vec<_> = state
                .deployments
                .keys()
                .map(|name| (DEPLOYMENT, name.clone()))
                .collect();
            state.unwritten.extend(due);
            let due: Vec<_> = state
                .trainings
                .keys()
                .map(|name| (TRAINING, name.clone()))
                .collect();
            state.unwritten.extend(due);
            (
                state.environment.clone(),
                state.deployments.clone(),
                state.trainings.clone(),
                state.report.clone(),
            )
        };
        if let Some(environment) = environment {
            self.put_environment(&environment)?;
        }
        for (name, entry) in &trainings {
            self.put_training(name, &entry.object)?;
        }
        for (name, entry) in &deployments {
            self.put_deployment(name, &entry.object)?;
        }
        self.put_report(report)?;
        self.write_statuses()
    }

    fn write_status(&self, kind: &'static str, name: &str, bytes: Vec<u8>) -> io::Result<()> {
        let key = (kind, name.to_owned());
        if self.state().written.get(&key) == Some(&bytes) {
            return Ok(());
        }
        files::write_status(&self.data_dir, kind, name, &bytes)?;
        self.state().written.insert(key, bytes);
        Ok(())
    }

    fn remove_status(&self, kind: &'static str, name: &ObjectName) -> io::Result<()> {
        {
            let mut state = self.state();
            state.written.remove(&(kind, name.to_string()));
            state.unwritten.remove(&(kind, name.clone()));
        }
        files::remove_status(&self.data_dir, kind, name.as_str())
    }
}

impl State {
    fn drain(&mut self, name: &ObjectName, old: DeploymentEntry) {
        self.draining.insert(
            old.object.spec.model,
            Draining {
                name: name.clone(),
                status: old.status,
            },
        );
    }
}
