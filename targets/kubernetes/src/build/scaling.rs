//! How many replicas a track has: what an eviction must leave, and by what their number follows the load.

use k8s_openapi::api::autoscaling::v2::{
    CrossVersionObjectReference, HorizontalPodAutoscaler, HorizontalPodAutoscalerSpec, MetricSpec,
    MetricTarget, ResourceMetricSource,
};
use k8s_openapi::api::policy::v1::{PodDisruptionBudget, PodDisruptionBudgetSpec};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use planner::deployment::Autoscaling;
use planner::names::Track;

use super::intent::sealed;
use super::labels::{Component, of_track, selector, selects_track};
use super::serving::{Model, count};

/// Returns what an eviction must leave of a track with so many replicas. One replica has no budget: it could never be
/// evicted, or go without one that answers.
pub fn budget(model: &Model<'_>, track: Track, replicas: u32) -> Option<PodDisruptionBudget> {
    let labels = of_track(model.labels(Component::Serving), track);
    (replicas >= 2).then(|| {
        sealed(PodDisruptionBudget {
            metadata: model.metadata(model.track_name(track), labels),
            spec: Some(PodDisruptionBudgetSpec {
                max_unavailable: Some(IntOrString::Int(1)),
                min_available: None,
                selector: Some(selector(selects_track(model.owner, track))),
                // A pod that answers nothing keeps no node from being emptied.
                unhealthy_pod_eviction_policy: Some("AlwaysAllow".to_owned()),
            }),
            status: None,
        })
    })
}

/// Returns what scales stable, where the manifest says by what.
pub fn autoscaler(model: &Model<'_>) -> Option<HorizontalPodAutoscaler> {
    let Autoscaling {
        min_replicas,
        max_replicas,
        target_cpu_percent,
    } = model.spec.autoscaling?;
    let labels = of_track(model.labels(Component::Serving), Track::Stable);
    let name = model.track_name(Track::Stable);
    Some(sealed(HorizontalPodAutoscaler {
        metadata: model.metadata(name.clone(), labels),
        spec: HorizontalPodAutoscalerSpec {
            scale_target_ref: CrossVersionObjectReference {
                api_version: Some("apps/v1".to_owned()),
                kind: "Deployment".to_owned(),
                name,
            },
            min_replicas: Some(count(min_replicas)),
            max_replicas: count(max_replicas),
            metrics: Some(vec![MetricSpec {
                type_: "Resource".to_owned(),
                resource: Some(ResourceMetricSource {
                    name: "cpu".to_owned(),
                    target: MetricTarget {
                        type_: "Utilization".to_owned(),
                        average_utilization: Some(i32::from(target_cpu_percent)),
                        ..MetricTarget::default()
                    },
                }),
                ..MetricSpec::default()
            }]),
            behavior: None,
        },
        status: None,
    }))
}
