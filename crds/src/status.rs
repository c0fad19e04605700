//! The status of the three kinds: the whole memory of a target, and what people see.

use std::collections::BTreeMap;

use planner::Timestamp;
use planner::names::{Digest, Revision, Version, Weight};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::wire;

/// One statement about an object that is true, false or unknown now.
#[derive(JsonSchema, Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Condition {
    /// `Ready`, `Reconciling`, `Stalled`, or a fact in the past tense that is there only while true.
    #[serde(rename = "type")]
    pub kind: String,
    /// Whether it holds.
    pub status: ConditionStatus,
    /// A PascalCase word.
    pub reason: String,
    /// One sentence for a person.
    pub message: String,
    /// When `status` last changed.
    #[schemars(with = "String", extend("format" = "date-time"))]
    pub last_transition_time: Timestamp,
}

/// Whether a condition holds.
#[derive(JsonSchema, Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum ConditionStatus {
    /// It holds.
    True,
    /// It does not.
    False,
    /// Nobody can say.
    Unknown,
}

/// A version with its digest.
#[derive(JsonSchema, Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TrackStatus {
    /// The model version.
    #[schemars(with = "String", regex(pattern = wire::VERSION))]
    pub version: Version,
    /// The digest of its artifact.
    #[schemars(with = "String", regex(pattern = wire::DIGEST))]
    pub digest: Digest,
}

/// How an MLDeployment stands.
#[derive(JsonSchema, Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct MLDeploymentStatus {
    /// The generation of the spec that this is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// `Ready`, `Reconciling`, `Stalled`, then facts.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["type"]))]
    pub conditions: Vec<Condition>,
    /// What stable serves.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stable: Option<TrackStatus>,
    /// What the canary serves.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub canary: Option<TrackStatus>,
    /// Percent of requests that go to the canary now.
    #[serde(default)]
    #[schemars(with = "u8", range(min = 0, max = 100))]
    pub weight: Weight,
    /// Where the rollout stands; absent before its first step.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state: Option<StateName>,
    /// Why it stands there, for people.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub message: String,
    /// The last 10 transitions, oldest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub history: Vec<TransitionStatus>,
    /// The rollout's whole memory, of which the fields above are the readable part. Only the target reads it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Memory")]
    pub memory: Option<planner::rollout::Status>,
}

/// The schema of a memory: an object whose fields are the target's own business, written whole each time.
#[derive(JsonSchema)]
#[schemars(extend("x-kubernetes-preserve-unknown-fields" = true, "x-kubernetes-map-type" = "atomic"))]
struct Memory {}

/// Where a rollout stands, in one word.
#[derive(JsonSchema, Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum StateName {
    /// Every track serves its pin.
    Idle,
    /// A track does not serve its pin yet.
    Preparing,
    /// The canary could carry more than it does.
    Holding,
    /// Stable becomes what the canary serves.
    Promoting,
    /// The canary of one digest serves no request.
    Aborted,
}

/// One change of a rollout's state or of its live weight.
#[derive(JsonSchema, Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TransitionStatus {
    /// When.
    #[schemars(with = "String", extend("format" = "date-time"))]
    pub at: Timestamp,
    /// From where.
    pub from: StateName,
    /// To where.
    pub to: StateName,
    /// Why, for people.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub message: String,
    /// The live weight after it.
    #[schemars(with = "u8", range(min = 0, max = 100))]
    pub weight: Weight,
}

/// How an MLTrainingJob stands.
#[derive(JsonSchema, Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct MLTrainingJobStatus {
    /// The generation of the spec that this is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// `Ready`, `Reconciling`, `Stalled`, then facts.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["type"]))]
    pub conditions: Vec<Condition>,
    /// Where the newest run stands; absent before the first step.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub phase: Option<PhaseName>,
    /// What went wrong, where the phase is `Failed`; what a `Pending` run waits for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// The version of the newest run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String", regex(pattern = wire::VERSION))]
    pub version: Option<Version>,
    /// The digest that it published.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String", regex(pattern = wire::DIGEST))]
    pub digest: Option<Digest>,
    /// What was measured on the holdout, by the metric's name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub metrics: BTreeMap<String, f64>,
    /// How far the run is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 100))]
    pub progress_percent: Option<u8>,
    /// When the run started.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String", extend("format" = "date-time"))]
    pub started_at: Option<Timestamp>,
    /// When it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String", extend("format" = "date-time"))]
    pub finished_at: Option<Timestamp>,
    /// The next slot of the schedule, whatever else goes on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String", extend("format" = "date-time"))]
    pub next_run: Option<Timestamp>,
    /// The last run that was skipped, and why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_skipped: Option<SkippedStatus>,
    /// The job's whole memory: its last runs. Only the target reads it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Memory")]
    pub memory: Option<planner::runs::Records>,
}

/// A run that was skipped.
#[derive(JsonSchema, Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SkippedStatus {
    /// The version that it would have made.
    #[schemars(with = "String", regex(pattern = wire::VERSION))]
    pub version: Version,
    /// The slot that it was for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String", extend("format" = "date-time"))]
    pub slot: Option<Timestamp>,
    /// When it was skipped.
    #[schemars(with = "String", extend("format" = "date-time"))]
    pub at: Timestamp,
    /// Why: `SameInputs`, `Forbid`, `MissedDeadline` or `LastRunInvalid`.
    pub reason: String,
}

/// Where a training job stands, in one word.
#[derive(JsonSchema, Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum PhaseName {
    /// No run is due.
    Scheduled,
    /// A run is due or waits for its retry.
    Pending,
    /// A run is under way.
    Running,
    /// The newest run published, or its version was already there.
    Succeeded,
    /// The newest run failed, and nothing retries it until the spec changes.
    Failed,
    /// No run starts.
    Suspended,
}

/// The report of a pass.
#[derive(JsonSchema, Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct MLEnvironmentStatus {
    /// The generation of the spec that this is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// `Ready`, `Reconciling`, `Stalled`, then facts.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["type"]))]
    pub conditions: Vec<Condition>,
    /// The commit that the last pass looked at.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String", regex(pattern = wire::REVISION))]
    pub attempted_revision: Option<Revision>,
    /// The newest commit of which everything was applied.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String", regex(pattern = wire::REVISION))]
    pub applied_revision: Option<Revision>,
    /// The newest commit that was followed, where commits need signatures: by what it says the next one is judged.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String", regex(pattern = wire::REVISION))]
    pub accepted_revision: Option<Revision>,
    /// What stops single models.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub findings: Vec<FindingStatus>,
    /// What goes on by itself once something else has happened, one sentence each.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub waiting: Vec<String>,
    /// The same for programs: who waits, for what, and until when.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub waits: Vec<WaitStatus>,
    /// How much there is of everything.
    #[serde(default)]
    pub counts: Counts,
    /// The last `aurora.io/requestedAt` after which a pass has been run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub requested_at: Option<String>,
    /// When the next pass is due although nothing happens.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String", extend("format" = "date-time"))]
    pub next_wake_up: Option<Timestamp>,
    /// The last 10 passes that changed something, oldest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub history: Vec<PassStatus>,
}

/// Something wrong with one manifest.
#[derive(JsonSchema, Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct FindingStatus {
    /// `file:line:column`, or the file alone; absent where it is about no file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub location: Option<String>,
    /// Why, as a stable word.
    pub reason: String,
    /// What it is about, e.g. `MLDeployment/wine-quality`.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub subject: String,
    /// What is wrong.
    pub message: String,
    /// What to do about it.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub hint: String,
}

impl From<&planner::finding::Finding> for FindingStatus {
    fn from(finding: &planner::finding::Finding) -> Self {
        let planner::finding::Finding {
            location,
            reason,
            subject,
            message,
            hint,
        } = finding;
        Self {
            location: location.as_ref().map(ToString::to_string),
            reason: reason.to_string(),
            subject: subject.to_string(),
            message: message.clone(),
            hint: hint.clone(),
        }
    }
}

/// Something that goes on by itself once something else has happened.
#[derive(JsonSchema, Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct WaitStatus {
    /// What waits, e.g. `MLDeployment/wine-quality`.
    pub subject: String,
    /// For what, as a stable word, e.g. `WaitingForVersion`.
    pub reason: String,
    /// In one sentence.
    pub message: String,
    /// What comes first, e.g. `MLTrainingJob/wine-quality`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub blocked_by: Option<String>,
    /// When it goes on at the latest, as far as that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String", extend("format" = "date-time"))]
    pub until: Option<Timestamp>,
}

impl WaitStatus {
    /// Returns the message without its subject, for where that is named already.
    pub fn of_subject(&self) -> &str {
        let said = self.message.strip_prefix(&*self.subject);
        said.and_then(|said| said.strip_prefix(": "))
            .unwrap_or(&self.message)
    }
}

impl From<&planner::plan::Waiting> for WaitStatus {
    fn from(waiting: &planner::plan::Waiting) -> Self {
        Self {
            subject: waiting.subject().to_string(),
            reason: waiting.reason().to_string(),
            message: waiting.to_string(),
            blocked_by: waiting.blocked_by().map(|id| id.to_string()),
            until: waiting.until(),
        }
    }
}

/// How much there is of everything.
#[derive(JsonSchema, Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Counts {
    /// MLDeployments.
    pub deployments: u32,
    /// MLTrainingJobs.
    pub trainings: u32,
    /// Findings.
    pub findings: u32,
    /// What waits.
    pub waiting: u32,
}

/// One pass that changed something.
#[derive(JsonSchema, Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PassStatus {
    /// When.
    #[schemars(with = "String", extend("format" = "date-time"))]
    pub at: Timestamp,
    /// The commit that it looked at.
    #[schemars(with = "String", regex(pattern = wire::REVISION))]
    pub revision: Revision,
    /// The hash of its plan.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub plan_hash: Option<String>,
    /// What it did, one line each, at most 20.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub changes: Vec<String>,
}
