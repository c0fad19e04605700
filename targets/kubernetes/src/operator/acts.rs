//! From a step of a rollout to what is done to an object's children, in the order in which no request goes where nothing
//! answers: pure.

use planner::deployment::{ResolvedDeployment, ResolvedPin};
use planner::names::{ObjectName, Revision, Track, Weight};
use planner::observed::DeploymentObject;
use planner::per_track::PerTrack;
use planner::rollout::{Rollout, TrackAction, Tracks};

use super::child::{Child, ChildId, ChildKind};
use super::observe::{Deployed, Observed, Route};
use crate::build::route::{Carrier, Split, carrier};
use crate::build::scaling::{autoscaler, budget};
use crate::build::serving::{Content, Model, deployment, service};

/// One thing that is done to the children.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Act {
    /// Makes a child what it is to be.
    Apply(Child),
    /// Lets another manager hold a Deployment's number of replicas, before the operator lets go of it.
    HandOver { deployment: String, replicas: u32 },
    /// Removes a child, if there is one.
    Delete(ChildId),
}

impl Act {
    /// Returns the child that is made or removed.
    pub(crate) fn child(&self) -> Option<&ChildId> {
        match self {
            Self::Apply(child) => Some(&child.id),
            Self::Delete(child) => Some(child),
            Self::HandOver { .. } => None,
        }
    }
}

/// What a track is to be.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Wanted {
    pin: ResolvedPin,
    revision: Revision,
    replicas: Option<u32>,
}

/// Returns what a step comes to for the children of the object `name`. `target` is what is decided about; `None` while
/// everything goes.
pub(crate) fn acts(
    name: &ObjectName,
    target: Option<(&Model<'_>, &DeploymentObject)>,
    observed: &Observed,
    tracks: &Tracks,
    step: &Rollout,
) -> Vec<Act> {
    let mut acts = Vec::new();
    if step.actions.contains(&TrackAction::Unroute) {
        acts.extend(carriers(name).into_iter().map(Act::Delete));
    }
    if let Some((model, object)) = target {
        let route = route(model, observed, tracks, step);
        let (before, after) = if step.weight <= tracks.weight {
            (route, Vec::new())
        } else {
            (Vec::new(), route)
        };
        acts.extend(before);
        for (track, wanted) in wanted(object, observed, step) {
            if let Some(wanted) = wanted {
                acts.extend(of_track(
                    model,
                    track,
                    &wanted,
                    observed.deployed.get(track).as_ref(),
                ));
            }
        }
        acts.extend(after);
    }
    for (track, deployed) in observed.deployed.as_ref() {
        if deployed.is_some() && is_to_go(step, track) {
            acts.extend(removed(name, track));
        }
    }
    acts
}

/// Says whether a track's children go: nothing is wanted of it, and it does not merely wait for its next attempt.
fn is_to_go(step: &Rollout, track: Track) -> bool {
    let is_unloaded = step.actions.contains(&TrackAction::Unload(track));
    is_unloaded || step.goal.get(track).is_none() && step.status.retry.get(track).is_none()
}

/// What each track is to be. A commit that is named costs a restart, so it stays what it is unless the step says so.
fn wanted(object: &DeploymentObject, observed: &Observed, step: &Rollout) -> PerTrack<Option<Wanted>> {
    let named = |wanted: Track| {
        step.actions.iter().find_map(|action| match action {
            TrackAction::Load { track, revision, .. } | TrackAction::SetRevision { track, revision } => {
                (*track == wanted).then_some(revision)
            }
            TrackAction::SetWeight(_)
            | TrackAction::Scale { .. }
            | TrackAction::Unroute
            | TrackAction::Unload(_)
            | TrackAction::ClearAbort
            | TrackAction::Forget => None,
        })
    };
    step.goal.as_ref().map(|track, pin| {
        let deployed = observed.deployed.get(track).as_ref();
        let of_pods = deployed.and_then(|deployed| deployed.revision.as_ref());
        let declared = Some(&object.stable_revision);
        let replicas = match step.replicas.get(track) {
            Some(replicas) => Some(*replicas),
            None => deployed.is_none().then_some(object.spec.replicas),
        };
        Some(Wanted {
            pin: pin.clone()?,
            revision: named(track).or(of_pods).or(declared)?.clone(),
            replicas,
        })
    })
}

/// The children of a track, the pods last: what stands before them is there when they are.
fn of_track(model: &Model<'_>, track: Track, wanted: &Wanted, deployed: Option<&Deployed>) -> Vec<Act> {
    let name = model.track_name(track);
    let content = Content {
        pin: &wanted.pin,
        revision: &wanted.revision,
        replicas: wanted.replicas,
    };
    let replicas = wanted
        .replicas
        .or(deployed.map(|deployed| deployed.wanted))
        .unwrap_or_default();
    let mut acts = vec![Act::Apply(Child::of(ChildKind::Service, &service(model, track)))];
    acts.push(match budget(model, track, replicas) {
        Some(budget) => Act::Apply(Child::of(ChildKind::Budget, &budget)),
        None => Act::Delete(ChildId::new(ChildKind::Budget, name.clone())),
    });
    if let Some(deployed) = deployed.filter(|deployed| wanted.replicas.is_none() && deployed.holds_replicas) {
        acts.push(Act::HandOver {
            deployment: name.clone(),
            replicas: deployed.wanted,
        });
    }
    let pods = deployment(model, track, &content);
    acts.push(Act::Apply(Child::of(ChildKind::Deployment, &pods)));
    if track == Track::Stable {
        acts.push(match autoscaler(model) {
            Some(autoscaler) => Act::Apply(Child::of(ChildKind::Autoscaler, &autoscaler)),
            None => Act::Delete(ChildId::new(ChildKind::Autoscaler, name)),
        });
    }
    acts
}

/// What goes with a track, the pods last: as long as they are there it is seen that something is to go, whoever was stopped
/// in between. Nothing is routed to them any more.
fn removed(object: &ObjectName, track: Track) -> Vec<Act> {
    let kinds = [
        (track == Track::Stable).then_some(ChildKind::Autoscaler),
        Some(ChildKind::Budget),
        Some(ChildKind::Service),
        Some(ChildKind::Deployment),
    ];
    let name = format!("{object}-{track}");
    let ids = kinds
        .into_iter()
        .flatten()
        .map(|kind| ChildId::new(kind, name.clone()));
    ids.map(Act::Delete).collect()
}

/// What carries requests, once stable serves; and that nothing of another provider does besides.
fn route(model: &Model<'_>, observed: &Observed, tracks: &Tracks, step: &Rollout) -> Vec<Act> {
    let is_begun = tracks.track.stable.serving.is_some() || tracks.is_routed;
    if !is_begun || observed.route == Route::Unknown {
        return Vec::new();
    }
    let canary = tracks.track.canary.serving.as_ref();
    let canary = canary.filter(|serving| step.goal.canary.as_ref() == Some(serving));
    let stable = tracks.track.stable.serving.as_ref().unwrap_or(&model.spec.stable);
    let split = Split {
        weight: step.weight,
        stable: &stable.version,
        canary: canary.map(|pin| &pin.version),
    };
    let children = match carrier(model, &split) {
        Carrier::Gateway(route, calls) => {
            // What the cluster does not know cannot be made.
            let calls = calls.filter(|_| observed.calls != Some(Route::Unknown));
            let calls = calls.map(|route| Child::of(ChildKind::GrpcRoute, &*route));
            let route = Child::of(ChildKind::HttpRoute, &*route);
            [route].into_iter().chain(calls).collect()
        }
        Carrier::Ingress(stable, canary) => {
            let both = [Some(stable), canary].into_iter().flatten();
            both.map(|ingress| Child::of(ChildKind::Ingress, &*ingress))
                .collect()
        }
        Carrier::Router(router) => vec![
            Child::of(ChildKind::ConfigMap, &router.weights),
            Child::of(ChildKind::Service, &router.service),
            Child::of(ChildKind::Budget, &router.budget),
            Child::of(ChildKind::Deployment, &router.deployment),
        ],
        Carrier::None => Vec::new(),
    };
    let others = carriers(&model.owner.name)
        .into_iter()
        .filter(|id| children.iter().all(|child| child.id != *id));
    let others: Vec<Act> = others.map(Act::Delete).collect();
    children.into_iter().map(Act::Apply).chain(others).collect()
}

/// Everything that may carry requests, by whatever provider.
pub(super) fn carriers(object: &ObjectName) -> Vec<ChildId> {
    let name = format!("{object}-route");
    [
        ChildId::new(ChildKind::HttpRoute, name.clone()),
        ChildId::new(ChildKind::GrpcRoute, name.clone()),
        ChildId::new(ChildKind::Ingress, format!("{name}-canary")),
        ChildId::new(ChildKind::Ingress, name.clone()),
        ChildId::new(ChildKind::Service, name.clone()),
        ChildId::new(ChildKind::Deployment, name.clone()),
        ChildId::new(ChildKind::Budget, name.clone()),
        ChildId::new(ChildKind::ConfigMap, name),
    ]
    .into()
}

/// Returns a spec as it can be carried out: without a route no share reaches the canary.
pub(crate) fn within(spec: &ResolvedDeployment, route: Route) -> ResolvedDeployment {
    let mut spec = spec.clone();
    if route == Route::Unknown
        && let Some(canary) = &mut spec.canary
    {
        canary.weight = Weight::ZERO;
    }
    spec
}
