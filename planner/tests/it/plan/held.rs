//! What an environment's windows and gates hold back, and what they let through.

use expect_test::expect;
use planner::environment::Environment;
use planner::gates::{Facts, Gates, OnFault, Tolerance, VersionFacts};
use planner::observed::PolicyAge;
use planner::signature::Signature;
use planner::training::Metric;
use planner::window::{Window, WindowKind};

use super::*;
use crate::support::{resolved, schedule};

/// A day from the moment of all plans on.
fn freeze() -> Window {
    Window {
        kind: WindowKind::Deny,
        schedule: schedule("0 0 * * THU", "UTC"),
        duration: "24h".parse().unwrap(),
        reason: Some("freeze".to_owned()),
    }
}

/// What the object of `m` serves, as `1` or `1 2@10`.
fn serves(case: &Case) -> String {
    let Some(found) = case.observed.deployments.get(&object("m")) else {
        return "nothing".to_owned();
    };
    let number = |version| (1..9).find(|n| resolved(*n).version == version).unwrap();
    let spec = &found.object.spec;
    let stable = number(spec.stable.version.clone());
    match &spec.canary {
        Some(canary) => format!(
            "{stable} {}@{}",
            number(canary.pin.version.clone()),
            canary.weight.percent()
        ),
        None => stable.to_string(),
    }
}

/// Serves stable v1 and a canary, under a policy that has been there for long.
fn under(change: impl Fn(&mut Environment), canary: Option<(u32, u64)>) -> Case {
    let mut case = serving(4, canary);
    change(&mut case.desired.environment);
    case.observed.environment = Some(case.desired.environment.clone());
    case.observed.policy = PolicyAge::Older;
    case
}

fn frozen(canary: Option<(u32, u64)>) -> Case {
    under(|environment| environment.windows = vec![freeze()], canary)
}

#[test]
fn a_window_holds_raises_and_nothing_else() {
    // Before, the commit, the versions that it rejects, and what serves while the window refuses raises.
    type Canary = Option<(u32, u64)>;
    type Expected = (Canary, (u32, Canary), &'static [u32], &'static str);
    let cases: [Expected; 13] = [
        (None, (1, None), &[], "1"),
        (None, (1, Some((2, 10))), &[], "1"),
        (None, (1, Some((2, 0))), &[], "1 2@0"),
        (Some((2, 10)), (1, Some((2, 50))), &[], "1 2@10"),
        (Some((2, 50)), (1, Some((2, 10))), &[], "1 2@10"),
        (Some((2, 50)), (1, None), &[], "1"),
        // A promotion is held with its canary where it is; another canary keeps the old one, with the smaller share.
        (Some((2, 50)), (2, None), &[], "1 2@50"),
        (Some((2, 50)), (1, Some((3, 10))), &[], "1 2@10"),
        (Some((2, 50)), (2, Some((3, 10))), &[], "1 2@10"),
        // Unless the canary is rejected: then it leaves.
        (Some((2, 50)), (1, Some((3, 10))), &[2], "1"),
        // A stable that comes in by itself is held, while its canary leaves.
        (Some((2, 50)), (3, None), &[], "1"),
        // What a rejected stable is to be followed by has not served yet.
        (None, (3, None), &[1], "1"),
        (Some((2, 10)), (3, Some((2, 5))), &[], "1 2@5"),
    ];
    for (before, (stable, canary), rejected, expected) in cases {
        let mut case = frozen(before);
        let mut spec = declared_deployment("m", stable, canary);
        spec.rejected = rejected.iter().map(|n| version(*n)).collect();
        case.commit_deployment(2, "m", spec);
        case.converge();
        assert_eq!(
            serves(&case),
            expected,
            "{before:?} -> {stable} {canary:?} {rejected:?}"
        );
        // Once it allows them, all comes as declared.
        let later = plan(&case.desired, &case.observed, time(24 * 3600));
        for action in later.actions {
            case.act(action);
        }
        let declared = match canary {
            Some((canary, weight)) => format!("{stable} {canary}@{weight}"),
            None => stable.to_string(),
        };
        assert_eq!(serves(&case), declared);
        assert!(later.waiting.iter().all(|waiting| !waiting.stops_commit()));
    }
}

/// Nobody gets past a window by an edit of the object, and no window holds what puts an edit right.
#[test]
fn what_is_made_of_an_object_by_hand_is_put_right_while_a_window_holds_a_raise() {
    type Canary = Option<(u32, u64)>;
    type Tracks = (u32, Canary);
    // What serves, what the commit asks for, what somebody makes of the object, and what serves then.
    let cases: [(Canary, Tracks, Tracks, &str); 11] = [
        (Some((2, 10)), (1, Some((2, 50))), (1, Some((2, 80))), "1 2@10"),
        (Some((2, 10)), (1, Some((2, 50))), (1, Some((2, 50))), "1 2@10"),
        (Some((2, 10)), (1, Some((2, 50))), (1, Some((2, 5))), "1 2@10"),
        (Some((2, 10)), (1, Some((2, 50))), (3, Some((2, 10))), "1 2@10"),
        (Some((2, 10)), (2, None), (2, None), "1 2@10"),
        (Some((2, 10)), (2, None), (1, None), "1 2@10"),
        (None, (3, None), (3, None), "1"),
        (None, (1, Some((2, 10))), (1, Some((2, 10))), "1"),
        // Nothing is held.
        (Some((2, 10)), (1, Some((2, 10))), (1, Some((2, 80))), "1 2@10"),
        (Some((2, 10)), (1, Some((2, 10))), (1, None), "1 2@10"),
        (Some((2, 10)), (1, Some((2, 5))), (3, Some((2, 80))), "1 2@5"),
    ];
    for (before, (stable, canary), (edited_stable, edited_canary), expected) in cases {
        let mut case = frozen(before);
        case.commit(2, stable, canary);
        case.converge();
        let found = case.observed.deployments.get_mut(&object("m")).unwrap();
        let edited = serving(4, edited_canary).observed.deployments;
        found.object.spec = edited[&object("m")].object.spec.clone();
        found.object.spec.stable = resolved(edited_stable);
        case.converge();
        let told = format!("{before:?} -> {stable} {canary:?}, by hand {edited_stable} {edited_canary:?}");
        assert_eq!(serves(&case), expected, "{told}");
        // Once the window allows it, all comes as declared.
        for action in plan(&case.desired, &case.observed, time(24 * 3600)).actions {
            case.act(action);
        }
        let declared = canary.map_or(stable.to_string(), |(canary, weight)| {
            format!("{stable} {canary}@{weight}")
        });
        assert_eq!(serves(&case), declared, "{told}");
        let found = &case.observed.deployments[&object("m")].object;
        assert_eq!(found.kept, None, "{told}");
    }
}

#[test]
fn a_window_lets_back_to_what_has_served() {
    let mut case = frozen(None);
    case.observed.policy = PolicyAge::Older;
    case.desired.environment.windows.clear();
    case.commit(2, 2, None);
    case.converge();
    case.desired.environment.windows = vec![freeze()];
    case.observed.environment = Some(case.desired.environment.clone());
    let mut spec = declared_deployment("m", 1, None);
    case.commit_deployment(3, "m", spec.clone());
    case.converge();
    assert_eq!(serves(&case), "2", "nothing says that 2 is bad");
    spec.rejected = vec![version(2)];
    case.commit_deployment(4, "m", spec);
    let stays = |case: &Case| {
        let waiting = case.plan().waiting;
        waiting.iter().any(planner::plan::Waiting::stops_commit)
    };
    case.model("m").aborted.insert(digest(1));
    assert!(stays(&case), "somebody aborted 1");
    case.model("m").aborted.clear();
    assert!(!stays(&case));
    case.converge();
    assert_eq!(serves(&case), "1");
}

#[test]
fn what_is_held_is_told() {
    let mut case = frozen(None);
    case.commit(2, 1, Some((2, 10)));
    case.check(&expect![[r#"
        MLDeployment/m: stable v20260102-000000 (b40711a88c70) [0000000002]
        waiting: MLDeployment/m: canary waits with v20260103-000000: window Deny `0 0 * * THU` UTC for 1d (freeze) is open; raises are allowed from 2026-01-02 00:00 UTC on
    "#]]);
}

#[test]
fn a_model_is_new_inside_a_window_only_where_it_has_served_before() {
    let mut case = under(|environment| environment.windows = vec![freeze()], Some((2, 10)));
    // The objects are lost, the registry is not.
    case.observed.deployments.clear();
    case.converge();
    assert_eq!(serves(&case), "1");
    // Neither is there.
    case.observed.deployments.clear();
    let model = case.model("m");
    model.recorded.clear();
    model.aliases.clear();
    model.history_digests.clear();
    case.converge();
    assert_eq!(serves(&case), "nothing");
    assert!(
        case.plan()
            .waiting
            .iter()
            .any(planner::plan::Waiting::stops_commit)
    );
}

#[test]
fn a_commit_overrides_a_window_with_a_reason_that_is_kept() {
    let mut case = frozen(None);
    case.commit(2, 1, Some((2, 10)));
    let reason = "the model of today misprices everything".to_owned();
    case.desired.overrides = [(revision(2), reason.clone())].into();
    case.converge();
    assert_eq!(serves(&case), "1 2@10");
    assert_eq!(case.deployment().object.overridden, Some(reason.clone()));
    // As long as that commit is the model's: also where nobody asks any more, and when the window is over.
    case.desired.overrides.clear();
    assert_eq!(case.plan().actions, []);
    case.commit(3, 1, Some((2, 5)));
    case.converge();
    assert_eq!(case.deployment().object.overridden, None);
    // A commit that overrides nothing keeps nothing.
    case.commit(4, 1, Some((2, 3)));
    case.desired.overrides = [(revision(4), reason)].into();
    case.converge();
    assert_eq!(case.deployment().object.overridden, None);
}

fn facts(n: u32, r2: f64) -> VersionFacts {
    VersionFacts {
        digest: digest(n),
        signature: Signature {
            missing_values: n != 3,
            ..Signature::default()
        },
        metric: Some(Metric::R2),
        measured: [("r2".to_owned(), r2)].into(),
        holdout: Some(digest(99)),
        baseline: None,
    }
}

/// Version 2 is as good as 1, 3 breaks clients, 4 is worse.
fn gated() -> Case {
    let gates = Gates {
        metric: Some(Tolerance::try_from(1.0).unwrap()),
        max_weight_step: weight(50),
        on_unknown: OnFault::Refuse,
        ..Gates::default()
    };
    let mut case = under(|environment| environment.gates = Some(gates), None);
    let known: Facts = [(1, 0.8), (2, 0.8), (3, 0.8), (4, 0.7)]
        .map(|(n, r2)| (version(n), facts(n, r2)))
        .into();
    case.observed.facts.insert(model("m"), known);
    case
}

#[test]
fn each_gate_holds_its_model_with_a_finding() {
    let mut case = gated();
    let cases = [
        ((2, 50), "1 2@50"),
        ((2, 60), "1 2@60"),
        ((3, 10), "1 2@10"),
        ((4, 10), "1 2@10"),
    ];
    for (n, (canary, serving)) in (10..).zip(cases) {
        case.commit(n, 1, Some(canary));
        case.converge();
        assert_eq!(serves(&case), serving);
    }
    case.check(&expect![[r#"
        no changes
        environments/dev/m.yaml:1:1: MetricWorse: MLDeployment/m: canary: r2 0.7000 of v20260105-000000 beside 0.8000 of v20260102-000000 on the same holdout: worse by more than 1%
          hint: what serves stays; pin a better version
    "#]]);
    case.commit(3, 1, Some((3, 10)));
    case.check(&expect![[r#"
        MLDeployment/m: stable v20260102-000000 (b40711a88c70), canary v20260103-000000 (433ebf5bc03d) at 10% [0000000003]
        environments/dev/m.yaml:1:1: SignatureBreaking: MLDeployment/m: canary: v20260104-000000 breaks clients of v20260102-000000: missing values are no longer taken
          hint: what serves stays; pin a version that clients can go on with, or name it: `allowBreaking: [v20260104-000000]`
    "#]]);
    case.commit(4, 1, Some((2, 70)));
    case.check(&expect![[r#"
        MLDeployment/m: stable v20260102-000000 (b40711a88c70), canary v20260103-000000 (433ebf5bc03d) at 10% [0000000004]
        environments/dev/m.yaml:1:1: WeightStepTooLarge: MLDeployment/m: canary: v20260103-000000 gets 10% -> 70% of the requests: 60% more at once, where 50% are allowed
          hint: what serves stays; raise it in smaller steps, a commit each
    "#]]);
    case.observed.facts.clear();
    case.commit(5, 1, Some((4, 20)));
    case.check(&expect![[r#"
        MLDeployment/m: stable v20260102-000000 (b40711a88c70), canary v20260103-000000 (433ebf5bc03d) at 10% [0000000005]
        environments/dev/m.yaml:1:1: GateUnknown: MLDeployment/m: canary: whether its metric will do is unknown: no registry could be read
          hint: what serves stays; pin a version of which it is known, or say `gates: { onUnknown: Allow }` by a commit before
        environments/dev/m.yaml:1:1: GateUnknown: MLDeployment/m: canary: whether its signature will do is unknown: no registry could be read
          hint: what serves stays; pin a version of which it is known, or say `gates: { onUnknown: Allow }` by a commit before
    "#]]);
    let mut spec = declared_deployment("m", 1, Some((3, 10)));
    spec.allow_breaking = vec![version(3)];
    let mut case = gated();
    case.commit_deployment(2, "m", spec);
    case.converge();
    assert_eq!(serves(&case), "1 3@10");
}

/// Commits that change the policy and a model at once, and what serves after each.
#[test]
fn no_commit_is_judged_by_a_policy_that_it_brought_along() {
    let policy = |case: &mut Case, n: u64, windows: Vec<Window>| {
        case.desired.revision = revision(n);
        case.desired.environment.windows = windows;
    };
    let applied = |case: &Case| case.observed.environment.as_ref().unwrap().windows.len();
    // It takes the window away and raises: both are held.
    let mut case = frozen(None);
    policy(&mut case, 2, Vec::new());
    case.commit(2, 1, Some((2, 10)));
    case.observed.policy = PolicyAge::New;
    case.converge();
    assert_eq!((serves(&case).as_str(), applied(&case)), ("1", 1));
    // The same while nothing of it is in this part, and something is held beside.
    let mut beside = frozen(None);
    policy(&mut beside, 2, Vec::new());
    beside.observed.policy = PolicyAge::NewAndHolds;
    beside.converge();
    assert_eq!(applied(&beside), 1);
    // The next commit is judged by it.
    case.desired.revision = revision(3);
    case.observed.policy = PolicyAge::Older;
    case.converge();
    assert_eq!((serves(&case).as_str(), applied(&case)), ("1 2@10", 0));
    // It brings the window and raises: it raises, and the window is there.
    let mut case = frozen(None);
    case.desired.environment.windows.clear();
    case.observed.environment = Some(case.desired.environment.clone());
    policy(&mut case, 2, vec![freeze()]);
    case.commit(2, 1, Some((2, 10)));
    case.observed.policy = PolicyAge::New;
    case.converge();
    assert_eq!((serves(&case).as_str(), applied(&case)), ("1 2@10", 1));
    case.commit(3, 1, Some((2, 20)));
    case.observed.policy = PolicyAge::Older;
    case.converge();
    assert_eq!(serves(&case), "1 2@10");
}
