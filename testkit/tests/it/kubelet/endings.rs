//! How containers end, and what is said of it.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use testkit::{Namespace, evict, namespace};

use crate::world::{create, delete, get, list, node, shell, until, until_phase};

/// Goes on until it is told to end; says so, and ends with 7.
const ENDS_WHEN_TOLD: &str = "trap 'echo told; exit 7' TERM; echo runs; while :; do sleep 0.05; done";
/// Goes on whatever it is told.
const ENDS_NEVER: &str = "trap '' TERM; echo runs; while :; do sleep 0.05; done";

fn pod(name: &str, policy: &str, container: &Value) -> Value {
    json!({
        "metadata": { "name": name, "labels": { "app": "a" } },
        "spec": { "restartPolicy": policy, "containers": [container], "terminationGracePeriodSeconds": 60 },
    })
}

fn ended(pod: &Value) -> &Value {
    &pod["status"]["containerStatuses"][0]["state"]["terminated"]
}

async fn until_gone(namespace: &Namespace, name: &str) {
    until(&format!("{name} goes"), async || {
        let pod = get(namespace, "Pod", name).await;
        if pod.is_null() {
            Ok(())
        } else {
            Err(pod["status"].to_string())
        }
    })
    .await;
}

#[tokio::test]
async fn exit_codes_and_last_words_are_in_the_status() {
    let Some(namespace) = namespace().await else {
        return;
    };
    let node = node(&namespace).await;
    let mut of_log = shell("echo from the log; exit 4");
    of_log["terminationMessagePolicy"] = "FallbackToLogsOnError".into();
    for (name, container, phase, exit_code, message) in [
        (
            "good",
            shell("echo done >/dev/termination-log"),
            "Succeeded",
            0,
            "done\n",
        ),
        (
            "bad",
            shell("echo what >/dev/termination-log; exit 3"),
            "Failed",
            3,
            "what\n",
        ),
        ("log", of_log, "Failed", 4, "from the log\n"),
        // Kubernetes makes one dollar sign of two.
        ("signal", shell("kill -KILL $$$$"), "Failed", 137, ""),
    ] {
        create(&namespace, "Pod", &pod(name, "Never", &container)).await;
        let pod = until_phase(&namespace, name, &["Succeeded", "Failed"]).await;
        assert_eq!(pod["status"]["phase"], phase, "{}", pod["status"]);
        assert_eq!(ended(&pod)["exitCode"], exit_code, "{}", pod["status"]);
        assert_eq!(ended(&pod)["message"].as_str().unwrap_or_default(), message);
    }
    // One that is to go on starts again, each time later.
    create(
        &namespace,
        "Pod",
        &pod("again", "OnFailure", &shell("echo once more; exit 1")),
    )
    .await;
    until("it starts three times", async || {
        let pod = get(&namespace, "Pod", "again").await;
        let status = &pod["status"]["containerStatuses"][0];
        if status["restartCount"].as_u64() >= Some(2) {
            Ok(())
        } else {
            Err(status.to_string())
        }
    })
    .await;
    assert!(node.log("again", "a").matches("once more").count() >= 3);
    create(&namespace, "Pod", &pod("memory", "Never", &shell(ENDS_NEVER))).await;
    until_phase(&namespace, "memory", &["Running"]).await;
    node.out_of_memory("memory", "a");
    let pod = until_phase(&namespace, "memory", &["Failed"]).await;
    assert_eq!(
        (&ended(&pod)["exitCode"], &ended(&pod)["reason"]),
        (&137.into(), &"OOMKilled".into())
    );
}

#[tokio::test]
async fn one_that_is_deleted_is_told_in_order_and_removed() {
    let Some(namespace) = namespace().await else {
        return;
    };
    let node = node(&namespace).await;
    let mut container = shell(ENDS_WHEN_TOLD);
    container["lifecycle"]["preStop"]["exec"]["command"] =
        json!(["sh", "-c", "echo before; sleep 0.3; echo after"]);
    let mut pod_with_service = pod("p", "Always", &container);
    pod_with_service["metadata"]["finalizers"] = json!(["example.org/looked-at"]);
    create(&namespace, "Pod", &pod_with_service).await;
    until("it runs", async || {
        if node.log("p", "a").contains("runs") {
            Ok(())
        } else {
            Err(node.log("p", "a"))
        }
    })
    .await;
    delete(&namespace, "Pod", "p", None).await;
    let pod = until_phase(&namespace, "p", &["Failed"]).await;
    assert_eq!(ended(&pod)["exitCode"], 7, "{}", pod["status"]);
    assert_eq!(node.log("p", "a"), "runs\ntold\n");
    let commands = std::fs::read_to_string(node.folder().join("p/a.commands.log")).unwrap();
    assert_eq!(
        commands, "before\nafter\n",
        "what is to come before its end comes to its end"
    );
    crate::world::change(
        &namespace,
        "Pod",
        "p",
        &json!({ "metadata": { "finalizers": null } }),
    )
    .await;
    until_gone(&namespace, "p").await;
}

#[tokio::test]
async fn one_that_does_not_end_is_ended() {
    let Some(namespace) = namespace().await else {
        return;
    };
    let node = node(&namespace).await;
    let mut spec = pod("p", "Always", &shell(ENDS_NEVER));
    spec["metadata"]["finalizers"] = json!(["example.org/looked-at"]);
    create(&namespace, "Pod", &spec).await;
    until("it runs", async || {
        if node.log("p", "a").contains("runs") {
            Ok(())
        } else {
            Err(node.log("p", "a"))
        }
    })
    .await;
    let began = Instant::now();
    delete(&namespace, "Pod", "p", Some(3)).await;
    let pod = until_phase(&namespace, "p", &["Failed"]).await;
    assert_eq!(ended(&pod)["exitCode"], 137, "{}", pod["status"]);
    assert!(
        began.elapsed() >= Duration::from_secs(2),
        "its grace period is its own"
    );
}

#[tokio::test]
async fn one_that_is_out_of_time_fails() {
    let Some(namespace) = namespace().await else {
        return;
    };
    let _node = node(&namespace).await;
    let mut late = pod("late", "Always", &shell(ENDS_WHEN_TOLD));
    late["spec"]["activeDeadlineSeconds"] = 1.into();
    create(&namespace, "Pod", &late).await;
    let pod = until_phase(&namespace, "late", &["Failed"]).await;
    assert_eq!(pod["status"]["reason"], "DeadlineExceeded");
}

/// A Job that makes as much of an eviction as of nothing, and gives up for exit code 3.
fn job(name: &str, script: &str) -> Value {
    let ignored =
        json!({ "action": "Ignore", "onPodConditions": [{ "type": "DisruptionTarget", "status": "True" }] });
    let failed = json!({ "action": "FailJob", "onExitCodes": { "operator": "In", "values": [3, 7] } });
    json!({
        "metadata": { "name": name },
        "spec": {
            "backoffLimit": 0,
            "podFailurePolicy": { "rules": [ignored, failed] },
            "template": { "spec": { "restartPolicy": "Never", "containers": [shell(script)] } },
        },
    })
}

#[tokio::test]
async fn a_job_makes_of_an_end_what_it_is() {
    let Some(namespace) = namespace().await else {
        return;
    };
    let node = node(&namespace).await;
    create(&namespace, "Job", &job("bad", "exit 3")).await;
    until("the Job fails for its inputs", async || {
        let job = get(&namespace, "Job", "bad").await;
        let conditions = job["status"]["conditions"]
            .as_array()
            .cloned()
            .unwrap_or_default();
        let has_failed = conditions
            .iter()
            .any(|condition| condition["reason"] == "PodFailurePolicy");
        if has_failed {
            Ok(())
        } else {
            Err(job["status"].to_string())
        }
    })
    .await;
    create(&namespace, "Job", &job("evicted", ENDS_WHEN_TOLD)).await;
    let running = async |but: &[String]| {
        until("a Pod of the Job runs", async || {
            let pods = list(&namespace, "Pod").await;
            let mut names = pods
                .iter()
                .filter(|pod| {
                    pod["metadata"]["labels"]["job-name"] == "evicted" && pod["status"]["phase"] == "Running"
                })
                .filter_map(|pod| Some(pod["metadata"]["name"].as_str()?.to_owned()))
                .filter(|name| node.log(name, "a").contains("runs") && !but.contains(name));
            names
                .next()
                .ok_or_else(|| pods.iter().map(|pod| pod["status"].to_string()).collect())
        })
        .await
    };
    let first = running(&[]).await;
    let answer = evict(&namespace.client(), namespace.name(), &first)
        .await
        .unwrap();
    assert!(answer.is_success(), "{answer:?}");
    let second = running(std::slice::from_ref(&first)).await;
    node.evict_under_pressure(&second);
    let pod = until_phase(&namespace, &second, &["Failed"]).await;
    assert_eq!(pod["status"]["reason"], "Evicted", "{}", pod["status"]);
    running(&[first, second]).await;
    let job = get(&namespace, "Job", "evicted").await;
    assert_eq!(
        job["status"]["failed"].as_u64().unwrap_or_default(),
        0,
        "{}",
        job["status"]
    );
}

#[tokio::test]
async fn no_process_outlives_its_node() {
    let Some(namespace) = namespace().await else {
        return;
    };
    let node = node(&namespace).await;
    let script = "sleep 1000000 & echo $! >/dev/termination-log; echo runs; wait";
    create(&namespace, "Pod", &pod("p", "Always", &shell(script))).await;
    until("it runs", async || {
        if node.log("p", "a").contains("runs") {
            Ok(())
        } else {
            Err(node.log("p", "a"))
        }
    })
    .await;
    let pid = std::fs::read_to_string(node.folder().join("p/a.message")).unwrap();
    let process = std::path::Path::new("/proc").join(pid.trim()).join("cmdline");
    let runs = || std::fs::read_to_string(&process).is_ok_and(|text| text.starts_with("sleep"));
    until("what it started begins", async || {
        if runs() { Ok(()) } else { Err(pid.clone()) }
    })
    .await;
    let folder = node.folder().to_owned();
    drop(node);
    until("what it started ends", async || {
        if runs() { Err(pid.clone()) } else { Ok(()) }
    })
    .await;
    assert!(!folder.exists());
}
