//! Which object serves which model, and in which order objects change so that no model is without one.
//!
//! What takes a model over goes before what leaves it. Where that goes round in a circle, a [stand-in](super::stand_in)
//! holds one of the models meanwhile.

use std::collections::{BTreeMap, BTreeSet};

use super::deployments::{Decided as Deployment, behind, load_failed, unsigned};
use super::index::Index;
use super::removals::Decided as Removals;
use super::{Action, Waiting, aborts, stand_in};
use crate::desired::Desired;
use crate::names::{ModelName, ObjectName};
use crate::observed::{DeploymentObject, Observed};

/// The objects that are written, and those that go.
#[derive(Default)]
pub(super) struct Decided {
    pub(super) puts: Vec<Action>,
    pub(super) deletes: Vec<Action>,
}

pub(super) fn decide(
    desired: &Desired,
    observed: &Observed,
    index: &Index<'_>,
    deployments: &mut [Deployment<'_>],
    removals: &Removals<'_>,
) -> Decided {
    let taken = settle(desired, observed, index, deployments, removals);
    let mut decided = Decided::default();
    let mut covers = Covers::new(index);
    let mut stand_ins = Vec::new();
    for model in &removals.kept {
        let leaves = index
            .owner(model)
            .and_then(|owner| observed.deployments.get(owner));
        let stays = deployments.iter().any(|deployment| deployment.serves(model));
        if let (Some(leaves), false, false) = (leaves, stays, is_undeclared(model, desired, index))
            && let Some(name) = free_name(model, desired, observed)
        {
            // What no manifest declares any more and may not go, while its object is needed for another model.
            decided.puts.push(put(&name, None, leaves.object.clone()));
            covers.add(model);
        }
    }
    let mut pending: Vec<(&ObjectName, Option<&DeploymentObject>, &DeploymentObject)> = deployments
        .iter()
        .filter_map(|deployment| {
            let before = deployment.before.map(|before| &before.object);
            let after = deployment.after.as_ref()?;
            (before != Some(after)).then_some((deployment.name, before, after))
        })
        .collect();
    while !pending.is_empty() {
        let count = pending.len();
        pending.retain(|(name, before, after)| {
            let left = before.map(|before| &before.spec.model);
            let left = left.filter(|left| **left != after.spec.model);
            let is_possible = left.is_none_or(|left| removals.gone.contains(left) || covers.of(left) > 1);
            if is_possible {
                decided.puts.push(put(name, *before, (*after).clone()));
                covers.add(&after.spec.model);
                if let Some(left) = left {
                    covers.remove(left);
                }
            }
            !is_possible
        });
        if pending.len() == count {
            // Each waits for the next one, and the last for the first.
            let Some((_, Some(before), _)) = pending.first() else {
                break;
            };
            let model = &before.spec.model;
            let Some(name) = free_name(model, desired, observed) else {
                break;
            };
            decided.puts.push(put(&name, None, (*before).clone()));
            covers.add(model);
            stand_ins.push(Action::DeleteDeployment {
                name,
                model: model.clone(),
            });
        }
    }
    decided.deletes = deletes(desired, observed, deployments, removals, &taken);
    decided.deletes.extend(stand_ins);
    decided
}

/// Says what each manifest's object comes to. Returns the models that manifests' objects serve then.
fn settle<'a>(
    desired: &Desired,
    observed: &Observed,
    index: &Index<'_>,
    deployments: &mut [Deployment<'a>],
    removals: &Removals<'_>,
) -> BTreeSet<ModelName> {
    let is_kept_elsewhere = |model: &ModelName| {
        let mut idle = deployments
            .iter()
            .filter(|deployment| deployment.wanted.is_none());
        idle.any(|idle| {
            idle.before
                .is_some_and(|before| before.object.spec.model == *model)
        })
    };
    let stays = |deployment: &Deployment<'a>| {
        let Some(wanted) = &deployment.wanted else {
            return true;
        };
        let left = deployment.before.map(|before| &before.object.spec.model);
        let left = left.filter(|left| **left != wanted.spec.model && removals.kept.contains(*left));
        // A model that may not go keeps its object, unless that is needed where something serves already, or another
        // object has the model too and nothing else to turn to.
        let is_needed = index.holder(&wanted.spec.model, deployment.name).is_some();
        let is_last = |left| {
            index.owner(left) == Some(deployment.name)
                && !is_undeclared(left, desired, index)
                && !is_kept_elsewhere(left)
        };
        left.is_some_and(is_last) && !is_needed
    };
    let stays: Vec<bool> = deployments.iter().map(stays).collect();
    let moved = deployments.iter().zip(&stays).filter(|(_, stays)| !**stays);
    let mut taken: BTreeSet<ModelName> = moved
        .filter_map(|(deployment, _)| deployment.wanted.as_ref())
        .map(|wanted| wanted.spec.model.clone())
        .collect();
    for (deployment, stays) in deployments.iter_mut().zip(stays) {
        if !stays {
            deployment.after.clone_from(&deployment.wanted);
        } else if let Some(before) = deployment.before {
            let model = &before.object.spec.model;
            if taken.contains(model) {
                // Another object has the model from now on, and this one has no other yet.
                continue;
            }
            if deployment.wanted.is_some() && !deployment.is_stopped {
                deployment.waiting.push(Waiting::ToLeave {
                    deployment: deployment.name.clone(),
                    model: model.clone(),
                });
            }
            let mut after = before.object.clone();
            if let Some(registered) = observed.models.get(model) {
                after.abort = aborts::of(&after, Some(before), registered);
            }
            after.behind = behind(&deployment.findings, &deployment.waiting);
            deployment.after = Some(after);
        }
        if deployment.after.as_ref() == deployment.before.map(|before| &before.object)
            && deployment.findings.is_empty()
            && let Some(declared) = desired.deployments.get(deployment.name)
            && declared.spec.suspend.is_none()
        {
            let failed = load_failed(deployment.name, declared, deployment.before);
            deployment.findings.extend(failed);
        }
        if let Some(after) = &deployment.after
            && let Some(declared) = desired.deployments.get(deployment.name)
        {
            let unsigned = unsigned(deployment.name, declared, after, &observed.signers);
            deployment.findings.extend(unsigned);
        }
    }
    taken.extend(deployments.iter().filter_map(Deployment::model).cloned());
    taken
}

/// Says whether an object has the model that no manifest declares.
fn is_undeclared(model: &ModelName, desired: &Desired, index: &Index<'_>) -> bool {
    let mut holders = index.holders(model).iter();
    holders.any(|(name, _)| !desired.deployments.contains_key(*name))
}

/// The objects that go: of models that are no longer served, and of those that another object has from now on.
fn deletes(
    desired: &Desired,
    observed: &Observed,
    deployments: &[Deployment<'_>],
    removals: &Removals<'_>,
    taken: &BTreeSet<ModelName>,
) -> Vec<Action> {
    let released = deployments.iter().filter(|deployment| deployment.after.is_none());
    let released: BTreeSet<&ObjectName> = released.map(|deployment| deployment.name).collect();
    let goes = |name: &ObjectName, model: &ModelName| {
        if desired.deployments.contains_key(name) {
            released.contains(name)
        } else {
            removals.is_possible && (taken.contains(model) || removals.gone.contains(model))
        }
    };
    observed
        .deployments
        .iter()
        .map(|(name, old)| (name, &old.object.spec.model))
        .filter(|(name, model)| goes(name, model))
        .map(|(name, model)| Action::DeleteDeployment {
            name: name.clone(),
            model: model.clone(),
        })
        .collect()
}

fn put(name: &ObjectName, from: Option<&DeploymentObject>, object: DeploymentObject) -> Action {
    Action::PutDeployment {
        name: name.clone(),
        from: from.map(|from| Box::new(from.clone())),
        object: Box::new(object),
    }
}

/// Whatever hangs together with a taken name is in the same [part](crate::part).
fn free_name(model: &ModelName, desired: &Desired, observed: &Observed) -> Option<ObjectName> {
    stand_in::names(model)
        .find(|name| !desired.deployments.contains_key(name) && !observed.deployments.contains_key(name))
}

/// How many objects each model has, while they change.
struct Covers<'a>(BTreeMap<&'a ModelName, usize>);

impl<'a> Covers<'a> {
    fn new(index: &Index<'a>) -> Self {
        let count = |model| (model, index.holders(model).len());
        Self(index.served().map(count).collect())
    }

    fn of(&self, model: &ModelName) -> usize {
        self.0.get(model).copied().unwrap_or_default()
    }

    fn add(&mut self, model: &ModelName) {
        // What had no object before is left by none.
        if let Some(count) = self.0.get_mut(model) {
            *count += 1;
        }
    }

    fn remove(&mut self, model: &ModelName) {
        if let Some(count) = self.0.get_mut(model) {
            *count -= 1;
        }
    }
}
