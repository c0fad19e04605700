//! What leaves, and what must not.

use std::collections::BTreeSet;

use expect_test::expect;
use planner::desired::{AllowedRemovals, Completeness};
use planner::environment::RemovalLimits;
use planner::names::ObjectName;
use planner::training::RunPolicy;

use super::Case;
use crate::support::{declared_deployment, object, revision, training, version};

/// Eight deployments `d0` to `d7` with a model each, and two jobs.
fn ten() -> Case {
    let mut case = Case::new(0);
    for n in 0..8 {
        let name = format!("d{n}");
        case.publish(&name, 1, None);
        case.commit_deployment(1, &name, declared_deployment(&name, 1, None));
    }
    for name in ["t0", "t1"] {
        case.commit_training(1, name, training(name, RunPolicy::Fixed(version(1))));
    }
    case.converge();
    case
}

fn remove(case: &mut Case, n: u64, names: &[&str]) {
    case.desired.revision = revision(n);
    for name in names {
        case.desired.deployments.remove(&object(name));
        case.desired.trainings.remove(&object(name));
    }
}

fn names<T>(declared: &std::collections::BTreeMap<ObjectName, T>) -> BTreeSet<ObjectName> {
    declared.keys().cloned().collect()
}

/// What the commit that `allow` names still declares is what is declared now.
fn allow(case: &mut Case, n: u64) {
    case.desired.environment.removal.allow = Some(revision(n));
    case.desired.allowed = Some(AllowedRemovals {
        revision: revision(n),
        deployments: names(&case.desired.deployments),
        trainings: names(&case.desired.trainings),
    });
}

#[test]
fn within_the_limits() {
    let mut case = ten();
    remove(&mut case, 2, &["d3", "t0"]);
    case.apply(&expect![[r#"
        alias d3@stable: v20260102-000000 -> none
        MLTrainingJob/t0: remove
        MLDeployment/d3: remove
    "#]]);
    case.check(&expect![[r#"
        no changes
    "#]]);
}

#[test]
fn one_is_always_within() {
    let mut case = super::serving(1, None);
    remove(&mut case, 2, &["m"]);
    case.check(&expect![[r#"
        alias m@stable: v20260102-000000 -> none
        MLDeployment/m: remove
    "#]]);
}

#[test]
fn over_the_limits_nothing_goes() {
    let mut case = ten();
    remove(&mut case, 2, &["d0", "d1", "d2", "t0"]);
    case.check(&expect![[r#"
        no changes
        RemovalRefused: MLEnvironment/dev: 4 of 10 objects are no longer declared (MLDeployment/d0, MLDeployment/d1, MLDeployment/d2, MLTrainingJob/t0), and at most 3 and 20 % may go at once; nothing is removed
          hint: restore the manifests, or commit `removal: { allow: 0000000002000000000000000000000000000000 }` to the MLEnvironment
    "#]]);
    // Three are within the count and not within 20 percent.
    let mut case = ten();
    remove(&mut case, 2, &["d0", "d1", "d2"]);
    case.check(&expect![[r#"
        no changes
        RemovalRefused: MLEnvironment/dev: 3 of 10 objects are no longer declared (MLDeployment/d0, MLDeployment/d1, MLDeployment/d2), and at most 3 and 20 % may go at once; nothing is removed
          hint: restore the manifests, or commit `removal: { allow: 0000000002000000000000000000000000000000 }` to the MLEnvironment
    "#]]);
}

#[test]
fn a_commit_allows_an_earlier_one() {
    let mut case = ten();
    remove(&mut case, 2, &["d0", "d1", "d2", "d3", "t0"]);
    allow(&mut case, 2);
    case.desired.revision = revision(3);
    case.apply(&expect![[r#"
        MLEnvironment/dev: apply
        alias d0@stable: v20260102-000000 -> none
        alias d1@stable: v20260102-000000 -> none
        alias d2@stable: v20260102-000000 -> none
        alias d3@stable: v20260102-000000 -> none
        MLTrainingJob/t0: remove
        MLDeployment/d0: remove
        MLDeployment/d1: remove
        MLDeployment/d2: remove
        MLDeployment/d3: remove
    "#]]);
    // What stays allowed does not allow what a later commit takes away.
    remove(&mut case, 4, &["d4", "d5", "d6", "d7"]);
    case.check(&expect![[r#"
        no changes
        RemovalRefused: MLEnvironment/dev: 4 of 5 objects are no longer declared (MLDeployment/d4, MLDeployment/d5, MLDeployment/d6, MLDeployment/d7), and at most 3 and 20 % may go at once; nothing is removed
          hint: restore the manifests, or commit `removal: { allow: 0000000004000000000000000000000000000000 }` to the MLEnvironment
    "#]]);
}

#[test]
fn an_allowance_that_could_not_be_read_allows_nothing() {
    let mut case = ten();
    remove(&mut case, 2, &["d0", "d1", "d2", "d3"]);
    allow(&mut case, 2);
    case.desired.allowed = None;
    assert!(case.plan().to_string().contains("RemovalRefused"));
}

#[test]
fn limits_that_come_with_the_commit_do_not_judge_it() {
    let mut case = ten();
    case.desired.environment.removal = RemovalLimits {
        max_count: 100,
        max_percent: 100,
        allow: None,
    };
    remove(&mut case, 2, &["d0", "d1", "d2", "d3"]);
    case.check(&expect![[r#"
        no changes
        RemovalRefused: MLEnvironment/dev: 4 of 10 objects are no longer declared (MLDeployment/d0, MLDeployment/d1, MLDeployment/d2, MLDeployment/d3), and at most 3 and 20 % may go at once; nothing is removed
          hint: restore the manifests, or commit `removal: { allow: 0000000002000000000000000000000000000000 }` to the MLEnvironment
    "#]]);
    case.converge();
    case.check(&expect![[r#"
        no changes
        RemovalRefused: MLEnvironment/dev: 4 of 10 objects are no longer declared (MLDeployment/d0, MLDeployment/d1, MLDeployment/d2, MLDeployment/d3), and at most 3 and 20 % may go at once; nothing is removed
          hint: restore the manifests, or commit `removal: { allow: 0000000002000000000000000000000000000000 }` to the MLEnvironment
    "#]]);
    // Limits of a commit before it do.
    let mut case = ten();
    case.desired.environment.removal = RemovalLimits {
        max_count: 100,
        max_percent: 100,
        allow: None,
    };
    case.desired.revision = revision(2);
    case.converge();
    remove(&mut case, 3, &["d0", "d1", "d2", "d3"]);
    assert_eq!(case.plan().findings, []);
}

#[test]
fn missing_information_removes_nothing() {
    let mut case = ten();
    remove(&mut case, 2, &["d0"]);
    case.desired.completeness = Completeness::Partial;
    case.check(&expect![[r#"
        no changes
    "#]]);
    case.desired.completeness = Completeness::Complete;
    // The last applied limits are lost: they are written first, and judge the pass after.
    case.observed.environment = None;
    case.apply(&expect![[r#"
        MLEnvironment/dev: apply
    "#]]);
    case.check(&expect![[r#"
        alias d0@stable: v20260102-000000 -> none
        MLDeployment/d0: remove
    "#]]);
}
