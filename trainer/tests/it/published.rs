//! What is published, and that it is the same each time.

use std::fmt::Write as _;

use expect_test::expect;
use planner::training::Algorithm;
use registry::run::{Ending, Progress};

use crate::world::{World, builtin, now, published, run, settings, synthetic};

/// Wine quality's canary: 100 trees of 8 leaves.
fn small_boosting() -> std::collections::BTreeMap<String, f64> {
    settings(&[("max_leaves", 8.0), ("learning_rate", 0.05)])
}

#[test]
fn each_dataset_that_ships_is_learnt() {
    let mut text = String::new();
    for (algorithm, source) in [
        (Algorithm::LinearRegression, builtin("wine-quality")),
        (Algorithm::GradientBoosting, builtin("wine-quality")),
        (Algorithm::LogisticRegression, builtin("wine-quality")),
        (Algorithm::LogisticRegression, builtin("iris")),
        (Algorithm::LogisticRegression, synthetic("blobs")),
        (Algorithm::LinearRegression, synthetic("linear")),
        (Algorithm::GradientBoosting, synthetic("friedman1")),
    ] {
        let world = World::new();
        let mut request = world.request(algorithm, source);
        if algorithm == Algorithm::GradientBoosting {
            request.training.hyperparameters = small_boosting();
        }
        let metrics = published(&request);
        let metadata = world.entry(&request).metadata;
        let metrics: Vec<String> = metrics
            .iter()
            .map(|(name, value)| format!("{name} {value:.3}"))
            .collect();
        writeln!(
            text,
            "{} on {}, {} of {} rows held out: {}",
            algorithm.as_str(),
            metadata.dataset.uri,
            metadata.metrics.holdout_rows,
            metadata.dataset.rows,
            metrics.join(", ")
        )
        .unwrap();
    }
    expect![[r#"
        linear_regression on builtin:wine-quality, 312 of 1599 rows held out: mae 0.514, r2 0.280, rmse 0.663
        gradient_boosting on builtin:wine-quality, 312 of 1599 rows held out: mae 0.504, r2 0.345, rmse 0.632
        logistic_regression on builtin:wine-quality, 312 of 1599 rows held out: accuracy 0.567, log_loss 1.020
        logistic_regression on builtin:iris, 31 of 150 rows held out: accuracy 0.968, log_loss 0.154
        logistic_regression on synthetic:blobs, 117 of 600 rows held out: accuracy 0.906, log_loss 0.240
        linear_regression on synthetic:linear, 186 of 1000 rows held out: mae 0.085, r2 0.977, rmse 0.106
        gradient_boosting on synthetic:friedman1, 400 of 2000 rows held out: mae 1.842, r2 0.798, rmse 2.298
    "#]]
    .assert_eq(&text);
}

#[test]
fn the_same_inputs_give_the_same_bytes() {
    for (algorithm, source) in [
        (Algorithm::LinearRegression, builtin("wine-quality")),
        (Algorithm::GradientBoosting, builtin("wine-quality")),
        (Algorithm::LogisticRegression, builtin("iris")),
        (Algorithm::GradientBoosting, synthetic("friedman1")),
    ] {
        let digest = |seed: u64, subsample: f64| {
            let world = World::new();
            let mut request = world.request(algorithm, source.clone());
            request.training.seed = seed;
            if algorithm == Algorithm::GradientBoosting {
                request.training.hyperparameters = settings(&[
                    ("trees", 30.0),
                    ("subsample", subsample),
                    ("column_sample", subsample),
                ]);
            }
            published(&request);
            world.entry(&request).digest
        };
        assert_eq!(digest(1, 1.0), digest(1, 1.0));
        if algorithm == Algorithm::GradientBoosting {
            assert_eq!(digest(1, 0.5), digest(1, 0.5));
            assert_ne!(digest(1, 0.5), digest(2, 0.5));
        }
    }
}

#[test]
fn a_second_run_finds_its_version_and_leaves_it() {
    let world = World::new();
    let request = world.request(Algorithm::LogisticRegression, builtin("iris"));
    let first = run(&request);
    assert!(matches!(first, Ending::Published { .. }), "{first:?}");
    assert_eq!(run(&request), first);
}

#[test]
fn progress_is_told_in_order() {
    let world = World::new();
    let request = world.request(Algorithm::LogisticRegression, builtin("iris"));
    let mut steps: Vec<Progress> = Vec::new();
    trainer::run(&request, &mut |step| steps.push(step), &now);
    assert!(steps.is_sorted_by_key(|step| step.percent));
    let text: Vec<String> = steps
        .iter()
        .map(|step| format!("{} {}", step.percent, step.stage))
        .collect();
    expect!["0 read, 20 fit, 80 evaluate, 90 publish, 100 publish"].assert_eq(&text.join(", "));
}
