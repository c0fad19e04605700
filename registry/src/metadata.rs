//! `metadata.json`: everything that is known of a version besides its bytes.

use std::collections::{BTreeMap, BTreeSet};

use planner::Timestamp;
use planner::endpoint::Url;
use planner::engine::Engine;
use planner::names::{Digest, ModelName, ObjectName, Revision, Version};
use planner::training::Feature;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

use crate::artifact::{LABEL, PREDICTION, PROBABILITIES};
use crate::error::{Damage, why};
use crate::store::{METADATA_FILE, MODEL_FILE};

/// The content of a version's `metadata.json`. Its first keys are the seed's.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct VersionMetadata {
    /// The registered model.
    #[schemars(with = "String")]
    pub model_name: ModelName,
    /// The version.
    #[schemars(with = "String")]
    pub version: Version,
    /// What fitted it: `linfa`, `aurora`, or what a pushed version names.
    pub framework: String,
    /// The algorithm's name in a manifest.
    pub algorithm: String,
    /// When the run published it.
    #[schemars(with = "String")]
    pub trained_at: Timestamp,
    /// How many inputs it takes.
    pub features: usize,
    /// The metric that its evaluation decided on: one entry, `r2_score` for r2, else the metric's own name.
    #[serde(flatten)]
    pub metric: BTreeMap<String, f64>,
    /// The artifact.
    pub artifact: Artifact,
    /// What it was checked and evaluated by, and is loaded by; absent: by our own engine.
    #[serde(default, skip_serializing_if = "Engine::is_own")]
    #[schemars(with = "Option<String>")]
    pub engine: Engine,
    /// The hash of the declared inputs (docs/design.md, "Training identity"); absent for a version that was pushed.
    #[schemars(with = "Option<String>")]
    pub inputs_hash: Option<Digest>,
    /// What goes in and comes out.
    pub signature: Signature,
    /// What was measured on the holdout; absent where nobody evaluated it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metrics: Option<Measured>,
    /// What the pinned stable reached on the same holdout.
    pub baseline: Option<Baseline>,
    /// The data that it was fitted on, or evaluated on where it was made elsewhere; absent where there was none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dataset: Option<DatasetRecord>,
    /// The settings in force, defaults included.
    pub hyperparameters: BTreeMap<String, f64>,
    /// How the fit went.
    #[serde(default, skip_serializing_if = "Fit::is_silent")]
    pub fit: Fit,
    /// The seed; absent where nothing was fitted here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seed: Option<u64>,
    /// Where it comes from.
    pub lineage: Lineage,
    /// How inputs and predictions were distributed over the training rows; absent where they are not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reference: Option<Reference>,
    /// One row and its prediction: warm-up and self-check on load.
    pub example: Example,
}

impl VersionMetadata {
    /// Reads the record of one version, and refuses that of another.
    pub fn read(bytes: &[u8], model: &ModelName, version: &Version) -> Result<Self, Damage> {
        let malformed = |problem: String| Damage::Malformed {
            file: METADATA_FILE.to_owned(),
            why: problem,
        };
        let metadata: Self =
            serde_json::from_slice(bytes).map_err(|e| malformed(format!("cannot be read: {}", why(&e))))?;
        if metadata.model_name != *model || metadata.version != *version {
            let (model, version) = (&metadata.model_name, &metadata.version);
            return Err(malformed(format!("is that of {model} {version}")));
        }
        if metadata.artifact.file != MODEL_FILE {
            let file: String = metadata.artifact.file.chars().take(80).collect();
            return Err(malformed(format!(
                "names the artifact {file:?}, not {MODEL_FILE}"
            )));
        }
        Ok(metadata)
    }
}

/// The artifact file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Artifact {
    /// Its name in the version's folder: `model.onnx`.
    pub file: String,
    /// Its digest.
    #[schemars(with = "String")]
    pub digest: Digest,
    /// Its size.
    pub bytes: u64,
}

/// What goes into a model and comes out.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Signature {
    /// The input tensors: for our trainer one, `input` FP64 `[-1, n]`.
    pub inputs: Vec<Tensor>,
    /// The output tensors: `prediction`, or `label` and `probabilities`.
    pub outputs: Vec<Tensor>,
    /// The columns of `input` in order, and how each derives from raw columns.
    #[schemars(schema_with = "features")]
    pub features: Vec<Feature>,
    /// The class labels in the order of `probabilities`; empty for a regression.
    pub labels: Labels,
    /// The raw column that is predicted; unknown of a version of before it was recorded.
    #[serde(default)]
    pub target_column: Option<String>,
    /// What that column's values were divided by, if anything.
    #[serde(default)]
    pub target_divide_by: Option<f64>,
    /// What one unit of a prediction means.
    pub target_unit: Option<String>,
    /// Whether a missing value (JSON `null`, NaN) is an input that the model was made for.
    pub missing_values: bool,
    /// Which outputs mean what; absent where their names say it: `prediction`, or `label` and `probabilities`.
    #[serde(default, skip_serializing_if = "Roles::are_by_name")]
    pub roles: Roles,
}

/// What outputs mean, by their names.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Roles {
    /// The numbers that are predicted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prediction: Option<String>,
    /// The class that is predicted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub label: Option<String>,
    /// How likely each class is, in the order of the labels.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub probabilities: Option<String>,
}

impl Roles {
    /// Says whether the outputs' names say what they mean.
    pub fn are_by_name(&self) -> bool {
        *self == Self::default()
    }

    /// Returns the roles that the names have which our own models use, where none are given.
    pub(crate) fn or_by_name(self) -> Self {
        if !self.are_by_name() {
            return self;
        }
        let named = |name: &str| Some(name.to_owned());
        Self {
            prediction: named(PREDICTION),
            label: named(LABEL),
            probabilities: named(PROBABILITIES),
        }
    }
}

/// Describes what the planner, which knows no schemas, writes of a feature.
fn features(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "array",
        "items": {
            "type": "object",
            "required": ["name", "derivation"],
            "properties": {
                "name": { "type": "string" },
                "derivation": {
                    "oneOf": [
                        {
                            "type": "object",
                            "required": ["column"],
                            "properties": { "column": { "type": "string" } },
                        },
                        {
                            "type": "object",
                            "required": ["ratio"],
                            "properties": {
                                "ratio": {
                                    "type": "array",
                                    "items": { "type": "string" },
                                    "minItems": 2,
                                    "maxItems": 2,
                                },
                            },
                        },
                    ],
                },
            },
        },
    })
}

impl Signature {
    /// Returns the name of the first part in which two differ, as `metadata.json` has it.
    pub(crate) fn difference(&self, other: &Self) -> Option<String> {
        let Self {
            inputs,
            outputs,
            features,
            labels,
            target_column,
            target_divide_by,
            target_unit,
            missing_values,
            roles,
        } = self;
        let same = [
            ("inputs", *inputs == other.inputs),
            ("outputs", *outputs == other.outputs),
            ("labels", *labels == other.labels),
            ("target_column", *target_column == other.target_column),
            ("target_divide_by", *target_divide_by == other.target_divide_by),
            ("target_unit", *target_unit == other.target_unit),
            ("missing_values", *missing_values == other.missing_values),
            ("roles", *roles == other.roles),
        ];
        if features.len() != other.features.len() {
            return Some("features".to_owned());
        }
        let mut pairs = features.iter().zip(&other.features);
        let feature = pairs.position(|(one, other)| one != other);
        feature.map(|at| format!("features[{at}]")).or_else(|| {
            let different = same.iter().find(|(_, is_same)| !is_same);
            different.map(|(name, _)| (*name).to_owned())
        })
    }
}

/// One tensor of a signature.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Tensor {
    /// Its name.
    pub name: String,
    /// The Open Inference Protocol's word: `FP64`, `INT64`, `BYTES`, …
    pub datatype: String,
    /// Its shape, -1 where it varies.
    pub shape: Vec<i64>,
}

/// Class labels: numbers or words.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum Labels {
    /// Whole numbers.
    Numbers(Vec<i64>),
    /// Words.
    Words(Vec<String>),
}

impl Labels {
    /// Returns how many there are.
    pub const fn len(&self) -> usize {
        match self {
            Self::Numbers(labels) => labels.len(),
            Self::Words(labels) => labels.len(),
        }
    }

    /// Says whether there are none: of a regression, or unknown.
    pub const fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Says whether no two are the same.
    pub(crate) fn are_distinct(&self) -> bool {
        let distinct = match self {
            Self::Numbers(labels) => labels.iter().collect::<BTreeSet<_>>().len(),
            Self::Words(labels) => labels.iter().collect::<BTreeSet<_>>().len(),
        };
        distinct == self.len()
    }
}

/// What was measured on a holdout.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Measured {
    /// The metrics by name: `r2`, `rmse`, `mae` or `accuracy`, `log_loss`.
    pub values: BTreeMap<String, f64>,
    /// The hash of the sorted row hashes of the holdout.
    #[schemars(with = "String")]
    pub holdout_digest: Digest,
    /// How many rows it has.
    pub holdout_rows: usize,
}

/// What the pinned stable reached on the same holdout.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Baseline {
    /// The stable version.
    #[schemars(with = "String")]
    pub version: Version,
    /// Its digest.
    #[schemars(with = "String")]
    pub digest: Digest,
    /// The metrics by name.
    pub values: BTreeMap<String, f64>,
}

/// The data of a training run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct DatasetRecord {
    /// As the manifest gives it.
    pub uri: String,
    /// The digest of the file; of the canonical rows for data that has no file.
    #[schemars(with = "String")]
    pub digest: Digest,
    /// How many rows, the holdout included.
    pub rows: usize,
}

/// How a fit went.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Fit {
    /// How many steps a solver took to the optimum; absent where nothing is solved step by step.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub iterations: Option<u64>,
    /// The largest component of the mean loss's gradient there, on standardised features.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gradient_norm: Option<f64>,
    /// The mean loss over the training rows, first without any fit, then after each tree or step of a solver, or after
    /// some of them, evenly taken; the last is that of the model. Empty where nothing is fitted step by step.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub loss: Vec<f64>,
    /// What a person should know of the data; nothing that stopped the run.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
    /// What a trainer that is not ours says of its fit, in its own words: shown, never decided by.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub reported: BTreeMap<String, f64>,
}

impl Fit {
    /// How many points of a loss are kept.
    pub const LOSS_POINTS_MAX: usize = 200;

    /// Returns the points of a loss that are kept: the first, the last, and those evenly between. None of one that is not
    /// finite all over: JSON has no word for it.
    pub fn curve(losses: &[f64]) -> Vec<f64> {
        if losses.iter().any(|loss| !loss.is_finite()) {
            return Vec::new();
        }
        let (count, kept) = (losses.len(), losses.len().min(Self::LOSS_POINTS_MAX));
        let at = |point: usize| point * (count - 1) / (kept - 1).max(1);
        (0..kept).map(|point| losses[at(point)]).collect()
    }

    /// Says whether there is nothing to tell.
    pub fn is_silent(&self) -> bool {
        *self == Self::default()
    }
}

/// Where a version comes from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Lineage {
    /// The commit whose manifest asked for the run; absent for a run or push by hand.
    #[schemars(with = "Option<String>")]
    pub revision: Option<Revision>,
    /// The MLTrainingJob.
    #[schemars(with = "Option<String>")]
    pub job: Option<ObjectName>,
    /// The trainer's version and the CPU features that its arithmetic used, e.g. `aurora 0.1.0 (x86_64: avx2 fma)`.
    pub trainer: String,
    /// From where it was imported; absent where it was made for this registry.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub imported: Option<Imported>,
    /// What it was made of elsewhere; absent where it was fitted for this registry.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<Source>,
    /// Whether its fit can have seen the rows that it was measured on; absent where that was kept from it, or nobody measured.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub holdout: Option<Attestation>,
}

/// What speaks for it that the fit of a version has not seen the rows that it was measured on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Attestation {
    /// The model names the rows that it was fitted to, and those that were held out are none of them.
    Attested,
    /// Nothing.
    Unattested,
    /// Whoever wrote the program that fitted it: it was not handed those rows, and nothing kept it from looking for them.
    Trusted,
}

impl Attestation {
    /// Returns the word for it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Attested => "attested",
            Self::Unattested => "unattested",
            Self::Trusted => "trusted",
        }
    }
}

/// A model that was made elsewhere, as it came.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Source {
    /// Where its bytes lay, as the manifest gives it.
    pub uri: String,
    /// Their digest; that of the version's artifact is another one.
    #[schemars(with = "String")]
    pub digest: Digest,
    /// The files beside it that held its large tensors, each with its digest.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(with = "BTreeMap<String, String>")]
    pub files: BTreeMap<String, Digest>,
    /// The key that signed them, which the environment trusted: the SHA-256 of its PEM in hex. Absent where nobody had to have signed
    /// them, or nobody who was trusted had.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signer: Option<String>,
}

/// How a version came from another environment's registry.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Imported {
    /// The control plane that handed it out.
    #[schemars(with = "String")]
    pub from: Url,
    /// When it was asked for.
    #[schemars(with = "String")]
    pub at: Timestamp,
    /// The commit that pinned it here.
    #[schemars(with = "String")]
    pub revision: Revision,
}

/// How inputs and predictions were distributed over the training rows.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Reference {
    /// One per feature, in the signature's order.
    pub features: Vec<Distribution>,
    /// Of the prediction; for a classifier of the right class's index.
    pub prediction: Distribution,
}

/// A sketch of one distribution.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Distribution {
    /// The feature's name, or `prediction`.
    pub name: String,
    /// How many values.
    pub n: u64,
    /// Their mean.
    pub mean: f64,
    /// Their standard deviation (population).
    pub std: f64,
    /// The inner edges of at most 10 quantile bins, strictly ascending.
    pub edges: Vec<f64>,
    /// How many values fall into each bin, `edges.len() + 1` of them; a value on an edge belongs to the bin above.
    pub counts: Vec<u64>,
}

/// One row, what it derives to, and what the model says of it: a held-out one where there is data, else of zeros and empty
/// texts.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Example {
    /// Raw column → value, without the target.
    pub row: BTreeMap<String, Cell>,
    /// The derived inputs, in the signature's order.
    pub inputs: Vec<Cell>,
    /// The prediction: numbers, or the probabilities of the classes; empty of a classifier that gives none.
    pub prediction: Vec<f64>,
}

/// One value of a row.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum Cell {
    /// A number.
    Number(f64),
    /// True or false.
    Bool(bool),
    /// A text.
    Text(String),
    /// Nothing: `null`.
    Missing,
}

impl From<f64> for Cell {
    /// A number that is none is missing.
    fn from(number: f64) -> Self {
        if number.is_nan() {
            Self::Missing
        } else {
            Self::Number(number)
        }
    }
}
