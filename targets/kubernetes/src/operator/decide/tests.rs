//! One step of an object, as a table: what is seen → where it stands, and what is done to its children, in order.

mod aborts;
mod claims;
mod reach;

use crds::convert::deployment_object;
use expect_test::{Expect, expect};
use planner::deployment::{Autoscaling, Canary, ResolvedDeployment, ResolvedPin};
use planner::names::{Digest, Weight};
use planner::object::Kind;
use planner::per_track::PerTrack;
use planner::route::{Gateway, Grpc, Provider, Route as DeclaredRoute};
use serde_json::json;

use super::*;
use crate::build::serving::Model as Built;
use crate::build::{Installation, Owner};
use crate::operator::acts::{Act, acts};
use crate::operator::observe::Deployed;
use crate::operator::way::Way;

fn pin(n: u32) -> ResolvedPin {
    ResolvedPin {
        version: format!("v202611{n:02}-120000").parse().unwrap(),
        digest: Digest::of(&n.to_be_bytes()),
    }
}

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_timestamp(1_700_000_000 + seconds, 0).unwrap()
}

fn weight(percent: u64) -> Weight {
    Weight::try_from(percent).unwrap()
}

/// Stable of so many replicas, and a canary of some version at some weight.
fn spec(stable: u32, canary: Option<(u32, u64)>) -> ResolvedDeployment {
    ResolvedDeployment {
        model: "iris".parse().unwrap(),
        stable: pin(stable),
        replicas: 2,
        canary: canary.map(|(n, percent)| Canary {
            pin: pin(n),
            weight: weight(percent),
            replicas: 1,
        }),
        autoscaling: None,
        pod: None,
        route: None,
        engine: planner::engine::Engine::Aurora,
        suspend: None,
        rejected: Vec::new(),
        allow_breaking: Vec::new(),
    }
}

/// An object with a canary has what each track serves, and the route's weight, in its memory.
struct Case {
    object: MLDeployment,
    observed: Observed,
    others: Vec<Other>,
    kept_abort: Option<Digest>,
    leaves_since: Option<Timestamp>,
}

fn deployed(n: u32, wanted: u32) -> Deployed {
    Deployed {
        model: "iris".parse().unwrap(),
        pin: pin(n),
        revision: Some("ab".repeat(20).parse().unwrap()),
        wanted,
        existing: wanted,
        updated: wanted,
        ready: wanted,
        is_current: true,
        failure: None,
        holds_replicas: true,
    }
}

fn memory(stable: Option<u32>, canary: Option<u32>, weight: u64) -> Status {
    let status = json!({
        "state": "Idle", "since": at(-60), "weight": weight, "history": [], "lost": null, "paused": null,
        "stable": stable.map(pin), "canary": canary.map(pin), "routed_at": at(-60),
    });
    serde_json::from_value(status).unwrap()
}

impl Case {
    /// An object of which nothing is there yet.
    fn new(spec: ResolvedDeployment) -> Self {
        let revision = "ab".repeat(20);
        let written = DeploymentObject {
            canary_revision: spec.canary.as_ref().map(|_| revision.parse().unwrap()),
            spec,
            revision: revision.parse().unwrap(),
            stable_revision: revision.parse().unwrap(),
            abort: None,
            overridden: None,
            kept: None,
            trust: None,
            behind: None,
        };
        let mut object = deployment_object(&"iris".parse().unwrap(), &written, &"dev".parse().unwrap());
        object.metadata.generation = Some(3);
        Self {
            object,
            observed: Observed::default(),
            others: Vec::new(),
            kept_abort: None,
            leaves_since: None,
        }
    }

    /// One that serves stable v1 with two replicas, canary v2 with one, and a weight.
    fn serving(spec: ResolvedDeployment, live: u64) -> Self {
        let mut case = Self::new(spec);
        case.observed = Observed {
            deployed: PerTrack {
                stable: Some(deployed(1, 2)),
                canary: Some(deployed(2, 1)),
            },
            route: Route::At(weight(live)),
            calls: None,
            routed_at: None,
            way: Way::default(),
            stuck: PerTrack::default(),
        };
        case.object.metadata.finalizers = Some(vec![FINALIZER.to_owned()]);
        case.object.status = Some(deployment_status(&memory(Some(1), Some(2), live)));
        case
    }

    fn deleted(mut self, seconds: i64) -> Self {
        let deleted =
            json!({ "deletionTimestamp": at(seconds).to_rfc3339_opts(chrono::SecondsFormat::Secs, true) });
        let metadata: kube::core::ObjectMeta = serde_json::from_value(deleted).unwrap();
        self.object.metadata.deletion_timestamp = metadata.deletion_timestamp;
        self
    }

    fn beside(mut self, name: &str, serves: bool, is_leaving: bool) -> Self {
        self.others.push(Other {
            name: name.parse().unwrap(),
            status: Some(memory(serves.then_some(1), None, 0)),
            routed_at: at(-5),
            is_leaving,
        });
        self
    }

    fn decide(&self) -> Decided {
        let name = "iris".parse().unwrap();
        let seen = Seen {
            name: &name,
            object: &self.object,
            observed: &self.observed,
            others: &self.others,
            kept_abort: self.kept_abort,
            leaves_since: self.leaves_since,
        };
        decide(&seen, at(0))
    }
}

#[test]
fn what_keeps_pods_from_running_is_told_where_something_is_not_as_it_should_be() {
    let told = |case: &Case| {
        let decided = case.decide();
        let condition = decided.status.conditions[0].clone();
        (condition.message, decided.wake)
    };
    let mut case = Case::serving(spec(1, Some((2, 10))), 10);
    assert_eq!(told(&case), (String::new(), None));
    // Nothing is wrong with what is ready, whatever a pod of it says.
    case.observed.stuck.canary = Some("container aurora cannot start".to_owned());
    assert_eq!(told(&case), (String::new(), None));
    let mut case = Case::new(spec(1, None));
    case.observed.deployed.stable = Some(Deployed {
        ready: 0,
        ..deployed(1, 2)
    });
    let preparing = "a track does not serve its pin yet";
    assert_eq!(told(&case), (preparing.to_owned(), Some(at(10))));
    case.observed.stuck.stable = Some("no node takes its Pod: no memory".to_owned());
    let message = format!("{preparing}; stable: no node takes its Pod: no memory");
    assert_eq!(told(&case), (message, Some(at(10))));
}

fn show(act: &Act) -> String {
    match act {
        Act::Apply(child) => format!("apply {}", child.id),
        Act::HandOver { deployment, replicas } => format!("hand over {replicas} of {deployment}"),
        Act::Delete(id) => format!("delete {id}"),
    }
}

/// Says where an object stands, and what is done; looks for what another provider left are left out.
#[track_caller]
fn check(case: &Case, expected: &Expect) {
    let decided = case.decide();
    let conditions = decided.status.conditions.iter();
    let holds = conditions.filter(|condition| condition.status == crds::status::ConditionStatus::True);
    let holds: Vec<String> = holds
        .map(|holds| format!("{}/{}", holds.kind, holds.reason))
        .collect();
    let mut text = format!(
        "{:?}, {}, weight {}{}\n",
        decided.stance,
        holds.join(" "),
        decided.status.weight,
        if decided.is_kept { ", kept" } else { "" }
    );
    let installation = Installation {
        environment: "dev".parse().unwrap(),
        namespace: "dev".to_owned(),
        image: "aurora:1".to_owned(),
        onnx_runtime_image: None,
        import_sources: Vec::new(),
        import_ca: None,
        control_plane: "http://aurora-control-plane:8000".to_owned(),
        keys_secret: "aurora-keys".to_owned(),
        registry_claim: "aurora-model-pvc".to_owned(),
        dataset_claims: Vec::new(),
        gateway: Gateway {
            name: "aurora".to_owned(),
            namespace: None,
            section_name: None,
        },
    };
    let owner = Owner {
        kind: Kind::Deployment,
        name: "iris".parse().unwrap(),
        uid: "1".to_owned(),
    };
    if let Some(step) = &decided.step {
        let built = decided.object.as_ref().map(|object| {
            let model = Built {
                installation: &installation,
                owner: &owner,
                spec: &object.spec,
            };
            (model, object)
        });
        let target = built.as_ref().map(|(model, object)| (model, *object));
        let acts = acts(&owner.name, target, &case.observed, &decided.tracks, step);
        let is_look =
            |line: &String| target.is_some() && line.starts_with("delete") && line.contains("-route");
        for line in acts.iter().map(show).filter(|line| !is_look(line)) {
            text += &line;
            text.push('\n');
        }
    }
    expected.assert_eq(&text);
}

#[test]
fn a_new_object_gets_pods_before_it_gets_a_route() {
    check(
        &Case::new(spec(1, None)),
        &expect![[r#"
        Has, Reconciling/Preparing, weight 0%, kept
        apply Service iris-stable
        apply PodDisruptionBudget iris-stable
        apply Deployment iris-stable
        delete HorizontalPodAutoscaler iris-stable
    "#]],
    );
    let mut ready = Case::new(spec(1, None));
    ready.observed.deployed.stable = Some(deployed(1, 2));
    check(
        &ready,
        &expect![[r#"
        Has, Reconciling/RouteStarting, weight 0%, kept
        apply HTTPRoute iris-route
        apply Service iris-stable
        apply PodDisruptionBudget iris-stable
        apply Deployment iris-stable
        delete HorizontalPodAutoscaler iris-stable
    "#]],
    );
}

#[test]
fn a_weight_goes_up_after_the_pods_and_down_before_them() {
    check(
        &Case::serving(spec(1, Some((2, 50))), 10),
        &expect![[r#"
        Has, Ready/Idle, weight 50%, kept
        apply Service iris-stable
        apply PodDisruptionBudget iris-stable
        apply Deployment iris-stable
        delete HorizontalPodAutoscaler iris-stable
        apply Service iris-canary
        delete PodDisruptionBudget iris-canary
        apply Deployment iris-canary
        apply HTTPRoute iris-route
    "#]],
    );
    check(
        &Case::serving(spec(1, Some((2, 10))), 50),
        &expect![[r#"
        Has, Ready/Idle, weight 10%, kept
        apply HTTPRoute iris-route
        apply Service iris-stable
        apply PodDisruptionBudget iris-stable
        apply Deployment iris-stable
        delete HorizontalPodAutoscaler iris-stable
        apply Service iris-canary
        delete PodDisruptionBudget iris-canary
        apply Deployment iris-canary
    "#]],
    );
    check(
        &Case::serving(spec(1, Some((3, 10))), 50),
        &expect![[r#"
        Has, Reconciling/Preparing, weight 0%, kept
        apply HTTPRoute iris-route
        apply Service iris-stable
        apply PodDisruptionBudget iris-stable
        apply Deployment iris-stable
        delete HorizontalPodAutoscaler iris-stable
        apply Service iris-canary
        delete PodDisruptionBudget iris-canary
        apply Deployment iris-canary
    "#]],
    );
}

#[test]
fn a_canary_that_has_left_goes_once_the_route_has_settled() {
    check(
        &Case::serving(spec(1, None), 10),
        &expect![[r#"
        Has, Reconciling/Preparing, weight 0%, kept
        apply HTTPRoute iris-route
        apply Service iris-stable
        apply PodDisruptionBudget iris-stable
        apply Deployment iris-stable
        delete HorizontalPodAutoscaler iris-stable
        apply Service iris-canary
        delete PodDisruptionBudget iris-canary
        apply Deployment iris-canary
    "#]],
    );
    check(
        &Case::serving(spec(1, None), 0),
        &expect![[r#"
            Has, Reconciling/Preparing, weight 0%, kept
            apply HTTPRoute iris-route
            apply Service iris-stable
            apply PodDisruptionBudget iris-stable
            apply Deployment iris-stable
            delete HorizontalPodAutoscaler iris-stable
            delete PodDisruptionBudget iris-canary
            delete Service iris-canary
            delete Deployment iris-canary
        "#]],
    );
}

/// A route that only names another canary, or none, makes nobody wait: or it would be told so each time, for ever.
#[test]
fn requests_go_another_way_when_a_share_changes_or_a_route_goes() {
    let check = |case: &Case, expected| {
        let decided = case.decide();
        let step = decided.step.expect("a step");
        assert_eq!(moves_requests(&decided.tracks, &step), expected, "{step:?}");
    };
    check(&Case::serving(spec(1, Some((2, 10))), 10), false);
    check(&Case::serving(spec(1, Some((2, 50))), 10), true);
    check(&Case::serving(spec(1, Some((3, 50))), 10), true);
    check(&Case::serving(spec(1, Some((3, 50))), 0), false);
    check(&Case::serving(spec(1, None), 0), false);
    check(&Case::serving(spec(1, None), 0).deleted(-1), true);
    check(&Case::new(spec(1, None)), true);
}

#[test]
fn an_abort_is_done_at_once_whatever_there_is_of_replicas() {
    let mut case = Case::serving(spec(1, Some((2, 50))), 50);
    let abort = ("aurora.io/abort".to_owned(), pin(2).digest.to_string());
    case.object.metadata.annotations.as_mut().unwrap().extend([abort]);
    case.observed.deployed.canary.as_mut().unwrap().ready = 0;
    check(
        &case,
        &expect![[r#"
            Has, Stalled/Aborted, weight 0%, kept
            apply HTTPRoute iris-route
            apply Service iris-stable
            apply PodDisruptionBudget iris-stable
            apply Deployment iris-stable
            delete HorizontalPodAutoscaler iris-stable
            delete PodDisruptionBudget iris-canary
            delete Service iris-canary
            delete Deployment iris-canary
        "#]],
    );
    // A status that is gone does not bring it back.
    case.object.status = None;
    case.observed.route = Route::At(Weight::ZERO);
    case.observed.deployed.canary = Some(deployed(2, 1));
    check(
        &case,
        &expect![[r#"
        Has, Stalled/Aborted, weight 0%, kept
        apply HTTPRoute iris-route
        apply Service iris-stable
        apply PodDisruptionBudget iris-stable
        apply Deployment iris-stable
        delete HorizontalPodAutoscaler iris-stable
        apply Service iris-canary
        delete PodDisruptionBudget iris-canary
        apply Deployment iris-canary
    "#]],
    );
}

#[test]
fn a_pause_holds_what_is_live() {
    let mut case = Case::serving(spec(1, Some((2, 50))), 10);
    let paused = ("aurora.io/paused".to_owned(), "ann: lunch".to_owned());
    case.object
        .metadata
        .annotations
        .as_mut()
        .unwrap()
        .extend([paused]);
    check(
        &case,
        &expect![[r#"
        Has, , weight 10%, kept
        apply HTTPRoute iris-route
        apply Service iris-stable
        apply PodDisruptionBudget iris-stable
        apply Deployment iris-stable
        delete HorizontalPodAutoscaler iris-stable
        apply Service iris-canary
        delete PodDisruptionBudget iris-canary
        apply Deployment iris-canary
    "#]],
    );
}

#[test]
fn an_autoscaler_is_handed_the_replicas_before_they_are_let_go_of() {
    let mut scaled = spec(1, None);
    scaled.autoscaling = Some(Autoscaling {
        min_replicas: 2,
        max_replicas: 9,
        target_cpu_percent: 70,
    });
    let mut case = Case::new(scaled);
    case.observed.deployed.stable = Some(deployed(1, 5));
    check(
        &case,
        &expect![[r#"
        Has, Reconciling/RouteStarting, weight 0%, kept
        apply HTTPRoute iris-route
        apply Service iris-stable
        apply PodDisruptionBudget iris-stable
        hand over 5 of iris-stable
        apply Deployment iris-stable
        apply HorizontalPodAutoscaler iris-stable
    "#]],
    );
}

#[test]
fn a_cluster_without_the_gateway_api_is_said_and_served_without() {
    let mut case = Case::serving(spec(1, Some((2, 50))), 0);
    case.observed.route = Route::Unknown;
    check(
        &case,
        &expect![[r#"
        Has, Stalled/RouteMissing RouteMissing/NoGatewayApi, weight 0%, kept
        apply Service iris-stable
        apply PodDisruptionBudget iris-stable
        apply Deployment iris-stable
        delete HorizontalPodAutoscaler iris-stable
        apply Service iris-canary
        delete PodDisruptionBudget iris-canary
        apply Deployment iris-canary
    "#]],
    );
}

#[test]
fn another_provider_takes_over() {
    let mut ingress = spec(1, Some((2, 50)));
    ingress.route = Some(Box::new(DeclaredRoute {
        provider: Provider::IngressNginx,
        ..DeclaredRoute::default()
    }));
    let mut case = Case::serving(ingress, 50);
    case.observed.route = Route::None;
    check(
        &case,
        &expect![[r#"
        Has, Reconciling/RouteStarting, weight 50%, kept
        apply Service iris-stable
        apply PodDisruptionBudget iris-stable
        apply Deployment iris-stable
        delete HorizontalPodAutoscaler iris-stable
        apply Service iris-canary
        delete PodDisruptionBudget iris-canary
        apply Deployment iris-canary
        apply Ingress iris-route
        apply Ingress iris-route-canary
    "#]],
    );
}

#[test]
fn an_object_that_goes_is_drained_and_then_let_go() {
    let case = Case::serving(spec(1, Some((2, 50))), 50).deleted(0);
    check(
        &case,
        &expect![[r#"
            Leaves, Reconciling/Draining, weight 0%, kept
            delete HTTPRoute iris-route
            delete GRPCRoute iris-route
            delete Ingress iris-route-canary
            delete Ingress iris-route
            delete Service iris-route
            delete Deployment iris-route
            delete PodDisruptionBudget iris-route
            delete ConfigMap iris-route
        "#]],
    );
    let mut closed = Case::serving(spec(1, Some((2, 50))), 0).deleted(-10);
    closed.observed.route = Route::None;
    check(
        &closed,
        &expect![[r#"
            Leaves, Reconciling/Draining, weight 0%, kept
            delete HorizontalPodAutoscaler iris-stable
            delete PodDisruptionBudget iris-stable
            delete Service iris-stable
            delete Deployment iris-stable
            delete PodDisruptionBudget iris-canary
            delete Service iris-canary
            delete Deployment iris-canary
        "#]],
    );
    closed.observed.deployed = PerTrack::default();
    check(
        &closed,
        &expect![[r#"
        Leaves, Reconciling/Draining, weight 0%
    "#]],
    );
}

#[test]
fn a_drain_has_an_end() {
    let case = Case::serving(spec(1, Some((2, 50))), 50).deleted(-601);
    let decided = case.decide();
    assert!(decided.is_given_up && !decided.is_kept);
}

#[test]
fn an_object_without_digest_waits_for_a_person() {
    let mut case = Case::new(spec(1, None));
    case.object.spec.stable.digest = None;
    check(
        &case,
        &expect![[r#"
        Has, Stalled/PinUnresolved, weight 0%
    "#]],
    );
}

#[test]
fn the_same_is_decided_again() {
    for live in [0, 10, 50] {
        let mut case = Case::serving(spec(1, Some((2, 50))), live);
        let first = case.decide();
        case.object.status = Some(first.status.clone());
        case.observed.route = Route::At(first.status.weight);
        let second = case.decide();
        assert_eq!(second.status, first.status, "{live}");
    }
}
