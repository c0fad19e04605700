//! Calls by gRPC: their route beside the other one.

use planner::deployment::ResolvedDeployment;
use planner::route::{Grpc, Route};
use serde_json::Value;

use super::cluster::World;
use super::{ROUTES, object, spec};

const CALLS: &str = "apis/gateway.networking.k8s.io/v1/grpcroutes";

#[tokio::test]
async fn calls_by_grpc_have_a_route_beside_the_other_with_the_same_weight() {
    let Some(mut world) = World::begin().await else {
        return;
    };
    let with_calls = |canary| {
        let grpc = Grpc {
            host: Some("grpc.example.org".to_owned()),
            gateway: None,
        };
        let route = Route {
            host: Some("www.example.org".to_owned()),
            grpc: Some(grpc),
            ..Route::default()
        };
        object(ResolvedDeployment {
            route: Some(Box::new(route)),
            ..spec(1, canary)
        })
    };
    let weights = |route: &Value| -> Vec<u64> {
        let rules = route["spec"]["rules"].as_array().expect("rules");
        let backends = rules.last().expect("one of the split")["backendRefs"].as_array();
        let weights = backends.expect("backends").iter();
        weights
            .map(|backend| backend["weight"].as_u64().expect("a weight"))
            .collect()
    };
    world.commit("iris", &with_calls(Some((2, 10)))).await;
    world
        .until("iris", "Idle v20261101-120000 v20261102-120000 10")
        .await;
    for routes in [ROUTES, CALLS] {
        world
            .until_child(routes, "iris-route", |route| weights(route) == [90, 10])
            .await;
    }
    // A name that both have is no reason to change either.
    let before = world.children().await;
    world.stop().await;
    world.start().await;
    world.stepped().await;
    assert_eq!(world.children().await, before);

    world.commit("iris", &with_calls(Some((2, 50)))).await;
    for routes in [ROUTES, CALLS] {
        world
            .until_child(routes, "iris-route", |route| weights(route) == [50, 50])
            .await;
    }
    // Without calls their route goes, and the other stays.
    world.commit("iris", &object(spec(1, Some((2, 50))))).await;
    world
        .until_child(CALLS, "iris-route", |found| found["code"] == 404)
        .await;
    assert_eq!(world.routed("iris").await, Some(50));
    world.stop().await;
}
