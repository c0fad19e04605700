//! What an object is called stays, and what it says becomes something else.

use planner::names::Track;

use super::repository::{Repo, V1, V2, deployment, training};
use super::world::{Fate, World};

/// A deployment called `m`, whatever its model.
fn called_m(model: &str, canary: Option<(&str, u8)>) -> String {
    deployment(model, V1, canary).replace(&format!("name: {model} }}"), "name: m }")
}

fn jobs(model: &str) -> String {
    [V1, V2]
        .map(|version| training(model, version, "builtin:iris"))
        .join("---\n")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_deployment_goes_over_to_another_model() {
    let mut world = World::start(Repo::with(&[
        ("m.yaml", &called_m("m", Some((V2, 10)))),
        ("jobs.yaml", &[jobs("m"), jobs("o")].join("---\n")),
    ]));
    world.settle();
    assert_eq!(world.slots.show("m"), format!("{V1} + 10% of {V2}"));
    world.repo.change("m.yaml", &called_m("o", None));
    world.settle();
    assert_eq!(
        (world.slots.show("m"), world.slots.show("o")),
        ("nothing".to_owned(), V1.to_owned())
    );
    assert_eq!(world.alias("m", Track::Stable), None);
    assert_eq!(world.alias("m", Track::Canary), None);
    assert_eq!(world.alias("o", Track::Stable).as_deref(), Some(V1));
    assert_eq!(world.findings(), "");
    // What it remembered was the other model's: no canary, no abort, no transition of it.
    let status = std::fs::read_to_string(world.data_dir().join("status/MLDeployment/m.json")).unwrap();
    assert!(!status.contains(V2), "{status}");
    // And it is the same after a start.
    world.restart();
    world.settle();
    assert_eq!(
        (world.slots.show("m"), world.slots.show("o")),
        ("nothing".to_owned(), V1.to_owned())
    );
    world.repo.change("m.yaml", &called_m("m", Some((V2, 30))));
    world.settle();
    assert_eq!(world.slots.show("m"), format!("{V1} + 30% of {V2}"));
    assert_eq!(world.slots.show("o"), "nothing");
    assert_eq!(world.slots.violations(), Vec::<String>::new());
}

/// The outcomes of a job's runs, oldest first.
fn outcomes(world: &World, job: &str) -> Vec<String> {
    let path = world.data_dir().join(format!("status/MLTrainingJob/{job}.json"));
    let status: serde_json::Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
    let runs = status["memory"]["runs"].as_array().unwrap().iter();
    let show = |run: &serde_json::Value| {
        let (kind, fields) = run["outcome"].as_object().unwrap().iter().next().unwrap();
        match fields["reason"].as_str() {
            Some(reason) => format!("{kind} {reason}"),
            None => kind.clone(),
        }
    };
    runs.map(show).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_run_whose_job_changes_has_ended_for_that_and_not_as_its_process_did() {
    let mut world = World::start(Repo::with(&[]));
    *world.trainer.fate.lock().unwrap() = Fate::Hang;
    let job = training("m", V1, "builtin:iris");
    world.repo.change("job.yaml", &job);
    world.turn_till(|world| world.trainer.requests.lock().unwrap().len() == 1);
    *world.trainer.fate.lock().unwrap() = Fate::Publish;
    world.repo.change("job.yaml", &job.replace("seed: 0", "seed: 7"));
    world.settle();
    assert_eq!(world.trainer.requests.lock().unwrap().len(), 2);
    assert_eq!(world.findings(), "");
    assert_eq!(
        outcomes(&world, "m-20261101-120000"),
        ["Stopped SpecChanged", "Published"]
    );
}
