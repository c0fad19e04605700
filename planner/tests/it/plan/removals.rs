//! What leaves, and what must not.

use std::collections::BTreeSet;

use expect_test::expect;
use planner::desired::{AllowedRemovals, Completeness};
use planner::environment::RemovalLimits;
use planner::names::ObjectName;
use planner::training::RunPolicy;

use super::Case;
use crate::support::{declared_deployment, object, resolved, revision, training, version};

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
    assert_eq!(case.plan().findings, BTreeSet::new());
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

#[test]
fn the_inventory_counts_what_is_elsewhere() {
    // Three of fifteen are within 20 percent, of fourteen they are not.
    let mut case = ten();
    remove(&mut case, 2, &["d0", "d1", "t0"]);
    case.observed.elsewhere = 5;
    assert_eq!(case.plan().findings, BTreeSet::new());
    case.observed.elsewhere = 4;
    case.check(&expect![[r#"
        no changes
        RemovalRefused: MLEnvironment/dev: 3 of 14 objects are no longer declared (MLDeployment/d0, MLDeployment/d1, MLTrainingJob/t0), and at most 3 and 20 % may go at once; nothing is removed
          hint: restore the manifests, or commit `removal: { allow: 0000000002000000000000000000000000000000 }` to the MLEnvironment
    "#]]);
}

#[test]
fn a_message_names_ten_at_the_most() {
    for (count, is_cut) in [(10, false), (11, true)] {
        let mut case = Case::new(0);
        let names: Vec<String> = (0..count).map(|n| format!("d{n:02}")).collect();
        for name in &names {
            case.publish(name, 1, None);
            case.commit_deployment(1, name, declared_deployment(name, 1, None));
        }
        case.converge();
        remove(
            &mut case,
            2,
            &names.iter().map(String::as_str).collect::<Vec<_>>(),
        );
        let plan = case.plan().to_string();
        assert_eq!(plan.contains("d09, …)"), is_cut, "{plan}");
        assert!(!plan.contains("d10"), "{plan}");
    }
}

#[test]
fn an_allowance_is_of_one_commit_and_of_what_it_took_away() {
    // Deployments and jobs are told apart, though they have one name.
    let mut case = ten();
    for n in 0..3 {
        let name = format!("d{n}");
        case.commit_training(1, &name, training(&name, RunPolicy::Fixed(version(1))));
    }
    case.converge();
    remove(&mut case, 2, &["d0", "d1", "d2"]);
    let jobs = case.observed.trainings.keys().cloned().collect();
    allow(&mut case, 2);
    case.desired.allowed.as_mut().unwrap().trainings = jobs;
    case.check(&expect![[r#"
        MLEnvironment/dev: apply
        RemovalRefused: MLEnvironment/dev: 3 of 13 objects are no longer declared (MLTrainingJob/d0, MLTrainingJob/d1, MLTrainingJob/d2), and at most 3 and 20 % may go at once; nothing is removed
          hint: restore the manifests, or commit `removal: { allow: 0000000002000000000000000000000000000000 }` to the MLEnvironment
    "#]]);
    allow(&mut case, 2);
    case.desired.allowed.as_mut().unwrap().deployments = case.observed.deployments.keys().cloned().collect();
    case.check(&expect![[r#"
        MLEnvironment/dev: apply
        RemovalRefused: MLEnvironment/dev: 3 of 13 objects are no longer declared (MLDeployment/d0, MLDeployment/d1, MLDeployment/d2), and at most 3 and 20 % may go at once; nothing is removed
          hint: restore the manifests, or commit `removal: { allow: 0000000002000000000000000000000000000000 }` to the MLEnvironment
    "#]]);
    allow(&mut case, 2);
    assert_eq!(case.plan().findings, BTreeSet::new());
    // What was read is of another commit than the one that is named.
    case.desired.environment.removal.allow = Some(revision(1));
    assert_eq!(case.plan().findings.len(), 1);
    case.desired.environment.removal.allow = None;
    assert_eq!(case.plan().findings.len(), 1);
}

/// Manifest `k` was renamed to `m` at another pin, and the removal of `k` was cut off: `m` has the model.
fn cut_short() -> Case {
    let mut case = super::serving(2, None);
    let mut old = case.deployment().clone();
    old.object.spec.stable = resolved(2);
    case.observed.deployments.insert(object("k"), old);
    case.desired.deployments.clear();
    case
}

#[test]
fn a_rename_after_one_that_was_cut_short_goes_on_where_the_last_is() {
    let mut case = cut_short();
    // It waits for a version of its own, and keeps what serves until then.
    case.commit_training(2, "t", training("m", RunPolicy::Fixed(version(3))));
    case.commit_deployment(2, "n", declared_deployment("m", 3, None));
    case.check(&expect![[r#"
        MLTrainingJob/t: create: train v20260104-000000 with linear_regression, m [0000000002]
        MLDeployment/n: create: stable v20260102-000000 (b40711a88c70) [0000000002]
        MLDeployment/k: remove
        MLDeployment/m: remove
        waiting: MLDeployment/n: stable waits for v20260104-000000, which MLTrainingJob/t makes
    "#]]);
}

#[test]
fn of_a_rename_that_was_cut_short_before_the_last_object_stays() {
    // What takes both over is refused.
    let mut case = cut_short();
    case.commit_deployment(2, "n", declared_deployment("m", 9, None));
    case.check(&expect![[r#"
        MLDeployment/k: remove
        environments/dev/n.yaml:1:1: VersionMissing: MLDeployment/n: stable: version v20260110-000000 of m does not exist and no training job makes it
          hint: nearest existing versions: v20260103-000000, v20260102-000000
    "#]]);
    // One alone stays where it is.
    case.observed.deployments.remove(&object("k"));
    case.check(&expect![[r#"
        no changes
        environments/dev/n.yaml:1:1: VersionMissing: MLDeployment/n: stable: version v20260110-000000 of m does not exist and no training job makes it
          hint: nearest existing versions: v20260103-000000, v20260102-000000
    "#]]);
}
