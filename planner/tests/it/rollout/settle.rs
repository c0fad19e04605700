//! Requests follow a write of the route after a while: until then, what they may come to stays.

use std::fmt::Write as _;

use chrono::Duration;
use expect_test::{Expect, expect};
use planner::names::Track;
use planner::rollout::Means;

use super::Situation;
use crate::slots::Slots;
use crate::support::{resolved_deployment, time, weight};

const CLUSTER: Means = Means {
    settle: Duration::seconds(5),
    stable_replicas: Some(4),
    canary_replicas_min: 1,
    is_restarted_to_rename: true,
};

/// Stable v1 and canary v2 at 50 % in a cluster, and no write of the route is fresh.
fn in_a_cluster() -> Situation {
    let mut situation = Situation::new(resolved_deployment(1, Some((2, 50))));
    situation.slots = Slots::cluster(CLUSTER.settle);
    situation.means = Some(CLUSTER);
    situation.settle();
    situation.slots.tracks.is_routed = true;
    situation.wait(100);
    situation.step();
    assert_eq!(situation.slots.weight(), weight(50), "{}", situation.log);
    situation.done.clear();
    situation
}

/// Steps each second, with what loads loading, and logs the seconds in which something is done.
#[track_caller]
fn check(mut situation: Situation, expected: &Expect) {
    let mut log = String::new();
    for second in 0..14 {
        situation.done.clear();
        situation.step();
        if situation.done != "nothing\n" {
            write!(log, "{second} s: {}", situation.done).unwrap();
        }
        situation.load(Track::Stable).load(Track::Canary).wait(1);
    }
    expected.assert_eq(&log);
}

#[test]
fn a_canary_that_leaves_stays_until_nobody_comes() {
    let mut situation = in_a_cluster();
    situation.spec = Some(resolved_deployment(1, None));
    check(
        situation,
        &expect![[r#"
         0 s: weight 0%
         5 s: unload canary
    "#]],
    );
}

#[test]
fn a_canary_that_turns_to_another_pin() {
    let mut situation = in_a_cluster();
    situation.spec = Some(resolved_deployment(1, Some((3, 50))));
    check(
        situation,
        &expect![[r#"
         0 s: weight 0%
         5 s: load canary v3 of 0000000001
         6 s: weight 50%
    "#]],
    );
}

#[test]
fn a_promotion_keeps_its_canary_until_nobody_comes() {
    let mut situation = in_a_cluster();
    situation.spec = Some(resolved_deployment(2, None));
    check(
        situation,
        &expect![[r#"
         0 s: load stable v2 of 0000000001
         1 s: weight 0%
         6 s: unload canary
    "#]],
    );
}

#[test]
fn a_promotion_with_the_next_canary() {
    let mut situation = in_a_cluster();
    situation.spec = Some(resolved_deployment(2, Some((3, 10))));
    check(
        situation,
        &expect![[r#"
         0 s: load stable v2 of 0000000001
         1 s: weight 0%
         6 s: load canary v3 of 0000000001, scale canary to 1
         7 s: weight 10%
    "#]],
    );
}

#[test]
fn a_lower_weight_lets_replicas_go_later() {
    let mut situation = in_a_cluster();
    situation.spec = Some(resolved_deployment(1, Some((2, 10))));
    check(
        situation,
        &expect![[r#"
         0 s: weight 10%
         5 s: scale canary to 1
    "#]],
    );
}

#[test]
fn an_abort_waits_for_nothing() {
    let mut situation = in_a_cluster();
    situation.abort(2);
    check(
        situation,
        &expect![[r#"
         0 s: weight 0%
         5 s: scale canary to 1
    "#]],
    );
}

#[test]
fn a_removal_closes_the_route_first() {
    let mut situation = in_a_cluster();
    situation.spec = None;
    check(
        situation,
        &expect![[r#"
            0 s: unroute
            5 s: unload stable, unload canary
            6 s: forget
            7 s: forget
            8 s: forget
            9 s: forget
            10 s: forget
            11 s: forget
            12 s: forget
            13 s: forget
        "#]],
    );
}

#[test]
fn a_step_that_was_cut_off_behind_its_write_waits_from_then_on() {
    let mut situation = in_a_cluster();
    situation.spec = Some(resolved_deployment(1, None));
    // The weight is written, and the process dies: nothing of it is remembered.
    let step = situation.decide();
    situation.slots.carry_out(&step.actions, situation.now);
    situation.wait(4);
    check(
        situation,
        &expect![[r#"
         5 s: unload canary
    "#]],
    );
}

#[test]
fn a_lost_memory_waits_once_more() {
    let mut situation = in_a_cluster();
    situation.spec = Some(resolved_deployment(1, None));
    situation.step();
    situation.wait(4);
    situation.status = None;
    check(
        situation,
        &expect![[r#"
         5 s: unload canary
    "#]],
    );
}

/// The restarted process has the memory alone.
#[test]
fn a_restart_waits_no_longer() {
    let mut situation = in_a_cluster();
    situation.spec = Some(resolved_deployment(1, None));
    situation.step();
    let text = serde_json::to_string(&situation.status).unwrap();
    situation.status = serde_json::from_str(&text).unwrap();
    situation.wait(4);
    check(
        situation,
        &expect![[r#"
         1 s: unload canary
    "#]],
    );
}

/// What the target itself knows of the write is newer: it took a while.
#[test]
fn a_slow_write_counts_from_its_end() {
    let mut situation = in_a_cluster();
    situation.spec = Some(resolved_deployment(1, None));
    situation.step();
    situation.slots.tracks.routed_at = Some(time(103));
    situation.wait(4);
    check(
        situation,
        &expect![[r#"
         4 s: unload canary
    "#]],
    );
}

#[test]
fn a_clock_that_was_set_back_waits_no_longer_than_once() {
    let mut situation = in_a_cluster();
    situation.spec = Some(resolved_deployment(1, None));
    situation.step();
    situation.slots.all_follow();
    situation.wait(-3_600);
    check(
        situation,
        &expect![[r#"
         5 s: unload canary
    "#]],
    );
}

#[test]
fn it_is_asked_again_when_the_wait_is_over() {
    let mut situation = in_a_cluster();
    situation.spec = Some(resolved_deployment(1, None));
    let lowered = situation.step();
    assert_eq!((lowered.wake, lowered.is_settled), (Some(time(105)), false));
    situation.wait(2);
    let waits = situation.step();
    assert_eq!((waits.wake, waits.is_settled), (Some(time(105)), false));
    situation.wait(3);
    situation.step();
    let rests = situation.step();
    assert_eq!((rests.wake, rests.is_settled), (None, true));
}

#[test]
fn slots_remember_no_route() {
    let mut situation = Situation::new(resolved_deployment(1, Some((2, 50))));
    situation.settle();
    assert_eq!(situation.status.unwrap().routed_at, None);
}
