//! What is there: objects with their status, and the registry.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::deployment::ResolvedDeployment;
use crate::environment::Environment;
use crate::names::{Digest, ModelName, ObjectName, Revision, Track, Version};
use crate::rollout;
use crate::runs;
use crate::training::Training;

/// The observed state of one environment.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Observed {
    /// The MLEnvironment object, absent before the first pass. Its policy judges the next commit.
    pub environment: Option<Environment>,
    /// The MLDeployment objects.
    pub deployments: BTreeMap<ObjectName, ObservedDeployment>,
    /// The MLTrainingJob objects.
    pub trainings: BTreeMap<ObjectName, ObservedTraining>,
    /// What the registry holds, for every model named in a manifest or an object.
    pub models: BTreeMap<ModelName, ObservedModel>,
    /// The staged data files.
    pub datasets: BTreeSet<Digest>,
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
}

/// An MLDeployment object and its status.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ObservedDeployment {
    /// What the reconciler wrote.
    pub object: DeploymentObject,
    /// What the target reports; absent before its first step.
    pub status: Option<rollout::Status>,
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
}

/// An MLTrainingJob object and its status.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ObservedTraining {
    /// What the reconciler wrote.
    pub object: TrainingObject,
    /// What the target reports; absent before its first step.
    pub phase: Option<runs::Phase>,
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
