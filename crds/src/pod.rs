//! What a manifest says of the pods that a cluster runs for it. One process has no use for any of it.
#![expect(
    unreachable_pub,
    reason = "the derive repeats a struct that carries rules in a scope of its own"
)]

use std::collections::BTreeMap;

use kube::KubeSchema;
use planner::pod::{TaintEffect, TolerationOperator};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{rules, wire};

/// Settings of the pods in a cluster; in one process without effect.
#[derive(KubeSchema, Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[x_kube(
    validation = rules::LABELS_OF_AURORA.rule(),
    validation = rules::LABEL_NAMES.rule(),
    validation = rules::NODE_LABEL_NAMES.rule(),
    validation = rules::VARIABLES_OF_AURORA.rule()
)]
pub struct PodSpec {
    /// What a container asks for, and at most gets.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resources: Option<ResourcesSpec>,

    /// The labels that a node must have.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(
        with = "BTreeMap<String, LabelValue>",
        extend("maxProperties" = 16),
        title = "at most 16 labels"
    )]
    pub node_selector: BTreeMap<String, String>,

    /// The taints of a node that do not matter.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16), title = "a list of at most 16 tolerations")]
    pub tolerations: Vec<TolerationSpec>,

    /// The Secrets with which images are fetched.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(
        length(max = 8),
        title = "a list of at most 8 Secrets",
        extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"])
    )]
    pub image_pull_secrets: Vec<SecretSpec>,

    /// Labels beside Aurora's own.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(
        with = "BTreeMap<String, LabelValue>",
        extend("maxProperties" = 16),
        title = "at most 16 labels"
    )]
    pub labels: BTreeMap<String, String>,

    /// Environment variables beside Aurora's own.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(
        length(max = 32),
        title = "a list of at most 32 variables",
        extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"])
    )]
    pub env: Vec<VariableSpec>,
}

/// What a container asks for, and at most gets.
#[derive(KubeSchema, Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[x_kube(
    validation = rules::REQUESTED_RESOURCES.rule(),
    validation = rules::LIMITED_RESOURCES.rule()
)]
pub struct ResourcesSpec {
    /// What a node must have free: quantities by `cpu`, `memory`, `ephemeral-storage` or a device's name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(
        with = "BTreeMap<String, Quantity>",
        extend("maxProperties" = 8),
        title = "at most 8 quantities"
    )]
    pub requests: BTreeMap<String, String>,

    /// What may be used at most.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(
        with = "BTreeMap<String, Quantity>",
        extend("maxProperties" = 8),
        title = "at most 8 quantities"
    )]
    pub limits: BTreeMap<String, String>,
}

/// A taint of a node that does not matter.
#[derive(KubeSchema, Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[x_kube(
    validation = rules::TOLERATION_OF_ALL.rule(),
    validation = rules::TOLERATION_VALUE.rule(),
    validation = rules::TOLERATION_SECONDS.rule()
)]
pub struct TolerationSpec {
    /// The taint's key. Absent, with the operator Exists: every taint.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 317), regex(pattern = wire::LABEL_NAME), title = wire::LABEL_NAME_WORDS)]
    pub key: Option<String>,

    /// What of the taint is compared: its value, or that it is there.
    #[serde(default = "equal")]
    #[schemars(with = "OperatorName")]
    pub operator: TolerationOperator,

    /// The taint's value.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 63), regex(pattern = wire::LABEL_VALUE), title = wire::LABEL_VALUE_WORDS)]
    pub value: Option<String>,

    /// What the taint does. Absent: whatever it does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "EffectName")]
    pub effect: Option<TaintEffect>,

    /// For how long a taint that evicts does not matter. Absent: for ever.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(
        range(min = 0, max = 604_800),
        title = "whole seconds from 0 to 604800 (a week)"
    )]
    pub toleration_seconds: Option<u32>,
}

fn equal() -> TolerationOperator {
    TolerationOperator::Equal
}

/// A Secret of the namespace.
#[derive(JsonSchema, Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SecretSpec {
    /// Its name.
    #[schemars(length(min = 1, max = 253), regex(pattern = wire::SUBDOMAIN), title = wire::SUBDOMAIN_WORDS)]
    pub name: String,
}

/// An environment variable.
#[derive(JsonSchema, Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct VariableSpec {
    /// Its name.
    #[schemars(length(min = 1, max = 128), regex(pattern = wire::VARIABLE), title = wire::VARIABLE_WORDS)]
    pub name: String,

    /// Its value, as it is.
    #[schemars(length(max = 4096), title = "text of at most 4096 characters")]
    pub value: String,
}

/// A label's value, for the schema.
#[derive(JsonSchema)]
#[schemars(transparent)]
#[expect(dead_code, reason = "only its schema is used")]
struct LabelValue(
    #[schemars(length(max = 63), regex(pattern = wire::LABEL_VALUE), title = wire::LABEL_VALUE_WORDS)] String,
);

/// A quantity, for the schema.
#[derive(JsonSchema)]
#[schemars(transparent)]
#[expect(dead_code, reason = "only its schema is used")]
struct Quantity(
    #[schemars(length(min = 1, max = 32), regex(pattern = wire::QUANTITY), title = wire::QUANTITY_WORDS)]
    String,
);

/// The names of [`TolerationOperator`], for the schema.
#[derive(JsonSchema)]
#[expect(
    dead_code,
    reason = "only its schema is used: the planner's own types know no schema"
)]
enum OperatorName {
    Equal,
    Exists,
}

/// The names of [`TaintEffect`], for the schema.
#[derive(JsonSchema)]
#[expect(
    dead_code,
    reason = "only its schema is used: the planner's own types know no schema"
)]
enum EffectName {
    NoSchedule,
    PreferNoSchedule,
    NoExecute,
}
