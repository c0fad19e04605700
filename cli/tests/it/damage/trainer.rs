//! Trainers that the kernel kills, and an `up` that ends while one works.

use std::fs;

use rustix::process::{Pid, Signal, kill_process};

use super::{STABLE, Traffic};
use crate::harness::{Ground, aurora, eventually, skipped, trainer, trainer_of};

/// A job that works for a while.
const LONG: &str = "\
apiVersion: aurora.io/v1alpha1
kind: MLTrainingJob
metadata: { name: long }
spec:
  modelName: wine-quality
  version: v20261201-000000
  dataset: { uri: builtin:wine-quality }
  algorithm: gradient_boosting
  hyperparameters: { trees: 5000, max_leaves: 64, learning_rate: 0.001 }
  evaluation: { metric: r2, minimum: 0.0, holdout: { percent: 20, seed: 0 } }
";

fn is_there(process: Pid) -> bool {
    let stat = fs::read_to_string(format!("/proc/{}/stat", process.as_raw_nonzero())).unwrap_or_default();
    // A zombie is gone: only its parent has not noticed.
    !stat.is_empty() && !stat.contains(") Z ")
}

#[test]
fn a_trainer_killed_by_the_kernel_is_told_and_tried_again() {
    let ground = Ground::dev();
    let mut up = ground.up();
    let traffic = Traffic::start(&up);
    ground.repository.write("environments/dev/long.yaml", LONG);
    ground.repository.commit("train for a while");
    let first = trainer(&up);
    // Where memory runs out the kernel takes the trainer, and not what serves.
    let score = |id: String| fs::read_to_string(format!("/proc/{id}/oom_score_adj")).unwrap_or_default();
    eventually("the trainer is offered to the kernel", || {
        (score(first.as_raw_nonzero().to_string()).trim() == "1000").then_some(())
    });
    assert_ne!(score(up.id().to_string()).trim(), "1000");
    // It has its turn on the processor last, with all its threads, and none of what serves has it later than usual.
    let niceness = |id: String| -> Vec<String> {
        let threads = fs::read_dir(format!("/proc/{id}/task")).unwrap();
        threads
            .filter_map(|thread| {
                let stat = fs::read_to_string(thread.ok()?.path().join("stat")).ok()?;
                // Fields are counted behind the name, which may hold blanks.
                let (_name, fields) = stat.rsplit_once(") ")?;
                fields.split(' ').nth(16).map(str::to_owned)
            })
            .collect()
    };
    let own = niceness("self".to_owned())[0].clone();
    assert!(niceness(up.id().to_string()).iter().all(|nice| *nice == own));
    eventually("the trainer gives way", || {
        let of_threads = niceness(first.as_raw_nonzero().to_string());
        (of_threads.len() > 1 && of_threads.iter().all(|nice| nice == "19")).then_some(())
    });
    // And on the disk, in the words of `ionice`.
    let turn = std::process::Command::new("ionice")
        .arg("-p")
        .arg(first.as_raw_nonzero().to_string())
        .output();
    match turn {
        Ok(turn) => assert_eq!(String::from_utf8_lossy(&turn.stdout).trim(), "idle"),
        Err(error) => skipped(&format!(
            "a look at the trainer's turn on the disk; it needs ionice ({error})"
        )),
    }
    kill_process(first, Signal::KILL).expect("it works");

    let failed = up.event("it is told", |event| {
        event["event"] == "training" && event["job"] == "long" && event["phase"] == "Failed"
    });
    for words in ["was killed (signal 9)", "memory", "it is tried again"] {
        assert!(failed["message"].to_string().contains(words), "{failed}");
    }
    eventually("the status says when the next attempt is due", || {
        let status = up.status();
        let long = status["trainings"]
            .as_array()?
            .iter()
            .find(|job| job["metadata"]["name"] == "long")?["status"]
            .clone();
        let message = long["message"].as_str()?;
        (long["phase"] == "Pending"
            && message.contains("attempt 1 of 3 failed: the trainer was killed")
            && message.contains("the next one is due at"))
        .then_some(())
    });
    let second = trainer(&up);
    assert_ne!(first, second);
    traffic.end();

    // A run under way holds no end up, and does not outlive it.
    assert!(up.stop().success());
    eventually("the trainer is gone", || (!is_there(second)).then_some(()));
    let half = ground
        .data()
        .join("registry/aurora/wine-quality/versions/v20261201-000000");
    assert!(!half.exists(), "nothing half-made is published");
    // An orderly end interrupts nothing: only a run that was killed with its server counts as that.
    let status = fs::read_to_string(ground.data().join("status/MLTrainingJob/long.json")).unwrap();
    let status: serde_json::Value = serde_json::from_str(&status).unwrap();
    let runs = status["memory"]["runs"].as_array().unwrap();
    assert!(
        runs.iter().all(|run| run["outcome"]["Transient"].is_object()),
        "{status:#}"
    );
    let mut up = ground.up();
    let answer = up.event("it starts with what it had", |event| event["event"] == "ready");
    assert!(answer.to_string().contains(STABLE), "{answer}");
    assert!(up.stop().success());
}

#[test]
fn a_reconcile_that_is_stopped_has_tried_no_run() {
    let ground = Ground::dev();
    ground.repository.write("environments/dev/long.yaml", LONG);
    ground.repository.commit("train for a while");
    let mut reconcile = aurora()
        .args(["reconcile", "--once", "--repo"])
        .arg(ground.repository.path())
        .arg("--data-dir")
        .arg(ground.data())
        .spawn()
        .unwrap();
    // The models of the example train first, in no time.
    let status = ground.data().join("status/MLTrainingJob/long.json");
    let is_running = |text: String| text.contains("\"Running\"").then_some(());
    eventually("the long run is under way", || {
        is_running(fs::read_to_string(&status).ok()?)
    });
    let run = trainer_of(reconcile.id());
    kill_process(Pid::from_child(&reconcile), Signal::TERM).unwrap();
    let ended = eventually("it ends", || reconcile.try_wait().unwrap());
    assert_eq!(ended.code(), Some(2));
    eventually("the run is gone", || (!is_there(run)).then_some(()));
    let status = fs::read_to_string(&status).unwrap();
    assert!(
        status.contains("\"Pending\"") && !status.contains("attempt"),
        "{status}"
    );
}
