//! How a run goes, by its Job and the Pods of it: a pure function, whose words a person can act on.
//!
//! What a Pod's exit code means is the trainer's to say and the Job's to act on (`build::training`); what ended a Pod that
//! said nothing is told by the node: memory, a signal, an eviction. An evicted Pod ends nothing: its Job makes another one.

use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{ContainerStateTerminated, ContainerStatus, Pod};
use planner::Timestamp;
use planner::runs::{Outcome, StopReason};
use registry::run::RunResult;

use crate::build::training::{AT_FAULT, CONTAINER, FIT};
use crate::pods::{self, statuses, stuck};

/// How a run goes.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Course {
    /// There is no Job: it is yet to be made, or somebody removed it.
    Absent,
    /// It has not begun, and why.
    Waits(String),
    /// It is under way.
    Runs,
    /// It ended by itself, as its last words have it.
    Said(RunResult),
    /// It ended without last words that can be read.
    Ended(Outcome),
}

/// Says how a run goes. `pods` are those of its Job; `now` is when it is found to have ended.
pub(crate) fn course(job: Option<&Job>, pods: &[Pod], now: Timestamp) -> Course {
    let Some(job) = job else {
        return Course::Absent;
    };
    let newest = newest(pods);
    if let Some(reason) = condition(job, "Failed") {
        return failed(reason, newest, now);
    }
    if condition(job, "Complete").is_some() {
        return said(newest).map_or_else(
            || Course::Ended(transient("its Pod is gone, and with it what it said", now)),
            Course::Said,
        );
    }
    let spec = job.spec.as_ref();
    if spec.and_then(|spec| spec.suspend) == Some(true) {
        return Course::Waits("waits for its queue, which has not let it start".to_owned());
    }
    if let Some(why) = newest.map_or_else(|| Some("waits for a Pod".to_owned()), waits) {
        return Course::Waits(why);
    }
    Course::Runs
}

/// Returns why a condition of a Job is true, where it is.
fn condition<'a>(job: &'a Job, kind: &str) -> Option<&'a str> {
    let conditions = job.status.as_ref()?.conditions.as_deref()?;
    let holds = conditions
        .iter()
        .find(|condition| condition.type_ == kind && condition.status == "True")?;
    Some(holds.reason.as_deref().unwrap_or_default())
}

/// Says whether a Job has ended, one way or the other.
pub(crate) fn has_ended(job: &Job) -> bool {
    condition(job, "Failed").is_some() || condition(job, "Complete").is_some()
}

fn newest(pods: &[Pod]) -> Option<&Pod> {
    pods.iter().max_by_key(|pod| {
        let made = pod.metadata.creation_timestamp.as_ref().map(|time| time.0);
        (made, pod.metadata.name.as_deref())
    })
}

/// Returns the last words of a run.
fn said(pod: Option<&Pod>) -> Option<RunResult> {
    let last = statuses(pod?).find(|status| status.name == CONTAINER)?;
    words(terminated(last)?)
}

fn words(end: &ContainerStateTerminated) -> Option<RunResult> {
    serde_json::from_str(end.message.as_deref()?).ok()
}

fn terminated(status: &ContainerStatus) -> Option<&ContainerStateTerminated> {
    status.state.as_ref()?.terminated.as_ref()
}

fn failed(reason: &str, pod: Option<&Pod>, now: Timestamp) -> Course {
    if reason == "DeadlineExceeded" {
        let reason = StopReason::DeadlineExceeded;
        return Course::Ended(Outcome::Stopped { at: now, reason });
    }
    let Some(pod) = pod else {
        return Course::Ended(transient("its Pod is gone, and with it why it failed", now));
    };
    let ends = statuses(pod).filter_map(|status| Some((status.name.as_str(), terminated(status)?)));
    match ends.into_iter().find(|(_, end)| end.exit_code != 0) {
        Some((container, end)) => broke_off(container, end, now),
        None => Course::Ended(transient(&of_pod(pod), now)),
    }
}

/// Says how a container's end is to be taken.
fn broke_off(container: &str, end: &ContainerStateTerminated, now: Timestamp) -> Course {
    let code = end.exit_code;
    if end.reason.as_deref() == Some("OOMKilled") {
        let message = format!(
            "container {container} ran out of memory: raise `pod.resources.limits.memory`, or give the run less data"
        );
        return Course::Ended(transient(&message, now));
    }
    if container == FIT {
        let last = end.message.as_deref().unwrap_or_default();
        let message = format!(
            "the job's own container ended with code {code}: {}",
            last_line(last)
        );
        return Course::Ended(transient(&message, now));
    }
    if let Some(result) = words(end) {
        return Course::Said(result);
    }
    if AT_FAULT.contains(&code) {
        return Course::Ended(Outcome::Refused {
            at: now,
            message: format!("the trainer refused the run with code {code}, and did not say why"),
        });
    }
    let how = match code {
        128.. => format!("was ended by signal {}", code - 128),
        _ => format!("ended with code {code}"),
    };
    Course::Ended(transient(&format!("the trainer {how} and left no result"), now))
}

/// Returns the last line of a log: what a program says of why it ends.
fn last_line(log: &str) -> &str {
    let mut lines = log.lines().map(str::trim);
    lines.rfind(|line| !line.is_empty()).unwrap_or("it said nothing")
}

/// Says what a node told of a Pod of which no container ended with an error.
fn of_pod(pod: &Pod) -> String {
    let status = pod.status.as_ref();
    let reason = status.and_then(|status| status.reason.as_deref());
    let message = status.and_then(|status| status.message.as_deref());
    match (reason, message) {
        (Some(reason), Some(message)) => format!("its Pod failed: {reason}: {message}"),
        (Some(reason), None) => format!("its Pod failed: {reason}"),
        (None, _) => "its Pod failed, and nobody said why".to_owned(),
    }
}

fn transient(message: &str, at: Timestamp) -> Outcome {
    Outcome::Transient {
        at,
        message: message.to_owned(),
    }
}

/// Returns why a Pod does not run, where it does not.
fn waits(pod: &Pod) -> Option<String> {
    if let Some(evicted) = pods::condition(pod, "DisruptionTarget", "True") {
        let why = evicted.message.as_deref().unwrap_or("nobody said why");
        return Some(format!(
            "its Pod was evicted ({why}), and another takes its place: that is no attempt"
        ));
    }
    if let Some(stuck) = stuck(pod) {
        return Some(stuck);
    }
    // A Pod of several steps is pending until the last one; one that has ended is the Job's to judge, in a moment.
    let runs = |status: &ContainerStatus| {
        let state = status.state.as_ref();
        state.is_some_and(|state| state.running.is_some())
    };
    let phase = pod.status.as_ref().and_then(|status| status.phase.as_deref());
    let has_begun = matches!(phase, Some("Running" | "Succeeded" | "Failed")) || statuses(pod).any(runs);
    (!has_begun).then(|| "its Pod is being started".to_owned())
}

#[cfg(test)]
mod tests;
