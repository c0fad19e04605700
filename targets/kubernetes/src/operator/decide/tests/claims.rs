//! Several objects about one model: who has it, and who covers for whom.

use super::*;

#[test]
fn what_another_object_has_is_left_to_it() {
    check(
        &Case::serving(spec(1, None), 0).beside("z", false, false),
        &expect![[r#"
            Waits, Stalled/OtherHasModel, weight 0%, kept
        "#]],
    );
    check(
        &Case::serving(spec(1, None), 0).beside("a", false, false),
        &expect![[r#"
            Has, Reconciling/Preparing, weight 0%, kept
            apply HTTPRoute iris-route
            apply Service iris-stable
            apply PodDisruptionBudget iris-stable
            apply Deployment iris-stable
            delete HorizontalPodAutoscaler iris-stable
            delete PodDisruptionBudget iris-canary
            delete Service iris-canary
            delete Deployment iris-canary
        "#]],
    );
    check(
        &Case::serving(spec(1, None), 0).beside("z", true, true),
        &expect![[r#"
            Has, Reconciling/Preparing, weight 0%, kept
            apply HTTPRoute iris-route
            apply Service iris-stable
            apply PodDisruptionBudget iris-stable
            apply Deployment iris-stable
            delete HorizontalPodAutoscaler iris-stable
            delete PodDisruptionBudget iris-canary
            delete Service iris-canary
            delete Deployment iris-canary
        "#]],
    );
}

#[test]
fn an_object_that_goes_covers_for_the_next_until_that_serves() {
    check(
        &Case::serving(spec(1, None), 0)
            .deleted(-20)
            .beside("z", false, false),
        &expect![[r#"
            Covers, Reconciling/Preparing, weight 0%, kept
            apply HTTPRoute iris-route
            apply Service iris-stable
            apply PodDisruptionBudget iris-stable
            apply Deployment iris-stable
            delete HorizontalPodAutoscaler iris-stable
            delete PodDisruptionBudget iris-canary
            delete Service iris-canary
            delete Deployment iris-canary
        "#]],
    );
    check(
        &Case::serving(spec(1, None), 0)
            .deleted(-20)
            .beside("z", true, false),
        &expect![[r#"
            Leaves, Reconciling/Draining, weight 0%, kept
            delete HTTPRoute iris-route
            delete GRPCRoute iris-route
            delete Ingress iris-route-canary
            delete Ingress iris-route
            delete Service iris-route
            delete Deployment iris-route
            delete PodDisruptionBudget iris-route
            delete ConfigMap iris-route
        "#]],
    );
}

#[test]
fn an_object_that_goes_covers_until_requests_come_to_the_next() {
    let stance = |routed_seconds_ago: i64| {
        let mut case = Case::serving(spec(1, None), 0)
            .deleted(-20)
            .beside("z", true, false);
        case.others[0].routed_at = at(-routed_seconds_ago);
        case.decide().stance
    };
    assert_eq!(stance(4), Stance::Covers);
    assert_eq!(stance(5), Stance::Leaves);
}

#[test]
fn an_object_that_turned_covers_what_it_served_and_then_drains_it() {
    let turned = || {
        let mut turned = spec(4, None);
        turned.model = "wine".parse().unwrap();
        let mut case = Case::serving(turned, 0);
        case.leaves_since = Some(at(-20));
        case
    };
    check(
        &turned().beside("z", false, false),
        &expect![[r#"
        Covers, Reconciling/Waiting, weight 0%, kept
    "#]],
    );
    check(
        &turned().beside("z", true, false),
        &expect![[r#"
            Leaves, Reconciling/Draining, weight 0%, kept
            delete HTTPRoute iris-route
            delete GRPCRoute iris-route
            delete Ingress iris-route-canary
            delete Ingress iris-route
            delete Service iris-route
            delete Deployment iris-route
            delete PodDisruptionBudget iris-route
            delete ConfigMap iris-route
        "#]],
    );
}

/// Each of two that exchange their models would wait for the other: a stand-in that goes already lets one of them begin.
#[test]
fn one_that_turns_leaves_to_one_that_goes_and_one_that_goes_does_not() {
    let stance = |is_deleted: bool| {
        let mut case = Case::serving(spec(1, None), 0);
        if is_deleted {
            case = case.deleted(-20);
        } else {
            case.object.spec.model_name = "wine".parse().unwrap();
            case.leaves_since = Some(at(-20));
        }
        let case = case.beside("b", false, false).beside("stand-in", true, true);
        case.decide().stance
    };
    assert_eq!(stance(false), Stance::Leaves);
    assert_eq!(stance(true), Stance::Covers);
}
