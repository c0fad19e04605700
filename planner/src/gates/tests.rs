use super::*;
use crate::commits::Verify;
use crate::deployment::Pin;
use crate::signature::Tensor;
use crate::trust::Signer;

fn digest(name: char) -> Digest {
    let text = format!("sha256:{}", (u32::from(name) % 16).to_string().repeat(64));
    text[..71].parse().unwrap()
}

fn version(name: char) -> Version {
    let day = u32::from(name) - u32::from('a') + 1;
    format!("v202611{day:02}-120000").parse().unwrap()
}

fn pin(name: char) -> Pin {
    Pin {
        version: version(name),
        digest: Some(digest(name)),
    }
}

/// Reads `a` or `a b@10`: what stable serves, and the canary and its weight.
fn tracks(text: &str) -> Tracks {
    let mut words = text.split(' ');
    let name = |text: &str| text.chars().next().unwrap();
    Tracks {
        stable: pin(name(words.next().unwrap())),
        canary: words.next().map(|canary| {
            let (canary, weight) = canary.split_once('@').unwrap();
            let weight: u64 = weight.parse().unwrap();
            (pin(name(canary)), weight.try_into().unwrap())
        }),
    }
}

#[test]
fn only_what_reaches_a_version_more_often_is_a_raise() {
    // Before (nothing: the model is new), after, the rejected versions, the raises.
    for (before, after, rejected, expected) in [
        ("", "a", "", "stable 0-100"),
        ("", "a b@10", "", "stable 0-100, canary 0-10"),
        ("a", "a", "", ""),
        ("a", "a b@10", "", "canary 0-10"),
        ("a", "a b@0", "", ""),
        ("a b@10", "a b@50", "", "canary 10-50"),
        ("a b@50", "a b@10", "", ""),
        ("a b@50", "a", "", ""),
        // Promoted; and brought in with nothing before.
        ("a b@50", "b", "", "stable 50-100"),
        ("a", "b", "", "stable 0-100"),
        ("a b@50", "c", "", "stable 0-100"),
        // Another canary; an exchange of the tracks.
        ("a b@50", "a c@10", "", "canary 0-10"),
        ("a b@10", "b a@10", "", "stable 10-100"),
        // Back from a version that is rejected, to one that has served: `a` has, `c` has not.
        ("b", "a", "b", ""),
        ("b", "a", "", "stable 0-100"),
        ("b", "c", "b", "stable 0-100"),
        ("b", "a c@10", "b", "canary 0-10"),
    ] {
        let before = (!before.is_empty()).then(|| tracks(before));
        let after = tracks(after);
        let rejected: Vec<Version> = rejected.chars().map(version).collect();
        let found = raises(before.as_ref(), &after, &rejected, |pin| {
            pin.version == version('a')
        });
        let told: Vec<String> = [found.stable, found.canary]
            .iter()
            .flatten()
            .map(|raise| format!("{} {}-{}", raise.track, raise.from.percent(), raise.to.percent()))
            .collect();
        assert_eq!(told.join(", "), expected, "{before:?} {after:?}");
    }
}

#[test]
fn pins_without_a_digest_are_compared_by_version() {
    let without = |mut tracks: Tracks| {
        tracks.stable.digest = None;
        tracks
    };
    for (before, after) in [
        (without(tracks("a")), tracks("a")),
        (tracks("a"), without(tracks("a"))),
        (tracks("b a@10"), without(tracks("a b@100"))),
    ] {
        let found = raises(Some(&before), &after, &[], |_| false);
        let is_raised = found.stable.is_some_and(|raise| raise.from == Weight::ZERO);
        assert!(!is_raised && found.canary.is_none(), "{before:?} {after:?}");
    }
}

fn facts(name: char, r2: f64) -> (Version, VersionFacts) {
    let facts = VersionFacts {
        digest: digest(name),
        signature: Signature::default(),
        metric: Some(Metric::R2),
        measured: [("r2".to_owned(), r2)].into(),
        holdout: Some(digest('z')),
        baseline: None,
    };
    (version(name), facts)
}

fn percent(percent: u64) -> Weight {
    percent.try_into().unwrap()
}

/// A change from `a` alone to `a b@50`, and what is known of both.
struct Case {
    gates: Gates,
    facts: Option<Facts>,
    allow_breaking: Vec<Version>,
    closed: Option<Closed>,
    overridden: Option<&'static str>,
    verify: Verify,
    signers: Option<BTreeMap<Version, Signer>>,
    promotion: Option<PromotionOrder>,
    promoted: BTreeMap<Version, Promoted>,
    now: Timestamp,
}

const fn day(days: i64) -> Timestamp {
    Timestamp::from_timestamp(days * 86_400, 0).unwrap()
}

/// Stable in `dev` from day 1 on, with a soak of a day.
fn soaking(case: &mut Case) {
    case.promotion = Some(PromotionOrder {
        from: "dev".parse().unwrap(),
        soak: Some("1d".parse().unwrap()),
        status: None,
    });
    case.promoted.insert(version('b'), Promoted::Since(day(1)));
}

fn case() -> Case {
    Case {
        gates: Gates {
            metric: Some(Tolerance::try_from(1.0).unwrap()),
            ..Gates::default()
        },
        facts: Some([facts('a', 0.8), facts('b', 0.8)].into()),
        allow_breaking: Vec::new(),
        closed: None,
        overridden: None,
        verify: Verify::Off,
        signers: None,
        promotion: None,
        promoted: BTreeMap::new(),
        now: day(2),
    }
}

fn of(case: &mut Case, name: char) -> &mut VersionFacts {
    case.facts.as_mut().unwrap().get_mut(&version(name)).unwrap()
}

fn breaking(case: &mut Case) {
    of(case, 'b').signature.inputs.push(Tensor {
        name: "more".to_owned(),
        datatype: "FP64".to_owned(),
        shape: vec![-1],
    });
}

type Change = fn(&mut Case);

const PROMOTIONS: &[(Change, Gate, Outcome, &str)] = &[
    (
        soaking,
        Gate::Promotion,
        Outcome::Passes,
        "v20261102-120000 is stable in dev since 1970-01-02 00:00 UTC, for more than 1d",
    ),
    (
        |case| {
            soaking(case);
            case.now = day(2) - chrono::Duration::seconds(1);
        },
        Gate::Promotion,
        Outcome::Stops,
        "v20261102-120000 is stable in dev since 1970-01-02 00:00 UTC, and has to be for 1d; raises are allowed from 1970-01-03 00:00 UTC on",
    ),
    (
        |case| {
            soaking(case);
            case.promotion.as_mut().unwrap().soak = None;
            case.now = day(1);
        },
        Gate::Promotion,
        Outcome::Passes,
        "v20261102-120000 is stable in dev since 1970-01-02 00:00 UTC",
    ),
    (
        |case| {
            soaking(case);
            let other = Promoted::Not("it has v20261101-120000".to_owned());
            case.promoted.insert(version('b'), other);
        },
        Gate::Promotion,
        Outcome::Stops,
        "v20261102-120000 is not what dev serves as stable: it has v20261101-120000",
    ),
    (
        |case| {
            soaking(case);
            let unknown = Promoted::Unknown("the clone is shallow".to_owned());
            case.promoted.insert(version('b'), unknown);
        },
        Gate::Promotion,
        Outcome::Unknown,
        "whether its way here will do is unknown: dev: the clone is shallow",
    ),
    (
        |case| {
            soaking(case);
            case.promoted.insert(version('b'), Promoted::Asked);
            case.gates.on_unknown = OnFault::Allow;
        },
        Gate::Promotion,
        Outcome::Stops,
        "dev is being asked since when it serves v20261102-120000",
    ),
    (
        |case| {
            soaking(case);
            case.promoted.clear();
            case.gates.on_unknown = OnFault::Allow;
        },
        Gate::Promotion,
        Outcome::Allowed,
        "",
    ),
];

/// Lets an environment demand that versions are signed, and says who signed the new one.
fn signed(case: &mut Case, verify: Verify, signer: Option<Signer>) {
    case.verify = verify;
    case.signers = signer.map(|signer| [(version('b'), signer)].into());
}

const TRUST: &[(Change, Gate, Outcome, &str)] = &[
    (
        |case| signed(case, Verify::Require, Some(Signer::Key("3f0c".to_owned()))),
        Gate::Trust,
        Outcome::Passes,
        "v20261102-120000 is signed by the key 3f0c",
    ),
    (
        |case| {
            signed(
                case,
                Verify::Require,
                Some(Signer::Nobody("nobody has signed it".to_owned())),
            );
        },
        Gate::Trust,
        Outcome::Stops,
        "v20261102-120000 is not to be trusted: nobody has signed it",
    ),
    (
        |case| {
            signed(
                case,
                Verify::Warn,
                Some(Signer::Nobody("nobody has signed it".to_owned())),
            );
        },
        Gate::Trust,
        Outcome::Allowed,
        "v20261102-120000 is not to be trusted: nobody has signed it; the environment only warns",
    ),
    (
        |case| {
            signed(
                case,
                Verify::Require,
                Some(Signer::Unknown("it cannot be read".to_owned())),
            );
            case.gates.on_unknown = OnFault::Allow;
        },
        Gate::Trust,
        Outcome::Unknown,
        "who signed v20261102-120000 is unknown: it cannot be read",
    ),
    (
        |case| {
            signed(case, Verify::Require, None);
            case.gates.on_unknown = OnFault::Allow;
        },
        Gate::Trust,
        Outcome::Unknown,
        "who signed v20261102-120000 is unknown: nobody looked",
    ),
];

#[test]
fn git_and_the_control_plane_of_the_environment_before_agree_as_far_as_both_know() {
    let since = |days| Promoted::Since(day(days));
    let not = || Promoted::Not("it has another".to_owned());
    let unknown = |why: &str| Promoted::Unknown(why.to_owned());
    for (git, status, expected) in [
        (since(1), since(2), since(2)),
        (since(2), since(1), since(2)),
        (since(1), not(), not()),
        (not(), since(1), not()),
        (not(), unknown("b"), not()),
        (not(), Promoted::Asked, not()),
        (since(1), unknown("b"), since(1)),
        (unknown("a"), since(1), since(1)),
        (unknown("a"), unknown("b"), unknown("a, and b")),
        (since(1), Promoted::Asked, Promoted::Asked),
        (unknown("a"), Promoted::Asked, Promoted::Asked),
    ] {
        assert_eq!(
            git.clone().and(status.clone()),
            expected,
            "{git:?} and {status:?}"
        );
    }
}

#[test]
fn each_gate_stops_and_lets_through() {
    use Gate::{Metric as M, Signature as S, WeightStep as W, Window};
    use Outcome::{Allowed, Passes, Stops, Unknown};
    let cases: &[(Change, Gate, Outcome, &str)] = &[
        (|_| {}, W, Passes, "0% -> 50%, at most 100% more"),
        (|case| case.gates.max_weight_step = percent(50), W, Passes, ""),
        (
            |case| case.gates.max_weight_step = percent(49),
            W,
            Stops,
            "v20261102-120000 gets 0% -> 50% of the requests: 50% more at once, where 49% are allowed",
        ),
        (|_| {}, S, Passes, "same beside v20261101-120000"),
        (
            |case| of(case, 'b').signature.missing_values = true,
            S,
            Passes,
            "additive beside v20261101-120000",
        ),
        (
            breaking,
            S,
            Stops,
            "v20261102-120000 breaks clients of v20261101-120000: input \"more\" is asked for, which nobody sends",
        ),
        (
            |case| {
                breaking(case);
                case.allow_breaking.push(version('b'));
            },
            S,
            Allowed,
            "v20261102-120000 breaks clients of v20261101-120000: input \"more\" is asked for, which nobody sends; allowBreaking names it",
        ),
        (
            |case| {
                breaking(case);
                case.allow_breaking.push(version('a'));
            },
            S,
            Stops,
            "",
        ),
        (
            |case| {
                breaking(case);
                case.gates.signature = OnFault::Allow;
            },
            S,
            Allowed,
            "",
        ),
        (
            |case| case.facts = None,
            S,
            Unknown,
            "whether its signature will do is unknown: no registry could be read",
        ),
        (
            |case| drop(case.facts.as_mut().unwrap().remove(&version('a'))),
            S,
            Unknown,
            "whether its signature will do is unknown: the registry says nothing of v20261101-120000",
        ),
        (
            |case| of(case, 'b').digest = digest('c'),
            S,
            Unknown,
            "whether its signature will do is unknown: the registry says nothing of v20261102-120000",
        ),
        (
            |case| {
                case.facts = None;
                case.gates.on_unknown = OnFault::Allow;
            },
            S,
            Allowed,
            "whether its signature will do is unknown: no registry could be read; the environment allows it",
        ),
        (
            |_| {},
            M,
            Passes,
            "r2 0.8000 of v20261102-120000 beside 0.8000 of v20261101-120000 on the same holdout",
        ),
        (|case| *of(case, 'b') = facts('b', 0.793).1, M, Passes, ""),
        (
            |case| *of(case, 'b') = facts('b', 0.79).1,
            M,
            Stops,
            "r2 0.7900 of v20261102-120000 beside 0.8000 of v20261101-120000 on the same holdout: worse by more than 1%",
        ),
        // Of a loss, less is better.
        (
            |case| {
                for (name, value) in [('a', 0.5), ('b', 0.6)] {
                    let facts = of(case, name);
                    facts.metric = Some(Metric::LogLoss);
                    facts.measured = [("log_loss".to_owned(), value)].into();
                }
            },
            M,
            Stops,
            "",
        ),
        // What was measured for the comparison counts, whatever the other holdout gave.
        (
            |case| {
                let baseline = Baseline {
                    digest: digest('a'),
                    measured: [("r2".to_owned(), 0.7)].into(),
                };
                let facts = of(case, 'b');
                facts.measured = [("r2".to_owned(), 0.75)].into();
                facts.holdout = Some(digest('y'));
                facts.baseline = Some(baseline);
            },
            M,
            Passes,
            "r2 0.7500 of v20261102-120000 beside 0.7000 of v20261101-120000 on the same holdout",
        ),
        (
            |case| of(case, 'b').holdout = Some(digest('y')),
            M,
            Unknown,
            "whether its metric will do is unknown: v20261102-120000 and v20261101-120000 are not comparable: different holdout",
        ),
        // A comparison with another version than the present stable tells nothing.
        (
            |case| {
                let facts = of(case, 'b');
                facts.holdout = Some(digest('y'));
                facts.baseline = Some(Baseline {
                    digest: digest('c'),
                    measured: [("r2".to_owned(), 0.7)].into(),
                });
            },
            M,
            Unknown,
            "",
        ),
        (
            |case| of(case, 'b').measured.clear(),
            M,
            Unknown,
            "whether its metric will do is unknown: r2 of v20261102-120000 was not measured",
        ),
        (
            |case| *of(case, 'b') = facts('b', f64::NAN).1,
            M,
            Unknown,
            "whether its metric will do is unknown: r2 is no number",
        ),
        (
            |case| of(case, 'b').metric = None,
            M,
            Unknown,
            "whether its metric will do is unknown: v20261102-120000 does not say by which metric it was judged",
        ),
        (
            |case| {
                case.closed = Some(Closed {
                    why: "window W is open".to_owned(),
                    until: None,
                });
            },
            Window,
            Stops,
            "window W is open",
        ),
        (
            |case| {
                case.closed = Some(Closed {
                    why: "window W is open".to_owned(),
                    until: None,
                });
                case.overridden = Some("stop the bleeding");
            },
            Window,
            Allowed,
            "window W is open; the commit overrides that: stop the bleeding",
        ),
    ];
    let before = tracks("a");
    let cases = &[cases, PROMOTIONS, TRUST].concat();
    for (change, gate, outcome, why) in cases {
        let mut case = case();
        change(&mut case);
        let raise = raises(Some(&before), &tracks("a b@50"), &[], |_| false)
            .canary
            .unwrap();
        let judged = judge(
            &raise,
            Ground {
                gates: Some(&case.gates),
                closed: case.closed.as_ref(),
                overridden: case.overridden,
                before: Some(&before),
                allow_breaking: &case.allow_breaking,
                facts: case.facts.as_ref(),
                verify: case.verify,
                signers: case.signers.as_ref(),
                promotion: case.promotion.as_ref(),
                promoted: Some(&case.promoted),
                now: case.now,
            },
        );
        let found = judged.iter().find(|judged| judged.gate == *gate).unwrap();
        assert_eq!(found.outcome, *outcome, "{gate:?}: {found:?}");
        if !why.is_empty() {
            assert_eq!(found.why, *why);
        }
    }
    let lets = |outcome: &Outcome| matches!(outcome, Passes | Allowed);
    for gate in Gate::ALL {
        let outcomes = cases
            .iter()
            .filter(|(_, of, ..)| *of == gate)
            .map(|(_, _, outcome, _)| outcome);
        let (through, stopped): (Vec<&Outcome>, Vec<&Outcome>) = outcomes.partition(|outcome| lets(outcome));
        assert!(!through.is_empty() && !stopped.is_empty(), "{gate:?}");
    }
}

#[test]
fn a_first_version_is_compared_with_none() {
    let raise = raises(None, &tracks("a"), &[], |_| false).stable.unwrap();
    let gates = case().gates;
    let judged = judge(
        &raise,
        Ground {
            gates: Some(&gates),
            closed: None,
            overridden: None,
            before: None,
            allow_breaking: &[],
            facts: None,
            verify: Verify::Off,
            signers: None,
            promotion: None,
            promoted: None,
            now: Timestamp::UNIX_EPOCH,
        },
    );
    let gates: Vec<Gate> = judged.iter().map(|judged| judged.gate).collect();
    assert_eq!(gates, [Gate::WeightStep]);
}

#[test]
fn a_tolerance_is_a_percentage() {
    for (percent, shown) in [(0.0, "0%"), (1.0, "1%"), (0.125, "0.125%"), (100.0, "100%")] {
        assert_eq!(Tolerance::try_from(percent).unwrap().to_string(), shown);
    }
    for percent in [-0.5, 100.5, 0.0001, f64::NAN, f64::INFINITY] {
        assert!(Tolerance::try_from(percent).is_err(), "{percent}");
    }
}
