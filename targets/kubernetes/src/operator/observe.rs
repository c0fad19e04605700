//! From an object's children to what its tracks do: pure.
//!
//! A Deployment says what its pods are to serve; whether they do is told by counts. While it rolls, some pods serve the
//! old pin and some the new one: the track then serves what it is remembered to serve, until all that are wanted of the
//! new one are ready.

use k8s_openapi::api::apps::v1::Deployment;
use planner::Timestamp;
use planner::deployment::ResolvedPin;
use planner::names::{ModelName, Revision, Weight};
use planner::per_track::PerTrack;
use planner::rollout::{Capacity, Retry, Status, TrackState, Tracks};

use super::way::{Router, Way};
use crate::build::{DIGEST, MODEL, REVISION, VERSION};

/// One track's Deployment, as far as decisions depend on it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Deployed {
    /// The model that its pods serve.
    pub model: ModelName,
    /// What its pods are to serve.
    pub pin: ResolvedPin,
    /// The commit that their answers name.
    pub revision: Option<Revision>,
    /// How many there are to be.
    pub wanted: u32,
    /// How many there are, those of an earlier template included.
    pub existing: u32,
    /// How many there are of the newest template.
    pub updated: u32,
    /// How many answer, of whatever template.
    pub ready: u32,
    /// Whether the counts are about the newest spec.
    pub is_current: bool,
    /// Why its pods do not become ready, once that was given up.
    pub failure: Option<String>,
    /// Whether the number of replicas is the operator's alone, to hand over where an autoscaler is to have it.
    pub holds_replicas: bool,
}

/// What carries requests to an object's tracks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Route {
    /// Nothing, or nothing yet.
    #[default]
    None,
    /// There can be nothing: the cluster does not know the kind.
    Unknown,
    /// A route that gives the canary this weight.
    At(Weight),
}

impl Route {
    /// Returns the canary's weight.
    pub(super) fn weight(self) -> Weight {
        match self {
            Self::At(weight) => weight,
            Self::None | Self::Unknown => Weight::ZERO,
        }
    }
}

/// The children that decisions depend on.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Observed {
    /// The Deployments.
    pub deployed: PerTrack<Option<Deployed>>,
    /// The route.
    pub route: Route,
    /// That of calls by gRPC, where they have one of their own.
    pub calls: Option<Route>,
    /// Whether requests come through it.
    pub way: Way,
    /// When this process wrote the route last.
    pub routed_at: Option<Timestamp>,
    /// What keeps a pod of a track from running, where not all that are wanted answer.
    pub stuck: PerTrack<Option<String>>,
}

impl Observed {
    /// Says whether a track, or a router, is not as it is wanted.
    pub(crate) fn is_starting(&self) -> bool {
        let mut deployed = self.deployed.stable.iter().chain(&self.deployed.canary);
        deployed.any(|deployed| !deployed.is_complete()) || self.way.router != Router::Ready
    }
}

/// A Deployment of ours says nothing that can be read: somebody else wrote it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("Deployment {name} does not say what it serves ({missing}): delete it, it is made anew")]
pub(crate) struct Unreadable {
    name: String,
    missing: &'static str,
}

impl Deployed {
    /// Reads a Deployment.
    ///
    /// # Errors
    ///
    /// A label or annotation that the operator writes is missing or malformed.
    pub(crate) fn read(deployment: &Deployment) -> Result<Self, Unreadable> {
        let spec = deployment.spec.as_ref();
        let template = spec.and_then(|spec| spec.template.metadata.as_ref());
        let said = |key: &str| {
            let of_pods = template.and_then(|template| template.annotations.as_ref()?.get(key));
            of_pods.or_else(|| deployment.metadata.annotations.as_ref()?.get(key))
        };
        let unreadable = |missing| Unreadable {
            name: deployment.metadata.name.clone().unwrap_or_default(),
            missing,
        };
        let labels = deployment.metadata.labels.as_ref();
        let model = labels.and_then(|labels| labels.get(MODEL)?.parse().ok());
        let version = said(VERSION).and_then(|version| version.parse().ok());
        let digest = said(DIGEST).and_then(|digest| digest.parse().ok());
        let status = deployment.status.as_ref();
        let count = |number: Option<i32>| u32::try_from(number.unwrap_or_default()).unwrap_or_default();
        let observed = status.and_then(|status| status.observed_generation);
        Ok(Self {
            model: model.ok_or_else(|| unreadable(MODEL))?,
            pin: ResolvedPin {
                version: version.ok_or_else(|| unreadable(VERSION))?,
                digest: digest.ok_or_else(|| unreadable(DIGEST))?,
            },
            revision: said(REVISION).and_then(|revision| revision.parse().ok()),
            // Absent means one, as everywhere in Kubernetes.
            wanted: count(spec.and_then(|spec| spec.replicas).or(Some(1))),
            existing: count(status.and_then(|status| status.replicas)),
            updated: count(status.and_then(|status| status.updated_replicas)),
            ready: count(status.and_then(|status| status.ready_replicas)),
            is_current: observed.is_some() && observed >= deployment.metadata.generation,
            failure: given_up(deployment),
            holds_replicas: holds_replicas(deployment),
        })
    }

    /// Says whether all that are wanted are of the newest template, and answer.
    pub(crate) fn is_complete(&self) -> bool {
        self.is_current && self.updated == self.existing && self.wanted <= self.ready.min(self.updated)
    }

    /// Says whether pods of an earlier template may be left.
    fn rolls(&self) -> bool {
        !self.is_current || self.updated < self.existing
    }
}

/// Says why a Deployment's pods do not become ready, where its controller has given up waiting.
fn given_up(deployment: &Deployment) -> Option<String> {
    let conditions = deployment.status.as_ref()?.conditions.as_ref()?;
    let progressing = conditions
        .iter()
        .find(|condition| condition.type_ == "Progressing")?;
    let is_given_up = progressing.status == "False";
    is_given_up.then(|| {
        let message = progressing.message.clone().unwrap_or_default();
        format!("its pods do not become ready: {message}; `kubectl describe pod` says why")
    })
}

/// Says whether the operator's last apply named a number of replicas, and nobody else holds it: it would be gone with the next
/// apply that names none.
fn holds_replicas(deployment: &Deployment) -> bool {
    let managers = deployment.metadata.managed_fields.iter().flatten();
    let mut holders = managers
        .filter(|entry| {
            let fields = entry.fields_v1.as_ref();
            fields.is_some_and(|fields| fields.0.pointer("/f:spec/f:replicas").is_some())
        })
        .peekable();
    holders.peek().is_some()
        && holders
            .all(|entry| entry.manager.as_deref() == Some(super::MANAGER) && entry.subresource.is_none())
}

/// Returns what a model's tracks do. `memory` is what the last step wrote.
pub(crate) fn tracks(observed: &Observed, memory: Option<&Status>) -> Tracks {
    let track = observed.deployed.as_ref().map(|track, deployed| {
        let serving = memory.and_then(|memory| memory.serving.get(track).as_ref());
        let retry = memory.and_then(|memory| memory.retry.get(track).as_ref());
        deployed
            .as_ref()
            .map_or_else(|| nothing(retry), |deployed| state(deployed, serving, retry))
    });
    // Between two writes one of the routes may be behind the other: what either may still send counts.
    let routes = [Some(observed.route), observed.calls].into_iter().flatten();
    let weight = routes.clone().map(Route::weight).max();
    Tracks {
        track,
        weight: weight.unwrap_or_default(),
        is_routed: routes.clone().any(|route| matches!(route, Route::At(_))),
        routed_at: observed.routed_at,
    }
}

/// What a track without a Deployment does. That its pin did not load is remembered: the next attempt waits.
fn nothing(retry: Option<&Retry>) -> TrackState {
    TrackState {
        unloadable: retry.map(failed),
        capacity: Capacity { wanted: 0, ready: 0 },
        ..TrackState::default()
    }
}

fn failed(retry: &Retry) -> (ResolvedPin, String) {
    (retry.pin.clone(), retry.message.clone())
}

fn state(deployed: &Deployed, remembered: Option<&ResolvedPin>, retry: Option<&Retry>) -> TrackState {
    let pin = &deployed.pin;
    let is_known = remembered == Some(pin);
    let answers = deployed.ready > 0;
    let serving = if is_known || deployed.is_complete() {
        answers.then_some(pin)
    } else {
        remembered.filter(|_| answers && deployed.rolls())
    };
    let is_served = serving == Some(pin);
    let failure = deployed.failure.as_ref().filter(|_| !is_served);
    let before = retry.filter(|retry| retry.pin != *pin);
    TrackState {
        serving: serving.cloned(),
        revision: deployed.revision.clone(),
        loading: (!is_served && failure.is_none()).then(|| pin.clone()),
        unloadable: failure
            .map(|failure| (pin.clone(), failure.clone()))
            .or_else(|| before.map(failed)),
        capacity: Capacity {
            wanted: deployed.wanted,
            ready: deployed.ready,
        },
    }
}

#[cfg(test)]
mod tests;
