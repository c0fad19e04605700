//! MLDeployment: what a model serves.
#![expect(
    unreachable_pub,
    reason = "the derive repeats a struct that carries rules in a scope of its own"
)]

use kube::{CustomResource, KubeSchema};
use planner::engine::Engine;
use planner::names::{Digest, ModelName, Version, Weight};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::pod::PodSpec;
use crate::route::RouteSpec;
use crate::status::MLDeploymentStatus;
use crate::{rules, wire};

/// What a model serves: the version of the stable track and, while one is tried, of the canary.
#[derive(CustomResource, KubeSchema, Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[kube(
    group = "aurora.io",
    version = "v1alpha1",
    kind = "MLDeployment",
    plural = "mldeployments",
    shortname = "mld",
    category = "aurora",
    namespaced,
    status = "MLDeploymentStatus",
    derive = "PartialEq",
    doc = "What a model serves: versions, and the canary's share of the traffic.",
    selectable = ".spec.modelName",
    printcolumn(name = "Model", type_ = "string", json_path = ".spec.modelName"),
    printcolumn(name = "Stable", type_ = "string", json_path = ".status.stable.version"),
    printcolumn(name = "Canary", type_ = "string", json_path = ".status.canary.version"),
    printcolumn(name = "Weight", type_ = "integer", json_path = ".status.weight"),
    printcolumn(name = "State", type_ = "string", json_path = ".status.state"),
    printcolumn(
        name = "Ready",
        type_ = "string",
        json_path = ".status.conditions[?(@.type==\"Ready\")].status"
    ),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[x_kube(
    validation = rules::CANARY_VERSION.rule(),
    validation = rules::CANARY_DIGEST.rule(),
    validation = rules::WEIGHT_WITHOUT_ROUTE.rule(),
    validation = rules::REJECTED_STABLE.rule(),
    validation = rules::REJECTED_CANARY.rule()
)]
pub struct MLDeploymentSpec {
    /// The registered model. No two MLDeployments of an environment have the same.
    #[schemars(with = "String", length(min = 1, max = 40), regex(pattern = wire::NAME), title = wire::NAME_WORDS)]
    pub model_name: ModelName,

    /// What the stable track serves.
    pub stable: StableSpec,

    /// What the canary track serves, and its share. Absent: no canary.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub canary: Option<CanarySpec>,

    /// By what the number of stable's replicas in a cluster follows the load. Absent: it does not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub autoscaling: Option<AutoscalingSpec>,

    /// Settings of the pods in a cluster.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pod: Option<PodSpec>,

    /// How requests reach the model in a cluster. Absent: by a route of the Gateway API.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub route: Option<RouteSpec>,

    /// What versions may be evaluated by, beside Aurora's own engine. Absent: by nothing.
    #[serde(default, skip_serializing_if = "Engine::is_own")]
    #[schemars(with = "wire::EngineName")]
    pub engine: Engine,

    /// While given, nothing is changed and what serves stays: the reason, for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 256), title = "text: the reason why nothing may change")]
    pub suspend: Option<String>,

    /// The versions that were found wanting: none of them may be pinned until its line here is lifted.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "wire::versions")]
    pub rejected: Vec<Version>,

    /// The versions that may break clients of the present stable, where the environment's gates would refuse them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "wire::versions")]
    pub allow_breaking: Vec<Version>,
}

/// What stable serves.
#[derive(JsonSchema, Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct StableSpec {
    /// The model version.
    #[schemars(with = "String", length(max = 32), regex(pattern = wire::VERSION), title = wire::VERSION_WORDS)]
    pub version: Version,

    /// The digest of the version's artifact. Absent: resolved once, by the reconciler.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String", length(max = 71), regex(pattern = wire::DIGEST), title = wire::DIGEST_WORDS)]
    pub digest: Option<Digest>,

    /// How many replicas it has in a cluster; with `autoscaling`, how many it begins with. In one process there is one.
    #[serde(default = "stable_replicas")]
    #[schemars(range(min = 1, max = 1000), title = "a whole number from 1 to 1000")]
    pub replicas: u32,
}

fn stable_replicas() -> u32 {
    planner::deployment::STABLE_REPLICAS
}

/// What the canary serves, and its share of the traffic.
#[derive(JsonSchema, Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct CanarySpec {
    /// The model version.
    #[schemars(with = "String", length(max = 32), regex(pattern = wire::VERSION), title = wire::VERSION_WORDS)]
    pub version: Version,

    /// The digest of the version's artifact. Absent: resolved once, by the reconciler.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String", length(max = 71), regex(pattern = wire::DIGEST), title = wire::DIGEST_WORDS)]
    pub digest: Option<Digest>,

    /// Percent of requests to the canary: the ceiling; while the canary is not ready, it gets none.
    #[schemars(
        with = "u8",
        range(min = 0, max = 100),
        title = "a whole percent from 0 to 100"
    )]
    pub weight: Weight,

    /// How many replicas it has at least in a cluster: there are more where its share of the traffic needs more. In one
    /// process there is one.
    #[serde(default = "canary_replicas")]
    #[schemars(range(min = 1, max = 1000), title = "a whole number from 1 to 1000")]
    pub replicas: u32,
}

fn canary_replicas() -> u32 {
    planner::deployment::CANARY_REPLICAS
}

/// By what the number of replicas follows the load.
#[derive(KubeSchema, Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[x_kube(validation = rules::REPLICAS_IN_ORDER.rule())]
pub struct AutoscalingSpec {
    /// There are never fewer.
    #[schemars(range(min = 1, max = 1000), title = "a whole number from 1 to 1000")]
    pub min_replicas: u32,

    /// There are never more.
    #[schemars(range(min = 1, max = 1000), title = "a whole number from 1 to 1000")]
    pub max_replicas: u32,

    /// The percent of the CPU time asked for that is aimed at.
    #[serde(rename = "targetCPUPercent")]
    #[schemars(range(min = 1, max = 1000), title = "a whole percent from 1 to 1000")]
    pub target_cpu_percent: u16,
}
