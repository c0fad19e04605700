//! An abort outlives the status that told of it.

use expect_test::expect;
use planner::observed::ObservedModel;
use planner::rollout::State;

use super::{Case, serving};
use crate::support::{digest, object};

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
        MLDeployment/m: stable v20260102-000000 (b40711a88c70), canary v20260103-000000 (433ebf5bc03d) at 10%, abort 433ebf5bc03d [0000000001]
        m: record the abort of canary v20260103-000000 (433ebf5bc03d): ann: slow
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
        MLDeployment/m: stable v20260102-000000 (b40711a88c70), canary v20260103-000000 (433ebf5bc03d) -> none [0000000002]
        m: record the abort of canary v20260103-000000 (433ebf5bc03d): ann: slow
    "#]]);
}

#[test]
fn an_abort_cut_short_is_completed() {
    let mut case = aborted();
    let actions = case.plan().actions;
    case.act(actions.into_iter().next().unwrap());
    case.deployment().status = None;
    case.check(&expect![[r#"
        m: record the abort of canary v20260103-000000 (433ebf5bc03d): kept on the object
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
        .and_modify(|model: &mut ObservedModel| model.aborted.clear());
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
        MLDeployment/m: stable v20260102-000000 (b40711a88c70), canary v20260103-000000 (433ebf5bc03d) at 10%, abort 433ebf5bc03d [0000000001]
        m: record the abort of canary v20260103-000000 (433ebf5bc03d): ann: slow
        environments/dev/m.yaml:1:1: VersionMissing: MLDeployment/m: stable: version v20260110-000000 of m does not exist and no training job makes it
          hint: nearest existing versions: v20260104-000000, v20260103-000000, v20260102-000000
    "#]]);
}
