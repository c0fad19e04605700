//! Writes a [`Graph`] as ONNX in FP64. The same graph gives the same bytes.

use prost::Message as _;

use super::onnx::{
    AttributeProto, Dimension, DimensionProto, GraphProto, ModelProto, NodeProto, OperatorSetIdProto,
    StringStringEntryProto, TensorProto, TensorShapeProto, TensorTypeProto, TypeProto, ValueInfoProto,
    attribute_type, data_type,
};
use super::{Child, Graph, INPUT, LABEL, PREDICTION, PROBABILITIES, Split, Trees, signature};
use crate::metadata::{Labels, Signature};

/// ONNX 1.16: the first with `TreeEnsemble`.
const IR_VERSION: i64 = 10;
const OPSET: i64 = 18;
const ML_DOMAIN: &str = "ai.onnx.ml";
const ML_OPSET: i64 = 5;

/// `nodes_modes` of `TreeEnsemble`: the first branch is taken where the input is less than the threshold.
const BRANCH_LT: u8 = 1;
/// `aggregate_function` of `TreeEnsemble`.
const SUM: i64 = 1;

/// Writes `graph` as an ONNX file, with `signature` in the file's own metadata: its digest pins what goes in and comes out.
///
/// Input `input`, outputs `prediction`, or `label` and `probabilities`.
///
/// Linear models are `MatMul` + `Add`, trees one `ai.onnx.ml` 5 `TreeEnsemble` + `Add`, logistic ones `MatMul` + `Add`
/// + `Softmax`, with `ArgMax` + `Gather` for the labels. All numbers are doubles.
pub fn encode_with_signature(graph: &Graph, signature: &Signature) -> Vec<u8> {
    write(graph, vec![signature::property(signature)])
}

/// Writes `graph` as [`encode_with_signature`] does, without one: as artifacts were before they had it.
pub fn encode(graph: &Graph) -> Vec<u8> {
    write(graph, Vec::new())
}

fn write(graph: &Graph, metadata_props: Vec<StringStringEntryProto>) -> Vec<u8> {
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
            value(PROBABILITIES, data_type::DOUBLE, &[labels.len()]),
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
        metadata_props,
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
    let Numbered {
        roots,
        splits,
        leaves,
    } = Numbered::of(trees);
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
            ints("leaf_targetids", vec![0; leaves.len()]),
            tensor(doubles("leaf_weights", &[leaves.len()], &leaves)),
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

/// The nodes of [`Trees`] as an artifact numbers them.
///
/// Splits are numbered from the root down, the smaller inputs' side first; leaves from the last split of a tree up to its
/// root, each used once. So no split's two children have one number, though splits and leaves are counted apart: where
/// the root's had, onnxruntime before 1.24.4 takes the root for a leaf
/// (<https://github.com/microsoft/onnxruntime/issues/24679>).
struct Numbered {
    roots: Vec<i64>,
    splits: Vec<Split>,
    leaves: Vec<f64>,
}

impl Numbered {
    /// # Panics
    ///
    /// If a child points nowhere.
    fn of(trees: &Trees) -> Self {
        let mut numbered = Self {
            roots: Vec::with_capacity(trees.roots.len()),
            splits: Vec::with_capacity(trees.splits.len()),
            leaves: Vec::with_capacity(trees.leaves.len()),
        };
        let mut numbers = vec![None; trees.splits.len()];
        for root in &trees.roots {
            let number = if root.is_leaf() {
                numbered.add_leaf_as_tree(trees.leaves[root.index()])
            } else {
                numbered.add_tree(trees, *root, &mut numbers);
                numbers[root.index()].map_or(0, Child::index)
            };
            numbered.roots.push(integer(number));
        }
        numbered
    }

    /// A root is a split: a tree of one leaf becomes one whose branches both end in its value.
    fn add_leaf_as_tree(&mut self, value: f64) -> usize {
        let [below, otherwise] = [self.add_leaf(value), self.add_leaf(value)];
        self.splits.push(Split {
            threshold: 0.0,
            feature: 0,
            below,
            otherwise,
        });
        self.splits.len() - 1
    }

    /// Appends a tree. One that shares splits or goes in circles stays what it is, and is refused when it is read.
    fn add_tree(&mut self, trees: &Trees, root: Child, numbers: &mut [Option<Child>]) {
        let first = self.splits.len();
        let mut open = vec![root];
        while let Some(child) = open.pop() {
            if child.is_leaf() || numbers[child.index()].is_some() {
                continue;
            }
            numbers[child.index()] = Some(number(Child::split(self.splits.len())));
            let split = trees.splits[child.index()];
            open.extend([split.otherwise, split.below]);
            self.splits.push(split);
        }
        for at in (first..self.splits.len()).rev() {
            let Split { below, otherwise, .. } = self.splits[at];
            let [below, otherwise] = [below, otherwise].map(|child| {
                if child.is_leaf() {
                    self.add_leaf(trees.leaves[child.index()])
                } else {
                    numbers[child.index()].expect("invariant: all below a split was numbered with it")
                }
            });
            self.splits[at] = Split {
                below,
                otherwise,
                ..self.splits[at]
            };
        }
    }

    fn add_leaf(&mut self, value: f64) -> Child {
        self.leaves.push(value);
        number(Child::leaf(self.leaves.len() - 1))
    }
}

fn number(child: Option<Child>) -> Child {
    child.expect("invariant: as many nodes fit no memory")
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
        dims: vec![integer(labels.len())],
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
