//! One child as it is applied, whatever its kind.

use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::autoscaling::v2::HorizontalPodAutoscaler;
use k8s_openapi::api::core::v1::{ConfigMap, Service};
use k8s_openapi::api::networking::v1::Ingress;
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use kube::Resource;
use kube::api::ApiResource;
use serde::Serialize;
use serde_json::Value;

use crate::build::INTENT;
use crate::build::gateway_api::{GRPCRoute, HTTPRoute};

/// The kinds of children.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum ChildKind {
    Deployment,
    Service,
    Budget,
    Autoscaler,
    HttpRoute,
    GrpcRoute,
    Ingress,
    ConfigMap,
}

impl ChildKind {
    pub(crate) const ALL: [Self; 8] = [
        Self::Deployment,
        Self::Service,
        Self::Budget,
        Self::Autoscaler,
        Self::HttpRoute,
        Self::GrpcRoute,
        Self::Ingress,
        Self::ConfigMap,
    ];

    /// Returns how a cluster is asked for it.
    pub(crate) fn resource(self) -> ApiResource {
        match self {
            Self::Deployment => ApiResource::erase::<Deployment>(&()),
            Self::Service => ApiResource::erase::<Service>(&()),
            Self::Budget => ApiResource::erase::<PodDisruptionBudget>(&()),
            Self::Autoscaler => ApiResource::erase::<HorizontalPodAutoscaler>(&()),
            Self::HttpRoute => ApiResource::erase::<HTTPRoute>(&()),
            Self::GrpcRoute => ApiResource::erase::<GRPCRoute>(&()),
            Self::Ingress => ApiResource::erase::<Ingress>(&()),
            Self::ConfigMap => ApiResource::erase::<ConfigMap>(&()),
        }
    }
}

/// A child's kind and name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct ChildId {
    pub(crate) kind: ChildKind,
    pub(crate) name: String,
}

impl ChildId {
    pub(crate) fn new(kind: ChildKind, name: impl Into<String>) -> Self {
        let name = name.into();
        Self { kind, name }
    }
}

impl std::fmt::Display for ChildId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}", self.kind.resource().kind, self.name)
    }
}

/// A child as it is to be.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Child {
    pub(crate) id: ChildId,
    /// The hash of all that it says.
    pub(crate) intent: String,
    /// What is applied.
    pub(crate) document: Value,
}

impl Child {
    /// Returns what a builder built as it is applied.
    pub(crate) fn of<K: Resource<DynamicType = ()> + Serialize>(kind: ChildKind, built: &K) -> Self {
        let document = serde_json::to_value(built).expect("invariant: an object of a cluster is JSON");
        let metadata = built.meta();
        let intent = metadata.annotations.as_ref().and_then(|said| said.get(INTENT));
        Self {
            id: ChildId::new(kind, metadata.name.clone().unwrap_or_default()),
            intent: intent.cloned().unwrap_or_default(),
            document,
        }
    }
}
