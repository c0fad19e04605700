//! MLTrainingJobs, brought to Jobs by the operator and run by the real trainer.

use std::fs;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::Method;
use planner::names::Digest;
use serde_json::{Value, json};

use super::world::{TEAM_IMAGE, World};

const VERSION: &str = "v20261101-120000";
const JOBS: &str = "apis/batch/v1/jobs";
const PODS: &str = "api/v1/pods";
const EVENTS: &str = "apis/events.k8s.io/v1/events";

/// A job that takes a moment.
fn quick() -> Value {
    json!({
        "modelName": "wine", "version": VERSION,
        "dataset": { "uri": "builtin:wine-quality" },
        "algorithm": "linear_regression",
        "evaluation": { "metric": "r2", "minimum": 0.2 },
    })
}

/// A job that does not end by itself, however quick the machine: a team's own program that waits.
fn endless() -> Value {
    let mut spec = quick();
    spec.as_object_mut().expect("an object").remove("algorithm");
    let waits = "trap 'exit 1' TERM; sleep 3600 & wait";
    spec["container"] = json!({ "image": TEAM_IMAGE, "command": ["sh", "-c", waits] });
    spec
}

fn condition(status: &Value, kind: &str) -> Value {
    let conditions = status["conditions"].as_array().into_iter().flatten();
    conditions
        .filter(|condition| condition["type"] == kind)
        .map(|condition| condition["status"].clone())
        .next()
        .unwrap_or_default()
}

/// Says whether the program of a Pod runs: it does so before what publishes, and until then the Pod is pending.
fn runs(pod: &Value) -> bool {
    let containers = pod["status"]["initContainerStatuses"].as_array();
    let fit = containers.and_then(|containers| containers.last());
    fit.is_some_and(|fit| !fit["state"]["running"].is_null())
}

/// Waits until a Pod of another name runs its program, and returns its name.
async fn running(world: &mut World, but: &str) -> String {
    let is_running = |pod: &Value| runs(pod) && pod["metadata"]["name"] != but;
    let pods = world
        .until(PODS, |found| {
            found["items"]
                .as_array()
                .is_some_and(|pods| pods.iter().any(is_running))
        })
        .await;
    let pods = pods["items"].as_array().expect("a list");
    let pod = pods.iter().find(|pod| is_running(pod)).expect("one that runs");
    pod["metadata"]["name"].as_str().expect("a name").to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_trains_publishes_and_is_not_run_again_when_its_status_is_lost() {
    let Some(mut world) = World::begin().await else {
        return;
    };
    world.operate().await;
    world.declare("wine", &quick()).await;
    let status = world.until_phase("wine", "Succeeded").await;
    assert_eq!(status["version"], VERSION);
    assert_eq!(status["progressPercent"], 100);
    assert!(
        status["metrics"]["r2"].as_f64().is_some_and(|r2| r2 > 0.2),
        "{status}"
    );
    assert_eq!(condition(&status, "Ready"), "True");
    let metadata = world
        .registry()
        .join(format!("aurora/wine/versions/{VERSION}/metadata.json"));
    let metadata: Value = serde_json::from_slice(&fs::read(metadata).expect("a version")).expect("JSON");
    assert_eq!(metadata["artifact"]["digest"], status["digest"]);
    let name = format!("wine-{VERSION}-1");
    let is_let_go = |job: &Value| job["spec"]["ttlSecondsAfterFinished"] == 3_600;
    let job = world.until(&format!("{JOBS}/{name}"), is_let_go).await;
    let succeeded = |found: &Value| {
        let events = found["items"].as_array().into_iter().flatten();
        let of_job = events.filter(|event| event["regarding"]["kind"] == "MLTrainingJob");
        of_job.filter(|event| event["reason"] == "Succeeded").count()
    };
    let events = world.until(EVENTS, |found| succeeded(found) > 0).await;
    assert_eq!(succeeded(&events), 1, "{events:#}");

    // Somebody wipes the status: the version is there, and its Job is not made again.
    let object = "apis/aurora.io/v1alpha1/mltrainingjobs/wine";
    world
        .ask(
            Method::PATCH,
            &format!("{object}/status"),
            &json!({ "status": null }),
        )
        .await;
    let again = world.until_phase("wine", "Succeeded").await;
    assert_eq!(again["digest"], status["digest"]);
    let kept = world.get(&format!("{JOBS}/{name}")).await;
    assert_eq!(kept["metadata"]["uid"], job["metadata"]["uid"]);
    assert_eq!(world.names(JOBS).await, [name]);
    world.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn bad_data_is_told_with_its_line_and_not_tried_again() {
    let Some(mut world) = World::begin().await else {
        return;
    };
    let rows = "a,b,y\n1,2,3\n2,3,4\n3,4,5\n4,many,6\n5,6,7\n";
    let digest = Digest::of(rows.as_bytes()).hex();
    let datasets = world.registry().join("aurora/datasets");
    fs::create_dir_all(&datasets).expect("a folder");
    fs::write(datasets.join(&digest), rows).expect("a file");
    let mut spec = quick();
    spec["dataset"] = json!({ "uri": "data/rows.csv", "sha256": digest, "target": { "column": "y" } });
    world.operate().await;
    world.declare("wine", &spec).await;
    let status = world.until_phase("wine", "Failed").await;
    let message = status["message"].as_str().unwrap_or_default();
    assert!(message.contains("line 5"), "{status}");
    assert_eq!(condition(&status, "Stalled"), "True");
    assert_eq!(world.names(PODS).await.len(), 1);
    // A changed spec is another matter.
    spec["dataset"] = json!({ "uri": "builtin:wine-quality" });
    world.declare("wine", &spec).await;
    world.until_phase("wine", "Succeeded").await;
    world.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_evicted_run_is_tried_again_costs_no_attempt_and_goes_with_its_object() {
    let Some(mut world) = World::begin().await else {
        return;
    };
    world.operate().await;
    world.declare("wine", &endless()).await;
    let pod = running(&mut world, "").await;
    let evicted = testkit::evict(&world.namespace.client(), world.namespace.name(), &pod).await;
    assert!(evicted.expect("the server answers").is_success());
    running(&mut world, &pod).await;
    let status = world.until_phase("wine", "Running").await;
    let runs = status["memory"]["runs"].as_array().expect("its memory");
    let attempts: Vec<&Value> = runs.iter().map(|run| &run["attempt"]).collect();
    assert_eq!(attempts, [1], "{status}");
    assert_eq!(world.names(JOBS).await, [format!("wine-{VERSION}-1")]);

    world
        .ask(
            Method::DELETE,
            "apis/aurora.io/v1alpha1/mltrainingjobs/wine",
            &Value::Null,
        )
        .await;
    let are_none = |found: &Value| found["items"].as_array().is_some_and(Vec::is_empty);
    world.until(JOBS, are_none).await;
    world.until(PODS, are_none).await;
    assert!(
        !world
            .registry()
            .join("aurora/wine/versions")
            .join(VERSION)
            .exists()
    );
    world.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_takes_too_long_is_stopped_and_not_tried_again() {
    let Some(mut world) = World::begin().await else {
        return;
    };
    world.operate().await;
    let mut spec = endless();
    spec["activeDeadlineSeconds"] = json!(10);
    world.declare("wine", &spec).await;
    running(&mut world, "").await;
    let status = world.until_phase("wine", "Failed").await;
    let message = status["message"].as_str().unwrap_or_default();
    assert!(
        message.contains("stopped after activeDeadlineSeconds (10 s)"),
        "{status}"
    );
    let ended = |found: &Value| {
        let pods = found["items"].as_array();
        pods.is_some_and(|pods| !pods.iter().any(runs))
    };
    world.until(PODS, ended).await;
    world.stop();
}

/// A team's own program stands for the algorithm: what it leaves is checked, evaluated and published by Aurora.
#[tokio::test(flavor = "multi_thread")]
async fn what_a_program_of_a_teams_own_leaves_is_checked_evaluated_and_published() {
    let Some(mut world) = World::begin().await else {
        return;
    };
    world.operate().await;
    world.declare("ours", &quick()).await;
    let ours = world.until_phase("ours", "Succeeded").await;
    let versions = world.registry().join("aurora/wine/versions");
    let model = versions.join(VERSION).join("model.onnx");

    let version = "v20261102-120000";
    let theirs = |script: &str| {
        let mut spec = quick();
        spec["version"] = json!(version);
        spec.as_object_mut().expect("an object").remove("algorithm");
        spec["container"] = json!({ "image": TEAM_IMAGE, "command": ["sh", "-c", script] });
        spec["seed"] = json!(7);
        spec
    };
    for (script, expected) in [
        ("exit 0", "it left no model.onnx in the folder AURORA_OUTPUT"),
        (
            "echo none > \"$AURORA_OUTPUT/model.onnx\"",
            "this is no ONNX file",
        ),
    ] {
        world.declare("theirs", &theirs(script)).await;
        let is_told = |found: &Value| {
            let message = found["status"]["message"].as_str();
            found["status"]["phase"] == "Failed" && message.is_some_and(|message| message.contains(expected))
        };
        let object = "apis/aurora.io/v1alpha1/mltrainingjobs/theirs";
        let found = world.until(object, is_told).await;
        assert_eq!(condition(&found["status"], "Stalled"), "True");
    }

    // Their container sees nothing of the registry: they bring the model along.
    let model = STANDARD.encode(fs::read(model).expect("a model"));
    let script = format!(
        "set -e; test \"$AURORA_SEED\" = 7; test $(wc -l < \"$AURORA_DATASET\") -gt 1000; \
         echo {model} | base64 -d > \"$AURORA_OUTPUT/model.onnx\"; \
         echo '{{\"loss\": 0.25}}' > \"$AURORA_OUTPUT/metrics.json\"",
    );
    world.declare("theirs", &theirs(&script)).await;
    let status = world.until_phase("theirs", "Succeeded").await;
    assert_eq!(status["metrics"]["r2"], ours["metrics"]["r2"]);
    let metadata = fs::read(versions.join(version).join("metadata.json")).expect("a version");
    let metadata: Value = serde_json::from_slice(&metadata).expect("JSON");
    assert_eq!(metadata["artifact"]["digest"], status["digest"]);
    assert!(
        metadata.to_string().contains("\"loss\":0.25"),
        "what they measured is shown: {metadata}"
    );
    world.stop();
}
