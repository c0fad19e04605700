//! Tree ensembles: thresholds, missing values, targets, classes.

use engine::{Buffer, Scratch, Type};
use proptest::prelude::*;

use crate::model::{Elements, Given, Model, Value, answer};

/// One split on each of two features: `x0 ? 1.5`, below it leaf 1 or `x1 ? 0` with leaves 10 and 100.
fn regressor(mode: &'static str, missing: &[i64]) -> Model {
    let attributes = [
        ("nodes_treeids", Value::Ints(vec![0; 5])),
        ("nodes_nodeids", Value::Ints(vec![0, 1, 2, 3, 4])),
        ("nodes_featureids", Value::Ints(vec![0, 0, 1, 0, 0])),
        ("nodes_values", Value::Floats(vec![1.5, 0.0, 0.0, 0.0, 0.0])),
        (
            "nodes_modes",
            Value::Texts(vec![mode, "LEAF", mode, "LEAF", "LEAF"]),
        ),
        ("nodes_truenodeids", Value::Ints(vec![1, 0, 3, 0, 0])),
        ("nodes_falsenodeids", Value::Ints(vec![2, 0, 4, 0, 0])),
        ("nodes_missing_value_tracks_true", Value::Ints(missing.to_vec())),
        ("target_treeids", Value::Ints(vec![0, 0, 0])),
        ("target_nodeids", Value::Ints(vec![1, 3, 4])),
        ("target_ids", Value::Ints(vec![0, 0, 0])),
        ("target_weights", Value::Floats(vec![1.0, 10.0, 100.0])),
    ];
    Model::new(13, 3)
        .input("x", Type::F32, &[-1, 2])
        .node("ai.onnx.ml.TreeEnsembleRegressor", &["x"], &["y"], &attributes)
        .output("y")
}

#[test]
fn a_row_takes_the_way_that_its_numbers_say() {
    let above = 1.5_f32.next_up();
    let rows = vec![
        1.5,
        0.0,
        above,
        0.0,
        above,
        -1.0,
        f32::NAN,
        1.0,
        f32::INFINITY,
        f32::NAN,
    ];
    for (mode, missing, expected) in [
        ("BRANCH_LEQ", [0, 0, 0, 0, 0], "1 10 10 100 100"),
        ("BRANCH_LEQ", [1, 0, 0, 0, 0], "1 10 10 1 100"),
        ("BRANCH_LEQ", [0, 0, 1, 0, 0], "1 10 10 100 10"),
        ("BRANCH_LT", [0, 0, 0, 0, 0], "100 100 10 100 100"),
        ("BRANCH_GT", [0, 0, 0, 0, 0], "100 1 1 10 1"),
        ("BRANCH_GT", [1, 0, 0, 0, 0], "100 1 1 1 1"),
        ("BRANCH_GTE", [0, 0, 0, 0, 0], "1 1 1 10 1"),
        ("BRANCH_EQ", [0, 0, 0, 0, 0], "1 10 100 100 100"),
        ("BRANCH_NEQ", [0, 0, 0, 0, 0], "100 1 1 1 1"),
    ] {
        let model = regressor(mode, &missing);
        let given = [Given::F32(rows.clone())];
        assert_eq!(
            answer(&model, 5, &given),
            format!("FP32 [5, 1]: {expected}"),
            "{mode} {missing:?}"
        );
    }
}

/// The nodes of one tree: at most 0 leads to node 1, all else to node 2.
fn stump() -> Vec<(&'static str, Value)> {
    vec![
        ("nodes_treeids", Value::Ints(vec![0, 0, 0])),
        ("nodes_nodeids", Value::Ints(vec![0, 1, 2])),
        ("nodes_featureids", Value::Ints(vec![0, 0, 0])),
        ("nodes_values", Value::Floats(vec![0.0, 0.0, 0.0])),
        ("nodes_modes", Value::Texts(vec!["BRANCH_LEQ", "LEAF", "LEAF"])),
        ("nodes_truenodeids", Value::Ints(vec![1, 0, 0])),
        ("nodes_falsenodeids", Value::Ints(vec![2, 0, 0])),
    ]
}

#[test]
fn of_one_target_a_leaf_adds_the_first_of_its_numbers() {
    let model = |targets: i64, ids: [i64; 4]| {
        let mut attributes = stump();
        attributes.extend([
            ("n_targets", Value::Int(targets)),
            ("target_treeids", Value::Ints(vec![0; 4])),
            ("target_nodeids", Value::Ints(vec![1, 1, 2, 2])),
            ("target_ids", Value::Ints(ids.to_vec())),
            ("target_weights", Value::Floats(vec![5.0, 7.0, 11.0, 13.0])),
        ]);
        Model::new(13, 3)
            .input("x", Type::F32, &[-1, 1])
            .node("ai.onnx.ml.TreeEnsembleRegressor", &["x"], &["y"], &attributes)
            .output("y")
    };
    let given = [Given::F32(vec![-1.0, 1.0])];
    // As onnxruntime 1.32 answers.
    assert_eq!(answer(&model(1, [0; 4]), 2, &given), "FP32 [2, 1]: 5 11");
    assert_eq!(
        answer(&model(2, [0, 0, 1, 1]), 2, &given),
        "FP32 [2, 2]: 12 0 0 24"
    );
}

#[test]
fn what_contradicts_itself_is_refused_by_name() {
    for (name, value, expected) in [
        (
            "nodes_truenodeids",
            Value::Ints(vec![9, 0, 3, 0, 0]),
            "leads to node 9 of tree 0, which is not there",
        ),
        (
            "nodes_truenodeids",
            Value::Ints(vec![0, 0, 3, 0, 0]),
            "comes back to split 0 (in tree 0)",
        ),
        (
            "nodes_featureids",
            Value::Ints(vec![0, 0, 7, 0, 0]),
            "looks at feature 7, and a row has 2",
        ),
        (
            "nodes_values",
            Value::Floats(vec![1.5]),
            "has 1 entries, and there are 5",
        ),
        (
            "nodes_nodeids",
            Value::Ints(vec![0, 1, 2, 3, 3]),
            "has node 3 of tree 0 twice",
        ),
        ("target_ids", Value::Ints(vec![0, 0, 4]), "has 4, and there are 1"),
        (
            "nodes_modes",
            Value::Texts(vec!["BRANCH_LEQ", "LEAF", "SIDEWAYS", "LEAF", "LEAF"]),
            "has \"SIDEWAYS\"",
        ),
        (
            "base_values",
            Value::Floats(vec![1.0, 2.0]),
            "has 2 entries, and there are 1 targets",
        ),
    ] {
        // Of two attributes with one name the first counts: what is wrong stands before.
        let more = [(name, value)];
        let model = replaced(&more);
        let said = answer(&model, 1, &[Given::F32(vec![0.0, 0.0])]);
        assert!(said.contains(expected), "{name}: {said}");
    }
}

fn replaced(more: &[(&'static str, Value)]) -> Model {
    let mut attributes = more.to_vec();
    attributes.extend([
        ("nodes_treeids", Value::Ints(vec![0; 5])),
        ("nodes_nodeids", Value::Ints(vec![0, 1, 2, 3, 4])),
        ("nodes_featureids", Value::Ints(vec![0, 0, 1, 0, 0])),
        ("nodes_values", Value::Floats(vec![1.5, 0.0, 0.0, 0.0, 0.0])),
        (
            "nodes_modes",
            Value::Texts(vec!["BRANCH_LEQ", "LEAF", "BRANCH_LEQ", "LEAF", "LEAF"]),
        ),
        ("nodes_truenodeids", Value::Ints(vec![1, 0, 3, 0, 0])),
        ("nodes_falsenodeids", Value::Ints(vec![2, 0, 4, 0, 0])),
        ("target_treeids", Value::Ints(vec![0, 0, 0])),
        ("target_nodeids", Value::Ints(vec![1, 3, 4])),
        ("target_ids", Value::Ints(vec![0, 0, 0])),
        ("target_weights", Value::Floats(vec![1.0, 10.0, 100.0])),
    ]);
    attributes.retain({
        let mut seen = std::collections::BTreeSet::new();
        move |(name, _)| seen.insert(*name)
    });
    Model::new(13, 3)
        .input("x", Type::F32, &[-1, 2])
        .node("ai.onnx.ml.TreeEnsembleRegressor", &["x"], &["y"], &attributes)
        .output("y")
}

/// A tree of one split for each of `splits`, below 0 leaf −value, else value, with the new operator in doubles.
fn stumps(values: &[f64], aggregate: i64) -> Model {
    let count = i64::try_from(values.len()).unwrap();
    let leaves: Vec<f64> = values.iter().flat_map(|value| [-value, *value]).collect();
    let even: Vec<i64> = (0..count).map(|tree| 2 * tree).collect();
    let odd: Vec<i64> = (0..count).map(|tree| 2 * tree + 1).collect();
    let attributes = [
        ("aggregate_function", Value::Int(aggregate)),
        (
            "nodes_splits",
            Value::Tensor(vec![count], Elements::F64(vec![0.1; values.len()])),
        ),
        ("nodes_featureids", Value::Ints(vec![0; values.len()])),
        (
            "nodes_modes",
            Value::Tensor(vec![count], Elements::Bytes(vec![1; values.len()])),
        ),
        ("nodes_truenodeids", Value::Ints(even)),
        ("nodes_falsenodeids", Value::Ints(odd)),
        ("nodes_trueleafs", Value::Ints(vec![1; values.len()])),
        ("nodes_falseleafs", Value::Ints(vec![1; values.len()])),
        ("leaf_targetids", Value::Ints(vec![0; leaves.len()])),
        (
            "leaf_weights",
            Value::Tensor(vec![2 * count], Elements::F64(leaves)),
        ),
        ("tree_roots", Value::Ints((0..count).collect())),
    ];
    Model::new(18, 5)
        .input("x", Type::F64, &[-1, 1])
        .node("ai.onnx.ml.TreeEnsemble", &["x"], &["y"], &attributes)
        .output("y")
}

#[test]
fn trees_are_taken_together_as_the_model_says() {
    // The number before 0.1 is below it, and it itself is not.
    let given = [Given::F64(vec![0.1, 0.1_f64.next_down(), f64::NAN])];
    for (aggregate, expected) in [(0, "2 -2 2"), (1, "6 -6 6"), (2, "1 -3 1"), (3, "3 -1 3")] {
        let model = stumps(&[1.0, 2.0, 3.0], aggregate);
        assert_eq!(answer(&model, 3, &given), format!("FP64 [3, 1]: {expected}"));
    }
}

#[test]
fn two_classes_of_one_score_are_told_apart_as_their_weights_say() {
    let model = |class: i64, weights: [f32; 2], transform: &'static str, base: &[f32]| {
        let mut attributes = stump();
        attributes.extend([
            ("classlabels_int64s", Value::Ints(vec![3, 8])),
            ("class_treeids", Value::Ints(vec![0, 0])),
            ("class_nodeids", Value::Ints(vec![1, 2])),
            ("class_ids", Value::Ints(vec![class, class])),
            ("class_weights", Value::Floats(weights.to_vec())),
            ("post_transform", Value::Text(transform)),
            ("base_values", Value::Floats(base.to_vec())),
        ]);
        Model::new(13, 3)
            .input("x", Type::F32, &[-1, 1])
            .node(
                "ai.onnx.ml.TreeEnsembleClassifier",
                &["x"],
                &["label", "scores"],
                &attributes,
            )
            .output("label")
            .output("scores")
    };
    let given = [Given::F32(vec![-1.0, 1.0])];
    let (margins, probabilities) = ([-1.0, 2.0], [0.25, 0.75]);
    // As onnxruntime 1.32 answers.
    for (class, weights, transform, base, expected) in [
        // A probability: above one half it is the second class.
        (0, probabilities, "NONE", &[][..], "3 8: 0.75 0.25 0.25 0.75"),
        (0, probabilities, "SOFTMAX", &[], "3 8: 0.75 0.25 0.25 0.75"),
        (0, probabilities, "NONE", &[0.5], "8 8: 0.25 0.75 -0.25 1.25"),
        (
            0,
            probabilities,
            "LOGISTIC",
            &[],
            "3 8: 0.4378235 0.5621765 0.3208213 0.6791787",
        ),
        // A margin: above zero.
        (0, margins, "NONE", &[], "3 8: 1 -1 -2 2"),
        (0, margins, "SOFTMAX_ZERO", &[], "3 8: 1 -1 -2 2"),
        (0, margins, "NONE", &[0.5], "3 8: 0.5 -0.5 -2.5 2.5"),
        (
            0,
            margins,
            "LOGISTIC",
            &[],
            "3 8: 0.7310586 0.26894143 0.11920292 0.880797",
        ),
        // With a base for each that of the first counts, and it keeps the score.
        (0, margins, "NONE", &[0.5, 3.0], "3 8: -0.5 0 2.5 0"),
        (
            0,
            margins,
            "LOGISTIC",
            &[0.5, 3.0],
            "3 8: 0.37754068 0.5 0.9241418 0.5",
        ),
        // The score of the second class is its own, and a single base is the first one's.
        (1, margins, "NONE", &[], "3 8: 0 -1 0 2"),
        (1, margins, "NONE", &[0.5], "3 8: 0 -1 0 2"),
        (1, margins, "LOGISTIC", &[], "3 8: 0.5 0.26894143 0.5 0.880797"),
        (1, probabilities, "NONE", &[], "3 8: 0 0.25 0 0.75"),
        // By the specification: onnxruntime forgets the weights.
        (1, margins, "NONE", &[0.5, 3.0], "8 8: 0.5 2 0.5 5"),
    ] {
        let (labels, scores) = expected.split_once(':').unwrap();
        assert_eq!(
            answer(&model(class, weights, transform, base), 2, &given),
            format!("INT64 [2]: {labels}; FP32 [2, 2]:{scores}"),
            "{class} {weights:?} {transform} {base:?}"
        );
    }
    let refusal = model(0, margins, "PROBIT", &[]).read().unwrap_err().to_string();
    assert!(refusal.contains("PROBIT"), "{refusal}");
}

/// Splits of which each way leads to a later split or to a leaf: several ways may lead to one.
fn joined() -> impl Strategy<Value = Vec<(f64, [usize; 2])>> {
    let split = (-1.0..1.0_f64, [0..8_usize, 0..8_usize]);
    prop::collection::vec(split, 1..40)
}

/// Follows the ways of such splits; returns how the walk ended: by which way of which split.
fn walked(splits: &[(f64, [usize; 2])], row: f64) -> usize {
    let mut at = 0;
    loop {
        let (threshold, ways) = splits[at];
        let way = usize::from(row > threshold);
        match at + ways[way] {
            next if ways[way] > 0 && next < splits.len() => at = next,
            _ => return 2 * at + way,
        }
    }
}

proptest! {
    #[test]
    fn ways_may_come_together(
        splits in joined(),
        rows in prop::collection::vec(-1.0..1.0_f64, 1..40),
    ) {
        let number = |value: usize| i64::try_from(value).unwrap();
        let is_leaf = |at: usize, way: usize| {
            let next = splits[at].1[way];
            next == 0 || at + next >= splits.len()
        };
        let side = |way: usize| -> (Vec<i64>, Vec<i64>) {
            let ways = (0..splits.len()).map(|at| {
                if is_leaf(at, way) {
                    (number(2 * at + way), 1)
                } else {
                    (number(at + splits[at].1[way]), 0)
                }
            });
            ways.unzip()
        };
        let (when_true, true_leafs) = side(0);
        let (when_false, false_leafs) = side(1);
        let count = number(splits.len());
        // Each leaf says which one it is.
        let leaves: Vec<f64> = (0..2 * splits.len()).map(|leaf| f64::from(u32::try_from(leaf).unwrap())).collect();
        let thresholds = splits.iter().map(|(threshold, _)| *threshold).collect();
        let attributes = [
            ("nodes_splits", Value::Tensor(vec![count], Elements::F64(thresholds))),
            ("nodes_featureids", Value::Ints(vec![0; splits.len()])),
            ("nodes_modes", Value::Tensor(vec![count], Elements::Bytes(vec![0; splits.len()]))),
            ("nodes_truenodeids", Value::Ints(when_true)),
            ("nodes_falsenodeids", Value::Ints(when_false)),
            ("nodes_trueleafs", Value::Ints(true_leafs)),
            ("nodes_falseleafs", Value::Ints(false_leafs)),
            ("leaf_targetids", Value::Ints(vec![0; leaves.len()])),
            ("leaf_weights", Value::Tensor(vec![2 * count], Elements::F64(leaves))),
            // A second tree begins in the first one.
            ("tree_roots", Value::Ints(vec![0, count - 1])),
        ];
        let program = Model::new(18, 5)
            .input("x", Type::F64, &[-1, 1])
            .node("ai.onnx.ml.TreeEnsemble", &["x"], &["y"], &attributes)
            .output("y")
            .read()
            .unwrap();
        let last = splits.len() - 1;
        let expected: Vec<f64> = rows
            .iter()
            .map(|row| {
                let second = 2 * last + usize::from(*row > splits[last].0);
                f64::from(u32::try_from(walked(&splits, *row) + second).unwrap())
            })
            .collect();
        let mut scratch = Scratch::default();
        let all = program.run(&mut scratch, &[Buffer::F64(rows.clone())], rows.len()).unwrap();
        prop_assert_eq!(&all[0], &Buffer::F64(expected.clone()));
        let alone = program.run(&mut scratch, &[Buffer::F64(vec![rows[0]])], 1).unwrap();
        prop_assert_eq!(&alone[0], &Buffer::F64(vec![expected[0]]));
    }
}

proptest! {
    #[test]
    fn a_row_has_the_same_answer_alone_and_among_others(
        values in prop::collection::vec(-1e3..1e3_f64, 1..40),
        rows in prop::collection::vec(prop_oneof![Just(f64::NAN), -1.0..1.0_f64], 1..50),
    ) {
        let program = stumps(&values, 1).read().unwrap();
        let mut scratch = Scratch::default();
        let all = program.run(&mut scratch, &[Buffer::F64(rows.clone())], rows.len()).unwrap();
        let alone: Vec<f64> = rows
            .iter()
            .flat_map(|row| match &program.run(&mut scratch, &[Buffer::F64(vec![*row])], 1).unwrap()[0] {
                Buffer::F64(answer) => answer.clone(),
                other => panic!("{}", other.element()),
            })
            .collect();
        prop_assert_eq!(&all[0], &Buffer::F64(alone));
    }
}

/// What a model takes while it waits is at least what its parts take.
#[test]
fn each_tree_is_counted_in_what_a_model_takes() {
    let forest = |trees: i64| {
        let count = usize::try_from(trees).unwrap();
        let attributes = [
            ("nodes_treeids", Value::Ints((0..trees).collect())),
            ("nodes_nodeids", Value::Ints(vec![0; count])),
            ("nodes_featureids", Value::Ints(vec![0; count])),
            ("nodes_values", Value::Floats(vec![0.0; count])),
            ("nodes_modes", Value::Texts(vec!["LEAF"; count])),
            ("nodes_truenodeids", Value::Ints(vec![0; count])),
            ("nodes_falsenodeids", Value::Ints(vec![0; count])),
            ("target_treeids", Value::Ints((0..trees).collect())),
            ("target_nodeids", Value::Ints(vec![0; count])),
            ("target_ids", Value::Ints(vec![0; count])),
            ("target_weights", Value::Floats(vec![1.0; count])),
        ];
        let model = Model::new(13, 3)
            .input("x", Type::F32, &[-1, 1])
            .node("ai.onnx.ml.TreeEnsembleRegressor", &["x"], &["y"], &attributes)
            .output("y");
        model.read().unwrap().bytes()
    };
    // Of a tree that is one leaf: a node (threshold or weight, feature and where it leads), where it begins and how deep it is.
    assert_eq!(
        forest(1_010) - forest(10),
        1_000 * (size_of::<[u32; 2]>() + 2 * size_of::<u32>())
    );
}
