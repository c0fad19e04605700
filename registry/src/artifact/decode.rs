//! Reads ONNX bytes into a [`Graph`], by following each output back to the input.
//!
//! Whatever is not exactly one of the forms is refused: a node left over, an attribute that we do not know, an index out
//! of range. Nothing is guessed.

mod parts;
mod values;

use prost::Message as _;

use super::encode::{BRANCH_LT, ML_DOMAIN, ML_OPSET, OPSET, SUM};
use super::onnx::{self, GraphProto, ModelProto, NodeProto, OperatorSetIdProto};
use super::{
    ArtifactError, Child, Graph, LABEL, Limits, PREDICTION, PROBABILITIES, Split, Trees, count, signature,
};
use crate::metadata::Signature;
use parts::{Attributes, Parts};

/// The newest operator set whose `MatMul`, `Add`, `Softmax`, `ArgMax` and `Gather` we know.
const OPSET_MAX: i64 = 25;
/// From here on `Softmax` works along one axis.
const OPSET_MIN: i64 = 13;

/// Reads the graph, and the signature that the file's own metadata holds.
pub(super) fn decode(bytes: &[u8], limits: &Limits) -> Result<(Graph, Option<Signature>), ArtifactError> {
    if bytes.len() > limits.bytes_max {
        return Err(ArtifactError::TooLarge {
            bytes: bytes.len(),
            max: limits.bytes_max,
        });
    }
    onnx::scan(bytes, limits)?;
    let model = ModelProto::decode(bytes).map_err(ArtifactError::malformed)?;
    check_operators(&model.opset_import)?;
    let graph = model.graph.as_ref().ok_or_else(|| ArtifactError::Malformed {
        reason: "it has no graph".to_owned(),
    })?;
    let names: Vec<&str> = graph.output.iter().map(|output| output.name.as_str()).collect();
    let width = values::input_width(&graph.input)?;
    let decoded = match names.as_slice() {
        [PREDICTION] => regression(graph, width, limits)?,
        [LABEL, PROBABILITIES] => classification(graph, width)?,
        _ => {
            return Err(unsupported(
                "the graph's outputs".to_owned(),
                format!("are {names:?}"),
                "\"prediction\", or \"label\" and \"probabilities\"",
            ));
        }
    };
    values::check_outputs(&graph.output, &decoded)?;
    Ok((decoded, signature::read(&model.metadata_props)?))
}

fn check_operators(imports: &[OperatorSetIdProto]) -> Result<(), ArtifactError> {
    let mut standard = None;
    for import in imports {
        let place = || format!("the import of operator set {:?}", import.domain);
        let version = format!("has version {}", import.version);
        match import.domain.as_str() {
            "" | "ai.onnx" if (OPSET_MIN..=OPSET_MAX).contains(&import.version) => {
                standard = Some(import.version);
            }
            "" | "ai.onnx" => return Err(unsupported(place(), version, "13 to 25")),
            ML_DOMAIN if import.version == ML_OPSET => {}
            ML_DOMAIN => return Err(unsupported(place(), version, "5")),
            _ => {
                return Err(unsupported(
                    place(),
                    version,
                    "the operator sets ai.onnx and ai.onnx.ml",
                ));
            }
        }
    }
    match standard {
        Some(_) => Ok(()),
        None => Err(unsupported(
            "the imported operator sets".to_owned(),
            "lack ai.onnx".to_owned(),
            "13 to 25",
        )),
    }
}

fn regression(graph: &GraphProto, width: usize, limits: &Limits) -> Result<Graph, ArtifactError> {
    let mut parts = Parts::new(graph)?;
    let add = parts.node(PREDICTION, "Add", "", 2)?;
    let added = parts.doubles(&add.input[1], &[1])?[0];
    let sum = parts.producer(&add.input[0])?;
    let decoded = if sum.op_type == "TreeEnsemble" {
        let node = parts.node(&add.input[0], "TreeEnsemble", ML_DOMAIN, 1)?;
        parts::check_input(node)?;
        Graph::Trees(trees(node, width, added, limits)?)
    } else {
        let node = parts.node(&add.input[0], "MatMul", "", 2)?;
        parts::check_input(node)?;
        Graph::Linear {
            weights: parts.doubles(&node.input[1], &[width, 1])?,
            intercept: added,
        }
    };
    parts.finish()?;
    Ok(decoded)
}

fn classification(graph: &GraphProto, width: usize) -> Result<Graph, ArtifactError> {
    let mut parts = Parts::new(graph)?;
    let gather = parts.node(LABEL, "Gather", "", 2)?;
    Attributes::of(gather).expect_ints(&[("axis", 0, 0)])?;
    let labels = parts.labels(&gather.input[0])?;
    let k = count(&labels);
    let argmax = parts.node(&gather.input[1], "ArgMax", "", 1)?;
    Attributes::of(argmax).expect_ints(&[("axis", 1, 0), ("keepdims", 0, 1), ("select_last_index", 0, 0)])?;
    if argmax.input[0] != PROBABILITIES {
        return Err(parts::inconsistent(
            parts::node_place(argmax),
            format!("takes {:?} instead of \"probabilities\"", argmax.input[0]),
        ));
    }
    let softmax = parts.node(PROBABILITIES, "Softmax", "", 1)?;
    Attributes::of(softmax).expect_ints(&[("axis", 1, -1)])?;
    let add = parts.node(&softmax.input[0], "Add", "", 2)?;
    let matmul = parts.node(&add.input[0], "MatMul", "", 2)?;
    parts::check_input(matmul)?;
    let decoded = Graph::Logistic {
        weights: parts.doubles(&matmul.input[1], &[width, k])?,
        intercepts: parts.doubles(&add.input[1], &[k])?,
        labels,
    };
    parts.finish()?;
    Ok(decoded)
}

/// Reads an `ai.onnx.ml` 5 `TreeEnsemble` of doubles with one target.
fn trees(node: &NodeProto, width: usize, base: f64, limits: &Limits) -> Result<Trees, ArtifactError> {
    let mut attributes = Attributes::of(node);
    attributes.int_is("aggregate_function", SUM, SUM)?;
    attributes.int_is("n_targets", 1, 1)?;
    attributes.int_is("post_transform", 0, 0)?;
    let leaves = attributes.doubles("leaf_weights", None)?;
    attributes.all_zero("leaf_targetids", leaves.len())?;
    let thresholds = attributes.doubles("nodes_splits", None)?;
    let n = thresholds.len();
    attributes.bytes_are("nodes_modes", BRANCH_LT, n)?;
    let features = attributes.ints("nodes_featureids", Some(n))?;
    let below = children(&mut attributes, "nodes_truenodeids", "nodes_trueleafs", n)?;
    let otherwise = children(&mut attributes, "nodes_falsenodeids", "nodes_falseleafs", n)?;
    let roots = attributes.ints("tree_roots", None)?;
    let roots = roots
        .iter()
        .map(|root| index(node, "tree_roots", *root).and_then(|root| child(node, "tree_roots", root, false)));
    let roots: Vec<Child> = roots.collect::<Result<_, _>>()?;
    attributes.finish()?;

    let mut splits = Vec::with_capacity(n);
    for (i, threshold) in thresholds.iter().enumerate() {
        let feature = index(node, "nodes_featureids", features[i])?;
        splits.push(Split {
            threshold: *threshold,
            feature: u32::try_from(feature).unwrap_or(u32::MAX),
            below: below[i],
            otherwise: otherwise[i],
        });
    }
    let trees = Trees {
        width,
        base,
        roots,
        splits,
        leaves,
    };
    trees.check(&parts::node_place(node), limits)?;
    Ok(trees)
}

fn children(
    attributes: &mut Attributes<'_>,
    ids: &'static str,
    leaf_flags: &'static str,
    n: usize,
) -> Result<Vec<Child>, ArtifactError> {
    let node = attributes.node;
    let targets = attributes.ints(ids, Some(n))?;
    let flags = attributes.ints(leaf_flags, Some(n))?;
    let pairs = targets.iter().zip(flags);
    pairs
        .map(|(target, flag)| {
            let is_leaf = match flag {
                0 => false,
                1 => true,
                other => {
                    let place = parts::attribute_place(node, leaf_flags);
                    return Err(parts::inconsistent(place, format!("has {other}, not 0 or 1")));
                }
            };
            child(node, ids, index(node, ids, *target)?, is_leaf)
        })
        .collect()
}

fn child(
    node: &NodeProto,
    attribute: &'static str,
    index: usize,
    is_leaf: bool,
) -> Result<Child, ArtifactError> {
    let child = if is_leaf {
        Child::leaf(index)
    } else {
        Child::split(index)
    };
    child.ok_or_else(|| {
        parts::inconsistent(
            parts::attribute_place(node, attribute),
            format!("has {index}, which is out of range"),
        )
    })
}

fn index(node: &NodeProto, attribute: &'static str, value: i64) -> Result<usize, ArtifactError> {
    usize::try_from(value).map_err(|_negative| {
        parts::inconsistent(
            parts::attribute_place(node, attribute),
            format!("has {value}, which is no index"),
        )
    })
}

fn unsupported(place: String, found: String, supported: &'static str) -> ArtifactError {
    ArtifactError::Unsupported {
        place,
        found,
        supported,
    }
}

const _: () = assert!(OPSET >= OPSET_MIN && OPSET <= OPSET_MAX);
