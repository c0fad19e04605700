//! One run from its first attempt to its end: what every way of running has in common.

use chrono::Duration;

use super::{ATTEMPTS_MAX, Job, Outcome, Phase, Record, RunAction, StopReason};
use crate::Timestamp;
use crate::names::Version;

/// How long a registry may take to show what a run published, in seconds.
const VISIBLE_AFTER_SECONDS: i64 = 10;

/// How long after an end all around it a run is tried again that has been tried [`ATTEMPTS_MAX`] times.
const HOURLY: Duration = Duration::hours(1);

/// What is decided about a job, the stops before it aside.
pub(super) struct Decision {
    pub(super) actions: Vec<RunAction>,
    pub(super) phase: Phase,
    pub(super) wake: Option<Timestamp>,
}

impl Decision {
    pub(super) fn of(phase: Phase) -> Self {
        Self {
            actions: Vec::new(),
            phase,
            wake: None,
        }
    }

    pub(super) fn wake_at(self, at: Timestamp) -> Self {
        Self {
            wake: Some(self.wake.map_or(at, |wake| wake.min(at))),
            ..self
        }
    }

    fn started(
        job: &Job<'_>,
        version: &Version,
        slot: Option<Timestamp>,
        attempt: u32,
        now: Timestamp,
    ) -> Self {
        let start = RunAction::Start {
            version: version.clone(),
            slot,
            attempt,
            baseline: job.baseline.filter(|baseline| *baseline != version).cloned(),
        };
        let phase = Phase::Running {
            version: version.clone(),
        };
        Self {
            actions: vec![start],
            phase,
            wake: Some(now + active_deadline(job)),
        }
    }

    /// Returns the version of the run that it starts.
    pub(super) fn start(&self) -> Option<Version> {
        self.actions.iter().find_map(|action| match action {
            RunAction::Start { version, .. } => Some(version.clone()),
            RunAction::Stop { .. } | RunAction::Skip { .. } => None,
        })
    }
}

/// Returns when a run that is under way is stopped. A clock that is set makes it neither older nor younger.
pub(super) fn deadline(job: &Job<'_>, record: &Record, now: Timestamp) -> Timestamp {
    let elapsed = job.around.elapsed.get(&record.version);
    let started_at = elapsed.map_or(record.started_at, |elapsed| now - seconds(elapsed.as_secs()));
    started_at + active_deadline(job)
}

fn active_deadline(job: &Job<'_>) -> Duration {
    seconds(job.training.active_deadline_seconds)
}

/// A century stands for anything longer.
pub(super) fn seconds(seconds: u64) -> Duration {
    const CENTURY: i64 = 100 * 366 * 24 * 3600;
    Duration::seconds(i64::try_from(seconds).unwrap_or(CENTURY).min(CENTURY))
}

/// Returns the phase of a job with a run under way: the newest.
pub(super) fn running(records: &[Record]) -> Option<Phase> {
    let running = records
        .iter()
        .rev()
        .find(|record| record.outcome == Outcome::Running)?;
    Some(Phase::Running {
        version: running.version.clone(),
    })
}

/// Decides about a run whose version does not exist, `last` being its newest attempt for this spec, one of `records`.
pub(super) fn continue_run(
    job: &Job<'_>,
    version: &Version,
    slot: Option<Timestamp>,
    (records, last): (&[Record], Option<&Record>),
    now: Timestamp,
) -> Decision {
    let start = |attempt| Decision::started(job, version, slot, attempt, now);
    let failed = |message| {
        Decision::of(Phase::Failed {
            version: version.clone(),
            message,
        })
    };
    let Some(last) = last else { return start(1) };
    match &last.outcome {
        Outcome::Running => Decision::of(Phase::Running {
            version: version.clone(),
        }),
        Outcome::Published { at, digest } => {
            let wait = Duration::seconds(VISIBLE_AFTER_SECONDS);
            let visible = *at + wait;
            if is_ahead(visible, wait, now) {
                let phase = Phase::Succeeded {
                    version: version.clone(),
                    digest: *digest,
                };
                Decision::of(phase).wake_at(visible)
            } else {
                start(1)
            }
        }
        Outcome::Refused { message, .. } => failed(message.clone()),
        Outcome::Transient { message, .. } if failures(records, last) >= ATTEMPTS_MAX => {
            failed(format!("{message} (after {} attempts)", last.attempt))
        }
        Outcome::Transient { at, .. } => try_again(job, version, slot, (last.attempt, *at), now),
        Outcome::Stopped { at, reason } => match reason {
            StopReason::DeadlineExceeded => failed(format!(
                "stopped after activeDeadlineSeconds ({} s); it is not tried again until the spec changes",
                job.training.active_deadline_seconds,
            )),
            StopReason::Interrupted => try_again(job, version, slot, (last.attempt, *at), now),
            StopReason::SpecChanged | StopReason::Replaced => start(1),
        },
        Outcome::Skipped { .. } => start(1),
    }
}

/// Starts the attempt after one that broke off at a moment, once its back-off is over.
pub(super) fn try_again(
    job: &Job<'_>,
    version: &Version,
    slot: Option<Timestamp>,
    (attempt, broke_off_at): (u32, Timestamp),
    now: Timestamp,
) -> Decision {
    let wait = back_off(attempt);
    let due = broke_off_at + wait;
    if is_ahead(due, wait, now) {
        let version = version.clone();
        Decision::of(Phase::Pending { version }).wake_at(due)
    } else {
        Decision::started(job, version, slot, attempt.saturating_add(1), now)
    }
}

/// Counts how often in a row a run broke off by itself, up to and with its newest attempt. Where all around it ended too,
/// that says nothing of the run.
pub(super) fn failures(records: &[Record], last: &Record) -> u32 {
    let of_this_run = records
        .iter()
        .rev()
        .filter(|record| record.version == last.version && record.spec_hash == last.spec_hash);
    let failed = of_this_run.take_while(|record| matches!(record.outcome, Outcome::Transient { .. }));
    u32::try_from(failed.count()).unwrap_or(u32::MAX)
}

/// Says whether the end of a wait is still ahead. One that is far longer than it was means that the clock was set back.
fn is_ahead(end: Timestamp, wait: Duration, now: Timestamp) -> bool {
    now < end && end - now <= wait * 2
}

/// How long after an attempt broke off the next one is due: 10 s, 40 s, then an hour.
pub(super) fn back_off(attempt: u32) -> Duration {
    match attempt {
        0 | 1 => Duration::seconds(10),
        2 => Duration::seconds(40),
        _ => HOURLY,
    }
}
