//! What the data directory remembers of the branch's history.

use std::fs;

use planner::names::Track;

use super::model;
use super::repository::{Repo, V1, V2};
use super::world::World;

/// What is remembered of a history is no more than that: junk, another repository's memory and none at all are read past.
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_damaged_memory_of_the_history_costs_time_alone() {
    let mut world = World::start(Repo::with(&[
        ("m.yaml", &model("m", V1, Some((V2, 10)))),
        ("other.yaml", &model("other", V1, None)),
    ]));
    world.settle();
    let revisions = |world: &World| ["m", "other"].map(|model| world.slots.revision(model, Track::Stable));
    let (before, memory) = (revisions(&world), world.data_dir().join("git/history.json"));
    let remembered = fs::read_to_string(&memory).unwrap();
    let head = world
        .repo
        .git()
        .refname_to_id("refs/heads/main")
        .unwrap()
        .to_string();
    assert!(remembered.contains(&head), "{remembered}");
    for text in [
        "{",
        "[]",
        &remembered.replace(&head, &"0".repeat(40)),
        &remembered.replace(&head, "main"),
    ] {
        fs::write(&memory, text).unwrap();
        world.restart();
        world.settle();
        assert_eq!(world.slots.violations(), Vec::<String>::new());
        assert_eq!(revisions(&world), before, "{text}");
    }
    fs::remove_file(&memory).unwrap();
    world.restart();
    world.settle();
    assert_eq!(revisions(&world), before);
}

/// By then the key of a commit is judged that is not followed yet, also by a process that begins later.
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn when_a_commit_was_first_seen_is_remembered() {
    let environment = |commits: &str| {
        format!(
            "apiVersion: aurora.io/v1alpha1\nkind: MLEnvironment\nmetadata: {{ name: dev }}\nspec: {{ target: Standalone{commits} }}\n"
        )
    };
    let mut world = World::start(Repo::with(&[("m.yaml", &model("m", V1, None))]));
    world.settle();
    let demanded = environment(", commits: { verify: Require, allowedSigners: signers }");
    world.repo.change("environment.yaml", &demanded);
    world.settle();
    world.repo.change("m.yaml", &model("m", V1, Some((V2, 10))));
    world.settle();
    let memory = world.data_dir().join("git/commits-seen.json");
    let seen = fs::read_to_string(&memory).unwrap();
    let head = world.repo.git().refname_to_id("refs/heads/main").unwrap();
    assert!(seen.contains(&head.to_string()), "{seen}");
    world.restart();
    world.settle();
    assert_eq!(world.slots.show("m"), V1);
    assert_eq!(fs::read_to_string(&memory).unwrap(), seen);
    // Without it, it is seen anew.
    fs::write(&memory, "{").unwrap();
    world.restart();
    world.settle();
    assert_ne!(fs::read_to_string(&memory).unwrap(), seen);
}

/// A process may be killed between the file that it writes and the name that it gives it.
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn what_a_killed_process_had_not_finished_is_swept() {
    let mut world = World::start(Repo::with(&[("m.yaml", &model("m", V1, None))]));
    world.settle();
    let unfinished = [".tmp-1-1", "git/.tmp-1-1", "objects/MLDeployment/.tmp-1-1"];
    let unfinished = unfinished.map(|name| world.data_dir().join(name));
    for path in &unfinished {
        fs::write(path, "{ half").unwrap();
    }
    world.restart();
    world.settle();
    assert_eq!(world.slots.show("m"), V1);
    for path in &unfinished {
        assert!(!path.exists(), "{}", path.display());
    }
}
