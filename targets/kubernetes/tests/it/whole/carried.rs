//! What carries requests to a model, by whatever provider, and in which shares.

use std::collections::BTreeMap;

use serde_json::Value;

use super::watched::Objects;

/// What carries requests to a model.
pub(super) struct Carried {
    /// The kind of the carrier: there may be one for calls by gRPC beside the other.
    pub(super) kind: &'static str,
    /// The model, and the object that it is of.
    pub(super) model: String,
    pub(super) owner: String,
    /// When it was made, and what it is called: of two, the older counts.
    pub(super) age: (String, String),
    /// Percents by Service.
    pub(super) shares: BTreeMap<String, u64>,
    /// The Deployment that must answer before any track can.
    pub(super) router: Option<String>,
}

/// Returns everything that carries requests.
pub(super) fn carried(objects: &Objects) -> Vec<Carried> {
    let mut all = Vec::new();
    for ((kind, name), object) in objects {
        let (shares, router) = match *kind {
            "HTTPRoute" | "GRPCRoute" => (of_route(object), None),
            "Ingress" if text(object, "/metadata/labels/track") == "stable" => {
                let canary = objects.get(&("Ingress", format!("{name}-canary")));
                (of_ingresses(object, canary), None)
            }
            "ConfigMap" => (of_router(object), Some(name.clone())),
            _ => continue,
        };
        all.push(Carried {
            kind,
            model: text(object, "/metadata/labels/aurora.io~1model"),
            owner: name.trim_end_matches("-route").to_owned(),
            age: (text(object, "/metadata/creationTimestamp"), name.clone()),
            shares,
            router,
        });
    }
    all
}

/// The shares of a route's last rule.
fn of_route(route: &Value) -> BTreeMap<String, u64> {
    let rules = route["spec"]["rules"].as_array();
    let last = rules.and_then(|rules| rules.last()?["backendRefs"].as_array().cloned());
    let backends = last.unwrap_or_default().into_iter();
    backends
        .map(|backend| (text(&backend, "/name"), backend["weight"].as_u64().unwrap_or(1)))
        .collect()
}

/// The shares of an Ingress, and of the one beside it that takes a part of its requests.
fn of_ingresses(stable: &Value, canary: Option<&Value>) -> BTreeMap<String, u64> {
    let service = |ingress: &Value| text(ingress, "/spec/rules/0/http/paths/0/backend/service/name");
    let weight = canary.map_or(0, |canary| {
        let at = "/metadata/annotations/nginx.ingress.kubernetes.io~1canary-weight";
        text(canary, at).parse().expect("a percent")
    });
    let canary = canary.map(|canary| (service(canary), weight));
    [(service(stable), 100 - weight)]
        .into_iter()
        .chain(canary)
        .collect()
}

/// The shares that a router is told.
fn of_router(map: &Value) -> BTreeMap<String, u64> {
    let told = text(map, "/data/route.json");
    let told: Value = serde_json::from_str(&told).expect("JSON");
    let has_canary = !told["canary"].is_null();
    let weight = told["weight"].as_u64().filter(|_| has_canary).unwrap_or(0);
    let stable = (text(&told, "/stable/service"), 100 - weight);
    let canary = has_canary.then(|| (text(&told, "/canary/service"), weight));
    [stable].into_iter().chain(canary).collect()
}

/// Returns what stands at a pointer, or nothing.
pub(super) fn text(object: &Value, pointer: &str) -> String {
    let found = object.pointer(pointer).and_then(Value::as_str);
    found.unwrap_or_default().to_owned()
}
