//! What is there: objects with their status, and the registry.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::deployment::{Canary, ResolvedDeployment, ResolvedPin};
use crate::engine::Engine;
use crate::environment::Environment;
use crate::finding::Reason;
use crate::gates::Facts;
use crate::imports::Import;
use crate::names::{Digest, ModelName, ObjectName, Revision, Track, Version};
use crate::rollout;
use crate::runs;
use crate::training::Training;
use crate::trust::{Signers, Trust};

/// The observed state of one environment, or of the part of it that a commit or an event has touched.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Observed {
    /// The MLEnvironment object, absent before the first pass. Its policy judges the next commit.
    pub environment: Option<Environment>,
    /// The MLDeployment objects.
    pub deployments: BTreeMap<ObjectName, ObservedDeployment>,
    /// The MLTrainingJob objects.
    pub trainings: BTreeMap<ObjectName, ObservedTraining>,
    /// What the registry holds, for every model named in a manifest or an object.
    pub models: BTreeMap<ModelName, Arc<ObservedModel>>,
    /// The staged data files.
    pub datasets: Arc<BTreeSet<Digest>>,
    /// How many MLDeployment objects there are beside those above, of which nothing is to be decided.
    pub elsewhere: usize,
    /// What gates ask of versions, for every model of which a pin changes.
    pub facts: BTreeMap<ModelName, Facts>,
    /// The imports that were asked for and have not brought their version yet.
    pub imports: BTreeMap<ModelName, BTreeMap<Version, Import>>,
    /// Whether what the environment says of raises counts for the commit at hand.
    pub policy: PolicyAge,
    /// Who signed the versions that a manifest pins or an object serves, where anybody's signature is needed.
    pub signers: Signers,
}

/// Since when the environment says what it says of raises: no commit is judged by what it brought along itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum PolicyAge {
    /// A commit before the one at hand said so.
    Older,
    /// The commit at hand does. It counts from the next one on, or once that commit is through.
    #[default]
    New,
    /// The same, and it holds something back that is not among what is decided about here, or may.
    NewAndHolds,
}

/// An MLDeployment object as the reconciler writes it: everything but the status.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeploymentObject {
    /// The resolved form of the manifest.
    pub spec: ResolvedDeployment,
    /// The commit that last changed this model's manifest (`aurora.io/revision`).
    pub revision: Revision,
    /// The commit that last changed what stable serves (`aurora.io/stable-revision`).
    pub stable_revision: Revision,
    /// The commit that last changed what the canary serves (`aurora.io/canary-revision`).
    pub canary_revision: Option<Revision>,
    /// The canary digest that was aborted (`aurora.io/abort`); it serves no request until the pin changes or leaves.
    pub abort: Option<Digest>,
    /// Why the commit that last changed this model's manifest overrides the windows that would have held it
    /// (`aurora.io/overridden`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub overridden: Option<String>,
    /// What the tracks keep while the environment's policy holds more back (`aurora.io/kept`): the spec may be edited by hand.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kept: Option<Kept>,
    /// What whoever loads a version for the object holds it to (`aurora.io/trust`); absent: to nobody's signature.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trust: Option<Trust>,
    /// What keeps the object from what Git says (`aurora.io/stopped`, `aurora.io/waiting`, `aurora.io/held`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub behind: Option<Behind>,
}

/// What the tracks of an object serve, as far as that was let through.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Kept {
    /// What stable serves.
    pub stable: ResolvedPin,
    /// The canary.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub canary: Option<Canary<ResolvedPin>>,
}

/// Why an object is not what its manifest says, in one sentence for a person.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Behind {
    /// A person must act.
    Stopped(String),
    /// It goes on by itself.
    Waits(String),
    /// Somebody wants it so, and it goes on once that is over.
    Held(String),
}

impl Behind {
    /// Returns the reason of the finding that stops it, where that is what does.
    pub fn reason(&self) -> Option<Reason> {
        match self {
            Self::Stopped(what) => what.split_once(": ")?.0.parse().ok(),
            Self::Waits(_) | Self::Held(_) => None,
        }
    }
}

/// An MLDeployment object and its status.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ObservedDeployment {
    /// What the reconciler wrote.
    pub object: DeploymentObject,
    /// What the target reports; absent before its first step.
    pub status: Option<rollout::Status>,
}

impl ObservedDeployment {
    /// Returns what an object is once its spec is written over `before`. What a status says of another model says
    /// nothing of this one.
    pub fn written(before: Option<Self>, object: DeploymentObject) -> Self {
        let before = before.filter(|before| before.object.spec.model == object.spec.model);
        let status = before.and_then(|before| before.status);
        Self { object, status }
    }
}

/// An MLTrainingJob object as the reconciler writes it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TrainingObject {
    /// The spec, with `dataset.sha256` of a file of the commit filled in.
    pub spec: Training,
    /// The commit that last changed this job's manifest (`aurora.io/revision`).
    pub revision: Revision,
    /// That commit's committer time: the version of a job that has neither version nor schedule.
    pub committed_at: crate::Timestamp,
    /// The version that Git pins as the model's stable (`aurora.io/baseline`): it is trained first, and scored on the
    /// holdout of the others.
    pub baseline: Option<Version>,
    /// Whose signature what it imports needs (`aurora.io/trust`); absent: nobody's, or nothing is imported.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trust: Option<Trust>,
    /// What keeps the object from what Git says (`aurora.io/stopped`, `aurora.io/waiting`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub behind: Option<Behind>,
}

/// An MLTrainingJob object and its status.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ObservedTraining {
    /// What the reconciler wrote.
    pub object: TrainingObject,
    /// What the target reports; absent before its first step.
    pub phase: Option<runs::Phase>,
    /// The newest moment of its runs' records.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recorded_at: Option<crate::Timestamp>,
}

impl ObservedTraining {
    /// Returns what an object is once its spec is written over `before`. What became of another spec says nothing of
    /// this one.
    pub fn written(before: Option<Self>, object: TrainingObject) -> Self {
        let recorded_at = before.as_ref().and_then(|before| before.recorded_at);
        let before = before.filter(|before| before.object.spec == object.spec);
        let phase = before.and_then(|before| before.phase);
        Self {
            object,
            phase,
            recorded_at,
        }
    }
}

/// What the registry holds of one model.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct ObservedModel {
    /// The versions that exist.
    pub versions: BTreeMap<Version, ObservedVersion>,
    /// The aliases that exist.
    pub aliases: BTreeMap<Track, ObservedAlias>,
    /// The newest digest that `history.jsonl` gives each version.
    pub history_digests: BTreeMap<Version, Digest>,
    /// The canary digests that `history.jsonl` says were aborted, since the alias last left them.
    pub aborted: BTreeSet<Digest>,
    /// The version that `history.jsonl` says each alias was moved to last. One that names another was moved by hand.
    #[serde(default)]
    pub recorded: BTreeMap<Track, Version>,
}

/// One version in the registry.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum ObservedVersion {
    /// Its files are what its record says.
    Sound {
        /// The artifact's digest.
        digest: Digest,
        /// What it was trained from; absent for a version that was pushed.
        inputs: Option<Digest>,
        /// What it is evaluated by.
        #[serde(default, skip_serializing_if = "Engine::is_own")]
        engine: Engine,
    },
    /// They are not: what is wrong.
    Damaged(String),
}

/// One alias in the registry.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum ObservedAlias {
    /// It names a version (which may not exist).
    To(Version),
    /// It is no link to a version: what is wrong.
    Broken(String),
}
