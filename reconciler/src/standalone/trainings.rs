//! One step of each training job: what the planner decides, done with child processes.

mod child;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use crds::status::ConditionStatus;
use planner::Timestamp;
use planner::identity::{inputs_hash, spec_hash};
use planner::names::{ModelName, ObjectName, Version};
use planner::observed::ObservedModel;
use planner::runs::{ATTEMPTS_MAX, INTERRUPTED, Job, Outcome, Phase, Record, RunAction, runs};
use planner::training::{DataSource, Holdout};
use registry::Store;
use registry::run::{Ending, RunRequest};

use super::data_dir::advice;
use super::deployments::{Stepped, earliest};
use super::events::{Event, Events};
use super::objects::{Objects, TrainingEntry, TrainingStatus};
use super::{Trainer, Wake};
use crate::report::Facts;
use child::{Children, Ended, RunKey};

/// How many runs go on at a time.
const RUNNING_MAX: usize = 2;
/// How many runs a job's status remembers.
const RECORDS_MAX: usize = 20;
/// How long to wait, in seconds, before a run is started that could not be: nothing could be written.
const POSTPONED_SECONDS: u64 = 5;

/// Makes training runs follow the MLTrainingJob objects.
pub(super) struct Trainings {
    objects: Arc<Objects>,
    store: Store,
    trainer: Arc<dyn Trainer>,
    events: Events,
    children: Children,
    /// Whether runs that a former process left behind have been settled.
    has_settled_leftovers: bool,
    /// Until when no run is started, and why: nothing could be written for the last one.
    postponed: Option<(Timestamp, String)>,
}

/// A run that is due.
struct Due {
    name: ObjectName,
    version: Version,
    slot: Option<Timestamp>,
    attempt: u32,
}

impl Trainings {
    pub(super) fn new(
        objects: Arc<Objects>,
        store: Store,
        trainer: Arc<dyn Trainer>,
        events: Events,
        wake: Wake,
    ) -> Self {
        Self {
            objects,
            store,
            trainer,
            events,
            children: Children::new(wake),
            has_settled_leftovers: false,
            postponed: None,
        }
    }

    /// Steps each job once: what ended, what is due, what must stop. Called within a Tokio runtime.
    pub(super) fn step(&mut self, now: Timestamp) -> Stepped {
        let (mut jobs, models, stable_pins) = {
            let state = self.objects.state();
            (
                state.trainings.clone(),
                state.models.clone(),
                state.stable_pins.clone(),
            )
        };
        let mut stepped = Stepped {
            is_settled: true,
            ..Stepped::default()
        };
        let mut stale = BTreeSet::new();
        for ended in self.children.ended() {
            stepped.has_news = true;
            let Ended { key, how } = ended;
            stale.extend(self.settle(&mut jobs, &key, transient(how, now), now));
        }
        if !self.has_settled_leftovers {
            self.settle_leftovers(&mut jobs, now);
            self.has_settled_leftovers = true;
        }
        self.stop_orphans(&jobs);
        self.follow_progress(&mut jobs, now);

        let mut due = Vec::new();
        for (name, entry) in &mut jobs {
            // What the registry holds decides what is due; until it was looked at, nothing is.
            let model = &entry.object.spec.model;
            let Some(existing) = models.get(model).filter(|_| !stale.contains(model)) else {
                stepped.is_settled = false;
                continue;
            };
            let (more, wake) = self.decide(name, entry, existing, now);
            stepped.wake = earliest(stepped.wake, wake);
            due.extend(more);
        }
        for due in admit(due, &jobs, &stable_pins, &self.children) {
            if self.postponed.as_ref().is_none_or(|(until, _)| *until <= now) {
                self.start(&mut jobs, &due, &stable_pins, now);
            }
        }
        self.objects
            .state()
            .models
            .retain(|model, _| !stale.contains(model));
        for (name, mut entry) in jobs {
            stepped.is_settled &= !matches!(
                entry.status.phase,
                Some(Phase::Running { .. } | Phase::Pending { .. })
            );
            entry.status.conditions = conditions(&entry.status, now);
            let objects = self.objects.state();
            let before = objects
                .trainings
                .get(&name)
                .map(|entry| entry.status.phase.clone());
            stepped.has_news |= before.is_some_and(|before| before != entry.status.phase);
            drop(objects);
            self.objects.set_training_status(&name, entry.status);
        }
        stepped
    }

    /// Stops all runs, for the end of the process.
    pub(super) fn stop_all(&mut self) {
        self.children.stop_all();
    }

    /// Records how a run ended, `without_result` if it left none; returns its model, whose versions must be looked at
    /// anew.
    fn settle(
        &self,
        jobs: &mut BTreeMap<ObjectName, TrainingEntry>,
        key: &RunKey,
        without_result: Outcome,
        now: Timestamp,
    ) -> Option<ModelName> {
        let entry = jobs.get_mut(&key.job)?;
        let model = entry.object.spec.model.clone();
        let status = &mut entry.status;
        let Some(record) = running(&mut status.records, &key.version) else {
            // It was stopped, and is recorded as such.
            return Some(model);
        };
        let result = self
            .store
            .run(&model, &key.version)
            .and_then(|folder| folder.map_or(Ok(None), |folder| folder.result()));
        record.outcome = match result {
            Ok(Some(result)) => outcome(result.ending, result.at, &mut status.metrics),
            Ok(None) => without_result,
            Err(error) => transient(format!("the run's result cannot be read: {error}"), now),
        };
        if matches!(record.outcome, Outcome::Succeeded { .. }) {
            status.progress_percent = Some(100);
        }
        tracing::info!(job = %key.job, version = %key.version, outcome = ?record.outcome, "training run ended");
        self.events.send(Event::TrainingEnded {
            job: key.job.clone(),
            model: model.clone(),
            version: key.version.clone(),
            outcome: record.outcome.clone(),
            is_retried: matches!(record.outcome, Outcome::Transient { .. }) && record.attempt < ATTEMPTS_MAX,
        });
        Some(model)
    }

    /// Settles runs that are recorded as under way by a process that is gone, and its trainers with it.
    fn settle_leftovers(&self, jobs: &mut BTreeMap<ObjectName, TrainingEntry>, now: Timestamp) {
        let leftovers: Vec<RunKey> = jobs
            .iter()
            .flat_map(|(name, entry)| {
                let records = entry.status.records.iter();
                records
                    .filter(|record| record.outcome == Outcome::Running)
                    .map(|record| RunKey {
                        job: name.clone(),
                        version: record.version.clone(),
                    })
            })
            .collect();
        for key in leftovers {
            let interrupted = Outcome::Stopped {
                at: now,
                reason: INTERRUPTED.to_owned(),
            };
            self.settle(jobs, &key, interrupted, now);
        }
    }

    fn stop_orphans(&mut self, jobs: &BTreeMap<ObjectName, TrainingEntry>) {
        let orphans: Vec<RunKey> = self
            .children
            .keys()
            .filter(|key| !jobs.contains_key(&key.job))
            .cloned()
            .collect();
        for key in orphans {
            self.children.stop(&key);
        }
    }

    fn follow_progress(&mut self, jobs: &mut BTreeMap<ObjectName, TrainingEntry>, now: Timestamp) {
        for (key, progress, is_due) in self.children.progress(now) {
            if let Some(entry) = jobs.get_mut(&key.job)
                && is_due
            {
                entry.status.progress_percent = Some(progress.percent);
            }
            self.events.send(Event::TrainingProgress {
                job: key.job,
                version: key.version,
                percent: progress.percent,
                stage: progress.stage,
            });
        }
    }

    /// Asks the planner, stops and skips at once, and returns what is due to start.
    fn decide(
        &mut self,
        name: &ObjectName,
        entry: &mut TrainingEntry,
        existing: &ObservedModel,
        now: Timestamp,
    ) -> (Vec<Due>, Option<Timestamp>) {
        let training = &entry.object.spec;
        let job = Job {
            training,
            inputs: inputs_hash(training),
            spec_hash: spec_hash(training),
            committed_at: entry.object.committed_at,
            existing: &existing.versions,
        };
        let decided = runs(&job, &entry.status.records, now);
        let mut due = Vec::new();
        for action in decided.actions {
            match action {
                RunAction::Start {
                    version,
                    slot,
                    attempt,
                } => due.push(Due {
                    name: name.clone(),
                    version,
                    slot,
                    attempt,
                }),
                RunAction::Stop { version, reason } => {
                    self.children.stop(&RunKey {
                        job: name.clone(),
                        version: version.clone(),
                    });
                    if let Some(record) = running(&mut entry.status.records, &version) {
                        record.outcome = Outcome::Stopped {
                            at: now,
                            reason: reason.to_owned(),
                        };
                    }
                }
                RunAction::Skip {
                    version,
                    slot,
                    reason,
                } => entry.status.records.push(Record {
                    version,
                    inputs: job.inputs,
                    spec_hash: job.spec_hash,
                    slot: Some(slot),
                    attempt: 1,
                    started_at: now,
                    outcome: Outcome::Skipped {
                        at: now,
                        reason: reason.to_owned(),
                    },
                }),
            }
        }
        entry.status.note = match &self.postponed {
            Some((_, why)) if !due.is_empty() => Some(format!("cannot start: {why}; it is tried again")),
            Some(_) | None => retry_note(&decided.phase, &entry.status.records, decided.wake),
        };
        // A run that is due but not admitted yet has not started, whatever the planner expects.
        entry.status.phase = Some(match due.first() {
            Some(first) => Phase::Pending {
                version: first.version.clone(),
            },
            None => decided.phase,
        });
        bound(&mut entry.status.records);
        (due, decided.wake)
    }

    /// Records the attempt, then starts it: a crash in between leaves a record that the next process settles.
    fn start(
        &mut self,
        jobs: &mut BTreeMap<ObjectName, TrainingEntry>,
        due: &Due,
        stable_pins: &BTreeMap<ModelName, Version>,
        now: Timestamp,
    ) {
        let Some(entry) = jobs.get_mut(&due.name) else {
            return;
        };
        let before = entry.status.clone();
        let training = entry.object.spec.clone();
        let inputs = inputs_hash(&training);
        entry.status.records.push(Record {
            version: due.version.clone(),
            inputs,
            spec_hash: spec_hash(&training),
            slot: due.slot,
            attempt: due.attempt,
            started_at: now,
            outcome: Outcome::Running,
        });
        bound(&mut entry.status.records);
        entry.status.metrics.clear();
        entry.status.progress_percent = Some(0);
        entry.status.phase = Some(Phase::Running {
            version: due.version.clone(),
        });
        self.objects.set_training_status(&due.name, entry.status.clone());
        let file = |source: &DataSource, sha256: Option<&planner::names::Digest>| match source {
            DataSource::Builtin(_) | DataSource::Synthetic(_) => None,
            DataSource::Committed(_) => sha256.map(|sha256| self.store.dataset_path(sha256)),
            DataSource::Absolute(path) => Some(path.into()),
        };
        let request = RunRequest {
            registry: self.store.root().to_owned(),
            model: training.model.clone(),
            version: due.version.clone(),
            job: due.name.clone(),
            revision: entry.object.revision.clone(),
            inputs_hash: inputs,
            dataset: file(&training.dataset.source, training.dataset.sha256.as_ref()),
            holdout: match &training.evaluation.holdout {
                Holdout::Percent { .. } => None,
                Holdout::File { source, sha256 } => file(source, sha256.as_ref()),
            },
            baseline: stable_pins
                .get(&training.model)
                .filter(|pinned| **pinned != due.version)
                .cloned(),
            training,
        };
        let key = RunKey {
            job: due.name.clone(),
            version: due.version.clone(),
        };
        let prepared = self
            .objects
            .write_statuses()
            .map_err(|error| format!("{error}{}", advice(&error)))
            .and_then(|()| child::prepare(&request, &self.store));
        let folder = match prepared {
            Ok(folder) => folder,
            Err(why) => {
                entry.status = before;
                self.postpone(&key, why, now);
                return;
            }
        };
        self.postponed = None;
        self.children
            .start(&key, &request.model, folder, self.trainer.as_ref());
        self.events.send(Event::TrainingStarted {
            job: key.job,
            model: request.model,
            version: key.version,
        });
    }

    /// A run for which nothing can be written was never tried: it counts as no attempt, however long that lasts.
    fn postpone(&mut self, key: &RunKey, why: String, now: Timestamp) {
        let RunKey { job, version } = key;
        tracing::warn!(%job, %version, why, "cannot start a training run; it is tried again");
        if self.postponed.is_none() {
            self.events.send(Event::Trouble(format!(
                "cannot start training {job} {version}: {why}; it is tried again"
            )));
        }
        self.postponed = Some((now + Duration::from_secs(POSTPONED_SECONDS), why));
    }
}

/// Chooses which due runs start now: a few at a time, the pinned stable's before those that compare with it, and none
/// whose folder a process still writes to.
fn admit(
    mut due: Vec<Due>,
    jobs: &BTreeMap<ObjectName, TrainingEntry>,
    stable_pins: &BTreeMap<ModelName, Version>,
    children: &Children,
) -> Vec<Due> {
    let model_of = |name: &ObjectName| jobs.get(name).map(|entry| &entry.object.spec.model);
    let is_stable = |name: &ObjectName, version: &Version| {
        model_of(name).and_then(|model| stable_pins.get(model)) == Some(version)
    };
    let unfinished: BTreeSet<ModelName> = due
        .iter()
        .map(|due| (&due.name, &due.version))
        .chain(children.keys().map(|key| (&key.job, &key.version)))
        .filter(|(name, version)| is_stable(name, version))
        .filter_map(|(name, _)| model_of(name).cloned())
        .collect();
    due.retain(|due| !model_of(&due.name).is_some_and(|model| children.is_busy(model, &due.version)));
    due.retain(|due| {
        is_stable(&due.name, &due.version)
            || !model_of(&due.name).is_some_and(|model| unfinished.contains(model))
    });
    due.sort_by_key(|due| !is_stable(&due.name, &due.version));
    due.truncate(RUNNING_MAX.saturating_sub(children.keys().count()));
    due
}

/// Says of a run that waits for its next attempt how the last one failed, and when it is due.
fn retry_note(phase: &Phase, records: &[Record], due: Option<Timestamp>) -> Option<String> {
    let Phase::Pending { version } = phase else {
        return None;
    };
    let last = records.iter().rfind(|record| record.version == *version)?;
    let Outcome::Transient { message, .. } = &last.outcome else {
        return None;
    };
    let due = due?.format("%H:%M:%S");
    Some(format!(
        "attempt {} of {ATTEMPTS_MAX} failed: {message}; the next one is due at {due} UTC",
        last.attempt
    ))
}

fn running<'a>(records: &'a mut [Record], version: &Version) -> Option<&'a mut Record> {
    records
        .iter_mut()
        .rfind(|record| record.version == *version && record.outcome == Outcome::Running)
}

fn transient(message: String, at: Timestamp) -> Outcome {
    Outcome::Transient { at, message }
}

fn bound(records: &mut Vec<Record>) {
    let surplus = records.len().saturating_sub(RECORDS_MAX);
    records.drain(..surplus);
}

fn outcome(ending: Ending, at: Timestamp, metrics: &mut BTreeMap<String, f64>) -> Outcome {
    match ending {
        Ending::Published {
            digest,
            metrics: measured,
        } => {
            *metrics = measured;
            Outcome::Succeeded { at, digest }
        }
        Ending::Refused { message } => Outcome::Invalid { at, message },
        Ending::Failed { message } => Outcome::Transient { at, message },
    }
}

fn conditions(status: &TrainingStatus, now: Timestamp) -> Vec<crds::status::Condition> {
    let Some(phase) = &status.phase else {
        return status.conditions.clone();
    };
    let facts = |ready, reason, message: String, reconciling, stalled| Facts {
        ready: (ready, reason, message),
        reconciling,
        stalled,
    };
    let facts = match phase {
        Phase::Scheduled { .. } => facts(ConditionStatus::True, "Scheduled", String::new(), false, false),
        Phase::Pending { version } => facts(
            ConditionStatus::False,
            "Pending",
            status.note.clone().unwrap_or_else(|| version.to_string()),
            true,
            false,
        ),
        Phase::Running { version } => facts(
            ConditionStatus::False,
            "Running",
            version.to_string(),
            true,
            false,
        ),
        Phase::Succeeded { version, .. } => facts(
            ConditionStatus::True,
            "Succeeded",
            version.to_string(),
            false,
            false,
        ),
        Phase::Failed { message, .. } => {
            facts(ConditionStatus::False, "Failed", message.clone(), false, true)
        }
        Phase::Suspended => facts(ConditionStatus::True, "Suspended", String::new(), false, false),
    };
    facts.conditions(&status.conditions, now)
}
