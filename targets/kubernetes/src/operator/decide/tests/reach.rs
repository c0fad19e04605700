//! Whether requests come through to the tracks, and what is said where they do not.

use super::*;
use crate::operator::way::Router;

/// What is ready can answer: where requests do not come through, it is not.
#[test]
fn tracks_that_nobody_can_ask_are_not_ready() {
    let stands = |way: Way, provider: Provider| {
        let mut spec = spec(1, Some((2, 10)));
        spec.route = Some(Box::new(DeclaredRoute {
            provider,
            ..DeclaredRoute::default()
        }));
        let mut case = Case::serving(spec, 10);
        case.observed.way = way;
        let decided = case.decide();
        let conditions = decided.status.conditions.iter();
        let holds = conditions.filter(|condition| condition.status == crds::status::ConditionStatus::True);
        let holds: Vec<String> = holds
            .map(|holds| format!("{}/{}", holds.kind, holds.reason))
            .collect();
        (holds.join(" "), decided.wake)
    };
    let ready = ("Ready/Idle".to_owned(), None);
    assert_eq!(stands(Way::default(), Provider::Aurora), ready);
    let starting = Way {
        router: Router::Starting(None),
        ..Way::default()
    };
    let told = ("Reconciling/RouterStarting".to_owned(), Some(at(10)));
    assert_eq!(stands(starting, Provider::Aurora), told);
    let new = Way {
        since: Some(at(-2)),
        ..Way::default()
    };
    let told = ("Reconciling/RouteStarting".to_owned(), Some(at(3)));
    assert_eq!(stands(new, Provider::GatewayApi), told);
    let refused = Way {
        refusal: Some("Gateway aurora does not take the route".to_owned()),
        ..Way::default()
    };
    let told = ("Stalled/RouteRefused RouteRefused/NotAccepted".to_owned(), None);
    assert_eq!(stands(refused, Provider::GatewayApi), told);
}

/// Between two writes one of two routes may be behind: both are written again, and the pods stay until neither leads to them.
#[test]
fn a_route_of_calls_follows_the_other() {
    let with_calls = |canary, calls| {
        let mut spec = spec(1, canary);
        spec.route = Some(Box::new(DeclaredRoute {
            grpc: Some(Grpc::default()),
            ..DeclaredRoute::default()
        }));
        let mut case = Case::serving(spec, 0);
        case.observed.calls = Some(calls);
        case
    };
    check(
        &with_calls(None, Route::At(weight(10))),
        &expect![[r#"
            Has, Reconciling/Preparing, weight 0%, kept
            apply HTTPRoute iris-route
            apply GRPCRoute iris-route
            apply Service iris-stable
            apply PodDisruptionBudget iris-stable
            apply Deployment iris-stable
            delete HorizontalPodAutoscaler iris-stable
            apply Service iris-canary
            delete PodDisruptionBudget iris-canary
            apply Deployment iris-canary
        "#]],
    );
    // Nothing can be made of a kind that the cluster does not know; the other route goes on.
    check(
        &with_calls(Some((2, 0)), Route::Unknown),
        &expect![[r#"
        Has, Stalled/RouteMissing, weight 0%, kept
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
