//! Data that cannot be learnt from is refused with file, line and column; nothing is published.

use expect_test::{Expect, expect};
use planner::names::Digest;
use planner::training::{Algorithm, DataSource, Holdout, Metric};
use registry::run::{Ending, RunRequest};

use crate::world::{
    World, builtin, column, now, published, ratio, refused, run, settings, synthetic, target,
};

/// Rows `a,b,y` that a linear model can be fitted to.
fn good() -> String {
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
fn check(refusals: &[String], expected: &Expect) {
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
            refusal(good() + "1,1e999,3\n"),
            refusal(good() + "1,\"2\n2\",3\n"),
            refusal(good() + &format!("1,{},3\n", "x".repeat(500))),
        ],
        &expect![[r#"
            failed to read the data: data.csv, line 52, column 2 (b): "abc" is not a number
            failed to read the data: data.csv, line 52, column 2 (b): the cell is empty, and a number is needed
            failed to read the data: data.csv, line 52, column 1 (a): NaN is not a finite number
            failed to read the data: data.csv, line 52, column 3 (y): inf is not a finite number
            failed to read the data: data.csv, line 52, column 2 (b): inf is not a finite number
            failed to read the data: data.csv, line 52, column 2 (b): "2�2" is not a number
            failed to read the data: data.csv, line 52, column 2 (b): "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx…" is not a number
        "#]],
    );
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
            failed to read the data: data.csv, line 1, column 3 (a): the header has this name twice
            failed to read the data: data.csv, line 1, column 2: the column has no name
            failed to read the data: data.csv, line 52: the row has 2 fields, and the header 3
            failed to read the data: data.csv, line 52: the row has 4 fields, and the header 3
            failed to read the data: data.csv, line 52: field 2 is not UTF-8
            failed to read the data: data.csv, line 52: a quote is opened and never closed
            failed to read the data: data.csv, line 52: the line has more than 1048576 bytes
            failed to read the data: data.csv: there is no column "y", which the target needs; the columns: ����
        "#]],
    );
}

#[test]
fn columns_that_do_not_fit() {
    let features = |features| move |r: &mut RunRequest| r.training.dataset.features = features;
    let divide_by = |divisor| {
        move |r: &mut RunRequest| {
            r.training.dataset.target.as_mut().unwrap().divide_by = Some(divisor);
        }
    };
    check(
        &[
            refusal_with(good(), |r| r.training.dataset.target = None),
            refusal_with(good(), |r| r.training.dataset.target = Some(target("z"))),
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
            failed to read the data: data.csv: the target is the only column: there is no feature to learn from
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
        r.training.algorithm = Algorithm::LogisticRegression;
        r.training.evaluation.metric = Metric::Accuracy;
    };
    let many = (0..2_000).map(|n| format!("{n},{},{n}\n", n % 3));
    check(
        &[
            refusal(rows(|n| format!("{n},{},7\n", n % 3))),
            refusal(rows(|n| format!("{n},5,{n}\n"))),
            refusal(rows(|n| format!("{n},{},{}\n", 2 * n + 1, n % 7))),
            refusal("a,b,y\n1,2,3\n1,2,3\n"),
            refusal_with(good(), |r| {
                r.training.evaluation.holdout = Holdout::Percent { percent: 99, seed: 0 }
            }),
            refusal_with(rows(|n| format!("{n},{},dog\n", n % 3)), classify),
            refusal_with(rows(|n| format!("{n},{},{n}.5\n", n % 3)), classify),
            refusal_with(rows(|n| format!("{n},{},\n", n % 3)), classify),
            refusal_with(many.fold("a,b,y\n".to_owned(), |text, row| text + &row), classify),
        ],
        &expect![[r#"
            failed to fit: the target "y" is 7 in every training row: there is nothing to predict
            failed to fit: feature "b" has the same value in every training row: remove it
            failed to fit: feature "b" is a linear combination of the features before it: remove one of them
            failed to split off the holdout: the holdout of 20 % is empty: none of the 2 rows falls into it; give more rows, hold out more, or try another holdout seed
            failed to split off the holdout: the holdout takes all 50 rows: give more rows, or hold out less
            failed to fit: the target "y" is "dog" in every training row: there is nothing to predict
            failed to read the data: data.csv, line 2, column 3 (y): 0.5 is no class label: a label is a whole number or a word
            failed to read the data: data.csv, line 2, column 3 (y): the cell is empty, and a class label is needed
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
            refusal(|r| r.training.dataset.source = builtin("wine")),
            refusal(|r| r.training.dataset.source = synthetic("moons")),
            refusal(|r| r.training.hyperparameters = settings(&[("tree", 3.0)])),
            refusal(|r| r.training.hyperparameters = settings(&[("trees", 0.5)])),
            refusal(|r| r.training.hyperparameters = settings(&[("column_sample", 0.01)])),
            refusal(|r| r.training.evaluation.metric = Metric::Accuracy),
            refusal(|r| r.training.algorithm = Algorithm::LogisticRegression),
            refusal(|r| r.training.dataset.source = DataSource::Committed("x.csv".to_owned())),
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
        request.training.evaluation.metric = metric;
        request.training.evaluation.bound = Some(bound);
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
    request.training.evaluation.metric = Metric::Rmse;
    request.training.evaluation.bound = Some(0.7);
    published(&request);
    let metadata = world.entry(&request).metadata;
    assert_eq!(metadata.metric.keys().collect::<Vec<_>>(), ["rmse"]);
}

/// What a refusal shows of a file that the manifest's author may not have seen: nothing but the cell that is wrong.
#[test]
fn files_outside_the_repository_are_read_below_their_root_and_shown_by_the_cell() {
    let world = World::new();
    let folder = world.dir.path().canonicalize().unwrap();
    let root = folder.join("data");
    std::fs::create_dir(&root).unwrap();
    let passwd = "root:x:0:0:root:/root:/bin/bash,hash\n$6$secret,2\n";
    let long = format!("a,b,y\n1,{}\u{1b}[2J\u{202e}secret,3\n", "x".repeat(45));
    let steering = "a,b,y\n1,\u{1b}[2J\u{202e}!,3\n";
    for (name, content) in [
        ("good.csv", good()),
        ("passwd", passwd.to_owned()),
        ("long.csv", long),
        ("steering.csv", steering.to_owned()),
        ("../secret.csv", good()),
    ] {
        std::fs::write(root.join(name), content).unwrap();
    }
    for (target, link) in [
        ("good.csv", "link.csv"),
        ("../secret.csv", "out.csv"),
        ("../none.csv", "gone.csv"),
    ] {
        std::os::unix::fs::symlink(target, root.join(link)).unwrap();
    }
    let request = |path: &std::path::Path| {
        let source = DataSource::Absolute(path.display().to_string());
        let mut request = world.request(Algorithm::LinearRegression, source);
        request.dataset = Some(path.to_owned());
        request.dataset_roots = vec![root.clone()];
        request.training.dataset.target = Some(target("y"));
        request
    };
    let said = |name: &str| {
        let said = match run(&request(&root.join(name))) {
            Ending::Published { .. } => "published".to_owned(),
            Ending::SameInputs => "the same inputs".to_owned(),
            Ending::Refused { message } | Ending::Transient { message } => message,
        };
        said.replace(&folder.display().to_string(), "…")
    };
    check(
        &[
            said("good.csv"),
            said("passwd"),
            said("long.csv"),
            said("steering.csv"),
            said("out.csv"),
            said("gone.csv"),
            said("../secret.csv"),
            said("../none.csv"),
            said("/etc/passwd"),
            said("/etc/none"),
            said("none.csv"),
            said("."),
        ],
        &expect![[r#"
            published
            failed to read the data: …/data/passwd: there is no column "y", which the target needs; the columns: not shown of a file outside the repository
            failed to read the data: …/data/long.csv, line 2, column 2: "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx…" is not a number
            failed to read the data: …/data/steering.csv, line 2, column 2: "�[2J�!" is not a number
            failed to read the data: …/data/out.csv: it lies in no folder that data may be read from: commit the file, or start aurora with --dataset-root and the folder that holds it
            failed to read the data: …/data/gone.csv: it lies in no folder that data may be read from: commit the file, or start aurora with --dataset-root and the folder that holds it
            failed to read the data: …/data/../secret.csv: it lies in no folder that data may be read from: commit the file, or start aurora with --dataset-root and the folder that holds it
            failed to read the data: …/data/../none.csv: it lies in no folder that data may be read from: commit the file, or start aurora with --dataset-root and the folder that holds it
            failed to read the data: /etc/passwd: it lies in no folder that data may be read from: commit the file, or start aurora with --dataset-root and the folder that holds it
            failed to read the data: /etc/none: it lies in no folder that data may be read from: commit the file, or start aurora with --dataset-root and the folder that holds it
            failed to read the data: …/data/none.csv (…/data/none.csv): No such file or directory (os error 2)
            failed to read the data: …/data/.: it is no regular file
        "#]],
    );
    // A link that stays below the root is the operator's own way of naming a file.
    let mut linked = request(&root.join("link.csv"));
    linked.version = "v20261102-120000".parse().unwrap();
    published(&linked);
    // Another digest than the file's is refused without saying which would be right.
    linked.version = "v20261103-120000".parse().unwrap();
    linked.training.dataset.sha256 = Some(Digest::of(b"other"));
    let message = refused(&linked);
    for digest in [Digest::of(b"other"), Digest::of(good().as_bytes())] {
        assert!(!message.contains(&digest.hex()[..12]), "{message}");
    }
}

#[test]
fn files_that_changed_are_refused_and_files_that_are_missing_may_come_back() {
    let world = World::new();
    let mut request = world.csv(good() + "1,abc,3\n");
    // The digest is judged first: the rows of another file are no one's fault.
    request.training.dataset.sha256 = Some(Digest::of(b"other"));
    let other = refused(&request);
    request.dataset = Some("/nowhere/data.csv".into());
    let Ending::Transient { message } = run(&request) else {
        panic!("tried again")
    };
    check(
        &[other, message],
        &expect![[r#"
            failed to read the data: data.csv: the file's sha256 is not the one that the manifest gives: the data changed after it was named, or another file was meant
            failed to read the data: data.csv (/nowhere/data.csv): there is no such file
        "#]],
    );
}

/// Data that was staged for a run is read through the registry; whatever became of the copy, the run is tried again with
/// another one and is never refused for it.
#[test]
fn a_damaged_copy_of_the_data_is_no_fault_of_the_data() {
    let lines = (0..60).map(|n| format!("{n},{}\n", 2 * n + 1));
    let content = format!("x,y\n{}", lines.collect::<String>());
    let sha256 = Digest::of(content.as_bytes());
    for (what, damage) in [
        ("truncated", "head -c 100 $F > x; cat x > $F; rm x"),
        ("of other rows", "sed -i s/7/8/ $F"),
        ("of one long line", "head -c 3000000 /dev/zero | tr '\\0' x > $F"),
        ("a link", "mv $F ../y; ln -s ../y $F"),
        ("a pipe", "rm $F; mkfifo $F"),
        ("missing", "rm $F"),
    ] {
        let world = World::new();
        let mut request = world.csv(&content);
        request.training.dataset.sha256 = Some(sha256);
        request.dataset = Some(world.store.dataset_path(&sha256));
        world.store.stage_dataset(&sha256, content.as_bytes()).unwrap();
        let status = std::process::Command::new("sh")
            .args(["-ec", damage])
            .env("F", sha256.hex())
            .current_dir(world.store.root().join("aurora/datasets"))
            .status();
        assert!(status.unwrap().success(), "{what}");
        let ending = trainer::run(&request, &mut |_| {}, &now);
        let Ending::Transient { message } = ending else {
            panic!("{what}: {ending:?}")
        };
        assert!(
            message.contains("the staged copy of data.csv is missing or damaged"),
            "{what}: {message}"
        );
        assert!(world.store.datasets().unwrap().is_empty(), "{what}");
        world.store.stage_dataset(&sha256, content.as_bytes()).unwrap();
        published(&request);
    }
    // What is wrong with the rows themselves is said as ever.
    let world = World::new();
    let content = "x,y\n1,2\n1,z\n";
    let sha256 = Digest::of(content.as_bytes());
    let mut request = world.csv(content);
    request.training.dataset.sha256 = Some(sha256);
    request.dataset = Some(world.store.dataset_path(&sha256));
    world.store.stage_dataset(&sha256, content.as_bytes()).unwrap();
    assert!(matches!(
        trainer::run(&request, &mut |_| {}, &now),
        Ending::Refused { .. }
    ));
    assert_eq!(world.store.datasets().unwrap().len(), 1);
}
