//! Aurora's own router in front of a model: two pods that read from a ConfigMap what share the canary has, and from the
//! cluster who is ready. The ConfigMap alone changes with the weight, so that no pod is replaced for it.

use k8s_openapi::api::apps::v1::{Deployment, DeploymentSpec, DeploymentStrategy, RollingUpdateDeployment};
use k8s_openapi::api::core::v1::{ConfigMap, Container, PodSpec, PodTemplateSpec};
use k8s_openapi::api::policy::v1::{PodDisruptionBudget, PodDisruptionBudgetSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use planner::names::Track;
use planner::pod::Pod;
use serde_json::json;

use super::{Router, Split};
use crate::build::intent::sealed;
use crate::build::labels::{Component, map, selector, selects_router};
use crate::build::pod;
use crate::build::serving::{GRACE_SECONDS, Model, PORT, in_front, leaving, liveness, readiness};
use crate::router::KEY;

/// How many pods route: one may be gone.
const REPLICAS: i32 = 2;
/// The ServiceAccount of all routers of an installation, which may read ConfigMaps and EndpointSlices.
const SERVICE_ACCOUNT: &str = "aurora-router";

/// Returns the router of a model.
pub(super) fn router(model: &Model<'_>, split: &Split<'_>) -> Router {
    let labels = model.labels(Component::Route);
    let name = model.route_name();
    Router {
        weights: weights(model, split),
        deployment: deployment(model),
        service: in_front(model, name.clone(), labels.clone(), selects_router(model.owner)),
        budget: sealed(PodDisruptionBudget {
            metadata: model.metadata(name, labels),
            spec: Some(PodDisruptionBudgetSpec {
                max_unavailable: Some(IntOrString::Int(1)),
                min_available: None,
                selector: Some(selector(selects_router(model.owner))),
                unhealthy_pod_eviction_policy: Some("AlwaysAllow".to_owned()),
            }),
            status: None,
        }),
    }
}

/// What a router is told: the Services of the tracks, what version each serves, and the canary's share.
fn weights(model: &Model<'_>, split: &Split<'_>) -> ConfigMap {
    let track = |track, version: &_| json!({ "service": model.track_name(track), "version": version });
    let told = json!({
        "model": model.spec.model,
        "weight": split.canary_percent(),
        "stable": track(Track::Stable, split.stable),
        "canary": split.canary.map(|version| track(Track::Canary, version)),
    });
    sealed(ConfigMap {
        metadata: model.metadata(model.route_name(), model.labels(Component::Route)),
        data: Some(map([(KEY, &told.to_string())])),
        ..ConfigMap::default()
    })
}

fn deployment(model: &Model<'_>) -> Deployment {
    let labels = model.labels(Component::Route);
    let given = pod::given(model.spec.pod.as_deref());
    sealed(Deployment {
        metadata: model.metadata(model.route_name(), labels.clone()),
        spec: Some(DeploymentSpec {
            replicas: Some(REPLICAS),
            selector: selector(selects_router(model.owner)),
            strategy: Some(DeploymentStrategy {
                type_: Some("RollingUpdate".to_owned()),
                rolling_update: Some(RollingUpdateDeployment {
                    max_unavailable: Some(IntOrString::Int(0)),
                    max_surge: Some(IntOrString::Int(1)),
                }),
            }),
            revision_history_limit: Some(2),
            template: PodTemplateSpec {
                metadata: Some(ObjectMeta {
                    labels: Some(pod::labels(&given, labels)),
                    annotations: Some(map([
                        ("prometheus.io/scrape", "true"),
                        ("prometheus.io/port", &PORT.to_string()),
                        ("prometheus.io/path", "/metrics"),
                    ])),
                    ..ObjectMeta::default()
                }),
                spec: Some(pod_spec(model, &given)),
            },
            ..DeploymentSpec::default()
        }),
        status: None,
    })
}

fn pod_spec(model: &Model<'_>, given: &Pod) -> PodSpec {
    // What the manifest says of resources and variables is for the pods that serve.
    let of_router = Pod::default();
    let flags = [
        ("namespace", model.installation.namespace.clone()),
        ("config-map", model.route_name()),
        ("inference", format!(":{PORT}")),
    ];
    let flags = flags.into_iter().chain(model.grpc_flag());
    let flags = flags.map(|(flag, value)| format!("--{flag}={value}"));
    let args = ["router".to_owned()].into_iter().chain(flags);
    PodSpec {
        service_account_name: Some(SERVICE_ACCOUNT.to_owned()),
        automount_service_account_token: Some(true),
        containers: vec![Container {
            name: "aurora".to_owned(),
            image: Some(model.installation.image.clone()),
            args: Some(args.chain(["--insecure-inference".to_owned()]).collect()),
            env: pod::env(&of_router, [("AURORA_OUTPUT", "json".to_owned())]),
            ports: Some(model.container_ports()),
            resources: Some(pod::resources(&of_router)),
            security_context: Some(pod::confined()),
            readiness_probe: Some(readiness()),
            liveness_probe: Some(liveness()),
            lifecycle: Some(leaving()),
            ..Container::default()
        }],
        ..pod::bare(given, GRACE_SECONDS)
    }
}
