//! Which models are no longer served: only what a commit that was understood does not declare, and within the limits.
//!
//! What counts is the models, however they go: an object that is gone from Git, or that turns to another model.

use std::collections::BTreeSet;

use super::deployments::Decided as Deployment;
use super::index::Index;
use crate::desired::{AllowedRemovals, Completeness, Desired};
use crate::environment::{Environment, RemovalLimits};
use crate::finding::{Finding, Reason};
use crate::names::{EnvironmentName, ModelName, ObjectName, Revision};
use crate::object::ObjectId;
use crate::observed::Observed;

/// How many models a message names.
const NAMED_MAX: usize = 10;

/// What was decided about what no manifest declares.
#[derive(Default)]
pub(super) struct Decided<'a> {
    /// Whether anything may be removed at all; what is renamed is taken away only then, too.
    pub(super) is_possible: bool,
    /// The models that nothing serves any more.
    pub(super) gone: BTreeSet<&'a ModelName>,
    /// The models that no manifest declares and that are served all the same.
    pub(super) kept: BTreeSet<&'a ModelName>,
    /// The MLTrainingJobs that go.
    pub(super) trainings: Vec<&'a ObjectName>,
    /// Too much would go: nothing does.
    pub(super) refused: Option<Finding>,
}

pub(super) fn decide<'a>(
    desired: &Desired,
    observed: &'a Observed,
    index: &Index<'a>,
    deployments: &[Deployment<'_>],
) -> Decided<'a> {
    let leaving: BTreeSet<_> = index.served().filter(|model| !index.is_declared(model)).collect();
    let mut decided = Decided::default();
    // The limits are those before the commit; where they are not known, neither is what it changes.
    let (Completeness::Complete, Some(environment)) = (desired.completeness, &observed.environment) else {
        decided.kept = leaving;
        return decided;
    };
    decided.is_possible = true;
    let served = index.served().count() + observed.elsewhere;
    decided.refused = refuse(
        &Judged {
            environment: &environment.name,
            revision: &desired.revision,
            limits: &environment.removal,
            allowed: allowed(&desired.environment, desired.allowed.as_ref()),
        },
        &leaving,
        served,
    );
    if decided.refused.is_some() {
        decided.kept = leaving;
        return decided;
    }
    // An object whose manifest turned to another model, of which nothing can be served yet, leaves nothing: it counted
    // all the same, or many would go one by one.
    let idle = deployments
        .iter()
        .filter(|deployment| deployment.wanted.is_none());
    let idle: BTreeSet<&ObjectName> = idle.map(|deployment| deployment.name).collect();
    (decided.kept, decided.gone) = leaving.into_iter().partition(|model| {
        let mut holders = index.holders(model).iter();
        holders.any(|(name, _)| idle.contains(name))
    });
    let trainings = observed.trainings.keys();
    decided.trainings = trainings
        .filter(|name| !desired.trainings.contains_key(*name))
        .collect();
    decided
}

/// What a removal is judged by.
struct Judged<'a> {
    environment: &'a EnvironmentName,
    revision: &'a Revision,
    limits: &'a RemovalLimits,
    allowed: Option<&'a AllowedRemovals>,
}

/// Returns what the commit's own `allow` allows.
fn allowed<'a>(
    environment: &Environment,
    allowed: Option<&'a AllowedRemovals>,
) -> Option<&'a AllowedRemovals> {
    let allow = environment.removal.allow.as_ref();
    allowed.filter(|allowed| Some(&allowed.revision) == allow)
}

/// Says what the commit `head` would be refused for where everything is as `base` says: before it is a commit that is
/// followed. `None` where it would not, or where one of them was not understood as a whole.
pub fn refused(base: &Desired, head: &Desired) -> Option<Finding> {
    let is_complete = |desired: &Desired| desired.completeness == Completeness::Complete;
    if !is_complete(base) || !is_complete(head) || head.environment.suspend.is_some() {
        return None;
    }
    let models = |desired: &'_ Desired| -> BTreeSet<ModelName> {
        let declared = desired.deployments.values();
        declared.map(|declared| declared.spec.model.clone()).collect()
    };
    let (before, after) = (models(base), models(head));
    let judged = Judged {
        environment: &head.environment.name,
        revision: &head.revision,
        limits: &base.environment.removal,
        allowed: allowed(&head.environment, head.allowed.as_ref()),
    };
    let leaving = before.difference(&after).collect();
    refuse(&judged, &leaving, before.len())
}

/// Judges the models that are not declared any more, of so many that are served.
fn refuse(judged: &Judged<'_>, leaving: &BTreeSet<&ModelName>, served: usize) -> Option<Finding> {
    let is_allowed = |model: &ModelName| {
        judged
            .allowed
            .is_some_and(|allowed| !allowed.models.contains(model))
    };
    let names: Vec<&str> = leaving
        .iter()
        .filter(|model| !is_allowed(model))
        .map(|model| model.as_str())
        .collect();
    let RemovalLimits {
        max_count,
        max_percent,
        allow: _,
    } = judged.limits;
    let is_within = names.len() <= 1
        || (names.len() <= usize::try_from(*max_count).unwrap_or(usize::MAX)
            && names.len() * 100 <= served * usize::from(*max_percent));
    if is_within {
        return None;
    }
    let mut listed = names[..names.len().min(NAMED_MAX)].join(", ");
    if names.len() > NAMED_MAX {
        listed.push_str(", …");
    }
    Some(Finding {
        location: None,
        reason: Reason::RemovalRefused,
        subject: ObjectId::environment(judged.environment).into(),
        message: format!(
            "{} of {served} models are no longer declared ({listed}), and one commit may take away no more than \
             {max_count} of them and {max_percent} %; nothing is removed",
            names.len(),
        ),
        hint: format!(
            "restore the manifests, or let them go by a commit with `removal: {{ allow: \"{}\" }}` in the MLEnvironment's spec",
            judged.revision,
        ),
    })
}
