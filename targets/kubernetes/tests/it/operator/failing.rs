//! Routes of the providers without a Gateway, and an autoscaler, come and go while writes fail.

use std::collections::BTreeSet;

use testkit::{Fault, Proxy};

use super::*;

const INGRESSES: &str = "apis/networking.k8s.io/v1/ingresses";
const MAPS: &str = "api/v1/configmaps";
const SCALERS: &str = "apis/autoscaling/v2/horizontalpodautoscalers";

/// Lets the operator of a namespace go on behind a proxy at which each n-th write fares so.
async fn behind(world: &mut World, each: u64, fault: Fault) -> Proxy {
    world.stop().await;
    let proxy = Proxy::start(world.namespace.config_of(Component::Operator).await.unwrap()).unwrap();
    proxy.fail_each(each, fault);
    world.start_behind(proxy.config());
    proxy
}

fn with(provider: Provider, weight: u64) -> DeploymentObject {
    let mut spec = spec(1, Some((2, weight)));
    spec.route = Some(Box::new(Route {
        provider,
        ..Route::default()
    }));
    object(spec)
}

fn idle(weight: u64) -> String {
    format!("Idle v20261101-120000 v20261102-120000 {weight}")
}

/// The share of the canary, as an Ingress or what a router is told says.
fn share(found: &Value) -> Option<u64> {
    let annotation = found.pointer("/metadata/annotations/nginx.ingress.kubernetes.io~1canary-weight");
    if let Some(annotation) = annotation.and_then(Value::as_str) {
        return annotation.parse().ok();
    }
    let told = found.pointer("/data/route.json").and_then(Value::as_str)?;
    serde_json::from_str::<Value>(told).ok()?["weight"].as_u64()
}

#[tokio::test]
async fn ingresses_and_routers_say_the_weight_while_writes_fail_and_leave_nothing_behind() {
    let Some(mut world) = World::begin().await else {
        return;
    };
    world.namespace.allow(Component::Router).await.unwrap();
    let gone = |found: &Value| found["code"] == 404;
    for (each, fault) in [(3, Fault::Answer(500)), (3, Fault::LoseAnswer)] {
        let proxy = behind(&mut world, each, fault).await;
        for (provider, (collection, name), (other, left)) in [
            (
                Provider::IngressNginx,
                (INGRESSES, "iris-route-canary"),
                (MAPS, "iris-route"),
            ),
            (
                Provider::Aurora,
                (MAPS, "iris-route"),
                (INGRESSES, "iris-route-canary"),
            ),
        ] {
            for weight in [10, 50] {
                world.commit("iris", &with(provider, weight)).await;
                world.until("iris", &idle(weight)).await;
                let says = |found: &Value| share(found) == Some(weight);
                world.until_child(collection, name, says).await;
            }
            world.until_child(other, left, gone).await;
        }
        assert!(proxy.writes() >= 2 * each, "some writes failed");
    }
    world.stop().await;
}

fn scaled(stable: u32, autoscaling: Option<Autoscaling>) -> DeploymentObject {
    object(ResolvedDeployment {
        autoscaling,
        ..spec(stable, None)
    })
}

/// The numbers of replicas that a Deployment is to have, from now until the end of what goes on meanwhile.
async fn replicas_during(world: &World, what: impl Future<Output = ()>) -> BTreeSet<u64> {
    let mut seen = BTreeSet::new();
    let path = format!("{}/iris-stable", world.path(DEPLOYMENTS));
    let look = async {
        loop {
            let found = world.ask(Method::GET, &path, &Value::Null).await;
            seen.extend(found["spec"]["replicas"].as_u64());
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::select! {
        () = what => {}
        () = look => {}
    }
    seen
}

#[tokio::test]
async fn replicas_never_drop_while_an_autoscaler_comes_and_goes_and_writes_fail() {
    let Some(mut world) = World::begin().await else {
        return;
    };
    let by_load = Some(Autoscaling {
        min_replicas: 2,
        max_replicas: 5,
        target_cpu_percent: 70,
    });
    let idle = |stable: u32| format!("Idle {} - 0", pin(stable).version);
    let is_of_operator = |deployment: &Value| {
        let managers = deployment
            .pointer("/metadata/managedFields")
            .and_then(Value::as_array);
        let of_operator =
            |entry: &&Value| entry["manager"] == "aurora-operator" && entry["subresource"].is_null();
        let mut entries = managers.into_iter().flatten().filter(of_operator);
        entries.any(|entry| !entry["fieldsV1"]["f:spec"]["f:replicas"].is_null())
    };
    world.commit("iris", &scaled(1, None)).await;
    world.until("iris", &idle(1)).await;
    for (each, fault) in [
        (3, Fault::Answer(500)),
        (3, Fault::LoseAnswer),
        (2, Fault::Answer(409)),
    ] {
        let proxy = behind(&mut world, each, fault).await;
        let seen = replicas_during(&world, async {
            world.commit("iris", &scaled(1, by_load)).await;
            world
                .until_child(SCALERS, "iris-stable", |found| found["spec"]["maxReplicas"] == 5)
                .await;
            let handed_over = |found: &Value| !is_of_operator(found);
            world.until_child(DEPLOYMENTS, "iris-stable", handed_over).await;
            // As an autoscaler does.
            let scale = format!("{}/iris-stable/scale", world.path(DEPLOYMENTS));
            world
                .ask(Method::PATCH, &scale, &json!({ "spec": { "replicas": 4 } }))
                .await;
            world.commit("iris", &scaled(2, by_load)).await;
            world.until("iris", &idle(2)).await;
        })
        .await;
        assert_eq!(seen, BTreeSet::from([2, 4]), "{fault:?}");
        let found = world
            .until_child(DEPLOYMENTS, "iris-stable", Value::is_object)
            .await;
        assert_eq!(found["spec"]["replicas"], 4, "{fault:?}");
        let seen = replicas_during(&world, async {
            world.commit("iris", &scaled(1, None)).await;
            world
                .until_child(SCALERS, "iris-stable", |found| found["code"] == 404)
                .await;
            world
                .until_child(DEPLOYMENTS, "iris-stable", is_of_operator)
                .await;
            world.until("iris", &idle(1)).await;
        })
        .await;
        assert_eq!(seen, BTreeSet::from([2, 4]), "{fault:?}");
        assert!(proxy.writes() >= 2 * each, "some writes failed");
    }
    world.stop().await;
}
