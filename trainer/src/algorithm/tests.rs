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
    fit(algorithm, &settings, 1, train, &features(train.width), "y")
        .unwrap()
        .0
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

/// Weights of raw features and intercepts.
fn logistic(l2: f64, rows: &Rows) -> (Vec<f64>, Vec<f64>, Fit) {
    let settings = settings(
        Algorithm::LogisticRegression,
        &BTreeMap::from([("l2".to_owned(), l2)]),
    );
    let (fitted, fit) = fit(
        Algorithm::LogisticRegression,
        &settings.unwrap(),
        1,
        rows,
        &features(rows.width),
        "y",
    )
    .unwrap();
    match fitted.graph() {
        Graph::Logistic {
            weights, intercepts, ..
        } => (weights, intercepts, fit),
        _ => panic!("a classifier"),
    }
}

/// Iris, where the class is whether a flower is of one species.
fn one_species(species: usize) -> Rows {
    let mut rows = iris();
    if let Answers::Classes { index, labels } = &mut rows.answers {
        for class in index.iter_mut() {
            *class = Some(usize::from(*class == Some(species)));
        }
        *labels = Labels::Numbers(vec![0, 1]);
    }
    rows
}

/// Wine quality's marks 3 to 8, of which 3 and 8 are rare.
fn wine() -> Rows {
    let data = linfa_datasets::winequality();
    Rows {
        width: 11,
        inputs: data.records.iter().copied().collect(),
        answers: Answers::Classes {
            index: data.targets.iter().map(|mark| Some(*mark - 3)).collect(),
            labels: Labels::Numbers((3..9).collect()),
        },
    }
}

// The expected figures are scikit-learn 1.9.1's on the same rows (linfa-datasets' files):
//
//     scaler = StandardScaler().fit(X)
//     model = LogisticRegression(C=1 / l2, tol=1e-13, solver="newton-cholesky").fit(scaler.transform(X), y)
//     weights = model.coef_ / scaler.scale_
//     intercepts = model.intercept_ - (weights * scaler.mean_).sum(1)  # several classes: minus their mean

#[test]
fn logistic_weights_are_those_of_scikit_learn() {
    let (weights, intercepts, fit) = logistic(1.0, &iris());
    let expected = [
        -1.302_571_310,
        0.712_901_863,
        0.589_669_447,
        2.674_698_874,
        -0.834_049_802,
        -1.840_649_072,
        -1.098_092_054,
        -0.207_652_757,
        1.305_744_811,
        -2.393_145_275,
        -1.078_638_571,
        3.471_783_846,
    ];
    assert_close(&weights, &expected, 1e-8);
    assert_close(&intercepts, &[6.227_157_663, 2.532_019_430, -8.759_177_093], 1e-8);
    assert!(
        fit.gradient_norm.unwrap() <= 1e-10 && fit.iterations.unwrap() < 15,
        "{fit:?}"
    );

    let (weights, intercepts, _) = logistic(0.001, &iris());
    let expected = [
        -3.471_319_735,
        2.928_763_128,
        0.542_556_607,
        7.616_328_506,
        -0.677_328_621,
        -6.938_999_885,
        -4.586_343_165,
        -2.133_729_403,
        6.720_072_569,
        -9.876_223_053,
        -3.647_694_711,
        13.523_917_764,
    ];
    assert_close(&weights, &expected, 1e-8);
    assert_close(
        &intercepts,
        &[26.608_804_962, 6.497_986_399, -33.106_791_361],
        1e-7,
    );
}

#[test]
fn rare_classes_and_scales_far_apart_reach_the_optimum() {
    // Deviations from 0.002 (density) to 33 (sulfur dioxide); ten and eighteen rows of 1,599 in the rarest classes.
    let rows = wine();
    let (weights, intercepts, fit) = logistic(1.0, &rows);
    let acidity = [
        0.215_446_680,
        0.168_752_705,
        -0.267_217_682,
        -0.114_992_065,
        0.164_577_547,
        -0.166_567_186,
    ];
    assert_close(&weights[..6], &acidity, 1e-8);
    let expected = [
        -342.278_411_5,
        266.868_715_0,
        -162.002_978_3,
        -108.423_334_6,
        149.029_554_8,
        196.806_454_6,
    ];
    assert_close(&intercepts, &expected, 1e-5);
    assert!(
        fit.gradient_norm.unwrap() <= 1e-10 && fit.iterations.unwrap() < 20,
        "{fit:?}"
    );
}

#[test]
fn two_classes_have_one_penalty_as_in_scikit_learn() {
    for (l2, expected, intercept) in [
        (
            1.0,
            [0.169_569_15, -1.186_419_98, 1.411_422_16, 4.129_211_75],
            -11.421_549_82,
        ),
        (
            0.1,
            [-0.792_501, -2.683_404_82, 3.393_328_85, 7.854_730_28],
            -17.037_633_69,
        ),
        // Without a penalty (`C=inf`): the species overlap, so that there is an optimum.
        (
            0.0,
            [-2.465_220_20, -6.680_887_01, 9.429_385_15, 18.286_136_89],
            -42.637_803_81,
        ),
    ] {
        let (weights, intercepts, _) = logistic(l2, &one_species(2));
        let odds: Vec<f64> = weights.chunks(2).map(|pair| pair[1] - pair[0]).collect();
        assert_close(&odds, &expected, 1e-6);
        assert_close(&[intercepts[1] - intercepts[0]], &[intercept], 1e-5);
    }
}

#[test]
fn classes_that_can_be_told_apart_need_a_penalty() {
    let refusal = |rows: &Rows| {
        let settings = BTreeMap::from([("l2".to_owned(), 0.0), ("iterations".to_owned(), 500.0)]);
        fit(
            Algorithm::LogisticRegression,
            &settings,
            1,
            rows,
            &features(rows.width),
            "y",
        )
        .map(|_| ())
        .unwrap_err()
        .to_string()
    };
    let expected = "some classes can be told apart without any doubt, so that without a penalty there is no optimum: \
                    set hyperparameter l2 above 0 (1 is the default)";
    // Setosa apart from the others; of three species one is.
    assert_eq!(refusal(&one_species(0)), expected);
    assert_eq!(refusal(&iris()), expected);
    // All but two rows on one value of the only feature: apart but for a tie.
    let tied = Rows {
        width: 1,
        inputs: vec![0.0, 1.0, 1.0, 2.0],
        answers: Answers::Classes {
            index: vec![Some(0), Some(0), Some(1), Some(1)],
            labels: Labels::Numbers(vec![0, 1]),
        },
    };
    assert_eq!(refusal(&tied), expected);
    // Any penalty gives an end.
    let (weights, _, _) = logistic(1e-9, &one_species(0));
    assert!(weights.iter().all(|weight| weight.is_finite()));
}

#[test]
fn features_that_repeat_each_other_share_their_weight() {
    let mut rows = one_species(2);
    rows.inputs = rows.inputs.chunks(4).flat_map(|x| [x[2], x[2], x[3]]).collect();
    rows.width = 3;
    // Without a penalty any share is as good as any other.
    logistic(0.0, &rows);
    for l2 in [1e-3, 1.0] {
        let (weights, _, _) = logistic(l2, &rows);
        assert_close(&weights[..2], &weights[2..4], 1e-6);
    }
}

#[test]
fn an_optimum_that_is_not_reached_is_refused() {
    let settings = BTreeMap::from([("l2".to_owned(), 1.0), ("iterations".to_owned(), 2.0)]);
    let error = fit(
        Algorithm::LogisticRegression,
        &settings,
        1,
        &wine(),
        &features(11),
        "y",
    );
    let message = error.map(|_| ()).unwrap_err().to_string();
    assert!(
        message.starts_with(
            "logistic_regression did not reach its optimum: after 2 iterations the gradient's norm is "
        ) && message.contains("and 1e-10 is needed. Raise hyperparameter iterations or l2"),
        "{message}"
    );
}

#[test]
fn sizes_are_bounded_before_the_fit() {
    let labels = |n: i64| Labels::Numbers((0..n).collect());
    let refusal = |rows: usize, width: usize, classes: i64| {
        let index = (0..rows).map(|row| Some(row % usize::try_from(classes).unwrap()));
        let rows = Rows {
            width,
            inputs: (0_u32..)
                .map(|at| f64::from(at % 1_009))
                .take(rows * width)
                .collect(),
            answers: Answers::Classes {
                index: index.collect(),
                labels: labels(classes),
            },
        };
        let settings = settings(Algorithm::LogisticRegression, &BTreeMap::new()).unwrap();
        let fit = fit(
            Algorithm::LogisticRegression,
            &settings,
            1,
            &rows,
            &features(width),
            "y",
        );
        fit.map(|_| ()).unwrap_err().to_string()
    };
    assert_eq!(
        [refusal(70_000, 1, 1_000), refusal(1_000, 5_000, 1_000)],
        [
            "logistic_regression would need 70000000 (rows × classes), and at most 67108864 are allowed: give fewer of \
             either",
            "logistic_regression would need 5000000 (features × classes), and at most 4194304 are allowed: give fewer \
             of either",
        ]
    );
}

#[test]
fn many_features_are_solved_without_the_dense_curvature() {
    // 150 noisy copies of iris' columns: more than the dense preconditioner takes.
    let mut rows = iris();
    let mut state = 1_u64;
    let mut noise = move || {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        f64::from(u32::try_from(state >> 33).unwrap()) / f64::from(1_u32 << 31)
    };
    let wide = rows
        .inputs
        .chunks(4)
        .flat_map(|x| (0..150).map(|at| x[at % 4] + noise()).collect::<Vec<_>>());
    rows.inputs = wide.collect();
    rows.width = 150;
    let (_, _, fit) = logistic(1.0, &rows);
    assert!(fit.gradient_norm.unwrap() <= 1e-10, "{fit:?}");
}

#[test]
fn the_loss_is_told_from_no_fit_to_the_model() {
    let rows = plane();
    let Answers::Numbers(answers) = &rows.answers else {
        unreachable!("a plane has numbers")
    };
    let square = |predicted: &[f64]| {
        let squares = predicted.iter().zip(answers).map(|(got, is)| (got - is).powi(2));
        squares.sum::<f64>() / answers.len() as f64
    };
    let mean = answers.iter().sum::<f64>() / answers.len() as f64;
    for (trees, points) in [(1.0, 2), (150.0, 151), (1_000.0, Fit::LOSS_POINTS_MAX)] {
        let boosted = fitted(Algorithm::GradientBoosting, &[("trees", trees)], &rows);
        let loss = boosted.fit().loss;
        assert_eq!(loss.len(), points, "{trees} trees");
        let ends = [loss[0], loss[points - 1]];
        assert_close(
            &ends,
            &[square(&[mean; 100]), square(&boosted.predict(&rows))],
            1e-9,
        );
        assert!(loss.is_sorted_by(|before, after| before >= after), "{loss:?}");
    }
    let (_, _, fit) = logistic(1.0, &iris());
    // Without a fit each of the three has a third.
    assert_close(&fit.loss[..1], &[3.0_f64.ln()], 1e-12);
    assert_eq!(fit.loss.len() as u64, fit.iterations.unwrap() + 1);
    assert!(fit.loss.is_sorted_by(|before, after| before >= after), "{fit:?}");
    assert_eq!(Fit::curve(&[1.0, f64::INFINITY]), Vec::<f64>::new());
}

#[test]
fn two_classes_are_a_softmax_of_two() {
    let rows = one_species(2);
    let fitted = fitted(Algorithm::LogisticRegression, &[("l2", 0.1)], &rows);
    let model = Model::read(&encode(&fitted.graph()), &Limits::default()).unwrap();
    assert_close(
        model.predict(&rows.inputs).unwrap().numbers(),
        &fitted.predict(&rows),
        1e-12,
    );
    let setosa = model.predict(&rows.inputs[..4]).unwrap();
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
        ("min_leaf_weight", 1.0),
    ];
    let fitted = fitted(Algorithm::GradientBoosting, &settings, &rows);
    let Graph::Trees(trees) = fitted.graph() else {
        panic!("trees")
    };
    assert_eq!(trees.roots.len(), 20);
    assert!(trees.leaves.len() <= 20 * 8 && trees.leaves.len() > 20 * 4);
    assert_eq!(trees.splits.len() + 20, trees.leaves.len());
    let model = Model::read(&encode(&fitted.graph()), &Limits::default()).unwrap();
    assert_close(
        model.predict(&rows.inputs).unwrap().numbers(),
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
    let model = Model::read(&encode(&fitted.graph()), &Limits::default()).unwrap();
    let Answers::Numbers(y) = &rows.answers else {
        panic!("numbers")
    };
    let mean = y.iter().sum::<f64>() / 100.0;
    assert_close(model.predict(&rows.inputs).unwrap().numbers(), &[mean; 100], 1e-5);
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

/// The last guard, behind those of the table: no numbers that pass these bring a fit this far.
#[test]
fn weights_that_are_not_finite_are_refused() {
    let far = |n| 1e9 + f64::from(n);
    let rows = |answers| Rows {
        width: 1,
        inputs: (0..8).map(far).collect(),
        answers,
    };
    // On a slope of 1e300 the weight is a number, and the intercept, a thousand million steps away, is none.
    let slope: Vec<f64> = (0..8).map(|n| (f64::from(n) - 3.5) * 1e300).collect();
    for last in [slope[7], f64::INFINITY, f64::NAN] {
        let mut answers = slope.clone();
        answers[7] = last;
        let table = rows(Answers::Numbers(answers.clone()));
        let fitted = linear::fit(&table, &answers, &features(1));
        assert!(matches!(fitted, Err(FitError::NotFinite { .. })), "{last}");
        let defaults = settings(Algorithm::GradientBoosting, &BTreeMap::new()).unwrap();
        let fitted = boosting::fit(&table, &answers, &defaults, 1);
        assert_eq!(
            matches!(fitted, Err(FitError::NotFinite { .. })),
            !last.is_finite(),
            "{last}"
        );
    }
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
            if let Ok((fitted, _)) = fit(algorithm, &settings, 1, &rows, &features(width), "y") {
                let model = Model::read(&encode(&fitted.graph()), &Limits::default()).unwrap();
                let predictions = model.predict(&rows.inputs).unwrap();
                prop_assert_eq!(predictions.numbers().len(), fitted.predict(&rows).len());
            }
        }
    }
}
