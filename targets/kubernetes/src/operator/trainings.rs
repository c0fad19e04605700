//! Makes a namespace follow its MLTrainingJobs: what the planner decides, done with Jobs.
//!
//! ```text
//! watch ──> queue ──> GET object, Jobs, Pods ──> registry ──> decide, admit ──> status ──> POST, DELETE, let go
//! ```
//!
//! Status first: whoever dies after it leaves a run that the next one makes a Job of, and whoever dies before it leaves
//! nothing. Whatever waits for a volume does so on a thread that may.

mod admissions;
mod children;
mod cluster;
mod decision;
mod follow;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crds::status::{Condition, ConditionStatus};
use crds::{MLTrainingJob, MLTrainingJobStatus, convert};
use kube::Client;
use planner::Timestamp;
use planner::names::ObjectName;
use planner::object::Kind;
use planner::observed::TrainingObject;
use reconciler::conditions::Facts;
use reconciler::runs::TrainingStatus;
use reconciler::zones::system_knows;
use registry::Observer;

use super::cluster::StepError;
use super::events;
use super::run::{Stepped, Steps};
use crate::build::{Installation, Owner, training};
use crate::trainings::SeenJob;
use crate::trainings::course::has_ended;
use cluster::Cluster;
use decision::{Asked, Decided, Shared};

pub(super) use follow::follow;

/// What a spec is that says something that cannot be.
const INVALID: &str = "Invalid";

/// What steps the MLTrainingJobs of a namespace.
pub(super) struct Trainings {
    cluster: Cluster,
    shared: Arc<Shared>,
    clock: fn() -> Timestamp,
}

impl Steps for Trainings {
    const KIND: &'static str = "MLTrainingJob";

    /// Steps one MLTrainingJob.
    async fn step(&self, name: &ObjectName) -> Result<Stepped, StepError> {
        let found = self.cluster.object(name.as_str()).await;
        let object = match found {
            Ok(Some(object)) => object,
            Ok(None) => {
                self.shared.admissions().forget(name);
                return Ok(Stepped::default());
            }
            Err(error) => {
                self.shared.admissions().stepped(name, None);
                return Err(error);
            }
        };
        let stepped = self.step_object(name, &object).await;
        let stepped = match stepped {
            Err(error) => match error.told() {
                Some(facts) => self.tell_trouble(name, &object, error, facts).await,
                None => Err(error),
            },
            stepped => stepped,
        };
        self.shared.admissions().stepped(name, object.metadata.generation);
        stepped
    }

    fn touched(&self) -> BTreeSet<ObjectName> {
        self.shared.admissions().take_touched()
    }
}

impl Trainings {
    pub(super) fn new(
        client: Client,
        installation: Installation,
        registry: Observer,
        most: usize,
        clock: fn() -> Timestamp,
    ) -> Self {
        Self {
            cluster: Cluster::new(client, &installation.namespace),
            shared: Arc::new(Shared::new(installation, registry, most)),
            clock,
        }
    }

    async fn step_object(&self, name: &ObjectName, object: &MLTrainingJob) -> Result<Stepped, StepError> {
        if object.metadata.deletion_timestamp.is_some() {
            return self.stop(name, object).await;
        }
        let read = match read(object) {
            Ok(read) => read,
            Err(problems) => {
                self.shared.admissions().release(name);
                let facts = Facts::stalled(INVALID, problems);
                let has_written = self
                    .report(object, stalled(object, facts, (self.clock)()))
                    .await?;
                return Ok(Stepped {
                    has_written,
                    wake: None,
                });
            }
        };
        let asked = self.ask(name, object, read).await?;
        let jobs = asked.jobs.clone();
        let shared = Arc::clone(&self.shared);
        let now = (self.clock)();
        let decided = tokio::task::spawn_blocking(move || shared.decide(asked, now)).await??;
        let status = shown(object, &decided);
        let has_written = self.cluster.report(object, &status).await?;
        let acted = self.carry_out(object, &jobs, &decided).await;
        // The status is news whatever comes of the rest, and is not told again.
        if has_written {
            self.tell(object, &status).await;
        }
        Ok(Stepped {
            has_written: acted? || has_written,
            wake: decided.wake,
        })
    }

    /// Does what was decided, once the status says so. Returns whether there was anything to do.
    async fn carry_out(
        &self,
        object: &MLTrainingJob,
        jobs: &BTreeMap<String, SeenJob>,
        decided: &Decided,
    ) -> Result<bool, StepError> {
        let Decided {
            status: _,
            makes,
            deletes,
            expires,
            wake: _,
        } = decided;
        for found in deletes.iter().filter_map(|name| jobs.get(name)) {
            self.cluster.delete(&found.job).await?;
        }
        for job in makes {
            self.cluster.make(object, job).await?;
        }
        for job in expires {
            self.cluster.expire(job).await?;
        }
        Ok(!(makes.is_empty() && deletes.is_empty() && expires.is_empty()))
    }

    /// Asks for what is decided about: the object's Jobs, and the Pods of those of its runs.
    async fn ask(
        &self,
        name: &ObjectName,
        object: &MLTrainingJob,
        read: TrainingObject,
    ) -> Result<Asked, StepError> {
        let status = TrainingStatus::from(object.status.clone().unwrap_or_default());
        let records = status.runs.records.iter();
        let running = records.filter(|record| record.outcome == planner::runs::Outcome::Running);
        let running: BTreeSet<String> = running
            .map(|record| training::name(name, &record.version, record.attempt))
            .collect();
        let known = self.shared.children().jobs(name);
        let mut jobs = self
            .cluster
            .own_jobs(object, known.union(&running).cloned())
            .await?;
        for (job, found) in &mut jobs {
            if running.contains(job) {
                let known = self.shared.children().pods(job);
                found.pods = self.cluster.pods_of(job, known).await?;
            }
        }
        Ok(Asked {
            name: name.clone(),
            owner: Owner {
                kind: Kind::Training,
                name: name.clone(),
                uid: object.metadata.uid.clone().unwrap_or_default(),
            },
            object: read,
            status,
            jobs,
        })
    }

    /// Ends the runs of an object that goes: what keeps it may keep it long.
    async fn stop(&self, name: &ObjectName, object: &MLTrainingJob) -> Result<Stepped, StepError> {
        self.shared.admissions().forget(name);
        let known = self.shared.children().jobs(name);
        let jobs = self.cluster.own_jobs(object, known).await?;
        for found in jobs.values() {
            if !has_ended(&found.job) && found.job.metadata.deletion_timestamp.is_none() {
                self.cluster.delete(&found.job).await?;
            }
        }
        Ok(Stepped::default())
    }

    /// Says in the status why a step came to nothing. Where a person must mend that, others get what the job had.
    async fn tell_trouble(
        &self,
        name: &ObjectName,
        object: &MLTrainingJob,
        error: StepError,
        facts: Facts,
    ) -> Result<Stepped, StepError> {
        // What runs goes on running while the registry is away: it keeps its place.
        if !matches!(error, StepError::Registry(_)) {
            self.shared.admissions().release(name);
        }
        // The step may have written the status already.
        let Some(object) = self
            .cluster
            .object(name.as_str())
            .await?
            .filter(|found| found.metadata.uid == object.metadata.uid)
        else {
            return Err(StepError::Conflict);
        };
        self.report(&object, stalled(&object, facts, (self.clock)()))
            .await?;
        Err(error)
    }

    /// Writes the status, and events where it is news.
    async fn report(&self, object: &MLTrainingJob, status: MLTrainingJobStatus) -> Result<bool, StepError> {
        let has_written = self.cluster.report(object, &status).await?;
        if has_written {
            self.tell(object, &status).await;
        }
        Ok(has_written)
    }

    async fn tell(&self, object: &MLTrainingJob, status: &MLTrainingJobStatus) {
        for said in events::between_runs(object.status.as_ref(), status) {
            events::tell(&self.cluster.client, object, &said, (self.clock)()).await;
        }
    }
}

/// Reads an object. What was accepted once is read as it was then: that it would be refused by now is no reason to lose
/// its runs. What is new is held to what `aurora validate` says, in its words.
fn read(object: &MLTrainingJob) -> Result<TrainingObject, String> {
    let told = |problems: Vec<convert::Problem>| {
        let problems: Vec<String> = problems.iter().map(told).collect();
        problems.join("; ")
    };
    let status = object.status.as_ref();
    let is_of_spec = status.is_some_and(|status| status.observed_generation == object.metadata.generation);
    let is_refused = status.is_some_and(|status| is_stalled(status, &[INVALID]));
    if !is_of_spec || is_refused {
        convert::training(object, &system_knows).map_err(told)?;
    }
    convert::read_training_object(object).map_err(told)
}

fn told(problem: &convert::Problem) -> String {
    match problem.hint.as_str() {
        "" => problem.to_string(),
        hint => format!("{problem} ({hint})"),
    }
}

/// Returns the status that is written. That something of others is in a Job's way is not over before it is made.
fn shown(object: &MLTrainingJob, decided: &Decided) -> MLTrainingJobStatus {
    let mut status = MLTrainingJobStatus {
        observed_generation: object.metadata.generation,
        ..decided.status.shown()
    };
    let before = object.status.as_ref();
    let was_kept = before.filter(|before| is_stalled(before, &["ForeignChild", "ChildRefused"]));
    if let Some(before) = was_kept.filter(|_| !decided.makes.is_empty()) {
        status.conditions.clone_from(&before.conditions);
    }
    status
}

/// Returns the status with other conditions.
fn stalled(object: &MLTrainingJob, facts: Facts, now: Timestamp) -> MLTrainingJobStatus {
    let old = object.status.clone().unwrap_or_default();
    MLTrainingJobStatus {
        observed_generation: object.metadata.generation,
        conditions: facts.conditions(&old.conditions, now),
        ..old
    }
}

fn is_stalled(status: &MLTrainingJobStatus, reasons: &[&str]) -> bool {
    let holds = |condition: &Condition| {
        condition.kind == "Stalled"
            && condition.status == ConditionStatus::True
            && reasons.contains(&condition.reason.as_str())
    };
    status.conditions.iter().any(holds)
}
