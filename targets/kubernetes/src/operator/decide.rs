//! What a step of one object comes to: pure. What it needs of others are their claims on the same model.

use chrono::Duration;
use crds::convert::{deployment_status, read_deployment_object};
use crds::status::Condition;
use crds::{MLDeployment, MLDeploymentStatus};
use planner::Timestamp;
use planner::deployment::ResolvedDeployment;
use planner::names::{Digest, ModelName, ObjectName, Weight};
use planner::observed::DeploymentObject;
use planner::per_track::PerTrack;
use planner::rollout::{
    Claimant, Commands, Means, Model, Rollout, State, Status, TrackAction, Tracks, owner, rollout,
};
use planner::route::Provider;
use reconciler::conditions::{self, Facts};

use super::acts::within;
use super::observe::{Observed, Route, tracks};

/// For how long after a write of a route requests may follow what it said before: gateways take up to two seconds.
pub(crate) const SETTLE: Duration = Duration::seconds(5);
/// The longest that an object is kept for what it serves. Then it goes all the same.
const DRAIN: Duration = Duration::minutes(10);
/// How soon a wait for another object is looked at again.
const LOOK: Duration = Duration::seconds(2);
/// How soon is looked again why a track's pods do not run: nothing tells of that but the pods.
const LOOK_AT_PODS: Duration = Duration::seconds(10);
/// Kept on an object while it has something to drain.
pub(crate) const FINALIZER: &str = "aurora.io/drain";
/// What is said where there is no route to be had.
const NO_GATEWAY: &str = "the cluster does not know the kind HTTPRoute, so no request reaches the model but by its \
                          Services: install the Gateway API, or set route.provider";
/// Who paused, and why.
const PAUSED: &str = "aurora.io/paused";

/// Another object that is about the same model, or was.
#[derive(Debug, Clone)]
pub(crate) struct Other {
    pub(crate) name: ObjectName,
    /// What it says of that model.
    pub(crate) status: Option<Status>,
    /// When its requests were given another way last: when it got its route, at first.
    pub(crate) routed_at: Timestamp,
    /// Whether it goes.
    pub(crate) is_leaving: bool,
}

/// What is seen of one object.
#[derive(Debug)]
pub(crate) struct Seen<'a> {
    pub(crate) name: &'a ObjectName,
    pub(crate) object: &'a MLDeployment,
    pub(crate) observed: &'a Observed,
    /// The others that are about the model of this one's pods, or else of its spec.
    pub(crate) others: &'a [Other],
    /// The abort of its canary that the registry has kept, where nothing nearer tells of one.
    pub(crate) kept_abort: Option<Digest>,
    /// Since when it is asked to leave its model, where this process knows.
    pub(crate) leaves_since: Option<Timestamp>,
}

/// What an object's model is to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stance {
    /// It has the model.
    Has,
    /// Another object has the model: what this one serves stays as it is.
    Waits,
    /// It has gone, or turned to another model, and no other object serves this one yet.
    Covers,
    /// It has gone, or turned to another model.
    Leaves,
}

/// What a step comes to.
#[derive(Debug)]
pub(crate) struct Decided {
    #[cfg_attr(not(test), expect(dead_code, reason = "told by tests"))]
    pub(crate) stance: Stance,
    /// What is decided about; `None` while everything goes.
    pub(crate) object: Option<DeploymentObject>,
    pub(crate) tracks: Tracks,
    pub(crate) step: Option<Rollout>,
    pub(crate) status: MLDeploymentStatus,
    /// Whether the finalizer is to be there.
    pub(crate) is_kept: bool,
    /// Whether it is let go although it has something to drain.
    pub(crate) is_given_up: bool,
    pub(crate) wake: Option<Timestamp>,
}

/// Returns the model of an object's pods, where it is not its spec's: the object has turned to another one.
pub(crate) fn turned_from<'a>(object: &MLDeployment, observed: &'a Observed) -> Option<&'a ModelName> {
    let deployed = &observed.deployed;
    let models = deployed
        .stable
        .iter()
        .chain(&deployed.canary)
        .map(|deployed| &deployed.model);
    models.into_iter().find(|model| **model != object.spec.model_name)
}

/// Decides about an object.
pub(crate) fn decide(seen: &Seen<'_>, now: Timestamp) -> Decided {
    let object = seen.object;
    let read = read_deployment_object(object);
    let memory = object.status.as_ref().and_then(|status| status.memory.as_ref());
    let old: &[Condition] = object.status.as_ref().map_or(&[], |status| &status.conditions);
    let tracks = tracks(seen.observed, memory);
    let stance = stance(seen, now);
    let facts_only = |facts: Facts, stance| Decided {
        stance,
        object: None,
        tracks: tracks.clone(),
        step: None,
        status: MLDeploymentStatus {
            observed_generation: object.metadata.generation,
            conditions: facts.conditions(old, now),
            ..object.status.clone().unwrap_or_default()
        },
        is_kept: is_finalized(object),
        is_given_up: false,
        wake: Some(now + LOOK),
    };
    if stance == Stance::Waits {
        let has = live(seen.others).map(|other| other.name.to_string()).max();
        let message = format!("{} has the model", has.unwrap_or_default());
        return facts_only(Facts::stalled("OtherHasModel", message), stance);
    }
    let target = match (&read, stance) {
        (_, Stance::Leaves) => None,
        (Ok(read), _) => Some(DeploymentObject {
            spec: within(&read.spec, seen.observed.route),
            abort: read.abort.or(seen.kept_abort),
            ..read.clone()
        }),
        (Err(problem), _) => {
            let has_digests = object.spec.stable.digest.is_some()
                && object
                    .spec
                    .canary
                    .as_ref()
                    .is_none_or(|canary| canary.digest.is_some());
            let reason = if has_digests {
                "Unreadable"
            } else {
                "PinUnresolved"
            };
            return facts_only(Facts::stalled(reason, problem.to_string()), stance);
        }
    };
    if stance == Stance::Covers && turned_from(object, seen.observed).is_some() {
        let message = "no other object serves yet what this one serves".to_owned();
        return facts_only(Facts::Reconciling("Waiting", message), stance);
    }
    let step = roll(seen, target.as_ref(), &tracks, memory, now);
    let declared = read.as_ref().ok().and_then(|read| read.spec.canary.as_ref());
    let lacks_route =
        seen.observed.route == Route::Unknown && declared.is_some_and(|canary| canary.weight > Weight::ZERO);
    let facts = match &target {
        None => Facts::Reconciling("Draining", "what it served is being drained".to_owned()),
        // Without a share it is not as declared, however well its tracks do.
        Some(_) if lacks_route && step.status.state == State::Idle => {
            Facts::stalled("RouteMissing", NO_GATEWAY.to_owned())
        }
        Some(target) => because(conditions::of_rollout(&step.status, target), &seen.observed.stuck),
    };
    let provider = target.as_ref().map(|target| provider(&target.spec));
    let obstacle = provider.and_then(|provider| {
        let Observed {
            way, route, calls, ..
        } = seen.observed;
        way.obstacle((*route, *calls), provider, now)
    });
    let until = obstacle.as_ref().and_then(|obstacle| obstacle.until);
    // Nobody can ask what nothing leads to, however well its tracks do.
    let facts = match (facts, obstacle) {
        (Facts::Ready(..), Some(obstacle)) => obstacle.facts,
        (facts, _) => facts,
    };
    let is_given_up = stance == Stance::Leaves && leaves_for(seen, now) > DRAIN;
    let is_empty = step.actions.contains(&TrackAction::Forget);
    Decided {
        stance,
        wake: [
            step.wake,
            until,
            (stance == Stance::Covers).then_some(now + LOOK),
            seen.observed.is_starting().then_some(now + LOOK_AT_PODS),
        ]
        .into_iter()
        .flatten()
        .min(),
        status: status(object, &step, facts, seen.observed, now, is_empty),
        is_kept: is_worth_draining(seen.observed, &step) && !(is_given_up || is_empty && is_leaving(object)),
        is_given_up: is_given_up && is_finalized(object),
        object: target,
        tracks,
        step: Some(step),
    }
}

pub(crate) fn provider(spec: &ResolvedDeployment) -> Provider {
    let route = spec.route.as_ref();
    route.map(|route| route.provider).unwrap_or_default()
}

/// Adds to what is not as it should be what keeps pods from running.
fn because(facts: Facts, stuck: &PerTrack<Option<String>>) -> Facts {
    let stuck = stuck
        .as_ref()
        .map(|track, why| why.as_ref().map(|why| format!("{track}: {why}")));
    let told = |message: String| {
        let why = stuck.stable.iter().chain(&stuck.canary);
        why.fold(message, |told, why| format!("{told}; {why}"))
    };
    match facts {
        Facts::Reconciling(reason, message) => Facts::Reconciling(reason, told(message)),
        Facts::Stalled {
            reason,
            message,
            goes_on,
        } => Facts::Stalled {
            reason,
            message: told(message),
            goes_on,
        },
        facts @ (Facts::Ready(..) | Facts::Held(..)) => facts,
    }
}

fn roll(
    seen: &Seen<'_>,
    target: Option<&DeploymentObject>,
    tracks: &Tracks,
    memory: Option<&Status>,
    now: Timestamp,
) -> Rollout {
    let spec = target.map(|target| &target.spec);
    let mut claimants: Vec<Claimant<'_>> = seen
        .others
        .iter()
        .filter(|other| other.name < *seen.name)
        .map(|other| Claimant {
            name: &other.name,
            status: other.status.as_ref(),
        })
        .collect();
    claimants.push(Claimant {
        name: seen.name,
        status: memory,
    });
    // Those that leave have a memory to go on with, whatever they are called.
    let left = seen.others.iter().find(|other| other.is_leaving);
    let left = left.and_then(|other| other.status.as_ref());
    let status = owner(&claimants, left).and_then(|(_, status)| status);
    let commands = Commands {
        abort: target
            .and_then(|target| target.abort)
            .map(|digest| (digest, told_by(seen.kept_abort).to_owned())),
        paused: annotation(seen.object, PAUSED),
    };
    let model = Model {
        object: target,
        commands: &commands,
        registered: None,
        tracks,
        status: if target.is_some() { status } else { memory },
        means: Means {
            settle: SETTLE,
            stable_replicas: spec
                .filter(|spec| spec.autoscaling.is_none())
                .map(|spec| spec.replicas),
            canary_replicas_min: spec
                .and_then(|spec| spec.canary.as_ref())
                .map_or(1, |canary| canary.replicas),
            is_restarted_to_rename: true,
        },
    };
    rollout(&model, now)
}

/// Says who tells of an abort.
const fn told_by(kept: Option<Digest>) -> &'static str {
    match kept {
        Some(_) => "kept in the registry",
        None => "aurora.io/abort on the object",
    }
}

/// Returns the canary that may have been aborted without the object telling it: it has lost its memory and has served, or
/// was about to. One that is new is told of an abort by whoever makes it.
pub(crate) fn forgotten(object: &MLDeployment, observed: &Observed) -> Option<Digest> {
    let has_memory = object
        .status
        .as_ref()
        .is_some_and(|status| status.memory.is_some());
    let read = read_deployment_object(object).ok()?;
    let is_new = !is_finalized(object) && *observed == Observed::default();
    let canary = read.spec.canary?.pin.digest;
    let is_told = read.abort == Some(canary) || is_leaving(object);
    (!has_memory && !is_new && !is_told).then_some(canary)
}

/// Says whether a step gives requests another way. A route that is there and is only told of a track that carries nothing
/// does not.
pub(crate) fn moves_requests(tracks: &Tracks, step: &Rollout) -> bool {
    let is_gone = step.actions.contains(&TrackAction::Unroute);
    step.weight != tracks.weight || !tracks.is_routed || is_gone
}

/// The others that have the model and stay.
fn live(others: &[Other]) -> impl Iterator<Item = &Other> {
    others.iter().filter(|other| !other.is_leaving)
}

fn stance(seen: &Seen<'_>, now: Timestamp) -> Stance {
    let leaves = is_leaving(seen.object) || turned_from(seen.object, seen.observed).is_some();
    if !leaves {
        let is_last = live(seen.others).all(|other| other.name < *seen.name);
        return if is_last { Stance::Has } else { Stance::Waits };
    }
    // Requests come to it a while after it has a route.
    let serves = |other: &Other| {
        let status = other.status.as_ref();
        status.is_some_and(|status| status.serving.stable.is_some()) && other.routed_at + SETTLE <= now
    };
    let is_wanted = live(seen.others).next().is_some();
    // One that goes waits for one that stays, and one that only turns to another model for either: where objects exchange
    // their models, somebody has to begin.
    let is_served = seen
        .others
        .iter()
        .any(|other| serves(other) && !(is_leaving(seen.object) && other.is_leaving));
    let is_needed = is_wanted && !is_served;
    if is_needed && leaves_for(seen, now) <= DRAIN {
        Stance::Covers
    } else {
        Stance::Leaves
    }
}

fn leaves_for(seen: &Seen<'_>, now: Timestamp) -> Duration {
    let deleted = seen.object.metadata.deletion_timestamp.as_ref();
    let deleted = deleted.and_then(|at| Timestamp::from_timestamp(at.0.as_second(), 0));
    deleted
        .or(seen.leaves_since)
        .map_or(Duration::zero(), |since| now - since)
}

fn is_leaving(object: &MLDeployment) -> bool {
    object.metadata.deletion_timestamp.is_some()
}

pub(crate) fn is_finalized(object: &MLDeployment) -> bool {
    let finalizers = object.metadata.finalizers.iter().flatten();
    finalizers.into_iter().any(|finalizer| finalizer == FINALIZER)
}

/// Says whether there is, or is about to be, something to drain.
fn is_worth_draining(observed: &Observed, step: &Rollout) -> bool {
    let deployed = &observed.deployed;
    let is_there = deployed.stable.is_some() || deployed.canary.is_some();
    let is_wanted = step.goal.stable.is_some() || step.goal.canary.is_some();
    is_there || is_wanted || matches!(observed.route, Route::At(_))
}

fn status(
    object: &MLDeployment,
    step: &Rollout,
    facts: Facts,
    observed: &Observed,
    now: Timestamp,
    is_empty: bool,
) -> MLDeploymentStatus {
    let old: &[Condition] = object.status.as_ref().map_or(&[], |status| &status.conditions);
    let mut conditions = facts.conditions(old, now);
    let of_route = [
        (observed.route == Route::Unknown).then_some(("RouteMissing", "NoGatewayApi", NO_GATEWAY)),
        observed
            .way
            .refusal
            .as_deref()
            .map(|refusal| ("RouteRefused", "NotAccepted", refusal)),
    ];
    for (kind, reason, message) in of_route.into_iter().flatten() {
        conditions.push(conditions::fact(kind, reason, message, old, now));
    }
    let status = MLDeploymentStatus {
        observed_generation: object.metadata.generation,
        conditions,
        ..deployment_status(&step.status)
    };
    // What is remembered of a model that is gone says nothing of the next.
    if is_empty {
        return MLDeploymentStatus {
            memory: None,
            ..status
        };
    }
    status
}

fn annotation(object: &MLDeployment, key: &str) -> Option<String> {
    object.metadata.annotations.as_ref()?.get(key).cloned()
}

#[cfg(test)]
mod tests;
