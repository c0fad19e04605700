//! Objects in files, and their statuses.

use planner::Timestamp;
use planner::deployment::{Deployment, ResolvedPin, STABLE_REPLICAS};
use planner::observed::{DeploymentObject, TrainingObject};
use planner::per_track::PerTrack;
use planner::runs;
use planner::training::{
    Algorithm, DataSource, Dataset, Evaluation, Fit, Holdout, Metric, RunPolicy, Training,
};
use reconciler::conditions::Facts;

use super::*;

#[test]
fn the_store_in_files_does_what_every_store_must() {
    let folders = tempfile::tempdir().unwrap();
    let count = std::cell::Cell::new(0);
    reconciler::objects::conformance::check(|| {
        count.set(count.get() + 1);
        let path = folders.path().join(count.get().to_string());
        let data_dir = DataDir::open(&path, "test").unwrap();
        Objects::load(Arc::new(data_dir), &"dev".parse().unwrap()).unwrap()
    });
}

fn name(text: &str) -> ObjectName {
    text.parse().unwrap()
}

fn empty(folder: &std::path::Path) -> Objects {
    let data_dir = DataDir::open(&folder.join("data"), "test").unwrap();
    Objects::load(Arc::new(data_dir), &"dev".parse().unwrap()).unwrap()
}

fn now() -> Timestamp {
    "2026-12-01T00:00:00Z".parse().unwrap()
}

fn pin(digit: u8) -> ResolvedPin {
    ResolvedPin {
        version: format!("v2026110{digit}-120000").parse().unwrap(),
        digest: Digest::of(&[digit]),
    }
}

fn deployment(model: &str, stable: u8) -> Object {
    let revision: planner::names::Revision = "a".repeat(40).parse().unwrap();
    let object = DeploymentObject {
        spec: Deployment {
            model: model.parse().unwrap(),
            stable: pin(stable),
            replicas: STABLE_REPLICAS,
            canary: None,
            autoscaling: None,
            pod: None,
            route: None,
            engine: planner::engine::Engine::Aurora,
            suspend: None,
            rejected: Vec::new(),
            allow_breaking: Vec::new(),
        },
        revision: revision.clone(),
        stable_revision: revision,
        canary_revision: None,
        abort: None,
        overridden: None,
        kept: None,
        trust: None,
        behind: None,
    };
    Object::Deployment(name("d"), object)
}

#[test]
fn a_status_is_of_the_model_that_it_was_reported_for() {
    let folder = tempfile::tempdir().unwrap();
    let objects = empty(folder.path());
    let status = rollout::Status {
        state: rollout::State::Idle,
        since: now(),
        serving: PerTrack {
            stable: Some(pin(1)),
            canary: None,
        },
        weight: planner::names::Weight::ZERO,
        routed_at: None,
        lost: None,
        thinned: None,
        paused: None,
        ceiling: None,
        frozen: None,
        retry: PerTrack::default(),
        history: Vec::new(),
    };
    let conditions = Facts::Ready("Serving", String::new()).conditions(&[], now());
    let stands = |objects: &Objects| {
        let entry = objects.deployment(&name("d")).unwrap();
        (entry.found.status, entry.conditions)
    };
    objects.put(&deployment("m", 1)).unwrap();
    assert_eq!(stands(&objects), (None, vec![]));
    objects.set_rollout(&name("d"), status.clone(), conditions.clone());
    // Another version of the same model: what serves is what served.
    objects.put(&deployment("m", 2)).unwrap();
    assert_eq!(stands(&objects), (Some(status), conditions));
    assert_eq!(objects.of_model(&"m".parse().unwrap()).len(), 1);
    // Another model: nothing of it serves.
    objects.put(&deployment("o", 2)).unwrap();
    assert_eq!(stands(&objects), (None, vec![]));
    assert_eq!(objects.of_model(&"m".parse().unwrap()).len(), 0);
    assert_eq!(objects.of_model(&"o".parse().unwrap()).len(), 1);
}

#[test]
fn a_phase_is_of_the_spec_that_it_was_reported_for() {
    let folder = tempfile::tempdir().unwrap();
    let objects = empty(folder.path());
    let job = |seed: u64, revision: char| {
        let spec = Training {
            model: "m".parse().unwrap(),
            runs: RunPolicy::Fixed(pin(1).version),
            rows: Some(planner::training::Rows {
                dataset: Dataset {
                    source: DataSource::Builtin("iris".to_owned()),
                    sha256: None,
                    features: Vec::new(),
                    exclude: Vec::new(),
                    target: None,
                },
                evaluation: Evaluation {
                    metric: Metric::Accuracy,
                    bound: None,
                    holdout: Holdout::Percent { percent: 20, seed: 0 },
                },
            }),
            fit: Fit::Algorithm(Algorithm::LogisticRegression),
            engine: planner::engine::Engine::Aurora,
            hyperparameters: BTreeMap::new(),
            seed,
            active_deadline_seconds: 60,
            pod: None,
            suspend: false,
        };
        let object = TrainingObject {
            spec,
            revision: revision.to_string().repeat(40).parse().unwrap(),
            committed_at: now(),
            baseline: None,
            trust: None,
            behind: None,
        };
        Object::Training(name("j"), object)
    };
    let published = runs::Phase::Succeeded {
        version: pin(1).version,
        digest: pin(1).digest,
    };
    let status = TrainingStatus {
        runs: runs::Status {
            phase: Some(published.clone()),
            ..runs::Status::default()
        },
        progress_percent: Some(100),
        metrics: BTreeMap::from([("accuracy".to_owned(), 0.9)]),
        conditions: Facts::Ready("Succeeded", String::new()).conditions(&[], now()),
    };
    let stands = || objects.training(&name("j")).unwrap().status;
    objects.put(&job(0, 'a')).unwrap();
    assert_eq!(stands(), TrainingStatus::default());
    objects.set_training(&name("j"), status.clone());
    // The commit is another, the spec is not.
    objects.put(&job(0, 'b')).unwrap();
    assert_eq!(stands(), status);
    // What was remembered stays, and no phase is told of a spec for which nothing was decided.
    objects.put(&job(1, 'c')).unwrap();
    let mut undecided = status;
    undecided.runs.phase = None;
    assert_eq!(stands(), undecided);
}
