//! What objects say of the commits that changed their manifests: it outlives the process that found it out.

use std::collections::BTreeMap;

use planner::deployment::{DeclaredDeployment, Pin, ResolvedDeployment, ResolvedPin};
use planner::names::{ObjectName, Revision};
use planner::object::{Kind, ObjectId};
use planner::observed::{DeploymentObject, Observed, TrainingObject};

use super::read::Spec;
use crate::source::Changed;

/// The objects as they were when the process began.
#[derive(Debug)]
pub(super) struct Carried {
    deployments: BTreeMap<ObjectName, (ResolvedDeployment, Revision)>,
    trainings: BTreeMap<ObjectName, TrainingObject>,
}

impl Carried {
    pub(super) fn of(observed: &Observed) -> Self {
        let deployments = observed.deployments.iter().map(|(name, found)| {
            let DeploymentObject { spec, revision, .. } = &found.object;
            (name.clone(), (spec.clone(), revision.clone()))
        });
        let trainings = observed.trainings.iter();
        Self {
            deployments: deployments.collect(),
            trainings: trainings
                .map(|(name, found)| (name.clone(), found.object.clone()))
                .collect(),
        }
    }

    /// Returns the commit that counted for a manifest, if that says what its object does.
    pub(super) fn changed(&self, id: &ObjectId, spec: &Spec) -> Option<Changed> {
        match (id.kind, spec) {
            (Kind::Deployment, Spec::Deployment(declared)) => {
                let (resolved, revision) = self.deployments.get(&id.name)?;
                stands_for(resolved, declared).then(|| Changed {
                    revision: revision.clone(),
                    // Nothing is named after it.
                    committed_at: planner::Timestamp::default(),
                })
            }
            (Kind::Training, Spec::Training(declared)) => {
                let object = self.trainings.get(&id.name)?;
                (object.spec == **declared).then(|| Changed {
                    revision: object.revision.clone(),
                    committed_at: object.committed_at,
                })
            }
            (Kind::Environment | Kind::Deployment | Kind::Training, _) => None,
        }
    }
}

fn stands_for(resolved: &ResolvedDeployment, declared: &DeclaredDeployment) -> bool {
    let is_pinned = |resolved: &ResolvedPin, declared: &Pin| {
        resolved.version == declared.version && declared.digest.is_none_or(|digest| digest == resolved.digest)
    };
    let is_canary_pinned = match (&resolved.canary, &declared.canary) {
        (Some(resolved), Some(declared)) => {
            resolved.weight == declared.weight && is_pinned(&resolved.pin, &declared.pin)
        }
        (None, None) => true,
        (Some(_), None) | (None, Some(_)) => false,
    };
    is_canary_pinned
        && is_pinned(&resolved.stable, &declared.stable)
        && (&resolved.model, &resolved.suspend) == (&declared.model, &declared.suspend)
}
