//! What a step remembers of itself, when it is to be asked again, and whether it rests.

use expect_test::expect;
use planner::names::Track;
use planner::rollout::State;

use super::Situation;
use super::journeys::{commit, with_canary};
use crate::support::{resolved_deployment, time, weight};

/// Each change of state or of the weight, and nothing else, is a transition.
#[test]
fn transitions_are_changes_of_the_state_or_of_the_weight() {
    let mut situation = with_canary();
    situation.status.as_mut().unwrap().history.clear();
    let since = situation.status.as_ref().unwrap().since;
    situation.wait(1).step();
    assert_eq!(situation.status.as_ref().unwrap().history, []);
    assert_eq!(situation.status.as_ref().unwrap().since, since, "nothing changed");
    // The weight alone.
    commit(&mut situation, 1, Some((2, 20)));
    situation.wait(1).step();
    let status = situation.status.clone().unwrap();
    assert_eq!(
        (
            status.history[0].at,
            status.history[0].weight,
            status.history.len()
        ),
        (situation.now, weight(20), 1)
    );
    assert_eq!(status.since, since, "the state is the same");
    // The state alone.
    situation.spec.as_mut().unwrap().suspend = Some("audit".to_owned());
    situation.wait(1).step();
    let status = situation.status.clone().unwrap();
    assert_eq!(
        (
            &status.history[1].from,
            &status.history[1].to,
            status.history.len()
        ),
        (&State::Idle, &status.state, 2)
    );
    assert_eq!(status.since, situation.now);
}

#[test]
fn a_step_wakes_at_the_end_of_the_first_wait_that_is_ahead() {
    // Stable does not load at 0, the canary at 3.
    let mut situation = Situation::new(resolved_deployment(1, Some((2, 10))));
    situation.step();
    assert_eq!(situation.fail(Track::Stable).step().wake, Some(time(10)));
    situation.wait(3);
    assert_eq!(situation.fail(Track::Canary).step().wake, Some(time(10)));
    // The attempt begins, and its failure would wait for 20 s more; the canary's comes first.
    situation.wait(7);
    assert_eq!(situation.step().wake, Some(time(13)));
    situation.load(Track::Stable);
    assert_eq!(situation.step().wake, Some(time(13)));
    situation.wait(3);
    assert_eq!(situation.step().wake, Some(time(33)));
    situation.load(Track::Canary);
    assert_eq!(situation.step().wake, None);
    // A wait that ends now is none.
    let mut situation = with_canary();
    situation.slots.lose_canary();
    assert_eq!(situation.step().wake, Some(time(10)));
    situation.load(Track::Canary).wait(10);
    assert_eq!(situation.step().wake, None);
}

/// At rest: nothing loads, nothing moves.
#[test]
fn a_step_says_whether_it_rests() {
    let mut situation = Situation::new(resolved_deployment(1, Some((2, 10))));
    assert!(!situation.step().is_settled, "both load");
    situation.load(Track::Stable);
    assert!(!situation.step().is_settled, "the canary loads");
    situation.load(Track::Canary);
    assert!(!situation.step().is_settled, "the weight goes up");
    assert!(situation.step().is_settled);
    commit(&mut situation, 1, Some((2, 20)));
    assert!(!situation.step().is_settled, "the weight goes up");
    // A promotion.
    commit(&mut situation, 2, None);
    assert!(!situation.step().is_settled, "stable loads");
    situation.load(Track::Stable);
    assert!(!situation.step().is_settled, "the canary goes");
    assert!(situation.step().is_settled);
    // Between two attempts.
    commit(&mut situation, 3, None);
    situation.step();
    situation.fail(Track::Stable);
    assert!(situation.step().is_settled);
    situation.wait(10);
    assert!(!situation.step().is_settled, "it is tried again");
    // Aborted, and removed.
    let mut situation = with_canary();
    situation.abort(2);
    assert!(!situation.step().is_settled, "the weight goes down");
    assert!(situation.step().is_settled);
    situation.spec = None;
    assert!(!situation.step().is_settled);
    assert!(!situation.step().is_settled, "there is no model to be settled");
}

#[test]
fn a_pause_whose_status_is_lost_freezes_what_is_live() {
    let mut situation = with_canary();
    situation.pause().settle();
    situation.status = None;
    commit(&mut situation, 1, Some((2, 50)));
    situation.settle();
    assert_eq!(situation.slots.weight(), weight(10), "{}", situation.log);
}

#[test]
fn a_loss_says_how_often() {
    let mut situation = with_canary();
    for _ in 0..3 {
        situation.slots.lose_canary();
        situation.step();
        situation.load(Track::Canary).wait(600);
        situation.step();
    }
    let said: Vec<&str> = situation
        .log
        .lines()
        .filter(|line| line.contains("CanaryLost"))
        .collect();
    expect![[r#"
        stable v1  canary v2  weight 10% -> 0%   Holding CanaryLost: the canary stopped answering (once) and comes back after a back-off
        stable v1  canary v2  weight 10% -> 0%   Holding CanaryLost: the canary stopped answering (2 times) and comes back after a back-off
        stable v1  canary v2  weight 10% -> 0%   Holding CanaryLost: the canary stopped answering (3 times) and comes back after a back-off"#]].assert_eq(&said.join("\n"));
}

/// What a step does not remember it does not claim: the canary of a promotion goes, be it called one or not.
#[test]
fn the_end_of_a_promotion_whose_status_is_lost() {
    let mut situation = with_canary();
    commit(&mut situation, 2, None);
    situation.step();
    situation.load(Track::Stable);
    situation.status = None;
    let step = situation.step();
    assert_eq!((step.status.state, step.weight), (State::Preparing, weight(0)));
}
