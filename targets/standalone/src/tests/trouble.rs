//! What goes wrong: commits, branches, files, processes. What serves serves.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use expect_test::expect;
use planner::names::Track;

use super::model;
use super::repository::{Repo, V1, V2, deployment, training};
use super::world::{Fate, World};

pub(super) fn serving() -> World {
    let mut world = World::start(Repo::with(&[
        ("m.yaml", &model("m", V1, Some((V2, 10)))),
        ("other.yaml", &model("other", V1, None)),
    ]));
    world.settle();
    assert_eq!(world.findings(), "");
    world
}

pub(super) fn assert_serving(world: &World) {
    assert_eq!(world.slots.show("m"), format!("{V1} + 10% of {V2}"));
    assert_eq!(world.slots.show("other"), V1);
    assert_eq!(world.slots.violations(), Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_broken_file_removes_nothing_and_stops_no_other_model() {
    let mut world = serving();
    world.repo.remove("environments/dev/other.yaml");
    world.repo.write("environments/dev/broken.yaml", "kind: [");
    world.repo.change("m.yaml", &model("m", V1, Some((V2, 20))));
    world.settle();
    assert_eq!(world.slots.show("m"), format!("{V1} + 20% of {V2}"));
    assert_eq!(world.slots.show("other"), V1);
    expect![[r#"
        environments/dev/broken.yaml:1:7: Unreadable: unclosed bracket '['
          hint: mend the YAML here: what follows in this file may not have been read"#]]
    .assert_eq(&world.findings());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_deleted_folder_and_an_emptied_repository_remove_nothing() {
    let mut world = serving();
    world.repo.remove("environments/dev");
    world.repo.write("environments/prod/environment.yaml", "x");
    world.repo.commit("gone");
    world.settle();
    assert_serving(&world);
    let revision = world
        .repo
        .git()
        .refname_to_id("refs/heads/main")
        .unwrap()
        .to_string();
    expect![[r#"
        environments/dev: EnvironmentMissing: MLEnvironment/dev: the commit has no such folder; it has prod
          hint: what was applied stays; restore the folder, or commit it with its MLEnvironment and without the manifests of the models that are to go"#]].assert_eq(&world.findings().replace(&revision[..10], "HEAD"));
    world.restart();
    world.settle();
    assert_serving(&world);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_forced_branch_is_followed_and_told() {
    let mut world = serving();
    let first = world.repo.git().refname_to_id("refs/heads/main").unwrap();
    let second = world.repo.change("m.yaml", &model("m", V2, None));
    world.settle();
    assert_eq!(world.slots.show("m"), V2);
    let first = super::repository::revision(first);
    world.repo.force(&first);
    world.settle();
    assert_serving(&world);
    let findings = world
        .findings()
        .replace(first.short(), "FIRST")
        .replace(second.short(), "SECOND");
    expect![[r#"
        BranchForced: branch main: was forced from SECOND to FIRST, which does not contain it; it is followed
          hint: the commit is not lost yet: git branch before-force SECOND"#]]
    .assert_eq(&findings);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_deleted_branch_stops_nothing_that_serves() {
    let mut world = serving();
    let id = world.repo.git().refname_to_id("refs/heads/main").unwrap();
    {
        let mut branch = world.repo.git().find_reference("refs/heads/main").unwrap();
        branch.delete().unwrap();
    }
    for _ in 0..3 {
        world.turn();
    }
    assert_serving(&world);
    expect![[r#"
        SourceUnavailable: branch main of REPO is gone; what was applied stays until it is back: git branch main COMMIT
          hint: what was applied stays; it is read again all the time"#]].assert_eq(&world.findings());
    world
        .repo
        .git()
        .reference("refs/heads/main", id, false, "")
        .unwrap();
    world.settle();
    assert_eq!(world.findings(), "");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_version_that_nobody_makes_is_a_finding_and_arrives_with_its_job() {
    let mut world = serving();
    world.repo.change("new.yaml", &deployment("new", V1, None));
    world.settle();
    assert_eq!(world.slots.show("new"), "nothing");
    expect![[r#"
        environments/dev/new.yaml:1:1: VersionMissing: MLDeployment/new: stable: version v20261101-120000 of new does not exist and no training job makes it
          hint: the registry holds no version of new: add an MLTrainingJob with `version: v20261101-120000`"#]].assert_eq(&world.findings());
    world
        .repo
        .change("job.yaml", &training("new", V1, "builtin:iris"));
    world.settle();
    assert_eq!(world.slots.show("new"), V1);
    assert_serving(&world);
}

/// What serves goes on, and is not what Git says.
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn no_object_is_ready_beside_a_manifest_that_is_refused() {
    let mut world = serving();
    let holding = |world: &World| {
        let mut holding = Vec::new();
        for object in [
            "MLDeployment/m",
            "MLDeployment/other",
            "MLTrainingJob/other-20261101-120000",
        ] {
            let status = fs::read(world.data_dir().join(format!("status/{object}.json"))).unwrap();
            let status: serde_json::Value = serde_json::from_slice(&status).unwrap();
            let conditions = status["conditions"].as_array().unwrap();
            for condition in conditions
                .iter()
                .filter(|condition| condition["status"] == "True")
            {
                let text = |name: &str| condition[name].as_str().unwrap().to_owned();
                holding.push(format!(
                    "{object}: {}: {} {}",
                    text("type"),
                    text("reason"),
                    text("message")
                ));
            }
        }
        holding.join("\n")
    };
    let ready = holding(&world);
    expect![[r#"
        MLDeployment/m: Ready: Idle 
        MLDeployment/other: Ready: Idle 
        MLTrainingJob/other-20261101-120000: Ready: Succeeded v20261101-120000"#]]
    .assert_eq(&ready);
    let other = model("other", V1, None);
    let broken = other.replace("modelName", "model");
    assert_ne!(other, broken);
    for (what, expected) in [
        (
            broken.as_str(),
            expect![[r#"
        MLDeployment/m: Ready: Idle 
        MLDeployment/other: Stalled: Stopped Unreadable: no manifest that was understood declares it, and not all were
        MLTrainingJob/other-20261101-120000: Stalled: Stopped Unreadable: no manifest that was understood declares it, and not all were"#]],
        ),
        (
            "a: [",
            expect![[r#"
        MLDeployment/m: Ready: Idle 
        MLDeployment/other: Stalled: Stopped Unreadable: no manifest that was understood declares it, and not all were
        MLTrainingJob/other-20261101-120000: Stalled: Stopped Unreadable: no manifest that was understood declares it, and not all were"#]],
        ),
    ] {
        world.repo.change("other.yaml", what);
        world.settle();
        assert_serving(&world);
        expected.assert_eq(&holding(&world));
    }
    world.repo.change("other.yaml", &other);
    world.settle();
    assert_eq!(holding(&world), ready);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_tampered_artifact_and_alias_are_found_and_what_serves_stays() {
    let mut world = serving();
    let version = world.store.root().join(format!("aurora/m/versions/{V2}"));
    let artifact = version.join("model.onnx");
    let permissions = fs::metadata(&artifact).unwrap().permissions();
    fs::set_permissions(&artifact, fs::Permissions::from_mode(0o644)).unwrap();
    let good = fs::read(&artifact).unwrap();
    fs::write(&artifact, "evil").unwrap();
    let alias = world.store.root().join("aurora/other/aliases/stable");
    fs::remove_file(&alias).unwrap();
    std::os::unix::fs::symlink("/etc", &alias).unwrap();
    world.settle();
    assert_serving(&world);
    assert_eq!(world.alias("other", Track::Stable).as_deref(), Some(V1));
    expect![[r#"
        environments/dev/m.yaml:1:1: ArtifactChanged: MLDeployment/m: canary: version v20261120-093000 of m is damaged: model.onnx has sha256:b5c1fb2efc6d6b4674c2fdcc48ce01b43a3b7c03763c0c3355de0099ee0f8c73, and its record says sha256:32a9ffd535e3a3206349e716d4c405bd4b5ea4fdf6de6d571795a3224f9ea7e3
          hint: what serves stays; restore the version's files, or pin another version
        environments/dev/m.yaml:19:1: ArtifactChanged: MLTrainingJob/m-20261120-093000: version v20261120-093000 of m is damaged: model.onnx has sha256:b5c1fb2efc6d6b4674c2fdcc48ce01b43a3b7c03763c0c3355de0099ee0f8c73, and its record says sha256:32a9ffd535e3a3206349e716d4c405bd4b5ea4fdf6de6d571795a3224f9ea7e3
          hint: what serves stays; restore the version's files, or remove the registry's folder m/versions/v20261120-093000: then the job trains it again"#]].assert_eq(&world.findings());
    fs::write(&artifact, good).unwrap();
    fs::set_permissions(&artifact, permissions).unwrap();
    world.settle();
    assert_eq!(world.findings(), "");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_version_that_is_damaged_at_the_start_is_tried_now_and_then_and_at_once_when_it_is_mended() {
    let mut world = serving();
    let artifact = world
        .store
        .root()
        .join(format!("aurora/m/versions/{V1}/model.onnx"));
    let good = fs::read(&artifact).unwrap();
    fs::set_permissions(&artifact, fs::Permissions::from_mode(0o644)).unwrap();
    fs::write(&artifact, "evil").unwrap();
    world.restart();
    let before = world.slots.loads();
    for _ in 0..50 {
        world.turn();
    }
    // One for `other`, one for the canary, and one that failed: the next is due in ten seconds.
    assert_eq!(world.slots.loads() - before, 3);
    assert_eq!(world.slots.show("m"), format!("nothing + 0% of {V2}"));
    assert_eq!(world.slots.show("other"), V1);
    assert!(world.findings().contains("ArtifactChanged: MLDeployment/m"));
    world.wait(Duration::from_secs(11));
    world.turn();
    assert_eq!(world.slots.loads() - before, 4);
    // The wait is twenty seconds now, and is cut short.
    fs::write(&artifact, good).unwrap();
    world.turn();
    world.turn();
    assert_serving(&world);
    world.settle();
    assert_eq!(world.findings(), "");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_trainer_that_is_killed_each_time_fails_after_the_third_and_says_so_meanwhile() {
    let manifests = format!(
        "{}---\n{}",
        deployment("m", V1, None),
        training("m", V1, "builtin:iris")
    );
    let mut world = World::start(Repo::with(&[("m.yaml", &manifests)]));
    *world.trainer.fate.lock().unwrap() = Fate::Killed;
    let runs = |world: &World| world.trainer.requests.lock().unwrap().len();
    let status = |world: &World| {
        let file = world
            .data_dir()
            .join("status/MLTrainingJob/m-20261101-120000.json");
        fs::read_to_string(file).unwrap_or_default()
    };
    world.turn_till(|world| {
        status(world).contains("attempt 1 of 3 failed: the trainer was killed (signal 9)")
    });
    assert!(
        status(&world).contains("the next one is due at 00:00:1"),
        "{}",
        status(&world)
    );
    world.wait(Duration::from_secs(11));
    world.turn_till(|world| status(world).contains("attempt 2 of 3 failed"));
    world.wait(Duration::from_secs(41));
    world.turn_till(|world| {
        let findings = world.findings();
        findings.contains("TrainingFailed") && findings.contains("VersionMissing")
    });
    expect![[r#"
        environments/dev/m.yaml:1:1: VersionMissing: MLDeployment/m: stable: version v20261101-120000 of m does not exist: MLTrainingJob/m-20261101-120000 failed to make it
          hint: mend the job as its own finding says, or pin another version
        environments/dev/m.yaml:8:1: TrainingFailed: MLTrainingJob/m-20261101-120000: v20261101-120000 was not published: the trainer was killed (signal 9), by the kernel if memory ran out, and left no result (after 3 attempts)
          hint: change the job's data, algorithm, hyperparameters or minimum by a commit; nothing retries it until then"#]].assert_eq(&world.findings());
    world.wait(Duration::from_hours(1));
    world.turn();
    assert_eq!(runs(&world), 3);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_run_that_says_what_is_not_in_the_registry_has_not_published() {
    for (fate, said) in [
        (
            Fate::Pretend,
            "the run says that it published v20261101-120000, which is not to be found",
        ),
        (
            Fate::PublishAnother,
            "the run says that it published sha256:ae448ac8",
        ),
    ] {
        let job = training("m", V1, "builtin:iris");
        let mut world = World::start(Repo::with(&[("m.yaml", &job)]));
        *world.trainer.fate.lock().unwrap() = fate;
        let file = world
            .data_dir()
            .join("status/MLTrainingJob/m-20261101-120000.json");
        world.turn_till(|_world| fs::read_to_string(&file).is_ok_and(|status| status.contains(said)));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_run_for_which_nothing_can_be_written_waits_without_counting_attempts() {
    let mut world = serving();
    // Root may write anywhere: a file in the folder's place stops it too.
    let folder = world.store.root().join("aurora/other/runs");
    let aside = world.store.root().join("aurora/other/aside");
    fs::rename(&folder, &aside).unwrap();
    fs::write(&folder, "in the way").unwrap();
    world
        .repo
        .change("job.yaml", &training("other", "v20261201-000000", "builtin:iris"));
    let before = world.trainer.requests.lock().unwrap().len();
    for _ in 0..10 {
        world.turn();
        world.wait(Duration::from_mins(1));
    }
    assert_serving(&world);
    let file = world
        .data_dir()
        .join("status/MLTrainingJob/other-20261201-000000.json");
    let status = fs::read_to_string(file).unwrap();
    assert!(
        status.contains("cannot start: cannot write its request"),
        "{status}"
    );
    fs::remove_file(&folder).unwrap();
    fs::rename(&aside, &folder).unwrap();
    // It waits no longer although the clock, by which it waits, was set back.
    world.set_back(Duration::from_hours(3));
    world.settle();
    assert_eq!(world.trainer.requests.lock().unwrap().len(), before + 1);
    assert_eq!(world.findings(), "");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_killed_trainer_is_retried_and_a_refusal_is_not() {
    let manifests = |name: &str| {
        format!(
            "{}---\n{}",
            deployment(name, V1, None),
            training(name, V1, "builtin:iris")
        )
    };
    let mut world = World::start(Repo::with(&[("m.yaml", &manifests("m"))]));
    *world.trainer.fate.lock().unwrap() = Fate::Killed;
    let runs = |world: &World| world.trainer.requests.lock().unwrap().len();
    while runs(&world) < 2 {
        world.turn();
        world.wait(Duration::from_mins(1));
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    assert_eq!(world.slots.show("m"), "nothing");
    *world.trainer.fate.lock().unwrap() = Fate::Publish;
    while world.slots.show("m") != V1 {
        world.turn();
        world.wait(Duration::from_mins(1));
        tokio::time::sleep(Duration::from_millis(1)).await;
    }

    *world.trainer.fate.lock().unwrap() = Fate::Refuse;
    world.repo.change("other.yaml", &manifests("other"));
    world.turn_until(|world| world.findings().contains("TrainingFailed"));
    let before = runs(&world);
    for _ in 0..10 {
        world.wait(Duration::from_hours(1));
        world.turn();
    }
    assert_eq!(runs(&world), before);
    expect![[r#"
        environments/dev/other.yaml:1:1: VersionMissing: MLDeployment/other: stable: version v20261101-120000 of other does not exist: MLTrainingJob/other-20261101-120000 failed to make it
          hint: mend the job as its own finding says, or pin another version
        environments/dev/other.yaml:8:1: TrainingFailed: MLTrainingJob/other-20261101-120000: v20261101-120000 was not published: rows.csv:3: a number was expected
          hint: change the job's data, algorithm, hyperparameters or minimum by a commit; nothing retries it until then"#]].assert_eq(&world.findings());
}

/// A model whose run hangs, and how often it was started.
fn hanging() -> (World, impl Fn(&World) -> usize) {
    let manifests = format!(
        "{}---\n{}",
        deployment("m", V1, None),
        training("m", V1, "builtin:iris")
    );
    let world = World::start(Repo::with(&[("m.yaml", &manifests)]));
    *world.trainer.fate.lock().unwrap() = Fate::Hang;
    let runs = |world: &World| world.trainer.requests.lock().unwrap().len();
    (world, runs)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_run_that_ends_with_all_around_it_takes_everything_down_less_and_less_often() {
    let (mut world, runs) = hanging();
    world.turn_till(|world| runs(world) == 1);
    // As the kernel ends a container that is out of memory: everything, and it is started again at once.
    for (attempt, seconds) in [(1, 10), (2, 40), (3, 3_600), (4, 3_600)] {
        world.restart();
        for _ in 0..5 {
            world.turn();
        }
        world.wait(Duration::from_secs(seconds - 1));
        for _ in 0..5 {
            world.turn();
        }
        assert_eq!(runs(&world), attempt, "it waits {seconds} s");
        world.wait(Duration::from_secs(1));
        world.turn_till(|world| runs(world) == attempt + 1);
    }
    *world.trainer.fate.lock().unwrap() = Fate::Publish;
    world.restart();
    world.turn();
    world.wait(Duration::from_hours(1));
    world.turn_until(|world| world.slots.show("m") == V1);
    assert_eq!(world.findings(), "");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn an_orderly_end_is_no_attempt_even_where_somebody_loses_patience_with_it() {
    let (mut world, runs) = hanging();
    world.turn_till(|world| runs(world) == 1);
    let attempts = |world: &World| {
        let file = "status/MLTrainingJob/m-20261101-120000.json";
        let status = fs::read_to_string(world.data_dir().join(file)).unwrap();
        let status: serde_json::Value = serde_json::from_str(&status).unwrap();
        let runs = status["memory"]["runs"].as_array().unwrap().clone();
        let attempt = |run: &serde_json::Value| run["attempt"].as_u64().unwrap();
        runs.iter().map(attempt).collect::<Vec<_>>()
    };
    for started in 2..5 {
        // Asked to end, and killed before it has: as by `docker stop` after ten seconds.
        world.note_stop();
        world.restart();
        world.turn_till(|world| runs(world) == started);
        assert_eq!(attempts(&world), [1]);
    }
    // The next process was not asked.
    world.restart();
    for _ in 0..5 {
        world.turn();
    }
    assert_eq!(runs(&world), 4);
    world.wait(Duration::from_secs(10));
    world.turn_till(|world| runs(world) == 5);
    assert_eq!(attempts(&world), [1, 2]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_folder_that_cannot_be_written_is_told_and_tried_again() {
    let mut world = serving();
    // Root may write anywhere: a file in the folder's place stops it too.
    let folder = world.data_dir().join("objects/MLDeployment");
    let aside = world.data_dir().join("aside");
    fs::rename(&folder, &aside).unwrap();
    fs::write(&folder, "in the way").unwrap();
    world.repo.change("m.yaml", &model("m", V1, Some((V2, 70))));
    for _ in 0..5 {
        world.turn();
    }
    assert_serving(&world);
    expect![[r#"
        environments/dev/m.yaml:1:1: StorageUnavailable: MLDeployment/m: cannot write FOLDER/data/objects/MLDeployment/m.json: Not a directory (os error 20); a file is in the folder's way
          hint: what serves stays; mend it, then it goes on by itself"#]].assert_eq(&world.findings());
    fs::remove_file(&folder).unwrap();
    fs::rename(&aside, &folder).unwrap();
    world.settle();
    assert_eq!(world.slots.show("m"), format!("{V1} + 70% of {V2}"));
    assert_eq!(world.findings(), "");
}

/// Deletes parts of the data directory while the target runs; all of it is there again, and nothing stops serving.
fn check_deletion(parts: &[&str]) {
    let mut world = serving();
    for part in parts {
        let path = world.data_dir().join(part);
        let deleted = if path.is_dir() {
            fs::remove_dir_all(&path)
        } else {
            fs::remove_file(&path)
        };
        deleted.unwrap();
    }
    for _ in 0..3 {
        world.turn();
        assert_serving(&world);
    }
    // A version that a run says it published is looked for a while before the run is repeated.
    world.wait(Duration::from_mins(5));
    world.settle();
    assert_serving(&world);
    assert_eq!(world.findings(), "");
    for file in [
        "lock",
        "objects/MLDeployment/m.json",
        "status/MLDeployment/m.json",
        "registry/aurora/m/aliases/stable",
    ] {
        assert!(
            world.data_dir().join(file).symlink_metadata().is_ok(),
            "{file} after {parts:?}"
        );
    }
    assert!(world.second_start().is_err());
    world.restart();
    world.settle();
    assert_serving(&world);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_deleted_data_directory_is_made_anew_while_everything_serves() {
    check_deletion(&[""]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_half_deleted_data_directory_is_made_whole_while_everything_serves() {
    for parts in [
        &["registry"][..],
        &["objects", "status"],
        &["lock"],
        &["registry", "objects", "status", "commands"],
    ] {
        check_deletion(parts);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_corrupt_commit_stops_nothing_that_serves() {
    let mut world = serving();
    world.repo.change("m.yaml", &model("m", V1, Some((V2, 70))));
    let id = world
        .repo
        .git()
        .refname_to_id("refs/heads/main")
        .unwrap()
        .to_string();
    let object = world
        .repo
        .path()
        .join(format!(".git/objects/{}/{}", &id[..2], &id[2..]));
    let aside = world.repo.path().join("aside");
    fs::rename(&object, &aside).unwrap();
    for _ in 0..3 {
        world.turn();
    }
    assert_serving(&world);
    let findings = world.findings();
    expect![[r#"
        SourceUnavailable: cannot read commit COMMIT at COMMIT of REPO: object not found - no match for id (COMMIT); it is missing from the clone: git -C REPO fsck lists what is, and git -C REPO fetch --refetch brings it back
          hint: what was applied stays; it is read again all the time"#]]
    .assert_eq(&findings.replace(&id, "COMMIT").replace(&id[..10], "COMMIT"));
    fs::rename(&aside, &object).unwrap();
    // It is left alone for a moment each time that it cannot be read.
    world.turn_until(|world| world.findings().is_empty());
    assert_eq!(world.slots.show("m"), format!("{V1} + 70% of {V2}"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn an_abort_and_a_pause_are_taken_up_and_kept() {
    let mut world = serving();
    let model_name = "m".parse().unwrap();
    let digest = planner::names::Digest::of(format!("m {V2}").as_bytes());
    let now = "2026-12-01T00:00:00Z".parse().unwrap();
    crate::commands::write_abort(&world.data_dir(), &model_name, digest, "ana: errors", now).unwrap();
    world.settle();
    assert_eq!(world.slots.show("m"), format!("{V1} + 0% of {V2}"));
    let command = world.data_dir().join("commands/m/abort.json");
    assert!(!command.exists(), "the registry's history keeps the abort");
    world.repo.change("m.yaml", &model("m", V1, Some((V2, 50))));
    world.settle();
    world.restart();
    world.settle();
    // An aborted canary is not even loaded anew.
    assert_eq!(world.slots.show("m"), V1);

    crate::commands::write_pause(&world.data_dir(), &"other".parse().unwrap(), "ana: wait", now).unwrap();
    world.settle();
    let status = fs::read_to_string(world.data_dir().join("status/MLDeployment/other.json")).unwrap();
    assert!(status.contains("ana: wait"), "{status}");
    crate::commands::clear_pause(&world.data_dir(), &"other".parse().unwrap()).unwrap();
    world.settle();
    let status = fs::read_to_string(world.data_dir().join("status/MLDeployment/other.json")).unwrap();
    assert!(!status.contains("ana: wait"), "{status}");
}
