use expect_test::{Expect, expect};
use prost::Message as _;

use super::onnx::ModelProto;
use super::*;

mod hostile;
mod inline;
mod numbering;
mod theirs;

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
    let feature = |at: usize| Feature {
        name: format!("x{at}"),
        derivation: planner::training::Derivation::Column(format!("x{at}")),
    };
    let signature = graph.signature((0..graph.width()).map(feature).collect(), None);
    Model::read(&encode_with_signature(graph, &signature), &Limits::default()).unwrap()
}

/// Says what a graph means, number by number.
fn meant(graph: &Graph, row: &[f64]) -> Vec<f64> {
    match graph {
        Graph::Linear { weights, intercept } => {
            vec![row.iter().zip(weights).map(|(x, weight)| x * weight).sum::<f64>() + intercept]
        }
        Graph::Trees(trees) => {
            let leaf = |root: &Child| {
                let mut child = *root;
                while !child.is_leaf() {
                    let split = &trees.splits[child.index()];
                    let is_below = row[split.feature as usize] < split.threshold;
                    child = if is_below { split.below } else { split.otherwise };
                }
                trees.leaves[child.index()]
            };
            vec![trees.roots.iter().map(leaf).sum::<f64>() + trees.base]
        }
        Graph::Logistic {
            weights, intercepts, ..
        } => {
            let k = intercepts.len();
            let logit = |class: usize| {
                let sum = row.iter().enumerate().map(|(at, x)| x * weights[at * k + class]);
                sum.sum::<f64>() + intercepts[class]
            };
            let logits: Vec<f64> = (0..k).map(logit).collect();
            let most = logits.iter().copied().fold(f64::NEG_INFINITY, f64::max);
            let powers: Vec<f64> = logits.iter().map(|logit| (logit - most).exp()).collect();
            let sum: f64 = powers.iter().sum();
            powers.iter().map(|power| power / sum).collect()
        }
    }
}

#[test]
fn what_is_written_predicts_what_the_graph_means() {
    let rows = [0.0, -1.0, 0.5, 0.0, 1.0, 3.0, 0.25, 1.0];
    for graph in forms() {
        let model = decoded(&graph);
        assert_eq!(model.width(), 2);
        let expected: Vec<f64> = rows.chunks(2).flat_map(|row| meant(&graph, row)).collect();
        let predicted = model.predict(&rows).unwrap();
        let close = |(a, b): (&f64, &f64)| (a - b).abs() <= 1e-12 * b.abs();
        assert_eq!(predicted.numbers().len(), expected.len());
        assert!(
            predicted.numbers().iter().zip(&expected).all(close),
            "{graph:?}: {predicted:?} {expected:?}"
        );
    }
}

#[test]
fn linear_models_sum_weighted_inputs() {
    let predictions = decoded(&linear()).predict(&[0.0, 0.0, 1.0, 4.0]).unwrap();
    assert_eq!(predictions, Predictions::Numbers(vec![1.0, 1.0]));
}

#[test]
fn trees_branch_below_the_threshold_and_send_nan_the_other_way() {
    let model = decoded(&trees());
    let rows = [0.9, -0.1, 0.9, 0.0, 1.0, -0.1, f64::NAN, 0.0];
    let expected = vec![10.75, 20.75, 30.75, 30.75];
    assert_eq!(model.predict(&rows).unwrap(), Predictions::Numbers(expected));
    // More rows than a block.
    let many: Vec<f64> = rows.repeat(100);
    let Predictions::Numbers(numbers) = model.predict(&many).unwrap() else {
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
    } = model
        .predict(&[1.0, 0.0, -1.0, 0.0, 0.0, 0.25, 1000.0, 1000.0])
        .unwrap()
    else {
        panic!("a classifier")
    };
    assert_eq!(k, 3);
    assert_eq!(index, [Some(0), Some(2), Some(1), Some(1)]);
    for row in probabilities.chunks(3) {
        assert!((row.iter().sum::<f64>() - 1.0).abs() < 1e-12, "{row:?}");
    }
    let tie = Graph::Logistic {
        weights: vec![1.0, 1.0],
        intercepts: vec![0.0, 0.0],
        labels: Labels::Numbers(vec![4, 2]),
    };
    let Predictions::Classes { index, .. } = decoded(&tie).predict(&[3.0]).unwrap() else {
        panic!("a classifier")
    };
    assert_eq!(index, [Some(0)]);
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
    let read = |bytes: &[u8]| {
        Model::read(bytes, &Limits::default())
            .unwrap()
            .signature()
            .clone()
    };
    assert_eq!(read(&bytes), signature);
    // Put into another file it takes the place of what stood there, and changes nothing else.
    let plain = encode(&graph);
    assert_eq!(with_signature(&plain, &signature).unwrap(), bytes);
    assert_eq!(with_signature(&bytes, &signature).unwrap(), bytes);
    assert!(with_signature(b"not an onnx file", &signature).is_err());
    expect![[r#"input_0, input_1: BYTES label, FP64 probabilities, labels ["a", "b", "c"]"#]]
        .assert_eq(&shown(&read(&plain)));

    let properties = ModelProto::decode(bytes.as_slice()).unwrap().metadata_props;
    let listed: Vec<String> = properties
        .iter()
        .map(|property| format!("{} {}", property.key, property.value))
        .collect();
    expect![[r#"aurora.io/signature {"features":[{"derivation":{"column":"raw \"a\""},"name":"a"},{"derivation":{"ratio":["n","m"]},"name":"b"}],"inputs":[{"datatype":"FP64","name":"input","shape":[-1,2]}],"labels":["a","b","c"],"missing_values":false,"outputs":[{"datatype":"BYTES","name":"label","shape":[-1]},{"datatype":"FP64","name":"probabilities","shape":[-1,3]}],"target_column":"kind","target_divide_by":100000.0,"target_unit":"100,000 USD"}"#]].assert_eq(&listed.join("\n"));

    let change = |change: &dyn Fn(&mut ModelProto)| {
        let mut model = ModelProto::decode(bytes.as_slice()).unwrap();
        change(&mut model);
        match Model::read(&model.encode_to_vec(), &Limits::default()) {
            Ok(model) => format!("read: {}", shown(model.signature())),
            Err(error) => error.to_string(),
        }
    };
    check(
        &[
            change(&|model| model.metadata_props[0].key = "of another tool".to_owned()),
            change(&|model| model.metadata_props[0].value = "{}".to_owned()),
            change(&|model| {
                let value = &mut model.metadata_props[0].value;
                *value = value.replace(r#""labels":["a","b","c"]"#, r#""labels":["a","b","a"]"#);
            }),
            change(&|model| {
                let value = &mut model.metadata_props[0].value;
                *value = value.replace("[-1,2]", "[-1,3]");
            }),
            change(&|model| {
                let value = &mut model.metadata_props[0].value;
                *value = value.replace(
                    "}],\"inputs\"",
                    "},{\"derivation\":{\"column\":\"c\"},\"name\":\"c\"}],\"inputs\"",
                );
            }),
            change(&|model| {
                let value = &mut model.metadata_props[0].value;
                *value = value.replace(
                    "\"target_column\"",
                    "\"roles\":{\"label\":\"kind\"},\"target_column\"",
                );
            }),
            change(&|model| model.metadata_props[0].value = "[".repeat(100_000)),
            change(&|model| model.metadata_props[0].value = " ".repeat(9 << 20)),
            change(&|model| {
                let again = model.metadata_props[0].clone();
                model.metadata_props.push(again);
            }),
        ],
        &expect![[r#"
            read: input_0, input_1: BYTES label, FP64 probabilities, labels ["a", "b", "c"]
            property "aurora.io/signature": is no signature: missing field `inputs` at line 1 column 2
            the artifact contradicts its metadata: its labels are "a", "b", "c", and the signature names "a", "b", "a"
            the artifact contradicts its metadata: its tensors are not those of the signature
            the artifact contradicts its metadata: it takes 2 values a row, and the signature names 3 features
            the label is to be output "kind", which the model does not give
            property "aurora.io/signature": is no signature: invalid type: sequence, expected a string at line 1 column 3
            property "aurora.io/signature": has more than 8388608 bytes
            property "aurora.io/signature": is given twice
        "#]],
    );
}

/// Shows the parts of a signature that a graph says by itself.
fn shown(signature: &Signature) -> String {
    let features: Vec<&str> = signature
        .features
        .iter()
        .map(|feature| feature.name.as_str())
        .collect();
    let outputs: Vec<String> = signature
        .outputs
        .iter()
        .map(|output| format!("{} {}", output.datatype, output.name))
        .collect();
    let labels = match &signature.labels {
        Labels::Numbers(labels) => format!("{labels:?}"),
        Labels::Words(labels) => format!("{labels:?}"),
    };
    format!("{}: {}, labels {labels}", features.join(", "), outputs.join(", "))
}

/// Changes one thing in a written artifact and returns what the reader says.
fn refusal(graph: &Graph, change: impl FnOnce(&mut ModelProto)) -> String {
    let mut model = ModelProto::decode(encode(graph).as_slice()).unwrap();
    change(&mut model);
    match Model::read(&model.encode_to_vec(), &Limits::default()) {
        Ok(model) => format!("read: {}", shown(model.signature())),
        Err(error) => error.to_string(),
    }
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
            refusal(&linear(), |m| {
                m.graph.as_mut().unwrap().initializer[0].dims = vec![3, 1];
            }),
            refusal(&linear(), |m| {
                m.graph.as_mut().unwrap().initializer[0].raw_data.pop();
            }),
            refusal(&linear(), |m| {
                m.graph.as_mut().unwrap().initializer[0].data_location = 1;
            }),
            refusal(&linear(), |m| {
                let graph = m.graph.as_mut().unwrap();
                let again = graph.node[0].clone();
                graph.node.push(again);
            }),
            refusal(&words, |m| {
                m.graph.as_mut().unwrap().output[1].name = "scores".to_owned();
            }),
        ],
        &expect![[r#"
            this is no ONNX file: it has no graph
            tensor "weights": has shape [3, 1] and 2 values
            this is no ONNX file: packed numbers end in the middle of one
            tensor "weights": lies in a file of its own; supported: one file: see `files` of an import
            MatMul "matmul": gives "sum", which something else gives too
            output "scores": takes "scores", which nothing before it gives
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
            refusal(&trees(), |m| {
                attribute(m, "nodes_falseleafs").ints.pop();
            }),
            refusal(&trees(), |m| {
                attribute(m, "post_transform").name = "membership_values".to_owned();
            }),
        ],
        &expect![[r#"
            TreeEnsemble "treeensemble": comes back to split 0 (in tree 0)
            TreeEnsemble "treeensemble": leads to split 77, and there are 3 (in tree 0)
            TreeEnsemble "treeensemble": leads to leaf 77, and there are 5 (in tree 0)
            attribute "nodes_truenodeids" of TreeEnsemble "treeensemble": has -1, which is no index
            attribute "nodes_trueleafs" of TreeEnsemble "treeensemble": has 2, not 0 or 1
            TreeEnsemble "treeensemble": looks at feature 2, and a row has 2
            TreeEnsemble "treeensemble": leads to split 9, and there are 3 (in tree 0)
            attribute "nodes_falseleafs" of TreeEnsemble "treeensemble": has 2 entries, and there are 3
            attribute "membership_values" of TreeEnsemble "treeensemble": is there; supported: splits that compare with one number
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
            linear: MatMul 0: MatMul "matmul": takes "other", which nothing before it gives
            linear: MatMul 1: MatMul "matmul": takes "other", which nothing before it gives
            linear: Add 0: Add "add": takes "other", which nothing before it gives
            linear: Add 1: Add "add": takes "other", which nothing before it gives
            trees: TreeEnsemble 0: TreeEnsemble "treeensemble": takes "other", which nothing before it gives
            trees: Add 0: Add "add": takes "other", which nothing before it gives
            trees: Add 1: Add "add": takes "other", which nothing before it gives
            words: MatMul 0: MatMul "matmul": takes "other", which nothing before it gives
            words: MatMul 1: MatMul "matmul": takes "other", which nothing before it gives
            words: Add 0: Add "add": takes "other", which nothing before it gives
            words: Add 1: Add "add": takes "other", which nothing before it gives
            words: Softmax 0: Softmax "softmax": takes "other", which nothing before it gives
            words: ArgMax 0: ArgMax "argmax": takes "other", which nothing before it gives
            words: Gather 0: Gather "gather": takes "other", which nothing before it gives
            words: Gather 1: Gather "gather": takes "other", which nothing before it gives
        "#]],
    );
}
