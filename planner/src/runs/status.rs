//! A job's memory: its runs, where it stands, and why it waits. All that `runs()` decides is written down here.

use serde::{Deserialize, Deserializer, Serialize};

use super::scheduled::published_inputs;
use super::{
    ATTEMPTS_MAX, Due, Job, Outcome, Phase, Record, RunAction, Runs, SkipReason, StopReason, attempt,
    is_behind, runs,
};
use crate::Timestamp;
use crate::memory::{self, Format};
use crate::names::{Digest, ObjectName, Version};

/// How many runs a job's status remembers.
pub const RECORDS_MAX: usize = 20;

/// A job's whole memory.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Status {
    /// Where it stands; absent before its first step, and where its spec has changed since.
    pub phase: Option<Phase>,
    /// Why a run that is due waits, for people.
    pub note: Option<String>,
    /// The next slot of its schedule.
    pub next: Option<Timestamp>,
    /// Since when the clock is behind the job's commit or one of its slots.
    pub behind_since: Option<Timestamp>,
    /// The last runs, oldest first.
    pub records: Vec<Record>,
}

/// The records as they are written, with the version of the form.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Memory {
    /// Absent in what the first version wrote.
    #[serde(default)]
    format: Format,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    behind_since: Option<Timestamp>,
    runs: Vec<Record>,
}

/// What is remembered of a job, in the form in which it stands in its status.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(into = "Memory")]
pub struct Records {
    /// The last runs, oldest first.
    pub runs: Vec<Record>,
    /// Since when the clock is behind the job's commit or one of its slots.
    pub behind_since: Option<Timestamp>,
}

impl<'de> Deserialize<'de> for Records {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        memory::read(deserializer).map(|memory: Memory| Self {
            runs: memory.runs,
            behind_since: memory.behind_since,
        })
    }
}

impl From<Records> for Memory {
    fn from(Records { runs, behind_since }: Records) -> Self {
        Self {
            format: Format::default(),
            behind_since,
            runs,
        }
    }
}

/// What a step asks of the target.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Decided {
    /// The runs whose processes end now.
    pub stops: Vec<Version>,
    /// The runs that are due, to be admitted by a [`super::Queue`].
    pub due: Vec<Due>,
    /// When to ask again although nothing happened.
    pub wake: Option<Timestamp>,
}

/// How a run ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ended {
    /// What is recorded of it.
    pub outcome: Outcome,
    /// Whether another attempt follows by itself.
    pub is_retried: bool,
}

impl Status {
    /// Decides what becomes of a job now, and remembers it. A run that is due has not started before it is admitted.
    ///
    /// `held` says why nothing can be started, where that is so.
    pub fn decide(
        &mut self,
        name: &ObjectName,
        job: &Job<'_>,
        held: Option<&str>,
        now: Timestamp,
    ) -> Decided {
        let Runs {
            actions,
            phase,
            wake,
            next,
        } = runs(&self.known(job, now), &self.records, now);
        self.next = next;
        let mut decided = Decided {
            wake,
            ..Decided::default()
        };
        for action in actions {
            match action {
                RunAction::Start {
                    version,
                    slot,
                    attempt,
                    baseline,
                } => decided.due.push(Due {
                    job: name.clone(),
                    model: job.training.model.clone(),
                    is_baseline: job.baseline == Some(&version),
                    version,
                    slot,
                    attempt,
                    baseline,
                }),
                RunAction::Stop { version, reason } => {
                    self.stop(&version, reason, now);
                    decided.stops.push(version);
                }
                RunAction::Skip {
                    version,
                    slot,
                    reason,
                } => self.push(Record {
                    version,
                    inputs: job.inputs,
                    spec_hash: job.spec_hash,
                    slot: Some(slot),
                    attempt: 1,
                    started_at: now,
                    outcome: Outcome::Skipped { at: now, reason },
                }),
            }
        }
        self.note = match held {
            Some(why) if !decided.due.is_empty() => Some(format!("cannot start: {why}; it is tried again")),
            Some(_) | None => self.retry_note(&phase),
        };
        self.phase = Some(match decided.due.first() {
            Some(first) => Phase::Pending {
                version: first.version.clone(),
            },
            None => phase,
        });
        decided
    }

    /// Remembers since when the clock is behind what is known of the job, and adds it to that.
    fn known<'a>(&mut self, job: &Job<'a>, now: Timestamp) -> Job<'a> {
        let is_behind = is_behind(job.committed_at, &self.records, now);
        self.behind_since = is_behind.then(|| self.behind_since.map_or(now, |since| since.min(now)));
        Job {
            behind_since: self.behind_since,
            ..job.clone()
        }
    }

    /// Remembers that a run starts now.
    pub fn start(&mut self, due: &Due, job: &Job<'_>, now: Timestamp) {
        self.push(Record {
            version: due.version.clone(),
            inputs: job.inputs,
            spec_hash: job.spec_hash,
            slot: due.slot,
            attempt: due.attempt,
            started_at: now,
            outcome: Outcome::Running,
        });
        self.note = None;
        self.phase = Some(Phase::Running {
            version: due.version.clone(),
        });
    }

    /// Remembers how a run ended; `None` where it is not under way: then it was stopped, and is recorded as such.
    pub fn end(&mut self, version: &Version, outcome: Outcome) -> Option<Ended> {
        let record = self.running_mut(version)?;
        record.outcome = outcome.clone();
        let record = record.clone();
        let is_retried = match &outcome {
            Outcome::Transient { .. } => attempt::failures(&self.records, &record) < ATTEMPTS_MAX,
            Outcome::Stopped { reason, .. } => *reason == StopReason::Interrupted,
            Outcome::Running
            | Outcome::Published { .. }
            | Outcome::Refused { .. }
            | Outcome::Skipped { .. } => false,
        };
        self.forget_all_but_last_interruption(&record);
        Some(Ended { outcome, is_retried })
    }

    /// A run that is tried hourly for days takes no other run's place: of its late interruptions the last one stands for
    /// those before.
    fn forget_all_but_last_interruption(&mut self, last: &Record) {
        if last.interrupted().is_none() || last.attempt <= ATTEMPTS_MAX {
            return;
        }
        self.records.retain(|record| {
            let is_of_this_run = record.version == last.version && record.spec_hash == last.spec_hash;
            let is_before = ATTEMPTS_MAX < record.attempt && record.attempt < last.attempt;
            !(is_of_this_run && is_before && record.interrupted().is_some())
        });
    }

    /// Returns the newest run that was started.
    pub fn last_run(&self) -> Option<&Record> {
        let is_skipped = |record: &&Record| matches!(record.outcome, Outcome::Skipped { .. });
        self.records.iter().rfind(|record| !is_skipped(record))
    }

    /// Returns the newest run that was skipped, when and why.
    pub fn last_skipped(&self) -> Option<(&Record, Timestamp, SkipReason)> {
        self.records.iter().rev().find_map(|record| match record.outcome {
            Outcome::Skipped { at, reason } => Some((record, at, reason)),
            Outcome::Running
            | Outcome::Published { .. }
            | Outcome::Refused { .. }
            | Outcome::Transient { .. }
            | Outcome::Stopped { .. } => None,
        })
    }

    /// Returns the newest moment of its records.
    pub fn recorded_at(&self) -> Option<Timestamp> {
        let moments = self.records.iter();
        moments
            .map(|record| record.outcome.ended_at().unwrap_or(record.started_at))
            .max()
    }

    /// Returns the inputs of what was published last, for a run that learns its own only once its data is read.
    pub fn published_inputs(&self, job: &Job<'_>) -> Option<Digest> {
        let is_open = job.training.has_open_data();
        is_open.then(|| published_inputs(job, &self.records)).flatten()
    }

    /// Forgets a run that is under way: it was stopped in good order before it could end, and was not tried.
    pub fn withdraw(&mut self, version: &Version) {
        self.records
            .retain(|record| record.version != *version || record.outcome != Outcome::Running);
        self.phase = Some(Phase::Pending {
            version: version.clone(),
        });
    }

    /// Returns the runs that are recorded as under way.
    pub fn running(&self) -> impl Iterator<Item = &Version> {
        self.records
            .iter()
            .filter(|record| record.outcome == Outcome::Running)
            .map(|record| &record.version)
    }

    fn stop(&mut self, version: &Version, reason: StopReason, now: Timestamp) {
        if let Some(record) = self.running_mut(version) {
            record.outcome = Outcome::Stopped { at: now, reason };
        }
    }

    fn running_mut(&mut self, version: &Version) -> Option<&mut Record> {
        self.records
            .iter_mut()
            .rfind(|record| record.version == *version && record.outcome == Outcome::Running)
    }

    /// The newest run that published stays, however many were skipped since: what it was made from is compared with.
    fn push(&mut self, record: Record) {
        self.records.push(record);
        let is_published = |record: &Record| matches!(record.outcome, Outcome::Published { .. });
        while self.records.len() > RECORDS_MAX {
            let kept = self.records.iter().rposition(is_published);
            self.records.remove(usize::from(kept == Some(0)));
        }
    }

    /// Says of a run that waits for its next attempt how the last one broke off, and when it is due.
    fn retry_note(&self, phase: &Phase) -> Option<String> {
        let Phase::Pending { version } = phase else {
            return None;
        };
        let of_this_run = self.records.iter().rfind(|record| record.version == *version);
        // A slot waits for the back-off of the one before it.
        let before = || self.last_run().filter(|last| last.interrupted().is_some());
        let last = of_this_run.or_else(before)?;
        match &last.outcome {
            Outcome::Transient { at, message } => {
                let (number, due) = (number(last.attempt), due(last.attempt, *at));
                Some(format!(
                    "{number} failed: {message}; the next one is due at {due}"
                ))
            }
            Outcome::Stopped {
                at,
                reason: StopReason::Interrupted,
            } => {
                let (number, due) = (number(last.attempt), due(last.attempt, *at));
                Some(format!(
                    "{number} ended with the process that serves, which was killed, by the kernel if memory ran out: \
                     give it more memory, or the run less data; the next one is due at {due}, and after the third they \
                     are hourly"
                ))
            }
            Outcome::Running
            | Outcome::Published { .. }
            | Outcome::Refused { .. }
            | Outcome::Skipped { .. }
            | Outcome::Stopped { .. } => None,
        }
    }
}

/// Says which attempt it was, of how many where they are counted.
fn number(attempt: u32) -> String {
    if attempt > ATTEMPTS_MAX {
        format!("attempt {attempt}")
    } else {
        format!("attempt {attempt} of {ATTEMPTS_MAX}")
    }
}

/// Says when the next attempt is due after one that broke off.
fn due(attempt: u32, broke_off_at: Timestamp) -> String {
    let due = broke_off_at + attempt::back_off(attempt);
    format!("{} UTC", due.format("%H:%M:%S"))
}
