//! So much of the Gateway API's HTTPRoute and GRPCRoute as a model's routes say. What the server would fill in is always
//! written: an absent weight would mean 1, and not 0.

use kube::CustomResource;
use serde::{Deserialize, Serialize};

/// The API group of routes and Gateways.
pub const GROUP: &str = "gateway.networking.k8s.io";

/// What an HTTPRoute says.
#[derive(CustomResource, Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[kube(
    group = "gateway.networking.k8s.io",
    version = "v1",
    kind = "HTTPRoute",
    plural = "httproutes",
    namespaced,
    schema = "disabled",
    derive = "PartialEq"
)]
pub struct HttpRouteSpec {
    /// The Gateways that it belongs to.
    pub parent_refs: Vec<ParentRef>,
    /// The hosts; none: all that the Gateway listens to.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub hostnames: Vec<String>,
    /// Where requests go, by what matches them best.
    pub rules: Vec<Rule>,
}

/// What a GRPCRoute says.
#[derive(CustomResource, Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[kube(
    group = "gateway.networking.k8s.io",
    version = "v1",
    kind = "GRPCRoute",
    plural = "grpcroutes",
    namespaced,
    schema = "disabled",
    derive = "PartialEq"
)]
pub struct GrpcRouteSpec {
    /// The Gateways that it belongs to.
    pub parent_refs: Vec<ParentRef>,
    /// The hosts; none: all that the Gateway listens to.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub hostnames: Vec<String>,
    /// Where calls go, by what matches them best.
    pub rules: Vec<GrpcRule>,
}

/// Where some calls go.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct GrpcRule {
    /// Which calls: any of these.
    pub matches: Vec<GrpcMatch>,
    /// Where they go, by weight.
    pub backend_refs: Vec<BackendRef>,
}

/// Which calls: those with these headers, of whatever method.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct GrpcMatch {
    /// What their metadata says; none: anything.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub headers: Vec<HeaderMatch>,
}

/// A Gateway that a route belongs to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ParentRef {
    /// The Gateway's API group.
    pub group: String,
    /// `Gateway`.
    pub kind: String,
    /// Its namespace; absent: the route's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    /// Its name.
    pub name: String,
    /// The one listener that counts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub section_name: Option<String>,
}

/// Where some requests go.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Rule {
    /// Which requests: any of these.
    pub matches: Vec<Match>,
    /// Where they go, by weight.
    pub backend_refs: Vec<BackendRef>,
}

/// Which requests.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Match {
    /// Those of a path.
    pub path: PathMatch,
    /// And with these headers.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub headers: Vec<HeaderMatch>,
}

/// Requests of a path.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PathMatch {
    /// `Exact` or `PathPrefix`.
    #[serde(rename = "type")]
    pub kind: String,
    /// The path.
    pub value: String,
}

/// Requests with a header.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct HeaderMatch {
    /// `Exact`.
    #[serde(rename = "type")]
    pub kind: String,
    /// Its name.
    pub name: String,
    /// Its value.
    pub value: String,
}

/// Where requests go. No filters: gateways have applied those of one backend to the others.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct BackendRef {
    /// Empty: the core group.
    pub group: String,
    /// `Service`.
    pub kind: String,
    /// Its name.
    pub name: String,
    /// Its port.
    pub port: i32,
    /// Its share, of the sum of all.
    pub weight: i32,
}
