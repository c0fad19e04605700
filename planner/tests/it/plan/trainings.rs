//! Jobs and the data that they need.

use std::collections::BTreeMap;
use std::sync::Arc;

use expect_test::expect;
use planner::environment::Target;
use planner::names::Version;
use planner::observed::ObservedVersion;
use planner::training::{
    Command, CommittedFile, Concurrency, Container, DataSource, Fit, Holdout, Import, ImportSource, RunPolicy,
};

use super::{Case, Phase, inputs_hash};
use crate::support::{at, declared_deployment, digest, object, schedule, training, version};

#[test]
fn data_first_then_the_job() {
    let mut case = Case::new(0);
    let mut spec = training("m", RunPolicy::Fixed(version(1)));
    spec.rows.as_mut().unwrap().dataset.source = DataSource::Committed("data/rows.csv".to_owned());
    spec.rows.as_mut().unwrap().dataset.sha256 = Some(digest(1));
    spec.rows.as_mut().unwrap().evaluation.holdout = Holdout::File {
        source: DataSource::Committed("data/holdout.csv".to_owned()),
        sha256: Some(digest(2)),
    };
    case.commit_training(1, "t", spec.clone());
    case.commit_training(1, "u", spec);
    case.apply(&expect![[r#"
        MLTrainingJob/t: stage data/rows.csv (b40711a88c70)
        MLTrainingJob/t: stage data/holdout.csv (433ebf5bc03d)
        MLTrainingJob/t: create: train v20260102-000000 with linear_regression, m [0000000001]
        MLTrainingJob/u: create: train v20260102-000000 with linear_regression, m [0000000001]
    "#]]);
    case.check(&expect![[r#"
        no changes
    "#]]);
    case.observed.datasets = Arc::default();
    case.check(&expect![[r#"
        MLTrainingJob/t: stage data/rows.csv (b40711a88c70)
        MLTrainingJob/t: stage data/holdout.csv (433ebf5bc03d)
    "#]]);
}

#[test]
fn a_fixed_version_with_other_inputs() {
    let mut case = Case::new(0);
    let mut spec = training("m", RunPolicy::Fixed(version(1)));
    case.publish("m", 1, Some(inputs_hash(&spec)));
    case.commit_training(1, "t", spec.clone());
    case.commit_deployment(1, "m", declared_deployment("m", 1, None));
    case.converge();
    spec.seed = 1;
    case.commit_training(2, "t", spec);
    case.check(&expect![[r#"
        MLTrainingJob/t: is stopped: VersionHasOtherInputs: version v20260102-000000 of m exists, trained from other inputs
        environments/dev/train-t.yaml:1:1: VersionHasOtherInputs: MLTrainingJob/t: version v20260102-000000 of m exists, trained from other inputs
          hint: give the changed training a new version; versions never change
    "#]]);
}

#[test]
fn a_version_that_was_pushed_has_no_inputs_to_differ() {
    let mut case = Case::new(1);
    case.commit_training(1, "t", training("m", RunPolicy::Fixed(version(1))));
    case.check(&expect![[r#"
        MLTrainingJob/t: create: train v20260102-000000 with linear_regression, m [0000000001]
    "#]]);
}

#[test]
fn a_run_that_failed_for_good_is_a_finding() {
    let mut case = Case::new(0);
    case.commit_training(1, "t", training("m", RunPolicy::Fixed(version(1))));
    case.converge();
    let phase = Phase::Failed {
        version: version(1),
        message: "r2 0.1 is below 0.5".to_owned(),
    };
    case.observed.trainings.get_mut(&object("t")).unwrap().phase = Some(phase);
    case.check(&expect![[r#"
        no changes
        environments/dev/train-t.yaml:1:1: TrainingFailed: MLTrainingJob/t: v20260102-000000 was not published: r2 0.1 is below 0.5
          hint: change the job's data, algorithm, hyperparameters or minimum by a commit; nothing retries it until then
    "#]]);
    let mut spec = training("m", RunPolicy::Fixed(version(1)));
    spec.rows.as_mut().unwrap().evaluation.bound = None;
    case.commit_training(2, "t", spec);
    case.check(&expect![[r#"
        MLTrainingJob/t: change: train v20260102-000000 with linear_regression, m [0000000002]
    "#]]);
}

#[test]
fn a_run_that_failed_under_a_schedule_waits_for_its_next_slot() {
    let mut case = Case::new(0);
    case.commit_training(1, "t", training("m", daily()));
    case.converge();
    let phase = Phase::Failed {
        version: version(1),
        message: "r2 0.1 is below 0.5".to_owned(),
    };
    case.observed.trainings.get_mut(&object("t")).unwrap().phase = Some(phase);
    case.check(&expect![[r#"
        no changes
        environments/dev/train-t.yaml:1:1: TrainingFailed: MLTrainingJob/t: v20260102-000000 was not published: r2 0.1 is below 0.5
          hint: a changed spec runs at the next slot
    "#]]);
}

#[test]
fn a_version_that_is_damaged_is_a_finding_of_its_job() {
    let mut case = Case::new(0);
    case.commit_training(1, "t", training("m", RunPolicy::Fixed(version(1))));
    case.converge();
    let damaged = ObservedVersion::Damaged("checksums do not match".to_owned());
    case.model("m").versions.insert(version(1), damaged);
    let phase = Phase::Failed {
        version: version(1),
        message: "the version exists but is damaged".to_owned(),
    };
    case.observed.trainings.get_mut(&object("t")).unwrap().phase = Some(phase);
    case.check(&expect![[r#"
        no changes
        environments/dev/train-t.yaml:1:1: ArtifactChanged: MLTrainingJob/t: version v20260102-000000 of m is damaged: checksums do not match
          hint: what serves stays; restore the version's files, or remove the registry's folder m/versions/v20260102-000000: then the job trains it again
    "#]]);
}

fn daily() -> RunPolicy {
    RunPolicy::Scheduled {
        schedule: schedule("0 3 * * *", "UTC"),
        starting_deadline_seconds: None,
        concurrency: Concurrency::Forbid,
    }
}

/// The version that job `t` is compared with.
fn baseline(case: &Case) -> Option<Version> {
    case.observed.trainings[&object("t")].object.baseline.clone()
}

#[test]
fn a_job_is_compared_with_what_git_pins_as_stable() {
    let mut case = Case::new(0);
    case.commit_training(1, "t", training("m", RunPolicy::Fixed(version(2))));
    case.commit_training(1, "u", training("n", RunPolicy::Fixed(version(2))));
    case.apply(&expect![[r#"
        MLTrainingJob/t: create: train v20260103-000000 with linear_regression, m [0000000001]
        MLTrainingJob/u: create: train v20260103-000000 with linear_regression, n [0000000001]
    "#]]);
    assert_eq!(baseline(&case), None, "nothing is pinned");
    // It is pinned before it exists, and of its own model.
    case.commit_training(2, "s", training("m", RunPolicy::Fixed(version(1))));
    case.commit_deployment(2, "m", declared_deployment("m", 1, None));
    case.apply(&expect![[r#"
        MLTrainingJob/s: create: train v20260102-000000 with linear_regression, m [0000000002]
        MLTrainingJob/t: baseline none -> v20260102-000000
        waiting: MLDeployment/m: stable waits for v20260102-000000, which MLTrainingJob/s makes
    "#]]);
    assert_eq!(baseline(&case), Some(version(1)));
    // Another one is pinned, and then none.
    case.commit_deployment(3, "m", declared_deployment("m", 2, None));
    case.apply(&expect![[r#"
        MLTrainingJob/s: baseline v20260102-000000 -> v20260103-000000
        MLTrainingJob/t: baseline v20260102-000000 -> v20260103-000000
        waiting: MLDeployment/m: stable waits for v20260103-000000, which MLTrainingJob/t makes
    "#]]);
    case.desired.deployments.clear();
    case.apply(&expect![[r#"
        MLTrainingJob/s: baseline v20260103-000000 -> none
        MLTrainingJob/t: baseline v20260103-000000 -> none
    "#]]);
    assert_eq!(baseline(&case), None);
}

#[test]
fn a_version_that_is_there_is_not_compared_again() {
    let mut case = Case::new(1);
    case.commit_training(1, "t", training("m", RunPolicy::Fixed(version(2))));
    case.commit(1, 1, None);
    case.converge();
    assert_eq!(baseline(&case), Some(version(1)));
    // Sound or not, it is there: nothing trains it.
    for found in [
        ObservedVersion::Sound {
            digest: digest(2),
            inputs: None,
            engine: planner::engine::Engine::Aurora,
        },
        ObservedVersion::Damaged("checksums do not match".to_owned()),
    ] {
        case.model("m").versions.insert(version(2), found);
        case.publish("m", 3, None);
        case.commit(2, 3, None);
        case.converge();
        assert_eq!(baseline(&case), Some(version(1)));
    }
    // One that was there before its job has none.
    let mut case = Case::new(2);
    case.commit_training(1, "t", training("m", RunPolicy::Fixed(version(2))));
    case.commit(1, 1, None);
    case.converge();
    assert_eq!(baseline(&case), None);
}

#[test]
fn a_promotion_changes_what_later_runs_are_compared_with() {
    for runs in [daily(), RunPolicy::PerInputs] {
        let mut case = Case::new(2);
        case.commit_training(1, "t", training("m", runs));
        case.commit(1, 1, Some((2, 10)));
        case.converge();
        assert_eq!(baseline(&case), Some(version(1)));
        case.commit(2, 2, None);
        case.apply(&expect![[r#"
            MLTrainingJob/t: baseline v20260102-000000 -> v20260103-000000
            MLDeployment/m: stable v20260102-000000 (b40711a88c70) -> v20260103-000000 (433ebf5bc03d), canary v20260103-000000 promoted [0000000002]
            waiting: MLDeployment/m: the alias stable waits until the track serves its pin
        "#]]);
        assert_eq!(baseline(&case), Some(version(2)));
    }
}

#[test]
fn a_job_that_changes_with_its_baseline_is_shown_as_changed() {
    let mut case = Case::new(2);
    let mut spec = training("m", RunPolicy::Fixed(version(3)));
    case.commit_training(1, "t", spec.clone());
    case.commit(1, 1, None);
    case.converge();
    // The same spec at another commit, and another spec at the same one.
    case.commit_training(2, "t", spec.clone());
    case.commit(2, 2, None);
    case.check(&expect![[r#"
        MLTrainingJob/t: change: train v20260104-000000 with linear_regression, m [0000000002]
        MLDeployment/m: stable v20260102-000000 (b40711a88c70) -> v20260103-000000 (433ebf5bc03d) [0000000002]
        waiting: MLDeployment/m: the alias stable waits until the track serves its pin
    "#]]);
    spec.seed = 1;
    case.commit_training(1, "t", spec);
    case.check(&expect![[r#"
        MLTrainingJob/t: change: train v20260104-000000 with linear_regression, m [0000000001]
        MLDeployment/m: stable v20260102-000000 (b40711a88c70) -> v20260103-000000 (433ebf5bc03d) [0000000002]
        waiting: MLDeployment/m: the alias stable waits until the track serves its pin
    "#]]);
}

#[test]
fn a_slot_that_a_pin_waits_for_is_no_version_yet() {
    let mut case = Case::new(0);
    case.commit_training(1, "t", training("m", daily()));
    let mut spec = declared_deployment("m", 1, None);
    spec.stable.version = Version::at(at("2026-01-02 03:00"), |_| false);
    case.commit_deployment(1, "m", spec);
    case.converge();
    assert_eq!(
        baseline(&case),
        Some(Version::at(at("2026-01-02 03:00"), |_| false))
    );
}

#[test]
fn a_model_that_the_registry_does_not_know_has_no_version() {
    let mut case = Case::new(0);
    case.observed.models.clear();
    case.commit_training(1, "t", training("m", RunPolicy::Fixed(version(2))));
    case.commit_training(1, "s", training("m", RunPolicy::Fixed(version(1))));
    case.commit(1, 1, None);
    case.converge();
    assert_eq!(baseline(&case), Some(version(1)));
}

/// A model of the commit is staged as data is, and a plan says which one it is.
#[test]
fn a_model_that_was_made_elsewhere() {
    let mut case = Case::new(0);
    let mut spec = training("m", RunPolicy::Fixed(version(1)));
    spec.fit = Fit::Import(Box::new(Import {
        source: ImportSource::Committed("models/m.onnx".to_owned()),
        digest: digest(3),
        files: BTreeMap::new(),
        signature: None,
        told: planner::training::Told::default(),
    }));
    case.commit_training(1, "t", spec);
    case.apply(&expect![[r#"
        MLTrainingJob/t: stage models/m.onnx (88185d128d99)
        MLTrainingJob/t: create: train v20260102-000000 with import models/m.onnx (88185d128d99), m [0000000001]
    "#]]);
    case.check(&expect![[r#"
        no changes
    "#]]);
}

/// What lies elsewhere is not staged: whoever runs the job fetches it, in a cluster too.
#[test]
fn a_model_that_lies_elsewhere() {
    let mut case = Case::new(0);
    let mut spec = training("m", RunPolicy::Fixed(version(1)));
    let address = "https://models.example.org/m.onnx".parse().unwrap();
    spec.fit = Fit::Import(Box::new(Import {
        source: ImportSource::Elsewhere(address),
        digest: digest(3),
        files: BTreeMap::new(),
        signature: None,
        told: planner::training::Told::default(),
    }));
    case.commit_training(1, "t", spec);
    case.check(&expect![[r#"
        MLTrainingJob/t: create: train v20260102-000000 with import https://models.example.org/m.onnx (88185d128d99), m [0000000001]
    "#]]);
    case.desired.environment.target = Target::Kubernetes {
        namespace: "m".to_owned(),
    };
    case.check(&expect![[r#"
        MLEnvironment/dev: apply
        MLTrainingJob/t: create: train v20260102-000000 with import https://models.example.org/m.onnx (88185d128d99), m [0000000001]
    "#]]);
}

/// One process runs no images, whatever the registry holds; a cluster does.
#[test]
fn a_container_is_for_a_cluster() {
    let mut case = Case::new(0);
    let mut spec = training("m", RunPolicy::Fixed(version(1)));
    spec.fit = Fit::Container(Box::new(Container {
        image: "example.org/train:1".to_owned(),
        command: Vec::new(),
        args: Vec::new(),
    }));
    case.commit_training(1, "t", spec);
    case.check(&expect![[r#"
        no changes
        environments/dev/train-t.yaml:1:1: InvalidManifest: MLTrainingJob/t: spec.container: MLEnvironment/dev is Standalone, and one process runs no images
          hint: train by an `algorithm` or a `command`, or in an environment with `target: Kubernetes`
    "#]]);
    case.desired.environment.target = Target::Kubernetes {
        namespace: "m".to_owned(),
    };
    case.apply(&expect![[r#"
        MLEnvironment/dev: apply
        MLTrainingJob/t: create: train v20260102-000000 with container example.org/train:1, m [0000000001]
    "#]]);
    case.check(&expect![[r#"
        no changes
    "#]]);
}

#[test]
fn a_command_is_for_one_machine() {
    let mut case = Case::new(0);
    let mut spec = training("m", RunPolicy::Fixed(version(1)));
    spec.fit = Fit::Command(Box::new(Command {
        argv: vec!["python".to_owned(), "train.py".to_owned()],
        files: vec![CommittedFile {
            path: "train.py".to_owned(),
            sha256: Some(digest(7)),
        }],
    }));
    case.commit_training(1, "t", spec);
    case.desired.environment.target = Target::Kubernetes {
        namespace: "m".to_owned(),
    };
    case.check(&expect![[r#"
        MLEnvironment/dev: apply
        environments/dev/train-t.yaml:1:1: InvalidManifest: MLTrainingJob/t: spec.command: MLEnvironment/dev is in a cluster, where a program of one's own is an image's
          hint: write `container` with an image that holds it, or train in an environment with `target: Standalone`
    "#]]);
    case.desired.environment.target = Target::Standalone;
    case.apply(&expect![[r#"
        MLTrainingJob/t: stage train.py (1561ade0621c)
        MLTrainingJob/t: create: train v20260102-000000 with command python train.py, m [0000000001]
    "#]]);
}
