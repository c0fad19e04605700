//! An operator of training jobs over a real API server and its Job controller. Trainers are over at once.

pub(crate) mod world;

use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use chrono::Utc;
use http::Method;
use planner::Timestamp;
use serde_json::{Value, json};
use testkit::{Component, Proxy};

use world::{VERSION, World};

fn spec(model: &str, version: &str) -> Value {
    json!({
        "modelName": model, "version": version,
        "dataset": { "uri": "builtin:wine-quality" },
        "algorithm": "linear_regression",
        "evaluation": { "metric": "r2", "minimum": 0.2 },
    })
}

fn stalled(status: &Value) -> Option<String> {
    let conditions = status["conditions"].as_array()?;
    let stalled = conditions
        .iter()
        .find(|condition| condition["type"] == "Stalled" && condition["status"] == "True")?;
    Some(format!(
        "{}: {}",
        stalled["reason"].as_str()?,
        stalled["message"].as_str()?
    ))
}

/// Whatever it has written last: the status, the Job, an event, that the Job may go.
#[tokio::test]
async fn an_operator_that_dies_after_any_write_makes_each_job_once() {
    for writes in 0..8 {
        let Some(mut world) = World::begin().await else {
            return;
        };
        let proxy = Proxy::start(world.namespace.config_of(Component::Operator).await.unwrap()).unwrap();
        proxy.cut_after(writes);
        world.start_behind(proxy.config());
        world.declare("wine", &spec("wine", VERSION), &json!({})).await;
        tokio::select! {
            () = proxy.until_cut() => {}
            _all = world.until_phase("wine", "Succeeded") => {}
        }
        world.kill().await;
        world.start().await;
        let status = world.until_phase("wine", "Succeeded").await;
        assert_eq!(world.runs(), [format!("wine {VERSION}")], "after {writes} writes");
        assert_eq!(world.jobs().await, [format!("wine-{VERSION}-1")]);
        let runs = &status["memory"]["runs"];
        assert!(
            runs.as_array().unwrap().len() == 1 && runs[0]["attempt"] == 1,
            "{runs}"
        );
        world.stop().await;
    }
}

#[tokio::test]
async fn a_lost_status_and_a_restart_train_nothing_that_is_there() {
    let Some(mut world) = World::begin().await else {
        return;
    };
    world.start().await;
    world.declare("wine", &spec("wine", VERSION), &json!({})).await;
    let status = world.until_phase("wine", "Succeeded").await;
    for _ in 0..2 {
        world.wipe_status("wine").await;
        let again = world.until_phase("wine", "Succeeded").await;
        assert_eq!(again["digest"], status["digest"]);
        world.stop().await;
        world.start().await;
    }
    assert_eq!(world.runs().len(), 1);
    // A version that somebody removed is made again, whatever is left of its first run.
    world.stop().await;
    std::fs::remove_dir_all(world.root().join(format!("aurora/wine/versions/{VERSION}"))).unwrap();
    world.start().await;
    world.until("wine", |_| world.runs().len() == 2).await;
    world.until_phase("wine", "Succeeded").await;
    world.stop().await;
}

#[tokio::test]
async fn what_cannot_be_is_told_in_the_words_of_validate() {
    let Some(mut world) = World::begin().await else {
        return;
    };
    world.start().await;
    let mut invalid = spec("wine", VERSION);
    invalid.as_object_mut().unwrap().remove("version");
    invalid["schedule"] = json!({ "cron": "61 3 * * *", "timeZone": "Mars/Phobos" });
    invalid["hyperparameters"] = json!({ "trees": 100 });
    world.declare("wine", &invalid, &json!({})).await;
    let status = world.until("wine", |status| stalled(status).is_some()).await;
    let told = stalled(&status).unwrap();
    let object = json!({
        "apiVersion": crds::API_VERSION, "kind": "MLTrainingJob", "metadata": { "name": "wine" }, "spec": invalid,
    });
    let object: crds::MLTrainingJob = serde_json::from_value(object).unwrap();
    let problems = crds::convert::training(&object, &|_| false).unwrap_err();
    assert!(problems.len() >= 2, "{problems:?}");
    for problem in &problems {
        assert!(told.contains(&problem.to_string()), "{told} has not {problem}");
    }
    assert!(told.starts_with("Invalid: "), "{told}");
    // Once it is mended it runs.
    world.declare("wine", &spec("wine", VERSION), &json!({})).await;
    let status = world.until_phase("wine", "Succeeded").await;
    assert_eq!(stalled(&status), None);
    world.stop().await;
}

#[tokio::test]
async fn a_name_that_is_taken_is_told_until_it_is_free() {
    let Some(mut world) = World::begin().await else {
        return;
    };
    let name = format!("wine-{VERSION}-1");
    let foreign = json!({
        "apiVersion": "batch/v1", "kind": "Job", "metadata": { "name": name },
        "spec": { "suspend": true, "template": { "spec": {
            "restartPolicy": "Never", "containers": [{ "name": "a", "image": "a" }],
        } } },
    });
    world.batch(Method::POST, "jobs", &foreign).await;
    world.start().await;
    world.declare("wine", &spec("wine", VERSION), &json!({})).await;
    let status = world.until("wine", |status| stalled(status).is_some()).await;
    let expected = format!(
        "ForeignChild: Job {name} is there and not of this object: rename one of the two, or delete it"
    );
    assert_eq!(stalled(&status), Some(expected.clone()));
    // It does not hold up others, and says so all the time.
    world.declare("iris", &spec("iris", VERSION), &json!({})).await;
    world.until_phase("iris", "Succeeded").await;
    assert_eq!(stalled(&world.status("wine").await), Some(expected));
    let path = format!("jobs/{name}?propagationPolicy=Background");
    world.batch(Method::DELETE, &path, &Value::Null).await;
    let status = world.until_phase("wine", "Succeeded").await;
    assert_eq!(stalled(&status), None);
    world.stop().await;
}

/// Kueue is played by the test: it alone lets a Job start.
#[tokio::test]
async fn a_job_with_a_queue_waits_for_it_and_nobody_takes_its_leave_back() {
    let Some(mut world) = World::begin().await else {
        return;
    };
    world.start().await;
    let mut queued = spec("wine", VERSION);
    queued["pod"] = json!({ "labels": { "kueue.x-k8s.io/queue-name": "team" } });
    world.declare("wine", &queued, &json!({})).await;
    let status = world
        .until("wine", |status| {
            let message = status["message"].as_str();
            message.is_some_and(|message| message.contains("waits for its queue"))
        })
        .await;
    assert_eq!(status["phase"], "Pending");
    let job = format!("jobs/wine-{VERSION}-1");
    world
        .batch(Method::PATCH, &job, &json!({ "spec": { "suspend": false } }))
        .await;
    world.until_phase("wine", "Succeeded").await;
    let job = world.batch(Method::GET, &job, &Value::Null).await;
    assert_eq!(job["spec"]["suspend"], false);
    world.stop().await;
}

/// Kept by somebody, an object outlives the wish to remove it; its run does not.
#[tokio::test]
async fn a_run_of_a_job_that_goes_is_ended_by_the_operator() {
    let Some(mut world) = World::begin().await else {
        return;
    };
    world.start().await;
    let mut queued = spec("wine", VERSION);
    queued["pod"] = json!({ "labels": { "kueue.x-k8s.io/queue-name": "team" } });
    world.declare("wine", &queued, &json!({})).await;
    world.until("wine", |status| status["phase"] == "Pending").await;
    let job = format!("wine-{VERSION}-1");
    while world.jobs().await != [job.clone()] {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let keep = |finalizers: Value| json!({ "metadata": { "finalizers": finalizers } });
    world
        .change("wine", Method::PATCH, &keep(json!(["example.org/kept"])))
        .await;
    world.change("wine", Method::DELETE, &Value::Null).await;
    while !world.jobs().await.is_empty() {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let own = (world.namespace.name(), Component::Operator.account());
    let calls = world.namespace.control_plane().calls().unwrap();
    let mut deleted = calls
        .iter()
        .filter(|call| call.account() == Some(own) && call.verb == "delete" && call.resource == "jobs");
    assert!(deleted.any(|call| call.name == job), "by whom?");
    world.change("wine", Method::PATCH, &keep(json!([]))).await;
    world.stop().await;
}

/// Whatever else is due, the version that others are compared with is made first, and one run goes at a time.
#[tokio::test]
async fn the_baseline_goes_first_and_no_more_run_than_may() {
    let Some(world) = World::begin().await else {
        return;
    };
    let mut world = world.with_runs_max(1);
    let baseline = json!({ "aurora.io/baseline": VERSION });
    let versions = ["v20261102-120000", "v20261103-120000", VERSION];
    for (name, version) in ["a", "b", "c"].into_iter().zip(versions) {
        world.declare(name, &spec("wine", version), &baseline).await;
    }
    world.start().await;
    let mut most = 0;
    for name in ["a", "b", "c"] {
        world.until_phase(name, "Succeeded").await;
        let jobs = world.batch(Method::GET, "jobs", &Value::Null).await;
        let jobs = jobs["items"].as_array().unwrap().iter();
        let under_way = jobs.filter(|job| job["status"]["completionTime"].is_null());
        most = most.max(under_way.count());
    }
    assert!(most <= 1, "{most} under way");
    let runs = world.runs();
    assert_eq!(runs[0], format!("c {VERSION}"));
    assert_eq!(runs.len(), 3, "{runs:?}");
    assert!(runs[1].ends_with(&format!("beside {VERSION}")), "{runs:?}");
    world.stop().await;
}

/// A kind that cannot be followed does not keep the other from being so.
#[tokio::test]
async fn jobs_whose_memory_is_of_a_later_program_are_left_alone_and_hold_nobody_up() {
    let Some(mut world) = World::begin().await else {
        return;
    };
    world.declare("later", &spec("later", VERSION), &json!({})).await;
    let later = json!({ "status": { "phase": "Running", "memory": { "format": 99, "runs": "somehow" } } });
    let written = crate::installed::ask(
        &world.namespace,
        Method::PATCH,
        "mltrainingjobs/later/status",
        &later,
    )
    .await;
    assert!(written.is_success(), "{written:?}");
    world.declare("wine", &spec("wine", VERSION), &json!({})).await;
    world.start().await;
    world.until_phase("wine", "Succeeded").await;
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert_eq!(world.status("later").await, later["status"]);
    assert_eq!(world.runs(), [format!("wine {VERSION}")]);
    world.stop().await;
}

/// By how many seconds the clock of one test is ahead.
static AHEAD: AtomicI64 = AtomicI64::new(0);

fn clock_ahead() -> Timestamp {
    Utc::now() + chrono::Duration::seconds(AHEAD.load(Ordering::Relaxed))
}

fn time(status: &Value, pointer: &str) -> Timestamp {
    let time = status.pointer(pointer).and_then(Value::as_str);
    assert!(time.is_some(), "{pointer}: {status:#}");
    time.unwrap().parse().unwrap()
}

/// The slot after the last comes by itself, trains nothing that was trained, and what has changed by the one after it.
#[tokio::test]
async fn a_schedule_trains_at_its_slots_what_has_changed() {
    let Some(world) = World::begin().await else {
        return;
    };
    let mut world = world.with_clock(clock_ahead);
    let mut nightly = spec("wine", VERSION);
    nightly.as_object_mut().unwrap().remove("version");
    nightly["schedule"] = json!({ "cron": "0 3 * * *", "timeZone": "Europe/Berlin" });
    world.declare("wine", &nightly, &json!({})).await;
    // The newest slot since the commit was missed, and is caught up.
    world.start().await;
    let status = world.until_phase("wine", "Succeeded").await;
    let next = time(&status, "/nextRun");
    let version = |slot: Timestamp| slot.format("v%Y%m%d-%H%M%S").to_string();
    let day = chrono::Duration::days(1);
    assert_eq!(world.runs(), [format!("wine {}", version(next - day))]);

    // Two seconds before each slot, so that it comes by itself.
    let wait_for = async |world: &mut World, slot: Timestamp| {
        world.stop().await;
        let ahead = slot - Utc::now() - chrono::Duration::seconds(2);
        AHEAD.store(ahead.num_seconds(), Ordering::Relaxed);
        world.start().await;
    };
    wait_for(&mut world, next).await;
    let status = world
        .until("wine", |status| status["lastSkipped"].is_object())
        .await;
    assert_eq!(status["lastSkipped"]["reason"], "SameInputs", "{status:#}");
    assert_eq!(time(&status, "/lastSkipped/slot"), next);
    assert_eq!(time(&status, "/nextRun"), next + day);
    assert_eq!(status["phase"], "Succeeded");
    assert_eq!(world.runs().len(), 1);

    nightly["seed"] = json!(7);
    world.declare("wine", &nightly, &json!({})).await;
    wait_for(&mut world, next + day).await;
    world.until("wine", |_status| world.runs().len() == 2).await;
    let trained = version(next + day);
    let status = world
        .until("wine", |status| {
            status["version"] == *trained && status["phase"] == "Succeeded"
        })
        .await;
    assert!(world.runs()[1].starts_with(&format!("wine {trained}")));
    assert_eq!(time(&status, "/nextRun"), next + day * 2);

    // What is lost with a status is no reason to train again.
    world.wipe_status("wine").await;
    let again = world.until("wine", |status| status["nextRun"].is_string()).await;
    assert_eq!(time(&again, "/nextRun"), next + day * 2);
    assert_eq!(world.runs().len(), 2);
    world.stop().await;
}
