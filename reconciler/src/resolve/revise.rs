//! The desired state, changed in place.

use std::collections::{BTreeMap, BTreeSet};

use planner::desired::{AllowedRemovals, Completeness, Declared, Desired};
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
        let Changed {
            revision,
            committed_at,
        } = stamps.of(&id).clone();
        let differs = match spec {
            Spec::Deployment(spec) => {
                let declared = Declared {
                    spec,
                    revision,
                    committed_at,
                    location,
                };
                put(&mut deployments, &id.name, declared)
            }
            Spec::Training(spec) => {
                let declared = Declared {
                    spec: *spec,
                    revision,
                    committed_at,
                    location,
                };
                put(&mut trainings, &id.name, declared)
            }
        };
        if differs {
            touched.insert(id);
        }
    }
    match stamps {
        Stamps::Each { history, found } => {
            for id in found {
                let Some(changed) = history.get(id) else { continue };
                let is_other = match id.kind {
                    Kind::Deployment => deployments.get_mut(&id.name).is_some_and(|it| stamp(it, changed)),
                    Kind::Training => trainings.get_mut(&id.name).is_some_and(|it| stamp(it, changed)),
                    Kind::Environment => false,
                };
                if is_other {
                    touched.insert(id.clone());
                }
            }
        }
        Stamps::Uniform(changed) => {
            for (name, declared) in &mut deployments {
                if stamp(declared, changed) {
                    touched.insert(ObjectId::deployment(name));
                }
            }
            for (name, declared) in &mut trainings {
                if stamp(declared, changed) {
                    touched.insert(ObjectId::training(name));
                }
            }
        }
    }
    let desired = Desired {
        revision,
        environment,
        completeness,
        deployments,
        trainings,
        allowed,
    };
    if is_new {
        (desired, Touched::Everything)
    } else {
        (desired, Touched::Manifests(touched))
    }
}

impl Stamps<'_> {
    fn of(&self, id: &ObjectId) -> &Changed {
        match self {
            Self::Uniform(changed) => changed,
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
fn stamp<S>(declared: &mut Declared<S>, changed: &Changed) -> bool {
    let is_other = declared.revision != changed.revision || declared.committed_at != changed.committed_at;
    if is_other {
        declared.revision = changed.revision.clone();
        declared.committed_at = changed.committed_at;
    }
    is_other
}
