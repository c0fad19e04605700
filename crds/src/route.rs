//! How requests from outside a cluster reach a model. One process splits by itself and has no use for any of it.
#![expect(
    unreachable_pub,
    reason = "the derive repeats a struct that carries rules in a scope of its own"
)]

use kube::KubeSchema;
use planner::route::Provider;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{rules, wire};

/// What carries requests to the tracks in a cluster; in one process without effect.
#[derive(KubeSchema, Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[x_kube(
    validation = rules::PATH_OF_ROUTE.rule(),
    validation = rules::HOST_OF_ROUTE.rule(),
    validation = rules::GATEWAY_OF_ROUTE.rule(),
    validation = rules::CLASS_OF_ROUTE.rule(),
    validation = rules::SECRET_OF_ROUTE.rule(),
    validation = rules::SECRET_OF_HOST.rule(),
    validation = rules::GRPC_OF_ROUTE.rule(),
    validation = rules::HOST_OF_GRPC.rule(),
    validation = rules::GATEWAY_OF_GRPC.rule(),
    validation = rules::LISTENER_OF_GRPC.rule()
)]
pub struct RouteSpec {
    /// GatewayApi: an HTTPRoute. IngressNginx: Ingresses with canary annotations. Aurora: a router of our own, with an
    /// exact split. None: each track has its Service, and whoever asks chooses one.
    #[serde(default)]
    #[schemars(with = "ProviderName")]
    pub provider: Provider,

    /// The beginning of the paths that are the model's on its host. Absent: the paths that name the model.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 256), regex(pattern = wire::PREFIX), title = wire::PREFIX_WORDS)]
    pub path: Option<String>,

    /// The host. Absent: whatever the gateway listens to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253), regex(pattern = wire::HOST), title = wire::HOST_WORDS)]
    pub host: Option<String>,

    /// The Gateway of provider GatewayApi. Absent: the installation's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gateway: Option<GatewaySpec>,

    /// The class of provider IngressNginx. Absent: the cluster's default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253), regex(pattern = wire::SUBDOMAIN), title = wire::SUBDOMAIN_WORDS)]
    pub ingress_class_name: Option<String>,

    /// The Secret with the host's certificate, of provider IngressNginx. Absent: no TLS.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253), regex(pattern = wire::SUBDOMAIN), title = wire::SUBDOMAIN_WORDS)]
    pub tls_secret: Option<String>,

    /// Calls by gRPC, beside the other requests. Absent: none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub grpc: Option<GrpcSpec>,
}

/// How calls by gRPC reach the tracks.
#[derive(JsonSchema, Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct GrpcSpec {
    /// The host, where what has no metadata `aurora-model` is the model's. Absent: any, by the metadata alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253), regex(pattern = wire::HOST), title = wire::HOST_WORDS)]
    pub host: Option<String>,

    /// The Gateway of provider GatewayApi. Absent: that of the other requests.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gateway: Option<GatewaySpec>,
}

/// A Gateway.
#[derive(JsonSchema, Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct GatewaySpec {
    /// Its name.
    #[schemars(length(min = 1, max = 253), regex(pattern = wire::SUBDOMAIN), title = wire::SUBDOMAIN_WORDS)]
    pub name: String,

    /// Its namespace. Absent: the model's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63), regex(pattern = wire::LABEL), title = wire::LABEL_WORDS)]
    pub namespace: Option<String>,

    /// The one listener of it that counts. Absent: all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253), regex(pattern = wire::SUBDOMAIN), title = wire::SUBDOMAIN_WORDS)]
    pub section_name: Option<String>,
}

/// The names of [`Provider`], for the schema.
#[derive(JsonSchema)]
#[expect(
    dead_code,
    reason = "only its schema is used: the planner's own types know no schema"
)]
enum ProviderName {
    GatewayApi,
    IngressNginx,
    Aurora,
    None,
}
