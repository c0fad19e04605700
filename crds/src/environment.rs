//! MLEnvironment: what holds for all models of a folder.
#![expect(
    unreachable_pub,
    reason = "the derive repeats a struct that carries rules in a scope of its own"
)]

use kube::{CustomResource, KubeSchema};
use planner::endpoint::Url;
use planner::names::Revision;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::commits::CommitsSpec;
use crate::models::ModelsSpec;
use crate::notify::NotifySpec;
use crate::policy::{GatesSpec, PromotionSpec, WindowSpec};
use crate::status::MLEnvironmentStatus;
use crate::{rules, wire};

/// What holds for all models of an environment. Exactly one per environment, named like its folder.
#[derive(CustomResource, KubeSchema, Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[kube(
    group = "aurora.io",
    version = "v1alpha1",
    kind = "MLEnvironment",
    plural = "mlenvironments",
    shortname = "mle",
    category = "aurora",
    namespaced,
    status = "MLEnvironmentStatus",
    derive = "PartialEq",
    doc = "What holds for all models of an environment; its status is the report of the last pass.",
    printcolumn(name = "Target", type_ = "string", json_path = ".spec.target"),
    printcolumn(name = "Revision", type_ = "string", json_path = ".status.appliedRevision"),
    printcolumn(name = "Findings", type_ = "integer", json_path = ".status.counts.findings"),
    printcolumn(
        name = "Ready",
        type_ = "string",
        json_path = ".status.conditions[?(@.type==\"Ready\")].status"
    ),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[x_kube(
    validation = rules::NAMESPACE_OF_ONE_PROCESS.rule(),
    validation = rules::NAMESPACE_OF_CLUSTER.rule(),
    validation = rules::DRIFT_OF_ONE_PROCESS.rule(),
    validation = rules::REGISTRY_OF_CLUSTER.rule()
)]
pub struct MLEnvironmentSpec {
    /// Where models serve.
    pub target: Target,

    /// The namespace of all that the environment has in a cluster.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63), regex(pattern = wire::LABEL), title = wire::LABEL_WORDS)]
    pub namespace: Option<String>,

    /// Whose signature a commit needs that touches the environment's folder. Absent: nobody's. A change counts from the next
    /// commit on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub commits: Option<CommitsSpec>,

    /// Whose signature the versions need that it serves. Absent: nobody's. A change counts from the next commit on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub models: Option<ModelsSpec>,

    /// What happens to an object or an alias that somebody else changed.
    #[serde(default)]
    pub drift: DriftPolicy,

    /// While given, nothing in the environment is changed: the reason, for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 256), title = "text: the reason why nothing may change")]
    pub suspend: Option<String>,

    /// Who is told of what happens.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 10), title = "a list of at most 10 receivers")]
    pub notify: Vec<NotifySpec>,

    /// Where model versions are kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub registry: Option<RegistrySpec>,

    /// How much one commit may remove.
    #[serde(default)]
    pub removal: RemovalSpec,

    /// When a commit may raise what a version is exposed to. A change counts from the next commit on.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 20), title = "a list of at most 20 windows")]
    pub windows: Vec<WindowSpec>,

    /// What is demanded of a raise besides. Absent: nothing. A change counts from the next commit on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gates: Option<GatesSpec>,

    /// Through which environment versions come before this one. Absent: through none. A change counts from the next commit
    /// on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub promotion: Option<PromotionSpec>,
}

/// Where models serve.
#[derive(JsonSchema, Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Target {
    /// In one process that reconciles, trains and serves.
    Standalone,
    /// In a cluster.
    Kubernetes,
}

/// What happens to an object or an alias that somebody else changed.
#[derive(JsonSchema, Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum DriftPolicy {
    /// It is made again what Git says.
    #[default]
    Correct,
    /// It is reported and stays until the commit changes the model.
    Warn,
    /// It stays until the commit changes the model.
    Off,
}

/// Where model versions are kept.
#[derive(KubeSchema, Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[x_kube(
    validation = rules::REGISTRY_PARTS.rule(),
    validation = rules::REGISTRY_KIND.rule(),
    validation = rules::KEY_OF_UPSTREAM.rule()
)]
pub struct RegistrySpec {
    /// The store's folder. Relative: below the data directory. Absent: `registry` there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 1024), regex(pattern = wire::PATH), title = wire::PATH_WORDS)]
    pub path: Option<String>,

    /// The control plane of another environment, from whose registry a version is imported that is pinned with its digest
    /// and is not in this one. Absent: nothing is imported.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String", length(max = 512), regex(pattern = wire::URL), title = wire::URL_WORDS)]
    pub upstream: Option<Url>,

    /// The file with the key for that control plane, below a `--key-root` of the process. Absent: it asks for none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1024), regex(pattern = wire::FILE), title = wire::FILE_WORDS)]
    pub key_file: Option<String>,
}

/// How many models one commit may stop to serve, however they go. One is always within the limits, with its jobs.
#[derive(JsonSchema, Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct RemovalSpec {
    /// At most so many models.
    #[schemars(range(min = 0, max = 1_000_000), title = "a whole number from 0 to 1000000")]
    pub max_count: u32,

    /// At most so many percent of the models that are served.
    #[schemars(range(min = 0, max = 100), title = "a whole percent from 0 to 100")]
    pub max_percent: u8,

    /// The commit whose removals are allowed, however many: its id in full, in quotes.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String", length(max = 64), regex(pattern = wire::REVISION), title = wire::REVISION_WORDS)]
    pub allow: Option<Revision>,
}

impl Default for RemovalSpec {
    fn default() -> Self {
        let planner::environment::RemovalLimits {
            max_count,
            max_percent,
            allow,
        } = planner::environment::RemovalLimits::default();
        Self {
            max_count,
            max_percent,
            allow,
        }
    }
}
