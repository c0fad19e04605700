//! What is left of an abort.

use super::*;

/// Somebody took the abort away from the object, and the status with it.
#[test]
fn an_abort_that_the_registry_alone_has_kept_is_in_force() {
    let canary = pin(2).digest;
    let wiped = || {
        let mut case = Case::serving(spec(1, Some((2, 50))), 0);
        case.object.status = None;
        case
    };
    let ask = |case: &Case| forgotten(&case.object, &case.observed);
    assert_eq!(ask(&wiped()), Some(canary));
    let mut kept = wiped();
    kept.kept_abort = Some(canary);
    check(
        &kept,
        &expect![[r#"
            Has, Stalled/Aborted, weight 0%, kept
            apply HTTPRoute iris-route
            apply Service iris-stable
            apply PodDisruptionBudget iris-stable
            apply Deployment iris-stable
            delete HorizontalPodAutoscaler iris-stable
            apply Service iris-canary
            delete PodDisruptionBudget iris-canary
            apply Deployment iris-canary
        "#]],
    );
    // Who remembers, has never had it, is told of it, has none, or goes, is not looked up.
    assert_eq!(ask(&Case::serving(spec(1, Some((2, 50))), 0)), None);
    assert_eq!(ask(&Case::new(spec(1, Some((2, 50))))), None);
    let mut told = wiped();
    let abort = ("aurora.io/abort".to_owned(), canary.to_string());
    told.object.metadata.annotations.as_mut().unwrap().extend([abort]);
    assert_eq!(ask(&told), None);
    let mut without = wiped();
    without.object.spec.canary = None;
    without
        .object
        .metadata
        .annotations
        .as_mut()
        .unwrap()
        .remove("aurora.io/canary-revision");
    assert_eq!(ask(&without), None);
    assert_eq!(ask(&wiped().deleted(-1)), None);
}
