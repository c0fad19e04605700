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
