//! Jobs and Pods as a cluster shows them, and what a person is told.

use expect_test::expect;
use registry::run::Ending;
use serde_json::{Value, from_value, json};

use super::*;

fn now() -> Timestamp {
    Timestamp::from_timestamp(1_800_000_000, 0).unwrap()
}

fn job(status: &Value) -> Job {
    from_value(json!({ "metadata": { "name": "wine-1" }, "spec": { "template": {} }, "status": status }))
        .unwrap()
}

fn failed_job(reason: &str) -> Job {
    job(&json!({ "conditions": [
        { "type": "FailureTarget", "status": "True", "reason": reason },
        { "type": "Failed", "status": "True", "reason": reason },
    ] }))
}

fn pod(status: &Value) -> Pod {
    let metadata = json!({ "name": "wine-1-a", "creationTimestamp": "2027-01-01T00:00:00Z" });
    from_value(json!({ "metadata": metadata, "status": status })).unwrap()
}

/// A Pod whose container ended so.
fn ended(container: &str, code: i32, reason: &str, message: &str) -> Pod {
    let end = json!({ "exitCode": code, "reason": reason, "message": message });
    let status = json!([{
        "name": container, "image": "a", "imageID": "a", "ready": false, "restartCount": 0,
        "state": { "terminated": end },
    }]);
    let list = if container == "aurora" {
        "containerStatuses"
    } else {
        "initContainerStatuses"
    };
    pod(&json!({ "phase": "Failed", list: status }))
}

fn waiting(reason: &str, message: &str) -> Pod {
    pod(&json!({ "phase": "Pending", "containerStatuses": [{
        "name": "aurora", "image": "a", "imageID": "", "ready": false, "restartCount": 0,
        "state": { "waiting": { "reason": reason, "message": message } },
    }] }))
}

fn words(ending: Ending) -> String {
    serde_json::to_string(&RunResult { at: now(), ending }).unwrap()
}

fn show(course: &Course) -> String {
    match course {
        Course::Absent => "absent".to_owned(),
        Course::Waits(why) => format!("waits: {why}"),
        Course::Runs => "runs".to_owned(),
        Course::Said(result) => format!("said {:?}", result.ending),
        Course::Ended(Outcome::Transient { message, .. }) => format!("broke off: {message}"),
        Course::Ended(Outcome::Refused { message, .. }) => format!("refused: {message}"),
        Course::Ended(Outcome::Stopped { reason, .. }) => format!("stopped: {reason}"),
        Course::Ended(other) => format!("{other:?}"),
    }
}

#[test]
fn how_a_run_goes_is_told_in_words_to_act_on() {
    let refused = |message: &str| {
        words(Ending::Refused {
            message: message.to_owned(),
        })
    };
    let bad_line = refused("failed to read the data: rows.csv line 7: \"x\" is no number");
    let missed =
        refused("the r2 of 0.100000 on 97 held-out rows misses the minimum of 0.3: nothing was published");
    let active = job(&json!({ "active": 1, "startTime": "2027-01-01T00:00:00Z" }));
    let complete = job(&json!({ "conditions": [{ "type": "Complete", "status": "True" }] }));
    let mut queued = job(&json!({}));
    queued.spec.as_mut().unwrap().suspend = Some(true);
    let evicted = pod(&json!({ "phase": "Failed", "conditions": [{
        "type": "DisruptionTarget", "status": "True", "reason": "EvictionByEvictionAPI",
        "message": "Eviction API: evicting",
    }] }));
    let unplaced = pod(&json!({ "phase": "Pending", "conditions": [{
        "type": "PodScheduled", "status": "False", "reason": "Unschedulable",
        "message": "0/3 nodes are available: 3 Insufficient memory.",
    }] }));
    let running = pod(&json!({ "phase": "Running" }));
    let failed = failed_job("BackoffLimitExceeded");
    let at_fault = failed_job("PodFailurePolicy");
    let fits = pod(&json!({ "phase": "Pending", "initContainerStatuses": [{
        "name": "fit", "image": "a", "imageID": "", "ready": false, "restartCount": 0,
        "state": { "running": { "startedAt": "2027-01-01T00:00:00Z" } },
    }] }));
    let cases: [(Option<&Job>, Vec<Pod>); 23] = [
        (None, vec![]),
        (Some(&queued), vec![]),
        (Some(&active), vec![]),
        (Some(&active), vec![waiting("ContainerCreating", "")]),
        (
            Some(&active),
            vec![waiting("ImagePullBackOff", "Back-off pulling image \"a\"")],
        ),
        (Some(&active), vec![unplaced]),
        (Some(&active), vec![running]),
        (Some(&active), vec![fits]),
        (Some(&active), vec![evicted]),
        (
            Some(&complete),
            vec![ended("aurora", 0, "Completed", &words(Ending::SameInputs))],
        ),
        (Some(&complete), vec![]),
        (Some(&at_fault), vec![ended("aurora", 3, "Error", &bad_line)]),
        (Some(&at_fault), vec![ended("aurora", 3, "Error", &missed)]),
        (Some(&at_fault), vec![ended("aurora", 2, "Error", "")]),
        (Some(&failed), vec![ended("rows", 3, "Error", &bad_line)]),
        (Some(&failed), vec![ended("aurora", 137, "OOMKilled", "")]),
        (Some(&failed), vec![ended("aurora", 143, "Error", "")]),
        (Some(&failed), vec![ended("aurora", 1, "Error", "")]),
        (Some(&failed), vec![ended("fit", 137, "OOMKilled", "")]),
        (
            Some(&failed),
            vec![ended(
                "fit",
                1,
                "Error",
                "Traceback (most recent call last):\nValueError: no rows\n",
            )],
        ),
        (
            Some(&failed),
            vec![pod(
                &json!({ "phase": "Failed", "reason": "UnexpectedAdmissionError", "message": "no gpu" }),
            )],
        ),
        (Some(&failed), vec![]),
        (Some(&failed_job("DeadlineExceeded")), vec![]),
    ];
    let shown: Vec<String> = cases
        .iter()
        .map(|(job, pods)| show(&course(*job, pods, now())))
        .collect();
    expect![[r#"
        absent
        waits: waits for its queue, which has not let it start
        waits: waits for a Pod
        waits: its Pod is being started
        waits: container aurora cannot start: ImagePullBackOff: Back-off pulling image "a"
        waits: no node takes its Pod: 0/3 nodes are available: 3 Insufficient memory.
        runs
        runs
        waits: its Pod was evicted (Eviction API: evicting), and another takes its place: that is no attempt
        said SameInputs
        broke off: its Pod is gone, and with it what it said
        said Refused { message: "failed to read the data: rows.csv line 7: \"x\" is no number" }
        said Refused { message: "the r2 of 0.100000 on 97 held-out rows misses the minimum of 0.3: nothing was published" }
        refused: the trainer refused the run with code 2, and did not say why
        said Refused { message: "failed to read the data: rows.csv line 7: \"x\" is no number" }
        broke off: container aurora ran out of memory: raise `pod.resources.limits.memory`, or give the run less data
        broke off: the trainer was ended by signal 15 and left no result
        broke off: the trainer ended with code 1 and left no result
        broke off: container fit ran out of memory: raise `pod.resources.limits.memory`, or give the run less data
        broke off: the job's own container ended with code 1: ValueError: no rows
        broke off: its Pod failed: UnexpectedAdmissionError: no gpu
        broke off: its Pod is gone, and with it why it failed
        stopped: DeadlineExceeded"#]].assert_eq(&shown.join("\n"));
}

/// Of several Pods the last one counts: those before were replaced.
#[test]
fn the_newest_pod_counts() {
    let mut old = ended("aurora", 143, "Error", "");
    old.metadata.creation_timestamp = from_value(json!("2026-12-31T00:00:00Z")).unwrap();
    let done = ended("aurora", 0, "Completed", &words(Ending::SameInputs));
    let complete = job(&json!({ "conditions": [{ "type": "Complete", "status": "True" }] }));
    let seen = course(Some(&complete), &[done, old], now());
    assert!(matches!(seen, Course::Said(_)), "{seen:?}");
}
