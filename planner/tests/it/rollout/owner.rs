//! Which object has a model, and whose memory goes on.

use planner::names::ObjectName;
use planner::rollout::{Claimant, State, Status, owner};

use super::Situation;
use crate::support::{object, resolved_deployment};

/// A memory that can be told from others by its state.
fn memory(reason: &str) -> Status {
    let mut situation = Situation::new(resolved_deployment(1, None));
    situation.step();
    let mut status = situation.status.unwrap();
    status.paused = Some(reason.to_owned());
    status
}

/// `claimants` by name, each with its memory's mark; says who has the model and whose memory goes on.
#[track_caller]
fn check(claimants: &[(&str, Option<&str>)], left: Option<&str>, expected: Option<(&str, Option<&str>)>) {
    let claimants: Vec<(ObjectName, Option<Status>)> = claimants
        .iter()
        .map(|(name, mark)| (object(name), mark.map(memory)))
        .collect();
    let left = left.map(memory);
    let all: Vec<Claimant<'_>> = claimants
        .iter()
        .map(|(name, status)| Claimant {
            name,
            status: status.as_ref(),
        })
        .collect();
    let owned = owner(&all, left.as_ref());
    let owned =
        owned.map(|(name, status)| (name.as_str(), status.and_then(|status| status.paused.as_deref())));
    assert_eq!(owned, expected);
}

#[test]
fn nobody_has_a_model_without_an_object() {
    check(&[], None, None);
    check(&[], Some("left"), None);
}

#[test]
fn one_object_goes_on_with_its_own_memory_or_what_the_model_was_left_with() {
    check(&[("a", None)], None, Some(("a", None)));
    check(&[("a", Some("a's"))], None, Some(("a", Some("a's"))));
    check(&[("a", Some("a's"))], Some("left"), Some(("a", Some("a's"))));
    check(&[("a", None)], Some("left"), Some(("a", Some("left"))));
}

#[test]
fn of_two_the_one_whose_name_comes_last_has_it() {
    check(
        &[("a", Some("a's")), ("b", Some("b's"))],
        None,
        Some(("b", Some("b's"))),
    );
    // In whatever order they are told.
    check(
        &[("b", Some("b's")), ("a", Some("a's"))],
        None,
        Some(("b", Some("b's"))),
    );
    // Renamed: the new one has no memory yet.
    check(&[("a", Some("a's")), ("b", None)], None, Some(("b", Some("a's"))));
    check(&[("a", None), ("b", Some("b's"))], None, Some(("b", Some("b's"))));
    check(&[("a", None), ("b", None)], None, Some(("b", None)));
    // Renamed to a name that comes first: the old object has it until it is gone.
    check(&[("a", None), ("z", Some("z's"))], None, Some(("z", Some("z's"))));
    // What the model was left with is newer than what another claimant has from before.
    check(
        &[("a", Some("a's")), ("b", None)],
        Some("left"),
        Some(("b", Some("left"))),
    );
    check(
        &[("a", Some("a's")), ("b", Some("b's")), ("c", None)],
        None,
        Some(("c", Some("b's"))),
    );
}

/// An abort, here of a canary that was never recorded, and a back-off survive a rename.
#[test]
fn a_rename_loses_neither_an_abort_nor_a_back_off() {
    let mut situation = Situation::new(resolved_deployment(1, Some((2, 10))));
    situation.settle();
    situation.abort(2).step();
    situation.commands.abort = None;
    let old = situation.status.take();
    let (a, b) = (object("a"), object("b"));
    let claimants = [
        Claimant {
            name: &a,
            status: old.as_ref(),
        },
        Claimant {
            name: &b,
            status: None,
        },
    ];
    situation.status = owner(&claimants, None).unwrap().1.cloned();
    situation.step();
    assert!(matches!(situation.status.unwrap().state, State::Aborted { .. }));
}
