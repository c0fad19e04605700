//! Objects as an earlier process wrote them.

use planner::deployment::{Deployment, ResolvedPin};
use planner::names::{Digest, Revision};
use planner::observed::{DeploymentObject, ObservedDeployment};

/// The object of `a` that serves a version since a commit.
pub(crate) fn object_of_a(version: &str, revision: &Revision) -> ObservedDeployment {
    ObservedDeployment {
        object: DeploymentObject {
            spec: Deployment {
                model: "a".parse().unwrap(),
                stable: ResolvedPin {
                    version: version.parse().unwrap(),
                    digest: Digest::of(b"it"),
                },
                replicas: planner::deployment::STABLE_REPLICAS,
                canary: None,
                autoscaling: None,
                pod: None,
                route: None,
                engine: planner::engine::Engine::Aurora,
                suspend: None,
                rejected: Vec::new(),
                allow_breaking: Vec::new(),
            },
            revision: revision.clone(),
            stable_revision: revision.clone(),
            canary_revision: None,
            abort: None,
            overridden: None,
            kept: None,
            trust: None,
            behind: None,
        },
        status: None,
    }
}
