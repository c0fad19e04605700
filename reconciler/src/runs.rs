//! What every target remembers and tells of a job's runs: its status, how a run ended, and what a trainer is asked.
//!
//! Whether a run is a child process or a Job of a cluster, the same words stand in the status of its MLTrainingJob.

mod request;
mod sign;

use std::collections::BTreeMap;

use crds::convert;
use crds::status::{Condition, MLTrainingJobStatus, SkippedStatus};
use planner::Timestamp;
use planner::names::{ModelName, Version};
use planner::observed::TrainingObject;
use planner::runs::{self, Outcome, Phase, Records, SkipReason};
use registry::run::{Ending, RunResult};
use registry::{Reference, Store};

use crate::conditions::Facts;
use crate::objects::resource::read_runs;

pub use request::{Places, outside, request};
pub use sign::{KeyError, sign, signing_key};

/// The longest message of a run that is shown, in characters.
const MESSAGE_CHARS_MAX: usize = 1_000;

/// A job's whole memory, and what is shown of its newest run.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct TrainingStatus {
    /// Its runs, and where it stands.
    pub runs: runs::Status,
    /// How far the newest run is.
    pub progress_percent: Option<u8>,
    /// What was measured of what the newest run made.
    pub metrics: BTreeMap<String, f64>,
    /// The conditions.
    pub conditions: Vec<Condition>,
}

impl From<MLTrainingJobStatus> for TrainingStatus {
    fn from(shown: MLTrainingJobStatus) -> Self {
        Self {
            runs: read_runs(&shown),
            progress_percent: shown.progress_percent,
            metrics: shown.metrics,
            conditions: shown.conditions,
        }
    }
}

impl TrainingStatus {
    /// Returns it as the custom resource shows it; `observedGeneration` is the caller's.
    pub fn shown(&self) -> MLTrainingJobStatus {
        let Self {
            runs,
            progress_percent,
            metrics,
            conditions,
        } = self;
        let runs::Status {
            phase,
            note,
            next,
            behind_since,
            records,
        } = runs;
        let last = runs.last_run();
        let of_phase = phase.as_ref().map(convert::training_status).unwrap_or_default();
        MLTrainingJobStatus {
            message: note.clone().or_else(|| of_phase.message.clone()),
            conditions: conditions.clone(),
            metrics: metrics.clone(),
            progress_percent: *progress_percent,
            started_at: last.map(|record| record.started_at),
            finished_at: last.and_then(|record| record.outcome.ended_at()),
            next_run: *next,
            last_skipped: runs.last_skipped().map(|(record, at, reason)| SkippedStatus {
                version: record.version.clone(),
                slot: record.slot,
                at,
                reason: reason.to_string(),
            }),
            memory: (!records.is_empty() || behind_since.is_some()).then(|| Records {
                runs: records.clone(),
                behind_since: *behind_since,
            }),
            ..of_phase
        }
    }

    /// Says in the conditions how the job stands: by its runs, and by what keeps the object from what Git says.
    pub fn judge(&mut self, object: &TrainingObject, now: Timestamp) {
        let Some(phase) = &self.runs.phase else {
            return;
        };
        let facts = match phase {
            Phase::Scheduled { .. } => Facts::Ready("Scheduled", String::new()),
            Phase::Pending { version } => {
                let note = self.runs.note.clone();
                Facts::Reconciling("Pending", note.unwrap_or_else(|| version.to_string()))
            }
            Phase::Running { version } => Facts::Reconciling("Running", version.to_string()),
            Phase::Succeeded { version, .. } => Facts::Ready("Succeeded", version.to_string()),
            Phase::Failed { message, .. } => Facts::stalled("Failed", message.clone()),
            Phase::Suspended => Facts::Held("Suspended", String::new()),
        };
        self.conditions = facts
            .behind(object.behind.as_ref())
            .conditions(&self.conditions, now);
    }

    /// Takes a run's result for how it ended. What it says that it published must be there.
    pub fn outcome(
        &mut self,
        result: RunResult,
        (model, version): (&ModelName, &Version),
        store: &Store,
        now: Timestamp,
    ) -> Outcome {
        let RunResult { at, ending } = result;
        let bounded = |message: String| bounded(&message);
        match ending {
            Ending::Published { digest, metrics } => {
                self.metrics = metrics;
                match store.resolve(model, &Reference::Version(version.clone())) {
                    Ok(entry) if entry.digest == digest => Outcome::Published { at, digest },
                    Ok(entry) => transient(
                        format!(
                            "the run says that it published {digest}, and {version} is {}",
                            entry.digest
                        ),
                        now,
                    ),
                    Err(error) => transient(
                        format!(
                            "the run says that it published {version}, which is not to be found: {error}"
                        ),
                        now,
                    ),
                }
            }
            Ending::Refused { message } => Outcome::Refused {
                at,
                message: bounded(message),
            },
            Ending::Transient { message } => Outcome::Transient {
                at,
                message: bounded(message),
            },
            Ending::SameInputs => Outcome::Skipped {
                at,
                reason: SkipReason::SameInputs,
            },
        }
    }

    /// Records how a run ended; `None` where it is not under way: then it was stopped, and is recorded as such.
    pub fn end(
        &mut self,
        (model, version): (&ModelName, &Version),
        outcome: Outcome,
        store: &Store,
    ) -> Option<runs::Ended> {
        let is_skipped = matches!(outcome, Outcome::Skipped { .. });
        let is_published = matches!(outcome, Outcome::Published { .. });
        let ended = self.runs.end(version, outcome)?;
        // After a skipped run, what stands is what the run before it has made.
        let unmeasured = self.metrics.is_empty() && is_published;
        if let Some(last) = self.runs.last_run().filter(|_| is_skipped || unmeasured) {
            let reference = Reference::Version(last.version.clone());
            let entry = store.resolve(model, &reference);
            self.metrics = entry
                .ok()
                .and_then(|entry| entry.metadata.metrics)
                .map(|metrics| metrics.values)
                .unwrap_or_default();
        }
        if is_published || is_skipped {
            self.progress_percent = Some(100);
        }
        Some(ended)
    }
}

/// Returns how a run ended that broke off.
pub fn transient(message: String, at: Timestamp) -> Outcome {
    Outcome::Transient { at, message }
}

/// Cuts what a trainer says to what a status shows.
fn bounded(message: &str) -> String {
    let mut cut: String = message.chars().take(MESSAGE_CHARS_MAX).collect();
    if cut.len() < message.len() {
        cut.push('…');
    }
    cut
}
