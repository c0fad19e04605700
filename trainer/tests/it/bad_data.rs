//! Data that cannot be learnt from is refused with file, line and column; nothing is published.

use expect_test::{Expect, expect};
use planner::training::{Algorithm, DataSource, Fit, Holdout, Metric};
use registry::run::{Ending, RunRequest};

use crate::world::{
    World, builtin, column, declared, nowhere, published, ratio, refused, settings, synthetic, target,
};

/// Rows `a,b,y` that a linear model can be fitted to.
pub(crate) fn good() -> String {
    let row = |n: i32| format!("{},{},{}\n", n, (n * n) % 17, 3 * n + (n * n) % 17);
    (0..50)
        .map(row)
        .fold("a,b,y\n".to_owned(), |text, row| text + &row)
}

/// Trains on the content as a CSV file and returns the refusal.
fn refusal(content: impl AsRef<[u8]>) -> String {
    refusal_with(content, |_| {})
}

fn refusal_with(content: impl AsRef<[u8]>, change: impl FnOnce(&mut RunRequest)) -> String {
    let world = World::new();
    let mut request = world.csv(content);
    change(&mut request);
    let refusal = refused(&request);
    assert_eq!(world.store.versions(&request.model).unwrap(), []);
    refusal
}

/// Compares refusals, one a line.
pub(crate) fn check(refusals: &[String], expected: &Expect) {
    expected.assert_eq(&(refusals.join("\n") + "\n"));
}

#[test]
fn good_data_is_published() {
    let world = World::new();
    let metrics = published(&world.csv(good()));
    assert!(metrics["r2"] > 0.999_999, "{metrics:?}");
    // The same rows with Windows line ends, a byte order mark, quotes and spaces.
    let other = good()
        .replace('\n', "\r\n")
        .replace(",y", ",\"y\"")
        .replace(",3", ", 3");
    let world = World::new();
    assert_eq!(published(&world.csv(format!("\u{feff}{other}"))), metrics);
}

#[test]
fn cells_that_are_no_numbers() {
    check(
        &[
            refusal(good() + "1,abc,3\n"),
            refusal(good() + "1,,3\n"),
            refusal(good() + "NaN,2,3\n"),
            refusal(good() + "1,2,inf\n"),
            refusal(good() + "1,2,NA\n"),
            refusal(good() + "1,2,\n"),
            refusal(good() + "1,1e999,3\n"),
            refusal(good() + "1,\"2\n2\",3\n"),
            refusal(good() + &format!("1,{},3\n", "x".repeat(500))),
        ],
        &expect![[r#"
            failed to read the data: data.csv, line 52, column 2 (b): "abc" is not a number: leave the column out by `exclude: ["b"]` in `dataset`, or list the others as `dataset.features`; or mend or remove the row
            failed to read the data: data.csv, line 52, column 2 (b): the cell is empty, and a number is needed: leave the column out by `exclude: ["b"]` in `dataset`, or list the others as `dataset.features`; or mend or remove the row
            failed to read the data: data.csv, line 52, column 1 (a): "NaN" stands for a missing value, and a number is needed: leave the column out by `exclude: ["a"]` in `dataset`, or list the others as `dataset.features`; or mend or remove the row
            failed to read the data: data.csv, line 52, column 3 (y): inf is not a finite number: mend or remove the row, or take another target
            failed to read the data: data.csv, line 52, column 3 (y): "NA" stands for a missing value, and a number is needed: mend or remove the row, or take another target
            failed to read the data: data.csv, line 52, column 3 (y): the cell is empty, and a number is needed: mend or remove the row, or take another target
            failed to read the data: data.csv, line 52, column 2 (b): inf is not a finite number: leave the column out by `exclude: ["b"]` in `dataset`, or list the others as `dataset.features`; or mend or remove the row
            failed to read the data: data.csv, line 52, column 2 (b): "2�2" is not a number: leave the column out by `exclude: ["b"]` in `dataset`, or list the others as `dataset.features`; or mend or remove the row
            failed to read the data: data.csv, line 52, column 2 (b): "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx…" is not a number: leave the column out by `exclude: ["b"]` in `dataset`, or list the others as `dataset.features`; or mend or remove the row
        "#]],
    );
}

/// The same fault in the same line, however lines end.
#[test]
fn lines_are_counted_whatever_ends_them() {
    let faults = ["1,abc,3\n", "1,2\n", "1,2,\"3\n", "1,2\",3\n", "1,\"2\"3,4\n"];
    for fault in faults {
        let text = good() + fault;
        let refusals: Vec<String> = ["\n", "\r\n", "\r"]
            .iter()
            .map(|end| refusal(text.replace('\n', end)))
            .collect();
        assert!(refusals[0].contains("data.csv, line 52"), "{}", refusals[0]);
        assert_eq!(refusals[1..], [refusals[0].clone(), refusals[0].clone()]);
    }
}

#[test]
fn text_columns_are_named_all_at_once() {
    let rows = (0..50).map(|n| format!("{n},Paris,{},\"a \"\"b\"\"\",{}\n", n % 7, 3 * n));
    let text = rows.fold("a,city,b,note,y\n".to_owned(), |text, row| text + &row);
    check(
        &[refusal(text.clone())],
        &expect![[r#"
            failed to read the data: data.csv, line 2, column 2 (city): "Paris" is not a number: leave the column out by `exclude: ["city", "note"]` in `dataset`, or list the others as `dataset.features`; or mend or remove the row
        "#]],
    );
    let world = World::new();
    let mut request = world.csv(text.clone());
    declared(&mut request).dataset.exclude = vec!["city".to_owned(), "note".to_owned()];
    published(&request);
    let signature = world.entry(&request).metadata.signature;
    let names: Vec<&str> = signature
        .features
        .iter()
        .map(|feature| feature.name.as_str())
        .collect();
    assert_eq!(names, ["a", "b"]);
    // What is left out already stays so in the hint, and a list of features has another one.
    check(
        &[
            refusal_with(text.clone(), |request| {
                declared(request).dataset.exclude = vec!["note".to_owned()];
            }),
            refusal_with(text.clone(), |request| {
                declared(request).dataset.features = vec![column("A", "a"), column("C", "city")];
            }),
        ],
        &expect![[r#"
            failed to read the data: data.csv, line 2, column 2 (city): "Paris" is not a number: leave the column out by `exclude: ["note", "city"]` in `dataset`, or list the others as `dataset.features`; or mend or remove the row
            failed to read the data: data.csv, line 2, column 2 (city): "Paris" is not a number: mend or remove the row, or take the column out of `dataset.features`
        "#]],
    );
    let exclude = |names: &[&str]| {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        move |request: &mut RunRequest| declared(request).dataset.exclude = names
    };
    check(
        &[
            refusal_with(text.clone(), exclude(&["City"])),
            refusal_with(text.clone(), exclude(&["street"])),
            refusal_with(text.clone(), exclude(&["a", "city", "b", "note", "y"])),
            refusal_with(text, |request| {
                declared(request).dataset.exclude = vec!["city".to_owned()];
                declared(request).dataset.features = vec![column("A", "a")];
            }),
        ],
        &expect![[r#"
            failed to read the data: data.csv: there is no column "City", which `exclude` needs; the columns: a, city, b, note, y
            failed to read the data: data.csv: there is no column "street", which `exclude` needs; the columns: a, city, b, note, y
            failed to read the data: data.csv: no column but the target is left: there is no feature to learn from
            failed to read the data: data.csv: `features` and `exclude` are both given: keep one of them
        "#]],
    );
}

#[test]
fn headers_that_name_too_little_or_too_much() {
    let with_index = good().replacen("a,b,y", ",a,b,y", 1);
    let with_index: String = with_index
        .lines()
        .enumerate()
        .map(|(n, line)| {
            if n == 0 {
                format!("{line}\n")
            } else {
                format!("{n},{line}\n")
            }
        })
        .collect();
    let trailing = good().replace('\n', ",\n");
    check(
        &[
            refusal(with_index.clone()),
            refusal(trailing.clone()),
            refusal(good().replace(",y\n", ",y\n1,2,3,\n")),
            refusal(good().replace(',', ";")),
            refusal(good().replace(',', "\t")),
            refusal(format!("{},b,y\n1,2,3\n", "a".repeat(2_000))),
            refusal("a,b,y\n"),
            refusal("a,b,y\n1,2,3\n"),
            refusal("\n\n"),
            refusal(format!("a,b,{}\n1,2,3\n", "q\u{1b}[2J\u{202e}".repeat(30))),
        ],
        &expect![[r#"
            failed to read the data: data.csv: column 1 has no name: name it; or, if it is an index or the lines end with a comma, write the file without (pandas: `to_csv(index=False)`), or list `dataset.features`
            failed to read the data: data.csv: column 4 has no name: name it; or, if it is an index or the lines end with a comma, write the file without (pandas: `to_csv(index=False)`), or list `dataset.features`
            failed to read the data: data.csv, line 2: the row has 4 cells, and the header 3: remove the comma at its end
            failed to read the data: data.csv, line 1: the header has semicolons and no comma: separate the cells by commas
            failed to read the data: data.csv, line 1: the header has tabs and no comma: separate the cells by commas
            failed to read the data: data.csv, line 1, column 1 (aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa…): the column's name has more than 1024 bytes
            failed to read the data: data.csv: it has no rows
            failed to split off the holdout: the holdout of 20 % is empty: no row falls into it (1 in all); give more rows, hold out more, or try another holdout seed
            failed to read the data: data.csv: it is empty; the first line must name the columns
            failed to read the data: data.csv: there is no column "y", which the target needs; the columns: a, b, q�[2J�q�[2J�q�[2J�q�[2J�q�[2J�q�[2J�q�[2…
        "#]],
    );
    // Where features are listed, nobody asks for what has no name.
    for content in [with_index, trailing] {
        let world = World::new();
        let mut request = world.csv(content);
        declared(&mut request).dataset.features = vec![column("a", "a"), column("b", "b")];
        published(&request);
    }
}

#[test]
fn targets_out_of_any_scale() {
    let scaled = |factor: f64, offset: f64| {
        let row = |n: i32| {
            format!(
                "{},{},{:e}\n",
                n,
                (n * n) % 17,
                offset + factor * f64::from(3 * n + (n * n) % 17)
            )
        };
        (0..50)
            .map(row)
            .fold("a,b,y\n".to_owned(), |text, row| text + &row)
    };
    let refusals = |with: fn(&mut RunRequest)| {
        let targets = [
            (1e25, 0.0),
            (1e-25, 0.0),
            (1e300, 0.0),
            (1e-300, 0.0),
            (1.0, 1e14),
        ];
        targets.map(|(factor, offset)| refusal_with(scaled(factor, offset), with))
    };
    let with_trees = |r: &mut RunRequest| {
        r.training.fit = Fit::Algorithm(Algorithm::GradientBoosting);
        r.training.hyperparameters = settings(&[("min_leaf_weight", 2.0)]);
    };
    let linear = refusals(|_| {});
    assert_eq!(refusals(with_trees), linear);
    check(
        &linear,
        &expect![[r#"
        failed to fit: the target "y" reaches 1.57e27: bring it near 1 by `dataset.target.divideBy` (about 1e27), and give `unit`
        failed to fit: the target "y" varies by 4.54e-24 only: bring it near 1 by `dataset.target.divideBy` (about 1e-23), and give `unit`
        failed to fit: the target "y" reaches 1.57e302: bring it near 1 by `dataset.target.divideBy` (about 1e302), and give `unit`
        failed to fit: the target "y" varies by 4.29e-299 only: bring it near 1 by `dataset.target.divideBy` (about 1e-298), and give `unit`
        failed to fit: the target "y" varies by 4.40e1 around 1.00e14, too little to tell from rounding: subtract an offset from the data
    "#]],
    );
    // Large and small units that people have are none of them, and `divideBy` mends the others.
    for algorithm in [|_: &mut RunRequest| {}, with_trees] {
        for (factor, divisor) in [
            (1e12, None),
            (1e-12, None),
            (1e25, Some(1e27)),
            (1e-25, Some(1e-23)),
        ] {
            let r2 = published_with(scaled(factor, 0.0), |request| {
                algorithm(request);
                declared(request).dataset.target.as_mut().unwrap().divide_by = divisor;
            });
            assert!(r2 > 0.9, "{factor:e}: {r2}");
        }
    }
}

/// Publishes and returns R².
fn published_with(content: String, change: impl FnOnce(&mut RunRequest)) -> f64 {
    let world = World::new();
    let mut request = world.csv(content);
    change(&mut request);
    published(&request)["r2"]
}

#[test]
fn constant_columns_are_told_where_they_do_no_harm() {
    let rows = (0..200).map(|n| format!("{n},5,{},{}\n", n % 7, 3 * n));
    let text = rows.fold("a,b,c,y\n".to_owned(), |text, row| text + &row);
    let world = World::new();
    let mut request = world.csv(text.clone());
    check(
        &[refused(&request)],
        &expect![[r#"
        failed to fit: feature "b" has the same value in every training row: leave it out (`dataset.exclude`)
    "#]],
    );
    request.training.fit = Fit::Algorithm(Algorithm::GradientBoosting);
    published(&request);
    check(
        &world.entry(&request).metadata.fit.warnings,
        &expect![[r#"
        features with the same value in every training row, which say nothing: b
    "#]],
    );
}

#[test]
fn small_holdouts_and_trees_without_a_split_are_told() {
    let world = World::new();
    let mut request = world.csv(good());
    request.training.fit = Fit::Algorithm(Algorithm::GradientBoosting);
    request.training.hyperparameters = settings(&[("min_leaf_weight", 30.0)]);
    published(&request);
    check(
        &world.entry(&request).metadata.fit.warnings,
        &expect![[r#"
        no tree splits, so that every prediction is the mean: lower `min_leaf_weight`, or give more rows
        only few rows are held out (6), so that the metrics say little: give more rows
    "#]],
    );
}

/// A CSV of this many columns, named so that the record of a version needs about as much for each as it can.
fn wide(columns: usize) -> String {
    use std::fmt::Write as _;
    let mut text = String::from("y");
    for at in 0..columns {
        write!(text, ",measurement {at:05}").unwrap();
    }
    let mut state = 1_u64;
    for row in 0..60 {
        write!(text, "\n{row}.5").unwrap();
        for _ in 0..columns {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            write!(text, ",{}", state >> 40).unwrap();
        }
    }
    text + "\n"
}

#[test]
fn wide_data_is_published_with_a_shorter_record_or_refused_before_the_fit() {
    let trees = |r: &mut RunRequest| {
        r.training.fit = Fit::Algorithm(Algorithm::GradientBoosting);
        r.training.hyperparameters = settings(&[("trees", 2.0)]);
    };
    let bins = |columns| {
        let world = World::new();
        let mut request = world.csv(wide(columns));
        trees(&mut request);
        published(&request);
        let features = world.entry(&request).metadata.reference.unwrap().features;
        assert_eq!(features.len(), columns);
        features[0].counts.len()
    };
    assert_eq!(bins(10), 10);
    assert!(bins(1_500) < 10);
    let world = World::new();
    let mut request = world.csv(wide(8_000));
    trees(&mut request);
    let mut stages = Vec::new();
    let ending = trainer::run(
        &request,
        &nowhere,
        &mut |step| stages.push(step.stage),
        &crate::world::now,
    );
    let Ending::Refused { message } = ending else {
        panic!("{ending:?}")
    };
    check(
        &[message],
        &expect![[r#"
        failed to record: 8000 features (and 0 class labels) are more than the record of a version holds, which has at most 1048576 bytes: list the ones that matter as `dataset.features`, leave others out by `dataset.exclude`, or give them shorter names
    "#]],
    );
    assert_eq!(stages, ["read"]);
}

#[test]
fn files_that_are_no_tables() {
    check(
        &[
            refusal(""),
            refusal("a,b,y\n"),
            refusal("a,b,a,y\n1,2,3,4\n"),
            refusal("a,,y\n1,2,3\n"),
            refusal(good() + "1,2\n"),
            refusal(good() + "1,2,3,4\n"),
            refusal([good().as_bytes(), b"1,\xff,3\n"].concat()),
            refusal(good() + "1,2,\"3\n"),
            refusal(good() + &"9".repeat(2 << 20)),
            refusal("\0\0\0\0"),
        ],
        &expect![[r#"
            failed to read the data: data.csv: it is empty; the first line must name the columns
            failed to read the data: data.csv: it has no rows
            failed to read the data: data.csv, line 1, column 3 (a): column 1 has this name too: rename one of them
            failed to read the data: data.csv: column 2 has no name: name it; or, if it is an index or the lines end with a comma, write the file without (pandas: `to_csv(index=False)`), or list `dataset.features`
            failed to read the data: data.csv, line 52: the row has 2 cells, and the header 3
            failed to read the data: data.csv, line 52: the row has 4 cells, and the header 3: quote cells that hold commas
            failed to read the data: data.csv, line 52, column 2 (b): the cell is not UTF-8: save the file as UTF-8
            failed to read the data: data.csv, line 52, column 3 (y): a quote is opened and never closed
            failed to read the data: data.csv, line 52, column 1 (a): the row does not end within 1048576 bytes
            failed to read the data: data.csv, line 1, column 1: the file holds a NUL byte: is it text in UTF-8?
        "#]],
    );
}

#[test]
fn columns_that_do_not_fit() {
    let features = |features| move |r: &mut RunRequest| declared(r).dataset.features = features;
    let divide_by = |divisor| {
        move |r: &mut RunRequest| {
            declared(r).dataset.target.as_mut().unwrap().divide_by = Some(divisor);
        }
    };
    check(
        &[
            refusal_with(good(), |r| {
                declared(r).dataset.target = None;
            }),
            refusal_with(good(), |r| {
                declared(r).dataset.target = Some(target("z"));
            }),
            refusal_with(good(), features(vec![column("A", "c")])),
            refusal_with(good(), features(vec![ratio("A", "a", "c")])),
            refusal_with(good(), features(vec![column("A", "y")])),
            refusal_with(good(), features(vec![ratio("A", "a", "y")])),
            refusal_with(good(), features(vec![column("A", "a"), column("A", "b")])),
            refusal_with(good(), features(vec![ratio("A", "b", "a")])),
            refusal("y\n1\n2\n"),
            refusal_with(good(), divide_by(0.0)),
            refusal_with(good(), divide_by(1e-320)),
        ],
        &expect![[r#"
            failed to read the data: data.csv: the manifest names no target column, and the dataset has none of its own; its columns: a, b, y
            failed to read the data: data.csv: there is no column "z", which the target needs; the columns: a, b, y
            failed to read the data: data.csv: there is no column "c", which feature "A" needs; the columns: a, b, y
            failed to read the data: data.csv: there is no column "c", which feature "A" needs; the columns: a, b, y
            failed to read the data: data.csv: feature "A" is made of the target's column: a model must not see its answer
            failed to read the data: data.csv: feature "A" is made of the target's column: a model must not see its answer
            failed to read the data: data.csv: two features are named "A"
            failed to derive the features: data.csv, line 2, column 1 (a): feature "A" divides by this cell, which is 0
            failed to read the data: data.csv: no column but the target is left: there is no feature to learn from
            failed to read the data: data.csv: the target's `divideBy` is 0; it must be a finite number other than 0
            failed to derive the features: data.csv, line 3, column 3 (y): the divided target is not a finite number
        "#]],
    );
}

#[test]
fn rows_that_teach_nothing() {
    let rows = |of: fn(i32) -> String| {
        (0..50)
            .map(of)
            .fold("a,b,y\n".to_owned(), |text, row| text + &row)
    };
    let classify = |r: &mut RunRequest| {
        r.training.fit = Fit::Algorithm(Algorithm::LogisticRegression);
        declared(r).evaluation.metric = Metric::Accuracy;
    };
    let many = (0..2_000).map(|n| format!("{n},{},{n}\n", n % 3));
    check(
        &[
            refusal(rows(|n| format!("{n},{},7\n", n % 3))),
            refusal(rows(|n| format!("{n},5,{n}\n"))),
            refusal(rows(|n| format!("{n},{},{}\n", 2 * n + 1, n % 7))),
            refusal("a,b,y\n1,2,3\n1,2,3\n"),
            refusal_with(good(), |r| {
                declared(r).evaluation.holdout = Holdout::Percent { percent: 99, seed: 0 }
            }),
            refusal_with(rows(|n| format!("{n},{},dog\n", n % 3)), classify),
            refusal_with(rows(|n| format!("{n},{},{n}.5\n", n % 3)), classify),
            refusal_with(rows(|n| format!("{n},{},\n", n % 3)), classify),
            refusal_with(many.fold("a,b,y\n".to_owned(), |text, row| text + &row), classify),
        ],
        &expect![[r#"
            failed to fit: the target "y" is 7 in every training row: there is nothing to predict
            failed to fit: feature "b" has the same value in every training row: leave it out (`dataset.exclude`)
            failed to fit: feature "b" is a linear combination of the features before it: leave one of them out (`dataset.exclude`)
            failed to split off the holdout: the holdout of 20 % is empty: no row falls into it (2 in all); give more rows, hold out more, or try another holdout seed
            failed to split off the holdout: the holdout takes every row (50 in all): give more rows, or hold out less
            failed to fit: the target "y" is "dog" in every training row: there is nothing to predict
            failed to derive the features: the target "y" has 43 different values in 43 training rows, too many to be classes: is it a number to predict by a regression?
            failed to read the data: data.csv, line 2, column 3 (y): the cell is empty, and a class label is needed: remove the row, or name the class
            failed to derive the features: the target "y" has 1628 different values, more than the 1000 classes allowed: is it a number to predict by a regression?
        "#]],
    );
}

#[test]
fn manifests_that_cannot_be_honoured() {
    let world = World::new();
    let refusal = |change: fn(&mut RunRequest)| {
        let mut request = world.request(Algorithm::GradientBoosting, builtin("wine-quality"));
        change(&mut request);
        refused(&request)
    };
    check(
        &[
            refusal(|r| declared(r).dataset.source = builtin("wine")),
            refusal(|r| declared(r).dataset.source = synthetic("moons")),
            refusal(|r| r.training.hyperparameters = settings(&[("tree", 3.0)])),
            refusal(|r| r.training.hyperparameters = settings(&[("trees", 0.5)])),
            refusal(|r| r.training.hyperparameters = settings(&[("column_sample", 0.01)])),
            refusal(|r| declared(r).evaluation.metric = Metric::Accuracy),
            refusal(|r| r.training.fit = Fit::Algorithm(Algorithm::LogisticRegression)),
            refusal(|r| {
                declared(r).dataset.source = DataSource::Committed("x.csv".to_owned());
            }),
        ],
        &expect![[r#"
            failed to read the data: builtin:wine: there is no such builtin dataset; there are wine-quality and iris
            failed to read the data: synthetic:moons: there is no such synthetic dataset; there are linear, friedman1, blobs
            failed to fit: gradient_boosting has no hyperparameter "tree"; it has: trees, max_leaves, learning_rate, max_depth, min_leaf_weight, l2, subsample, column_sample
            failed to fit: hyperparameter trees is 0.5; it must be a whole number from 1 to 5000
            failed to fit: column_sample 0.01 of 11 features is less than one of them
            accuracy is no metric of gradient_boosting: take r2, rmse, mae
            r2 is no metric of logistic_regression: take accuracy, log_loss
            failed to read the data: x.csv: the run names no file for it
        "#]],
    );
}

#[test]
fn bounds_are_enforced_and_named() {
    let world = World::new();
    let refusal = |metric, bound| {
        let mut request = world.request(Algorithm::LinearRegression, builtin("wine-quality"));
        declared(&mut request).evaluation.metric = metric;
        declared(&mut request).evaluation.bound = Some(bound);
        let refusal = refused(&request);
        assert_eq!(world.store.versions(&request.model).unwrap(), []);
        refusal
    };
    check(
        &[refusal(Metric::R2, 0.9), refusal(Metric::Rmse, 0.1)],
        &expect![[r#"
            the r2 of 0.279545 on 312 held-out rows misses the minimum of 0.9: nothing was published
            the rmse of 0.662887 on 312 held-out rows misses the maximum of 0.1: nothing was published
        "#]],
    );
    let mut request = world.request(Algorithm::LinearRegression, builtin("wine-quality"));
    declared(&mut request).evaluation.metric = Metric::Rmse;
    declared(&mut request).evaluation.bound = Some(0.7);
    published(&request);
    let metadata = world.entry(&request).metadata;
    assert_eq!(metadata.metric.keys().collect::<Vec<_>>(), ["rmse"]);
}
