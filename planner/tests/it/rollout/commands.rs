//! Where an abort is remembered, how long, and when its own record goes.

use expect_test::{Expect, expect};
use planner::observed::ObservedModel;
use planner::rollout::State;

use super::Situation;
use crate::support::{digest, resolved_deployment};

/// Stable v1, canary v2 at 10.
fn with_canary() -> Situation {
    let mut situation = Situation::new(resolved_deployment(1, Some((2, 10))));
    situation.settle();
    situation.log.clear();
    situation.done.clear();
    situation
}

fn history(aborted: &[u32]) -> ObservedModel {
    ObservedModel {
        aborted: aborted.iter().map(|n| digest(*n)).collect(),
        ..ObservedModel::default()
    }
}

fn reason(situation: &Situation) -> Option<String> {
    let state = &situation.status.as_ref().unwrap().state;
    state.aborted().map(|(_, reason)| reason.to_owned())
}

#[track_caller]
fn check(situation: &Situation, expected: &Expect) {
    expected.assert_eq(&format!("{}{}", situation.log, situation.done));
}

#[test]
fn a_command_a_status_or_an_object_aborts() {
    let mut situation = with_canary();
    situation.abort(2).step();
    assert_eq!(reason(&situation).as_deref(), Some("ann: slow"));
    // The status goes on where the command is gone.
    situation.commands.abort = None;
    situation.step();
    assert_eq!(reason(&situation).as_deref(), Some("ann: slow"));
    // The object goes on where the status is gone, as it is put back from the history.
    situation.status = None;
    situation.kept = Some(digest(2));
    situation.step();
    assert_eq!(
        reason(&situation).as_deref(),
        Some("recorded in the registry's history")
    );
    check(
        &situation,
        &expect![[r#"
        stable v1  canary v2  weight 10% -> 0%   Aborted: ann: slow
        stable v1  canary v2  weight 0%          Aborted: ann: slow
        stable v1  canary v2  weight 0%          Aborted: recorded in the registry's history
        weight 0%
        nothing
        nothing
    "#]],
    );
}

#[test]
fn the_newest_memory_says_why() {
    let mut situation = with_canary();
    situation.kept = Some(digest(2));
    situation.abort(2).step();
    assert_eq!(reason(&situation).as_deref(), Some("ann: slow"));
    situation.commands.abort = Some((digest(2), "bob: slower".to_owned()));
    situation.step();
    assert_eq!(
        reason(&situation).as_deref(),
        Some("ann: slow"),
        "it was aborted already"
    );
}

#[test]
fn an_abort_of_another_canary_aborts_nothing() {
    let mut situation = with_canary();
    situation.kept = Some(digest(3));
    situation.abort(3).step();
    situation.status.as_mut().unwrap().state = State::Aborted {
        digest: digest(4),
        reason: "ann: slow".to_owned(),
    };
    situation.step();
    check(
        &situation,
        &expect![[r#"
        stable v1  canary v2  weight 10%         Idle
        stable v1  canary v2  weight 10%         Idle
        clear abort
        clear abort
    "#]],
    );
}

#[test]
fn the_record_of_an_abort_goes_once_object_and_history_hold_it() {
    let cases: [(Option<u32>, Option<ObservedModel>, bool); 7] = [
        (None, None, false),
        (Some(2), None, false),
        (None, Some(history(&[2])), false),
        (Some(2), Some(history(&[])), false),
        (Some(2), Some(history(&[3])), false),
        (Some(3), Some(history(&[2])), false),
        (Some(2), Some(history(&[2])), true),
    ];
    for (kept, registered, is_done) in cases {
        let mut situation = with_canary();
        situation.kept = kept.map(digest);
        situation.registered = registered.clone();
        situation.abort(2).step();
        assert_eq!(
            situation.done.contains("clear abort"),
            is_done,
            "{kept:?} {registered:?}"
        );
        assert_eq!(reason(&situation).as_deref(), Some("ann: slow"));
    }
}

#[test]
fn the_record_of_an_abort_goes_with_its_canary() {
    for canary in [None, Some((3, 10))] {
        let mut situation = with_canary();
        situation.abort(2).step();
        situation.spec = Some(resolved_deployment(1, canary));
        situation.step();
        assert!(situation.done.contains("clear abort"), "{canary:?}");
        assert_eq!(reason(&situation), None);
    }
    // While the object itself is away, nothing is known of its canary.
    let mut situation = with_canary();
    situation.spec = None;
    situation.abort(2).step();
    assert!(!situation.done.contains("clear abort"));
}

#[test]
fn a_pause_is_remembered_while_the_object_is_away() {
    let mut situation = with_canary();
    situation.spec = None;
    situation.pause().step();
    assert_eq!(
        situation.status.as_ref().unwrap().paused.as_deref(),
        Some("ann: lunch")
    );
}
