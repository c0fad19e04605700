//! Which rows a version is measured on, and what it is compared with.

use expect_test::expect;
use planner::names::Digest;
use planner::training::{Algorithm, DataSource, Fit, Holdout};
use registry::metadata::VersionMetadata;
use registry::run::RunRequest;

use crate::world::{World, builtin, column, declared, published, refused, small_boosting, synthetic, target};

#[test]
fn the_pinned_stable_is_scored_on_the_same_holdout() {
    let world = World::new();
    let stable = world.request(Algorithm::LinearRegression, builtin("wine-quality"));
    let reached = published(&stable);
    let second = |change: fn(&mut RunRequest)| {
        let mut request = stable.clone();
        request.version = format!(
            "v20261102-{:06}",
            world.store.versions(&stable.model).unwrap().len()
        )
        .parse()
        .unwrap();
        request.baseline = Some(stable.version.clone());
        request.training.fit = Fit::Algorithm(Algorithm::GradientBoosting);
        request.training.hyperparameters = small_boosting();
        change(&mut request);
        published(&request);
        world.entry(&request).metadata
    };
    let metadata = second(|_| {});
    let baseline = metadata.baseline.clone().unwrap();
    assert_eq!((&baseline.version, &baseline.values), (&stable.version, &reached));
    // Fewer features do not move a row, and the stable still gets its own.
    let fewer = second(|request| {
        declared(request).dataset.features = vec![column("a", "alcohol")];
    });
    let digest = |metadata: &VersionMetadata| metadata.metrics.as_ref().unwrap().holdout_digest;
    assert_eq!(digest(&fewer), digest(&metadata));
    assert_eq!(fewer.baseline.unwrap().values, reached);
    // Another unit, divisor, target or other columns cannot be compared; a version that is not there is none.
    let unit = |request: &mut RunRequest| {
        let mut target = target("quality");
        target.unit = Some("points".to_owned());
        declared(request).dataset.target = Some(target);
    };
    assert_eq!(second(unit).baseline, None);
    let divisor = |request: &mut RunRequest| {
        let mut target = target("quality");
        target.divide_by = Some(10.0);
        declared(request).dataset.target = Some(target);
    };
    assert_eq!(second(divisor).baseline, None);
    let column = |request: &mut RunRequest| {
        declared(request).dataset.target = Some(target("pH"));
    };
    assert_eq!(second(column).baseline, None);
    let other = second(|request| declared(request).dataset.source = synthetic("linear"));
    assert_eq!(other.baseline, None);
    let none = second(|request| request.baseline = Some("v20200101-000000".parse().unwrap()));
    assert_eq!(none.baseline, None);
}

/// Rows `a,b,y` that a linear model can be fitted to.
fn rows(range: std::ops::Range<i32>) -> String {
    let row = |n: i32| format!("{},{},{}\n", n, (n * n) % 17, 3 * n + (n * n) % 17);
    range.map(row).collect()
}

/// The same rows with `y` first.
fn swapped(rows: &str) -> String {
    let swap = |line: &str| {
        let cells: Vec<&str> = line.split(',').collect();
        format!("{},{},{}\n", cells[2], cells[0], cells[1])
    };
    rows.lines().map(swap).collect()
}

#[test]
fn a_holdout_of_its_own_is_never_fitted_on() {
    let world = World::new();
    let mut request = world.csv("a,b,y\n".to_owned() + &rows(0..50));
    let with_holdout = |request: &mut RunRequest, content: &str| {
        declared(request).evaluation.holdout = Holdout::File {
            source: DataSource::Committed("held.csv".to_owned()),
            sha256: Some(Digest::of(content.as_bytes())),
        };
        request.holdout = Some(world.write("held.csv", content));
    };
    // Other rows, and ten of the dataset's, in another order of columns.
    let held = "y,a,b\n".to_owned() + &swapped(&rows(40..60));
    with_holdout(&mut request, &held);
    published(&request);
    let metadata = world.entry(&request).metadata;
    assert_eq!(metadata.metrics.unwrap().holdout_rows, 20);
    assert_eq!(metadata.dataset.unwrap().rows, 70);
    assert_eq!(metadata.reference.unwrap().features[0].n, 40);

    with_holdout(&mut request, "a,c,y\n1,2,3\n");
    expect![[r#"failed to read the data: held.csv: its columns are not those of the dataset (missing: "b"; unknown: "c")"#]].assert_eq(&refused(&request));
    with_holdout(&mut request, &("a,b,y\n".to_owned() + &rows(0..50)));
    expect![
        "failed to split off the holdout: the holdout takes every row (50 in all): give more rows, or hold out less"
    ]
    .assert_eq(&refused(&request));
}

#[test]
fn appended_rows_move_no_other() {
    let digest = |rows: String| {
        let world = World::new();
        let request = world.csv("a,b,y\n".to_owned() + &rows);
        published(&request);
        world.entry(&request).metadata.metrics.unwrap()
    };
    let first = digest(rows(0..50));
    // Each row twice: the holdout has each of its rows twice.
    let twice = digest(rows(0..50) + &rows(0..50));
    assert_eq!(twice.holdout_rows, 2 * first.holdout_rows);
    let longer = digest(rows(0..50) + &rows(50..60));
    let appended = longer.holdout_rows - first.holdout_rows;
    assert!(appended <= 10 && longer.holdout_digest != first.holdout_digest);
    // Another order of rows is the same holdout.
    let lines: Vec<String> = rows(0..50)
        .lines()
        .rev()
        .map(|line| format!("{line}\n"))
        .collect();
    assert_eq!(digest(lines.concat()).holdout_digest, first.holdout_digest);
}
