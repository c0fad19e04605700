//! The objects and their status: in memory for the loops, in files for a restart.
//!
//! This process is the files' only writer. An object's spec is written by the reconciler alone, through [`ObjectStore`],
//! a status by the operator alone. An object that cannot be written is not changed in memory either; a status counts at
//! once and is written as soon as that works.

mod files;

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crds::MLEnvironmentStatus;
use crds::status::Condition;
use planner::environment::Environment;
use planner::finding::{Disposition, Reason};
use planner::names::{Digest, EnvironmentName, ModelName, ObjectName};
use planner::object::{Kind, ObjectId};
use planner::observed::{ObservedDeployment, ObservedTraining};
use planner::rollout;
use reconciler::objects::{Changes, Log, Mark, Object, ObjectStore, ObservedObject, TargetError};
use reconciler::runs::TrainingStatus;

use crate::data_dir::{DataDir, DataDirError, advice};

/// An MLDeployment object and how it stands.
#[derive(Debug, Clone)]
pub(crate) struct DeploymentEntry {
    pub(crate) found: ObservedDeployment,
    pub(crate) conditions: Vec<Condition>,
}

/// An MLTrainingJob object and how it stands.
#[derive(Debug, Clone)]
pub(crate) struct TrainingEntry {
    pub(crate) object: planner::observed::TrainingObject,
    pub(crate) status: TrainingStatus,
}

/// Everything that both loops look at.
#[derive(Debug, Default)]
struct State {
    environment: Option<Environment>,
    report: Option<MLEnvironmentStatus>,
    deployments: BTreeMap<ObjectName, DeploymentEntry>,
    trainings: BTreeMap<ObjectName, TrainingEntry>,
    of_model: BTreeMap<ModelName, BTreeSet<ObjectName>>,
    /// Each change of a spec or a status: what the reconciler follows.
    changes: Log,
    /// Each change of a spec: what the operator follows.
    specs: Log,
    /// Status files whose content is behind memory.
    unwritten: BTreeSet<ObjectId>,
    /// What each status file holds, so that nothing is written twice.
    written: BTreeMap<ObjectId, Digest>,
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
    /// pass makes the object anew from Git. An object or a status that another program wrote is an error.
    pub(crate) fn load(data_dir: Arc<DataDir>, name: &EnvironmentName) -> Result<Self, DataDirError> {
        let state = files::load(&data_dir, name)?;
        Ok(Self {
            data_dir,
            name: name.clone(),
            state: Mutex::new(state),
        })
    }

    /// Held for memory only, never while something is read or written.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns the MLEnvironment, absent before the first pass.
    pub(crate) fn environment(&self) -> Option<Environment> {
        self.state().environment.clone()
    }

    /// Counts the changes of specs.
    pub(crate) fn generation(&self) -> u64 {
        self.state().specs.now()
    }

    /// Returns the objects whose spec changed since `since`, gone ones among them, and where to go on.
    pub(crate) fn specs_since(&self, since: Option<u64>) -> (Vec<ObjectId>, u64) {
        let state = self.state();
        let ids = state.specs.since(since).unwrap_or_else(|| {
            let deployments = state.deployments.keys().map(ObjectId::deployment);
            deployments
                .chain(state.trainings.keys().map(ObjectId::training))
                .collect()
        });
        (ids, state.specs.now())
    }

    pub(crate) fn deployment(&self, name: &ObjectName) -> Option<DeploymentEntry> {
        self.state().deployments.get(name).cloned()
    }

    /// Returns the objects of a model: one, but for the moment in which a renamed one takes over.
    pub(crate) fn of_model(&self, model: &ModelName) -> Vec<(ObjectName, DeploymentEntry)> {
        let state = self.state();
        let names = state.of_model.get(model).into_iter().flatten();
        names
            .filter_map(|name| Some((name.clone(), state.deployments.get(name)?.clone())))
            .collect()
    }

    pub(crate) fn training(&self, name: &ObjectName) -> Option<TrainingEntry> {
        self.state().trainings.get(name).cloned()
    }

    /// Returns the names of all jobs.
    pub(crate) fn trainings(&self) -> Vec<ObjectName> {
        self.state().trainings.keys().cloned().collect()
    }

    /// Remembers how a rollout stands; [`Self::write_statuses`] writes it.
    pub(crate) fn set_rollout(&self, name: &ObjectName, status: rollout::Status, conditions: Vec<Condition>) {
        let mut state = self.state();
        if let Some(entry) = state.deployments.get_mut(name) {
            entry.found.status = Some(status);
            entry.conditions = conditions;
            let id = ObjectId::deployment(name);
            state.changes.touch(&id);
            state.unwritten.insert(id);
        }
    }

    /// Remembers how a job stands; [`Self::write_statuses`] writes it. Returns whether its phase changed.
    pub(crate) fn set_training(&self, name: &ObjectName, status: TrainingStatus) -> bool {
        let mut state = self.state();
        let Some(entry) = state.trainings.get_mut(name) else {
            return false;
        };
        if entry.status == status {
            return false;
        }
        let has_moved = entry.status.runs.phase != status.runs.phase;
        let has_recorded = entry.status.runs.recorded_at() != status.runs.recorded_at();
        entry.status = status;
        let id = ObjectId::training(name);
        if has_moved || has_recorded {
            state.changes.touch(&id);
        }
        state.unwritten.insert(id);
        has_moved
    }

    /// Removes the status of an MLDeployment that is gone, once nothing of it serves any more.
    pub(crate) fn forget_rollout(&self, name: &ObjectName) -> io::Result<()> {
        if self.state().deployments.contains_key(name) {
            return Ok(());
        }
        self.remove_status(&ObjectId::deployment(name))
    }

    /// Writes the statuses that changed. One that cannot be written does not stop the others; the first error is
    /// returned, and those that failed are tried again with the next call.
    pub(crate) fn write_statuses(&self) -> io::Result<()> {
        let due = std::mem::take(&mut self.state().unwritten);
        let mut result = Ok(());
        for id in due {
            let bytes = {
                let state = self.state();
                match id.kind {
                    Kind::Deployment => state.deployments.get(&id.name).and_then(files::deployment_status),
                    Kind::Training => state.trainings.get(&id.name).map(files::training_status),
                    Kind::Environment => state.report.as_ref().map(files::json),
                }
            };
            if let Some(bytes) = bytes
                && let Err(error) = self.write_status(&id, &bytes)
            {
                self.state().unwritten.insert(id);
                result = result.and(Err(error));
            }
        }
        result
    }

    /// Says whether the files of the objects are still there, by the one that is always there.
    pub(crate) fn are_there(&self) -> bool {
        let file = self.data_dir.object_file(Kind::Environment, self.name.as_str());
        self.state().environment.is_none() || !matches!(file.stamp(), Ok(None))
    }

    /// Writes everything anew into a data directory that was deleted and made again.
    pub(crate) fn rewrite(&self) -> io::Result<()> {
        let objects: Vec<Object> = {
            let mut state = self.state();
            state.written.clear();
            let deployments = state.deployments.keys().map(ObjectId::deployment);
            let trainings = state.trainings.keys().map(ObjectId::training);
            let environment = ObjectId::environment(&self.name);
            let all: Vec<ObjectId> = deployments.chain(trainings).chain([environment]).collect();
            state.unwritten.extend(all);
            let environment = state.environment.clone().map(Object::Environment);
            let trainings = state.trainings.iter();
            let trainings =
                trainings.map(|(name, entry)| Object::Training(name.clone(), entry.object.clone()));
            let deployments = state.deployments.iter();
            let deployments =
                deployments.map(|(name, entry)| Object::Deployment(name.clone(), entry.found.object.clone()));
            environment
                .into_iter()
                .chain(trainings)
                .chain(deployments)
                .collect()
        };
        for object in &objects {
            files::write_object(&self.data_dir, object, &self.name)?;
        }
        self.write_statuses()
    }

    fn write_status(&self, id: &ObjectId, bytes: &[u8]) -> io::Result<()> {
        let digest = Digest::of(bytes);
        if self.state().written.get(id) == Some(&digest) {
            return Ok(());
        }
        files::write_status(&self.data_dir, id, bytes)?;
        self.state().written.insert(id.clone(), digest);
        Ok(())
    }

    fn remove_status(&self, id: &ObjectId) -> io::Result<()> {
        {
            let mut state = self.state();
            state.written.remove(id);
            state.unwritten.remove(id);
        }
        files::remove_status(&self.data_dir, id)
    }
}

impl State {
    fn put(&mut self, object: Object) {
        let id = object.id();
        match object {
            Object::Environment(environment) => self.environment = Some(environment),
            Object::Deployment(name, object) => {
                let model = object.spec.model.clone();
                let before = self.take_deployment(&name);
                let is_same = before
                    .as_ref()
                    .is_some_and(|before| before.found.object.spec.model == model);
                let (before, conditions) = match before {
                    Some(entry) if is_same => (Some(entry.found), entry.conditions),
                    Some(_) | None => (None, Vec::new()),
                };
                let found = ObservedDeployment::written(before, object);
                self.of_model.entry(model).or_default().insert(name.clone());
                self.deployments
                    .insert(name, DeploymentEntry { found, conditions });
            }
            Object::Training(name, object) => {
                let mut status = TrainingStatus::default();
                if let Some(old) = self.trainings.remove(&name) {
                    let phase = old.status.runs.phase.clone();
                    let before = ObservedTraining {
                        object: old.object,
                        phase,
                        recorded_at: None,
                    };
                    status = old.status;
                    status.runs.phase = ObservedTraining::written(Some(before), object.clone()).phase;
                }
                self.trainings.insert(name, TrainingEntry { object, status });
            }
        }
        self.changes.touch(&id);
        self.specs.touch(&id);
    }

    fn take_deployment(&mut self, name: &ObjectName) -> Option<DeploymentEntry> {
        let entry = self.deployments.remove(name)?;
        let model = &entry.found.object.spec.model;
        if let Some(names) = self.of_model.get_mut(model) {
            names.remove(name);
            if names.is_empty() {
                self.of_model.remove(model);
            }
        }
        Some(entry)
    }

    fn observed(&self, id: &ObjectId) -> Option<ObservedObject> {
        let name = id.name.clone();
        Some(match id.kind {
            Kind::Environment => ObservedObject::Environment(self.environment.clone()?),
            Kind::Deployment => {
                ObservedObject::Deployment(name, self.deployments.get(&id.name)?.found.clone())
            }
            Kind::Training => {
                let entry = self.trainings.get(&id.name)?;
                let found = ObservedTraining {
                    object: entry.object.clone(),
                    phase: entry.status.runs.phase.clone(),
                    recorded_at: entry.status.runs.recorded_at(),
                };
                ObservedObject::Training(name, found)
            }
        })
    }

    fn is_there(&self, object: &Object) -> bool {
        match object {
            Object::Environment(environment) => self.environment.as_ref() == Some(environment),
            Object::Deployment(name, object) => self
                .deployments
                .get(name)
                .is_some_and(|entry| entry.found.object == *object),
            Object::Training(name, object) => self
                .trainings
                .get(name)
                .is_some_and(|entry| entry.object == *object),
        }
    }
}

impl ObjectStore for Objects {
    /// While Git tracks anything of the data directory nothing is observed, so that no pass decides by what a commit put
    /// there; what serves goes on.
    fn observe(&self, since: Option<Mark>) -> Result<Changes, TargetError> {
        self.data_dir.refuse_tracked().map_err(|error| {
            TargetError::new(
                Disposition::Invalid,
                Reason::StorageUnavailable,
                error.to_string(),
            )
        })?;
        let state = self.state();
        let ids = since.and_then(|since| state.changes.since(Some(since.0)));
        let mut changes = Changes {
            mark: Mark(state.changes.now()),
            is_complete: ids.is_none(),
            report: state.report.clone().filter(|_| ids.is_none()).map(Box::new),
            ..Changes::default()
        };
        let ids = ids.unwrap_or_else(|| {
            let deployments = state.deployments.keys().map(ObjectId::deployment);
            let trainings = state.trainings.keys().map(ObjectId::training);
            let environment = ObjectId::environment(&self.name);
            [environment]
                .into_iter()
                .chain(deployments)
                .chain(trainings)
                .collect()
        });
        for id in ids {
            match state.observed(&id) {
                Some(object) => changes.objects.push(object),
                None if !changes.is_complete => changes.gone.push(id),
                None => {}
            }
        }
        Ok(changes)
    }

    fn put(&self, object: &Object) -> Result<(), TargetError> {
        if self.state().is_there(object) {
            return Ok(());
        }
        files::write_object(&self.data_dir, object, &self.name).map_err(|error| unwritable(&error))?;
        self.state().put(object.clone());
        Ok(())
    }

    /// An MLDeployment's tracks are emptied by the operator, then its status goes; a job's run is stopped by it.
    fn delete(&self, id: &ObjectId) -> Result<(), TargetError> {
        files::remove_object(&self.data_dir, id).map_err(|error| unwritable(&error))?;
        let was_there = {
            let mut state = self.state();
            let was_there = match id.kind {
                Kind::Environment => state.environment.take().is_some(),
                Kind::Deployment => state.take_deployment(&id.name).is_some(),
                Kind::Training => state.trainings.remove(&id.name).is_some(),
            };
            if was_there {
                state.changes.touch(id);
                state.specs.touch(id);
            }
            was_there
        };
        if was_there && id.kind == Kind::Training {
            self.remove_status(id).map_err(|error| unwritable(&error))?;
        }
        Ok(())
    }

    fn report(&self, status: &MLEnvironmentStatus) -> Result<(), TargetError> {
        self.state().report = Some(status.clone());
        self.write_status(&ObjectId::environment(&self.name), &files::json(status))
            .map_err(|error| unwritable(&error))
    }
}

fn unwritable(error: &io::Error) -> TargetError {
    let disposition = match error.kind() {
        io::ErrorKind::ReadOnlyFilesystem
        | io::ErrorKind::PermissionDenied
        | io::ErrorKind::AlreadyExists
        | io::ErrorKind::NotADirectory
        | io::ErrorKind::IsADirectory => Disposition::Invalid,
        _ => Disposition::Transient,
    };
    let message = format!("{error}{}", advice(error));
    TargetError::new(disposition, Reason::StorageUnavailable, message)
}

#[cfg(test)]
mod tests;
