//! A step of a training job in a cluster: what the planner decides, done with Jobs.
//!
//! ```text
//! object, status, Jobs and Pods ──course──> how each run goes ──decide──> status, then: Jobs to make, to delete, to let go
//!                                                             └─> runs that are due ──queue──> start
//! ```
//!
//! Whoever calls [`step`] has just read the object, writes the status with its resource version, and only then does what
//! else the step says: a process may die in between, and the next step says the same. A run that is recorded as under way
//! has a Job or gets it made; a Job of no such run is deleted, or goes by itself once what came of it is written down.
//! Names of Jobs come again, with another spec or once a version was removed: whose a Job is, [`place`] says.

pub(crate) mod course;
mod place;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Component, Path, PathBuf};

use chrono::Duration;
use k8s_openapi::api::batch::v1::Job as Child;
use k8s_openapi::api::core::v1::Pod;
use planner::Timestamp;
use planner::names::{Digest, ObjectName, Version};
use planner::observed::{ObservedVersion, TrainingObject};
use planner::runs::{Around, Due, Ended, Job, Outcome, Phase, Record};
use reconciler::runs::{Places, TrainingStatus, outside, request};
use registry::Store;
use registry::run::{Ending, RunResult};

use crate::build::training::{self, REGISTRY, Run};
use crate::build::{Installation, Owner};
use course::{Course, course};
use place::Place;

/// How late a node may see what another one has written to a shared volume.
const SEEN_AFTER: Duration = Duration::seconds(60);
/// How soon it looks again.
const LOOK: Duration = Duration::seconds(2);

/// A Job of a training job, with its Pods.
#[derive(Debug, Clone, Default)]
pub struct SeenJob {
    /// The Job.
    pub job: Child,
    /// Its Pods.
    pub pods: Vec<Pod>,
}

/// What is known of a training job.
#[derive(Debug)]
pub struct Seen<'a> {
    /// Where it runs.
    pub installation: &'a Installation,
    /// The object, as its children name it.
    pub owner: &'a Owner,
    /// The object, its schedule's zone read.
    pub object: &'a TrainingObject,
    /// Its Jobs, by name.
    pub jobs: &'a BTreeMap<String, SeenJob>,
    /// What the registry holds of its model.
    pub existing: &'a BTreeMap<Version, ObservedVersion>,
    /// The versions that other jobs of the model make, have made or are about to.
    pub claimed: &'a BTreeSet<Version>,
    /// The registry, as it is mounted here.
    pub store: &'a Store,
}

/// What a step says: the status is written before anything else is done.
#[derive(Debug)]
pub struct Step {
    /// The job's memory from now on.
    pub status: TrainingStatus,
    /// The runs that are due, to be admitted by a queue and then [`start`]ed.
    pub due: Vec<Due>,
    /// The Jobs to be made, as they are; one that is there already is the one.
    pub makes: Vec<Child>,
    /// The Jobs to be deleted, with their Pods, by name.
    pub deletes: Vec<String>,
    /// The Jobs to be let go after a while ([`training::expiring`]), by name.
    pub expires: Vec<String>,
    /// The runs that were found to have ended.
    pub ended: Vec<(Version, Ended)>,
    /// When to ask again although nothing happened.
    pub wake: Option<Timestamp>,
}

/// Decides about one training job.
pub fn step(name: &ObjectName, seen: &Seen<'_>, mut status: TrainingStatus, now: Timestamp) -> Step {
    let mut ended = Vec::new();
    let mut elapsed = BTreeMap::new();
    let mut waits: Option<(Version, String)> = None;
    let mut looks_again = None;
    for record in running(&status) {
        // How long it runs is its Job's to count: two machines' clocks do not measure a time.
        elapsed.insert(record.version.clone(), std::time::Duration::ZERO);
        match goes(name, seen, &record, now) {
            Course::Absent => {}
            Course::Waits(why) => {
                waits.get_or_insert((record.version, why));
            }
            Course::Runs => {
                status.progress_percent = progress(seen, &record.version).or(status.progress_percent);
            }
            Course::Said(result) if is_yet_to_be_seen(seen, &record, &result, now) => {
                looks_again = Some(now + LOOK);
                let why = "the registry does not show yet what it says that it published".to_owned();
                waits.get_or_insert((record.version, why));
            }
            Course::Said(result) => {
                let of = (&seen.object.spec.model, &record.version);
                let outcome = status.outcome(result, of, seen.store, now);
                ended.extend(end(&mut status, seen, &record.version, outcome));
            }
            Course::Ended(outcome) => {
                let outcome = published_all_the_same(seen, &record, outcome, now);
                ended.extend(end(&mut status, seen, &record.version, outcome));
            }
        }
    }
    let around = Around {
        claimed: seen.claimed.clone(),
        elapsed,
    };
    let job = Job::new(seen.object, seen.existing).with(&around);
    let held = outside(seen.object, seen.installation);
    let mut decided = status.runs.decide(name, &job, held.as_deref(), now);
    if held.is_some() {
        decided.due.clear();
    }
    // What is published is not the end of its run: that comes with what was measured.
    if let Some(Phase::Succeeded { version, .. }) = &status.runs.phase
        && status.runs.running().any(|running| running == version)
    {
        let version = version.clone();
        status.runs.phase = Some(Phase::Running { version });
    }
    if let Some((version, why)) = waits
        && status.runs.running().any(|running| *running == version)
    {
        status.runs.phase = Some(Phase::Pending { version });
        status.runs.note = Some(why);
    }
    let makes = missing(name, seen, &status);
    if let Err(why) = &makes {
        status.runs.note = Some(why.clone());
    }
    status.judge(seen.object, now);
    let (deletes, expires) = place::leftovers(name, seen, &status, &decided.due);
    Step {
        due: decided.due,
        makes: makes.unwrap_or_default(),
        deletes,
        expires,
        ended,
        wake: [decided.wake, looks_again].into_iter().flatten().min(),
        status,
    }
}

/// What comes of a run that is to start.
#[derive(Debug)]
pub enum Start {
    /// It is recorded in this status; once that is written, the Job is to be made.
    Begun(Box<TrainingStatus>, Box<Child>),
    /// A Job that bears its name has to be gone first.
    Blocked,
}

/// Records that a run starts now.
///
/// # Errors
///
/// Why no Job can be made of it, for people.
pub fn start(due: &Due, seen: &Seen<'_>, status: &TrainingStatus, now: Timestamp) -> Result<Start, String> {
    let run = (&due.version, due.attempt);
    if let Place::InTheWay = place::of_due(&due.job, seen, run, status) {
        return Ok(Start::Blocked);
    }
    let mut status = status.clone();
    let job = Job::new(seen.object, seen.existing);
    let child = made(due, seen, &status)?;
    status.runs.start(due, &job, now);
    status.metrics.clear();
    status.progress_percent = Some(0);
    status.judge(seen.object, now);
    Ok(Start::Begun(Box::new(status), Box::new(child)))
}

fn running(status: &TrainingStatus) -> Vec<Record> {
    let records = status.runs.records.iter();
    let running = records.filter(|record| record.outcome == Outcome::Running);
    running.cloned().collect()
}

fn goes(name: &ObjectName, seen: &Seen<'_>, record: &Record, now: Timestamp) -> Course {
    match place::of_running(name, seen, record) {
        Place::Free | Place::InTheWay => course(None, &[], now),
        Place::Taken(SeenJob { job, pods }) => course(Some(job), pods, now),
    }
}

fn progress(seen: &Seen<'_>, version: &Version) -> Option<u8> {
    let folder = seen.store.run(&seen.object.spec.model, version).ok()??;
    Some(folder.progress().ok()??.percent)
}

/// A node may see late what another one has written: what is not there yet is no lie.
fn is_yet_to_be_seen(seen: &Seen<'_>, record: &Record, result: &RunResult, now: Timestamp) -> bool {
    let is_published = matches!(result.ending, Ending::Published { .. });
    let is_recent = (Duration::zero()..SEEN_AFTER).contains(&(now - result.at));
    is_published && is_recent && !seen.existing.contains_key(&record.version)
}

/// A run may have published and lost its Pod, and with it its last words: the version is there all the same.
fn published_all_the_same(seen: &Seen<'_>, record: &Record, outcome: Outcome, now: Timestamp) -> Outcome {
    match (&outcome, seen.existing.get(&record.version)) {
        (
            Outcome::Transient { .. } | Outcome::Stopped { .. },
            Some(ObservedVersion::Sound {
                digest,
                inputs: Some(inputs),
                engine: _,
            }),
        ) if *inputs == record.inputs => Outcome::Published {
            at: now,
            digest: *digest,
        },
        _ => outcome,
    }
}

fn end(
    status: &mut TrainingStatus,
    seen: &Seen<'_>,
    version: &Version,
    outcome: Outcome,
) -> Option<(Version, Ended)> {
    let of = (&seen.object.spec.model, version);
    let ended = status.end(of, outcome, seen.store)?;
    Some((version.clone(), ended))
}

/// Returns the Jobs that runs under way have not: whoever recorded them died before it made them, or somebody deleted them.
fn missing(name: &ObjectName, seen: &Seen<'_>, status: &TrainingStatus) -> Result<Vec<Child>, String> {
    let mut missing = Vec::new();
    for record in running(status) {
        if let Place::Free = place::of_running(name, seen, &record) {
            let due = Due {
                job: name.clone(),
                model: seen.object.spec.model.clone(),
                is_baseline: false,
                baseline: seen.object.baseline.clone(),
                version: record.version,
                slot: record.slot,
                attempt: record.attempt,
            };
            missing.push(made(&due, seen, status)?);
        }
    }
    Ok(missing)
}

fn made(due: &Due, seen: &Seen<'_>, status: &TrainingStatus) -> Result<Child, String> {
    let job = Job::new(seen.object, seen.existing);
    let published = status.runs.published_inputs(&job);
    let request = request(due, seen.object, job.inputs, published, seen.installation)?;
    let run = Run {
        installation: seen.installation,
        owner: seen.owner,
        request: &request,
        attempt: due.attempt,
    };
    training::job(&run).map_err(|error| error.to_string())
}

/// Where a trainer's Pod finds things.
impl Places for Installation {
    fn registry(&self) -> PathBuf {
        PathBuf::from(REGISTRY)
    }

    fn staged(&self, sha256: &Digest) -> PathBuf {
        Store::at(Path::new(REGISTRY)).dataset_path(sha256)
    }

    fn outside(&self, path: &str) -> Option<PathBuf> {
        let path = Path::new(path);
        let is_plain = |component| matches!(component, Component::Normal(_) | Component::RootDir);
        let is_below = |folder: &str| path.starts_with(folder) && path != Path::new(folder);
        let mut folders = self.dataset_claims.iter().map(|claim| claim.folder.as_str());
        (path.components().all(is_plain) && folders.any(is_below)).then(|| path.to_owned())
    }

    fn roots(&self) -> Vec<PathBuf> {
        let folders = self.dataset_claims.iter();
        folders.map(|claim| PathBuf::from(&claim.folder)).collect()
    }

    fn advice(&self) -> &'static str {
        "start the operator with --dataset-claim and the folder and the claim of its volume"
    }
}

#[cfg(test)]
mod tests;
