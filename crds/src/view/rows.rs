//! The rows of the overview: an environment and each of its models at a glance.

use std::collections::BTreeMap;

use planner::Timestamp;
use planner::names::{Digest, Revision, Version, Weight};
use planner::word::{Standing, Word};
use schemars::JsonSchema;
use serde::Serialize;

use crate::status::{FindingStatus, PhaseName, TrackStatus, WaitStatus};
use crate::wire;
use crate::{MLDeployment, MLTrainingJob};

/// An environment at a glance.
#[derive(JsonSchema, Debug, Clone, PartialEq, Serialize)]
pub struct Overview {
    /// The environment itself.
    pub environment: EnvironmentRow,
    /// Its models, by name.
    pub models: Vec<ModelRow>,
}

/// An environment without its models.
#[derive(JsonSchema, Debug, Clone, PartialEq, Serialize)]
pub struct EnvironmentRow {
    /// Its name; `null` before the first pass.
    pub name: Option<String>,
    /// How it stands.
    #[serde(flatten)]
    pub standing: StandingRow,
    /// Why it is suspended.
    pub suspended: Option<String>,
    /// The commit that the last pass looked at.
    #[schemars(with = "Option<String>")]
    pub attempted_revision: Option<Revision>,
    /// The newest commit of which everything was applied.
    #[schemars(with = "Option<String>")]
    pub applied_revision: Option<Revision>,
    /// When the next pass is due although nothing happens: the next edge of a window, or a schedule's slot.
    #[schemars(with = "Option<String>", extend("format" = "date-time"))]
    pub next_wake_up: Option<Timestamp>,
    /// How many models have each word.
    pub words: BTreeMap<String, u32>,
    /// What is wrong, at most 100.
    pub findings: Vec<FindingStatus>,
    /// How much is wrong in all.
    pub findings_count: u32,
    /// What waits, at most 100.
    pub waits: Vec<WaitStatus>,
}

/// A model at a glance.
#[derive(JsonSchema, Debug, Clone, PartialEq, Serialize)]
pub struct ModelRow {
    /// Its name.
    pub model: String,
    /// How it stands; `null` for one that nothing serves and nothing is to serve.
    #[serde(flatten)]
    pub standing: Option<StandingRow>,
    /// What stable serves.
    pub stable: Option<TrackStatus>,
    /// What the canary serves.
    pub canary: Option<TrackStatus>,
    /// Percent of requests that go to the canary now.
    #[schemars(with = "u8", range(min = 0, max = 100))]
    pub weight: Weight,
    /// What Git declares, as far as it was applied.
    pub declared: Option<DeclaredRow>,
    /// The commit that last changed its manifest.
    #[schemars(with = "Option<String>", regex(pattern = wire::REVISION))]
    pub revision: Option<String>,
    /// Whether somebody changed it behind Git's back, and that stands.
    pub drifted: bool,
    /// How much is wrong.
    pub findings: u32,
    /// What comes first, where it waits.
    pub blocked_by: Option<String>,
    /// When it goes on at the latest, as far as that is known.
    #[schemars(with = "Option<String>", extend("format" = "date-time"))]
    pub until: Option<Timestamp>,
    /// The newest training run, where there is one.
    pub run: Option<RunRow>,
}

/// A word, and what a person asks next.
#[derive(JsonSchema, Debug, Clone, PartialEq, Serialize)]
pub struct StandingRow {
    /// The word.
    #[schemars(with = "String", extend("enum" = ["Failed", "Degraded", "Unknown", "Waiting", "RollingOut", "Training", "Held", "Serving"]))]
    pub word: Word,
    /// Why, as a stable word.
    pub reason: String,
    /// Why, in one sentence.
    pub message: String,
    /// What to do, or what happens by itself.
    pub next: String,
    /// Since when.
    #[schemars(with = "Option<String>", extend("format" = "date-time"))]
    pub since: Option<Timestamp>,
}

impl From<Standing> for StandingRow {
    fn from(standing: Standing) -> Self {
        let Standing {
            word,
            reason,
            message,
            next,
            since,
        } = standing;
        Self {
            word,
            reason,
            message,
            next,
            since,
        }
    }
}

/// What a manifest declares of a model.
#[derive(JsonSchema, Debug, Clone, PartialEq, Serialize)]
pub struct DeclaredRow {
    /// What stable is to serve.
    pub stable: PinRow,
    /// What the canary is to serve.
    pub canary: Option<PinRow>,
    /// The most that the canary may carry, in percent.
    #[schemars(with = "u8", range(min = 0, max = 100))]
    pub weight: Weight,
}

/// A pin.
#[derive(JsonSchema, Debug, Clone, PartialEq, Serialize)]
pub struct PinRow {
    /// The model version.
    #[schemars(with = "String", regex(pattern = wire::VERSION))]
    pub version: Version,
    /// The digest of its artifact, once it is resolved.
    #[schemars(with = "Option<String>", regex(pattern = wire::DIGEST))]
    pub digest: Option<Digest>,
}

/// A training run at a glance.
#[derive(JsonSchema, Debug, Clone, PartialEq, Serialize)]
pub struct RunRow {
    /// The name of its job.
    pub job: String,
    /// Where it stands.
    pub phase: PhaseName,
    /// What it makes.
    #[schemars(with = "Option<String>", regex(pattern = wire::VERSION))]
    pub version: Option<Version>,
    /// How far it is.
    #[schemars(range(min = 0, max = 100))]
    pub progress_percent: Option<u8>,
    /// What went wrong, or what it waits for.
    pub message: Option<String>,
    /// The next slot of its schedule.
    #[schemars(with = "Option<String>", extend("format" = "date-time"))]
    pub next_run: Option<Timestamp>,
}

/// Returns what an object declares.
pub(super) fn declared(deployment: &MLDeployment) -> DeclaredRow {
    let spec = &deployment.spec;
    let canary = spec.canary.as_ref();
    DeclaredRow {
        stable: PinRow {
            version: spec.stable.version.clone(),
            digest: spec.stable.digest,
        },
        canary: canary.map(|canary| PinRow {
            version: canary.version.clone(),
            digest: canary.digest,
        }),
        weight: canary.map_or(Weight::ZERO, |canary| canary.weight),
    }
}

/// Returns how a job's run stands; `None` before it has begun.
pub(super) fn run(training: &MLTrainingJob) -> Option<RunRow> {
    let status = training.status.as_ref()?;
    Some(RunRow {
        job: training.metadata.name.clone().unwrap_or_default(),
        phase: status.phase?,
        version: status.version.clone(),
        progress_percent: status.progress_percent.filter(|_| status.finished_at.is_none()),
        message: status.message.clone(),
        next_run: status.next_run,
    })
}
