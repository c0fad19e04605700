//! How requests from outside a cluster reach a model. One process splits by itself and has no use for any of it.

use serde::{Deserialize, Serialize};

/// What carries requests to the tracks of a model, in the proportion of the live weight.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Route {
    /// What carries them.
    pub provider: Provider,
    /// The beginning of the paths that are the model's on its host; absent: the paths that name the model.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// The host; absent: whatever the gateway listens to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
    /// The Gateway; absent: the installation's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gateway: Option<Gateway>,
    /// The class of the Ingress; absent: the cluster's default.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ingress_class_name: Option<String>,
    /// The Secret with the host's certificate.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tls_secret: Option<String>,
    /// How calls by gRPC reach it; absent: not at all.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub grpc: Option<Grpc>,
}

/// How calls by gRPC reach a model, beside its other requests. A Gateway's listener has each host for one of both alone.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Grpc {
    /// The host, where what names no model in its metadata is this one's; absent: any, by the metadata alone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
    /// The Gateway; absent: that of the other requests.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gateway: Option<Gateway>,
}

/// What carries requests.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Provider {
    /// A route of the Gateway API.
    #[default]
    GatewayApi,
    /// A pair of Ingresses with the canary annotations of ingress-nginx.
    IngressNginx,
    /// Aurora's own router, the one with an exact split.
    Aurora,
    /// Nothing: each track has its Service, and whoever asks chooses one.
    None,
}

impl Provider {
    /// All, in the order in which documentation lists them.
    pub const ALL: [Self; 4] = [Self::GatewayApi, Self::IngressNginx, Self::Aurora, Self::None];

    /// Returns the name that a manifest gives it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::GatewayApi => "GatewayApi",
            Self::IngressNginx => "IngressNginx",
            Self::Aurora => "Aurora",
            Self::None => "None",
        }
    }
}

/// A Gateway that a route belongs to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Gateway {
    /// Its name.
    pub name: String,
    /// Its namespace; absent: the model's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    /// The one listener of it that counts; absent: all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub section_name: Option<String>,
}
