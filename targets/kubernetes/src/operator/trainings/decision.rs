//! What a step of a job comes to: read from the registry and decided, on a thread that may wait for a slow volume.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use chrono::Duration;
use k8s_openapi::api::batch::v1::Job;
use planner::Timestamp;
use planner::names::ObjectName;
use planner::observed::TrainingObject;
use planner::runs::{Due, Outcome};
use reconciler::runs::TrainingStatus;
use reconciler::zones::Zones;
use registry::Observer;

use super::admissions::Admissions;
use super::children::Children;
use crate::build::{Installation, Owner, training};
use crate::operator::cluster::StepError;
use crate::trainings::{Seen, SeenJob, Start, Step, start, step};

/// How often it is looked how far a run is.
const PROGRESS: Duration = Duration::seconds(5);
/// How soon it is looked again whether what keeps a run from starting is gone.
const LOOK: Duration = Duration::seconds(2);

/// What steps of all jobs share.
pub(super) struct Shared {
    installation: Installation,
    registry: Observer,
    zones: Mutex<Zones>,
    admissions: Mutex<Admissions>,
    children: Mutex<Children>,
}

/// A job as it was asked for.
pub(super) struct Asked {
    pub(super) name: ObjectName,
    pub(super) owner: Owner,
    pub(super) object: TrainingObject,
    pub(super) status: TrainingStatus,
    pub(super) jobs: BTreeMap<String, SeenJob>,
}

/// What is done: the status is written before anything else is.
#[derive(Debug)]
pub(super) struct Decided {
    pub(super) status: TrainingStatus,
    pub(super) makes: Vec<Job>,
    pub(super) deletes: Vec<String>,
    pub(super) expires: Vec<String>,
    pub(super) wake: Option<Timestamp>,
}

impl Shared {
    pub(super) fn new(installation: Installation, registry: Observer, most: usize) -> Self {
        Self {
            installation,
            registry,
            zones: Mutex::default(),
            admissions: Mutex::new(Admissions::new(most)),
            children: Mutex::default(),
        }
    }

    pub(super) fn admissions(&self) -> MutexGuard<'_, Admissions> {
        self.admissions.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn children(&self) -> MutexGuard<'_, Children> {
        self.children.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Decides about a job. Nothing is held while files are read but the zones, which others read here alone.
    pub(super) fn decide(&self, asked: Asked, now: Timestamp) -> Result<Decided, StepError> {
        let Asked {
            name,
            owner,
            mut object,
            status,
            jobs,
        } = asked;
        let mut zones = self.zones.lock().unwrap_or_else(PoisonError::into_inner);
        zones.read(&mut object.spec);
        drop(zones);
        let model = &object.spec.model;
        let existing = self.registry.observe(model).map_err(Box::new)?;
        loop {
            let claimed = self.admissions().claimed(&name, model);
            let seen = Seen {
                installation: &self.installation,
                owner: &owner,
                object: &object,
                jobs: &jobs,
                existing: &existing.versions,
                claimed: &claimed,
                store: self.registry.store(),
            };
            let step = step(&name, &seen, status.clone(), now);
            let due = step.due.iter().map(|due| &due.version);
            if self
                .admissions()
                .claim(&name, (model, &claimed), &step.status.runs, due)
            {
                return self.start_admitted(&name, &seen, step, now);
            }
        }
    }

    /// Starts what may start of what is due.
    fn start_admitted(
        &self,
        name: &ObjectName,
        seen: &Seen<'_>,
        step: Step,
        now: Timestamp,
    ) -> Result<Decided, StepError> {
        let Step {
            mut status,
            due,
            mut makes,
            deletes,
            expires,
            ended,
            wake,
        } = step;
        for (version, ended) in ended {
            let outcome = ended.outcome;
            tracing::info!(job = %name, %version, ?outcome, "training run ended");
        }
        let mut wakes = vec![wake];
        let starts = self
            .admissions()
            .settle(name, under_way(name, seen.object, &status), due);
        for run in starts {
            let job = training::name(name, &run.version, run.attempt);
            let is_written = self
                .children()
                .is_written_by_another(&run.model, &run.version, &job);
            let started = if is_written {
                Start::Blocked
            } else {
                start(&run, seen, &status, now).map_err(StepError::Unstartable)?
            };
            match started {
                Start::Begun(begun, job) => {
                    tracing::info!(job = %name, version = %run.version, attempt = run.attempt, "training run starts");
                    status = *begun;
                    makes.push(*job);
                }
                Start::Blocked => wakes.push(Some(now + LOOK)),
            }
        }
        if status.runs.running().next().is_some() {
            wakes.push(Some(now + PROGRESS));
        }
        Ok(Decided {
            status,
            makes,
            deletes,
            expires,
            wake: wakes.into_iter().flatten().min(),
        })
    }
}

/// Returns the runs that are recorded as under way, as what they were when they were due.
fn under_way(name: &ObjectName, object: &TrainingObject, status: &TrainingStatus) -> Vec<Due> {
    let records = status.runs.records.iter();
    let running = records.filter(|record| record.outcome == Outcome::Running);
    let due = running.map(|record| Due {
        job: name.clone(),
        model: object.spec.model.clone(),
        is_baseline: object.baseline.as_ref() == Some(&record.version),
        baseline: object.baseline.clone(),
        version: record.version.clone(),
        slot: record.slot,
        attempt: record.attempt,
    });
    due.collect()
}
