//! What leaves: only what a commit that was understood does not declare, and only within the limits.

use std::collections::BTreeSet;

use super::Action;
use super::deployments::Decided as Deployment;
use super::index::Index;
use crate::desired::{Completeness, Desired};
use crate::environment::{Environment, RemovalLimits};
use crate::finding::{Finding, Reason};
use crate::names::{ModelName, ObjectName};
use crate::object::ObjectId;
use crate::observed::Observed;

/// How many objects a message names.
const NAMED_MAX: usize = 10;

/// What was decided about the objects that no manifest declares.
#[derive(Default)]
pub(super) struct Decided<'a> {
    /// The MLDeployments that go, and are not just renamed.
    pub(super) deployments: Vec<&'a ObjectName>,
    pub(super) actions: Vec<Action>,
    /// Too much would go: nothing does.
    pub(super) refused: Option<Finding>,
}

pub(super) fn decide<'a>(
    desired: &Desired,
    observed: &'a Observed,
    index: &Index<'_>,
    deployments: &[Deployment<'_>],
) -> Decided<'a> {
    // The limits are those before the commit; where they are not known, neither is what it changes.
    let (Completeness::Complete, Some(environment)) = (desired.completeness, &observed.environment) else {
        return Decided::default();
    };
    let mut decided = Decided::default();
    let served: BTreeSet<&ModelName> = deployments.iter().filter_map(Deployment::model).collect();
    let mut renamed = Vec::new();
    let mut kept = BTreeSet::new();
    for (name, old) in observed.deployments.iter().rev() {
        if desired.deployments.contains_key(name) {
            continue;
        }
        let model = &old.object.spec.model;
        if !index.is_declared(model) {
            decided.deployments.push(name);
            continue;
        }
        // Renamed. The new object exists, or will before this action: the model is never without one. Where it cannot
        // be made yet, one old object stays; a rename that was cut short before may have left two, of which the last
        // has the model.
        let is_served = served.contains(model);
        if is_served || !kept.insert(model) {
            renamed.push(name);
        }
    }
    decided.deployments.reverse();
    renamed.reverse();
    let trainings: Vec<&ObjectName> = observed
        .trainings
        .keys()
        .filter(|name| !desired.trainings.contains_key(*name))
        .collect();
    if let Some(finding) = refuse(desired, observed, environment, &decided.deployments, &trainings) {
        decided.deployments.clear();
        decided.refused = Some(finding);
    } else {
        let delete = |name: &&ObjectName| Action::DeleteTraining {
            name: (*name).clone(),
        };
        decided.actions.extend(trainings.iter().map(delete));
    }
    let delete = |name: &&ObjectName| Action::DeleteDeployment {
        name: (*name).clone(),
    };
    decided
        .actions
        .extend(decided.deployments.iter().chain(&renamed).map(delete));
    decided
}

fn refuse(
    desired: &Desired,
    observed: &Observed,
    environment: &Environment,
    deployments: &[&ObjectName],
    trainings: &[&ObjectName],
) -> Option<Finding> {
    let allow = desired.environment.removal.allow.as_ref();
    let allowed = desired
        .allowed
        .as_ref()
        .filter(|allowed| Some(&allowed.revision) == allow);
    let is_allowed_deployment = |name| allowed.is_some_and(|allowed| !allowed.deployments.contains(name));
    let is_allowed_training = |name| allowed.is_some_and(|allowed| !allowed.trainings.contains(name));
    let names: Vec<String> = deployments
        .iter()
        .filter(|name| !is_allowed_deployment(name))
        .map(|name| ObjectId::deployment(name).to_string())
        .chain(
            trainings
                .iter()
                .filter(|name| !is_allowed_training(name))
                .map(|name| ObjectId::training(name).to_string()),
        )
        .collect();
    let RemovalLimits {
        max_count,
        max_percent,
        ..
    } = environment.removal;
    let inventory = observed.deployments.len() + observed.trainings.len() + observed.elsewhere;
    let is_within = names.len() <= 1
        || (names.len() <= usize::try_from(max_count).unwrap_or(usize::MAX)
            && names.len() * 100 <= inventory * usize::from(max_percent));
    if is_within {
        return None;
    }
    let mut listed = names
        .iter()
        .take(NAMED_MAX)
        .cloned()
        .collect::<Vec<_>>()
        .join(", ");
    if names.len() > NAMED_MAX {
        listed.push_str(", …");
    }
    Some(Finding {
        location: None,
        reason: Reason::RemovalRefused,
        subject: ObjectId::environment(&environment.name).into(),
        message: format!(
            "{} of {inventory} objects are no longer declared ({listed}), and at most {max_count} and {max_percent} % \
             may go at once; nothing is removed",
            names.len(),
        ),
        hint: format!(
            "restore the manifests, or commit `removal: {{ allow: {} }}` to the MLEnvironment",
            desired.revision,
        ),
    })
}
