//! What an object says of itself that no manifest declares and that may not go: Git does not say what it is, and it is no
//! longer what Git said. Without that, it would be ready beside a manifest that is refused.

use std::collections::BTreeSet;

use super::Action;
use super::deployments::cut;
use super::removals::Decided as Removals;
use crate::desired::{Completeness, Desired};
use crate::names::ObjectName;
use crate::observed::{Behind, DeploymentObject, Observed, TrainingObject};

/// Returns what is to be written on objects of which `actions` have nothing else to say.
pub(super) fn notes(
    desired: &Desired,
    observed: &Observed,
    removals: &Removals<'_>,
    actions: &[Action],
) -> Vec<Action> {
    let why = match (&removals.refused, desired.completeness) {
        (Some(refused), _) => {
            format!(
                "{}: no manifest declares it, and more would go at once than may",
                refused.reason
            )
        }
        (None, Completeness::Partial) => {
            "Unreadable: no manifest that was understood declares it, and not all were".to_owned()
        }
        (None, Completeness::Complete) => return Vec::new(),
    };
    let behind = Some(Behind::Stopped(cut(&why)));
    let moved: BTreeSet<&ObjectName> = actions.iter().filter_map(moved).collect();
    let deployments = observed.deployments.iter().filter(|(name, found)| {
        !desired.deployments.contains_key(*name) && !moved.contains(name) && found.object.behind != behind
    });
    let trainings = observed
        .trainings
        .iter()
        .filter(|(name, found)| !desired.trainings.contains_key(*name) && found.object.behind != behind);
    let mut notes = Vec::new();
    notes.extend(deployments.map(|(name, found)| Action::PutDeployment {
        name: name.clone(),
        from: Some(Box::new(found.object.clone())),
        object: Box::new(DeploymentObject {
            behind: behind.clone(),
            ..found.object.clone()
        }),
    }));
    notes.extend(trainings.map(|(name, found)| Action::PutTraining {
        name: name.clone(),
        from: Some(Box::new(found.object.clone())),
        object: Box::new(TrainingObject {
            behind: behind.clone(),
            ..found.object.clone()
        }),
    }));
    notes
}

/// Returns the MLDeployment that an action writes or takes away.
fn moved(action: &Action) -> Option<&ObjectName> {
    let (Action::PutDeployment { name, .. } | Action::DeleteDeployment { name, .. }) = action else {
        return None;
    };
    Some(name)
}
