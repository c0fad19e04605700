//! The ordered actions that turn the observed state into the desired state.

mod aborts;
mod aliases;
mod dependence;
mod deployments;
mod exposure;
mod index;
mod moves;
mod pins;
mod removals;
mod render;
pub(crate) mod stand_in;
mod trainings;
mod undeclared;

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::Timestamp;
use crate::deployment::ResolvedPin;
use crate::desired::Desired;
use crate::endpoint::Url;
use crate::environment::Environment;
use crate::finding::Finding;
use crate::imports::Wanted;
use crate::names::{Digest, ModelName, ObjectName, Revision, Track, Version};
use crate::observed::{DeploymentObject, Observed, ObservedAlias, PolicyAge, TrainingObject};
use crate::window::Closed;
pub use dependence::Undone;
use deployments::Decided as Deployment;
pub use exposure::whose_word;
use index::Index;
pub use removals::refused;
pub use stand_in::is_stand_in;
pub use trainings::{beyond_the_target, unsigned_imports};

/// What must change, in the order in which it is done, and what stands in the way.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Plan {
    /// Each is idempotent, and the process may die after any of them.
    pub actions: Vec<Action>,
    /// What stops single models.
    pub findings: BTreeSet<Finding>,
    /// What goes on by itself once something else has happened.
    pub waiting: Vec<Waiting>,
    /// What would be done, were the environment not suspended.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub held: Vec<Action>,
}

/// One step towards the desired state.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Action {
    /// Writes the MLEnvironment object.
    PutEnvironment(Box<Environment>),
    /// Copies a data file of the commit into the registry.
    StageDataset {
        /// The job that trains on it.
        job: ObjectName,
        /// The file's path as the manifest gives it, relative to the manifest's folder.
        path: String,
        /// The file's digest.
        sha256: Digest,
    },
    /// Asks for a version of another environment's registry; it comes while other things go on.
    Import(Box<Wanted>),
    /// Writes an MLTrainingJob object.
    PutTraining {
        /// Its name.
        name: ObjectName,
        /// What it was, for people.
        from: Option<Box<TrainingObject>>,
        /// What it becomes.
        object: Box<TrainingObject>,
    },
    /// Writes an MLDeployment object.
    PutDeployment {
        /// Its name.
        name: ObjectName,
        /// What it was, for people.
        from: Option<Box<DeploymentObject>>,
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
        /// Why the model's commit overrides windows, if it does.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        overridden: Option<String>,
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
    /// Removes an MLDeployment object; the target drains and empties its tracks, unless another object has its model.
    DeleteDeployment {
        /// Its name.
        name: ObjectName,
        /// The model that it has.
        model: ModelName,
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
    /// A pin's version is being imported.
    ForImport {
        /// The deployment that pins it.
        deployment: ObjectName,
        /// The track that waits.
        track: Track,
        /// The version.
        version: Version,
        /// Where it comes from.
        from: Url,
    },
    /// An alias follows as soon as its track is ready.
    ForTrack {
        /// The deployment.
        deployment: ObjectName,
        /// The track.
        track: Track,
    },
    /// Another object serves this model, and whether its manifest is gone cannot be said (`WaitingForModel`).
    ForModel {
        /// The deployment that wants the model.
        deployment: ObjectName,
        /// The model.
        model: ModelName,
        /// The MLDeployment object that still serves it.
        holder: ObjectName,
    },
    /// A track gets more requests as soon as the environment's windows, or its soak, allow it.
    ForTime {
        /// The deployment.
        deployment: ObjectName,
        /// The track.
        track: Track,
        /// The version that waits.
        version: Version,
        /// Why it waits, and until when.
        closed: Closed,
    },
    /// The object serves a model that is no longer declared and may not go yet.
    ToLeave {
        /// The deployment.
        deployment: ObjectName,
        /// The model that it serves until then.
        model: ModelName,
    },
}

impl Action {
    /// Returns the model that the action is about, `None` for the environment; of an object that goes, what it served.
    pub fn model<'a>(&'a self, observed: &'a Observed) -> Option<&'a ModelName> {
        match self {
            Self::PutEnvironment(_) => None,
            Self::StageDataset { job: name, .. } | Self::DeleteTraining { name } => {
                observed.trainings.get(name).map(|found| &found.object.spec.model)
            }
            Self::Import(wanted) => Some(&wanted.model),
            Self::PutTraining { object, .. } => Some(&object.spec.model),
            Self::PutDeployment { object, .. } => Some(&object.spec.model),
            Self::DeleteDeployment { model, .. }
            | Self::MoveAlias { model, .. }
            | Self::RemoveAlias { model, .. }
            | Self::RecordAbort { model, .. } => Some(model),
        }
    }
}

impl Action {
    /// Says whether it changes nothing but what an object says of what keeps it behind: no news beside the finding or
    /// the wait itself.
    pub fn is_note(&self) -> bool {
        match self {
            Self::PutDeployment {
                from: Some(from),
                object,
                ..
            } => {
                let DeploymentObject {
                    spec,
                    revision,
                    stable_revision,
                    canary_revision,
                    abort,
                    overridden,
                    kept: _,
                    trust,
                    behind: _,
                } = &**object;
                from.spec == *spec
                    && from.revision == *revision
                    && from.stable_revision == *stable_revision
                    && from.canary_revision == *canary_revision
                    && from.abort == *abort
                    && from.overridden == *overridden
                    && from.trust == *trust
            }
            Self::PutTraining {
                from: Some(from),
                object,
                ..
            } => {
                let TrainingObject {
                    spec,
                    revision,
                    committed_at,
                    baseline,
                    trust,
                    behind: _,
                } = &**object;
                from.spec == *spec
                    && from.revision == *revision
                    && from.committed_at == *committed_at
                    && from.baseline == *baseline
                    && from.trust == *trust
            }
            Self::PutDeployment { from: None, .. }
            | Self::PutEnvironment(_)
            | Self::StageDataset { .. }
            | Self::Import(_)
            | Self::PutTraining { from: None, .. }
            | Self::MoveAlias { .. }
            | Self::RemoveAlias { .. }
            | Self::RecordAbort { .. }
            | Self::DeleteDeployment { .. }
            | Self::DeleteTraining { .. } => false,
        }
    }
}

impl Waiting {
    /// Says whether something that a commit declares is not written yet.
    pub const fn stops_commit(&self) -> bool {
        match self {
            Self::ForVersion { .. }
            | Self::ForImport { .. }
            | Self::ForModel { .. }
            | Self::ForTime { .. }
            | Self::ToLeave { .. } => true,
            Self::ForTrack { .. } => false,
        }
    }

    /// Returns the deployment that waits.
    pub fn deployment(&self) -> &ObjectName {
        match self {
            Self::ForVersion { deployment, .. }
            | Self::ForImport { deployment, .. }
            | Self::ForTrack { deployment, .. }
            | Self::ForModel { deployment, .. }
            | Self::ForTime { deployment, .. }
            | Self::ToLeave { deployment, .. } => deployment,
        }
    }
}

/// Computes what must change for `observed` to become `desired`.
///
/// Both may be a [part](crate::part) of an environment: what hangs together is in it, and all that no manifest declares.
/// A finding stops its manifest's object where it stands; aborts are recorded and aliases follow all the same, for they
/// record what is. `now` tells slots to come from slots that have passed. Applying the actions in order, and asking
/// again until there are none, converges from wherever the process died.
pub fn plan(desired: &Desired, observed: &Observed, now: Timestamp) -> Plan {
    if desired.environment.suspend.is_none() {
        return unsuspended(desired, observed, now);
    }
    let mut plan = unsuspended(desired, observed, now);
    let is_environment = |action: &Action| matches!(action, Action::PutEnvironment(_));
    plan.held = std::mem::take(&mut plan.actions);
    plan.held.retain(|action| !is_environment(action));
    // While nothing is done, nothing goes on by itself.
    plan.waiting.clear();
    plan.actions
        .extend(put_environment(&desired.environment, observed));
    plan
}

fn unsuspended(desired: &Desired, observed: &Observed, now: Timestamp) -> Plan {
    let index = Index::new(desired, observed);
    let trainings = trainings::decide(desired, observed, &index);
    let mut deployments = deployments::decide(desired, observed, &index, now);
    let removals = removals::decide(desired, observed, &index, &deployments);
    let moves = moves::decide(desired, observed, &index, &mut deployments, &removals);
    let aliases = aliases::decide(desired, observed, &index, &deployments, &removals);

    let mut environment = desired.environment.clone();
    if let Some(last) = &observed.environment
        && (observed.policy == PolicyAge::NewAndHolds
            || observed.policy == PolicyAge::New
                && (trainings.is_held || deployments.iter().any(Deployment::is_held)))
    {
        environment = environment.with_policy_of(last);
    }
    if let (Some(_), Some(last)) = (&removals.refused, &observed.environment) {
        // A commit is judged by the policy before it, and stays the commit that is judged until it removes nothing
        // more or is allowed: limits that it brought along must not count at the next pass.
        environment.removal.max_count = last.removal.max_count;
        environment.removal.max_percent = last.removal.max_percent;
    }

    let mut plan = Plan::default();
    plan.actions.extend(put_environment(&environment, observed));
    plan.actions.extend(trainings.actions);
    let imports = deployments
        .iter_mut()
        .flat_map(|decided| decided.imports.drain(..));
    plan.actions.extend(imports);
    plan.actions.extend(aborts::record(observed));
    plan.actions.extend(aliases.leaves);
    plan.actions.extend(moves.puts);
    plan.actions.extend(aliases.actions);
    let delete = |name: &&ObjectName| Action::DeleteTraining {
        name: (*name).clone(),
    };
    plan.actions.extend(removals.trainings.iter().map(delete));
    plan.actions.extend(moves.deletes);
    let notes = undeclared::notes(desired, observed, &removals, &plan.actions);
    plan.actions.extend(notes);
    for deployment in deployments {
        plan.findings.extend(deployment.findings);
        plan.waiting.extend(deployment.waiting);
    }
    plan.findings.extend(trainings.findings);
    plan.findings.extend(removals.refused);
    plan.findings.extend(aliases.findings);
    plan.waiting.extend(aliases.waiting);
    plan
}

fn put_environment(environment: &Environment, observed: &Observed) -> Option<Action> {
    (observed.environment.as_ref() != Some(environment))
        .then(|| Action::PutEnvironment(Box::new(environment.clone())))
}
