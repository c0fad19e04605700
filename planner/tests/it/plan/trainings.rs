//! Jobs and the data that they need.

use expect_test::expect;
use planner::training::{DataSource, Holdout, RunPolicy};

use super::{Case, Phase, inputs_hash};
use crate::support::{declared_deployment, digest, object, training, version};

#[test]
fn data_first_then_the_job() {
    let mut case = Case::new(0);
    let mut spec = training("m", RunPolicy::Fixed(version(1)));
    spec.dataset.source = DataSource::Committed("data/rows.csv".to_owned());
    spec.dataset.sha256 = Some(digest(1));
    spec.evaluation.holdout = Holdout::File {
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
    case.observed.datasets.clear();
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
        no changes
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
          hint: nothing retries it until the job's spec changes
    "#]]);
    let mut spec = training("m", RunPolicy::Fixed(version(1)));
    spec.evaluation.bound = None;
    case.commit_training(2, "t", spec);
    case.check(&expect![[r#"
        MLTrainingJob/t: change: train v20260102-000000 with linear_regression, m [0000000002]
    "#]]);
}
