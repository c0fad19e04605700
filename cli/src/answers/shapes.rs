//! The form of what is written by types of inner crates, or put together from several: known to the schema alone. A test reads
//! what commands write by it, and takes no member that is not here.
#![expect(dead_code, reason = "a form is never made, only described")]

use std::collections::BTreeMap;

use crds::status::{FindingStatus, MLDeploymentStatus, WaitStatus};
use crds::view::{ModelRow, Overview};
use schemars::JsonSchema;
use serde_json::Value;

/// Something wrong with one manifest.
#[derive(JsonSchema)]
pub(super) struct FindingShape {
    /// Where, if it is about a file.
    location: Option<LocationShape>,
    /// Why, as a stable word.
    reason: String,
    /// What it is about, e.g. `MLDeployment/wine-quality`; empty for a file as a whole.
    subject: String,
    /// What is wrong.
    message: String,
    /// What to do about it; may be empty.
    hint: String,
}

/// Where in the repository a finding was made.
#[derive(JsonSchema)]
struct LocationShape {
    /// Path from the repository's root.
    file: String,
    /// 1-based line; 0 where the finding is about the whole file.
    line: u64,
    /// 1-based column; 0 where the finding is about the whole file.
    column: u64,
}

/// `plan`: what the branch's newest commit would change.
#[derive(JsonSchema)]
pub(super) struct PlanShape {
    /// The commit.
    revision: String,
    /// The hash of what it declares.
    hash: String,
    /// What would be done, in order; each has the form of its kind.
    actions: Vec<Value>,
    /// The same, a sentence each.
    changes: Vec<String>,
    /// Why nothing is changed, where the environment is suspended.
    suspended: Option<String>,
    /// What would be done once it is lifted.
    held: Vec<String>,
    /// What goes on by itself, a sentence each.
    waiting: Vec<String>,
    /// What is wrong.
    findings: Vec<FindingShape>,
}

/// `plan --base`: what one commit means to change against another.
#[derive(JsonSchema)]
pub(super) struct IntentsShape {
    /// The environment.
    environment: String,
    /// The commit compared with.
    base: String,
    /// The commit that changes it.
    head: String,
    /// What changes, by subject.
    intents: Vec<IntentShape>,
    /// What is wrong at `head`.
    findings: Vec<FindingShape>,
    /// Whether both commits were understood as a whole.
    is_complete: bool,
    /// What is known of each version that is to get another share of the requests, and whether it may.
    exposures: Vec<Value>,
    /// The hash of what `head` declares.
    hash: String,
}

/// One thing that a commit means to change.
#[derive(JsonSchema)]
struct IntentShape {
    /// The model, or the environment's name.
    subject: String,
    /// What changes.
    text: String,
}

/// `status`: the objects as they are, and how they stand.
#[derive(JsonSchema)]
pub(super) struct StatusShape {
    /// The MLEnvironment, as its definition has it; `null` before the first pass.
    environment: Option<Value>,
    /// The MLDeployments, as their definition has them.
    deployments: Vec<Value>,
    /// The MLTrainingJobs, as their definition has them.
    trainings: Vec<Value>,
    /// What could not be read, and why; absent where all could.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    unreadable: BTreeMap<String, String>,
    /// `Running`, `Silent`, `Stopped` or `NeverRun`.
    process: String,
    /// How long ago it was last seen alive, in seconds.
    age_seconds: Option<u64>,
    /// Whether a live process serves all that Git declares.
    well: bool,
    /// With `--wait`: why the commit is not live.
    missed: Option<String>,
    /// The environment and its models at a glance.
    overview: Overview,
}

/// `status MODEL`: how one model stands.
#[derive(JsonSchema)]
pub(super) struct ModelStatusShape {
    /// Its name.
    model: String,
    /// It at a glance.
    summary: ModelRow,
    /// The object that serves it, if there is one.
    deployments: Vec<Value>,
    /// The jobs that make its versions.
    trainings: Vec<Value>,
    /// What is wrong.
    findings: Vec<FindingStatus>,
    /// What it waits for.
    waits: Vec<WaitStatus>,
}

/// `rollout`: where a model's rollout stands, beside what it is to be held against.
#[derive(JsonSchema)]
pub(super) struct RolloutShape {
    /// What the object's status says.
    #[serde(flatten)]
    status: MLDeploymentStatus,
    /// The model.
    model: String,
    /// The MLDeployment.
    name: Option<String>,
    /// The commit that last changed its manifest.
    revision: Option<String>,
    /// What Git declares.
    declared: DeclaredShape,
    /// Who paused it, and why.
    paused: Option<String>,
    /// The canary that was aborted.
    aborted: Option<AbortedShape>,
    /// Why nothing is changed, where it is suspended.
    suspended: Option<String>,
    /// What keeps the object from what Git says.
    behind: Option<String>,
    /// What is wrong.
    findings: Vec<FindingStatus>,
    /// What waits.
    waiting: Vec<String>,
    /// Whether the model serves what Git declares.
    as_declared: bool,
}

/// What Git declares of a model.
#[derive(JsonSchema)]
struct DeclaredShape {
    /// The pin of stable.
    stable: PinShape,
    /// The pin of the canary.
    canary: Option<PinShape>,
    /// The canary's weight in percent.
    weight: u8,
}

/// A version, and its digest where it is known.
#[derive(JsonSchema)]
struct PinShape {
    /// The version.
    version: String,
    /// The digest.
    digest: Option<String>,
}

/// A canary that gets no more requests.
#[derive(JsonSchema)]
struct AbortedShape {
    /// Which.
    digest: String,
    /// Who and why.
    reason: String,
}

/// `model list`: a version, or why it cannot be read.
#[derive(JsonSchema)]
#[schemars(untagged)]
pub(super) enum ListedShape {
    /// One that can be read.
    Sound {
        /// The model.
        model: String,
        /// The version.
        version: String,
        /// The tracks whose alias names it.
        aliases: Vec<String>,
        /// The digest of its artifact.
        digest: String,
        /// The algorithm.
        algorithm: String,
        /// What was measured on the holdout.
        metrics: BTreeMap<String, f64>,
        /// When it was published.
        trained_at: String,
    },
    /// One that cannot.
    Damaged {
        /// The model.
        model: String,
        /// The version.
        version: String,
        /// The tracks whose alias names it.
        aliases: Vec<String>,
        /// What is wrong.
        error: String,
    },
}

/// `model verify`: what was checked.
#[derive(JsonSchema)]
#[schemars(untagged)]
pub(super) enum VerifiedShape {
    /// A version, whole.
    Version {
        /// The model.
        model: String,
        /// The version.
        version: String,
        /// The digest of its artifact.
        digest: String,
        /// It is whole.
        sound: bool,
        /// What pins its signature: `digest` or `checksum`.
        signature: String,
        /// The key that signed it, where it was asked for one of several.
        signer: Option<String>,
    },
    /// A version that cannot be read.
    Damaged {
        /// The model.
        model: String,
        /// What was asked for.
        reference: String,
        /// It is not whole.
        sound: bool,
        /// What is wrong, and what to do.
        error: String,
    },
    /// Another file.
    File {
        /// The model; `null` for a file of the registry.
        model: Option<String>,
        /// The file.
        file: String,
        /// Whether it is whole.
        sound: bool,
        /// What is wrong, and what to do.
        error: String,
    },
}

/// What garbage collection removed or kept.
#[derive(JsonSchema)]
#[schemars(untagged)]
pub(super) enum CollectedShape {
    /// A version.
    Version {
        /// It.
        version: String,
        /// Its model.
        model: String,
    },
    /// A run's folder.
    Run {
        /// The version of the run.
        run: String,
        /// Its model.
        model: String,
    },
    /// Staged data.
    Dataset {
        /// Its digest.
        dataset: String,
    },
    /// What an unfinished write left.
    Leftover {
        /// Where it lay.
        leftover: String,
    },
    /// A model of which everything is kept.
    Skipped {
        /// The model.
        skipped: String,
        /// Why.
        why: String,
    },
}

/// Whose a registry is.
#[derive(JsonSchema)]
pub(super) struct OwnerShape {
    /// The environment.
    environment: String,
    /// The installation's random id.
    installation: String,
}

/// How a training run ended.
#[derive(JsonSchema)]
pub(super) enum EndingShape {
    /// The version exists.
    Published {
        /// Its digest.
        digest: String,
        /// What was measured on the holdout.
        metrics: BTreeMap<String, f64>,
    },
    /// The data is what the newest version was trained from.
    SameInputs,
    /// The inputs are at fault, and would be again.
    Refused {
        /// What is wrong, where, and what to do.
        message: String,
    },
    /// Something outside the inputs went wrong.
    Transient {
        /// What.
        message: String,
    },
}
