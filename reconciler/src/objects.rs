//! The blackboard: objects with their status, as a target keeps them.
//!
//! The reconciler writes specs and the environment's status, an operator the other statuses. What one needs of the other
//! stands in an object; each may be another process on another machine. [`conformance`] says what every store must do.

pub mod conformance;
mod log;
mod memory;
pub mod resource;

use planner::environment::Environment;
use planner::finding::{Disposition, Reason};
use planner::names::{ModelName, ObjectName};
use planner::object::ObjectId;
use planner::observed::{DeploymentObject, ObservedDeployment, ObservedTraining, TrainingObject};

use crds::MLEnvironmentStatus;
pub use log::Log;
pub use memory::MemoryStore;

/// An object as the reconciler writes it: everything but the status.
#[derive(Debug, Clone, PartialEq)]
pub enum Object {
    /// An MLEnvironment.
    Environment(Environment),
    /// An MLDeployment.
    Deployment(ObjectName, DeploymentObject),
    /// An MLTrainingJob.
    Training(ObjectName, TrainingObject),
}

/// An object and its status, as far as a pass looks at it.
#[derive(Debug, Clone, PartialEq)]
#[expect(
    clippy::large_enum_variant,
    reason = "nearly all are of the large kinds, and they are moved into the view at once"
)]
pub enum ObservedObject {
    /// An MLEnvironment.
    Environment(Environment),
    /// An MLDeployment.
    Deployment(ObjectName, ObservedDeployment),
    /// An MLTrainingJob.
    Training(ObjectName, ObservedTraining),
}

/// A moment in a store's life: everything before it was observed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Mark(pub u64);

/// What is new since a mark.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Changes {
    /// Where the next observation goes on.
    pub mark: Mark,
    /// Whether `objects` are all that there are: whatever else was known is gone.
    pub is_complete: bool,
    /// The objects whose spec or status changed, as they are now.
    pub objects: Vec<ObservedObject>,
    /// The objects that are gone.
    pub gone: Vec<ObjectId>,
    /// The environment's status, where everything was asked for: its one writer knows it from then on.
    pub report: Option<Box<MLEnvironmentStatus>>,
}

/// The objects of one environment.
pub trait ObjectStore: Send + Sync + std::fmt::Debug {
    /// Returns what changed since `since`, or everything. Costs what changed. An error tells nothing about any object.
    fn observe(&self, since: Option<Mark>) -> Result<Changes, TargetError>;
    /// Returns the objects of the environment that make no sense as they are now, each with what is wrong with it: they are not
    /// observed. Almost always none.
    fn unreadable(&self) -> Vec<(ObjectId, String)> {
        Vec::new()
    }
    /// Writes an object's spec; its status stays. Repeating it changes nothing.
    fn put(&self, object: &Object) -> Result<(), TargetError>;
    /// Writes the specs of objects that do not depend on each other, in any order or at once, and returns what became of each,
    /// in their order.
    fn put_all(&self, objects: &[Object]) -> Vec<Result<(), TargetError>> {
        objects.iter().map(|object| self.put(object)).collect()
    }
    /// Begins to remove an object; one that is not there is removed already. Its operator drains what it serves.
    fn delete(&self, id: &ObjectId) -> Result<(), TargetError>;
    /// Writes the environment's status. Repeating it changes nothing.
    fn report(&self, status: &MLEnvironmentStatus) -> Result<(), TargetError>;
}

/// Why a target could not be read or written.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct TargetError {
    disposition: Disposition,
    reason: Reason,
    message: String,
}

impl TargetError {
    /// Makes an error; `message` is a lower-case fragment that says what to do, where that is known.
    pub fn new(disposition: Disposition, reason: Reason, message: impl Into<String>) -> Self {
        Self {
            disposition,
            reason,
            message: message.into(),
        }
    }

    /// Says what happens next.
    pub fn disposition(&self) -> Disposition {
        self.disposition
    }

    /// Says why, as a stable word.
    pub fn reason(&self) -> Reason {
        self.reason
    }
}

impl Object {
    /// Returns what it is called.
    pub fn id(&self) -> ObjectId {
        match self {
            Self::Environment(environment) => ObjectId::environment(&environment.name),
            Self::Deployment(name, _) => ObjectId::deployment(name),
            Self::Training(name, _) => ObjectId::training(name),
        }
    }
}

impl ObservedObject {
    /// Returns what it is called.
    pub fn id(&self) -> ObjectId {
        match self {
            Self::Environment(environment) => ObjectId::environment(&environment.name),
            Self::Deployment(name, _) => ObjectId::deployment(name),
            Self::Training(name, _) => ObjectId::training(name),
        }
    }

    /// Returns the model that it is about.
    pub fn model(&self) -> Option<&ModelName> {
        match self {
            Self::Environment(_) => None,
            Self::Deployment(_, found) => Some(&found.object.spec.model),
            Self::Training(_, found) => Some(&found.object.spec.model),
        }
    }

    /// Returns the MLDeployment that it is.
    pub fn into_deployment(self) -> Option<ObservedDeployment> {
        match self {
            Self::Deployment(_, found) => Some(found),
            Self::Environment(_) | Self::Training(..) => None,
        }
    }

    /// Returns the MLTrainingJob that it is.
    pub fn into_training(self) -> Option<ObservedTraining> {
        match self {
            Self::Training(_, found) => Some(found),
            Self::Environment(_) | Self::Deployment(..) => None,
        }
    }
}
