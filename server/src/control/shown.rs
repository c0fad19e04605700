//! What the control plane's answers hold. Their schemas, which `/openapi.json` shows, are made of these types.

use std::collections::BTreeMap;

use planner::Timestamp;
use planner::names::{Digest, ModelName, Track, Version};
use registry::metadata::{Baseline, DatasetRecord, Lineage};
use registry::{Description, HistoryEntry};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// That it answers.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct Health {
    pub(super) status: &'static str,
    pub(super) service: &'static str,
}

/// What answers.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct PlatformInfo {
    pub(super) platform: &'static str,
    /// Of the API.
    pub(super) version: &'static str,
    pub(super) control_plane: bool,
    /// The version of Aurora.
    pub(super) aurora: &'static str,
}

/// Every registered model.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct Models {
    pub(super) models: Vec<ListedModel>,
}

/// One model of the list; what is wrong with one does not hide the others.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(untagged)]
pub(super) enum ListedModel {
    Known(ModelSummary),
    Unreadable {
        #[schemars(with = "String")]
        name: ModelName,
        /// Why nothing more is known of it.
        error: String,
    },
}

/// A model with its aliases and newest versions.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct ModelSummary {
    #[schemars(with = "String")]
    pub(super) name: ModelName,
    pub(super) aliases: Aliases,
    /// How many there are.
    pub(super) versions_count: usize,
    /// At most 20, the newest first.
    #[schemars(with = "Vec<String>")]
    pub(super) versions: Vec<Version>,
}

/// The version that each alias names; `null` where the alias is broken.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(transparent)]
pub(super) struct Aliases(
    #[schemars(with = "BTreeMap<String, Option<String>>")] pub(super) BTreeMap<Track, Option<Version>>,
);

/// One model: its aliases, a page of its versions, and the end of its history.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct Model {
    #[schemars(with = "String")]
    pub(super) name: ModelName,
    pub(super) aliases: Aliases,
    /// How many there are.
    pub(super) versions_count: usize,
    /// The newest first.
    pub(super) versions: Vec<ModelVersion>,
    /// What to give as `before` for the next page; `null` on the last.
    #[schemars(with = "Option<String>")]
    pub(super) next: Option<Version>,
    /// The newest 50 entries, the oldest first.
    pub(super) history: Vec<HistoryEntry>,
}

/// One version of a page; what is wrong with one does not hide the others.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(untagged)]
pub(super) enum ModelVersion {
    Known(Box<VersionSummary>),
    Unreadable {
        #[schemars(with = "String")]
        version: Version,
        /// Why nothing more is known of it.
        error: String,
    },
}

/// A version: what it is, how good it is, and where it comes from.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct VersionSummary {
    #[schemars(with = "String")]
    pub(super) version: Version,
    #[schemars(with = "String")]
    pub(super) digest: Digest,
    /// Of the artifact.
    pub(super) bytes: u64,
    #[schemars(with = "String")]
    pub(super) trained_at: Timestamp,
    pub(super) framework: String,
    pub(super) algorithm: String,
    /// On its holdout, by name; `null` of a version that nobody evaluated.
    pub(super) metrics: Option<BTreeMap<String, f64>>,
    /// What the pinned stable reached on the same holdout.
    pub(super) baseline: Option<Baseline>,
    /// `null` of a version that was made of data which nobody knows.
    pub(super) dataset: Option<DatasetRecord>,
    pub(super) lineage: Lineage,
    /// What people say of it.
    pub(super) description: Description,
}

/// The machines.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct Nodes {
    /// `null` where they are not known.
    pub(super) nodes: Option<Vec<Node>>,
    /// Why they are not known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) unknown: Option<String>,
}

/// One machine; quantities are written as Kubernetes writes them.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub(super) struct Node {
    name: Option<String>,
    ready: bool,
    roles: Vec<String>,
    version: Option<String>,
    capacity: BTreeMap<String, Option<String>>,
    allocatable: BTreeMap<String, Option<String>>,
}

/// Where volumes come from.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct StorageClasses {
    /// `null` where they are not known.
    pub(super) classes: Option<Vec<StorageClass>>,
    /// Why they are not known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) unknown: Option<String>,
    pub(super) volume: Space,
}

/// One class of storage.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub(super) struct StorageClass {
    name: Option<String>,
    provisioner: String,
    default: bool,
    expansion: bool,
    binding_mode: String,
}

/// What claims storage.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct StorageVolumes {
    /// `null` where they are not known.
    pub(super) volumes: Option<Vec<Claim>>,
    /// Why they are not known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) unknown: Option<String>,
    pub(super) registry: Space,
}

/// One claim of storage; quantities are written as Kubernetes writes them.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub(super) struct Claim {
    name: Option<String>,
    class: Option<String>,
    /// The volume that it is bound to.
    volume: Option<String>,
    phase: Option<String>,
    requested: Option<String>,
    capacity: Option<String>,
    access_modes: Vec<String>,
}

/// The file system of the registry, in bytes.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(untagged)]
pub(super) enum Space {
    Known {
        capacity_bytes: u64,
        used_bytes: u64,
        available_bytes: u64,
    },
    Unknown {
        /// Why it is not known.
        unknown: String,
    },
}
