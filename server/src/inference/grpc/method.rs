//! The calls that there are, by their paths.

use strum::{EnumCount, EnumString, IntoStaticStr, VariantArray};

use crate::http::gate::{Audience, Demands, Methods};
use crate::metrics::{Metrics, Page, RouteMeters};

/// A call; its path is the label `route`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, EnumCount, EnumString, IntoStaticStr, VariantArray)]
pub(super) enum Method {
    #[strum(serialize = "/inference.GRPCInferenceService/ServerLive")]
    ServerLive,
    #[strum(serialize = "/inference.GRPCInferenceService/ServerReady")]
    ServerReady,
    #[strum(serialize = "/inference.GRPCInferenceService/ServerMetadata")]
    ServerMetadata,
    #[strum(serialize = "/inference.GRPCInferenceService/ModelReady")]
    ModelReady,
    #[strum(serialize = "/inference.GRPCInferenceService/ModelMetadata")]
    ModelMetadata,
    #[strum(serialize = "/inference.GRPCInferenceService/ModelInfer")]
    ModelInfer,
    #[strum(serialize = "/inference.GRPCInferenceService/ModelConfig")]
    ModelConfig,
    #[strum(serialize = "/inference.GRPCInferenceService/ModelStatistics")]
    ModelStatistics,
    #[strum(serialize = "/inference.GRPCInferenceService/RepositoryIndex")]
    RepositoryIndex,
    #[strum(serialize = "/inference.GRPCInferenceService/RepositoryModelLoad")]
    RepositoryModelLoad,
    #[strum(serialize = "/inference.GRPCInferenceService/RepositoryModelUnload")]
    RepositoryModelUnload,
    #[strum(serialize = "/grpc.health.v1.Health/Check")]
    HealthCheck,
    #[strum(serialize = "/grpc.health.v1.Health/Watch")]
    HealthWatch,
    #[strum(serialize = "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo")]
    ReflectionV1,
    #[strum(serialize = "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo")]
    ReflectionV1Alpha,
    #[strum(serialize = "unknown")]
    Unknown,
}

impl Method {
    pub(super) fn of(path: &str) -> Self {
        path.parse().unwrap_or(Self::Unknown)
    }

    /// Builds the meters of each call, in the order of the variants.
    pub(super) fn meters(metrics: &Metrics) -> [RouteMeters; Self::COUNT] {
        std::array::from_fn(|at| metrics.route(Page::Inference, "POST", Self::VARIANTS[at].into()))
    }

    /// Says whether messages are taken and sent as they come.
    pub(super) const fn is_stream(self) -> bool {
        matches!(self, Self::ReflectionV1 | Self::ReflectionV1Alpha)
    }

    /// Returns what the path asks of a call.
    pub(super) fn demands(self) -> Demands {
        let audience = match self {
            Self::ServerLive | Self::ServerReady | Self::HealthCheck | Self::HealthWatch => Audience::Probes,
            _ => Audience::Keys,
        };
        let methods = match self {
            Self::Unknown => Methods::None,
            _ => Methods::Call,
        };
        Demands { audience, methods }
    }
}
