//! What a target does at each step, in the order in which nobody is sent where nothing answers.

use expect_test::{Expect, expect};
use planner::names::Track;

use super::Situation;
use crate::support::{resolved, resolved_deployment};

/// Stable v1, and a canary if one is given, at rest.
fn serving(canary: Option<(u32, u64)>) -> Situation {
    let mut situation = Situation::new(resolved_deployment(1, canary));
    situation.settle();
    situation.done.clear();
    situation
}

/// Commit `n` says something else of both tracks.
fn commit(situation: &mut Situation, n: u64, stable: u32, canary: Option<(u32, u64)>) {
    let old = situation
        .spec
        .replace(resolved_deployment(stable, canary))
        .unwrap();
    let new = situation.spec.as_ref().unwrap();
    if old.stable != new.stable {
        situation.commits.stable = n;
    }
    if old.canary.map(|canary| canary.pin) != new.canary.as_ref().map(|canary| canary.pin.clone()) {
        situation.commits.canary = n;
    }
}

#[track_caller]
fn check(situation: &Situation, expected: &Expect) {
    expected.assert_eq(&situation.done);
}

#[test]
fn both_tracks_load_before_the_weight_goes_up() {
    let mut situation = Situation::new(resolved_deployment(1, Some((2, 10))));
    situation.settle();
    check(
        &situation,
        &expect![[r#"
        load stable v1 of 0000000001, load canary v2 of 0000000001
        weight 10%
        nothing
    "#]],
    );
}

#[test]
fn the_weight_goes_down_before_the_canary_is_replaced() {
    let mut situation = serving(Some((2, 10)));
    commit(&mut situation, 2, 4, Some((3, 20)));
    situation.settle();
    check(
        &situation,
        &expect![[r#"
        weight 0%, load stable v4 of 0000000002, load canary v3 of 0000000002
        weight 20%
        nothing
    "#]],
    );
}

#[test]
fn a_load_begins_before_the_weight_goes_up() {
    let mut situation = serving(Some((2, 10)));
    commit(&mut situation, 2, 4, Some((2, 50)));
    situation.settle();
    check(
        &situation,
        &expect![[r#"
        load stable v4 of 0000000002, weight 50%
        nothing
        nothing
    "#]],
    );
}

#[test]
fn the_weight_goes_down_before_the_canary_is_emptied() {
    let mut situation = serving(Some((2, 10)));
    commit(&mut situation, 2, 1, None);
    situation.settle();
    check(
        &situation,
        &expect![[r#"
        weight 0%, unload canary
        nothing
        nothing
    "#]],
    );
}

#[test]
fn a_promotion_names_its_commit_on_both_tracks() {
    let mut situation = serving(Some((2, 10)));
    commit(&mut situation, 2, 2, None);
    situation.settle();
    check(
        &situation,
        &expect![[r#"
        load stable v2 of 0000000002, name canary 0000000002
        weight 0%, unload canary
        nothing
        nothing
    "#]],
    );
}

#[test]
fn a_commit_that_pins_what_serves_is_named_once() {
    let mut situation = serving(Some((2, 10)));
    situation.commits.stable = 2;
    situation.step();
    situation.step();
    situation.commits.canary = 3;
    situation.step();
    situation.step();
    check(
        &situation,
        &expect![[r#"
        name stable 0000000002
        nothing
        name canary 0000000003
        nothing
    "#]],
    );
}

#[test]
fn a_load_is_superseded_once() {
    let mut situation = serving(None);
    commit(&mut situation, 2, 2, None);
    situation.step();
    situation.step();
    commit(&mut situation, 3, 3, None);
    situation.step();
    situation.step();
    // And back: what serves is what is wanted, and the load under way is not.
    commit(&mut situation, 4, 1, None);
    situation.step();
    assert_eq!(situation.slots.tracks.track.stable.loading, None);
    situation.step();
    check(
        &situation,
        &expect![[r#"
        load stable v2 of 0000000002
        nothing
        load stable v3 of 0000000003
        nothing
        load stable v1 of 0000000004
        nothing
    "#]],
    );
}

#[test]
fn a_canary_that_leaves_while_it_loads_is_dropped() {
    let mut situation = serving(None);
    commit(&mut situation, 2, 1, Some((2, 10)));
    situation.step();
    commit(&mut situation, 3, 1, None);
    situation.step();
    situation.step();
    check(
        &situation,
        &expect![[r#"
        load canary v2 of 0000000002
        unload canary
        nothing
    "#]],
    );
}

#[test]
fn a_removed_model_is_emptied_and_forgotten() {
    let mut situation = serving(Some((2, 10)));
    situation.spec = None;
    situation.step();
    situation.step();
    check(
        &situation,
        &expect![[r#"
        weight 0%, unload stable, unload canary
        forget
    "#]],
    );
}

/// A failure is remembered while there is an object: the time until the next attempt counts from it.
#[test]
fn what_did_not_load_is_forgotten_with_its_object() {
    let mut situation = Situation::new(resolved_deployment(1, Some((2, 10))));
    situation.step();
    situation.fail(Track::Stable).fail(Track::Canary);
    situation.step();
    situation.step();
    assert!(situation.slots.tracks.track.stable.unloadable.is_some());
    situation.spec = None;
    situation.step();
    situation.step();
    check(
        &situation,
        &expect![[r#"
        load stable v1 of 0000000001, load canary v2 of 0000000001
        nothing
        nothing
        unload stable, unload canary
        forget
    "#]],
    );
}

#[test]
fn a_model_with_many_replicas_is_forgotten_once_it_is_empty() {
    let mut situation = serving(Some((2, 10)));
    situation.replicas(4, 3);
    situation.spec = None;
    situation.step();
    situation.step();
    check(
        &situation,
        &expect![[r#"
        weight 0%, unload stable, unload canary
        forget
    "#]],
    );
}

#[test]
fn the_record_of_an_abort_goes_first() {
    let mut situation = serving(Some((2, 10)));
    situation.abort(2).step();
    // Its canary is gone, and another one comes.
    commit(&mut situation, 2, 1, Some((3, 10)));
    situation.step();
    assert_eq!(situation.slots.tracks.track.canary.loading, Some(resolved(3)));
    check(
        &situation,
        &expect![[r#"
        weight 0%
        clear abort, load canary v3 of 0000000002
    "#]],
    );
}
