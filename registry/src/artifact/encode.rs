//! Writes a [`Graph`] as ONNX in FP64. The same graph gives the same bytes.

use prost::Message as _;

use super::onnx::{
    AttributeProto, Dimension, DimensionProto, GraphProto, ModelProto, NodeProto, OperatorSetIdProto,
    TensorProto, TensorShapeProto, TensorTypeProto, TypeProto, ValueInfoProto, attribute_type, data_type,
};
use super::{Child, Graph, INPUT, LABEL, PREDICTION, PROBABILITIES, Split, Trees, count};
use crate::metadata::Labels;

/// ONNX 1.16: the first with `TreeEnsemble`.
const IR_VERSION: i64 = 10;
pub(super) const OPSET: i64 = 18;
pub(super) const ML_DOMAIN: &str = "ai.onnx.ml";
pub(super) const ML_OPSET: i64 = 5;

/// `nodes_modes` of `TreeEnsemble`: the first branch is taken where the input is less than the threshold.
pub(super) const BRANCH_LT: u8 = 1;
/// `aggregate_function` of `TreeEnsemble`.
pub(super) const SUM: i64 = 1;

/// Writes `graph` as an ONNX file: input `input`, outputs `prediction`, or `label` and `probabilities`.
///
/// Linear models are `MatMul` + `Add`, trees one `ai.onnx.ml` 5 `TreeEnsemble` + `Add`, logistic ones `MatMul` + `Add`
/// + `Softmax`, with `ArgMax` + `Gather` for the labels. All numbers are doubles.
pub fn encode(graph: &Graph) -> Vec<u8> {
    let (name, node, initializer) = match graph {
        Graph::Linear { weights, intercept } => ("linear", linear_nodes(), {
            vec![
                doubles("weights", &[weights.len(), 1], weights),
                doubles("intercept", &[1], &[*intercept]),
            ]
        }),
        Graph::Trees(trees) => (
            "trees",
            tree_nodes(trees),
            vec![doubles("base", &[1], &[trees.base])],
        ),
        Graph::Logistic {
            weights,
            intercepts,
            labels,
        } => ("logistic", logistic_nodes(), {
            vec![
                doubles("weights", &[graph.width(), intercepts.len()], weights),
                doubles("intercepts", &[intercepts.len()], intercepts),
                label_tensor(labels),
            ]
        }),
    };
    let output = match graph {
        Graph::Linear { .. } | Graph::Trees(_) => vec![value(PREDICTION, data_type::DOUBLE, &[1])],
        Graph::Logistic { labels, .. } => vec![
            value(LABEL, label_type(labels), &[]),
            value(PROBABILITIES, data_type::DOUBLE, &[count(labels)]),
        ],
    };
    let mut opset_import = vec![OperatorSetIdProto {
        domain: String::new(),
        version: OPSET,
    }];
    if matches!(graph, Graph::Trees(_)) {
        opset_import.push(OperatorSetIdProto {
            domain: ML_DOMAIN.to_owned(),
            version: ML_OPSET,
        });
    }
    let model = ModelProto {
        ir_version: IR_VERSION,
        producer_name: "aurora".to_owned(),
        graph: Some(GraphProto {
            node,
            name: name.to_owned(),
            initializer,
            input: vec![value(INPUT, data_type::DOUBLE, &[graph.width()])],
            output,
        }),
        opset_import,
    };
    model.encode_to_vec()
}

fn linear_nodes() -> Vec<NodeProto> {
    vec![
        node("MatMul", &[INPUT, "weights"], "sum", Vec::new()),
        node("Add", &["sum", "intercept"], PREDICTION, Vec::new()),
    ]
}

fn logistic_nodes() -> Vec<NodeProto> {
    vec![
        node("MatMul", &[INPUT, "weights"], "sums", Vec::new()),
        node("Add", &["sums", "intercepts"], "logits", Vec::new()),
        node("Softmax", &["logits"], PROBABILITIES, vec![int("axis", 1)]),
        node(
            "ArgMax",
            &[PROBABILITIES],
            "index",
            vec![int("axis", 1), int("keepdims", 0), int("select_last_index", 0)],
        ),
        node("Gather", &["labels", "index"], LABEL, vec![int("axis", 0)]),
    ]
}

fn tree_nodes(trees: &Trees) -> Vec<NodeProto> {
    let mut splits = trees.splits.clone();
    let roots = trees.roots.iter().map(|root| {
        if !root.is_leaf() {
            return integer(root.index());
        }
        // A root is an index of a split: a tree of one leaf becomes a split whose branches are both that leaf.
        splits.push(Split {
            threshold: 0.0,
            feature: 0,
            below: *root,
            otherwise: *root,
        });
        integer(splits.len() - 1)
    });
    let roots: Vec<i64> = roots.collect();
    let column = |of: fn(&Split) -> i64| splits.iter().map(of).collect::<Vec<i64>>();
    let thresholds: Vec<f64> = splits.iter().map(|split| split.threshold).collect();
    let modes = TensorProto {
        name: "nodes_modes".to_owned(),
        dims: vec![integer(splits.len())],
        data_type: data_type::UINT8,
        raw_data: vec![BRANCH_LT; splits.len()],
        ..TensorProto::default()
    };
    let mut ensemble = node(
        "TreeEnsemble",
        &[INPUT],
        "sum",
        vec![
            int("aggregate_function", SUM),
            ints("leaf_targetids", vec![0; trees.leaves.len()]),
            tensor(doubles("leaf_weights", &[trees.leaves.len()], &trees.leaves)),
            int("n_targets", 1),
            ints("nodes_falseleafs", column(|split| flag(split.otherwise))),
            ints(
                "nodes_falsenodeids",
                column(|split| integer(split.otherwise.index())),
            ),
            ints("nodes_featureids", column(|split| i64::from(split.feature))),
            tensor(modes),
            tensor(doubles("nodes_splits", &[splits.len()], &thresholds)),
            ints("nodes_trueleafs", column(|split| flag(split.below))),
            ints("nodes_truenodeids", column(|split| integer(split.below.index()))),
            int("post_transform", 0),
            ints("tree_roots", roots),
        ],
    );
    ML_DOMAIN.clone_into(&mut ensemble.domain);
    vec![ensemble, node("Add", &["sum", "base"], PREDICTION, Vec::new())]
}

fn flag(child: Child) -> i64 {
    i64::from(child.is_leaf())
}

fn integer(index: usize) -> i64 {
    i64::try_from(index).expect("invariant: a length in memory fits an i64")
}

fn node(op: &str, inputs: &[&str], output: &str, attribute: Vec<AttributeProto>) -> NodeProto {
    NodeProto {
        input: inputs.iter().map(|&name| name.to_owned()).collect(),
        output: vec![output.to_owned()],
        name: op.to_lowercase(),
        op_type: op.to_owned(),
        attribute,
        domain: String::new(),
    }
}

fn int(name: &str, i: i64) -> AttributeProto {
    AttributeProto {
        name: name.to_owned(),
        i,
        kind: attribute_type::INT,
        ..AttributeProto::default()
    }
}

fn ints(name: &str, ints: Vec<i64>) -> AttributeProto {
    AttributeProto {
        name: name.to_owned(),
        ints,
        kind: attribute_type::INTS,
        ..AttributeProto::default()
    }
}

fn tensor(tensor: TensorProto) -> AttributeProto {
    AttributeProto {
        name: tensor.name.clone(),
        t: Some(tensor),
        kind: attribute_type::TENSOR,
        ..AttributeProto::default()
    }
}

fn doubles(name: &str, dims: &[usize], values: &[f64]) -> TensorProto {
    TensorProto {
        name: name.to_owned(),
        dims: dims.iter().map(|n| integer(*n)).collect(),
        data_type: data_type::DOUBLE,
        raw_data: values.iter().flat_map(|value| value.to_le_bytes()).collect(),
        ..TensorProto::default()
    }
}

fn label_type(labels: &Labels) -> i32 {
    match labels {
        Labels::Numbers(_) => data_type::INT64,
        Labels::Words(_) => data_type::STRING,
    }
}

fn label_tensor(labels: &Labels) -> TensorProto {
    let mut tensor = TensorProto {
        name: "labels".to_owned(),
        dims: vec![integer(count(labels))],
        data_type: label_type(labels),
        ..TensorProto::default()
    };
    match labels {
        Labels::Numbers(labels) => {
            tensor.raw_data = labels.iter().flat_map(|label| label.to_le_bytes()).collect();
        }
        Labels::Words(labels) => {
            tensor.string_data = labels.iter().map(|label| label.clone().into_bytes()).collect();
        }
    }
    tensor
}

/// Describes a graph input or output: rows × `rest`.
fn value(name: &str, elem_type: i32, rest: &[usize]) -> ValueInfoProto {
    let rows = std::iter::once(Dimension::Param("N".to_owned()));
    let rest = rest.iter().map(|n| Dimension::Value(integer(*n)));
    let dim = rows
        .chain(rest)
        .map(|value| DimensionProto { value: Some(value) })
        .collect();
    ValueInfoProto {
        name: name.to_owned(),
        kind: Some(TypeProto {
            tensor_type: Some(TensorTypeProto {
                elem_type,
                shape: Some(TensorShapeProto { dim }),
            }),
        }),
    }
}
