//! A model's Ingresses for a controller that honours the canary annotations of ingress-nginx: one to stable, and while the
//! canary is ready a second one with its share.
//!
//! Such a controller takes one canary for a path, and letters, digits and `._-/` in it: a request can ask for the canary by
//! header, but neither for stable nor by a path with a version, and there is no path with a `:`.

use k8s_openapi::api::networking::v1::{
    HTTPIngressPath, HTTPIngressRuleValue, Ingress, IngressBackend, IngressRule, IngressServiceBackend,
    IngressSpec, IngressTLS, ServiceBackendPort,
};
use planner::names::Track;
use planner::route::Route;

use super::Split;
use super::paths::{self, PathKind};
use crate::build::intent::sealed;
use crate::build::labels::{Component, map, of_track};
use crate::build::serving::{Model, PORT_NAME};

/// Returns the Ingress to stable, and the canary's while that is ready.
pub(super) fn pair(model: &Model<'_>, route: &Route, split: &Split<'_>) -> (Ingress, Option<Ingress>) {
    let stable = ingress(model, route, Track::Stable);
    let canary = split.canary.map(|_| {
        let mut ingress = ingress(model, route, Track::Canary);
        ingress.metadata.annotations = Some(map([
            ("nginx.ingress.kubernetes.io/canary", "true"),
            ("nginx.ingress.kubernetes.io/canary-by-header", "aurora-track"),
            ("nginx.ingress.kubernetes.io/canary-by-header-value", "canary"),
            (
                "nginx.ingress.kubernetes.io/canary-weight",
                &split.canary_percent().to_string(),
            ),
        ]));
        sealed(ingress)
    });
    (sealed(stable), canary)
}

fn ingress(model: &Model<'_>, route: &Route, track: Track) -> Ingress {
    let name = match track {
        Track::Stable => model.route_name(),
        Track::Canary => format!("{}-canary", model.route_name()),
    };
    let labels = of_track(model.labels(Component::Route), track);
    Ingress {
        metadata: model.metadata(name, labels),
        spec: Some(IngressSpec {
            ingress_class_name: route.ingress_class_name.clone(),
            rules: Some(vec![IngressRule {
                host: route.host.clone(),
                http: Some(HTTPIngressRuleValue {
                    paths: paths(model, route, track),
                }),
            }]),
            tls: route.tls_secret.as_ref().map(|secret| {
                vec![IngressTLS {
                    hosts: Some(route.host.iter().cloned().collect()),
                    secret_name: Some(secret.clone()),
                }]
            }),
            default_backend: None,
        }),
        status: None,
    }
}

fn paths(model: &Model<'_>, route: &Route, track: Track) -> Vec<HTTPIngressPath> {
    let paths = paths::of_model(&model.spec.model, route).into_iter();
    let paths = paths.filter(|path| !path.value.contains(':'));
    paths
        .map(|path| HTTPIngressPath {
            path: Some(path.value),
            path_type: match path.kind {
                PathKind::Prefix => "Prefix",
                PathKind::Exact => "Exact",
            }
            .to_owned(),
            backend: IngressBackend {
                service: Some(IngressServiceBackend {
                    name: model.track_name(track),
                    port: Some(ServiceBackendPort {
                        name: Some(PORT_NAME.to_owned()),
                        number: None,
                    }),
                }),
                resource: None,
            },
        })
        .collect()
}
