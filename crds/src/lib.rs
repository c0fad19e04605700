//! The three kinds: their Rust types, the schema generated from them, and the parsing of manifests.
//!
//! ```text
//! file of a commit ──parse──> planner's types        with findings that say file, line, column and what to do
//! planner's types <─convert─> custom resource        the resolved form of a manifest, as a target keeps it
//! Rust types ──schema──> crds/yaml/*.yaml            what an API server enforces: the rules that `parse` enforces
//! ```
//!
//! This crate reads no file and talks to no server; nothing here decides what to do about what it parses.
#![forbid(unsafe_code)]
#![warn(missing_docs)]
#![expect(
    clippy::duplicated_attributes,
    reason = "each print column has a type, most have the same"
)]

mod canonical;
mod commits;
pub mod convert;
mod deployment;
pub mod edit;
mod environment;
mod models;
mod notify;
pub mod parse;
mod pod;
mod policy;
mod route;
mod rules;
pub mod schema;
pub mod status;
mod stored;
mod training;
pub mod view;
mod wire;

pub use commits::{CommitsSpec, ForgeSpec, SquashPolicy, VerifyPolicy};
pub use deployment::{AutoscalingSpec, CanarySpec, MLDeployment, MLDeploymentSpec, StableSpec};
pub use environment::{DriftPolicy, MLEnvironment, MLEnvironmentSpec, RegistrySpec, RemovalSpec, Target};
pub use models::ModelsSpec;
pub use notify::{NotifySpec, NotifyTopic, NotifyType};
pub use pod::{PodSpec, ResourcesSpec, SecretSpec, TolerationSpec, VariableSpec};
pub use policy::{GatePolicy, GatesSpec, MetricGateSpec, PromotionSpec, WindowSpec, WindowType};
pub use route::{GatewaySpec, RouteSpec};
pub use schema::{crd_yaml, manifest_schema};
pub use status::{MLDeploymentStatus, MLEnvironmentStatus, MLTrainingJobStatus};
pub use stored::{ForeignObject, check_stored};
pub use training::{
    ContainerSpec, DatasetSpec, EvaluationSpec, FeatureSpec, HoldoutSpec, ImportSpec, MLTrainingJob,
    MLTrainingJobSpec, OutputsSpec, ScheduleSpec, TargetSpec,
};

/// The API group of the three kinds.
pub const GROUP: &str = "aurora.io";

/// The one version of the API.
pub const API_VERSION: &str = "aurora.io/v1alpha1";

/// The label that names an object's environment.
pub const ENVIRONMENT_LABEL: &str = "aurora.io/environment";
