//! All states × all events, as a committed table: what one step does after each event.

use std::fmt::Write as _;

use expect_test::expect_file;
use planner::names::Track;

use super::{Situation, line};
use crate::support::{resolved, resolved_deployment, weight};

type Named<T> = (&'static str, T);

/// One situation per state, and per reason to hold: stable v1, canary v2 declared at 10, unless the name says else.
fn situations() -> Vec<Named<Situation>> {
    let new = |canary| Situation::new(resolved_deployment(1, canary));
    let idle = || {
        let mut idle = new(Some((2, 10)));
        idle.settle();
        idle
    };
    let step = |mut situation: Situation, event: fn(&mut Situation)| {
        event(&mut situation);
        situation.step();
        situation
    };
    let mut without_canary = new(None);
    without_canary.settle();
    let mut canary_loads = new(Some((2, 10)));
    canary_loads.step();
    canary_loads.load(Track::Stable).step();
    let mut canary_failed = canary_loads.clone();
    canary_failed.fail(Track::Canary).step();
    let starts = step(new(Some((2, 10))), |_| {});
    let mut paused = canary_loads.clone();
    paused.pause().step();
    paused.load(Track::Canary).step();
    let mut stable_failed = step(idle(), |s| s.spec = Some(resolved_deployment(3, Some((2, 10)))));
    stable_failed.fail(Track::Stable).step();
    vec![
        ("Idle, no canary", without_canary),
        ("Idle", idle()),
        ("Preparing, nothing loaded", starts),
        ("Preparing, canary loads", canary_loads),
        (
            "Holding Suspended",
            step(idle(), |s| {
                s.spec.as_mut().unwrap().suspend = Some("audit".to_owned());
            }),
        ),
        ("Holding LoadFailed, canary", canary_failed),
        ("Holding LoadFailed, stable v3", stable_failed),
        ("Holding CanaryLost", step(idle(), |s| s.slots.lose_canary())),
        ("Holding CanaryCapacity", step(idle(), |s| _ = s.replicas(20, 1))),
        ("Holding Paused", paused),
        (
            "Promoting",
            step(idle(), |s| s.spec = Some(resolved_deployment(2, None))),
        ),
        ("Aborted", step(idle(), |s| _ = s.abort(2))),
    ]
}

fn spec(situation: &mut Situation, stable: u32, canary: Option<(u32, u64)>) {
    let suspend = situation.spec.as_ref().and_then(|spec| spec.suspend.clone());
    let mut spec = resolved_deployment(stable, canary);
    spec.suspend = suspend;
    situation.spec = Some(spec);
}

fn events() -> Vec<Named<fn(&mut Situation)>> {
    vec![
        ("nothing", |_| {}),
        ("stable loads", |s| _ = s.load(Track::Stable)),
        ("canary loads", |s| _ = s.load(Track::Canary)),
        ("stable does not load", |s| _ = s.fail(Track::Stable)),
        ("canary does not load", |s| _ = s.fail(Track::Canary)),
        ("canary is lost", |s| s.slots.lose_canary()),
        ("one of 4 replicas is ready", |s| _ = s.replicas(4, 1)),
        ("no replica is ready", |s| _ = s.replicas(1, 0)),
        ("process restarts", |s| s.slots.restart()),
        ("10 s pass", |s| _ = s.wait(10)),
        ("commit: weight 50", |s| spec(s, 1, Some((2, 50)))),
        ("commit: weight 5", |s| spec(s, 1, Some((2, 5)))),
        ("commit: canary v4", |s| spec(s, 1, Some((4, 10)))),
        ("commit: no canary", |s| spec(s, 1, None)),
        ("commit: promote v2", |s| spec(s, 2, None)),
        ("commit: promote v2, canary v4", |s| spec(s, 2, Some((4, 10)))),
        ("commit: stable v4", |s| spec(s, 4, Some((2, 10)))),
        ("commit: swap", |s| spec(s, 2, Some((1, 10)))),
        ("commit: remove", |s| s.spec = None),
        ("commit: suspend", |s| {
            if let Some(spec) = &mut s.spec {
                spec.suspend = Some("audit".to_owned());
            }
        }),
        ("commit: resume", |s| {
            if let Some(spec) = &mut s.spec {
                spec.suspend = None;
            }
        }),
        ("abort v2", |s| _ = s.abort(2)),
        ("pause", |s| _ = s.pause()),
        ("resume", |s| s.commands.paused = None),
        ("status is lost", |s| s.status = None),
    ]
}

#[test]
fn each_event_in_each_state() {
    let mut table = String::new();
    for (name, situation) in situations() {
        let status = situation.status.as_ref().unwrap();
        writeln!(
            table,
            "{name}: {}, live weight {}",
            super::state(&status.state),
            status.weight
        )
        .unwrap();
        for (event, happen) in events() {
            let mut after = situation.clone();
            happen(&mut after);
            let before = after.slots.weight().percent();
            writeln!(table, "  {event:<30}  {}", line(before, &after.step())).unwrap();
        }
        table.push('\n');
    }
    expect_file!["./table.txt"].assert_eq(&table);
}

#[test]
fn each_situation_is_at_rest() {
    for (name, mut situation) in situations() {
        let before = situation.status.clone();
        let step = situation.step();
        assert_eq!(
            Some(step.status),
            before,
            "{name}: the same inputs give the same status"
        );
    }
}

#[test]
fn the_situations_are_what_they_say() {
    let idle = &situations()[1].1;
    assert_eq!(idle.slots.weight(), weight(10));
    assert_eq!(idle.slots.tracks.track.canary.serving, Some(resolved(2)));
}
