//! Objects in memory: the twin that the reconciler's tests run on.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crds::MLEnvironmentStatus;
use planner::finding::{Disposition, Reason};
use planner::names::ObjectName;
use planner::object::ObjectId;
use planner::observed::{ObservedDeployment, ObservedTraining};
use planner::rollout;
use planner::runs::Phase;

use super::{Changes, Mark, Object, ObjectStore, ObservedObject, TargetError};

/// The objects of one environment, in memory.
#[derive(Debug, Default)]
pub struct MemoryStore(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    now: u64,
    /// Absent: gone.
    objects: BTreeMap<ObjectId, (u64, Option<ObservedObject>)>,
    /// How many calls of the next ones fail.
    failing: usize,
    writes: usize,
    report: Option<MLEnvironmentStatus>,
}

impl MemoryStore {
    /// Lets the next `count` calls fail.
    pub fn fail(&self, count: usize) {
        self.state().failing = count;
    }

    /// Returns how many writes changed something.
    pub fn writes(&self) -> usize {
        self.state().writes
    }

    /// Returns the last report.
    pub fn last_report(&self) -> Option<MLEnvironmentStatus> {
        self.state().report.clone()
    }

    /// Writes an MLDeployment's status, as an operator does.
    pub fn set_rollout(&self, name: &ObjectName, status: rollout::Status) {
        self.state().change(&ObjectId::deployment(name), |object| {
            if let ObservedObject::Deployment(_, found) = object {
                found.status = Some(status);
            }
        });
    }

    /// Writes an MLTrainingJob's phase, as an operator does.
    pub fn set_phase(&self, name: &ObjectName, phase: Phase) {
        self.state().change(&ObjectId::training(name), |object| {
            if let ObservedObject::Training(_, found) = object {
                found.phase = Some(phase);
            }
        });
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn fails(&mut self) -> Result<(), TargetError> {
        if self.failing == 0 {
            return Ok(());
        }
        self.failing -= 1;
        Err(TargetError::new(
            Disposition::Transient,
            Reason::StorageUnavailable,
            "the store is away",
        ))
    }

    fn change(&mut self, id: &ObjectId, change: impl FnOnce(&mut ObservedObject)) {
        self.now += 1;
        if let Some((stamp, Some(object))) = self.objects.get_mut(id) {
            *stamp = self.now;
            change(object);
        }
    }

    fn set(&mut self, id: ObjectId, object: Option<ObservedObject>) {
        let before = self.objects.get(&id).and_then(|(_, object)| object.as_ref());
        if before != object.as_ref() {
            self.now += 1;
            self.writes += 1;
            self.objects.insert(id, (self.now, object));
        }
    }
}

impl ObjectStore for MemoryStore {
    fn observe(&self, since: Option<Mark>) -> Result<Changes, TargetError> {
        let mut state = self.state();
        state.fails()?;
        let mut changes = Changes {
            mark: Mark(state.now),
            is_complete: since.is_none(),
            report: state.report.clone().filter(|_| since.is_none()).map(Box::new),
            ..Changes::default()
        };
        for (id, (stamp, object)) in &state.objects {
            if since.is_none_or(|since| *stamp > since.0) {
                match object {
                    Some(object) => changes.objects.push(object.clone()),
                    None if since.is_some() => changes.gone.push(id.clone()),
                    None => {}
                }
            }
        }
        Ok(changes)
    }

    fn put(&self, object: &Object) -> Result<(), TargetError> {
        let mut state = self.state();
        state.fails()?;
        let id = object.id();
        let before = state.objects.get(&id).and_then(|(_, object)| object.clone());
        let after = match (object.clone(), before) {
            (Object::Environment(environment), _) => ObservedObject::Environment(environment),
            (Object::Deployment(name, object), before) => {
                let before = before.and_then(ObservedObject::into_deployment);
                ObservedObject::Deployment(name, ObservedDeployment::written(before, object))
            }
            (Object::Training(name, object), before) => {
                let before = before.and_then(ObservedObject::into_training);
                ObservedObject::Training(name, ObservedTraining::written(before, object))
            }
        };
        state.set(id, Some(after));
        Ok(())
    }

    fn delete(&self, id: &ObjectId) -> Result<(), TargetError> {
        let mut state = self.state();
        state.fails()?;
        if state.objects.contains_key(id) {
            state.set(id.clone(), None);
        }
        Ok(())
    }

    fn report(&self, status: &MLEnvironmentStatus) -> Result<(), TargetError> {
        let mut state = self.state();
        state.fails()?;
        if state.report.as_ref() != Some(status) {
            state.writes += 1;
            state.report = Some(status.clone());
        }
        Ok(())
    }
}
