//! Rollouts from commit to rest, step by step.

use expect_test::{Expect, expect};
use planner::names::{Track, Weight};
use planner::rollout::HISTORY_LENGTH_MAX;

use super::Situation;
use crate::support::{resolved_deployment, weight};

/// Stable v1 serves alone.
fn serving() -> Situation {
    let mut situation = Situation::new(resolved_deployment(1, None));
    situation.settle();
    situation.log.clear();
    situation
}

/// Stable v1, canary v2 at 10.
pub(super) fn with_canary() -> Situation {
    let mut situation = Situation::new(resolved_deployment(1, Some((2, 10))));
    situation.settle();
    situation.log.clear();
    situation
}

pub(super) fn commit(situation: &mut Situation, stable: u32, canary: Option<(u32, u64)>) {
    situation.spec = Some(resolved_deployment(stable, canary));
}

#[track_caller]
fn check(situation: &Situation, expected: &Expect) {
    expected.assert_eq(&situation.log);
}

#[test]
fn first_start_exposes_no_canary_before_stable_answers() {
    let mut situation = Situation::new(resolved_deployment(1, Some((2, 10))));
    situation.step();
    situation.load(Track::Canary).step();
    situation.load(Track::Stable).step();
    check(
        &situation,
        &expect![[r#"
        stable v1  canary v2  weight 0%          Preparing
        stable v1  canary v2  weight 0%          Preparing
        stable v1  canary v2  weight 0% -> 10%   Idle
    "#]],
    );
}

#[test]
fn replacement_keeps_the_old_version_until_the_new_one_answers() {
    let mut situation = serving();
    commit(&mut situation, 2, None);
    situation.step();
    assert_eq!(
        super::short(situation.slots.tracks.track.stable.serving.as_ref().unwrap()),
        "v1"
    );
    situation.settle();
    check(
        &situation,
        &expect![[r#"
        stable v2  canary -  weight 0%          Preparing
        stable v2  canary -  weight 0%          Preparing
        stable v2  canary -  weight 0%          Idle
        stable v2  canary -  weight 0%          Idle
    "#]],
    );
}

#[test]
fn canary_in_and_out() {
    let mut situation = serving();
    commit(&mut situation, 1, Some((2, 10)));
    situation.settle();
    commit(&mut situation, 1, None);
    situation.settle();
    check(
        &situation,
        &expect![[r#"
        stable v1  canary v2  weight 0%          Preparing
        stable v1  canary v2  weight 0% -> 10%   Idle
        stable v1  canary v2  weight 10%         Idle
        stable v1  canary -  weight 10% -> 0%   Preparing
        stable v1  canary -  weight 0%          Idle
        stable v1  canary -  weight 0%          Idle
    "#]],
    );
}

#[test]
fn new_canary_version_goes_through_weight_0() {
    let mut situation = with_canary();
    commit(&mut situation, 1, Some((3, 20)));
    situation.settle();
    check(
        &situation,
        &expect![[r#"
        stable v1  canary v3  weight 10% -> 0%   Preparing
        stable v1  canary v3  weight 0% -> 20%   Idle
        stable v1  canary v3  weight 20%         Idle
    "#]],
    );
}

#[test]
fn promotion_sends_nobody_back() {
    let mut situation = with_canary();
    commit(&mut situation, 2, None);
    situation.settle();
    check(
        &situation,
        &expect![[r#"
        stable v2  canary v2  weight 10%         Promoting
        stable v2  canary -  weight 10% -> 0%   Promoting
        stable v2  canary -  weight 0%          Idle
        stable v2  canary -  weight 0%          Idle
    "#]],
    );
}

#[test]
fn promotion_with_the_next_canary() {
    let mut situation = with_canary();
    commit(&mut situation, 2, Some((3, 5)));
    situation.settle();
    check(
        &situation,
        &expect![[r#"
        stable v2  canary v2  weight 10%         Promoting
        stable v2  canary v3  weight 10% -> 0%   Preparing
        stable v2  canary v3  weight 0% -> 5%    Idle
        stable v2  canary v3  weight 5%          Idle
    "#]],
    );
}

#[test]
fn promotion_and_its_revert() {
    let mut situation = with_canary();
    commit(&mut situation, 2, None);
    situation.settle();
    commit(&mut situation, 1, Some((2, 10)));
    situation.settle();
    check(
        &situation,
        &expect![[r#"
        stable v2  canary v2  weight 10%         Promoting
        stable v2  canary -  weight 10% -> 0%   Promoting
        stable v2  canary -  weight 0%          Idle
        stable v2  canary -  weight 0%          Idle
        stable v1  canary v2  weight 0%          Preparing
        stable v1  canary v2  weight 0% -> 10%   Idle
        stable v1  canary v2  weight 10%         Idle
    "#]],
    );
}

#[test]
fn promotion_reverted_midway() {
    let mut situation = with_canary();
    commit(&mut situation, 2, None);
    situation.step();
    commit(&mut situation, 1, Some((2, 10)));
    situation.settle();
    check(
        &situation,
        &expect![[r#"
        stable v2  canary v2  weight 10%         Promoting
        stable v1  canary v2  weight 10%         Idle
        stable v1  canary v2  weight 10%         Idle
    "#]],
    );
}

#[test]
fn swap_of_stable_and_canary() {
    let mut situation = with_canary();
    commit(&mut situation, 2, Some((1, 10)));
    situation.settle();
    check(
        &situation,
        &expect![[r#"
        stable v2  canary v2  weight 10%         Promoting
        stable v2  canary v1  weight 10% -> 0%   Preparing
        stable v2  canary v1  weight 0% -> 10%   Idle
        stable v2  canary v1  weight 10%         Idle
    "#]],
    );
}

#[test]
fn aborted_until_the_pin_changes() {
    let mut situation = with_canary();
    situation.abort(2);
    situation.settle();
    // The command is taken up and forgotten; a raise and a restart expose nothing.
    situation.commands.abort = None;
    commit(&mut situation, 1, Some((2, 50)));
    situation.settle();
    situation.slots.restart();
    situation.settle();
    commit(&mut situation, 1, Some((3, 50)));
    situation.settle();
    // The pin comes back: a commit says so.
    commit(&mut situation, 1, Some((2, 10)));
    situation.settle();
    check(
        &situation,
        &expect![[r#"
        stable v1  canary v2  weight 10% -> 0%   Aborted: ann: slow
        stable v1  canary v2  weight 0%          Aborted: ann: slow
        stable v1  canary v2  weight 0%          Aborted: ann: slow
        stable v1  canary -  weight 0%          Aborted: ann: slow
        stable v1  canary -  weight 0%          Aborted: ann: slow
        stable v1  canary -  weight 0%          Aborted: ann: slow
        stable v1  canary v3  weight 0%          Preparing
        stable v1  canary v3  weight 0% -> 50%   Idle
        stable v1  canary v3  weight 50%         Idle
        stable v1  canary v2  weight 50% -> 0%   Preparing
        stable v1  canary v2  weight 0% -> 10%   Idle
        stable v1  canary v2  weight 10%         Idle
    "#]],
    );
}

#[test]
fn abort_on_the_object_survives_a_lost_status() {
    let mut situation = with_canary();
    situation.slots.restart();
    situation.status = None;
    situation.abort(2);
    situation.settle();
    assert_eq!(situation.slots.weight(), Weight::ZERO);
    check(
        &situation,
        &expect![[r#"
        stable v1  canary -  weight 0%          Aborted: ann: slow
        stable v1  canary -  weight 0%          Aborted: ann: slow
        stable v1  canary -  weight 0%          Aborted: ann: slow
    "#]],
    );
}

#[test]
fn pause_freezes_raises_and_lets_lower() {
    let mut situation = with_canary();
    situation.pause();
    commit(&mut situation, 1, Some((2, 50)));
    situation.settle();
    commit(&mut situation, 1, Some((2, 5)));
    situation.settle();
    commit(&mut situation, 1, Some((2, 50)));
    situation.settle();
    // A restart loses the tracks, not what was paused.
    situation.slots.restart();
    situation.settle();
    // A new canary is not exposed; a new stable version goes on.
    commit(&mut situation, 3, Some((4, 20)));
    situation.settle();
    situation.commands.paused = None;
    situation.settle();
    check(
        &situation,
        &expect![[r#"
        stable v1  canary v2  weight 10%         Holding Paused: ann: lunch
        stable v1  canary v2  weight 10%         Holding Paused: ann: lunch
        stable v1  canary v2  weight 10% -> 5%   Idle
        stable v1  canary v2  weight 5%          Idle
        stable v1  canary v2  weight 5%          Holding Paused: ann: lunch
        stable v1  canary v2  weight 5%          Holding Paused: ann: lunch
        stable v1  canary v2  weight 0%          Preparing
        stable v1  canary v2  weight 0% -> 5%    Holding Paused: ann: lunch
        stable v1  canary v2  weight 5%          Holding Paused: ann: lunch
        stable v3  canary v4  weight 5% -> 0%    Preparing
        stable v3  canary v4  weight 0%          Holding Paused: ann: lunch
        stable v3  canary v4  weight 0%          Holding Paused: ann: lunch
        stable v3  canary v4  weight 0% -> 20%   Idle
        stable v3  canary v4  weight 20%         Idle
    "#]],
    );
}

#[test]
fn suspension_keeps_what_serves_through_a_restart() {
    let mut situation = with_canary();
    situation.spec.as_mut().unwrap().suspend = Some("audit".to_owned());
    situation.settle();
    situation.slots.restart();
    situation.settle();
    assert_eq!(situation.slots.weight(), weight(10));
    // Aborting is always possible.
    situation.abort(2);
    situation.settle();
    check(
        &situation,
        &expect![[r#"
        stable v1  canary v2  weight 10%         Holding Suspended: audit
        stable v1  canary v2  weight 10%         Holding Suspended: audit
        stable v1  canary v2  weight 0%          Holding Suspended: audit
        stable v1  canary v2  weight 0% -> 10%   Holding Suspended: audit
        stable v1  canary v2  weight 10%         Holding Suspended: audit
        stable v1  canary v2  weight 10% -> 0%   Aborted: ann: slow
        stable v1  canary v2  weight 0%          Aborted: ann: slow
    "#]],
    );
}

#[test]
fn suspension_stops_a_replacement_midway() {
    let mut situation = serving();
    commit(&mut situation, 2, None);
    situation.step();
    situation.spec.as_mut().unwrap().suspend = Some("audit".to_owned());
    situation.settle();
    situation.spec.as_mut().unwrap().suspend = None;
    situation.settle();
    check(
        &situation,
        &expect![[r#"
        stable v2  canary -  weight 0%          Preparing
        stable v1  canary -  weight 0%          Holding Suspended: audit
        stable v1  canary -  weight 0%          Holding Suspended: audit
        stable v2  canary -  weight 0%          Preparing
        stable v2  canary -  weight 0%          Idle
        stable v2  canary -  weight 0%          Idle
    "#]],
    );
}

#[test]
fn lost_canary_comes_back_after_a_back_off_that_doubles() {
    let mut situation = with_canary();
    let mut waits = Vec::new();
    for _ in 0..8 {
        situation.slots.lose_canary();
        let step = situation.step();
        assert_eq!(step.weight, Weight::ZERO);
        let until = step.wake.unwrap();
        waits.push((until - situation.now).num_seconds());
        situation.load(Track::Canary).step();
        assert_eq!(
            situation.slots.weight(),
            Weight::ZERO,
            "it waits although the canary is back"
        );
        situation.now = until;
        situation.settle();
        assert_eq!(situation.slots.weight(), weight(10));
    }
    assert_eq!(waits, [10, 20, 40, 80, 160, 320, 600, 600]);
    assert_eq!(situation.status.unwrap().history.len(), HISTORY_LENGTH_MAX);
}

#[test]
fn a_restart_is_no_loss() {
    let mut situation = with_canary();
    situation.slots.restart();
    situation.settle();
    check(
        &situation,
        &expect![[r#"
        stable v1  canary v2  weight 0%          Preparing
        stable v1  canary v2  weight 0% -> 10%   Idle
        stable v1  canary v2  weight 10%         Idle
    "#]],
    );
}

#[test]
fn a_canary_that_does_not_load_is_tried_again_after_a_back_off() {
    let mut situation = serving();
    commit(&mut situation, 1, Some((2, 10)));
    situation.step();
    let mut waits = Vec::new();
    for _ in 0..3 {
        situation.fail(Track::Canary);
        let wake = situation.step().wake.unwrap();
        waits.push((wake - situation.now).num_seconds());
        situation.now = wake;
        situation.step();
        assert!(
            situation.slots.tracks.track.canary.loading.is_some(),
            "it is tried again"
        );
    }
    assert_eq!(waits, [10, 20, 40]);
    situation.settle();
    check(
        &situation,
        &expect![[r#"
            stable v1  canary v2  weight 0%          Preparing
            stable v1  canary -  weight 0%          Holding LoadFailed: canary cannot load v20260103-000000: no such opset
            stable v1  canary v2  weight 0%          Holding LoadFailed: canary cannot load v20260103-000000: no such opset
            stable v1  canary -  weight 0%          Holding LoadFailed: canary cannot load v20260103-000000: no such opset
            stable v1  canary v2  weight 0%          Holding LoadFailed: canary cannot load v20260103-000000: no such opset
            stable v1  canary -  weight 0%          Holding LoadFailed: canary cannot load v20260103-000000: no such opset
            stable v1  canary v2  weight 0%          Holding LoadFailed: canary cannot load v20260103-000000: no such opset
            stable v1  canary v2  weight 0%          Holding LoadFailed: canary cannot load v20260103-000000: no such opset
            stable v1  canary v2  weight 0% -> 10%   Idle
            stable v1  canary v2  weight 10%         Idle
        "#]],
    );
}

#[test]
fn a_stable_that_does_not_load_leaves_the_old_one_answering() {
    let mut situation = with_canary();
    commit(&mut situation, 3, Some((2, 10)));
    situation.step();
    situation.fail(Track::Stable).step();
    // The next commit is not held up.
    commit(&mut situation, 4, Some((2, 10)));
    situation.settle();
    check(
        &situation,
        &expect![[r#"
        stable v3  canary v2  weight 10%         Preparing
        stable v1  canary v2  weight 10%         Holding LoadFailed: stable cannot load v20260104-000000: no such opset
        stable v4  canary v2  weight 10%         Preparing
        stable v4  canary v2  weight 10%         Idle
        stable v4  canary v2  weight 10%         Idle
    "#]],
    );
}

#[test]
fn removal_empties_both_tracks() {
    let mut situation = with_canary();
    situation.spec = None;
    situation.settle();
    check(
        &situation,
        &expect![[r#"
        stable -  canary -  weight 10% -> 0%   Preparing
        stable -  canary -  weight 0%          Idle
        stable -  canary -  weight 0%          Idle
    "#]],
    );
}

#[test]
fn a_clock_that_is_set_back_prolongs_no_back_off() {
    let mut situation = Situation::new(resolved_deployment(1, None));
    situation.step();
    situation.fail(Track::Stable).step();
    situation.wait(-86_400).step();
    assert!(
        situation.slots.tracks.track.stable.loading.is_some(),
        "{}",
        situation.log
    );
}

#[test]
fn a_canary_that_comes_with_the_pause_carries_nothing() {
    let mut situation = with_canary();
    commit(&mut situation, 1, Some((3, 50)));
    situation.pause().settle();
    check(
        &situation,
        &expect![[r#"
        stable v1  canary v3  weight 10% -> 0%   Preparing
        stable v1  canary v3  weight 0%          Holding Paused: ann: lunch
        stable v1  canary v3  weight 0%          Holding Paused: ann: lunch
    "#]],
    );
}

/// A suspension freezes what serves when it comes, not what the last step saw.
#[test]
fn a_suspension_keeps_what_has_just_been_loaded() {
    let mut situation = serving();
    commit(&mut situation, 2, None);
    situation.step();
    situation.load(Track::Stable);
    situation.spec.as_mut().unwrap().suspend = Some("audit".to_owned());
    situation.settle();
    check(
        &situation,
        &expect![[r#"
        stable v2  canary -  weight 0%          Preparing
        stable v2  canary -  weight 0%          Holding Suspended: audit
        stable v2  canary -  weight 0%          Holding Suspended: audit
    "#]],
    );
    // The canary as well, and beside a stable that does not answer.
    let mut situation = serving();
    commit(&mut situation, 1, Some((2, 10)));
    situation.step();
    situation.load(Track::Canary);
    situation.slots.track(Track::Stable).serving = None;
    situation.spec.as_mut().unwrap().suspend = Some("audit".to_owned());
    situation.log.clear();
    situation.settle();
    check(
        &situation,
        &expect![[r#"
        stable v1  canary v2  weight 0%          Holding Suspended: audit
        stable v1  canary v2  weight 0%          Holding Suspended: audit
        stable v1  canary v2  weight 0%          Holding Suspended: audit
    "#]],
    );
}

#[test]
fn a_suspension_whose_status_is_lost_keeps_what_serves() {
    let mut situation = serving();
    commit(&mut situation, 2, None);
    situation.spec.as_mut().unwrap().suspend = Some("audit".to_owned());
    situation.settle();
    situation.status = None;
    situation.settle();
    check(
        &situation,
        &expect![[r#"
        stable v1  canary -  weight 0%          Holding Suspended: audit
        stable v1  canary -  weight 0%          Holding Suspended: audit
        stable v1  canary -  weight 0%          Holding Suspended: audit
        stable v1  canary -  weight 0%          Holding Suspended: audit
    "#]],
    );
    // With the tracks it is all lost: what is declared serves.
    let mut situation = with_canary();
    situation.spec.as_mut().unwrap().suspend = Some("audit".to_owned());
    situation.status = None;
    situation.slots.restart();
    situation.settle();
    check(
        &situation,
        &expect![[r#"
        stable v1  canary v2  weight 0%          Holding Suspended: audit
        stable v1  canary v2  weight 0% -> 10%   Holding Suspended: audit
        stable v1  canary v2  weight 10%         Holding Suspended: audit
    "#]],
    );
}

#[test]
fn a_suspension_that_comes_with_a_restart_keeps_what_served() {
    let mut situation = with_canary();
    commit(&mut situation, 3, Some((4, 20)));
    situation.spec.as_mut().unwrap().suspend = Some("audit".to_owned());
    situation.slots.restart();
    situation.settle();
    check(
        &situation,
        &expect![[r#"
        stable v1  canary v2  weight 0%          Holding Suspended: audit
        stable v1  canary v2  weight 0%          Holding Suspended: audit
        stable v1  canary v2  weight 0%          Holding Suspended: audit
    "#]],
    );
}
