//! An abort outlives the status that told of it.

use std::sync::Arc;

use expect_test::expect;
use planner::rollout::State;

use super::{Case, serving};
use crate::support::{declared_deployment, digest, object};

/// The canary v2 was aborted, and nothing but the status says so yet.
fn aborted() -> Case {
    let mut case = serving(3, Some((2, 10)));
    case.deployment().status.as_mut().unwrap().state = State::Aborted {
        digest: digest(2),
        reason: "ann: slow".to_owned(),
    };
    case
}

#[test]
fn an_abort_is_put_on_the_object_and_recorded() {
    let mut case = aborted();
    case.apply(&expect![[r#"
        m: record the abort of canary v20260103-000000 (433ebf5bc03d): ann: slow
        MLDeployment/m: stable v20260102-000000 (b40711a88c70), canary v20260103-000000 (433ebf5bc03d) at 10%, abort 433ebf5bc03d [0000000001]
    "#]]);
    case.check(&expect![[r#"
        no changes
    "#]]);
}

#[test]
fn an_abort_stays_while_its_canary_does() {
    let mut case = aborted();
    case.converge();
    case.commit(2, 1, Some((2, 50)));
    case.apply(&expect![[r#"
        MLDeployment/m: stable v20260102-000000 (b40711a88c70), canary v20260103-000000 (433ebf5bc03d) at 10% -> 50% [0000000002]
    "#]]);
    case.commit(3, 1, Some((3, 50)));
    case.apply(&expect![[r#"
        MLDeployment/m: stable v20260102-000000 (b40711a88c70), canary v20260103-000000 (433ebf5bc03d) -> v20260104-000000 (88185d128d99) at 50%, abort lifted [0000000003]
        waiting: MLDeployment/m: the alias canary waits until the track serves its pin
    "#]]);
    assert_eq!(case.deployment().object.abort, None);
}

#[test]
fn an_abort_of_a_canary_that_leaves_in_the_same_pass_is_recorded() {
    let mut case = aborted();
    case.commit(2, 1, None);
    case.check(&expect![[r#"
        m: record the abort of canary v20260103-000000 (433ebf5bc03d): ann: slow
        MLDeployment/m: stable v20260102-000000 (b40711a88c70), canary v20260103-000000 (433ebf5bc03d) -> none [0000000002]
    "#]]);
}

#[test]
fn an_abort_cut_short_is_completed() {
    let mut case = aborted();
    let actions = case.plan().actions;
    case.act(actions.into_iter().next().unwrap());
    case.deployment().status = None;
    case.check(&expect![[r#"
        MLDeployment/m: stable v20260102-000000 (b40711a88c70), canary v20260103-000000 (433ebf5bc03d) at 10%, abort 433ebf5bc03d [0000000001]
    "#]]);
}

#[test]
fn an_abort_comes_back_from_the_history() {
    let mut case = aborted();
    case.converge();
    case.observed.deployments.clear();
    case.check(&expect![[r#"
        MLDeployment/m: create: stable v20260102-000000 (b40711a88c70), canary v20260103-000000 (433ebf5bc03d) at 10%, abort 433ebf5bc03d [0000000001]
    "#]]);
}

#[test]
fn an_abort_is_recorded_again_where_the_history_was_lost() {
    let mut case = aborted();
    case.converge();
    case.observed
        .models
        .entry("m".parse().unwrap())
        .and_modify(|model| Arc::make_mut(model).aborted.clear());
    case.check(&expect![[r#"
        m: record the abort of canary v20260103-000000 (433ebf5bc03d): kept on the object
    "#]]);
}

#[test]
fn a_canary_that_left_and_came_back_is_exposed() {
    let mut case = aborted();
    case.converge();
    case.commit(2, 1, None);
    case.converge();
    case.commit(3, 1, Some((2, 10)));
    case.converge();
    assert_eq!(case.observed.deployments[&object("m")].object.abort, None);
}

#[test]
fn a_finding_does_not_keep_an_abort_from_being_recorded() {
    let mut case = aborted();
    case.commit(2, 9, Some((2, 10)));
    case.check(&expect![[r#"
        m: record the abort of canary v20260103-000000 (433ebf5bc03d): ann: slow
        MLDeployment/m: stable v20260102-000000 (b40711a88c70), canary v20260103-000000 (433ebf5bc03d) at 10%, abort 433ebf5bc03d [0000000001]
        environments/dev/m.yaml:1:1: VersionMissing: MLDeployment/m: stable: version v20260110-000000 of m does not exist and no training job makes it
          hint: pin a version that exists, nearest v20260104-000000, v20260103-000000, v20260102-000000, or add an MLTrainingJob with `version: v20260110-000000`
    "#]]);
}

/// A status that is there and says nothing of an abort knows better than the history.
#[test]
fn an_abort_in_the_history_counts_only_where_the_memory_is_lost() {
    let recorded = || {
        let mut case = serving(3, Some((2, 10)));
        case.model("m").aborted.insert(digest(2));
        case
    };
    recorded().check(&expect![[r#"
        no changes
    "#]]);
    // The status is lost, and it was the canary.
    let mut case = recorded();
    case.deployment().status = None;
    case.check(&expect![[r#"
        MLDeployment/m: stable v20260102-000000 (b40711a88c70), canary v20260103-000000 (433ebf5bc03d) at 10%, abort 433ebf5bc03d [0000000001]
    "#]]);
    // The status is lost, and it was not: a commit brings it.
    let mut case = serving(3, Some((3, 10)));
    case.model("m").aborted.insert(digest(2));
    case.deployment().status = None;
    case.commit(2, 1, Some((2, 10)));
    case.check(&expect![[r#"
        MLDeployment/m: stable v20260102-000000 (b40711a88c70), canary v20260104-000000 (88185d128d99) -> v20260103-000000 (433ebf5bc03d) at 10% [0000000002]
        waiting: MLDeployment/m: the alias canary waits until the track serves its pin
    "#]]);
    // The object had no canary at all.
    let mut case = serving(3, None);
    case.model("m").aborted.insert(digest(2));
    case.deployment().status = None;
    case.commit(2, 1, Some((2, 10)));
    case.check(&expect![[r#"
        MLDeployment/m: stable v20260102-000000 (b40711a88c70), canary none -> v20260103-000000 (433ebf5bc03d) at 10% [0000000002]
        waiting: MLDeployment/m: the alias canary waits until the track serves its pin
    "#]]);
}

#[test]
fn an_abort_of_a_canary_that_was_replaced_is_not_recorded() {
    // The status is of before the object changed.
    let mut case = serving(3, Some((3, 10)));
    case.deployment().status.as_mut().unwrap().state = State::Aborted {
        digest: digest(2),
        reason: "ann: slow".to_owned(),
    };
    case.check(&expect![[r#"
        no changes
    "#]]);
    // What the object keeps is of its canary: the status's older one does not hide it.
    case.deployment().object.abort = Some(digest(3));
    case.check(&expect![[r#"
        m: record the abort of canary v20260104-000000 (88185d128d99): kept on the object
    "#]]);
}

#[test]
fn a_rename_takes_the_abort_along_before_it_is_recorded() {
    let mut case = aborted();
    case.desired.deployments.clear();
    case.commit_deployment(5, "renamed", declared_deployment("m", 1, Some((2, 10))));
    case.check(&expect![[r#"
        m: record the abort of canary v20260103-000000 (433ebf5bc03d): ann: slow
        MLDeployment/renamed: create: stable v20260102-000000 (b40711a88c70), canary v20260103-000000 (433ebf5bc03d) at 10%, abort 433ebf5bc03d [0000000005]
        MLDeployment/m: remove
    "#]]);
}

#[test]
fn a_turn_that_is_refused_keeps_the_abort() {
    // The object stays with model m; nothing of model x is there.
    let mut case = aborted();
    case.commit_deployment(5, "m", declared_deployment("x", 1, Some((2, 10))));
    case.check(&expect![[r#"
        m: record the abort of canary v20260103-000000 (433ebf5bc03d): ann: slow
        MLDeployment/m: stable v20260102-000000 (b40711a88c70), canary v20260103-000000 (433ebf5bc03d) at 10%, abort 433ebf5bc03d [0000000001]
        environments/dev/m.yaml:1:1: VersionMissing: MLDeployment/m: canary: version v20260103-000000 of x does not exist and no training job makes it
          hint: the registry holds no version of x: add an MLTrainingJob with `version: v20260103-000000`
        environments/dev/m.yaml:1:1: VersionMissing: MLDeployment/m: stable: version v20260102-000000 of x does not exist and no training job makes it
          hint: the registry holds no version of x: add an MLTrainingJob with `version: v20260102-000000`
    "#]]);
    // One that goes through leaves it behind.
    case.publish("x", 1, None);
    case.publish("x", 2, None);
    case.check(&expect![[r#"
        m: record the abort of canary v20260103-000000 (433ebf5bc03d): ann: slow
        alias m@stable: v20260102-000000 -> none
        alias m@canary: v20260103-000000 -> none
        MLDeployment/m: model m -> x, stable v20260102-000000 (b40711a88c70), canary v20260103-000000 (433ebf5bc03d) at 10% [0000000005]
    "#]]);
}

#[test]
fn an_abort_is_recorded_of_a_model_that_the_registry_does_not_know() {
    let mut case = aborted();
    case.observed.models.clear();
    let plan = case.plan().to_string();
    assert!(plan.contains("record the abort of canary"), "{plan}");
}

#[test]
fn a_suspended_turn_keeps_the_object_and_its_abort() {
    let mut case = aborted();
    let mut spec = declared_deployment("x", 1, None);
    spec.suspend = Some("audit".to_owned());
    case.commit_deployment(5, "m", spec);
    case.check(&expect![[r#"
        m: record the abort of canary v20260103-000000 (433ebf5bc03d): ann: slow
        MLDeployment/m: stable v20260102-000000 (b40711a88c70), canary v20260103-000000 (433ebf5bc03d) at 10%, abort 433ebf5bc03d [0000000001]
    "#]]);
}
