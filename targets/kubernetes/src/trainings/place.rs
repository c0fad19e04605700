//! Whose a Job is: pure. A name says which version and attempt, not of which spec, and comes again with another one.

use std::collections::BTreeSet;

use k8s_openapi::api::batch::v1::Job;
use planner::identity::run_hash;
use planner::names::{Digest, ObjectName, Version};
use planner::runs::{Due, Outcome, Record};
use reconciler::runs::TrainingStatus;

use super::{Seen, SeenJob, course, running};
use crate::build::training::{self, SPEC};

/// What stands under the name of a run's Job.
#[derive(Debug, Clone, Copy)]
pub(super) enum Place<'a> {
    /// Nothing: the Job can be made.
    Free,
    /// The run's Job.
    Taken(&'a SeenJob),
    /// A Job of another spec, or one that is on its way out: it has to be gone first.
    InTheWay,
}

/// Looks for the Job of a run that is recorded as under way.
pub(super) fn of_running<'a>(name: &ObjectName, seen: &Seen<'a>, record: &Record) -> Place<'a> {
    let Some(found) = seen
        .jobs
        .get(&training::name(name, &record.version, record.attempt))
    else {
        return Place::Free;
    };
    if is_of_spec(&found.job, &record.spec_hash) {
        Place::Taken(found)
    } else {
        Place::InTheWay
    }
}

/// Looks for the Job of a run that is due. One that is there was forgotten with a status that somebody wiped, and is the
/// run's still; but not where it is known what came of it, for then it is to be run once more.
pub(super) fn of_due<'a>(
    name: &ObjectName,
    seen: &Seen<'a>,
    (version, attempt): (&Version, u32),
    status: &TrainingStatus,
) -> Place<'a> {
    let Some(found) = seen.jobs.get(&training::name(name, version, attempt)) else {
        return Place::Free;
    };
    let spec = run_hash(&seen.object.spec, seen.object.trust.as_ref());
    let is_settled = status.runs.records.iter().any(|record| {
        let is_it = record.version == *version && record.attempt == attempt && record.spec_hash == spec;
        is_it && record.outcome != Outcome::Running
    });
    let is_over = course::has_ended(&found.job) && is_settled;
    if is_of_spec(&found.job, &spec) && !is_over && !goes(&found.job) {
        Place::Taken(found)
    } else {
        Place::InTheWay
    }
}

fn is_of_spec(job: &Job, spec: &Digest) -> bool {
    let annotations = job.metadata.annotations.as_ref();
    let said = annotations.and_then(|annotations| annotations.get(SPEC));
    said.and_then(|said| said.parse().ok()).as_ref() == Some(spec)
}

fn goes(job: &Job) -> bool {
    job.metadata.deletion_timestamp.is_some()
}

/// Returns the Jobs of no run that is under way or due: to be deleted, and to be let go.
pub(super) fn leftovers(
    name: &ObjectName,
    seen: &Seen<'_>,
    status: &TrainingStatus,
    due: &[Due],
) -> (Vec<String>, Vec<String>) {
    let mut kept = BTreeSet::new();
    let mut in_the_way = BTreeSet::new();
    let mut sort = |place: Place<'_>, child: String| {
        match place {
            Place::Free => false,
            Place::Taken(_) => kept.insert(child),
            Place::InTheWay => in_the_way.insert(child),
        };
    };
    for record in running(status) {
        let child = training::name(name, &record.version, record.attempt);
        sort(of_running(name, seen, &record), child);
    }
    for due in due {
        let run = (&due.version, due.attempt);
        sort(
            of_due(name, seen, run, status),
            training::name(name, run.0, run.1),
        );
    }
    let mut deletes = Vec::new();
    let mut expires = Vec::new();
    let leaving = seen.jobs.iter().filter(|(child, found)| {
        let is_kept = kept.contains(*child);
        !is_kept && !goes(&found.job)
    });
    for (child, SeenJob { job, .. }) in leaving {
        let spec = job.spec.as_ref();
        if !course::has_ended(job) || in_the_way.contains(child) {
            deletes.push(child.clone());
        } else if spec.is_none_or(|spec| spec.ttl_seconds_after_finished.is_none()) {
            expires.push(child.clone());
        }
    }
    (deletes, expires)
}
