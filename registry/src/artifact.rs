//! The artifact format: ONNX graphs, ours in FP64 and written by our own few messages, any team's as their exporters write
//! them (docs/design.md, "The artifact format"; docs/operators.md says which are read).
//!
//! ```text
//! Graph --encode--> bytes --read--> Model --predict--> Predictions
//! ```
//!
//! Data, never code: `engine` refuses what it does not know by naming the node, attribute or tensor that is wrong. Bytes
//! hold no time, commit or version. Reading is bounded by [`Limits`], never recurses over the content, and never panics
//! on it.

mod encode;
mod evaluator;
mod filling;
mod inline;
mod load;
mod meaning;
mod model;
mod onnx;
mod signature;
mod trees;

#[cfg(test)]
mod tests;

pub use encode::{encode, encode_with_signature};
pub use engine::Limits;
pub use evaluator::{Engines, FOREIGN_TEXT_BYTES_MAX, Foreign, Starts, Unanswered};
pub use filling::{Filling, Inputs, Value};
pub use inline::{files_of, with_files};
pub use load::{LoadError, Pinned, inspect, load, load_bytes};
pub(crate) use meaning::gives;
pub use model::{CellError, Gives, Model, PredictError, Predictions};
pub use signature::{SIGNATURE_KEY, with_signature};
pub use trees::{Child, Split, Trees};

use engine::Refusal;
use prost::DecodeError;

use crate::metadata::{Labels, Roles, Signature, Tensor};
use planner::finding::Disposition;
use planner::training::{Feature, Target};

/// The name of the input tensor: FP64 `[-1, n]`.
pub const INPUT: &str = "input";
/// The name of a regression's output tensor: FP64 `[-1, 1]`.
pub const PREDICTION: &str = "prediction";
/// The name of a classifier's first output tensor: INT64 or BYTES `[-1]`.
pub const LABEL: &str = "label";
/// The name of a classifier's second output tensor: FP64 `[-1, k]`.
pub const PROBABILITIES: &str = "probabilities";

/// A model as numbers: what the trainer fits and an artifact holds.
#[derive(Debug, Clone, PartialEq)]
pub enum Graph {
    /// `input · weights + intercept`.
    Linear {
        /// One per input.
        weights: Vec<f64>,
        /// Added to the sum.
        intercept: f64,
    },
    /// The sum of one leaf per tree, plus a base.
    Trees(Trees),
    /// `softmax(input · weights + intercepts)`; the label is the one of the largest probability, the first of equals.
    Logistic {
        /// Row-major, inputs × labels.
        weights: Vec<f64>,
        /// One per label.
        intercepts: Vec<f64>,
        /// At least two, distinct.
        labels: Labels,
    },
}

impl Graph {
    /// Returns how many inputs it takes.
    pub fn width(&self) -> usize {
        match self {
            Self::Linear { weights, .. } => weights.len(),
            Self::Trees(trees) => trees.width,
            Self::Logistic {
                weights, intercepts, ..
            } => weights.len() / intercepts.len().max(1),
        }
    }

    /// Returns the signature of a version that holds it: `features` in the order of `input`.
    ///
    /// `target` says what a prediction means. None of our forms takes a missing value.
    pub fn signature(&self, features: Vec<Feature>, target: Option<&Target>) -> Signature {
        let tensor = |name: &str, datatype: &str, shape: &[usize]| Tensor {
            name: name.to_owned(),
            datatype: datatype.to_owned(),
            shape: std::iter::once(-1)
                .chain(shape.iter().map(|n| i64::try_from(*n).unwrap_or(i64::MAX)))
                .collect(),
        };
        let (outputs, labels) = match self {
            Self::Linear { .. } | Self::Trees(_) => (
                vec![tensor(PREDICTION, "FP64", &[1])],
                Labels::Numbers(Vec::new()),
            ),
            Self::Logistic { labels, .. } => {
                let datatype = match labels {
                    Labels::Numbers(_) => "INT64",
                    Labels::Words(_) => "BYTES",
                };
                let outputs = vec![
                    tensor(LABEL, datatype, &[]),
                    tensor(PROBABILITIES, "FP64", &[labels.len()]),
                ];
                (outputs, labels.clone())
            }
        };
        Signature {
            inputs: vec![tensor(INPUT, "FP64", &[self.width()])],
            outputs,
            features,
            labels,
            target_column: target.map(|target| target.column.clone()),
            target_divide_by: target.and_then(|target| target.divide_by),
            target_unit: target.and_then(|target| target.unit.clone()),
            missing_values: false,
            roles: Roles::default(),
        }
    }
}

/// Says why bytes are no artifact that we serve. A person must act: another read gives the same.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ArtifactError {
    /// The graph is none that is run.
    #[error(transparent)]
    Graph(#[from] Refusal),
    /// It is no protobuf message.
    #[error("this is no ONNX file: {0}")]
    Malformed(#[from] DecodeError),
    /// Its tensors do not lie in the files beside it as it says.
    #[error("{problem}")]
    External {
        /// What is wrong with them.
        problem: String,
    },
    /// The signature in its own metadata cannot be read.
    #[error("property {SIGNATURE_KEY:?}: {problem}")]
    Property {
        /// What is wrong with it.
        problem: String,
    },
    /// The signature describes another model.
    #[error("the artifact contradicts its metadata: {problem}")]
    Signature {
        /// Where they differ.
        problem: String,
    },
    /// An output that is to have a meaning is none of the graph's.
    #[error("the {role} is to be output {name:?}, which the model does not give")]
    Role {
        /// The meaning.
        role: &'static str,
        /// The output.
        name: String,
    },
    /// ONNX Runtime, which is to evaluate it, refuses it.
    #[error("ONNX Runtime refuses the model: {0}")]
    Foreign(String),
    /// It is evaluated by ONNX Runtime, which this process was not given.
    #[error(
        "the model is evaluated by ONNX Runtime (`engine: OnnxRuntime`), and this process has none: start it with --onnxruntime PATH, in a cluster the operator with --onnxruntime-image IMAGE"
    )]
    NoOnnxRuntime,
    /// ONNX Runtime cannot be started here and now.
    #[error("ONNX Runtime cannot be started: {0}")]
    NotStarted(String),
    /// No output has a meaning.
    #[error("none of the outputs ({outputs}) is a prediction or a label: say which by `import.outputs`")]
    NoPrediction {
        /// Their names.
        outputs: String,
    },
}

impl ArtifactError {
    /// Says what happens next: whoever made the model must act, or another time or another process may load it.
    pub const fn disposition(&self) -> Disposition {
        match self {
            Self::NoOnnxRuntime => Disposition::Waiting,
            Self::NotStarted(_) => Disposition::Transient,
            Self::Graph(_)
            | Self::Malformed(_)
            | Self::External { .. }
            | Self::Property { .. }
            | Self::Signature { .. }
            | Self::Role { .. }
            | Self::Foreign(_)
            | Self::NoPrediction { .. } => Disposition::Invalid,
        }
    }
}
