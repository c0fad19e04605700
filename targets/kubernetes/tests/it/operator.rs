//! An operator over a real API server and controller-manager: children, routes, statuses. Pods are ready at once.

mod calls;
mod cluster;
mod failing;
mod others;

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;
use std::time::Duration;

use http::Method;
use planner::deployment::{Autoscaling, Canary, ResolvedDeployment, ResolvedPin};
use planner::names::{Digest, Weight};
use planner::observed::DeploymentObject;
use planner::route::{Provider, Route};
use serde_json::{Value, json};
use testkit::{Component, Gateway};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use cluster::World;

const DEPLOYMENTS: &str = "apis/apps/v1/deployments";
const ROUTES: &str = "apis/gateway.networking.k8s.io/v1/httproutes";

fn pin(n: u32) -> ResolvedPin {
    ResolvedPin {
        version: format!("v202611{n:02}-120000").parse().unwrap(),
        digest: Digest::of(&n.to_be_bytes()),
    }
}

fn spec(stable: u32, canary: Option<(u32, u64)>) -> ResolvedDeployment {
    ResolvedDeployment {
        model: "iris".parse().unwrap(),
        stable: pin(stable),
        replicas: 2,
        canary: canary.map(|(n, percent)| Canary {
            pin: pin(n),
            weight: Weight::try_from(percent).unwrap(),
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

fn object(spec: ResolvedDeployment) -> DeploymentObject {
    let revision = |n: u8| format!("{n:02x}").repeat(20).parse().unwrap();
    DeploymentObject {
        canary_revision: spec.canary.as_ref().map(|_| revision(2)),
        spec,
        revision: revision(1),
        stable_revision: revision(1),
        abort: None,
        overridden: None,
        kept: None,
        trust: None,
        behind: None,
    }
}

fn images(deployment: &Value) -> Value {
    deployment["spec"]["template"]["spec"]["containers"][0]["image"].clone()
}

/// Says whether a Deployment's controller has told all that it has to tell.
fn is_told(deployment: &Value) -> bool {
    let conditions = deployment.pointer("/status/conditions").and_then(Value::as_array);
    let mut conditions = conditions.into_iter().flatten();
    conditions.any(|condition| condition["reason"] == "NewReplicaSetAvailable")
}

#[tokio::test]
async fn children_are_exactly_those_expected_and_a_weight_changes_the_route_alone() {
    let Some(mut world) = World::begin().await else {
        return;
    };
    world.commit("iris", &object(spec(1, None))).await;
    world.until("iris", "Idle v20261101-120000 - 0").await;
    let names: Vec<String> = world.children().await.into_keys().collect();
    assert_eq!(
        names,
        [
            "deployments/iris-stable",
            "httproutes/iris-route",
            "poddisruptionbudgets/iris-stable",
            "services/iris-stable",
        ]
    );
    world.commit("iris", &object(spec(1, Some((2, 10))))).await;
    world
        .until("iris", "Idle v20261101-120000 v20261102-120000 10")
        .await;
    assert_eq!(world.routed("iris").await, Some(10));
    for track in ["iris-stable", "iris-canary"] {
        world.until_child(DEPLOYMENTS, track, is_told).await;
    }
    let before = world.children().await;
    world.commit("iris", &object(spec(1, Some((2, 50))))).await;
    world
        .until("iris", "Idle v20261101-120000 v20261102-120000 50")
        .await;
    let after = world.children().await;
    let changed: Vec<&String> = after
        .iter()
        .filter(|(name, version)| before.get(*name) != Some(version))
        .map(|(name, _)| name)
        .collect();
    assert_eq!(changed, ["httproutes/iris-route"]);
    let names: Vec<&String> = after.keys().collect();
    assert_eq!(
        names,
        [
            "deployments/iris-canary",
            "deployments/iris-stable",
            "httproutes/iris-route",
            "poddisruptionbudgets/iris-stable",
            "services/iris-canary",
            "services/iris-stable",
        ]
    );

    // Neither does a restart, once all is told that is to be told.
    world.stop().await;
    let object = world.object("iris").await;
    world.start().await;
    world.stepped().await;
    assert_eq!(world.children().await, after);
    assert_eq!(world.object("iris").await, object);
    world.stop().await;
}

#[tokio::test]
async fn a_promotion_changes_no_image_and_lets_the_canary_go() {
    let Some(mut world) = World::begin().await else {
        return;
    };
    world.commit("iris", &object(spec(1, Some((2, 50))))).await;
    world
        .until("iris", "Idle v20261101-120000 v20261102-120000 50")
        .await;
    let stable = world
        .until_child(DEPLOYMENTS, "iris-stable", Value::is_object)
        .await;
    world.commit("iris", &object(spec(2, None))).await;
    world.until("iris", "Idle v20261102-120000 - 0").await;
    let gone = |found: &Value| found["code"] == 404;
    world.until_child(DEPLOYMENTS, "iris-canary", gone).await;
    let promoted = world
        .until_child(DEPLOYMENTS, "iris-stable", Value::is_object)
        .await;
    assert_eq!(images(&stable), images(&promoted));
    let digest = "/spec/template/metadata/annotations/aurora.io~1digest";
    assert_eq!(promoted.pointer(digest), Some(&json!(pin(2).digest)));
    // Each transition was told, as `kubectl describe` shows it.
    let events = format!(
        "{}?fieldSelector=involvedObject.kind=MLDeployment",
        world.path("api/v1/events")
    );
    let events = world.ask(Method::GET, &events, &Value::Null).await;
    let events = events["items"].as_array().cloned().unwrap_or_default();
    let reasons: std::collections::BTreeSet<_> = events
        .iter()
        .filter_map(|event| event["reason"].as_str())
        .collect();
    assert_eq!(
        reasons.into_iter().collect::<Vec<_>>(),
        ["Idle", "Preparing", "Promoting"]
    );
    world.stop().await;
}

#[tokio::test]
async fn a_canary_whose_pods_do_not_start_says_why() {
    let Some(mut world) = World::begin().await else {
        return;
    };
    world.commit("iris", &object(spec(1, None))).await;
    world.until("iris", "Idle v20261101-120000 - 0").await;
    world.starts.store(false, Ordering::Relaxed);
    world.commit("iris", &object(spec(1, Some((2, 10))))).await;
    let pods = format!(
        "{}?labelSelector=app=iris,track=canary",
        world.path("api/v1/pods")
    );
    let stuck = json!({ "status": { "phase": "Pending", "containerStatuses": [{
        "name": "aurora", "image": "example.org/aurora:1", "imageID": "", "ready": false, "restartCount": 0,
        "state": { "waiting": { "reason": "ImagePullBackOff", "message": "no such image" } },
    }] } });
    let why = "canary: container aurora cannot start: ImagePullBackOff: no such image";
    let path = "apis/aurora.io/v1alpha1/mldeployments";
    let told = async || {
        let made = world.ask(Method::GET, &pods, &Value::Null).await;
        for pod in made["items"].as_array().into_iter().flatten() {
            let name = pod["metadata"]["name"].as_str().unwrap_or_default();
            let status = format!("{}/{name}/status", world.path("api/v1/pods"));
            world.ask(Method::PATCH, &status, &stuck).await;
        }
        let found = world
            .ask(Method::GET, &world.object_path("iris"), &Value::Null)
            .await;
        let message = found
            .pointer("/status/conditions/1/message")
            .and_then(Value::as_str);
        message.unwrap_or_default().contains(why)
    };
    let began = std::time::Instant::now();
    while !told().await {
        let found = world.until_child(path, "iris", Value::is_object).await;
        assert!(began.elapsed() < Duration::from_mins(2), "{}", found["status"]);
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    assert_eq!(world.routed("iris").await, Some(0), "it gets no request");
    world.starts.store(true, Ordering::Relaxed);
    world
        .until("iris", "Idle v20261101-120000 v20261102-120000 10")
        .await;
    world.stop().await;
}

/// Asks a gateway so many times, and returns how often each Service was chosen. Nobody answers behind them here.
async fn chosen(gateway: &Gateway, count: u64, path: &str, header: &str) -> BTreeMap<String, u64> {
    let before = gateway.answers();
    let request = format!("GET {path} HTTP/1.1\r\nHost: example.org\r\nConnection: close\r\n{header}\r\n");
    for _ in 0..count {
        let mut stream = tokio::net::TcpStream::connect(gateway.address()).await.unwrap();
        stream.write_all(request.as_bytes()).await.unwrap();
        stream.read_to_end(&mut Vec::new()).await.unwrap();
    }
    let mut chosen = BTreeMap::new();
    for (key, answers) in gateway.answers() {
        let more = answers - before.get(&key).copied().unwrap_or_default();
        if more > 0 {
            *chosen.entry(key.0).or_default() += more;
        }
    }
    chosen
}

/// A controller that honours the canary annotations of ingress-nginx splits as the weight says, and by header.
#[tokio::test(flavor = "multi_thread")]
async fn a_pair_of_ingresses_splits_as_the_weight_says() {
    const COUNT: u64 = 500;
    let Some(mut world) = World::begin().await else {
        return;
    };
    let control_plane = world.namespace.control_plane();
    let gateway = Gateway::start(control_plane, world.namespace.name(), Duration::ZERO).await;
    let gateway = gateway.unwrap();
    for weight in [10, 50, 0] {
        let mut spec = spec(1, Some((2, weight)));
        spec.route = Some(Box::new(Route {
            provider: Provider::IngressNginx,
            ..Route::default()
        }));
        world.commit("iris", &object(spec)).await;
        let expected = format!("Idle v20261101-120000 v20261102-120000 {weight}");
        world.until("iris", &expected).await;
        let began = std::time::Instant::now();
        loop {
            let chosen = chosen(&gateway, COUNT, "/predict/iris", "").await;
            let canary = chosen.get("iris-canary").copied().unwrap_or_default();
            let stable = chosen.get("iris-stable").copied().unwrap_or_default();
            if stable + canary == COUNT && canary.abs_diff(COUNT * weight / 100) <= 2 {
                break;
            }
            assert!(began.elapsed() < Duration::from_mins(2), "{weight}: {chosen:?}");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        let asked = chosen(&gateway, 20, "/v2/models/iris/infer", "aurora-track: canary\r\n").await;
        assert_eq!(
            asked,
            BTreeMap::from([("iris-canary".to_owned(), 20)]),
            "{weight}"
        );
    }
    world.stop().await;
}

/// What carries requests, and who has the number of replicas, may be changed while a model serves.
#[tokio::test]
async fn each_provider_and_an_autoscaler_come_and_go() {
    let Some(mut world) = World::begin().await else {
        return;
    };
    world.namespace.allow(Component::Router).await.unwrap();
    let ingresses = "apis/networking.k8s.io/v1/ingresses";
    let scalers = "apis/autoscaling/v2/horizontalpodautoscalers";
    let maps = "api/v1/configmaps";
    let gone = |found: &Value| found["code"] == 404;
    let with = |provider: Provider, weight: u64| {
        let mut spec = spec(1, Some((2, weight)));
        spec.route = Some(Box::new(Route {
            provider,
            ..Route::default()
        }));
        object(spec)
    };
    let idle = |weight: u64| format!("Idle v20261101-120000 v20261102-120000 {weight}");
    for (provider, collection, name) in [
        (Provider::IngressNginx, ingresses, "iris-route-canary"),
        (Provider::Aurora, maps, "iris-route"),
    ] {
        world.commit("iris", &with(provider, 10)).await;
        world.until("iris", &idle(10)).await;
        let before = world.until_child(collection, name, Value::is_object).await;
        assert_eq!(before["metadata"]["name"], name, "{before}");
        world.commit("iris", &with(provider, 50)).await;
        world.until("iris", &idle(50)).await;
        let is_changed =
            |found: &Value| found["metadata"]["resourceVersion"] != before["metadata"]["resourceVersion"];
        world.until_child(collection, name, is_changed).await;
    }
    let mut scaled = with(Provider::GatewayApi, 50);
    for most in [5, 6] {
        scaled.spec.autoscaling = Some(Autoscaling {
            min_replicas: 2,
            max_replicas: most,
            target_cpu_percent: 70,
        });
        world.commit("iris", &scaled).await;
        world
            .until_child(scalers, "iris-stable", |found| {
                found["spec"]["maxReplicas"] == most
            })
            .await;
    }
    for (collection, name) in [
        (ingresses, "iris-route"),
        (ingresses, "iris-route-canary"),
        (maps, "iris-route"),
    ] {
        world.until_child(collection, name, gone).await;
    }
    world.commit("iris", &with(Provider::GatewayApi, 50)).await;
    world.until_child(scalers, "iris-stable", gone).await;
    world.until("iris", &idle(50)).await;
    assert_eq!(world.routed("iris").await, Some(50));
    world.stop().await;
}

#[tokio::test]
async fn a_model_that_nobody_can_ask_yet_is_not_ready() {
    let Some(mut world) = World::begin().await else {
        return;
    };
    world.namespace.allow(Component::Router).await.unwrap();
    let objects = "apis/aurora.io/v1alpha1/mldeployments";
    let stands = |condition: &'static str, reason: &'static str| {
        move |found: &Value| {
            let conditions = found.pointer("/status/conditions").and_then(Value::as_array);
            let mut conditions = conditions.into_iter().flatten();
            let is_observed = found["status"]["observedGeneration"] == found["metadata"]["generation"];
            is_observed
                && conditions.any(|found| {
                    (&found["type"], &found["status"], &found["reason"])
                        == (&json!(condition), &json!("True"), &json!(reason))
                })
        }
    };
    let routed_by = |provider: Provider| {
        let mut spec = spec(1, None);
        spec.route = Some(Box::new(Route {
            provider,
            ..Route::default()
        }));
        object(spec)
    };
    // A router: ready once one of its pods is.
    world.starts_routers.store(false, Ordering::Relaxed);
    world.commit("iris", &routed_by(Provider::Aurora)).await;
    world.until("iris", "Idle v20261101-120000 - 0").await;
    world
        .until_child(objects, "iris", stands("Reconciling", "RouterStarting"))
        .await;
    world.starts_routers.store(true, Ordering::Relaxed);
    world.until_child(objects, "iris", stands("Ready", "Idle")).await;

    // A route that is new; then one that a Gateway does not take; then one that it does.
    world.commit("iris", &routed_by(Provider::GatewayApi)).await;
    world
        .until_child(objects, "iris", stands("Reconciling", "RouteStarting"))
        .await;
    world.until_child(objects, "iris", stands("Ready", "Idle")).await;
    let route = format!("{}/iris-route", world.path(ROUTES));
    for (accepted, reason, message, (condition, because)) in [
        (
            "False",
            "NotAllowedByListeners",
            "no listener takes it",
            ("Stalled", "RouteRefused"),
        ),
        ("True", "Accepted", "", ("Ready", "Idle")),
    ] {
        let generation = world.ask(Method::GET, &route, &Value::Null).await["metadata"]["generation"].clone();
        let told = json!({ "status": { "parents": [{
            "parentRef": { "name": "aurora" }, "controllerName": "example.org/gateway",
            "conditions": [{
                "type": "Accepted", "status": accepted, "reason": reason, "message": message,
                "observedGeneration": generation, "lastTransitionTime": "2026-11-01T12:00:00Z",
            }],
        }] } });
        let answer = world.ask(Method::PATCH, &format!("{route}/status"), &told).await;
        assert!(answer["status"]["parents"].is_array(), "{answer:#}");
        let found = world
            .until_child(objects, "iris", stands(condition, because))
            .await;
        let words = found["status"]["conditions"].to_string();
        assert_eq!(
            words.contains("NotAllowedByListeners"),
            accepted == "False",
            "{words}"
        );
    }
    world.stop().await;
}

#[tokio::test]
async fn an_abort_takes_the_weight_first_and_a_lost_status_gives_it_not_back() {
    let Some(mut world) = World::begin().await else {
        return;
    };
    world.commit("iris", &object(spec(1, Some((2, 50))))).await;
    world
        .until("iris", "Idle v20261101-120000 v20261102-120000 50")
        .await;
    let canary = world
        .until_child(DEPLOYMENTS, "iris-canary", Value::is_object)
        .await;
    let abort = json!({ "metadata": { "annotations": { "aurora.io/abort": pin(2).digest } } });
    world.ask(Method::PATCH, &world.object_path("iris"), &abort).await;
    world
        .until("iris", "Aborted v20261101-120000 v20261102-120000 0")
        .await;
    assert_eq!(world.routed("iris").await, Some(0));
    let after = world
        .until_child(DEPLOYMENTS, "iris-canary", Value::is_object)
        .await;
    assert_eq!(canary["metadata"]["generation"], after["metadata"]["generation"]);
    let status = format!("{}/status", world.object_path("iris"));
    world
        .ask(Method::PATCH, &status, &json!({ "status": null }))
        .await;
    world
        .until("iris", "Aborted v20261101-120000 v20261102-120000 0")
        .await;
    assert_eq!(world.routed("iris").await, Some(0));
    world.stop().await;
}

#[tokio::test]
async fn a_lost_status_waits_for_a_registry_that_is_away_and_says_so() {
    let Some(mut world) = World::begin().await else {
        return;
    };
    world.commit("iris", &object(spec(1, Some((2, 50))))).await;
    let serves = "Idle v20261101-120000 v20261102-120000 50";
    world.until("iris", serves).await;
    world.unmount();
    let status = format!("{}/status", world.object_path("iris"));
    world
        .ask(Method::PATCH, &status, &json!({ "status": null }))
        .await;
    world
        .until_child("apis/aurora.io/v1alpha1/mldeployments", "iris", |found| {
            let conditions = found["status"]["conditions"].as_array();
            conditions.into_iter().flatten().any(|condition| {
                let message = condition["message"].as_str().unwrap_or_default();
                condition["type"] == "Reconciling"
                    && condition["status"] == "True"
                    && condition["reason"] == "RegistryUnreadable"
                    && message.contains("all stays as it is")
            })
        })
        .await;
    assert_eq!(world.routed("iris").await, Some(50));
    world.mount();
    world.until("iris", serves).await;
    world.stop().await;
}

#[tokio::test]
async fn a_removed_object_loses_its_route_then_its_pods_then_itself() {
    let Some(mut world) = World::begin().await else {
        return;
    };
    world.commit("iris", &object(spec(1, Some((2, 10))))).await;
    world
        .until("iris", "Idle v20261101-120000 v20261102-120000 10")
        .await;
    assert_eq!(
        world.object("iris").await.metadata.finalizers,
        Some(vec!["aurora.io/drain".to_owned()])
    );
    world
        .ask(Method::DELETE, &world.object_path("iris"), &Value::Null)
        .await;
    let gone = |found: &Value| found["code"] == 404;
    world.until_child(ROUTES, "iris-route", gone).await;
    // What requests may still come to is there for a while.
    let stable = world.until_child(DEPLOYMENTS, "iris-stable", |_| true).await;
    assert_eq!(stable["metadata"]["deletionTimestamp"], Value::Null);
    assert_eq!(
        stable["metadata"]["name"], "iris-stable",
        "it goes after the route"
    );
    world
        .until_child("apis/aurora.io/v1alpha1/mldeployments", "iris", gone)
        .await;
    world.until_child(DEPLOYMENTS, "iris-stable", gone).await;
    world.stop().await;
}

/// Until the new object serves, the old one does.
#[tokio::test]
async fn a_rename_goes_over_without_a_gap() {
    let Some(mut world) = World::begin().await else {
        return;
    };
    world.commit("b-old", &object(spec(1, None))).await;
    world.until("b-old", "Idle v20261101-120000 - 0").await;
    world.starts.store(false, Ordering::Relaxed);
    world.commit("a-new", &object(spec(1, None))).await;
    world
        .ask(Method::DELETE, &world.object_path("b-old"), &Value::Null)
        .await;
    world
        .until_child(DEPLOYMENTS, "a-new-stable", |found| found["kind"] == "Deployment")
        .await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(world.routed("b-old").await, Some(0), "it still has its route");
    world.starts.store(true, Ordering::Relaxed);
    world.until("a-new", "Idle v20261101-120000 - 0").await;
    let gone = |found: &Value| found["code"] == 404;
    world
        .until_child("apis/aurora.io/v1alpha1/mldeployments", "b-old", gone)
        .await;
    assert_eq!(world.routed("a-new").await, Some(0));
    world.stop().await;
}

#[tokio::test]
async fn a_release_leaves_no_finalizer() {
    let Some(mut world) = World::begin().await else {
        return;
    };
    world.commit("iris", &object(spec(1, None))).await;
    world.until("iris", "Idle v20261101-120000 - 0").await;
    world.stop().await;
    let released = kubernetes::operator::release::release(world.config().await, world.namespace.name()).await;
    assert_eq!(released.unwrap(), 1);
    assert_eq!(world.object("iris").await.metadata.finalizers, None);
}
