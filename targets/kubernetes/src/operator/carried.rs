//! What share a route gives the canary, read from whatever carries it: pure.

use planner::names::{Track, Weight};
use planner::route::Provider;
use serde_json::Value;

use super::child::{ChildId, ChildKind};

/// Returns where the share of an object's canary stands, by provider; the last word is of what stands there.
pub(crate) fn place(provider: Provider, object: &str) -> Option<ChildId> {
    let name = format!("{object}-route");
    match provider {
        Provider::GatewayApi => Some(ChildId::new(ChildKind::HttpRoute, name)),
        Provider::IngressNginx => Some(ChildId::new(ChildKind::Ingress, name)),
        Provider::Aurora => Some(ChildId::new(ChildKind::ConfigMap, name)),
        Provider::None => None,
    }
}

/// Returns where the share of an object's canary stands for calls by gRPC, if these have a route of their own.
pub(crate) fn place_of_calls(provider: Provider, object: &str) -> Option<ChildId> {
    (provider == Provider::GatewayApi).then(|| ChildId::new(ChildKind::GrpcRoute, format!("{object}-route")))
}

/// Returns the canary's weight in an HTTPRoute or GRPCRoute, an Ingress of the canary, or what a router is told. What cannot be read
/// was written by somebody else and is written over: it counts as nothing.
pub(crate) fn weight(kind: ChildKind, object: &str, document: &Value) -> Weight {
    let percent = match kind {
        ChildKind::HttpRoute | ChildKind::GrpcRoute => of_gateway_route(object, document),
        ChildKind::Ingress => document
            .pointer("/metadata/annotations/nginx.ingress.kubernetes.io~1canary-weight")
            .and_then(|percent| percent.as_str()?.parse().ok()),
        ChildKind::ConfigMap => {
            let told = document.pointer("/data/route.json").and_then(Value::as_str);
            let told: Option<Value> = told.and_then(|told| serde_json::from_str(told).ok());
            told.and_then(|told| told.get("weight")?.as_u64())
        }
        ChildKind::Deployment | ChildKind::Service | ChildKind::Budget | ChildKind::Autoscaler => None,
    };
    percent
        .and_then(|percent| Weight::try_from(percent.min(100)).ok())
        .unwrap_or_default()
}

/// The weight of the canary where stable is a backend beside it.
fn of_gateway_route(object: &str, document: &Value) -> Option<u64> {
    let name = |track: Track| Value::from(format!("{object}-{track}"));
    let rules = document.pointer("/spec/rules")?.as_array()?;
    let backends = rules
        .iter()
        .filter_map(|rule| rule.get("backendRefs")?.as_array());
    let mut splits = backends.filter(|backends| {
        backends
            .iter()
            .any(|backend| backend["name"] == name(Track::Stable))
    });
    splits.find_map(|backends| {
        let canary = backends
            .iter()
            .find(|backend| backend["name"] == name(Track::Canary))?;
        canary["weight"].as_u64()
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[track_caller]
    fn check(kind: ChildKind, document: &Value, percent: u8) {
        assert_eq!(weight(kind, "iris", document).percent(), percent, "{document}");
    }

    #[test]
    fn the_share_in_an_http_route() {
        let backend = |name: &str, weight: u32| json!({ "name": name, "weight": weight });
        let route = |last: &[Value]| {
            json!({ "spec": { "rules": [
                { "backendRefs": [backend("iris-stable", 1)] },
                { "backendRefs": [backend("iris-canary", 1)] },
                { "backendRefs": last },
            ] } })
        };
        let both = [backend("iris-stable", 90), backend("iris-canary", 10)];
        check(ChildKind::HttpRoute, &route(&both), 10);
        check(ChildKind::GrpcRoute, &route(&both), 10);
        check(ChildKind::HttpRoute, &route(&[backend("iris-stable", 100)]), 0);
        // Somebody edited it.
        let most = [backend("iris-canary", 1_000_000), backend("iris-stable", 1)];
        check(ChildKind::HttpRoute, &route(&most), 100);
        check(ChildKind::HttpRoute, &json!({ "spec": { "rules": 7 } }), 0);
    }

    #[test]
    fn the_share_in_an_ingress_and_in_what_a_router_is_told() {
        let key = "nginx.ingress.kubernetes.io/canary-weight";
        let ingress = |weight: &str| json!({ "metadata": { "annotations": { key: weight } } });
        check(ChildKind::Ingress, &ingress("10"), 10);
        check(ChildKind::Ingress, &ingress("ten"), 0);
        check(ChildKind::Ingress, &json!({ "metadata": {} }), 0);
        let told = |text: &str| json!({ "data": { "route.json": text } });
        check(ChildKind::ConfigMap, &told(r#"{"weight":50,"canary":{}}"#), 50);
        check(ChildKind::ConfigMap, &told("{"), 0);
    }
}
