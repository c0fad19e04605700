//! Jobs with a schedule: one run per slot, its version being the slot in UTC.

use super::attempt::{self, Decision, continue_run, failures, try_again};
use super::{ATTEMPTS_MAX, Job, Outcome, Phase, Record, RunAction, SkipReason, StopReason};
use crate::Timestamp;
use crate::names::{Digest, Version};
use crate::observed::ObservedVersion;
use crate::schedule::Schedule;
use crate::training::Concurrency;

/// When runs happen.
pub(super) struct Policy<'a> {
    pub(super) schedule: &'a Schedule,
    pub(super) starting_deadline_seconds: Option<u64>,
    pub(super) concurrency: Concurrency,
}

pub(super) fn scheduled(job: &Job<'_>, policy: &Policy<'_>, records: &[Record], now: Timestamp) -> Decision {
    let since = job.since(records, now);
    let next = next_slot(policy.schedule, records, now);
    // Only the newest slot counts: of those that were missed, the others are not caught up.
    let due = policy.schedule.newest_until(now).filter(|slot| *slot > since);
    let decision = match due {
        Some(slot) => due_slot(job, policy, records, slot, now),
        None => Due::Nothing,
    };
    let decision = match decision {
        Due::Start(slot) => start(job, records, slot, now),
        Due::Replace(slot) => replace(job, records, slot, now),
        Due::Skip(slot, reason) => {
            let version = version_of(job, records, slot);
            let mut decision = Decision::of(at_rest(job, records, next));
            decision.actions.push(RunAction::Skip {
                version,
                slot,
                reason,
            });
            decision
        }
        Due::Nothing => between_slots(job, records, next, now),
    };
    match next {
        Some(next) => decision.wake_at(next),
        None => decision,
    }
}

/// Returns the next slot that is taken: where the clock was set back, some of those ahead were already.
pub(super) fn next_slot(schedule: &Schedule, records: &[Record], now: Timestamp) -> Option<Timestamp> {
    let is_taken = |slot: Timestamp| records.iter().any(|record| record.slot == Some(slot));
    let mut next = schedule.next_after(now);
    // Invariant: it ends, for there are so many records.
    while let Some(slot) = next.filter(|slot| is_taken(*slot)) {
        next = schedule.next_after(slot);
    }
    next
}

/// What a slot that is due comes to.
enum Due {
    Start(Timestamp),
    /// Stops what runs, and starts at the next call.
    Replace(Timestamp),
    Skip(Timestamp, SkipReason),
    Nothing,
}

fn due_slot(job: &Job<'_>, policy: &Policy<'_>, records: &[Record], slot: Timestamp, now: Timestamp) -> Due {
    let is_late = policy
        .starting_deadline_seconds
        .is_some_and(|limit| now - slot > attempt::seconds(limit));
    if is_late {
        return Due::Skip(slot, SkipReason::MissedDeadline);
    }
    let is_running = records.iter().any(|record| record.outcome == Outcome::Running);
    match policy.concurrency {
        Concurrency::Forbid if is_running => return Due::Skip(slot, SkipReason::Forbid),
        Concurrency::Forbid | Concurrency::Replace | Concurrency::Allow => {}
    }
    // What lies at a path is known only once it is read: the run itself ends where nothing is new.
    let known = [last_inputs(job, records), published_inputs(job, records)];
    if !job.training.has_open_data() && known.contains(&Some(job.inputs)) {
        return Due::Skip(slot, SkipReason::SameInputs);
    }
    let is_known_invalid = last_run(records).is_some_and(|last| {
        !job.training.has_open_data()
            && last.spec_hash == job.spec_hash
            && matches!(last.outcome, Outcome::Refused { .. })
    });
    if is_known_invalid {
        return Due::Skip(slot, SkipReason::LastRunInvalid);
    }
    match policy.concurrency {
        Concurrency::Replace if is_running => Due::Replace(slot),
        Concurrency::Forbid | Concurrency::Replace | Concurrency::Allow => Due::Start(slot),
    }
}

/// Starts a slot's run. The run before it that ended with all around it holds it back as it would its own next attempt:
/// otherwise each slot would take everything down anew.
fn start(job: &Job<'_>, records: &[Record], slot: Timestamp, now: Timestamp) -> Decision {
    let version = version_of(job, records, slot);
    let last = last_run(records).filter(|last| last.spec_hash == job.spec_hash);
    match last.and_then(Record::interrupted) {
        Some(interrupted) => try_again(job, &version, Some(slot), interrupted, now),
        None => continue_run(job, &version, Some(slot), (records, None), now),
    }
}

fn replace(job: &Job<'_>, records: &[Record], slot: Timestamp, now: Timestamp) -> Decision {
    let running = records.iter().filter(|record| record.outcome == Outcome::Running);
    let mut decision = Decision::of(Phase::Pending {
        version: version_of(job, records, slot),
    })
    .wake_at(now);
    decision.actions = running
        .map(|record| RunAction::Stop {
            version: record.version.clone(),
            reason: StopReason::Replaced,
        })
        .collect();
    decision
}

/// No slot is due: a run of the newest slot may have to be tried again, or anew for a changed spec.
fn between_slots(job: &Job<'_>, records: &[Record], next: Option<Timestamp>, now: Timestamp) -> Decision {
    if let Some(running) = attempt::running(records) {
        return Decision::of(running);
    }
    let rest = || Decision::of(at_rest(job, records, next));
    let Some(last) = last_run(records) else {
        return rest();
    };
    let Some(slot) = last.slot else { return rest() };
    match &last.outcome {
        Outcome::Transient { .. }
            if last.spec_hash == job.spec_hash && failures(records, last) < ATTEMPTS_MAX =>
        {
            continue_run(job, &last.version, Some(slot), (records, Some(last)), now)
        }
        Outcome::Stopped {
            reason: StopReason::Interrupted,
            ..
        } if last.spec_hash == job.spec_hash => {
            continue_run(job, &last.version, Some(slot), (records, Some(last)), now)
        }
        Outcome::Stopped {
            reason: StopReason::SpecChanged,
            ..
        } => {
            let version = if job.existing.contains_key(&last.version) {
                version_of(job, records, slot)
            } else {
                last.version.clone()
            };
            continue_run(job, &version, Some(slot), (records, None), now)
        }
        Outcome::Running
        | Outcome::Published { .. }
        | Outcome::Refused { .. }
        | Outcome::Transient { .. }
        | Outcome::Skipped { .. }
        | Outcome::Stopped { .. } => rest(),
    }
}

/// Where a job stands that has nothing to do until its next slot.
fn at_rest(job: &Job<'_>, records: &[Record], next: Option<Timestamp>) -> Phase {
    if let Some(running) = attempt::running(records) {
        return running;
    }
    let scheduled = Phase::Scheduled { next };
    let Some(last) = last_run(records) else {
        return scheduled;
    };
    let failed = |message: String| Phase::Failed {
        version: last.version.clone(),
        message,
    };
    let is_of_this_spec = last.spec_hash == job.spec_hash;
    match &last.outcome {
        Outcome::Published { digest, .. } => Phase::Succeeded {
            version: last.version.clone(),
            digest: *digest,
        },
        Outcome::Refused { message, .. } if is_of_this_spec => failed(message.clone()),
        Outcome::Transient { message, .. } if is_of_this_spec => failed(format!(
            "{message} (after {} attempts); the next slot tries again",
            last.attempt
        )),
        Outcome::Stopped {
            reason: StopReason::DeadlineExceeded,
            ..
        } if is_of_this_spec => failed(format!(
            "stopped after activeDeadlineSeconds ({} s); the next slot tries again",
            job.training.active_deadline_seconds,
        )),
        Outcome::Running
        | Outcome::Refused { .. }
        | Outcome::Transient { .. }
        | Outcome::Skipped { .. }
        | Outcome::Stopped { .. } => scheduled,
    }
}

/// The newest run that was started.
fn last_run(records: &[Record]) -> Option<&Record> {
    records
        .iter()
        .rev()
        .find(|record| !matches!(record.outcome, Outcome::Skipped { .. }))
}

/// The inputs of the newest run that succeeded. A slot skipped for having the same ones stands for it, and where no
/// record does, the newest version that was trained.
fn last_inputs(job: &Job<'_>, records: &[Record]) -> Option<Digest> {
    let succeeded = records.iter().rev().find(|record| match &record.outcome {
        Outcome::Published { .. } => true,
        Outcome::Skipped { reason, .. } => *reason == SkipReason::SameInputs,
        Outcome::Running | Outcome::Refused { .. } | Outcome::Transient { .. } | Outcome::Stopped { .. } => {
            false
        }
    });
    succeeded.map(|record| record.inputs).or_else(|| {
        job.existing.values().rev().find_map(|existing| match existing {
            ObservedVersion::Sound { inputs, .. } => *inputs,
            ObservedVersion::Damaged(_) => None,
        })
    })
}

/// The inputs of the newest version that was trained: by this job, else by any of the model's.
pub(super) fn published_inputs(job: &Job<'_>, records: &[Record]) -> Option<Digest> {
    let inputs = |version| match job.existing.get(version)? {
        ObservedVersion::Sound { inputs, .. } => *inputs,
        ObservedVersion::Damaged(_) => None,
    };
    let published = records.iter().rev();
    let mut published = published.filter(|record| matches!(record.outcome, Outcome::Published { .. }));
    match published.next() {
        Some(record) => inputs(&record.version),
        None => job.existing.keys().rev().find_map(inputs),
    }
}

fn version_of(job: &Job<'_>, records: &[Record], slot: Timestamp) -> Version {
    Version::at(slot, |version| job.is_taken(version, records))
}
