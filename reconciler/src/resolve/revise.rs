//! The desired state, changed in place.

use std::collections::{BTreeMap, BTreeSet};

use planner::desired::{AllowedRemovals, Completeness, Dating, Declared, Desired};
use planner::environment::Environment;
use planner::names::{ObjectName, Revision};
use planner::object::{Kind, ObjectId};

use super::Touched;
use super::judge::Found;
use super::read::Spec;
use crate::source::{Changed, History};

/// What the desired state says beside its manifests.
pub(super) struct Header {
    pub(super) revision: Revision,
    pub(super) environment: Environment,
    pub(super) completeness: Completeness,
    pub(super) allowed: Option<AllowedRemovals>,
}

/// Which commits last changed the manifests.
pub(super) enum Stamps<'a> {
    /// One stands for all.
    Uniform(Changed),
    /// Each has its own; those found may have another than before.
    Each {
        history: &'a History,
        found: Vec<ObjectId>,
    },
}

/// Changes the desired state to what is declared now, or makes it; says what differs from before.
pub(super) fn revise(
    former: Option<Desired>,
    header: Header,
    declared: Vec<Found>,
    gone: &[ObjectId],
    stamps: &Stamps<'_>,
) -> (Desired, Touched) {
    let Header {
        revision,
        environment,
        completeness,
        allowed,
    } = header;
    let mut touched = BTreeSet::new();
    let is_new = former.is_none();
    let (mut deployments, mut trainings) = match former {
        Some(former) => {
            if former.environment != environment || former.allowed != allowed {
                touched.insert(ObjectId::environment(&environment.name));
            }
            (former.deployments, former.trainings)
        }
        None => (BTreeMap::new(), BTreeMap::new()),
    };
    for id in gone {
        let was_there = match id.kind {
            Kind::Deployment => deployments.remove(&id.name).is_some(),
            Kind::Training => trainings.remove(&id.name).is_some(),
            Kind::Environment => false,
        };
        if was_there {
            touched.insert(id.clone());
        }
    }
    for found in declared {
        let Found { id, spec, location } = found;
        let (changed, dating) = stamps.of(&id);
        let Changed {
            revision,
            committed_at,
        } = changed.clone();
        let differs = match spec {
            Spec::Deployment(spec) => {
                let declared = Declared {
                    spec: *spec,
                    revision,
                    committed_at,
                    dating,
                    location,
                };
                put(&mut deployments, &id.name, declared)
            }
            Spec::Training(spec) => {
                let declared = Declared {
                    spec: *spec,
                    revision,
                    committed_at,
                    dating,
                    location,
                };
                put(&mut trainings, &id.name, declared)
            }
        };
        if differs {
            touched.insert(id);
        }
    }
    let mut desired = Desired {
        revision,
        environment,
        completeness,
        deployments,
        trainings,
        allowed,
        overrides: BTreeMap::new(),
        promoted: BTreeMap::new(),
    };
    match stamps {
        Stamps::Each { history, found } => restamp(&mut desired, history, found, &mut touched),
        Stamps::Uniform(changed) => {
            for (name, declared) in &mut desired.deployments {
                if stamp(declared, changed, Dating::Known) {
                    touched.insert(ObjectId::deployment(name));
                }
            }
            for (name, declared) in &mut desired.trainings {
                if stamp(declared, changed, Dating::Known) {
                    touched.insert(ObjectId::training(name));
                }
            }
        }
    }
    if is_new {
        (desired, Touched::Everything)
    } else {
        (desired, Touched::Manifests(touched))
    }
}

/// Gives the manifests `found` the commits that a history says; those that had another one are touched.
pub(super) fn restamp(
    desired: &mut Desired,
    history: &History,
    found: &[ObjectId],
    touched: &mut BTreeSet<ObjectId>,
) {
    for id in found {
        let Some((changed, dating)) = history.get(id) else {
            continue;
        };
        let is_other = match id.kind {
            Kind::Deployment => {
                let declared = desired.deployments.get_mut(&id.name);
                declared.is_some_and(|declared| stamp(declared, changed, dating))
            }
            Kind::Training => {
                let declared = desired.trainings.get_mut(&id.name);
                declared.is_some_and(|declared| stamp(declared, changed, dating))
            }
            Kind::Environment => false,
        };
        if is_other {
            touched.insert(id.clone());
        }
    }
}

impl Stamps<'_> {
    fn of(&self, id: &ObjectId) -> (&Changed, Dating) {
        match self {
            Self::Uniform(changed) => (changed, Dating::Known),
            Self::Each { history, .. } => history
                .get(id)
                .expect("invariant: a walk finds each manifest that is declared anew"),
        }
    }
}

/// Puts a manifest in place and says whether it differs from what was there.
fn put<S: PartialEq>(
    all: &mut BTreeMap<ObjectName, Declared<S>>,
    name: &ObjectName,
    declared: Declared<S>,
) -> bool {
    if all.get(name) == Some(&declared) {
        return false;
    }
    all.insert(name.clone(), declared);
    true
}

/// Gives a manifest the commit that last changed it and says whether it had another one.
fn stamp<S>(declared: &mut Declared<S>, changed: &Changed, dating: Dating) -> bool {
    let is_other_commit = declared.revision != changed.revision;
    let dating = match (dating, &declared.dating) {
        (Dating::Known, Dating::Provisional) if is_other_commit => {
            Dating::Corrected(declared.revision.clone())
        }
        // It goes on to be the one that was corrected.
        (Dating::Known, Dating::Corrected(_)) if !is_other_commit => declared.dating.clone(),
        (dating, _) => dating,
    };
    let is_other =
        is_other_commit || declared.committed_at != changed.committed_at || declared.dating != dating;
    if is_other {
        declared.revision = changed.revision.clone();
        declared.committed_at = changed.committed_at;
        declared.dating = dating;
    }
    is_other
}
