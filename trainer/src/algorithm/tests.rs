use planner::training::Derivation;
use proptest::prelude::*;
use registry::artifact::{Limits, Model, encode};

use super::*;

fn features(n: usize) -> Vec<Feature> {
    let feature = |n| Feature {
        name: format!("x{n}"),
        derivation: Derivation::Column(format!("x{n}")),
    };
    (0..n).map(feature).collect()
}

fn fitted(algorithm: Algorithm, given: &[(&str, f64)], train: &Rows) -> Box<dyn Fitted> {
    let given = given.iter().map(|(name, value)| ((*name).to_owned(), *value));
    let settings = settings(algorithm, &given.collect()).unwrap();
    fit(algorithm, &settings, 1, train, &features(train.width), "y").unwrap()
}

fn iris() -> Rows {
    let data = linfa_datasets::iris();
    Rows {
        width: 4,
        inputs: data.records.iter().copied().collect(),
        answers: Answers::Classes {
            index: data.targets.iter().map(|class| Some(*class)).collect(),
            labels: Labels::Numbers(vec![0, 1, 2]),
        },
    }
}

/// x0 and x1 on a grid, y = 1 + 2·x0 − 3·x1.
fn plane() -> Rows {
    let grid: Vec<f64> = (0..100)
        .flat_map(|n| [f64::from(n % 10), f64::from(n / 10) + 1e6])
        .collect();
    let y = grid.chunks(2).map(|x| 1.0 + 2.0 * x[0] - 3.0 * (x[1] - 1e6));
    Rows {
        width: 2,
        answers: Answers::Numbers(y.collect()),
        inputs: grid,
    }
}

fn assert_close(got: &[f64], expected: &[f64], tolerance: f64) {
    assert_eq!(got.len(), expected.len());
    for (got_one, expected_one) in got.iter().zip(expected) {
        assert!(
            (got_one - expected_one).abs() <= tolerance,
            "{got:?} is not {expected:?}"
        );
    }
}

/// scikit-learn 1.9: `LogisticRegression(C=1, tol=1e-12)` after `StandardScaler`, the scale folded in, on the same
/// rows (linfa has UCI's iris, scikit-learn Fisher's: three cells differ).
#[test]
fn logistic_weights_are_those_of_scikit_learn() {
    let Graph::Logistic {
        weights, intercepts, ..
    } = fitted(Algorithm::LogisticRegression, &[], &iris()).graph()
    else {
        panic!("a classifier")
    };
    let expected = [
        -1.302_571, 0.712_902, 0.589_669, 2.674_699, -0.834_050, -1.840_649, -1.098_092, -0.207_653,
        1.305_745, -2.393_145, -1.078_639, 3.471_784,
    ];
    assert_close(&weights, &expected, 1e-5);
    assert_close(&intercepts, &[6.227_157, 2.532_019, -8.759_177], 1e-4);
}

#[test]
fn two_classes_are_a_softmax_of_two() {
    let mut rows = iris();
    if let Answers::Classes { index, labels } = &mut rows.answers {
        for class in index.iter_mut() {
            *class = Some(usize::from(*class == Some(2)));
        }
        *labels = Labels::Numbers(vec![0, 1]);
    }
    let fitted = fitted(Algorithm::LogisticRegression, &[("l2", 0.1)], &rows);
    let model = Model::decode(&encode(&fitted.graph()), &Limits::default()).unwrap();
    assert_close(
        model.predict(&rows.inputs).numbers(),
        &fitted.predict(&rows),
        1e-12,
    );
    let setosa = model.predict(&rows.inputs[..4]);
    assert!(setosa.numbers()[0] > 0.99);
}

#[test]
fn linear_regression_finds_the_plane_far_from_the_origin() {
    let rows = plane();
    let fitted = fitted(Algorithm::LinearRegression, &[], &rows);
    let Graph::Linear { weights, intercept } = fitted.graph() else {
        panic!("a linear model")
    };
    assert_close(&weights, &[2.0, -3.0], 1e-12);
    assert!((intercept - 3_000_001.0).abs() < 1e-6, "{intercept}");
    let Answers::Numbers(y) = &rows.answers else {
        panic!("numbers")
    };
    assert_close(&fitted.predict(&rows), y, 1e-6);
}

#[test]
fn boosting_is_copied_leaf_by_leaf() {
    let rows = plane();
    let settings = [
        ("trees", 20.0),
        ("max_leaves", 8.0),
        ("max_depth", 3.0),
        ("subsample", 0.7),
    ];
    let fitted = fitted(Algorithm::GradientBoosting, &settings, &rows);
    let Graph::Trees(trees) = fitted.graph() else {
        panic!("trees")
    };
    assert_eq!(trees.roots.len(), 20);
    assert!(trees.leaves.len() <= 20 * 8 && trees.leaves.len() > 20 * 4);
    assert_eq!(trees.splits.len() + 20, trees.leaves.len());
    let model = Model::decode(&encode(&fitted.graph()), &Limits::default()).unwrap();
    assert_close(
        model.predict(&rows.inputs).numbers(),
        &fitted.predict(&rows),
        1e-12,
    );
}

#[test]
fn trees_that_may_not_split_predict_the_mean() {
    let rows = plane();
    let fitted = fitted(
        Algorithm::GradientBoosting,
        &[("trees", 2.0), ("min_leaf_weight", 1000.0)],
        &rows,
    );
    let model = Model::decode(&encode(&fitted.graph()), &Limits::default()).unwrap();
    let Answers::Numbers(y) = &rows.answers else {
        panic!("numbers")
    };
    let mean = y.iter().sum::<f64>() / 100.0;
    assert_close(model.predict(&rows.inputs).numbers(), &[mean; 100], 1e-5);
}

#[test]
fn settings_are_the_defaults_and_what_is_given() {
    let given = BTreeMap::from([("trees".to_owned(), 7.0)]);
    let settings = settings(Algorithm::GradientBoosting, &given).unwrap();
    assert_eq!(
        settings.len(),
        Algorithm::GradientBoosting.hyperparameters().len()
    );
    assert_eq!((settings["trees"], settings["max_leaves"]), (7.0, 31.0));
}

/// Numbers that make squares overflow, differences vanish and columns constant.
fn extreme() -> impl Strategy<Value = f64> {
    prop_oneof![
        4 => -10.0..10.0_f64,
        1 => proptest::sample::select(vec![0.0, -0.0, 1.0, 5e-324, 1e-300, 1e-154, 1e154, -1e154, 1e300, f64::MAX, f64::MIN]),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    /// Whatever finite numbers a table holds: a model that predicts as its artifact does, or a refusal. Never a panic.
    #[test]
    fn any_finite_numbers_are_fitted_or_refused(
        width in 1_usize..4,
        cells in proptest::collection::vec(extreme(), 4..120),
        l2 in proptest::sample::select(vec![0.0, 1.0]),
    ) {
        let n = cells.len() / (width + 1);
        prop_assume!(n > 0);
        let inputs = cells[..n * width].to_vec();
        let answers = &cells[n * width..n * (width + 1)];
        let classes = answers.iter().map(|y| Some(usize::from(*y > 0.0)));
        let labels = Labels::Numbers(vec![0, 1]);
        for (algorithm, answers) in [
            (Algorithm::LinearRegression, Answers::Numbers(answers.to_vec())),
            (Algorithm::GradientBoosting, Answers::Numbers(answers.to_vec())),
            (Algorithm::LogisticRegression, Answers::Classes { index: classes.collect(), labels: labels.clone() }),
        ] {
            let rows = Rows { width, inputs: inputs.clone(), answers };
            let given = match algorithm {
                Algorithm::LinearRegression => BTreeMap::new(),
                Algorithm::GradientBoosting => BTreeMap::from([("l2".to_owned(), l2), ("trees".to_owned(), 5.0)]),
                Algorithm::LogisticRegression => BTreeMap::from([("l2".to_owned(), l2)]),
            };
            let settings = settings(algorithm, &given).unwrap();
            if let Ok(fitted) = fit(algorithm, &settings, 1, &rows, &features(width), "y") {
                let model = Model::decode(&encode(&fitted.graph()), &Limits::default()).unwrap();
                let predictions = model.predict(&rows.inputs);
                prop_assert_eq!(predictions.numbers().len(), fitted.predict(&rows).len());
            }
        }
    }
}
