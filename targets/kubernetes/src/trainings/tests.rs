//! Steps of one training job, against Jobs as a cluster shows them.

use std::fmt::Write as _;

use expect_test::{Expect, expect};
use planner::names::ModelName;
use planner::object::Kind;
use planner::route::Gateway;
use planner::training::{
    Algorithm, DataSource, Dataset, Evaluation, Fit, Holdout, Metric, RunPolicy, Training,
};
use serde_json::{Value, json};

use super::*;

fn time(seconds: i64) -> Timestamp {
    Timestamp::from_timestamp(1_800_000_000 + seconds, 0).unwrap()
}

fn version() -> Version {
    "v20261101-120000".parse().unwrap()
}

fn name() -> ObjectName {
    "wine".parse().unwrap()
}

fn model() -> ModelName {
    "wine".parse().unwrap()
}

/// A training job in a cluster of which this is all.
struct World {
    folder: tempfile::TempDir,
    installation: Installation,
    owner: Owner,
    object: TrainingObject,
    status: TrainingStatus,
    jobs: BTreeMap<String, SeenJob>,
    existing: BTreeMap<Version, ObservedVersion>,
}

impl World {
    fn new() -> Self {
        let training = Training {
            model: model(),
            runs: RunPolicy::Fixed(version()),
            rows: Some(planner::training::Rows {
                dataset: Dataset {
                    source: DataSource::Builtin("wine-quality".to_owned()),
                    sha256: None,
                    features: Vec::new(),
                    exclude: Vec::new(),
                    target: None,
                },
                evaluation: Evaluation {
                    metric: Metric::R2,
                    bound: None,
                    holdout: Holdout::Percent { percent: 20, seed: 0 },
                },
            }),
            fit: Fit::Algorithm(Algorithm::LinearRegression),
            engine: planner::engine::Engine::Aurora,
            hyperparameters: BTreeMap::new(),
            seed: 0,
            active_deadline_seconds: 600,
            suspend: false,
            pod: None,
        };
        Self {
            folder: tempfile::tempdir().unwrap(),
            installation: Installation {
                environment: "dev".parse().unwrap(),
                namespace: "dev".to_owned(),
                image: "aurora".to_owned(),
                onnx_runtime_image: None,
                import_sources: Vec::new(),
                import_ca: None,
                control_plane: "http://aurora-control-plane:8000".to_owned(),
                keys_secret: "aurora-keys".to_owned(),
                registry_claim: "aurora-model-pvc".to_owned(),
                dataset_claims: Vec::new(),
                gateway: Gateway {
                    name: "aurora".to_owned(),
                    namespace: None,
                    section_name: None,
                },
            },
            owner: Owner {
                kind: Kind::Training,
                name: name(),
                uid: "1".to_owned(),
            },
            object: TrainingObject {
                spec: training,
                revision: "a".repeat(40).parse().unwrap(),
                committed_at: time(-60),
                baseline: None,
                trust: None,
                behind: None,
            },
            status: TrainingStatus::default(),
            jobs: BTreeMap::new(),
            existing: BTreeMap::new(),
        }
    }

    fn with_seen<T>(&self, then: impl FnOnce(&Seen<'_>) -> T) -> T {
        then(&Seen {
            installation: &self.installation,
            owner: &self.owner,
            object: &self.object,
            jobs: &self.jobs,
            existing: &self.existing,
            claimed: &BTreeSet::new(),
            store: &Store::at(self.folder.path()),
        })
    }

    /// Steps, writes the status, and says what the step says. Nothing else of it is done.
    #[track_caller]
    fn check(&mut self, seconds: i64, expected: &Expect) -> Step {
        let step = self.with_seen(|seen| step(&name(), seen, self.status.clone(), time(seconds)));
        self.status = step.status.clone();
        expected.assert_eq(&shown(&step));
        step
    }

    /// Starts a run that is due, and dies before its Job is made.
    fn start(&mut self, due: &Due, seconds: i64) -> Child {
        let started = self.with_seen(|seen| start(due, seen, &self.status, time(seconds)));
        let Ok(Start::Begun(status, job)) = started else {
            panic!("{started:?}");
        };
        self.status = *status;
        *job
    }

    /// Lets a Job be there, as a controller shows it, with a Pod.
    fn show(&mut self, job: &Child, status: &Value, pod: &Value) {
        let mut job = job.clone();
        job.status = Some(serde_json::from_value(status.clone()).unwrap());
        let pod: Pod = serde_json::from_value(json!({ "metadata": {}, "status": pod })).unwrap();
        let pods = vec![pod];
        self.jobs
            .insert(job.metadata.name.clone().unwrap(), SeenJob { job, pods });
    }
}

fn shown(step: &Step) -> String {
    let mut text = String::new();
    let phase = step.status.runs.phase.as_ref().unwrap();
    writeln!(text, "{phase:?}").unwrap();
    if let Some(note) = &step.status.runs.note {
        writeln!(text, "note: {note}").unwrap();
    }
    for due in &step.due {
        writeln!(text, "due: {} attempt {}", due.version, due.attempt).unwrap();
    }
    for job in &step.makes {
        writeln!(text, "make: {}", job.metadata.name.as_ref().unwrap()).unwrap();
    }
    for (what, names) in [("delete", &step.deletes), ("let go", &step.expires)] {
        for name in names {
            writeln!(text, "{what}: {name}").unwrap();
        }
    }
    for (version, ended) in &step.ended {
        writeln!(text, "ended: {version}, tried again: {}", ended.is_retried).unwrap();
    }
    text
}

fn active() -> Value {
    json!({ "active": 1, "startTime": "2027-01-15T08:00:05Z" })
}

fn failed(reason: &str) -> Value {
    json!({ "conditions": [{ "type": "Failed", "status": "True", "reason": reason }] })
}

fn ended(code: i32, reason: &str, message: &str) -> Value {
    json!({ "phase": "Failed", "containerStatuses": [{
        "name": "aurora", "image": "", "imageID": "", "ready": false, "restartCount": 0,
        "state": { "terminated": { "exitCode": code, "reason": reason, "message": message } },
    }] })
}

fn refused(message: &str) -> String {
    let ending = registry::run::Ending::Refused {
        message: message.to_owned(),
    };
    serde_json::to_string(&registry::run::RunResult { at: time(9), ending }).unwrap()
}

fn started() -> (World, Child) {
    let mut world = World::new();
    let due = world
        .check(
            0,
            &expect![[r#"
        Pending { version: Version { time: 2026-11-01T12:00:00, collision: 0 } }
        due: v20261101-120000 attempt 1
    "#]],
        )
        .due
        .remove(0);
    let job = world.start(&due, 1);
    (world, job)
}

/// The memory is the status: whoever died between it and the Job, or removed the Job, gets the same one made.
#[test]
fn a_run_that_is_recorded_has_a_job_or_gets_it() {
    let (mut world, job) = started();
    let step = world.check(
        2,
        &expect![[r#"
        Running { version: Version { time: 2026-11-01T12:00:00, collision: 0 } }
        make: wine-v20261101-120000-1
    "#]],
    );
    assert_eq!(step.makes, std::slice::from_ref(&job));
    world.show(&job, &active(), &json!({ "phase": "Running" }));
    world.check(
        3,
        &expect![[r#"
        Running { version: Version { time: 2026-11-01T12:00:00, collision: 0 } }
    "#]],
    );
    // Somebody wiped the status: the Job is taken for what it is.
    world.status = TrainingStatus::default();
    let due = world
        .check(
            4,
            &expect![[r#"
        Pending { version: Version { time: 2026-11-01T12:00:00, collision: 0 } }
        due: v20261101-120000 attempt 1
    "#]],
        )
        .due
        .remove(0);
    assert_eq!(world.start(&due, 5).metadata.name, job.metadata.name);
    world.check(
        6,
        &expect![[r#"
        Running { version: Version { time: 2026-11-01T12:00:00, collision: 0 } }
    "#]],
    );
}

#[test]
fn bad_data_is_told_and_not_tried_again() {
    let (mut world, job) = started();
    let words = refused("failed to read the data: rows.csv line 7: \"x\" is no number");
    world.show(&job, &failed("PodFailurePolicy"), &ended(3, "Error", &words));
    world.check(10, &expect![[r#"
        Failed { version: Version { time: 2026-11-01T12:00:00, collision: 0 }, message: "failed to read the data: rows.csv line 7: \"x\" is no number" }
        let go: wine-v20261101-120000-1
        ended: v20261101-120000, tried again: false
    "#]]);
    // Its Job may go, and whether it is there matters no more.
    world.jobs.clear();
    world.check(11, &expect![[r#"
        Failed { version: Version { time: 2026-11-01T12:00:00, collision: 0 }, message: "failed to read the data: rows.csv line 7: \"x\" is no number" }
    "#]]);
    world.object.spec.seed = 1;
    world.check(
        12,
        &expect![[r#"
        Pending { version: Version { time: 2026-11-01T12:00:00, collision: 0 } }
        due: v20261101-120000 attempt 1
    "#]],
    );
}

#[test]
fn what_broke_off_is_tried_again_and_what_was_evicted_costs_no_attempt() {
    let (mut world, job) = started();
    let evicted = json!({ "phase": "Failed", "conditions": [{
        "type": "DisruptionTarget", "status": "True", "message": "node drain",
    }] });
    world.show(&job, &active(), &evicted);
    world.check(
        5,
        &expect![[r#"
        Pending { version: Version { time: 2026-11-01T12:00:00, collision: 0 } }
        note: its Pod was evicted (node drain), and another takes its place: that is no attempt
    "#]],
    );
    world.show(
        &job,
        &failed("BackoffLimitExceeded"),
        &ended(137, "OOMKilled", ""),
    );
    let step = world.check(10, &expect![[r#"
        Pending { version: Version { time: 2026-11-01T12:00:00, collision: 0 } }
        note: attempt 1 of 3 failed: container aurora ran out of memory: raise `pod.resources.limits.memory`, or give the run less data; the next one is due at 08:00:20 UTC
        let go: wine-v20261101-120000-1
        ended: v20261101-120000, tried again: true
    "#]]);
    let wake = step.wake.unwrap();
    let seconds = (wake - time(0)).num_seconds();
    let due = world
        .check(
            seconds,
            &expect![[r#"
        Pending { version: Version { time: 2026-11-01T12:00:00, collision: 0 } }
        due: v20261101-120000 attempt 2
        let go: wine-v20261101-120000-1
    "#]],
        )
        .due
        .remove(0);
    world.start(&due, seconds);
    world.check(
        seconds + 1,
        &expect![[r#"
        Running { version: Version { time: 2026-11-01T12:00:00, collision: 0 } }
        make: wine-v20261101-120000-2
        let go: wine-v20261101-120000-1
    "#]],
    );
}

#[test]
fn a_job_of_another_spec_is_deleted() {
    let (mut world, job) = started();
    world.show(&job, &active(), &json!({ "phase": "Running" }));
    world.object.spec.seed = 1;
    world.check(
        5,
        &expect![[r#"
        Pending { version: Version { time: 2026-11-01T12:00:00, collision: 0 } }
        delete: wine-v20261101-120000-1
    "#]],
    );
}

/// Time counts from when a Job counts it: what waits for a queue or a node is not late.
#[test]
fn a_deadline_is_the_job_s() {
    let (mut world, job) = started();
    let mut queued = job.clone();
    queued.spec.as_mut().unwrap().suspend = Some(true);
    world.show(&queued, &json!({}), &json!({ "phase": "Pending" }));
    world.check(
        5_000,
        &expect![[r#"
        Pending { version: Version { time: 2026-11-01T12:00:00, collision: 0 } }
        note: waits for its queue, which has not let it start
    "#]],
    );
    world.show(&job, &failed("DeadlineExceeded"), &json!({ "phase": "Failed" }));
    world.check(6_000, &expect![[r#"
        Failed { version: Version { time: 2026-11-01T12:00:00, collision: 0 }, message: "stopped after activeDeadlineSeconds (600 s); it is not tried again until the spec changes" }
        let go: wine-v20261101-120000-1
        ended: v20261101-120000, tried again: false
    "#]]);
}

/// A Pod that is gone has taken its last words with it, and not what it published.
#[test]
fn what_is_published_is_published() {
    let (mut world, job) = started();
    let inputs = planner::identity::inputs_hash(&world.object.spec);
    let sound = ObservedVersion::Sound {
        digest: Digest::of(b"model"),
        inputs: Some(inputs),
        engine: planner::engine::Engine::Aurora,
    };
    world.existing.insert(version(), sound);
    // Its Pod has yet to end.
    world.show(&job, &active(), &json!({ "phase": "Running" }));
    world.check(
        9,
        &expect![[r#"
        Running { version: Version { time: 2026-11-01T12:00:00, collision: 0 } }
    "#]],
    );
    world.show(
        &job,
        &failed("BackoffLimitExceeded"),
        &json!({ "phase": "Failed" }),
    );
    world.check(10, &expect![[r#"
        Succeeded { version: Version { time: 2026-11-01T12:00:00, collision: 0 }, digest: sha256:9372c470eeadd5ecd9c3c74c2b3cb633f8e2f2fad799250a0f70d652b6b825e4 }
        let go: wine-v20261101-120000-1
        ended: v20261101-120000, tried again: false
    "#]]);
}

/// A name says which version and attempt: whose Job it is, the spec's hash on it does.
#[test]
fn a_job_of_the_same_name_and_another_spec_is_gone_before_the_run_starts() {
    let (mut world, old) = started();
    world.show(&old, &active(), &json!({ "phase": "Running" }));
    world.object.spec.seed = 1;
    world.check(
        5,
        &expect![[r#"
        Pending { version: Version { time: 2026-11-01T12:00:00, collision: 0 } }
        delete: wine-v20261101-120000-1
    "#]],
    );
    // Whoever was to delete it died.
    let due = world
        .check(
            6,
            &expect![[r#"
        Pending { version: Version { time: 2026-11-01T12:00:00, collision: 0 } }
        due: v20261101-120000 attempt 1
        delete: wine-v20261101-120000-1
    "#]],
        )
        .due
        .remove(0);
    let blocked = world.with_seen(|seen| start(&due, seen, &world.status, time(7)));
    assert!(matches!(blocked, Ok(Start::Blocked)), "{blocked:?}");
    // It is on its way out, and another process has recorded the run all the same.
    let mut leaving = old.clone();
    leaving.metadata.deletion_timestamp = serde_json::from_value(json!("2027-01-15T08:00:07Z")).unwrap();
    let jobs = std::mem::take(&mut world.jobs);
    world.start(&due, 7);
    world.jobs = jobs;
    world.show(&leaving, &active(), &json!({ "phase": "Running" }));
    world.check(
        8,
        &expect![[r#"
        Running { version: Version { time: 2026-11-01T12:00:00, collision: 0 } }
    "#]],
    );
    world.jobs.clear();
    let made = world
        .check(
            9,
            &expect![[r#"
        Running { version: Version { time: 2026-11-01T12:00:00, collision: 0 } }
        make: wine-v20261101-120000-1
    "#]],
        )
        .makes;
    assert_ne!(made, [old]);
}

/// Nobody waits for a Job that cannot be made until its deadline has passed: none of its time has.
#[test]
fn a_run_whose_job_is_not_there_is_not_late() {
    let (mut world, _job) = started();
    world.check(
        5_000,
        &expect![[r#"
        Running { version: Version { time: 2026-11-01T12:00:00, collision: 0 } }
        make: wine-v20261101-120000-1
    "#]],
    );
}

/// Nodes that share a volume see each other's writes late.
#[test]
fn what_was_published_a_moment_ago_may_not_be_seen_yet() {
    let (mut world, job) = started();
    let complete = json!({ "conditions": [{ "type": "Complete", "status": "True" }] });
    let ending = registry::run::Ending::Published {
        digest: Digest::of(b"model"),
        metrics: BTreeMap::new(),
    };
    let words = serde_json::to_string(&registry::run::RunResult { at: time(9), ending }).unwrap();
    world.show(&job, &complete, &ended(0, "Completed", &words));
    let step = world.check(
        10,
        &expect![[r#"
        Pending { version: Version { time: 2026-11-01T12:00:00, collision: 0 } }
        note: the registry does not show yet what it says that it published
    "#]],
    );
    assert_eq!(step.wake, Some(time(12)));
    // It is not there after all.
    let late = world.with_seen(|seen| super::step(&name(), seen, world.status.clone(), time(70)));
    assert!(late.ended.iter().any(|(_, ended)| ended.is_retried), "{late:?}");
}
