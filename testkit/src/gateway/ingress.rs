//! What Ingresses say, as a controller that honours the canary annotations of ingress-nginx reads them, in the words of routes.
//!
//! One Ingress of a host and path is the main one; a second one with `canary: "true"` takes a share of its requests: those with
//! the header's value, and of the others as many as its weight says. A canary without a main one is left out.

use k8s_openapi::api::core::v1::Service;
use k8s_openapi::api::networking::v1::{HTTPIngressPath, Ingress, IngressBackend};
use serde_json::{Value, json};

use super::table::RouteSpec;
use crate::mirror::Objects;

const PREFIX: &str = "nginx.ingress.kubernetes.io/";

/// Returns the routes that Ingresses come to, the oldest first.
pub(super) fn routes(ingresses: &Objects<Ingress>, services: &Objects<Service>) -> Vec<RouteSpec> {
    let mut all: Vec<&Ingress> = ingresses.values().collect();
    all.sort_by_key(|ingress| {
        let metadata = &ingress.metadata;
        (metadata.creation_timestamp.clone(), metadata.name.clone())
    });
    let (canaries, mains): (Vec<&Ingress>, Vec<&Ingress>) = all
        .into_iter()
        .partition(|ingress| annotation(ingress, "canary") == Some("true"));
    let mut routes = Vec::new();
    for main in mains {
        for (host, path) in paths(main) {
            let canary = canaries.iter().find_map(|canary| {
                let mut paths = paths(canary);
                let beside = paths.find(|(other, beside)| *other == host && is_same(beside, path));
                beside.map(|(_, beside)| (*canary, beside))
            });
            let route = json!({
                "hostnames": host.map(|host| vec![host]).unwrap_or_default(),
                "rules": rules(path, canary, services),
            });
            routes.extend(serde_json::from_value::<RouteSpec>(route).ok());
        }
    }
    routes
}

fn annotation<'a>(ingress: &'a Ingress, name: &str) -> Option<&'a str> {
    let annotations = ingress.metadata.annotations.as_ref()?;
    annotations.get(&format!("{PREFIX}{name}")).map(String::as_str)
}

/// Returns the paths of an Ingress, each with its host.
fn paths(ingress: &Ingress) -> impl Iterator<Item = (Option<&str>, &HTTPIngressPath)> {
    let rules = ingress.spec.iter().flat_map(|spec| spec.rules.iter().flatten());
    rules.flat_map(|rule| {
        let paths = rule.http.iter().flat_map(|http| &http.paths);
        paths.map(|path| (rule.host.as_deref(), path))
    })
}

fn is_same(one: &HTTPIngressPath, other: &HTTPIngressPath) -> bool {
    one.path == other.path && one.path_type == other.path_type
}

fn rules(
    path: &HTTPIngressPath,
    canary: Option<(&Ingress, &HTTPIngressPath)>,
    services: &Objects<Service>,
) -> Vec<Value> {
    let kind = if path.path_type == "Exact" {
        "Exact"
    } else {
        "PathPrefix"
    };
    let matched = json!({ "type": kind, "value": path.path.as_deref().unwrap_or("/") });
    let main = |weight: u64| backend(&path.backend, weight, services);
    let Some((ingress, beside)) = canary else {
        return vec![json!({ "matches": [{ "path": matched }], "backendRefs": [main(1)] })];
    };
    let number = |name: &str| annotation(ingress, name).and_then(|text| text.parse::<u64>().ok());
    let total = number("canary-weight-total").unwrap_or(100);
    let weight = number("canary-weight").unwrap_or_default().min(total);
    let by_header = |value: &str, backend: Value| {
        let header = json!({ "name": annotation(ingress, "canary-by-header")?, "value": value });
        Some(json!({
            "matches": [{ "path": matched, "headers": [header] }], "backendRefs": [backend],
        }))
    };
    let of_canary = |weight: u64| backend(&beside.backend, weight, services);
    let by_header = match annotation(ingress, "canary-by-header-value") {
        Some(value) => [by_header(value, of_canary(1)), None],
        None => [by_header("always", of_canary(1)), by_header("never", main(1))],
    };
    let split = json!({
        "matches": [{ "path": matched }], "backendRefs": [main(total - weight), of_canary(weight)],
    });
    by_header.into_iter().flatten().chain([split]).collect()
}

/// Returns what a share goes to: a port is named by its Service.
fn backend(backend: &IngressBackend, weight: u64, services: &Objects<Service>) -> Value {
    let service = backend.service.as_ref();
    let name = service.map(|service| service.name.as_str()).unwrap_or_default();
    let port = service.and_then(|service| service.port.as_ref());
    let named = port.and_then(|port| port.name.as_deref());
    let of_service = services
        .values()
        .filter(|service| service.metadata.name.as_deref() == Some(name))
        .flat_map(|service| service.spec.iter().flat_map(|spec| spec.ports.iter().flatten()))
        .find(|port| port.name.as_deref() == named)
        .map(|port| port.port);
    let number = port.and_then(|port| port.number).or(of_service);
    json!({ "name": name, "port": number, "weight": weight })
}

#[cfg(test)]
mod tests {
    use http::HeaderMap;

    use super::super::table::Table;
    use super::*;

    fn ingress(service: &str, host: Option<&str>, path: &str, annotations: &Value) -> Ingress {
        let annotations = annotations.as_object().unwrap().iter();
        let annotations: serde_json::Map<String, Value> = annotations
            .map(|(name, value)| (format!("{PREFIX}{name}"), value.clone()))
            .collect();
        let backend = json!({ "service": { "name": service, "port": { "name": "http" } } });
        serde_json::from_value(json!({
            "metadata": { "name": service, "annotations": annotations },
            "spec": { "rules": [{ "host": host, "http": { "paths": [
                { "path": path, "pathType": "Prefix", "backend": backend },
            ] } }] },
        }))
        .unwrap()
    }

    /// Says which Services a request goes to, each with its port and weight.
    fn found(ingresses: &[Ingress], path: &str, header: Option<&str>) -> String {
        let service = |name: &str| {
            let spec = json!({ "ports": [{ "name": "http", "port": 8080 }, { "name": "other", "port": 1 }] });
            let service = json!({ "metadata": { "name": name }, "spec": spec });
            (name.to_owned(), serde_json::from_value(service).unwrap())
        };
        let services: Objects<Service> = ["stable", "canary"].map(service).into();
        let named = ingresses.iter().enumerate();
        let ingresses = named
            .map(|(at, ingress)| (at.to_string(), ingress.clone()))
            .collect();
        let routes = routes(&ingresses, &services);
        let mut headers = HeaderMap::new();
        if let Some(value) = header {
            headers.insert("aurora-track", value.parse().unwrap());
        }
        let table = Table::new(&routes);
        let backends = table.find("GET", "h", path, &headers).unwrap_or_default();
        let shown = backends.iter().map(|backend| {
            format!(
                "{}:{} {}",
                backend.name,
                backend.port.unwrap_or_default(),
                backend.weight
            )
        });
        shown.collect::<Vec<_>>().join(", ")
    }

    #[test]
    fn a_canary_takes_its_header_and_its_weight() {
        let stable = ingress("stable", None, "/predict/a", &json!({}));
        let canary = |annotations: Value| ingress("canary", None, "/predict/a", &annotations);
        let ours = json!({
            "canary": "true", "canary-by-header": "aurora-track", "canary-by-header-value": "canary",
            "canary-weight": "10",
        });
        let both = [stable.clone(), canary(ours)];
        for (header, expected) in [
            (None, "stable:8080 90, canary:8080 10"),
            (Some("canary"), "canary:8080 1"),
            // There is one value: any other is nobody's.
            (Some("stable"), "stable:8080 90, canary:8080 10"),
            (Some("never"), "stable:8080 90, canary:8080 10"),
        ] {
            assert_eq!(found(&both, "/predict/a", header), expected, "{header:?}");
        }
        let without_value = json!({ "canary": "true", "canary-by-header": "aurora-track", "canary-weight": "1",
            "canary-weight-total": "4" });
        let both = [canary(without_value), stable.clone()];
        for (header, expected) in [
            (None, "stable:8080 3, canary:8080 1"),
            (Some("always"), "canary:8080 1"),
            (Some("never"), "stable:8080 1"),
        ] {
            assert_eq!(found(&both, "/predict/a", header), expected, "{header:?}");
        }
        assert_eq!(found(&[stable], "/predict/a/b", Some("canary")), "stable:8080 1");
    }

    #[test]
    fn a_canary_alone_or_of_another_path_or_host_is_left_out() {
        let weighs = json!({ "canary": "true", "canary-weight": "50" });
        let stable = ingress("stable", None, "/a", &json!({}));
        assert_eq!(found(&[ingress("canary", None, "/a", &weighs)], "/a", None), "");
        for other in [
            ingress("canary", None, "/b", &weighs),
            ingress("canary", Some("h"), "/a", &weighs),
        ] {
            assert_eq!(found(&[stable.clone(), other], "/a", None), "stable:8080 1");
        }
    }
}
