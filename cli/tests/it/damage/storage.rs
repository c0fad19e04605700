//! A disk that is full, read-only, or a data directory that is deleted, while `up` runs.

use std::fs;

use super::{STABLE, Traffic, WINE, finding, nothing_is_wrong, status_text, weight_is};
use crate::harness::{FREE_PORTS, Ground, Repository, Stage, Up, eventually, note, skipped, up_command};

/// A job that makes another version of iris.
const IRIS_AGAIN: &str = "\
apiVersion: aurora.io/v1alpha1
kind: MLTrainingJob
metadata: { name: iris-again }
spec:
  modelName: iris
  version: v20261201-000000
  dataset: { uri: builtin:iris }
  algorithm: logistic_regression
  seed: 7
  evaluation: { metric: accuracy, minimum: 0.5, holdout: { percent: 20, seed: 0 } }
";

const WINE_SUBJECT: &str = "MLDeployment/wine-quality";
const JOB_SUBJECT: &str = "MLTrainingJob/iris-again";

/// Starts `up` with its data directory on the stage's disk.
fn up_on(stage: &Stage, repository: &Repository) -> Up {
    let mut command = up_command(repository.path(), &stage.disk().join("data"));
    command.args(FREE_PORTS);
    let mut up = Up::watch(stage.inside(&command));
    up.event("it is ready", |event| event["event"] == "ready");
    up
}

/// Waits until all that was committed while nothing could be written is done.
fn caught_up(up: &mut Up, percent: u64) {
    weight_is(up, percent);
    up.event("the job of that commit has run", |event| {
        event["event"] == "training" && event["job"] == "iris-again" && event["phase"] == "Succeeded"
    });
    for subject in [WINE_SUBJECT, JOB_SUBJECT] {
        up.event(&format!("{subject} is resolved"), |event| {
            event["event"] == "resolved" && event["subject"] == subject
        });
    }
    nothing_is_wrong(up);
}

#[test]
fn a_full_disk_is_told_and_what_was_committed_meanwhile_follows() {
    let stage = match Stage::new() {
        Ok(stage) => stage,
        Err(why) => return skipped(&format!("no file system of its own to fill: {why}")),
    };
    note("a full disk is a tmpfs of 8 MiB, filled with a file");
    let repository = Repository::dev();
    let mut up = up_on(&stage, &repository);
    let traffic = Traffic::start(&up);
    stage.run("head -c 16M /dev/zero > $DISK/ballast 2>/dev/null || test $(stat -f -c %a $DISK) = 0");

    repository.write("environments/dev/iris-again.yaml", IRIS_AGAIN);
    repository.edit(WINE, "weight: 10", "weight: 30");
    for subject in [WINE_SUBJECT, JOB_SUBJECT] {
        finding(
            &mut up,
            subject,
            &["StorageUnavailable", "No space left on device", "free some space"],
        );
    }
    weight_is(&up, 10);
    let told = up.status()["trouble"].to_string();
    assert!(
        told.contains("No space left on device"),
        "/status says it too: {told}"
    );

    stage.run("rm $DISK/ballast");
    caught_up(&mut up, 30);
    assert!(up.status()["trouble"].is_null(), "{}", up.status()["trouble"]);
    traffic.end();
    assert!(up.stop().success());
}

#[test]
fn a_read_only_data_directory_is_told_and_what_was_committed_meanwhile_follows() {
    let stage = match Stage::new() {
        Ok(stage) => stage,
        Err(why) => return skipped(&format!("no mount that could become read-only: {why}")),
    };
    note("read-only is a read-only bind mount over the data directory");
    let repository = Repository::dev();
    let mut up = up_on(&stage, &repository);
    let traffic = Traffic::start(&up);
    stage.run("mount --bind $DISK/data $DISK/data && mount -o remount,bind,ro $DISK/data");

    repository.write("environments/dev/iris-again.yaml", IRIS_AGAIN);
    repository.edit(WINE, "weight: 10", "weight: 40");
    for subject in [WINE_SUBJECT, JOB_SUBJECT] {
        finding(
            &mut up,
            subject,
            &["StorageUnavailable", "Read-only file system", "writable"],
        );
    }
    weight_is(&up, 10);
    let told = up.status()["trouble"].to_string();
    assert!(
        told.contains("Read-only file system"),
        "/status says it too: {told}"
    );

    // Whoever looks into the folder at this moment keeps it busy.
    stage.run("n=0; until umount $DISK/data; do n=$((n + 1)); [ $n -lt 1000 ] || exit 1; sleep 0.01; done");
    caught_up(&mut up, 40);
    traffic.end();
    assert!(up.stop().success());
}

#[test]
fn a_deleted_data_directory_is_told_and_made_anew() {
    let ground = Ground::dev();
    let mut up = ground.up();
    let traffic = Traffic::start(&up);
    eventually("the data directory is deleted", || {
        // What is written to it meanwhile may keep it for another try.
        fs::remove_dir_all(ground.data()).ok()
    });
    // It may be told before that the deletion under way was in the way of it.
    up.event("it is told", |event| {
        let said = event["message"].to_string();
        event["event"] == "trouble" && said.contains("was deleted and has been made anew")
    });

    let registry = ground.data().join("registry/aurora");
    for alias in [
        "wine-quality/aliases/stable",
        "wine-quality/aliases/canary",
        "iris/aliases/stable",
    ] {
        let alias = registry.join(alias);
        eventually(&format!("{} is there again", alias.display()), || {
            alias.join("model.onnx").exists().then_some(())
        });
    }
    ground.repository.edit(WINE, "weight: 10", "weight: 50");
    weight_is(&up, 50);
    nothing_is_wrong(&up);
    assert!(status_text(&ground).contains("50%"), "{}", status_text(&ground));
    traffic.end();
    assert!(up.stop().success());

    let mut up = ground.up();
    let ready = up.event("it starts with what was made anew", |event| {
        event["event"] == "ready"
    });
    assert!(ready.to_string().contains(STABLE), "{ready}");
    assert!(
        !up.events().iter().any(|event| event["event"] == "training"),
        "{:?}",
        up.events()
    );
    assert!(up.stop().success());
}
