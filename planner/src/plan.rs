//! The ordered actions that turn the observed state into the desired state.

use serde::{Deserialize, Serialize};

use crate::Timestamp;
use crate::deployment::ResolvedPin;
use crate::desired::Desired;
use crate::environment::Environment;
use crate::finding::Finding;
use crate::names::{Digest, ModelName, ObjectName, Revision, Track, Version};
use crate::observed::{DeploymentObject, Observed, ObservedAlias, TrainingObject};

/// What must change, in the order in which it is done, and what stands in the way.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Plan {
    /// Each is idempotent, and the process may die after any of them.
    pub actions: Vec<Action>,
    /// What stops single models.
    pub findings: Vec<Finding>,
    /// What goes on by itself once something else has happened.
    pub waiting: Vec<Waiting>,
}

/// One step towards the desired state.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Action {
    /// Writes the MLEnvironment object.
    PutEnvironment(Environment),
    /// Copies a data file of the commit into the registry.
    StageDataset {
        /// The job that trains on it.
        job: ObjectName,
        /// The file's path as the manifest gives it, relative to the manifest's folder.
        path: String,
        /// The file's digest.
        sha256: Digest,
    },
    /// Writes an MLTrainingJob object.
    PutTraining {
        /// Its name.
        name: ObjectName,
        /// What it becomes.
        object: Box<TrainingObject>,
    },
    /// Writes an MLDeployment object.
    PutDeployment {
        /// Its name.
        name: ObjectName,
        /// What it becomes.
        object: Box<DeploymentObject>,
    },
    /// Lets an alias name what its track now serves.
    MoveAlias {
        /// The model.
        model: ModelName,
        /// The alias.
        track: Track,
        /// What it named before.
        from: Option<ObservedAlias>,
        /// What it names from now on.
        to: ResolvedPin,
        /// The commit that pinned it.
        revision: Revision,
    },
    /// Takes an alias away: its track serves nothing any more.
    RemoveAlias {
        /// The model.
        model: ModelName,
        /// The alias.
        track: Track,
        /// What it named before.
        from: ObservedAlias,
        /// The commit that took it away.
        revision: Revision,
    },
    /// Appends an abort to the model's history, so that a lost status does not expose the canary again.
    RecordAbort {
        /// The model.
        model: ModelName,
        /// The canary's version.
        version: Version,
        /// The canary's digest.
        digest: Digest,
        /// Who aborted it, and why.
        reason: String,
    },
    /// Removes an MLDeployment object; the target drains and empties its tracks.
    DeleteDeployment {
        /// Its name.
        name: ObjectName,
    },
    /// Removes an MLTrainingJob object; its run is stopped, its versions stay.
    DeleteTraining {
        /// Its name.
        name: ObjectName,
    },
}

/// Something that goes on by itself once something else has happened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Waiting {
    /// A pin's version does not exist yet (`WaitingForVersion`).
    ForVersion {
        /// The deployment that pins it.
        deployment: ObjectName,
        /// The track that waits.
        track: Track,
        /// The version.
        version: Version,
        /// The job that makes it.
        job: ObjectName,
    },
    /// An alias follows as soon as its track is ready.
    ForTrack {
        /// The deployment.
        deployment: ObjectName,
        /// The track.
        track: Track,
    },
    /// Another object serves this model and must leave it first (`WaitingForModel`).
    ForModel {
        /// The deployment that wants the model.
        deployment: ObjectName,
        /// The model.
        model: ModelName,
        /// The MLDeployment object that still serves it.
        holder: ObjectName,
    },
}

/// Computes what must change for `observed` to become `desired`.
pub fn plan(desired: &Desired, observed: &Observed, now: Timestamp) -> Plan {
    let _unused = (desired, observed, now);
    Plan::default()
}
