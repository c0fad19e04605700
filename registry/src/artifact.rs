//! The artifact format: ONNX graphs in FP64, written, read and evaluated by our own few messages (docs/design.md, "The
//! artifact format").
//!
//! ```text
//! Graph --encode--> bytes --decode--> Model --predict--> Predictions
//! ```
//!
//! Data, never code: the reader knows three forms (linear, trees, logistic) and refuses everything else by naming the
//! node, attribute or tensor that is wrong. Bytes hold no time, commit or version. Reading is bounded by [`Limits`],
//! never recurses over the content, and never panics on it.

mod decode;
mod encode;
mod evaluate;
mod load;
mod onnx;
mod signature;
mod trees;

#[cfg(test)]
mod tests;

pub use encode::{encode, encode_with_signature};
pub use evaluate::Predictions;
pub use load::{LoadError, Pinned, inspect, load, load_bytes};
pub use signature::SIGNATURE_KEY;
pub use trees::{Child, Split, Trees};

use crate::metadata::{Labels, Signature, Tensor};
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
                    tensor(PROBABILITIES, "FP64", &[count(labels)]),
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
        }
    }
}

/// Returns how many labels there are.
fn count(labels: &Labels) -> usize {
    match labels {
        Labels::Numbers(labels) => labels.len(),
        Labels::Words(labels) => labels.len(),
    }
}

/// A decoded artifact, ready to predict. Cheap to share, immutable.
#[derive(Debug, Clone, PartialEq)]
pub struct Model {
    graph: Graph,
}

impl Model {
    /// Reads an artifact.
    ///
    /// Everything is checked here: shapes against data, indices against ranges, trees against cycles and depth.
    pub fn decode(bytes: &[u8], limits: &Limits) -> Result<Self, ArtifactError> {
        Ok(Self::decode_with_signature(bytes, limits)?.0)
    }

    /// Reads an artifact and the signature in its own metadata; artifacts of before they had it have none.
    pub fn decode_with_signature(
        bytes: &[u8],
        limits: &Limits,
    ) -> Result<(Self, Option<Signature>), ArtifactError> {
        let (graph, signature) = decode::decode(bytes, limits)?;
        Ok((Self { graph }, signature))
    }

    /// Returns how many inputs a row has.
    pub fn width(&self) -> usize {
        self.graph.width()
    }

    /// Returns the class labels in the order of the probabilities; `None` for a regression.
    pub fn labels(&self) -> Option<&Labels> {
        match &self.graph {
            Graph::Logistic { labels, .. } => Some(labels),
            Graph::Linear { .. } | Graph::Trees(_) => None,
        }
    }

    /// Returns the graph that it was read from.
    pub fn graph(&self) -> &Graph {
        &self.graph
    }

    /// Predicts rows, row-major `n × width`.
    ///
    /// Single-threaded and without waiting: about 10 µs a row for 500 trees. A NaN takes the second branch of a split,
    /// and makes a linear or logistic prediction NaN.
    ///
    /// # Panics
    ///
    /// If the length of `rows` is no multiple of [`Self::width`].
    pub fn predict(&self, rows: &[f64]) -> Predictions {
        evaluate::predict(&self.graph, rows)
    }
}

/// What an artifact may at most hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// The size of the file.
    pub bytes_max: usize,
    /// The splits of all trees together.
    pub splits_max: usize,
    /// The longest way from a root to a leaf.
    pub depth_max: usize,
    /// Texts, byte strings and nested messages.
    pub fields_max: usize,
    /// Whole numbers.
    pub integers_max: usize,
}

impl Default for Limits {
    /// 256 MiB, 4 M splits, depth 1,024.
    fn default() -> Self {
        Self {
            bytes_max: 256 << 20,
            splits_max: 4_000_000,
            depth_max: 1_024,
            fields_max: 100_000,
            integers_max: 32_000_000,
        }
    }
}

/// Says why bytes are no artifact that we serve. A person must act: another read gives the same.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ArtifactError {
    /// The file is larger than allowed.
    #[error("the artifact has {bytes} bytes, more than the {max} allowed")]
    TooLarge {
        /// Its size.
        bytes: usize,
        /// The limit.
        max: usize,
    },
    /// It holds more of something than allowed.
    #[error("the artifact holds more than the {max} {what} allowed")]
    TooMany {
        /// Of what.
        what: &'static str,
        /// The limit.
        max: usize,
    },
    /// It is no protobuf message.
    #[error("the artifact is no ONNX file: {reason}")]
    Malformed {
        /// What the decoder met.
        reason: String,
    },
    /// It is ONNX of a form that we do not read.
    #[error("{place}: {found}; supported: {supported}")]
    Unsupported {
        /// The node, attribute, tensor or value.
        place: String,
        /// What it is.
        found: String,
        /// What it would have to be.
        supported: &'static str,
    },
    /// It contradicts itself.
    #[error("{place}: {problem}")]
    Inconsistent {
        /// The node, attribute, tensor or value.
        place: String,
        /// What is wrong with it.
        problem: String,
    },
}

impl ArtifactError {
    #[expect(clippy::needless_pass_by_value, reason = "the argument of map_err")]
    fn malformed(error: prost::DecodeError) -> Self {
        Self::Malformed {
            reason: error.to_string(),
        }
    }
}
