//! Routes of the providers without a Gateway come and go while writes fail.

use testkit::{Fault, Proxy};

use super::*;

const INGRESSES: &str = "apis/networking.k8s.io/v1/ingresses";
const MAPS: &str = "api/v1/configmaps";

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
