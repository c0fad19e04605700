//! Names, models and tracks that change places, and commands that meet them. What serves serves.

use std::fs;
use std::time::Duration;

use expect_test::expect;
use planner::names::{Digest, Track};

use super::repository::{ENVIRONMENT, Repo, V1, V2, deployment, training};
use super::world::{Fate, World};
use crate::commands;

const V3: &str = "v20261121-000000";

/// A deployment whose name is not its model's.
fn named(name: &str, model: &str, stable: &str, canary: Option<(&str, u8)>) -> String {
    deployment(model, stable, canary).replace(
        &format!("metadata: {{ name: {model} }}"),
        &format!("metadata: {{ name: {name} }}"),
    )
}

fn jobs(model: &str) -> String {
    [V1, V2, V3]
        .map(|version| training(model, version, "builtin:iris"))
        .join("---\n")
}

/// Model `m` at V1 with V2 as canary, and jobs that make three versions.
fn serving() -> World {
    let mut world = World::start(Repo::with(&[
        ("m.yaml", &deployment("m", V1, Some((V2, 10)))),
        ("jobs.yaml", &jobs("m")),
    ]));
    world.settle();
    assert_eq!(world.slots.show("m"), format!("{V1} + 10% of {V2}"));
    world
}

/// Pins that should come to serve, as the server is told them.
fn awaited(world: &World) -> Vec<String> {
    let show = |pin: &reconciler::AwaitedPin| {
        let training = if pin.is_in_training { " in training" } else { "" };
        format!("{} {} {}{training}", pin.model, pin.track, pin.version)
    };
    world.standing().awaited().map(show).collect()
}

fn abort(world: &World, version: &str) {
    let digest = Digest::of(format!("m {version}").as_bytes());
    let now = "2026-12-01T00:00:00Z".parse().unwrap();
    commands::write_abort(
        &world.data_dir(),
        &"m".parse().unwrap(),
        digest,
        "ana: errors",
        now,
    )
    .unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_deployment_is_renamed_and_its_model_never_stops() {
    for (old, new) in [("m", "a"), ("m", "z")] {
        let mut world = serving();
        world.repo.remove("environments/dev/m.yaml");
        world
            .repo
            .change("new.yaml", &named(new, "m", V2, Some((V3, 20))));
        for _ in 0..20 {
            world.turn();
            assert!(
                !world.slots.show("m").contains("nothing +"),
                "{}",
                world.slots.show("m")
            );
        }
        world.settle();
        assert_eq!(world.slots.show("m"), format!("{V2} + 20% of {V3}"));
        assert_eq!(world.findings(), "");
        assert!(
            !world
                .data_dir()
                .join(format!("objects/MLDeployment/{old}.json"))
                .exists()
        );
        assert!(
            !world
                .data_dir()
                .join(format!("status/MLDeployment/{old}.json"))
                .exists()
        );
        assert_eq!(world.alias("m", Track::Stable).as_deref(), Some(V2));
        assert_eq!(world.slots.unloads(), Vec::<String>::new());
        world.restart();
        world.settle();
        assert_eq!(world.slots.show("m"), format!("{V2} + 20% of {V3}"));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_renamed_deployment_that_cannot_be_written_does_not_go() {
    let mut world = serving();
    // The new object's file cannot be written: a folder lies where it would.
    let way = world.data_dir().join("objects/MLDeployment/new.json");
    fs::create_dir(&way).unwrap();
    world.repo.remove("environments/dev/m.yaml");
    world
        .repo
        .change("new.yaml", &named("new", "m", V1, Some((V2, 10))));
    for _ in 0..5 {
        world.turn();
        assert_eq!(world.slots.show("m"), format!("{V1} + 10% of {V2}"));
    }
    assert!(
        world.findings().contains("StorageUnavailable"),
        "{}",
        world.findings()
    );
    fs::remove_dir(&way).unwrap();
    world.settle();
    assert_eq!(world.slots.show("m"), format!("{V1} + 10% of {V2}"));
    assert_eq!(world.findings(), "");
    assert!(!world.data_dir().join("objects/MLDeployment/m.json").exists());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn stable_and_canary_change_places() {
    let mut world = serving();
    world.repo.change("m.yaml", &deployment("m", V2, Some((V1, 10))));
    world.settle();
    assert_eq!(world.slots.show("m"), format!("{V2} + 10% of {V1}"));
    // A promotion and the next canary in one commit.
    world.repo.change("m.yaml", &deployment("m", V1, Some((V3, 30))));
    world.settle();
    assert_eq!(world.slots.show("m"), format!("{V1} + 30% of {V3}"));
    assert_eq!(world.slots.violations(), Vec::<String>::new());
    assert_eq!(world.findings(), "");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_load_that_is_not_wanted_any_more_is_superseded_once() {
    let mut world = serving();
    world.slots.slow(true);
    world.repo.change("m.yaml", &deployment("m", V3, Some((V2, 10))));
    world.turn();
    world.turn();
    world.repo.change("m.yaml", &deployment("m", V1, Some((V2, 10))));
    let before = world.slots.loads();
    for _ in 0..10 {
        world.turn();
    }
    assert_eq!(
        world.slots.loads() - before,
        1,
        "a load that starts anew at each step never ends"
    );
    world.slots.slow(false);
    world.settle();
    assert_eq!(world.slots.show("m"), format!("{V1} + 10% of {V2}"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn readiness_waits_for_what_will_serve_and_for_nothing_else() {
    let mut world = serving();
    let both = [format!("m stable {V1}"), format!("m canary {V2}")];
    assert_eq!(awaited(&world), both);

    // A suspended manifest's new pins are not for now.
    let suspended = |text: &str| format!("{text}  suspend: freeze\n");
    world
        .repo
        .change("m.yaml", &suspended(&deployment("m", V3, None)));
    world.settle();
    world.restart();
    world.settle();
    assert_eq!(world.slots.show("m"), format!("{V1} + 10% of {V2}"));
    assert_eq!(awaited(&world), both);
    world.repo.change("m.yaml", &deployment("m", V1, Some((V2, 10))));
    world.settle();

    // Nor are those of a suspended environment.
    let environment = ENVIRONMENT.replace("Standalone", "Standalone, suspend: holidays");
    world
        .repo
        .write("environments/dev/environment.yaml", &environment);
    world.repo.change("m.yaml", &deployment("m", V3, None));
    world.settle();
    world.restart();
    world.settle();
    assert_eq!(awaited(&world), both);
    world.repo.write("environments/dev/environment.yaml", ENVIRONMENT);
    world.repo.change("m.yaml", &deployment("m", V1, Some((V2, 10))));
    world.settle();

    // A manifest that is refused leaves its object as it was, and that one serves.
    world
        .repo
        .change("m.yaml", &deployment("m", "v20270101-000000", None));
    world.settle();
    assert!(world.findings().contains("VersionMissing"));
    world.restart();
    world.settle();
    assert_eq!(awaited(&world), both);
    world.repo.change("m.yaml", &deployment("m", V1, Some((V2, 10))));
    world.settle();

    // An aborted canary is not loaded again.
    abort(&world, V2);
    world.settle();
    world.restart();
    world.settle();
    assert_eq!(world.slots.show("m"), V1);
    assert_eq!(awaited(&world), [format!("m stable {V1}")]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_deployment_tells_of_the_job_that_will_not_make_its_version() {
    let mut world = serving();
    *world.trainer.fate.lock().unwrap() = Fate::Refuse;
    world.repo.write(
        "environments/dev/new-job.yaml",
        &training("m", "v20270101-000000", "builtin:iris"),
    );
    world
        .repo
        .change("m.yaml", &deployment("m", V1, Some(("v20270101-000000", 50))));
    world.turn_until(|world| world.findings().contains("TrainingFailed"));
    assert_eq!(world.slots.show("m"), format!("{V1} + 10% of {V2}"));
    expect![[r#"
        environments/dev/m.yaml:1:1: VersionMissing: MLDeployment/m: canary: version v20270101-000000 of m does not exist: MLTrainingJob/m-20270101-000000 failed to make it
          hint: mend the job as its own finding says, or pin another version
        environments/dev/new-job.yaml:1:1: TrainingFailed: MLTrainingJob/m-20270101-000000: v20270101-000000 was not published: rows.csv:3: a number was expected
          hint: change the job's data, algorithm, hyperparameters or minimum by a commit; nothing retries it until then"#]].assert_eq(&world.findings());
    assert_eq!(
        awaited(&world),
        [format!("m stable {V1}"), format!("m canary {V2}")]
    );
    assert_eq!(world.standing().waiting_count(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn an_abort_outlives_a_lost_status_and_a_lost_object() {
    for lost in [&["status"][..], &["status", "objects/MLDeployment"]] {
        let mut world = serving();
        abort(&world, V2);
        world.settle();
        world.restart();
        for folder in lost {
            fs::remove_dir_all(world.data_dir().join(folder)).unwrap();
        }
        world.restart();
        world.settle();
        assert_eq!(world.slots.show("m"), V1, "after {lost:?}");
        // It ends with the canary's pin.
        world.repo.change("m.yaml", &deployment("m", V1, Some((V3, 50))));
        world.settle();
        assert_eq!(world.slots.show("m"), format!("{V1} + 50% of {V3}"));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_pause_holds_a_raise_back_over_a_restart() {
    let mut world = serving();
    let (name, now) = ("m".parse().unwrap(), "2026-12-01T00:00:00Z".parse().unwrap());
    commands::write_pause(&world.data_dir(), &name, "ana: wait", now).unwrap();
    world.settle();
    world.repo.change("m.yaml", &deployment("m", V1, Some((V2, 70))));
    world.settle();
    assert_eq!(world.slots.show("m"), format!("{V1} + 10% of {V2}"));
    world.restart();
    world.settle();
    assert_eq!(world.slots.show("m"), format!("{V1} + 10% of {V2}"));
    commands::clear_pause(&world.data_dir(), &name).unwrap();
    world.settle();
    assert_eq!(world.slots.show("m"), format!("{V1} + 70% of {V2}"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_clock_that_goes_back_holds_nothing_up() {
    let mut world = serving();
    let folder = world.data_dir().join("status/MLDeployment");
    let aside = world.data_dir().join("aside");
    fs::rename(&folder, &aside).unwrap();
    fs::write(&folder, "in the way").unwrap();
    world.repo.change("m.yaml", &deployment("m", V1, Some((V2, 70))));
    for _ in 0..3 {
        world.turn();
    }
    fs::remove_file(&folder).unwrap();
    fs::rename(&aside, &folder).unwrap();
    world.set_back(Duration::from_hours(24));
    world.settle();
    let status = fs::read_to_string(folder.join("m.json")).unwrap();
    assert!(status.contains("\"weight\": 70"), "{status}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_renamed_job_waits_for_the_process_under_its_old_name() {
    let mut world = serving();
    *world.trainer.fate.lock().unwrap() = Fate::Hang;
    let version = "v20270101-000000";
    let job = training("m", version, "builtin:iris");
    world.repo.change("new-job.yaml", &job);
    while world.trainer.requests.lock().unwrap().len() < 4 {
        world.turn();
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    *world.trainer.fate.lock().unwrap() = Fate::Publish;
    world.repo.change(
        "new-job.yaml",
        &job.replace("name: m-20270101-000000", "name: renamed"),
    );
    world.turn();
    assert_eq!(
        world.trainer.requests.lock().unwrap().len(),
        4,
        "two processes write one run folder"
    );
    world.settle();
    assert_eq!(world.trainer.requests.lock().unwrap().len(), 5);
    assert_eq!(world.findings(), "");
    assert!(
        world
            .store
            .versions(&"m".parse().unwrap())
            .unwrap()
            .contains(&version.parse().unwrap())
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_model_that_comes_back_under_another_name_leaves_no_status_behind() {
    let mut world = serving();
    world.repo.remove("environments/dev/m.yaml");
    world.repo.commit("m goes");
    world.turn();
    world
        .repo
        .change("new.yaml", &named("new", "m", V1, Some((V2, 10))));
    world.settle();
    assert_eq!(world.slots.show("m"), format!("{V1} + 10% of {V2}"));
    let statuses = fs::read_dir(world.data_dir().join("status/MLDeployment")).unwrap();
    let statuses: Vec<_> = statuses.map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(statuses, ["new.json"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn objects_that_exchange_their_models_lose_no_answer() {
    let manifest = |name: &str, model: &str, canary| named(name, model, V1, canary);
    let mut world = World::start(Repo::with(&[
        ("a.yaml", &manifest("a", "m", Some((V2, 10)))),
        ("b.yaml", &manifest("b", "k", None)),
        ("c.yaml", &manifest("c", "o", None)),
        ("jobs.yaml", &[jobs("m"), jobs("k"), jobs("o")].join("---\n")),
    ]));
    world.settle();
    let all = |world: &World| ["m", "k", "o"].map(|model| world.slots.show(model));
    let before = all(&world);
    assert_eq!(
        before,
        [format!("{V1} + 10% of {V2}"), V1.to_owned(), V1.to_owned()]
    );
    // Two, three in a circle, and back again: whatever the objects are called, what serves is what served.
    for [a, b, c] in [["k", "m", "o"], ["o", "k", "m"], ["k", "m", "o"], ["m", "k", "o"]] {
        for (name, model) in [("a", a), ("b", b), ("c", c)] {
            let canary = (model == "m").then_some((V2, 10));
            world.repo.write(
                &format!("environments/dev/{name}.yaml"),
                &manifest(name, model, canary),
            );
        }
        world.repo.commit("exchange");
        world.turn_until(|world| {
            assert_eq!(all(world), before);
            true
        });
        assert_eq!((all(&world), world.findings().as_str()), (before.clone(), ""));
        assert_eq!(world.standing().waiting_count(), 0);
    }
    // What is urgent arrives.
    world.repo.change("a.yaml", &manifest("a", "m", None));
    world.settle();
    assert_eq!(world.slots.show("m"), V1);
}
