//! California housing, where its file is at hand: the quality that comparable tools reach.

use std::path::PathBuf;

use planner::names::Digest;
use planner::training::{Algorithm, DataSource, Target};
use registry::run::RunRequest;

use crate::world::{World, column, published, ratio, say, settings};

fn data() -> Option<PathBuf> {
    let folder = std::env::var_os("AURORA_TEST_DATA").map_or_else(
        || PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../shared/data"),
        PathBuf::from,
    );
    let path = folder.join("california-housing.csv");
    if path.is_file() {
        return Some(path);
    }
    say(&format!(
        "skipped: no {}; AURORA_TEST_DATA names its folder",
        path.display()
    ));
    None
}

fn request(world: &World, algorithm: Algorithm, path: PathBuf) -> RunRequest {
    let mut request = world.request(algorithm, DataSource::Absolute(path.display().to_string()));
    request.training.dataset.sha256 = Some(Digest::of(&std::fs::read(&path).unwrap()));
    request.training.dataset.features = vec![
        column("MedInc", "median_income"),
        column("HouseAge", "housing_median_age"),
        ratio("AveRooms", "total_rooms", "households"),
        ratio("AveBedrms", "total_bedrooms", "households"),
        column("Population", "population"),
        ratio("AveOccup", "population", "households"),
        column("Latitude", "latitude"),
        column("Longitude", "longitude"),
    ];
    request.training.dataset.target = Some(Target {
        column: "median_house_value".to_owned(),
        divide_by: Some(100_000.0),
        unit: Some("100,000 USD".to_owned()),
    });
    request.dataset = Some(path);
    request
}

#[test]
fn linear_regression_explains_as_much_as_scikit_learn() {
    let Some(path) = data() else { return };
    let world = World::new();
    let metrics = published(&request(&world, Algorithm::LinearRegression, path));
    assert!((0.575..0.615).contains(&metrics["r2"]), "{metrics:?}");
}

#[test]
fn gradient_boosting_explains_as_much_as_lightgbm() {
    let Some(path) = data() else { return };
    let world = World::new();
    let mut request = request(&world, Algorithm::GradientBoosting, path);
    request.training.hyperparameters = settings(&[("trees", 500.0), ("max_leaves", 31.0)]);
    let metrics = published(&request);
    assert!(metrics["r2"] >= 0.84, "{metrics:?}");
}
