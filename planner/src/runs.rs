//! Which training run starts, is retried, skipped or stopped, and what its version is called.

mod attempt;
mod claims;
mod queue;
mod scheduled;
mod status;
mod unscheduled;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::Timestamp;
use crate::identity::{inputs_hash, run_hash};
use crate::names::{Digest, Version};
use crate::observed::{ObservedVersion, TrainingObject};
use crate::training::{RunPolicy, Training};
use attempt::Decision;

pub use claims::Claims;
pub use queue::{Due, Queue};
pub use status::{Decided, Ended, RECORDS_MAX, Records, Status};

/// A run that breaks off by itself, for a reason outside its inputs, is started so often. One that ends with all around
/// it is not given up, but tried hourly from then on.
pub const ATTEMPTS_MAX: u32 = 3;

/// What is known of a job besides its runs.
#[derive(Debug, Clone, PartialEq)]
pub struct Job<'a> {
    /// Its spec.
    pub training: &'a Training,
    /// The hash of the declared inputs (docs/design.md, "Training identity").
    pub inputs: Digest,
    /// The hash of the whole spec, and of whose signature an import needs: "no retry until the spec changes" looks at this one.
    pub spec_hash: Digest,
    /// The committer time of the job's revision.
    pub committed_at: Timestamp,
    /// Since when the clock is behind the job's commit or one of its slots.
    pub behind_since: Option<Timestamp>,
    /// What the registry holds of the job's model.
    pub existing: &'a BTreeMap<Version, ObservedVersion>,
    /// The version that Git pins as the model's stable: what the others are compared with.
    pub baseline: Option<&'a Version>,
    /// What is known of it besides its object and the registry.
    pub around: &'a Around,
}

/// What a target knows of a job besides its object and the registry.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Around {
    /// The versions that other jobs of the model make, have made or are about to: no run is named so.
    pub claimed: BTreeSet<Version>,
    /// How long the runs under way have been so, by a clock that nobody sets. Where a run is not in it, the time of day
    /// counts.
    pub elapsed: BTreeMap<Version, std::time::Duration>,
}

static NOTHING_AROUND: Around = Around {
    claimed: BTreeSet::new(),
    elapsed: BTreeMap::new(),
};

impl<'a> Job<'a> {
    /// Puts together what is known of a job: its object, and what the registry holds of its model.
    pub fn new(object: &'a TrainingObject, existing: &'a BTreeMap<Version, ObservedVersion>) -> Self {
        let TrainingObject {
            spec: training,
            revision: _,
            committed_at,
            baseline,
            trust,
            behind: _,
        } = object;
        Self {
            training,
            inputs: inputs_hash(training),
            spec_hash: run_hash(training, trust.as_ref()),
            committed_at: *committed_at,
            behind_since: None,
            existing,
            baseline: baseline.as_ref(),
            around: &NOTHING_AROUND,
        }
    }

    /// Adds what is known besides.
    #[must_use]
    pub fn with(self, around: &'a Around) -> Self {
        Self { around, ..self }
    }

    /// Returns after which moment a slot may be due. The clock of whoever made the commit may be ahead of this one, or
    /// this one was ahead and is not any more: then slots count from when that was seen, by the clock as it is.
    fn since(&self, records: &[Record], now: Timestamp) -> Timestamp {
        let taken = records.iter().filter_map(|record| record.slot);
        let known = taken.chain([self.committed_at]).filter(|at| *at <= now);
        let is_behind = is_behind(self.committed_at, records, now);
        let seen = is_behind.then(|| self.behind_since.map_or(now, |since| since.min(now)));
        // Invariant: what is not behind has a commit in the past.
        known.chain(seen).max().unwrap_or(now)
    }

    /// Says whether a version cannot be that of a new run.
    fn is_taken(&self, version: &Version, records: &[Record]) -> bool {
        self.existing.contains_key(version)
            || self.around.claimed.contains(version)
            || records.iter().any(|record| record.version == *version)
    }
}

/// Says whether the clock is behind a job's commit, or behind a slot that was taken.
fn is_behind(committed_at: Timestamp, records: &[Record], now: Timestamp) -> bool {
    committed_at > now || records.iter().any(|record| record.slot > Some(now))
}

/// One run that was started.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// The version that it publishes.
    pub version: Version,
    /// The inputs that it was started with.
    pub inputs: Digest,
    /// The spec that it was started with.
    pub spec_hash: Digest,
    /// The slot that it was started for.
    pub slot: Option<Timestamp>,
    /// 1 for the first attempt.
    pub attempt: u32,
    /// When this attempt started.
    pub started_at: Timestamp,
    /// How it goes.
    pub outcome: Outcome,
}

impl Record {
    /// Returns which attempt it was, and when, if it ended with all around it.
    fn interrupted(&self) -> Option<(u32, Timestamp)> {
        match self.outcome {
            Outcome::Stopped {
                at,
                reason: StopReason::Interrupted,
            } => Some((self.attempt, at)),
            Outcome::Running
            | Outcome::Published { .. }
            | Outcome::Refused { .. }
            | Outcome::Transient { .. }
            | Outcome::Skipped { .. }
            | Outcome::Stopped { .. } => None,
        }
    }
}

/// How a run goes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Outcome {
    /// It is under way.
    Running,
    /// It published its version.
    #[serde(alias = "Succeeded")]
    Published {
        /// When.
        at: Timestamp,
        /// The artifact's digest.
        digest: Digest,
    },
    /// Its inputs are at fault and would be again: bad data, a missed evaluation.
    #[serde(alias = "Invalid")]
    Refused {
        /// When.
        at: Timestamp,
        /// What a person should know.
        message: String,
    },
    /// It broke off and may succeed: killed, no space.
    Transient {
        /// When.
        at: Timestamp,
        /// What a person should know.
        message: String,
    },
    /// It was skipped before it started.
    Skipped {
        /// When.
        at: Timestamp,
        /// Why.
        reason: SkipReason,
    },
    /// It was stopped.
    Stopped {
        /// When.
        at: Timestamp,
        /// Why.
        reason: StopReason,
    },
}

impl Outcome {
    /// Returns when it came to that; `None` while it is under way.
    pub fn ended_at(&self) -> Option<Timestamp> {
        match self {
            Self::Running => None,
            Self::Published { at, .. }
            | Self::Refused { at, .. }
            | Self::Transient { at, .. }
            | Self::Skipped { at, .. }
            | Self::Stopped { at, .. } => Some(*at),
        }
    }
}

/// Why a slot starts no run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum SkipReason {
    /// The newest run that published had the same inputs.
    SameInputs,
    /// The run before it goes on, and the policy forbids a second one.
    Forbid,
    /// It was missed by more than the starting deadline.
    MissedDeadline,
    /// The last run refused these inputs, and would again.
    LastRunInvalid,
}

/// Why a run was stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum StopReason {
    /// The job says something else by now.
    SpecChanged,
    /// A newer slot takes its place.
    Replaced,
    /// It took longer than it may.
    DeadlineExceeded,
    /// Its target ended, and not in good order, before it did. That counts as an attempt, since the run may be the cause:
    /// the kernel takes a whole container whose memory runs out.
    Interrupted,
}

impl fmt::Display for SkipReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

impl fmt::Display for StopReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

/// What the target does for a job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RunAction {
    /// Starts an attempt and records it as running.
    Start {
        /// The version that it publishes.
        version: Version,
        /// The slot that it is for.
        slot: Option<Timestamp>,
        /// 1 for the first attempt.
        attempt: u32,
        /// The version that it is compared with.
        baseline: Option<Version>,
    },
    /// Ends a run that is under way and records it as stopped. What follows it starts at the next call.
    Stop {
        /// Which.
        version: Version,
        /// Why.
        reason: StopReason,
    },
    /// Records a slot as skipped.
    Skip {
        /// The version that it would have published.
        version: Version,
        /// The slot.
        slot: Timestamp,
        /// Why.
        reason: SkipReason,
    },
}

/// Where a job stands, for its status.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Phase {
    /// No run is due.
    Scheduled {
        /// The next slot.
        next: Option<Timestamp>,
    },
    /// A run is due or waits for its retry.
    Pending {
        /// The version that it will publish.
        version: Version,
    },
    /// A run is under way.
    Running {
        /// The version that it publishes.
        version: Version,
    },
    /// The newest run published, or the fixed version was already there.
    Succeeded {
        /// The version.
        version: Version,
        /// Its digest.
        digest: Digest,
    },
    /// The newest run did not publish, and nothing retries it until the spec changes, or until the next slot.
    Failed {
        /// The version that was not published.
        version: Version,
        /// What a person should know.
        message: String,
    },
    /// The job is suspended.
    Suspended,
}

/// What `runs()` decides.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Runs {
    /// In this order.
    pub actions: Vec<RunAction>,
    /// Where the job stands once they are done.
    pub phase: Phase,
    /// When to ask again although nothing happened: a slot, a retry, a deadline.
    pub wake: Option<Timestamp>,
    /// The next slot of its schedule, whatever else goes on.
    pub next: Option<Timestamp>,
}

/// Decides which runs of a job start, are retried, skipped or stopped.
///
/// `records` are the job's runs, oldest first; the target keeps the last 20. A run that its deadline stopped is not
/// tried again until the spec changes, or until the next slot. A job runs the slots after its revision's commit; of
/// those missed, only the newest is caught up. A slot that was taken under a clock ahead of `now` keeps no other from
/// being taken.
pub fn runs(job: &Job<'_>, records: &[Record], now: Timestamp) -> Runs {
    let (stops, records, mut wakes) = stop(job, records, now);
    let next = match &job.training.runs {
        RunPolicy::Scheduled { schedule, .. } if !job.training.suspend => {
            scheduled::next_slot(schedule, &records, now)
        }
        RunPolicy::Scheduled { .. } | RunPolicy::Fixed(_) | RunPolicy::PerInputs => None,
    };
    let mut decision = match &job.training.runs {
        _ if job.training.suspend => Decision::of(attempt::running(&records).unwrap_or(Phase::Suspended)),
        RunPolicy::Fixed(version) => unscheduled::fixed(job, version, &records, now),
        RunPolicy::PerInputs => unscheduled::per_inputs(job, &records, now),
        RunPolicy::Scheduled {
            schedule,
            starting_deadline_seconds,
            concurrency,
        } => {
            let policy = scheduled::Policy {
                schedule,
                starting_deadline_seconds: *starting_deadline_seconds,
                concurrency: *concurrency,
            };
            scheduled::scheduled(job, &policy, &records, now)
        }
    };
    // A run that is being stopped may still write: what takes its place starts once that is recorded.
    let stops_any = !stops.is_empty()
        || decision
            .actions
            .iter()
            .any(|a| matches!(a, RunAction::Stop { .. }));
    if let Some(version) = decision.start().filter(|_| stops_any) {
        decision
            .actions
            .retain(|action| !matches!(action, RunAction::Start { .. }));
        decision.phase = Phase::Pending { version };
        wakes.push(now);
    }
    wakes.extend(decision.wake);
    let mut actions = stops;
    actions.extend(decision.actions);
    Runs {
        actions,
        phase: decision.phase,
        wake: wakes.into_iter().min(),
        next,
    }
}

/// Stops what runs too long, or for a spec that is no more, and returns the records as they are after that.
fn stop(job: &Job<'_>, records: &[Record], now: Timestamp) -> (Vec<RunAction>, Vec<Record>, Vec<Timestamp>) {
    let mut stops = Vec::new();
    let mut deadlines = Vec::new();
    let mut after = records.to_vec();
    for record in after
        .iter_mut()
        .filter(|record| record.outcome == Outcome::Running)
    {
        let deadline = attempt::deadline(job, record, now);
        let reason = if deadline <= now {
            StopReason::DeadlineExceeded
        } else if record.spec_hash != job.spec_hash && !job.training.suspend {
            StopReason::SpecChanged
        } else {
            deadlines.push(deadline);
            continue;
        };
        stops.push(RunAction::Stop {
            version: record.version.clone(),
            reason,
        });
        record.outcome = Outcome::Stopped { at: now, reason };
    }
    (stops, after, deadlines)
}
