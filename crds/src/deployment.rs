//! MLDeployment: what a model serves.
#![expect(
    unreachable_pub,
    reason = "the derive repeats a struct that carries rules in a scope of its own"
)]

use kube::{CustomResource, KubeSchema};
use planner::names::{Digest, ModelName, Version, Weight};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

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
    validation = rules::CANARY_DIGEST.rule()
)]
pub struct MLDeploymentSpec {
    /// The registered model. No two MLDeployments of an environment have the same.
    #[schemars(with = "String", length(min = 1, max = 40), regex(pattern = wire::NAME), title = wire::NAME_WORDS)]
    pub model_name: ModelName,

    /// What the stable track serves.
    pub stable: PinSpec,

    /// What the canary track serves, and its share. Absent: no canary.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub canary: Option<CanarySpec>,

    /// While given, nothing is changed and what serves stays: the reason, for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 256), title = "text: the reason why nothing may change")]
    pub suspend: Option<String>,
}

/// What a track serves.
#[derive(JsonSchema, Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PinSpec {
    /// The model version.
    #[schemars(with = "String", length(max = 32), regex(pattern = wire::VERSION), title = wire::VERSION_WORDS)]
    pub version: Version,

    /// The digest of the version's artifact. Absent: resolved once, by the reconciler.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String", length(max = 71), regex(pattern = wire::DIGEST), title = wire::DIGEST_WORDS)]
    pub digest: Option<Digest>,
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
}
