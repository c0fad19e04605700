//! The loops, stepped by hand from commit to slots.

mod changes;
mod loops;
mod moves;
mod planted;
mod remembered;
#[path = "../../../reconciler/tests/it/repository.rs"]
pub(crate) mod repository;
mod schedules;
mod starts;
mod trouble;
#[path = "../../../reconciler/tests/it/versions.rs"]
mod versions;
mod world;

use expect_test::expect;
use planner::names::Track;

use repository::{ENVIRONMENT, Repo, V1, V2, deployment, training};
use world::{Fate, World};

/// A model with a training job for each of two versions, beside its deployment.
fn model(name: &str, stable: &str, canary: Option<(&str, u8)>) -> String {
    [
        deployment(name, stable, canary),
        training(name, V1, "builtin:iris"),
        training(name, V2, "builtin:iris"),
    ]
    .join("---\n")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_commit_trains_serves_and_moves_the_aliases() {
    let mut world = World::start(Repo::with(&[("m.yaml", &model("m", V1, Some((V2, 10))))]));
    world.settle();
    expect!["v20261101-120000 + 10% of v20261120-093000"].assert_eq(&world.slots.show("m"));
    expect![""].assert_eq(&world.findings());
    assert_eq!(world.alias("m", Track::Stable).as_deref(), Some(V1));
    assert_eq!(world.alias("m", Track::Canary).as_deref(), Some(V2));
    let requests = world.trainer.requests.lock().unwrap().clone();
    let order: Vec<_> = requests
        .iter()
        .map(|request| {
            (
                request.version.to_string(),
                request.baseline.as_ref().map(ToString::to_string),
            )
        })
        .collect();
    assert_eq!(
        order,
        [(V1.to_owned(), None), (V2.to_owned(), Some(V1.to_owned()))]
    );
    assert_eq!(world.slots.violations(), Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn weight_promotion_and_revert_follow_the_commits() {
    let mut world = World::start(Repo::with(&[("m.yaml", &model("m", V1, Some((V2, 10))))]));
    world.settle();
    let first = world.slots.revision("m", Track::Canary);
    for weight in [0, 1, 50, 100] {
        world.repo.change("m.yaml", &model("m", V1, Some((V2, weight))));
        world.settle();
        assert_eq!(world.slots.show("m"), format!("{V1} + {weight}% of {V2}"));
    }
    // A weight is no change of what the canary serves.
    assert_eq!(world.slots.revision("m", Track::Canary), first);

    let promoted = world.repo.change("m.yaml", &model("m", V2, None));
    world.settle();
    assert_eq!(world.slots.show("m"), V2);
    assert_eq!(world.slots.revision("m", Track::Stable), Some(promoted));
    assert_eq!(world.alias("m", Track::Stable).as_deref(), Some(V2));
    assert_eq!(world.alias("m", Track::Canary), None);

    world.repo.change("m.yaml", &model("m", V1, Some((V2, 50))));
    world.settle();
    assert_eq!(world.slots.show("m"), format!("{V1} + 50% of {V2}"));
    assert_eq!(world.alias("m", Track::Stable).as_deref(), Some(V1));
    assert_eq!(world.trainer.requests.lock().unwrap().len(), 2);
    assert_eq!(world.slots.violations(), Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_converged_world_is_not_written_to() {
    let mut world = World::start(Repo::with(&[
        ("m.yaml", &model("m", V1, Some((V2, 10)))),
        ("n.yaml", &model("other", V1, None)),
    ]));
    world.settle();
    let before = world.files();
    for _ in 0..100 {
        assert!(world.turn());
    }
    assert_eq!(before, world.files());
    // A commit that changes nothing changes the revision that the report names, and that alone.
    world.repo.change("README.md", "words");
    world.settle();
    let after = world.files();
    let changed: Vec<_> = after
        .iter()
        .filter(|(path, at)| before.get(*path) != Some(at))
        .filter_map(|(path, _)| Some(path.strip_prefix(world.data_dir()).ok()?.display().to_string()))
        .collect();
    assert_eq!(changed, ["status/MLEnvironment", "status/MLEnvironment/dev.json"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_removed_model_is_emptied_and_its_versions_stay() {
    let mut world = World::start(Repo::with(&[
        ("m.yaml", &model("m", V1, Some((V2, 10)))),
        ("other.yaml", &deployment("other", V1, None)),
        ("jobs.yaml", &training("other", V1, "builtin:iris")),
    ]));
    world.settle();
    world.repo.remove("environments/dev/other.yaml");
    world.repo.commit("other goes");
    world.settle();
    assert_eq!(world.slots.show("other"), "nothing");
    assert!(!world.data_dir().join("objects/MLDeployment/other.json").exists());
    assert!(!world.data_dir().join("status/MLDeployment/other.json").exists());
    assert_eq!(world.store.versions(&"other".parse().unwrap()).unwrap().len(), 1);
    assert_eq!(world.slots.show("m"), format!("{V1} + 10% of {V2}"));
    // And back.
    world.repo.change("other.yaml", &deployment("other", V1, None));
    world.settle();
    assert_eq!(world.slots.show("other"), V1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_restart_serves_before_git_is_looked_at() {
    let mut world = World::start(Repo::with(&[("m.yaml", &model("m", V1, Some((V2, 10))))]));
    world.settle();
    world.restart();
    world.operator_step();
    world.operator_step();
    assert_eq!(world.slots.show("m"), format!("{V1} + 10% of {V2}"));
    world.settle();
    assert_eq!(world.slots.show("m"), format!("{V1} + 10% of {V2}"));
    assert_eq!(world.slots.violations(), Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_restart_after_any_number_of_turns_converges() {
    for turns in 0..12 {
        let mut world = World::start(Repo::with(&[("m.yaml", &model("m", V1, Some((V2, 10))))]));
        for _ in 0..turns {
            world.turn();
            tokio::time::sleep(std::time::Duration::from_millis(2)).await;
        }
        world.repo.change("m.yaml", &model("m", V1, Some((V2, 50))));
        world.restart();
        world.wait(std::time::Duration::from_mins(10));
        world.settle();
        assert_eq!(
            world.slots.show("m"),
            format!("{V1} + 50% of {V2}"),
            "after {turns} turns"
        );
        assert_eq!(world.alias("m", Track::Canary).as_deref(), Some(V2));
        assert_eq!(world.slots.violations(), Vec::<String>::new());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn what_serves_goes_on_until_its_replacement_is_loaded() {
    let mut world = World::start(Repo::with(&[("m.yaml", &model("m", V1, None))]));
    world.settle();
    world.slots.slow(true);
    world.repo.change("m.yaml", &model("m", V2, None));
    for _ in 0..5 {
        world.turn();
    }
    assert_eq!(world.slots.show("m"), format!("{V1} (loading)"));
    assert_eq!(world.alias("m", Track::Stable).as_deref(), Some(V1));
    // A newer commit wins over the wait for the older one.
    world.repo.change("m.yaml", &model("m", V1, None));
    world.turn();
    world.slots.slow(false);
    world.settle();
    assert_eq!(world.slots.show("m"), V1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_job_that_leaves_git_is_stopped() {
    let mut world = World::start(Repo::with(&[("m.yaml", &deployment("m", V1, None))]));
    *world.trainer.fate.lock().unwrap() = Fate::Hang;
    world.repo.change("job.yaml", &training("m", V1, "builtin:iris"));
    while world.trainer.requests.lock().unwrap().is_empty() {
        world.turn();
        tokio::time::sleep(std::time::Duration::from_millis(1)).await;
    }
    world.repo.remove("environments/dev/job.yaml");
    world.repo.commit("no job");
    world.settle();
    assert!(
        !world
            .data_dir()
            .join("status/MLTrainingJob")
            .join(format!("m-{}.json", &V1[1..]))
            .exists()
    );
    expect![[r#"
        environments/dev/m.yaml:1:1: VersionMissing: MLDeployment/m: stable: version v20261101-120000 of m does not exist and no training job makes it
          hint: the registry holds no version of m: add an MLTrainingJob with `version: v20261101-120000`"#]].assert_eq(&world.findings());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_data_file_of_the_commit_is_staged_before_its_job_runs() {
    let job = training("m", V1, "rows.csv");
    let mut world = World::start(Repo::with(&[
        ("m.yaml", &format!("{}---\n{job}", deployment("m", V1, None))),
        ("rows.csv", "x,quality\n1,2\n"),
    ]));
    world.settle();
    assert_eq!(world.slots.show("m"), V1);
    let request = world.trainer.requests.lock().unwrap()[0].clone();
    let staged = std::fs::read_to_string(request.dataset.unwrap()).unwrap();
    assert_eq!(staged, "x,quality\n1,2\n");
    // What it is, is remembered by what Git calls it: the next start has nothing to hash.
    let remembered = world.data_dir().join("git/data-digests.json");
    let remembered: std::collections::BTreeMap<String, planner::names::Digest> =
        serde_json::from_slice(&std::fs::read(remembered).unwrap()).unwrap();
    let content = b"x,quality\n1,2\n";
    let id = git2::Oid::hash_object(git2::ObjectType::Blob, content)
        .unwrap()
        .to_string();
    let digest = planner::names::Digest::of(content);
    assert_eq!(remembered, std::collections::BTreeMap::from([(id, digest)]));
    // Other rows are other inputs: the fixed version stays what it is.
    world.repo.change("rows.csv", "x,quality\n1,3\n");
    world.settle();
    assert_eq!(world.slots.show("m"), V1);
    expect![[r#"
        environments/dev/m.yaml:8:1: VersionHasOtherInputs: MLTrainingJob/m-20261101-120000: version v20261101-120000 of m exists, trained from other inputs
          hint: give the changed training a new version; versions never change"#]].assert_eq(&world.findings());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn another_registry_counts_from_the_start_after_it_was_moved() {
    let mut world = World::start(Repo::with(&[("m.yaml", &model("m", V1, None))]));
    world.settle();
    world.repo.change(
        "environment.yaml",
        &ENVIRONMENT.replace("Standalone", "Standalone, registry: { path: elsewhere }"),
    );
    world.settle();
    assert_eq!(world.slots.show("m"), V1);
    expect![[r#"
        StorageUnavailable: MLEnvironment/dev: spec.registry.path now names FOLDER/data/elsewhere, and FOLDER/data/registry is in use
          hint: stop aurora, move what is in use there, and start it again; until then the registry in use goes on"#]].assert_eq(&world.findings());

    // A start alone makes no empty registry in its place, in which a version would be missing that no job makes anew.
    world.restart();
    world.settle();
    assert_eq!(world.slots.show("m"), V1);
    assert!(
        world.findings().contains("FOLDER/data/registry is in use"),
        "{}",
        world.findings()
    );
    assert!(!world.data_dir().join("elsewhere").exists());

    std::fs::rename(
        world.data_dir().join("registry"),
        world.data_dir().join("elsewhere"),
    )
    .unwrap();
    world.restart();
    world.settle();
    assert_eq!(world.slots.show("m"), V1);
    assert_eq!(world.findings(), "");
    let used = crate::registry_in_use(&world.data_dir(), None);
    assert_eq!(used, world.data_dir().join("elsewhere"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn an_environment_can_be_suspended() {
    let mut world = World::start(Repo::with(&[("m.yaml", &model("m", V1, None))]));
    world.settle();
    world.repo.write(
        "environments/dev/environment.yaml",
        &ENVIRONMENT.replace("Standalone", "Standalone, suspend: holidays"),
    );
    world.repo.change("m.yaml", &model("m", V2, None));
    world.settle();
    assert_eq!(world.slots.show("m"), V1);
    world.repo.change("environment.yaml", ENVIRONMENT);
    world.settle();
    assert_eq!(world.slots.show("m"), V2);
}
