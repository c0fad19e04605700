//! Whether requests come through what is to carry them: pure. Tracks that do as declared are not enough to be ready, where
//! nobody can ask them yet.

use chrono::Duration;
use planner::Timestamp;
use planner::route::Provider;
use reconciler::conditions::Facts;
use serde_json::Value;

use super::decide::SETTLE;
use super::observe::Route;

/// What is said where calls by gRPC can have no route.
const NO_CALLS: &str = "the cluster does not know the kind GRPCRoute, so no call by gRPC reaches the model but by its Services: \
                        install the Gateway API 1.1 or newer, or remove route.grpc";

/// What is seen of the way that requests take, beside the weight.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Way {
    /// Since when there is a route, and where calls by gRPC have one of their own, that too.
    pub since: Option<Timestamp>,
    /// Why whoever has looked at the route does not take it. That it is taken proves nothing.
    pub refusal: Option<String>,
    /// Of Aurora's own router alone.
    pub router: Router,
}

/// The pods of a model's own router.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) enum Router {
    /// One of them answers, or there are to be none.
    #[default]
    Ready,
    /// None answers: what keeps them from it, where they say so.
    Starting(Option<String>),
}

/// What keeps requests from a model.
#[derive(Debug, Clone)]
pub(crate) struct Obstacle {
    /// What is said of the model, where its tracks do as declared.
    pub facts: Facts,
    /// When it is over, where time alone ends it.
    pub until: Option<Timestamp>,
}

impl Way {
    /// Returns what keeps requests from the tracks that a route is to lead to, and calls by gRPC where they have one of their
    /// own.
    pub(crate) fn obstacle(
        &self,
        (route, calls): (Route, Option<Route>),
        provider: Provider,
        now: Timestamp,
    ) -> Option<Obstacle> {
        let waits = |reason, message: &str, until| {
            let facts = Facts::Reconciling(reason, message.to_owned());
            Some(Obstacle { facts, until })
        };
        if let Some(refusal) = &self.refusal {
            let facts = Facts::stalled("RouteRefused", refusal.clone());
            return Some(Obstacle { facts, until: None });
        }
        if calls == Some(Route::Unknown) && route != Route::Unknown {
            let facts = Facts::stalled("RouteMissing", NO_CALLS.to_owned());
            return Some(Obstacle { facts, until: None });
        }
        let route = match calls {
            Some(Route::None) if route != Route::Unknown => Route::None,
            _ => route,
        };
        match (provider, route) {
            (Provider::None, _) | (_, Route::Unknown) => None,
            (Provider::Aurora, _) => match &self.router {
                Router::Ready => None,
                Router::Starting(why) => {
                    let why = why.as_ref().map(|why| format!(": {why}")).unwrap_or_default();
                    waits(
                        "RouterStarting",
                        &format!("no pod of its router is ready{why}"),
                        None,
                    )
                }
            },
            (Provider::GatewayApi | Provider::IngressNginx, Route::None) => {
                waits("RouteStarting", "it has no route yet", None)
            }
            (Provider::GatewayApi | Provider::IngressNginx, Route::At(_)) => {
                let until = self.since? + SETTLE;
                // Another machine's clock may be far ahead.
                let is_new = until > now && until - now <= SETTLE + Duration::seconds(1);
                if !is_new {
                    return None;
                }
                waits(
                    "RouteStarting",
                    "its route is new: gateways follow it a while later",
                    Some(until),
                )
            }
        }
    }
}

/// Returns why an HTTPRoute or GRPCRoute is not taken, in the words of whoever has looked at it as it is now; nothing where one has taken
/// it.
pub(crate) fn refusal(route: &Value) -> Option<String> {
    let generation = route.pointer("/metadata/generation");
    let parents = route.pointer("/status/parents")?.as_array()?.iter();
    let told = parents.filter_map(|parent| {
        let mut conditions = parent.get("conditions")?.as_array()?.iter();
        let accepted = conditions.find(|condition| condition["type"] == "Accepted")?;
        let about = accepted.get("observedGeneration");
        let is_current = about.is_none() || generation.is_none() || about == generation;
        is_current.then_some((parent, accepted))
    });
    let (taken, refused): (Vec<_>, Vec<_>) = told
        .filter(|(_, accepted)| accepted["status"] != "Unknown")
        .partition(|(_, accepted)| accepted["status"] == "True");
    let (parent, accepted) = refused.first().filter(|_| taken.is_empty())?;
    let text = |value: Option<&Value>| value.and_then(Value::as_str).unwrap_or_default().to_owned();
    Some(format!(
        "Gateway {} does not take the {}: {}: {}",
        text(parent.pointer("/parentRef/name")),
        route.get("kind").and_then(Value::as_str).unwrap_or("route"),
        text(accepted.get("reason")),
        text(accepted.get("message"))
    ))
}

#[cfg(test)]
mod tests {
    use planner::names::Weight;
    use serde_json::json;

    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_timestamp(1_700_000_000 + seconds, 0).unwrap()
    }

    /// What is said at second 0.
    #[track_caller]
    fn check(way: &Way, provider: Provider, route: Route, expected: &str) {
        check_calls(way, provider, (route, None), expected);
    }

    #[track_caller]
    fn check_calls(way: &Way, provider: Provider, routes: (Route, Option<Route>), expected: &str) {
        let told = match way.obstacle(routes, provider, at(0)) {
            None => "-".to_owned(),
            Some(Obstacle {
                facts: Facts::Reconciling(reason, message),
                until,
            }) => {
                let until = until.map(|until| format!(", {} s", (until - at(0)).num_seconds()));
                format!("{reason}: {message}{}", until.unwrap_or_default())
            }
            Some(Obstacle {
                facts: Facts::Stalled { reason, message, .. },
                ..
            }) => format!("stalled, {reason}: {message}"),
            Some(other) => unreachable!("{other:?}"),
        };
        assert_eq!(told, expected, "{provider:?} {routes:?}");
    }

    #[test]
    fn nobody_is_ready_whom_nobody_can_ask() {
        use Provider::{Aurora, GatewayApi, IngressNginx, None as Nothing};
        let there = Route::At(Weight::ZERO);
        let since = |seconds| Way {
            since: Some(at(seconds)),
            ..Way::default()
        };
        for provider in [GatewayApi, IngressNginx] {
            let new = "RouteStarting: its route is new: gateways follow it a while later";
            check(
                &Way::default(),
                provider,
                Route::None,
                "RouteStarting: it has no route yet",
            );
            check(&since(-1), provider, there, &format!("{new}, 4 s"));
            check(&since(0), provider, there, &format!("{new}, 5 s"));
            check(&since(-5), provider, there, "-");
            check(&since(3_600), provider, there, "-");
            check(&Way::default(), provider, there, "-");
        }
        check(&since(-1), Nothing, Route::None, "-");
        check(&since(-1), GatewayApi, Route::Unknown, "-");

        let router = |router| Way { router, ..since(-1) };
        check(&router(Router::Ready), Aurora, there, "-");
        let starting = "RouterStarting: no pod of its router is ready";
        for route in [Route::None, there] {
            check(&router(Router::Starting(None)), Aurora, route, starting);
        }
        let why = Router::Starting(Some("no node takes its Pod".to_owned()));
        check(
            &router(why),
            Aurora,
            there,
            &format!("{starting}: no node takes its Pod"),
        );

        let refused = Way {
            refusal: Some("Gateway aurora does not take the route".to_owned()),
            ..since(-60)
        };
        let told = "stalled, RouteRefused: Gateway aurora does not take the route";
        check(&refused, GatewayApi, there, told);
    }

    #[test]
    fn who_takes_calls_is_not_ready_before_these_have_their_route() {
        let there = Route::At(Weight::ZERO);
        let old = Way {
            since: Some(at(-60)),
            ..Way::default()
        };
        let missing = format!("stalled, RouteMissing: {NO_CALLS}");
        for (route, calls, expected) in [
            (there, there, "-"),
            (there, Route::None, "RouteStarting: it has no route yet"),
            (Route::None, there, "RouteStarting: it has no route yet"),
            (there, Route::Unknown, missing.as_str()),
            // Nothing of the Gateway API is there: that is said of the share.
            (Route::Unknown, Route::Unknown, "-"),
            (Route::Unknown, Route::None, "-"),
        ] {
            check_calls(&old, Provider::GatewayApi, (route, Some(calls)), expected);
        }
    }

    #[test]
    fn a_route_that_is_refused_by_all_who_looked_is_refused() {
        let parent = |name: &str, status: &str, about: Option<u64>| {
            let mut accepted = json!({
                "type": "Accepted", "status": status, "reason": "NotAllowedByListeners", "message": "no listener",
            });
            if let Some(about) = about {
                accepted["observedGeneration"] = about.into();
            }
            json!({ "parentRef": { "name": name }, "conditions": [{ "type": "ResolvedRefs" }, accepted] })
        };
        let check = |parents: &[Value], expected: Option<&str>| {
            let route = json!({
                "kind": "GRPCRoute", "metadata": { "generation": 2 }, "status": { "parents": parents },
            });
            assert_eq!(refusal(&route).as_deref(), expected, "{parents:?}");
        };
        let told = Some("Gateway a does not take the GRPCRoute: NotAllowedByListeners: no listener");
        check(&[], None);
        check(&[parent("a", "True", Some(2))], None);
        check(&[parent("a", "Unknown", Some(2))], None);
        check(&[parent("a", "False", Some(2))], told);
        check(&[parent("a", "False", None)], told);
        // What was said of what it was before.
        check(&[parent("a", "False", Some(1))], None);
        check(
            &[parent("a", "False", Some(2)), parent("b", "True", Some(2))],
            None,
        );
        check(
            &[parent("a", "False", Some(2)), parent("b", "Unknown", Some(2))],
            told,
        );
        assert_eq!(refusal(&json!({ "status": { "parents": 7 } })), None);
        assert_eq!(refusal(&json!({})), None);
    }
}
