//! A canary carries what its ready replicas can: of weight `w`, `ceil(w/100 × stable's replicas)` of them.

use expect_test::{Expect, expect};
use planner::names::Track;
use planner::per_track::PerTrack;
use planner::rollout::{HoldReason, Means, State};

use super::Situation;
use crate::support::{resolved_deployment, weight};

/// Stable v1 with four replicas, and canary v2 at `percent`, of which `ready` are ready.
fn with_canary(percent: u64, ready: u32) -> Situation {
    let mut situation = Situation::new(resolved_deployment(1, Some((2, percent))));
    situation.replicas(4, ready);
    situation.settle();
    situation
}

#[track_caller]
fn check(situation: &Situation, expected: &Expect) {
    expected.assert_eq(&situation.log);
}

#[test]
fn the_most_that_ready_replicas_carry() {
    for (wanted, ready, most) in [
        (4, 0, 0),
        (4, 1, 25),
        (4, 3, 75),
        (4, 4, 100),
        (4, 9, 100),
        (3, 1, 33),
        (3, 2, 66),
        (7, 1, 14),
        (1, 1, 100),
        (1, 0, 0),
        // Nothing is wanted of stable: a moment at the most.
        (0, 1, 100),
        (0, 0, 0),
        (1, u32::MAX, 100),
        (u32::MAX, u32::MAX, 100),
        (u32::MAX, 1, 0),
    ] {
        let mut situation = Situation::new(resolved_deployment(1, Some((2, 100))));
        situation.replicas(wanted, ready);
        situation.settle();
        assert_eq!(
            situation.slots.weight(),
            weight(most),
            "{ready} beside {wanted}:\n{}",
            situation.log
        );
        let is_held = matches!(
            situation.status.unwrap().state,
            State::Holding {
                reason: HoldReason::CanaryCapacity,
                ..
            }
        );
        assert_eq!(is_held, most < 100, "{ready} beside {wanted}");
    }
}

#[test]
fn each_weight_needs_its_share_rounded_up() {
    for wanted in 1..=5_u32 {
        for percent in [1_u64, 10, 25, 33, 34, 50, 66, 67, 75, 99, 100] {
            let needed = (u32::try_from(percent).unwrap() * wanted).div_ceil(100);
            for ready in 0..=wanted {
                let mut situation = Situation::new(resolved_deployment(1, Some((2, percent))));
                situation.replicas(wanted, ready);
                situation.settle();
                assert_eq!(
                    situation.slots.weight() == weight(percent),
                    ready >= needed,
                    "{percent} % over {ready} beside {wanted}"
                );
            }
        }
    }
}

#[test]
fn the_weight_falls_with_the_ready_replicas_and_rises_after_a_back_off() {
    let mut situation = with_canary(50, 4);
    for (ready, after) in [(1, 0), (0, 0), (2, 0), (2, 10)] {
        situation.replicas(4, ready).wait(after);
        situation.step();
    }
    // More of stable needs more of the canary.
    situation.replicas(5, 2);
    situation.step();
    check(
        &situation,
        &expect![[r#"
            stable v1  canary v2  weight 0%          Preparing
            stable v1  canary v2  weight 0% -> 50%   Idle
            stable v1  canary v2  weight 50%         Idle
            stable v1  canary v2  weight 50% -> 25%  Holding CanaryCapacity: 1 of 4 canary replicas are ready, which carry 25% beside 4 of stable
            stable v1  canary v2  weight 25% -> 0%   Holding CanaryCapacity: 0 of 4 canary replicas are ready, which carry 0% beside 4 of stable
            stable v1  canary v2  weight 0%          Holding CanaryCapacity: the canary lost replicas (1 of late) and gets its share back after a back-off
            stable v1  canary v2  weight 0% -> 50%   Idle
            stable v1  canary v2  weight 50% -> 40%  Holding CanaryCapacity: 2 of 5 canary replicas are ready, which carry 40% beside 5 of stable
        "#]],
    );
}

#[test]
fn too_few_replicas_are_at_rest_and_wait_for_nothing() {
    let mut situation = with_canary(50, 1);
    let step = situation.step();
    assert_eq!(
        (step.is_settled, step.wake, &*step.actions),
        (true, None, &[][..])
    );
}

#[test]
fn a_slot_carries_any_weight() {
    let mut situation = Situation::new(resolved_deployment(1, Some((2, 100))));
    situation.settle();
    check(
        &situation,
        &expect![[r#"
        stable v1  canary v2  weight 0%          Preparing
        stable v1  canary v2  weight 0% -> 100%  Idle
        stable v1  canary v2  weight 100%        Idle
    "#]],
    );
}

#[test]
fn what_holds_beside_too_few_replicas() {
    // A pause holds lower than the replicas do: they are enough for what the pause leaves.
    let mut situation = with_canary(25, 1);
    situation.log.clear();
    situation.pause();
    situation.spec = Some(resolved_deployment(1, Some((2, 50))));
    situation.settle();
    // They are not any more.
    situation.replicas(4, 0);
    situation.settle();
    // The pause has kept its ceiling.
    situation.replicas(4, 4).wait(10);
    situation.settle();
    check(
        &situation,
        &expect![[r#"
        stable v1  canary v2  weight 25%         Holding Paused: ann: lunch
        stable v1  canary v2  weight 25%         Holding Paused: ann: lunch
        stable v1  canary v2  weight 25% -> 0%   Holding CanaryCapacity: 0 of 4 canary replicas are ready, which carry 0% beside 4 of stable
        stable v1  canary v2  weight 0%          Holding CanaryCapacity: 0 of 4 canary replicas are ready, which carry 0% beside 4 of stable
        stable v1  canary v2  weight 0% -> 25%   Holding Paused: ann: lunch
        stable v1  canary v2  weight 25%         Holding Paused: ann: lunch
    "#]],
    );
    // A canary that is lost, or does not load, has no replicas to speak of.
    let mut situation = with_canary(50, 4);
    situation.log.clear();
    situation.slots.lose_canary();
    situation.replicas(4, 0);
    situation.step();
    situation.fail(Track::Canary).step();
    check(
        &situation,
        &expect![[r#"
        stable v1  canary v2  weight 50% -> 0%   Holding CanaryLost: the canary stopped answering (once) and comes back after a back-off
        stable v1  canary -  weight 0%          Holding LoadFailed: canary cannot load v20260103-000000: no such opset
    "#]],
    );
}

#[test]
fn a_suspension_is_bound_by_replicas_too() {
    let mut situation = with_canary(50, 2);
    situation.log.clear();
    situation.spec.as_mut().unwrap().suspend = Some("audit".to_owned());
    situation.step();
    situation.replicas(4, 1);
    situation.step();
    // What it froze comes back with them.
    situation.replicas(4, 2).wait(10);
    situation.step();
    check(
        &situation,
        &expect![[r#"
        stable v1  canary v2  weight 50%         Holding Suspended: audit
        stable v1  canary v2  weight 50% -> 25%  Holding Suspended: audit
        stable v1  canary v2  weight 25% -> 50%  Holding Suspended: audit
    "#]],
    );
}

/// Nobody is sent back to the old version: what the canary cannot answer, it fails.
#[test]
fn a_promotion_keeps_the_weight() {
    let mut situation = with_canary(50, 2);
    situation.log.clear();
    situation.spec = Some(resolved_deployment(2, None));
    situation.replicas(4, 1);
    situation.step();
    situation.settle();
    check(
        &situation,
        &expect![[r#"
        stable v2  canary v2  weight 50%         Promoting
        stable v2  canary v2  weight 50%         Promoting
        stable v2  canary -  weight 50% -> 0%   Promoting
        stable v2  canary -  weight 0%          Idle
        stable v2  canary -  weight 0%          Idle
    "#]],
    );
}

/// Replicas that come and go raise and lower the weight ever more rarely.
#[test]
fn a_flap_is_damped() {
    let mut situation = with_canary(50, 2);
    let mut raises = Vec::new();
    for second in 0..3_600 {
        // One of two is gone for 3 s of every 6.
        situation.replicas(4, if second % 6 < 3 { 1 } else { 2 });
        let before = situation.slots.weight();
        situation.step();
        if before < situation.slots.weight() {
            raises.push(second);
        }
        situation.wait(1);
    }
    expect!["[10, 33, 76, 159, 322, 645, 1251, 1857, 2463, 3069]"].assert_eq(&format!("{raises:?}"));
}

#[test]
fn a_loss_after_a_long_time_of_health_is_a_first_one() {
    let mut situation = with_canary(50, 2);
    let mut counts = Vec::new();
    for healthy in [0, 11, 700, 11] {
        situation.wait(healthy);
        situation.step();
        for ready in [1, 2] {
            situation.replicas(4, ready);
            situation.step();
        }
        let thinned = situation.status.as_ref().unwrap().thinned.clone().unwrap();
        counts.push(thinned.count);
        situation.wait((thinned.until - situation.now).num_seconds());
        situation.step();
        assert_eq!(situation.slots.weight(), weight(50), "{}", situation.log);
    }
    assert_eq!(counts, [1, 2, 1, 2]);
}

#[test]
fn how_many_replicas_a_canary_is_to_have() {
    let means = |stable, canary| Means {
        stable_replicas: stable,
        canary_replicas_min: canary,
        ..Means::SLOTS
    };
    for (percent, means, stable_wanted, expected) in [
        (0, means(Some(3), 1), 3, 1),
        (10, means(Some(3), 1), 3, 1),
        (34, means(Some(3), 1), 3, 2),
        (100, means(Some(3), 1), 3, 3),
        (10, means(Some(3), 2), 3, 2),
        (10, means(Some(30), 2), 30, 3),
        // Stable is about to grow, or has not shrunk yet.
        (50, means(Some(6), 1), 3, 3),
        (50, means(Some(3), 1), 6, 3),
        // An autoscaler says how many stable has.
        (50, means(None, 1), 8, 4),
        (100, means(Some(u32::MAX), 1), 3, u32::MAX),
    ] {
        let mut situation = Situation::new(resolved_deployment(1, Some((2, percent))));
        situation.replicas(stable_wanted, 0);
        situation.means = Some(means);
        let step = situation.decide();
        assert_eq!(
            step.replicas,
            PerTrack {
                stable: means.stable_replicas,
                canary: Some(expected)
            },
            "{percent} % beside {means:?}"
        );
    }
}

/// What is raised grows first, what is lowered shrinks last, and nothing of that touches an abort.
#[test]
fn replicas_come_before_weight_and_go_after_it() {
    let mut situation = Situation::new(resolved_deployment(1, Some((2, 10))));
    situation.replicas(4, 1);
    situation.means = Some(Means {
        stable_replicas: Some(4),
        ..Means::SLOTS
    });
    situation.settle();
    situation.done.clear();
    let mut commit = |percent, ready| {
        situation.spec = Some(resolved_deployment(1, Some((2, percent))));
        situation.step();
        situation.slots.track(Track::Canary).capacity.ready = ready;
        situation.step();
    };
    commit(100, 2);
    commit(100, 4);
    commit(10, 1);
    situation.abort(2).step();
    expect![[r#"
        scale canary to 4, weight 25%
        weight 50%
        nothing
        weight 100%
        weight 10%, scale canary to 1
        nothing
        weight 0%
    "#]]
    .assert_eq(&situation.done);
}
