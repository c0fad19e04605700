//! What leaves, and what must not.

use std::collections::BTreeSet;

use expect_test::expect;
use planner::desired::{AllowedRemovals, Completeness, Desired};
use planner::environment::RemovalLimits;
use planner::names::ModelName;
use planner::training::RunPolicy;

use super::Case;
use crate::support::{declared_deployment, model, object, resolved, revision, training, version};

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

fn models(desired: &Desired) -> BTreeSet<ModelName> {
    let declared = desired.deployments.values();
    declared.map(|declared| declared.spec.model.clone()).collect()
}

/// What the commit that `allow` names still declares is what is declared now.
fn allow(case: &mut Case, n: u64) {
    case.desired.environment.removal.allow = Some(revision(n));
    case.desired.allowed = Some(AllowedRemovals {
        revision: revision(n),
        models: models(&case.desired),
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
    // Four are within 20 percent of a hundred and not within the count; no job goes either.
    let mut case = ten();
    case.observed.elsewhere = 92;
    remove(&mut case, 2, &["d0", "d1", "d2", "d3", "t0"]);
    case.check(&expect![[r#"
        MLDeployment/d0: is stopped: RemovalRefused: no manifest declares it, and more would go at once than may
        MLDeployment/d1: is stopped: RemovalRefused: no manifest declares it, and more would go at once than may
        MLDeployment/d2: is stopped: RemovalRefused: no manifest declares it, and more would go at once than may
        MLDeployment/d3: is stopped: RemovalRefused: no manifest declares it, and more would go at once than may
        MLTrainingJob/t0: is stopped: RemovalRefused: no manifest declares it, and more would go at once than may
        RemovalRefused: MLEnvironment/dev: 4 of 100 models are no longer declared (d0, d1, d2, d3), and one commit may take away no more than 3 of them and 20 %; nothing is removed
          hint: restore the manifests, or let them go by a commit with `removal: { allow: "0000000002000000000000000000000000000000" }` in the MLEnvironment's spec
    "#]]);
    // Two are within the count and not within 20 percent.
    let mut case = ten();
    remove(&mut case, 2, &["d0", "d1"]);
    case.check(&expect![[r#"
        MLDeployment/d0: is stopped: RemovalRefused: no manifest declares it, and more would go at once than may
        MLDeployment/d1: is stopped: RemovalRefused: no manifest declares it, and more would go at once than may
        RemovalRefused: MLEnvironment/dev: 2 of 8 models are no longer declared (d0, d1), and one commit may take away no more than 3 of them and 20 %; nothing is removed
          hint: restore the manifests, or let them go by a commit with `removal: { allow: "0000000002000000000000000000000000000000" }` in the MLEnvironment's spec
    "#]]);
}

#[test]
fn jobs_are_no_models() {
    // However many jobs a model has, and even where all jobs go: nothing stops to be served.
    let mut case = ten();
    for n in 2..9 {
        let name = format!("t{n}");
        case.commit_training(1, &name, training("d0", RunPolicy::Fixed(version(n))));
    }
    case.converge_objects();
    let jobs: Vec<String> = case.desired.trainings.keys().map(ToString::to_string).collect();
    let jobs: Vec<&str> = jobs.iter().map(String::as_str).collect();
    let mut one = jobs.clone();
    one.push("d0");
    remove(&mut case, 2, &one);
    let plan = case.plan();
    assert_eq!((plan.findings.len(), plan.actions.len()), (0, 11), "{plan}");
}

#[test]
fn a_model_that_an_object_turns_away_from_counts_as_removed() {
    // `sed -i s/modelName: d/modelName: e/`: nothing but the models' names changes.
    let mut case = ten();
    for n in 0..3 {
        let (name, model) = (format!("d{n}"), format!("e{n}"));
        case.publish(&model, 1, None);
        case.commit_deployment(2, &name, declared_deployment(&model, 1, None));
    }
    case.check(&expect![[r#"
        MLDeployment/d0: waits
        MLDeployment/d1: waits
        MLDeployment/d2: waits
        waiting: MLDeployment/d0: goes on with model d0, which is no longer declared, until that may go
        waiting: MLDeployment/d1: goes on with model d1, which is no longer declared, until that may go
        waiting: MLDeployment/d2: goes on with model d2, which is no longer declared, until that may go
        RemovalRefused: MLEnvironment/dev: 3 of 8 models are no longer declared (d0, d1, d2), and one commit may take away no more than 3 of them and 20 %; nothing is removed
          hint: restore the manifests, or let them go by a commit with `removal: { allow: "0000000002000000000000000000000000000000" }` in the MLEnvironment's spec
    "#]]);
    case.converge_objects();
    case.check(&expect![[r#"
        no changes
        waiting: MLDeployment/d0: goes on with model d0, which is no longer declared, until that may go
        waiting: MLDeployment/d1: goes on with model d1, which is no longer declared, until that may go
        waiting: MLDeployment/d2: goes on with model d2, which is no longer declared, until that may go
        RemovalRefused: MLEnvironment/dev: 3 of 8 models are no longer declared (d0, d1, d2), and one commit may take away no more than 3 of them and 20 %; nothing is removed
          hint: restore the manifests, or let them go by a commit with `removal: { allow: "0000000002000000000000000000000000000000" }` in the MLEnvironment's spec
    "#]]);
    // One at a time is within the limits.
    for n in 0..2 {
        let name = format!("d{n}");
        case.commit_deployment(3, &name, declared_deployment(&name, 1, None));
    }
    case.check(&expect![[r#"
        alias d2@stable: v20260102-000000 -> none
        MLDeployment/d0: stable v20260102-000000 (b40711a88c70) [0000000003]
        MLDeployment/d1: stable v20260102-000000 (b40711a88c70) [0000000003]
        MLDeployment/d2: model d2 -> e2, stable v20260102-000000 (b40711a88c70) [0000000002]
    "#]]);
}

#[test]
fn many_do_not_go_one_by_one() {
    // The new models' versions are made one after the other: too many stay too many.
    let mut case = ten();
    for n in 0..3 {
        let (name, model) = (format!("d{n}"), format!("e{n}"));
        case.commit_training(
            2,
            &format!("e{n}"),
            training(&model, RunPolicy::Fixed(version(1))),
        );
        case.commit_deployment(2, &name, declared_deployment(&model, 1, None));
    }
    case.converge_objects();
    let refused = case.plan().findings;
    assert_eq!(refused.len(), 1);
    for n in 0..3 {
        case.publish(&format!("e{n}"), 1, None);
        case.converge_objects();
        assert_eq!(case.plan().findings, refused);
    }
    let models = case.observed.deployments.values();
    let models: Vec<&str> = models.map(|found| found.object.spec.model.as_str()).collect();
    assert_eq!(models, ["d0", "d1", "d2", "d3", "d4", "d5", "d6", "d7"]);
}

#[test]
fn what_may_not_go_keeps_its_answers_where_its_object_is_needed() {
    // d0 takes d1 over, and d1 and d2 go: too many.
    let mut case = ten();
    case.commit_deployment(2, "d0", declared_deployment("d1", 1, None));
    remove(&mut case, 2, &["d1", "d2"]);
    case.apply(&expect![[r#"
        MLDeployment/stand-in-d0: create: stable v20260102-000000 (b40711a88c70) [0000000001]
        MLDeployment/d0: model d0 -> d1, stable v20260102-000000 (b40711a88c70) [0000000002]
        MLDeployment/d1: remove
        MLDeployment/d2: is stopped: RemovalRefused: no manifest declares it, and more would go at once than may
        RemovalRefused: MLEnvironment/dev: 2 of 8 models are no longer declared (d0, d2), and one commit may take away no more than 3 of them and 20 %; nothing is removed
          hint: restore the manifests, or let them go by a commit with `removal: { allow: "0000000002000000000000000000000000000000" }` in the MLEnvironment's spec
    "#]]);
    case.check(&expect![[r#"
        MLDeployment/stand-in-d0: is stopped: RemovalRefused: no manifest declares it, and more would go at once than may
        RemovalRefused: MLEnvironment/dev: 2 of 8 models are no longer declared (d0, d2), and one commit may take away no more than 3 of them and 20 %; nothing is removed
          hint: restore the manifests, or let them go by a commit with `removal: { allow: "0000000002000000000000000000000000000000" }` in the MLEnvironment's spec
    "#]]);
    // Restored under its name, it goes on where the stand-in leaves off.
    case.commit_deployment(3, "d1", declared_deployment("d0", 1, None));
    case.apply(&expect![[r#"
        alias d2@stable: v20260102-000000 -> none
        MLDeployment/d1: create: stable v20260102-000000 (b40711a88c70) [0000000003]
        MLDeployment/d2: remove
        MLDeployment/stand-in-d0: remove
    "#]]);
    case.serve();
    case.check(&expect![[r#"
        no changes
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
        MLDeployment/d4: is stopped: RemovalRefused: no manifest declares it, and more would go at once than may
        MLDeployment/d5: is stopped: RemovalRefused: no manifest declares it, and more would go at once than may
        MLDeployment/d6: is stopped: RemovalRefused: no manifest declares it, and more would go at once than may
        MLDeployment/d7: is stopped: RemovalRefused: no manifest declares it, and more would go at once than may
        RemovalRefused: MLEnvironment/dev: 4 of 4 models are no longer declared (d4, d5, d6, d7), and one commit may take away no more than 3 of them and 20 %; nothing is removed
          hint: restore the manifests, or let them go by a commit with `removal: { allow: "0000000004000000000000000000000000000000" }` in the MLEnvironment's spec
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
        MLDeployment/d0: is stopped: RemovalRefused: no manifest declares it, and more would go at once than may
        MLDeployment/d1: is stopped: RemovalRefused: no manifest declares it, and more would go at once than may
        MLDeployment/d2: is stopped: RemovalRefused: no manifest declares it, and more would go at once than may
        MLDeployment/d3: is stopped: RemovalRefused: no manifest declares it, and more would go at once than may
        RemovalRefused: MLEnvironment/dev: 4 of 8 models are no longer declared (d0, d1, d2, d3), and one commit may take away no more than 3 of them and 20 %; nothing is removed
          hint: restore the manifests, or let them go by a commit with `removal: { allow: "0000000002000000000000000000000000000000" }` in the MLEnvironment's spec
    "#]]);
    case.converge();
    case.check(&expect![[r#"
        no changes
        RemovalRefused: MLEnvironment/dev: 4 of 8 models are no longer declared (d0, d1, d2, d3), and one commit may take away no more than 3 of them and 20 %; nothing is removed
          hint: restore the manifests, or let them go by a commit with `removal: { allow: "0000000002000000000000000000000000000000" }` in the MLEnvironment's spec
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
        MLDeployment/d0: is stopped: Unreadable: no manifest that was understood declares it, and not all were
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

/// An object whose manifest is refused is not what Git says, whatever it serves.
#[test]
fn what_no_understood_manifest_declares_says_so_once_and_until_it_is_declared() {
    let mut case = ten();
    let declared = case.desired.clone();
    remove(&mut case, 2, &["d0", "t0"]);
    case.desired.completeness = Completeness::Partial;
    case.apply(&expect![[r#"
        MLDeployment/d0: is stopped: Unreadable: no manifest that was understood declares it, and not all were
        MLTrainingJob/t0: is stopped: Unreadable: no manifest that was understood declares it, and not all were
    "#]]);
    case.check(&expect![[r#"
        no changes
    "#]]);
    case.desired = declared;
    case.apply(&expect![[r#"
        MLTrainingJob/t0: is no longer stopped
        MLDeployment/d0: is no longer stopped
    "#]]);
    case.check(&expect![[r#"
        no changes
    "#]]);
}

#[test]
fn the_inventory_counts_what_is_elsewhere() {
    // Two of ten are within 20 percent, of nine they are not.
    let mut case = ten();
    remove(&mut case, 2, &["d0", "d1", "t0"]);
    case.observed.elsewhere = 2;
    assert_eq!(case.plan().findings, BTreeSet::new());
    case.observed.elsewhere = 1;
    case.check(&expect![[r#"
        MLDeployment/d0: is stopped: RemovalRefused: no manifest declares it, and more would go at once than may
        MLDeployment/d1: is stopped: RemovalRefused: no manifest declares it, and more would go at once than may
        MLTrainingJob/t0: is stopped: RemovalRefused: no manifest declares it, and more would go at once than may
        RemovalRefused: MLEnvironment/dev: 2 of 9 models are no longer declared (d0, d1), and one commit may take away no more than 3 of them and 20 %; nothing is removed
          hint: restore the manifests, or let them go by a commit with `removal: { allow: "0000000002000000000000000000000000000000" }` in the MLEnvironment's spec
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
        let findings = format!("{:?}", case.plan().findings);
        assert_eq!(findings.contains("d09, …)"), is_cut, "{findings}");
        assert!(!findings.contains("d10"), "{findings}");
    }
}

#[test]
fn an_allowance_is_of_one_commit_and_of_what_it_took_away() {
    let mut case = ten();
    remove(&mut case, 2, &["d0", "d1", "d2"]);
    allow(&mut case, 2);
    assert_eq!(case.plan().findings, BTreeSet::new());
    // What it still declares is not allowed to go.
    case.desired.allowed.as_mut().unwrap().models.insert(model("d0"));
    assert_eq!(case.plan().findings, BTreeSet::new());
    case.desired.allowed.as_mut().unwrap().models.insert(model("d1"));
    case.check(&expect![[r#"
        MLEnvironment/dev: apply
        MLDeployment/d0: is stopped: RemovalRefused: no manifest declares it, and more would go at once than may
        MLDeployment/d1: is stopped: RemovalRefused: no manifest declares it, and more would go at once than may
        MLDeployment/d2: is stopped: RemovalRefused: no manifest declares it, and more would go at once than may
        RemovalRefused: MLEnvironment/dev: 2 of 8 models are no longer declared (d0, d1), and one commit may take away no more than 3 of them and 20 %; nothing is removed
          hint: restore the manifests, or let them go by a commit with `removal: { allow: "0000000002000000000000000000000000000000" }` in the MLEnvironment's spec
    "#]]);
    // What was read is of another commit than the one that is named.
    allow(&mut case, 2);
    case.desired.environment.removal.allow = Some(revision(1));
    assert_eq!(case.plan().findings.len(), 1);
    case.desired.environment.removal.allow = None;
    assert_eq!(case.plan().findings.len(), 1);
}

#[test]
fn a_commit_is_judged_before_it_is_followed_as_it_is_after() {
    for (gone, expected) in [
        (&["d0"][..], expect![[r#""#]]),
        (
            &["d0", "d1", "t0"],
            expect![[r#"
                RemovalRefused: MLEnvironment/dev: 2 of 8 models are no longer declared (d0, d1), and one commit may take away no more than 3 of them and 20 %; nothing is removed
                  hint: restore the manifests, or let them go by a commit with `removal: { allow: "0000000002000000000000000000000000000000" }` in the MLEnvironment's spec"#]],
        ),
    ] {
        let mut case = ten();
        let base = case.desired.clone();
        remove(&mut case, 2, gone);
        let refused = planner::plan::refused(&base, &case.desired);
        assert_eq!(refused, case.plan().findings.first().cloned());
        expected.assert_eq(&refused.map_or_else(String::new, |finding| finding.to_string()));
    }
    let mut case = ten();
    let base = case.desired.clone();
    remove(&mut case, 2, &["d0", "d1"]);
    allow(&mut case, 2);
    assert_eq!(planner::plan::refused(&base, &case.desired), None);
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
fn a_rename_that_is_refused_keeps_the_pins() {
    // The name follows; the pins are those of the last object.
    let mut case = cut_short();
    case.commit_deployment(2, "n", declared_deployment("m", 9, None));
    case.check(&expect![[r#"
        MLDeployment/n: create: stable v20260102-000000 (b40711a88c70) [0000000001]
        MLDeployment/k: remove
        MLDeployment/m: remove
        environments/dev/n.yaml:1:1: VersionMissing: MLDeployment/n: stable: version v20260110-000000 of m does not exist and no training job makes it
          hint: pin a version that exists, nearest v20260103-000000, v20260102-000000, or add an MLTrainingJob with `version: v20260110-000000`
    "#]]);
    case.converge_objects();
    case.check(&expect![[r#"
        no changes
        environments/dev/n.yaml:1:1: VersionMissing: MLDeployment/n: stable: version v20260110-000000 of m does not exist and no training job makes it
          hint: pin a version that exists, nearest v20260103-000000, v20260102-000000, or add an MLTrainingJob with `version: v20260110-000000`
    "#]]);
}
