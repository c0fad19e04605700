use expect_test::{Expect, expect};
use prost::Message as _;

use super::onnx::ModelProto;
use super::*;

mod hostile;
mod numbering;

fn linear() -> Graph {
    Graph::Linear {
        weights: vec![2.0, -0.5],
        intercept: 1.0,
    }
}

/// `x0 < 1 ? (x1 < 0 ? 10 : 20) : 30`, then a tree of one leaf.
fn trees() -> Graph {
    let split = |threshold, feature, below, otherwise| Split {
        threshold,
        feature,
        below,
        otherwise,
    };
    let leaf = |n| Child::leaf(n).unwrap();
    Graph::Trees(Trees {
        width: 2,
        base: 0.25,
        roots: vec![Child::split(0).unwrap(), leaf(3)],
        splits: vec![
            split(1.0, 0, Child::split(1).unwrap(), leaf(2)),
            split(0.0, 1, leaf(0), leaf(1)),
        ],
        leaves: vec![10.0, 20.0, 30.0, 0.5],
    })
}

fn logistic(labels: Labels) -> Graph {
    Graph::Logistic {
        weights: vec![1.0, 0.0, -1.0, 0.0, 2.0, 0.0],
        intercepts: vec![0.0, 0.5, 0.0],
        labels,
    }
}

fn words() -> Labels {
    Labels::Words(["a", "b", "c"].map(str::to_owned).to_vec())
}

fn forms() -> Vec<Graph> {
    vec![
        linear(),
        trees(),
        logistic(words()),
        logistic(Labels::Numbers(vec![-3, 0, 7])),
    ]
}

fn decoded(graph: &Graph) -> Model {
    Model::decode(&encode(graph), &Limits::default()).unwrap()
}

#[test]
fn what_is_written_is_read_back_and_written_the_same() {
    for graph in forms() {
        let bytes = encode(&graph);
        let model = Model::decode(&bytes, &Limits::default()).unwrap();
        assert_eq!(model.width(), 2);
        // A tree of one leaf comes back as a split; a second round changes nothing more.
        let again = encode(model.graph());
        assert_eq!(bytes, again, "{graph:?}");
        let rows = [0.0, -1.0, 0.5, 0.0, 1.0, 3.0, f64::NAN, 1.0];
        assert_eq!(
            format!("{:?}", model.predict(&rows)),
            format!("{:?}", Model::of(graph).predict(&rows))
        );
    }
}

#[test]
fn linear_models_sum_weighted_inputs() {
    let predictions = decoded(&linear()).predict(&[0.0, 0.0, 1.0, 4.0]);
    assert_eq!(predictions, Predictions::Numbers(vec![1.0, 1.0]));
}

#[test]
fn trees_branch_below_the_threshold_and_send_nan_the_other_way() {
    let model = decoded(&trees());
    let rows = [0.9, -0.1, 0.9, 0.0, 1.0, -0.1, f64::NAN, 0.0];
    let expected = vec![10.75, 20.75, 30.75, 30.75];
    assert_eq!(model.predict(&rows), Predictions::Numbers(expected));
    // More rows than a block.
    let many: Vec<f64> = rows.repeat(100);
    let Predictions::Numbers(numbers) = model.predict(&many) else {
        panic!("a regression")
    };
    assert!(
        numbers
            .chunks(4)
            .all(|chunk| chunk == [10.75, 20.75, 30.75, 30.75])
    );
    assert_eq!(numbers.len(), 400);
}

#[test]
fn logistic_models_answer_probabilities_and_the_first_of_equal_labels() {
    let model = decoded(&logistic(words()));
    assert_eq!(model.labels(), Some(&words()));
    let Predictions::Classes {
        index,
        probabilities,
        k,
    } = model.predict(&[1.0, 0.0, -1.0, 0.0, 0.0, 0.25, 1000.0, 1000.0])
    else {
        panic!("a classifier")
    };
    assert_eq!(k, 3);
    assert_eq!(index, [0, 2, 1, 1]);
    for row in probabilities.chunks(3) {
        assert!((row.iter().sum::<f64>() - 1.0).abs() < 1e-12, "{row:?}");
    }
    let tie = Graph::Logistic {
        weights: vec![1.0, 1.0],
        intercepts: vec![0.0, 0.0],
        labels: Labels::Numbers(vec![4, 2]),
    };
    let Predictions::Classes { index, .. } = decoded(&tie).predict(&[3.0]) else {
        panic!("a classifier")
    };
    assert_eq!(index, [0]);
}

#[test]
fn signatures_follow_the_protocol() {
    let text: Vec<String> = [
        linear(),
        logistic(words()),
        logistic(Labels::Numbers(vec![1, 2, 3])),
    ]
    .iter()
    .flat_map(|graph| {
        let signature = graph.signature(Vec::new(), None);
        let tensors: Vec<Tensor> = signature.inputs.into_iter().chain(signature.outputs).collect();
        tensors
    })
    .map(|tensor| format!("{} {} {:?}", tensor.name, tensor.datatype, tensor.shape))
    .collect();
    expect![[r"
        input FP64 [-1, 2]
        prediction FP64 [-1, 1]
        input FP64 [-1, 2]
        label BYTES [-1]
        probabilities FP64 [-1, 3]
        input FP64 [-1, 2]
        label INT64 [-1]
        probabilities FP64 [-1, 3]"]]
    .assert_eq(&text.join("\n"));
}

impl Model {
    /// Wraps a graph that was never written.
    fn of(graph: Graph) -> Self {
        Self { graph }
    }
}

#[test]
fn the_signature_stands_in_the_artifact() {
    let graph = logistic(words());
    let column = |name: &str| Feature {
        name: name.to_owned(),
        derivation: planner::training::Derivation::Column(format!("raw \"{name}\"")),
    };
    let ratio = Feature {
        name: "b".to_owned(),
        derivation: planner::training::Derivation::Ratio(["n".to_owned(), "m".to_owned()]),
    };
    let target = Target {
        column: "kind".to_owned(),
        divide_by: Some(1e5),
        unit: Some("100,000 USD".to_owned()),
    };
    let signature = graph.signature(vec![column("a"), ratio], Some(&target));
    let bytes = encode_with_signature(&graph, &signature);
    assert_eq!(bytes, encode_with_signature(&graph, &signature));
    let (model, read) = Model::decode_with_signature(&bytes, &Limits::default()).unwrap();
    assert_eq!((model.graph(), read), (&graph, Some(signature)));
    let plain = Model::decode_with_signature(&encode(&graph), &Limits::default()).unwrap();
    assert_eq!(plain, (model, None));

    let properties = ModelProto::decode(bytes.as_slice()).unwrap().metadata_props;
    let shown: Vec<String> = properties
        .iter()
        .map(|property| format!("{} {}", property.key, property.value))
        .collect();
    expect![[r#"aurora.io/signature {"features":[{"derivation":{"column":"raw \"a\""},"name":"a"},{"derivation":{"ratio":["n","m"]},"name":"b"}],"inputs":[{"datatype":"FP64","name":"input","shape":[-1,2]}],"labels":["a","b","c"],"missing_values":false,"outputs":[{"datatype":"BYTES","name":"label","shape":[-1]},{"datatype":"FP64","name":"probabilities","shape":[-1,3]}],"target_column":"kind","target_divide_by":100000.0,"target_unit":"100,000 USD"}"#]].assert_eq(&shown.join("\n"));

    let change = |change: &dyn Fn(&mut ModelProto)| {
        let mut model = ModelProto::decode(bytes.as_slice()).unwrap();
        change(&mut model);
        match Model::decode_with_signature(&model.encode_to_vec(), &Limits::default()) {
            Ok((_, signature)) => format!("read, with a signature: {}", signature.is_some()),
            Err(error) => error.to_string(),
        }
    };
    check(
        &[
            change(&|model| model.metadata_props[0].key = "of another tool".to_owned()),
            change(&|model| model.metadata_props[0].value = "{}".to_owned()),
            change(&|model| model.metadata_props[0].value = "[".repeat(100_000)),
            change(&|model| model.metadata_props[0].value = " ".repeat(9 << 20)),
            change(&|model| {
                let again = model.metadata_props[0].clone();
                model.metadata_props.push(again);
            }),
        ],
        &expect![[r#"
            read, with a signature: false
            property "aurora.io/signature": is no signature: missing field `inputs` at line 1 column 2
            property "aurora.io/signature": is no signature: invalid type: sequence, expected a string at line 1 column 3
            property "aurora.io/signature": has more than 8388608 bytes
            property "aurora.io/signature": is given twice
        "#]],
    );
}

/// Changes one thing in a written artifact and returns what the reader says.
fn refusal(graph: &Graph, change: impl FnOnce(&mut ModelProto)) -> String {
    let mut model = ModelProto::decode(encode(graph).as_slice()).unwrap();
    change(&mut model);
    let error = Model::decode(&model.encode_to_vec(), &Limits::default()).unwrap_err();
    error.to_string()
}

/// Compares refusals, one a line.
fn check(refusals: &[String], expected: &Expect) {
    expected.assert_eq(&(refusals.join("\n") + "\n"));
}

fn attribute<'a>(model: &'a mut ModelProto, name: &str) -> &'a mut super::onnx::AttributeProto {
    let nodes = &mut model.graph.as_mut().unwrap().node;
    let mut attributes = nodes.iter_mut().flat_map(|node| node.attribute.iter_mut());
    attributes.find(|attribute| attribute.name == name).unwrap()
}

#[test]
fn contradictions_are_refused_by_name() {
    let words = logistic(words());
    check(
        &[
            refusal(&linear(), |m| m.graph = None),
            refusal(&linear(), |m| m.opset_import[0].version = 9),
            refusal(&trees(), |m| m.opset_import[1].version = 3),
            refusal(&linear(), |m| {
                m.graph.as_mut().unwrap().node[0].op_type = "Gemm".to_owned();
            }),
            refusal(&linear(), |m| {
                m.graph.as_mut().unwrap().initializer[0].dims = vec![3, 1];
            }),
            refusal(&linear(), |m| {
                m.graph.as_mut().unwrap().initializer[0].raw_data.pop();
            }),
            refusal(&linear(), |m| {
                m.graph.as_mut().unwrap().initializer[1].raw_data = f64::NAN.to_le_bytes().to_vec();
            }),
            refusal(&linear(), |m| {
                m.graph.as_mut().unwrap().initializer[0].data_location = 1;
            }),
            refusal(&linear(), |m| {
                let graph = m.graph.as_mut().unwrap();
                let again = graph.node[0].clone();
                graph.node.push(again);
            }),
            refusal(&linear(), |m| {
                let graph = m.graph.as_mut().unwrap();
                let mut more = graph.node[0].clone();
                more.output = vec!["more".to_owned()];
                graph.node.push(more);
            }),
            refusal(&words, |m| attribute(m, "keepdims").i = 1),
            refusal(&words, |m| {
                m.graph.as_mut().unwrap().initializer[2].string_data[1] = b"a".to_vec();
            }),
            refusal(&words, |m| {
                m.graph.as_mut().unwrap().output[1].name = "scores".to_owned();
            }),
        ],
        &expect![[r#"
            the artifact is no ONNX file: it has no graph
            the import of operator set "": has version 9; supported: 13 to 25
            the import of operator set "ai.onnx.ml": has version 3; supported: 5
            node Gemm -> "sum": is of operator "" "Gemm"; supported: MatMul
            tensor "weights": has shape [3, 1] and 2 values; expected shape [2, 1]
            tensor "weights": has 15 bytes of data, no multiple of 8
            tensor "intercept": value 0 is not finite
            tensor "weights": has its data in another file; supported: data in the artifact itself
            node MatMul -> "sum": its output has a second source
            node MatMul -> "more": is not part of a form that is read
            attribute keepdims of node ArgMax -> "index": is 1; supported: 0
            tensor "labels": has 3 labels, 2 of them distinct
            the graph's outputs: are ["label", "scores"]; supported: "prediction", or "label" and "probabilities"
        "#]],
    );
}

#[test]
fn broken_trees_are_refused_by_name() {
    check(
        &[
            refusal(&trees(), |m| attribute(m, "nodes_truenodeids").ints[0] = 0),
            refusal(&trees(), |m| attribute(m, "nodes_truenodeids").ints[0] = 77),
            refusal(&trees(), |m| attribute(m, "nodes_truenodeids").ints[1] = 77),
            refusal(&trees(), |m| attribute(m, "nodes_truenodeids").ints[1] = -1),
            refusal(&trees(), |m| attribute(m, "nodes_trueleafs").ints[0] = 2),
            refusal(&trees(), |m| attribute(m, "nodes_featureids").ints[1] = 2),
            refusal(&trees(), |m| attribute(m, "tree_roots").ints[0] = 9),
            refusal(&trees(), |m| attribute(m, "tree_roots").ints[1] = 0),
            refusal(&trees(), |m| {
                attribute(m, "nodes_falseleafs").ints.pop();
            }),
            refusal(&trees(), |m| attribute(m, "aggregate_function").i = 0),
            refusal(&trees(), |m| {
                attribute(m, "nodes_modes").t.as_mut().unwrap().raw_data[1] = 0;
            }),
            refusal(&trees(), |m| {
                attribute(m, "post_transform").name = "membership_values".to_owned();
            }),
        ],
        &expect![[r#"
            node TreeEnsemble -> "sum": split 0 is reached twice (in tree 0)
            node TreeEnsemble -> "sum": tree 0 leads to split 77, and there are 3
            node TreeEnsemble -> "sum": tree 0 leads to leaf 77, and there are 5
            attribute nodes_truenodeids of node TreeEnsemble -> "sum": has -1, which is no index
            attribute nodes_trueleafs of node TreeEnsemble -> "sum": has 2, not 0 or 1
            node TreeEnsemble -> "sum": split 1 looks at input 2, and a row has 2
            node TreeEnsemble -> "sum": tree 0 leads to split 9, and there are 3
            node TreeEnsemble -> "sum": split 0 is reached twice (in tree 1)
            attribute nodes_falseleafs of node TreeEnsemble -> "sum": has 2 values instead of 3
            attribute aggregate_function of node TreeEnsemble -> "sum": is 0; supported: 1
            attribute nodes_modes of node TreeEnsemble -> "sum": has 0; supported: 1
            attribute membership_values of node TreeEnsemble -> "sum": is not supported, or given twice
        "#]],
    );
}

/// Sends input `at` of the node `op` to another value, and returns what the reader says.
fn rewired(graph: &Graph, op: &str, at: usize, value: &str) -> String {
    let refused = refusal(graph, |m| {
        let nodes = &mut m.graph.as_mut().unwrap().node;
        let node = nodes.iter_mut().find(|node| node.op_type == op).unwrap();
        value.clone_into(&mut node.input[at]);
    });
    format!("{op} {at}: {refused}")
}

#[test]
fn a_node_that_takes_another_value_is_refused_by_name() {
    let words = logistic(words());
    let all = [("linear", linear()), ("trees", trees()), ("words", words)];
    let mut refusals = Vec::new();
    for (name, graph) in &all {
        let model = ModelProto::decode(encode(graph).as_slice()).unwrap();
        for node in &model.graph.unwrap().node {
            for at in 0..node.input.len() {
                refusals.push(format!("{name}: {}", rewired(graph, &node.op_type, at, "other")));
            }
        }
    }
    check(
        &refusals,
        &expect![[r#"
        linear: MatMul 0: node MatMul -> "sum": takes "other"; supported: the graph's "input"
        linear: MatMul 1: tensor "other": it is missing or used twice
        linear: Add 0: value "other": no node makes it
        linear: Add 1: tensor "other": it is missing or used twice
        trees: TreeEnsemble 0: node TreeEnsemble -> "sum": takes "other"; supported: the graph's "input"
        trees: Add 0: value "other": no node makes it
        trees: Add 1: tensor "other": it is missing or used twice
        words: MatMul 0: node MatMul -> "sums": takes "other"; supported: the graph's "input"
        words: MatMul 1: tensor "other": it is missing or used twice
        words: Add 0: value "other": no node makes it
        words: Add 1: tensor "other": it is missing or used twice
        words: Softmax 0: value "other": no node makes it
        words: ArgMax 0: node ArgMax -> "index": takes "other" instead of "probabilities"
        words: Gather 0: tensor "other": it is missing or used twice
        words: Gather 1: value "other": no node makes it
    "#]],
    );
}

#[test]
fn labels_that_are_not_told_apart_are_refused_by_name() {
    let numbers = logistic(Labels::Numbers(vec![-3, 0, 7]));
    check(
        &[
            refusal(&numbers, |m| {
                let labels = &mut m.graph.as_mut().unwrap().initializer[2];
                labels.raw_data = [0_i64, 0, 7]
                    .iter()
                    .flat_map(|label| label.to_le_bytes())
                    .collect();
                labels.int64_data.clear();
            }),
            refusal(&numbers, |m| {
                m.graph.as_mut().unwrap().initializer[2].data_type = 1;
            }),
        ],
        &expect![[r#"
            tensor "labels": has 3 labels, 2 of them distinct
            tensor "labels": has data type 1; supported: INT64 or STRING
        "#]],
    );
}
