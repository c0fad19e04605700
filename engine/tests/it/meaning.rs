//! Whose label a column is, what labels are chosen from, and where a value may be missing.

use engine::{Label, Tensor, Type};

use crate::model::{Elements, Model, Value};

/// Writes what is known of each tensor: `y: columns 3 7`.
fn said(tensors: &[Tensor]) -> String {
    let list = |labels: &[Label]| {
        let labels = labels.iter().map(|label| match label {
            Label::Number(number) => format!(" {number}"),
            Label::Text(text) => format!(" {text}"),
        });
        labels.collect::<String>()
    };
    let written = tensors.iter().map(|tensor| {
        let columns = tensor
            .labels
            .as_deref()
            .map(|labels| format!(" columns{}", list(labels)));
        let classes = tensor
            .classes
            .as_deref()
            .map(|labels| format!(" one of{}", list(labels)));
        let missing = if tensor.takes_missing { " or missing" } else { "" };
        let [columns, classes] = [columns, classes].map(Option::unwrap_or_default);
        format!("{}:{columns}{classes}{missing}", tensor.name)
    });
    written.collect::<Vec<_>>().join("; ")
}

#[track_caller]
fn check(model: &Model, expected: &str) {
    let program = model.read().unwrap();
    assert_eq!(said(&[program.inputs(), program.outputs()].concat()), expected);
}

fn x() -> Model {
    Model::new(13, 3).input("x", Type::F32, &[-1, 2])
}

const CLASSIFIER: &str = "ai.onnx.ml.LinearClassifier";

/// Coefficients of `scores` scores over two columns.
fn linear(labels: (&'static str, Value), scores: usize) -> Vec<(&'static str, Value)> {
    vec![
        labels,
        ("coefficients", Value::Floats(vec![1.0; 2 * scores])),
        ("intercepts", Value::Floats(vec![0.0; scores])),
    ]
}

#[test]
fn columns_have_the_labels_of_their_classifier() {
    let numbers = || ("classlabels_ints", Value::Ints(vec![3, 7]));
    let texts = || ("classlabels_strings", Value::Texts(vec!["no", "yes"]));
    let numbered = x().node(CLASSIFIER, &["x"], &["l", "s"], &linear(numbers(), 2));
    let named = x().node(CLASSIFIER, &["x"], &["l", "s"], &linear(texts(), 1));
    for (model, expected) in [
        (
            numbered.clone().output("l").output("s"),
            "x:; l: one of 3 7; s: columns 3 7",
        ),
        (
            named.clone().output("s").output("l"),
            "x:; s: columns no yes; l: one of no yes",
        ),
        // What is computed from the scores has their columns, as long as there are as many.
        (
            numbered
                .clone()
                .node("Softmax", &["s"], &["p"], &[])
                .node("ReduceMax", &["s"], &["m"], &[("axes", Value::Ints(vec![1]))])
                .output("l")
                .output("p")
                .output("m"),
            "x:; l: one of 3 7; p: columns 3 7; m:",
        ),
        // Without the label there is nothing to say that columns are still classes, but what leaves them in place.
        (
            numbered
                .clone()
                .node("Softmax", &["s"], &["p"], &[])
                .node("Cast", &["s"], &["wide"], &[("to", Value::Int(11))])
                .node("ai.onnx.ml.Normalizer", &["s"], &["n"], &[])
                .output("p")
                .output("wide")
                .output("n"),
            "x:; p:; wide: columns 3 7; n: columns 3 7",
        ),
        // Two classifiers that disagree name nothing.
        (
            numbered
                .node(CLASSIFIER, &["s"], &["l2", "s2"], &linear(texts(), 2))
                .node("Softmax", &["s2"], &["p"], &[])
                .output("l")
                .output("l2")
                .output("p"),
            "x:; l: one of 3 7; l2: one of no yes; p:",
        ),
        (
            named
                .node(
                    "ai.onnx.ml.ZipMap",
                    &["s"],
                    &["z"],
                    &[("classlabels_strings", Value::Texts(vec!["n", "y"]))],
                )
                .output("l")
                .output("z"),
            "x:; l: one of no yes; z: columns n y",
        ),
    ] {
        check(&model, expected);
    }
}

#[test]
fn labels_are_followed_from_the_largest_score() {
    let scores = || {
        x().constant("w", &[2, 3], &Elements::F32(vec![1.0; 6]))
            .node("MatMul", &["x", "w"], &["s"], &[])
            .node("Softmax", &["s"], &["p"], &[])
            .node(
                "ArgMax",
                &["s"],
                &["at"],
                &[("axis", Value::Int(1)), ("keepdims", Value::Int(0))],
            )
    };
    let texts = Elements::Texts(vec!["a", "b", "c"]);
    let numbers = Elements::I64(vec![5, 6, 7]);
    let cast = |to| [("to", Value::Int(to))];
    for (model, expected) in [
        (
            scores().output("at").output("p"),
            "x:; at: one of 0 1 2; p: columns 0 1 2",
        ),
        (
            scores()
                .constant("c", &[3], &texts)
                .node("Gather", &["c", "at"], &["l"], &[])
                .output("l")
                .output("p"),
            "x:; l: one of a b c; p: columns a b c",
        ),
        (
            scores()
                .constant("c", &[3], &numbers)
                .constant("all", &[1], &Elements::I64(vec![-1]))
                .node("ai.onnx.ml.ArrayFeatureExtractor", &["c", "at"], &["found"], &[])
                .node("Cast", &["found"], &["float"], &cast(1))
                .node("Reshape", &["float", "all"], &["flat"], &[])
                .node("Cast", &["flat"], &["l"], &cast(7))
                .output("found")
                .output("l")
                .output("s"),
            "x:; found: one of 5 6 7; l: one of 5 6 7; s: columns 5 6 7",
        ),
        (
            scores()
                .node(
                    "ai.onnx.ml.LabelEncoder",
                    &["at"],
                    &["l"],
                    &[
                        ("keys_int64s", Value::Ints(vec![2, 0])),
                        ("values_strings", Value::Texts(vec!["two", "none"])),
                    ],
                )
                .output("l")
                .output("p"),
            "x:; l: one of none _Unused two; p: columns none _Unused two",
        ),
        // The place of the smallest is no class.
        (
            scores()
                .node("ArgMin", &["s"], &["least"], &[("axis", Value::Int(1))])
                .output("least"),
            "x:; least:",
        ),
    ] {
        check(&model, expected);
    }
}

#[test]
fn a_value_may_be_missing_where_each_way_knows_it() {
    let tree = |model: Model, x: &str, y: &str| {
        let attributes = [
            ("nodes_treeids", Value::Ints(vec![0])),
            ("nodes_nodeids", Value::Ints(vec![0])),
            ("nodes_featureids", Value::Ints(vec![0])),
            ("nodes_values", Value::Floats(vec![0.0])),
            ("nodes_modes", Value::Texts(vec!["LEAF"])),
            ("nodes_truenodeids", Value::Ints(vec![0])),
            ("nodes_falsenodeids", Value::Ints(vec![0])),
            ("target_treeids", Value::Ints(vec![0])),
            ("target_nodeids", Value::Ints(vec![0])),
            ("target_ids", Value::Ints(vec![0])),
            ("target_weights", Value::Floats(vec![1.0])),
        ];
        model.node("ai.onnx.ml.TreeEnsembleRegressor", &[x], &[y], &attributes)
    };
    let impute = |model: Model, missing: f32, x: &str, y: &str| {
        let attributes = [
            ("imputed_value_floats", Value::Floats(vec![1.0])),
            ("replaced_value_float", Value::Float(missing)),
        ];
        model.node("ai.onnx.ml.Imputer", &[x], &[y], &attributes)
    };
    let cut = |model: Model, column: i64, y: &'static str| {
        model.constant(y, &[1], &Elements::I64(vec![column])).node(
            "ai.onnx.ml.ArrayFeatureExtractor",
            &["x", y],
            &[&format!("{y} of x")],
            &[],
        )
    };
    let keys = |keys: Vec<f32>| {
        [
            ("keys_floats", Value::Floats(keys)),
            ("values_int64s", Value::Ints(vec![0, 1])),
        ]
    };
    for (model, expected) in [
        (x().node("Abs", &["x"], &["y"], &[]).output("y"), "x:; y:"),
        (tree(x(), "x", "y").output("y"), "x: or missing; y:"),
        (impute(x(), f32::NAN, "x", "y").output("y"), "x: or missing; y:"),
        (impute(x(), -1.0, "x", "y").output("y"), "x:; y:"),
        // It goes through what works entry by entry, and beside the trees it is still there.
        (
            tree(x().node("Neg", &["x"], &["n"], &[]), "n", "y").output("y"),
            "x: or missing; y:",
        ),
        (
            tree(x(), "x", "t")
                .node("Add", &["t", "x"], &["y"], &[])
                .output("y"),
            "x:; y:",
        ),
        // One column may be missing where its imputer is, the other one may not.
        (
            impute(cut(cut(x(), 0, "a"), 1, "b"), f32::NAN, "a of x", "i")
                .node("Concat", &["i", "b of x"], &["y"], &[("axis", Value::Int(1))])
                .output("y"),
            "x: or missing; y:",
        ),
        (
            x().node(
                "ai.onnx.ml.LabelEncoder",
                &["x"],
                &["y"],
                &keys(vec![1.0, f32::NAN]),
            )
            .output("y"),
            "x: or missing; y:",
        ),
        (
            x().node("ai.onnx.ml.LabelEncoder", &["x"], &["y"], &keys(vec![1.0, 2.0]))
                .output("y"),
            "x:; y:",
        ),
        // Of two inputs each is asked for itself; whole numbers have no NaN.
        (
            tree(
                x().input("z", Type::F32, &[-1, 1])
                    .input("w", Type::I64, &[-1, 1]),
                "x",
                "t",
            )
            .node("Add", &["t", "z"], &["y"], &[])
            .output("y"),
            "x: or missing; z:; w:; y:",
        ),
    ] {
        check(&model, expected);
    }
}
