//! Jobs with a schedule: what their status says, and clocks that are set.

use std::time::Duration;

use serde_json::Value;

use super::repository::Repo;
use super::world::{Fate, World};

/// A nightly job; its runs may take half an hour.
fn nightly(seed: u32) -> String {
    format!(
        "apiVersion: aurora.io/v1alpha1
kind: MLTrainingJob
metadata: {{ name: j }}
spec:
  modelName: m
  schedule: {{ cron: '0 3 * * *' }}
  dataset: {{ uri: 'builtin:iris' }}
  algorithm: logistic_regression
  seed: {seed}
  evaluation: {{ metric: accuracy }}
"
    )
}

fn status(world: &World) -> Value {
    let path = world.data_dir().join("status/MLTrainingJob/j.json");
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

fn phase(world: &World) -> String {
    status(world)["phase"].as_str().unwrap_or_default().to_owned()
}

/// Starts at midnight of December 1st, with the slot of the night before caught up.
fn world() -> World {
    let mut world = World::start(Repo::with(&[("j.yaml", &nightly(1))]));
    world.turn_until(|world| phase(world) == "Succeeded");
    assert_eq!(status(&world)["version"], "v20261130-030000");
    world
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_skipped_slot_leaves_what_the_run_before_it_has_made() {
    let mut world = world();
    let before = status(&world);
    assert!(!before["metrics"].as_object().unwrap().is_empty());
    // The run finds what it finds only once it has read its data.
    *world.trainer.fate.lock().unwrap() = Fate::SameInputs;
    world.repo.change("j.yaml", &nightly(2));
    world.wait(Duration::from_hours(4));
    world.turn_until(|world| status(world)["lastSkipped"].is_object());
    let after = status(&world);
    assert_eq!(after["lastSkipped"]["slot"], "2026-12-01T03:00:00Z");
    assert_eq!(after["lastSkipped"]["reason"], "SameInputs");
    assert_eq!(after["nextRun"], "2026-12-02T03:00:00Z");
    for field in ["phase", "version", "digest", "startedAt", "progressPercent"] {
        assert_eq!(after[field], before[field], "{field}");
    }
    let version = registry::Reference::Version("v20261130-030000".parse().unwrap());
    let entry = world.store.resolve(&"m".parse().unwrap(), &version).unwrap();
    assert_eq!(
        after["metrics"],
        serde_json::json!(entry.metadata.metrics.unwrap().values)
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_clock_that_is_set_ahead_stops_no_run() {
    let mut world = world();
    *world.trainer.fate.lock().unwrap() = Fate::Hang;
    world.repo.change("j.yaml", &nightly(2));
    world.wait(Duration::from_hours(4));
    world.turn_till(|world| phase(world) == "Running");
    world.wait(Duration::from_hours(2));
    for _ in 0..5 {
        world.turn();
    }
    assert_eq!(phase(&world), "Running");
    assert_eq!(status(&world)["nextRun"], "2026-12-02T03:00:00Z");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_clock_that_was_years_ahead_silences_no_schedule() {
    let years = Duration::from_hours(4 * 365 * 24);
    let mut world = world();
    world.repo.change("j.yaml", &nightly(2));
    world.wait(years);
    world.turn_until(|world| status(world)["version"] == "v20301129-030000");
    world.set_back(years);
    world.repo.change("j.yaml", &nightly(3));
    world.settle();
    assert_eq!(status(&world)["nextRun"], "2026-12-01T03:00:00Z");
    // Also for the process after this one.
    world.restart();
    world.wait(Duration::from_hours(4));
    world.turn_until(|world| status(world)["version"] == "v20261201-030000");
    let environment = world.data_dir().join("status/MLEnvironment/dev.json");
    let report: Value = serde_json::from_slice(&std::fs::read(environment).unwrap()).unwrap();
    let conditions = report["conditions"].as_array().unwrap();
    assert!(
        conditions
            .iter()
            .any(|condition| condition["type"] == "ClockDoubted")
    );
}

/// What is refused now was taken by a program before: its date never comes, or nobody here knows its zone.
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_job_that_was_accepted_before_keeps_its_runs() {
    for (cron, zone, finding) in [
        ("0 0 31 4 *", "UTC", "a date that comes"),
        ("0 3 * * *", "Mars/Olympus", "no IANA time zone"),
    ] {
        let schedule = serde_json::json!({ "cron": cron, "timeZone": zone });
        let mut world = world();
        let before = status(&world);
        world.end();
        let file = world.data_dir().join("objects/MLTrainingJob/j.json");
        let mut object: Value = serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
        object["spec"]["schedule"] = schedule.clone();
        std::fs::write(&file, object.to_string()).unwrap();
        let declared = nightly(1).replace("{ cron: '0 3 * * *' }", &schedule.to_string());
        world.repo.change("j.yaml", &declared);
        world.restart();
        world.settle();
        assert!(world.findings().contains(finding), "{}", world.findings());
        let after = status(&world);
        for field in ["version", "digest", "memory", "metrics"] {
            assert_eq!(after[field], before[field], "{schedule}: {field}");
        }
        assert_eq!(after["nextRun"], Value::Null, "{schedule}");
    }
}
