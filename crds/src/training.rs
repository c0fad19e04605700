//! MLTrainingJob: what makes a model version.
#![expect(
    unreachable_pub,
    reason = "the derive repeats a struct that carries rules in a scope of its own"
)]

use std::collections::BTreeMap;

use kube::{CustomResource, KubeSchema};
use planner::engine::Engine;
use planner::names::{Digest, ModelName, Version};
use planner::training::{Algorithm, Concurrency, Metric};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::pod::PodSpec;
use crate::status::MLTrainingJobStatus;
use crate::{rules, wire};

/// What makes a model version: data, algorithm, and what the result must reach to be published.
#[derive(CustomResource, KubeSchema, Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[kube(
    group = "aurora.io",
    version = "v1alpha1",
    kind = "MLTrainingJob",
    plural = "mltrainingjobs",
    shortname = "mltj",
    category = "aurora",
    namespaced,
    status = "MLTrainingJobStatus",
    derive = "PartialEq",
    doc = "What makes a model version: data, algorithm, and what the result must reach to be published.",
    selectable = ".spec.modelName",
    printcolumn(name = "Model", type_ = "string", json_path = ".spec.modelName"),
    printcolumn(name = "Algorithm", type_ = "string", json_path = ".spec.algorithm"),
    printcolumn(name = "Version", type_ = "string", json_path = ".status.version"),
    printcolumn(name = "Phase", type_ = "string", json_path = ".status.phase"),
    printcolumn(name = "Progress", type_ = "integer", json_path = ".status.progressPercent"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[x_kube(
    validation = rules::VERSION_OR_SCHEDULE.rule(),
    validation = rules::ONE_FIT.rule(),
    validation = rules::FILES_OF_COMMAND.rule(),
    validation = rules::ENGINE_OF_FIT.rule(),
    validation = rules::PARTS_OF_FILES.rule(),
    validation = rules::ROWS_OF_FIT.rule(),
    validation = rules::EVALUATION_OF_ROWS.rule(),
    validation = rules::SCHEDULE_OF_IMPORT.rule(),
    validation = rules::SEED_OF_IMPORT.rule(),
    validation = rules::SETTINGS_OF_IMPORT.rule(),
    validation = rules::FEATURES_OF_IMPORT.rule(),
    validation = rules::DIGEST_OF_ABSOLUTE_PATH.rule(),
    validation = rules::METRIC_OF_CLASSES.rule(),
    validation = rules::METRIC_OF_NUMBERS.rule(),
    validation = rules::UNIT_OF_CLASSES.rule()
)]
pub struct MLTrainingJobSpec {
    /// The registered model that gets the version.
    #[schemars(with = "String", length(min = 1, max = 40), regex(pattern = wire::NAME), title = wire::NAME_WORDS)]
    pub model_name: ModelName,

    /// The version to make, once, if the registry lacks it. Absent (or with `schedule`): each run names its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String", length(max = 32), regex(pattern = wire::VERSION), title = wire::VERSION_WORDS)]
    pub version: Option<Version>,

    /// When to train again and again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub schedule: Option<ScheduleSpec>,

    /// The rows and what they mean. An import may do without, and is then not evaluated.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dataset: Option<DatasetSpec>,

    /// What is fitted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "AlgorithmName")]
    pub algorithm: Option<Algorithm>,

    /// A program of one's own that makes the model, instead of `algorithm`: in a cluster only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub container: Option<ContainerSpec>,

    /// A program of the commit and its arguments, instead of `algorithm`: on one machine only, and only where the process allows
    /// it. It reads the rows that a fit may see from the file AURORA_DATASET, and writes model.onnx into the folder AURORA_OUTPUT.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(
        length(max = 64),
        inner(length(max = 4096)),
        title = "a list of at most 64 texts of at most 4096 characters"
    )]
    pub command: Vec<String>,

    /// The files of the commit that the command is made of, relative to the manifest's folder: it runs in a folder that holds them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(
        length(max = 64),
        inner(length(min = 1, max = 600), regex(pattern = wire::PATH)),
        title = "a list of at most 64 paths",
        extend("x-kubernetes-list-type" = "set")
    )]
    pub files: Vec<String>,

    /// A model that was made elsewhere, instead of `algorithm`: it is verified, evaluated and published.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub import: Option<ImportSpec>,

    /// What checks and evaluates a model that was not fitted here, and is to serve it. Absent: Aurora's own engine.
    #[serde(default, skip_serializing_if = "Engine::is_own")]
    #[schemars(with = "wire::EngineName")]
    pub engine: Engine,

    /// The algorithm's settings by name; what is not named has the algorithm's default. A container or a command
    /// gets them as they are.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = 32), title = "settings: names with numbers")]
    pub hyperparameters: BTreeMap<String, f64>,

    /// The seed of all randomness of a run.
    #[serde(default)]
    #[schemars(range(min = 0, max = wire::SEED_MAX), title = "a whole number from 0 to 9007199254740991")]
    pub seed: u64,

    /// The metric that decides whether a result is published; it comes with the rows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub evaluation: Option<EvaluationSpec>,

    /// The longest that a run may take, in seconds.
    #[serde(default = "active_deadline_default")]
    #[schemars(
        range(min = 1, max = 604_800),
        title = "whole seconds from 1 to 604800 (a week)"
    )]
    pub active_deadline_seconds: u64,

    /// No run starts while true; one that is under way goes on.
    #[serde(default)]
    pub suspend: bool,

    /// Settings of the pods of its runs in a cluster.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pod: Option<PodSpec>,
}

/// A program in an image. It reads the rows that a fit may see from the file AURORA_DATASET, and writes model.onnx into
/// the folder AURORA_OUTPUT; Aurora checks it, evaluates it on the rows that it did not see, and publishes it.
#[derive(JsonSchema, Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ContainerSpec {
    /// The image.
    #[schemars(length(min = 1, max = 512), regex(pattern = wire::IMAGE), title = wire::IMAGE_WORDS)]
    pub image: String,

    /// The program and its first arguments. Absent: the image's own.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(
        length(max = 64),
        inner(length(max = 4096)),
        title = "a list of at most 64 texts of at most 4096 characters"
    )]
    pub command: Vec<String>,

    /// The arguments after them. Absent: the image's own, unless there is a `command`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(
        length(max = 64),
        inner(length(max = 4096)),
        title = "a list of at most 64 texts of at most 4096 characters"
    )]
    pub args: Vec<String>,
}

/// A model that was made elsewhere: an ONNX file, pinned by its digest.
#[derive(KubeSchema, Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[x_kube(
    validation = rules::IMPORT_PARTS.rule(),
    validation = rules::IMPORT_KIND.rule(),
    validation = rules::IMPORT_ADDRESS.rule(),
    validation = rules::IMPORT_FILES.rule(),
    validation = rules::IMPORT_SIGNATURE.rule()
)]
pub struct ImportSpec {
    /// The file: a path relative to the manifest's folder, or an address that the process may import from.
    #[schemars(length(min = 1, max = 1024), regex(pattern = wire::PATH), title = wire::IMPORT_WORDS)]
    pub uri: String,

    /// The digest of the file.
    #[schemars(with = "String", length(max = 71), regex(pattern = wire::DIGEST), title = wire::DIGEST_WORDS)]
    pub digest: Digest,

    /// The files beside it that hold its large tensors, by their names, each with its digest. They become part of the version's
    /// one file.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(
        with = "BTreeMap<String, DigestText>",
        extend("maxProperties" = 64),
        title = "at most 64 names of files, each with its digest"
    )]
    pub files: BTreeMap<String, Digest>,

    /// Where a signature of the file, and of those beside it, lies: a bundle of OpenSSF Model Signing. A path relative to the
    /// manifest's folder, or an address that the process may import from. It is looked at where the environment's `models` say so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 1100), regex(pattern = wire::PATH), title = wire::SIGNATURE_WORDS)]
    pub signature: Option<String>,

    /// What the values of a row are called, over all inputs in their order, where there is no dataset that says it.
    /// Absent: as the graph says.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(
        length(max = 1000),
        inner(length(min = 1, max = 128)),
        title = "a list of names",
        extend("x-kubernetes-list-type" = "set")
    )]
    pub features: Vec<String>,

    /// The classes in the order of the probabilities; whole numbers where all of them are. Absent: as the graph says.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(
        length(max = 1000),
        inner(length(min = 1, max = 128)),
        title = "a list of classes, each in quotes",
        extend("x-kubernetes-list-type" = "set")
    )]
    pub labels: Vec<String>,

    /// Which outputs are the answer. Absent: as their types and names say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outputs: Option<OutputsSpec>,
}

/// A digest, for the schema.
#[derive(JsonSchema)]
#[schemars(transparent)]
#[expect(dead_code, reason = "only its schema is used")]
struct DigestText(
    #[schemars(length(max = 71), regex(pattern = wire::DIGEST), title = wire::DIGEST_WORDS)] String,
);

/// Which outputs of a model are its answer.
#[derive(KubeSchema, Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[x_kube(
    validation = rules::ONE_ANSWER.rule(),
    validation = rules::PROBABILITIES_OF_LABEL.rule()
)]
pub struct OutputsSpec {
    /// The output that has the predicted numbers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 128), title = "the name of an output")]
    pub prediction: Option<String>,

    /// The output that has the predicted class.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 128), title = "the name of an output")]
    pub label: Option<String>,

    /// The output that says how likely each class is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 128), title = "the name of an output")]
    pub probabilities: Option<String>,
}

fn active_deadline_default() -> u64 {
    1800
}

/// When to train again and again.
#[derive(JsonSchema, Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ScheduleSpec {
    /// Five fields: minute, hour, day of month, month, weekday.
    #[schemars(
        length(min = 1, max = 256),
        title = "a schedule of five fields, e.g. \"0 3 * * SUN\""
    )]
    pub cron: String,

    /// The IANA time zone in which the fields are read.
    #[serde(default = "utc")]
    #[schemars(length(min = 1, max = 64), title = "an IANA time zone, e.g. Europe/Paris")]
    pub time_zone: String,

    /// A slot missed by more than this is skipped. Absent: the newest missed slot is caught up.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(
        range(min = 1, max = 31_536_000),
        title = "whole seconds from 1 to 31536000 (a year)"
    )]
    pub starting_deadline_seconds: Option<u64>,

    /// What a slot does while the run before it goes on.
    #[serde(default = "forbid")]
    #[schemars(with = "ConcurrencyName")]
    pub concurrency_policy: Concurrency,
}

fn utc() -> String {
    "UTC".to_owned()
}

fn forbid() -> Concurrency {
    Concurrency::Forbid
}

/// The rows and what they mean.
#[derive(KubeSchema, Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[x_kube(
    validation = rules::FEATURES_OR_EXCLUDE.rule(),
    validation = rules::BUILTIN.rule(),
    validation = rules::SYNTHETIC.rule(),
    validation = rules::URI_IS_NO_URL.rule(),
    validation = rules::URI_PARTS.rule(),
    validation = rules::URI_KIND.rule(),
    validation = rules::DIGEST_OF_NO_FILE.rule(),
    validation = rules::TARGET_OF_FILE.rule()
)]
pub struct DatasetSpec {
    /// `builtin:NAME`, `synthetic:NAME`, a path relative to the manifest's folder, or an absolute path.
    #[schemars(length(min = 1, max = 1024), regex(pattern = wire::PATH), title = wire::URI_WORDS)]
    pub uri: String,

    /// The file's SHA-256. Required for an absolute path without a schedule.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64), regex(pattern = wire::SHA256), title = wire::SHA256_WORDS)]
    pub sha256: Option<String>,

    /// The model's inputs, in order. Absent: every column but the target and those of `exclude`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(
        length(max = 1000),
        title = "a list of features",
        extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"])
    )]
    pub features: Vec<FeatureSpec>,

    /// Columns that are no inputs, instead of `features`: every other column but the target is one.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(
        length(max = 1000),
        inner(length(min = 1, max = 128)),
        title = "a list of columns",
        extend("x-kubernetes-list-type" = "set")
    )]
    pub exclude: Vec<String>,

    /// What is predicted. Absent: what a `builtin:` or `synthetic:` dataset has as its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target: Option<TargetSpec>,
}

/// One input of the model and how it derives from columns.
#[derive(KubeSchema, Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[x_kube(validation = rules::ONE_DERIVATION.rule())]
pub struct FeatureSpec {
    /// Its name in the model's signature.
    #[schemars(length(min = 1, max = 128), title = "text of 1 to 128 characters")]
    pub name: String,

    /// The column that it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 128), title = "the name of a column")]
    pub column: Option<String>,

    /// The first column divided by the second.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(
        length(min = 2, max = 2),
        inner(length(min = 1, max = 128)),
        title = "the names of two columns"
    )]
    pub ratio: Option<Vec<String>>,
}

/// What is predicted.
#[derive(KubeSchema, Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[x_kube(validation = rules::DIVISOR.rule())]
pub struct TargetSpec {
    /// The column.
    #[schemars(length(min = 1, max = 128), title = "the name of a column")]
    pub column: String,

    /// What its values are divided by.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(title = "a number other than 0")]
    pub divide_by: Option<f64>,

    /// What one unit of a prediction means, e.g. `100,000 USD`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 64), title = "text of 1 to 64 characters")]
    pub unit: Option<String>,
}

/// The metric that decides, its bound, and the rows it is measured on.
#[derive(KubeSchema, Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[x_kube(
    validation = rules::ONE_BOUND.rule(),
    validation = rules::NO_MINIMUM.rule(),
    validation = rules::NO_MAXIMUM.rule()
)]
pub struct EvaluationSpec {
    /// What is measured.
    #[schemars(with = "MetricName")]
    pub metric: Metric,

    /// The least that r2 or accuracy must reach. Absent: measured, not enforced.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(title = "a number")]
    pub minimum: Option<f64>,

    /// The most that rmse, mae or log_loss may be. Absent: measured, not enforced.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(title = "a number")]
    pub maximum: Option<f64>,

    /// The rows that the fit never sees. Absent: 20 percent, seed 0.
    #[serde(default)]
    pub holdout: HoldoutSpec,
}

/// The rows that the fit never sees: a percentage, or a file.
#[derive(KubeSchema, Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[x_kube(
    validation = rules::ONE_HOLDOUT.rule(),
    validation = rules::SEED_OF_FILE.rule(),
    validation = rules::DIGEST_OF_PERCENT.rule(),
    validation = rules::DIGEST_OF_HOLDOUT.rule(),
    validation = rules::HOLDOUT_IS_NO_URL.rule(),
    validation = rules::HOLDOUT_PARTS.rule(),
    validation = rules::HOLDOUT_KIND.rule()
)]
pub struct HoldoutSpec {
    /// How many of a hundred rows, chosen by their content.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 99), title = "a whole percent from 1 to 99")]
    pub percent: Option<u8>,

    /// The key of the choice. Versions with one seed share a holdout.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = wire::SEED_MAX), title = "a whole number from 0 to 9007199254740991")]
    pub seed: Option<u64>,

    /// A file of the same columns: a path relative to the manifest's folder, or an absolute one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 1024), regex(pattern = wire::PATH), title = wire::PATH_WORDS)]
    pub file: Option<String>,

    /// The file's SHA-256. Required for an absolute path.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64), regex(pattern = wire::SHA256), title = wire::SHA256_WORDS)]
    pub sha256: Option<String>,
}

impl Default for HoldoutSpec {
    fn default() -> Self {
        Self {
            percent: Some(20),
            seed: Some(0),
            file: None,
            sha256: None,
        }
    }
}

/// The names of [`Algorithm`], for the schema.
#[derive(JsonSchema)]
#[schemars(rename_all = "snake_case")]
#[expect(
    dead_code,
    reason = "only its schema is used: the planner's own types know no schema"
)]
enum AlgorithmName {
    LinearRegression,
    GradientBoosting,
    LogisticRegression,
}

/// The names of [`Metric`], for the schema.
#[derive(JsonSchema)]
#[schemars(rename_all = "snake_case")]
#[expect(
    dead_code,
    reason = "only its schema is used: the planner's own types know no schema"
)]
enum MetricName {
    R2,
    Rmse,
    Mae,
    Accuracy,
    LogLoss,
}

/// The names of [`Concurrency`], for the schema.
#[derive(JsonSchema)]
#[expect(
    dead_code,
    reason = "only its schema is used: the planner's own types know no schema"
)]
enum ConcurrencyName {
    Forbid,
    Replace,
    Allow,
}
