//! Commits that stand for those that changed a manifest, while a long history is read.

use expect_test::expect;
use planner::desired::Dating;
use planner::training::RunPolicy;

use super::Case;
use crate::support::{declared_deployment, object, revision, training, version};

/// What is served at once says which commit changed it once that is known; what was said rightly stays.
#[test]
fn a_commit_that_stood_in_is_corrected_on_what_serves() {
    let mut case = Case::new(3);
    case.commit_deployment(3, "m", declared_deployment("m", 1, None));
    let declared = case.desired.deployments.get_mut(&object("m")).unwrap();
    declared.dating = Dating::Provisional;
    case.converge();
    let serving = |case: &Case| {
        case.observed.deployments[&object("m")]
            .object
            .stable_revision
            .clone()
    };
    assert_eq!(serving(&case), revision(3));

    let declared = case.desired.deployments.get_mut(&object("m")).unwrap();
    (declared.revision, declared.dating) = (revision(1), Dating::Corrected(revision(3)));
    case.converge();
    assert_eq!(serving(&case), revision(1));
    case.check(&expect![[r#"
        no changes
    "#]]);

    // Another commit of the same pin, and one that corrects what this one does not name.
    case.commit_deployment(4, "m", declared_deployment("m", 1, Some((2, 10))));
    case.converge();
    assert_eq!(serving(&case), revision(1));
    let declared = case.desired.deployments.get_mut(&object("m")).unwrap();
    (declared.revision, declared.dating) = (revision(2), Dating::Corrected(revision(4)));
    case.converge();
    assert_eq!(serving(&case), revision(1));
}

/// A run that is named after the commit of its job begins once that is known; its pin waits, and other jobs do not.
#[test]
fn a_run_that_is_named_after_its_commit_waits_for_it() {
    let mut case = Case::new(0);
    case.commit_training(3, "t", training("m", RunPolicy::PerInputs));
    case.commit_training(3, "u", training("n", RunPolicy::Fixed(version(1))));
    case.commit_deployment(3, "m", declared_deployment("m", 1, None));
    for job in case.desired.trainings.values_mut() {
        job.dating = Dating::Provisional;
    }
    case.apply(&expect![[r#"
        MLTrainingJob/u: create: train v20260102-000000 with linear_regression, n [0000000003]
        waiting: MLDeployment/m: stable waits for v20260102-000000, which MLTrainingJob/t makes
    "#]]);

    let job = case.desired.trainings.get_mut(&object("t")).unwrap();
    (job.revision, job.committed_at, job.dating) =
        (revision(1), version(1).time(), Dating::Corrected(revision(3)));
    case.apply(&expect![[r#"
        MLTrainingJob/t: create: train when the inputs change with linear_regression, m [0000000001]
        waiting: MLDeployment/m: stable waits for v20260102-000000, which MLTrainingJob/t makes
    "#]]);

    // A job that is there goes on, whatever is read of the history since.
    let job = case.desired.trainings.get_mut(&object("t")).unwrap();
    job.dating = Dating::Provisional;
    case.check(&expect![[r#"
        no changes
        waiting: MLDeployment/m: stable waits for v20260102-000000, which MLTrainingJob/t makes
    "#]]);
}
