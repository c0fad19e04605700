//! Objects that exchange their models, and what takes over from what.

use expect_test::expect;
use planner::plan::{Action, Undone};

use super::Case;
use crate::support::{declared_deployment, object, revision};

/// Objects `a`, `b` and `c` of models `m`, `n` and `o`, each with versions 1 to 3; `a` has a canary.
fn three() -> Case {
    let mut case = Case::new(3);
    for name in ["n", "o"] {
        (1..=3).for_each(|n| case.publish(name, n, None));
    }
    case.commit_deployment(1, "a", declared_deployment("m", 1, Some((2, 10))));
    case.commit_deployment(1, "b", declared_deployment("n", 1, None));
    case.commit_deployment(1, "c", declared_deployment("o", 1, None));
    case.converge();
    case
}

#[test]
fn two_objects_exchange_their_models_at_once() {
    let mut case = three();
    case.commit_deployment(5, "a", declared_deployment("n", 1, None));
    case.commit_deployment(5, "b", declared_deployment("m", 1, Some((2, 10))));
    let before = case.observed.clone();
    case.apply(&expect![[r#"
        MLDeployment/stand-in-m: create: stable v20260102-000000 (b40711a88c70), canary v20260103-000000 (433ebf5bc03d) at 10% [0000000001]
        MLDeployment/a: model m -> n, stable v20260102-000000 (b40711a88c70) [0000000005]
        MLDeployment/b: model n -> m, stable v20260102-000000 (b40711a88c70), canary v20260103-000000 (433ebf5bc03d) at 10% [0000000005]
        MLDeployment/stand-in-m: remove
    "#]]);
    let b = &case.observed.deployments[&object("b")].object;
    // What serves is what served: no track's commit changes.
    let revisions = (&b.revision, &b.stable_revision, &b.canary_revision);
    assert_eq!(revisions, (&revision(5), &revision(1), &Some(revision(1))));
    case.serve();
    case.check(&expect![[r#"
        no changes
    "#]]);
    // A process that died after the first, or the second, action goes on from there.
    for count in 1..3 {
        case.observed = before.clone();
        for action in case.plan().actions.into_iter().take(count) {
            case.act(action);
        }
        case.check(&[expect![[r#"
            MLDeployment/a: model m -> n, stable v20260102-000000 (b40711a88c70) [0000000005]
            MLDeployment/b: model n -> m, stable v20260102-000000 (b40711a88c70), canary v20260103-000000 (433ebf5bc03d) at 10% [0000000005]
            MLDeployment/stand-in-m: remove
        "#]], expect![[r#"
            MLDeployment/b: model n -> m, stable v20260102-000000 (b40711a88c70), canary v20260103-000000 (433ebf5bc03d) at 10% [0000000005]
            MLDeployment/stand-in-m: remove
        "#]]][count - 1]);
    }
}

#[test]
fn three_objects_exchange_their_models_and_their_pins() {
    let mut case = three();
    case.commit_deployment(5, "a", declared_deployment("n", 2, None));
    case.commit_deployment(5, "b", declared_deployment("o", 1, Some((3, 50))));
    case.commit_deployment(5, "c", declared_deployment("m", 2, None));
    case.apply(&expect![[r#"
        MLDeployment/stand-in-m: create: stable v20260102-000000 (b40711a88c70), canary v20260103-000000 (433ebf5bc03d) at 10% [0000000001]
        MLDeployment/a: model m -> n, stable v20260103-000000 (433ebf5bc03d) [0000000005]
        MLDeployment/b: model n -> o, stable v20260102-000000 (b40711a88c70), canary v20260104-000000 (88185d128d99) at 50% [0000000005]
        MLDeployment/c: model o -> m, stable v20260103-000000 (433ebf5bc03d) [0000000005]
        MLDeployment/stand-in-m: remove
    "#]]);
    case.serve();
    case.converge();
    case.check(&expect![[r#"
        no changes
    "#]]);
}

#[test]
fn what_takes_over_goes_before_what_leaves() {
    // a goes, b takes its model, c takes that of b, and d that of c: no stand-in is needed.
    let mut case = three();
    case.desired.deployments.clear();
    case.commit_deployment(5, "b", declared_deployment("m", 1, Some((2, 10))));
    case.commit_deployment(5, "c", declared_deployment("n", 1, None));
    case.commit_deployment(5, "d", declared_deployment("o", 1, None));
    case.check(&expect![[r#"
        MLDeployment/d: create: stable v20260102-000000 (b40711a88c70) [0000000005]
        MLDeployment/c: model o -> n, stable v20260102-000000 (b40711a88c70) [0000000005]
        MLDeployment/b: model n -> m, stable v20260102-000000 (b40711a88c70), canary v20260103-000000 (433ebf5bc03d) at 10% [0000000005]
        MLDeployment/a: remove
    "#]]);
}

#[test]
fn an_exchange_with_a_removal_beside_it() {
    // a and b exchange their models, and c's goes.
    let mut case = three();
    case.desired.deployments.clear();
    case.commit_deployment(5, "a", declared_deployment("n", 1, None));
    case.commit_deployment(5, "b", declared_deployment("m", 1, Some((2, 10))));
    case.check(&expect![[r#"
        alias o@stable: v20260102-000000 -> none
        MLDeployment/stand-in-m: create: stable v20260102-000000 (b40711a88c70), canary v20260103-000000 (433ebf5bc03d) at 10% [0000000001]
        MLDeployment/a: model m -> n, stable v20260102-000000 (b40711a88c70) [0000000005]
        MLDeployment/b: model n -> m, stable v20260102-000000 (b40711a88c70), canary v20260103-000000 (433ebf5bc03d) at 10% [0000000005]
        MLDeployment/c: remove
        MLDeployment/stand-in-m: remove
    "#]]);
}

#[test]
fn what_is_wrong_with_one_stops_none_that_it_exchanges_models_with() {
    // b is refused for model m, whose pins stay; a takes n over, and its canary leaves.
    let mut case = three();
    case.commit_deployment(5, "a", declared_deployment("n", 2, None));
    case.commit_deployment(5, "b", declared_deployment("m", 9, None));
    case.apply(&expect![[r#"
        MLDeployment/stand-in-m: create: stable v20260102-000000 (b40711a88c70), canary v20260103-000000 (433ebf5bc03d) at 10% [0000000001]
        MLDeployment/a: model m -> n, stable v20260103-000000 (433ebf5bc03d) [0000000005]
        MLDeployment/b: model n -> m, stable v20260102-000000 (b40711a88c70), canary v20260103-000000 (433ebf5bc03d) at 10% [0000000001]
        MLDeployment/stand-in-m: remove
        environments/dev/b.yaml:1:1: VersionMissing: MLDeployment/b: stable: version v20260110-000000 of m does not exist and no training job makes it
          hint: pin a version that exists, nearest v20260104-000000, v20260103-000000, v20260102-000000, or add an MLTrainingJob with `version: v20260110-000000`
    "#]]);
    // So does a suspension.
    let mut spec = declared_deployment("m", 3, None);
    spec.suspend = Some("audit".to_owned());
    case.commit_deployment(6, "b", spec);
    case.apply(&expect![[r#"
        MLDeployment/b: stable v20260102-000000 (b40711a88c70), canary v20260103-000000 (433ebf5bc03d) at 10%, suspend: audit [0000000001]
        waiting: MLDeployment/a: the alias stable waits until the track serves its pin
    "#]]);
    // A model that is new has nothing to stay at: a's object has none until it can be made, and m goes on with b.
    case.commit_deployment(7, "a", declared_deployment("x", 1, None));
    case.commit_deployment(7, "b", declared_deployment("n", 2, None));
    case.commit_deployment(7, "d", declared_deployment("m", 1, None));
    case.apply(&expect![[r#"
        MLDeployment/d: create: stable v20260102-000000 (b40711a88c70) [0000000007]
        MLDeployment/b: model m -> n, stable v20260103-000000 (433ebf5bc03d) [0000000007]
        MLDeployment/a: remove
        environments/dev/a.yaml:1:1: VersionMissing: MLDeployment/a: stable: version v20260102-000000 of x does not exist and no training job makes it
          hint: the registry holds no version of x: add an MLTrainingJob with `version: v20260102-000000`
    "#]]);
    case.publish("x", 1, None);
    case.check(&expect![[r#"
        MLDeployment/a: create: stable v20260102-000000 (b40711a88c70) [0000000007]
        waiting: MLDeployment/b: the alias stable waits until the track serves its pin
    "#]]);
}

#[test]
fn a_stand_in_takes_no_name_that_is_there() {
    let mut case = three();
    case.publish("x", 1, None);
    case.commit_deployment(1, "stand-in-m", declared_deployment("x", 1, None));
    case.converge();
    case.commit_deployment(5, "a", declared_deployment("n", 1, None));
    case.commit_deployment(5, "b", declared_deployment("m", 1, None));
    let names: Vec<String> = case.plan().actions.iter().map(Action::subject).collect();
    assert_eq!(names[0], "MLDeployment/stand-in-m-2");
    assert_eq!(names.last().unwrap(), "MLDeployment/stand-in-m-2");
}

#[test]
fn what_depends_on_what_failed_is_not_done() {
    let mut case = three();
    case.commit_deployment(5, "a", declared_deployment("n", 1, None));
    case.commit_deployment(5, "b", declared_deployment("m", 1, None));
    case.desired.deployments.remove(&object("c"));
    let actions = case.plan().actions;
    for (at, failed) in actions.iter().enumerate() {
        let mut undone = Undone::default();
        undone.add(failed);
        let mut stopped = Vec::new();
        for action in &actions[at + 1..] {
            if undone.stops(action) {
                undone.add(action);
                stopped.push(action.subject());
            }
        }
        let expected: &[&str] = match failed.subject().as_str() {
            "alias o@stable" => &["MLDeployment/c"],
            // Whoever failed, the stand-in stays.
            "MLDeployment/stand-in-m" if at == 1 => {
                &["MLDeployment/a", "MLDeployment/b", "MLDeployment/stand-in-m"]
            }
            "MLDeployment/a" => &["MLDeployment/b", "MLDeployment/stand-in-m"],
            "MLDeployment/b" => &["MLDeployment/stand-in-m"],
            _ => &[],
        };
        assert_eq!(stopped, expected, "{failed}");
    }
}

#[test]
fn what_another_object_keeps_holds_none_back() {
    let mut case = three();
    case.publish("q", 1, None);
    // `b` has nothing to turn to, and keeps what it serves; `d` takes that over.
    case.commit_deployment(5, "b", declared_deployment("missing", 1, None));
    case.commit_deployment(5, "d", declared_deployment("n", 1, None));
    let first = case.plan().actions.into_iter().next().unwrap();
    case.act(first);
    // Before `b` is let go, `d` is of another model.
    case.commit_deployment(6, "d", declared_deployment("q", 1, None));
    case.apply(&expect![[r#"
        MLDeployment/b: is stopped: VersionMissing: stable: version v20260102-000000 of missing does not exist and no training job makes it
        MLDeployment/d: model n -> q, stable v20260102-000000 (b40711a88c70) [0000000006]
        environments/dev/b.yaml:1:1: VersionMissing: MLDeployment/b: stable: version v20260102-000000 of missing does not exist and no training job makes it
          hint: the registry holds no version of missing: add an MLTrainingJob with `version: v20260102-000000`
    "#]]);
    case.serve();
    case.check(&expect![[r#"
        alias q@stable: none -> v20260102-000000 (b40711a88c70)
        environments/dev/b.yaml:1:1: VersionMissing: MLDeployment/b: stable: version v20260102-000000 of missing does not exist and no training job makes it
          hint: the registry holds no version of missing: add an MLTrainingJob with `version: v20260102-000000`
    "#]]);
}
