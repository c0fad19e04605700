//! What must not be done once something else was not.

use std::collections::BTreeSet;

use super::Action;
use crate::names::ModelName;
use crate::object::ObjectId;

/// What of a plan was not done, and so what else must wait for the next one.
///
/// What takes a model over goes before what leaves it: where the one fails, the other is not tried, or the model would
/// be without an object.
#[derive(Debug, Clone, Default)]
pub struct Undone {
    subjects: BTreeSet<String>,
    /// The models that no object may leave.
    models: BTreeSet<ModelName>,
}

impl Undone {
    /// Says whether an action depends on one that was not done. Then it is not done either, and is [added](Self::add).
    pub fn stops(&self, action: &Action) -> bool {
        let leaves = match action {
            Action::PutDeployment { from, object, .. } => from
                .as_ref()
                .map(|from| &from.spec.model)
                .filter(|model| **model != object.spec.model),
            Action::DeleteDeployment { model, .. } => Some(model),
            Action::PutEnvironment(_)
            | Action::StageDataset { .. }
            | Action::Import(_)
            | Action::PutTraining { .. }
            | Action::MoveAlias { .. }
            | Action::RemoveAlias { .. }
            | Action::RecordAbort { .. }
            | Action::DeleteTraining { .. } => None,
        };
        self.subjects.contains(&action.subject()) || leaves.is_some_and(|model| self.models.contains(model))
    }

    /// Remembers an action that was not done.
    pub fn add(&mut self, action: &Action) {
        self.subjects.insert(action.subject());
        match action {
            Action::PutDeployment { object, .. } => drop(self.models.insert(object.spec.model.clone())),
            Action::RemoveAlias { model, .. } => drop(self.models.insert(model.clone())),
            Action::PutEnvironment(_)
            | Action::StageDataset { .. }
            | Action::Import(_)
            | Action::PutTraining { .. }
            | Action::MoveAlias { .. }
            | Action::RecordAbort { .. }
            | Action::DeleteDeployment { .. }
            | Action::DeleteTraining { .. } => {}
        }
    }
}

impl Action {
    /// Returns what it is about, e.g. `MLDeployment/wine-quality`. Actions with one subject depend on each other.
    pub fn subject(&self) -> String {
        match self {
            Self::PutEnvironment(environment) => ObjectId::environment(&environment.name).to_string(),
            Self::StageDataset { job: name, .. }
            | Self::PutTraining { name, .. }
            | Self::DeleteTraining { name } => ObjectId::training(name).to_string(),
            Self::PutDeployment { name, .. } | Self::DeleteDeployment { name, .. } => {
                ObjectId::deployment(name).to_string()
            }
            Self::MoveAlias { model, track, .. } | Self::RemoveAlias { model, track, .. } => {
                format!("alias {model}@{track}")
            }
            Self::RecordAbort { model, .. } => format!("history of {model}"),
            Self::Import(wanted) => format!("version {} of {}", wanted.version, wanted.model),
        }
    }
}
