//! Windows and gates in passes over a real repository and registry: what is held, when it is looked at again, and by whose
//! word.

use expect_test::{Expect, expect};
use planner::Timestamp;
use planner::names::ModelName;
use reconciler::objects::{ObjectStore as _, ObservedObject};

use crate::passes::World;
use crate::repository::{ENVIRONMENT, Repo, V1, V2, deployment};
use crate::versions::draft;

/// The first hour of the day on which all passes are.
const FREEZE: &str = "windows: [ { type: Deny, cron: 0 0 * * TUE, duration: 1h, reason: freeze } ]";

fn environment(policy: &str) -> String {
    ENVIRONMENT.replace("Standalone", &format!("Standalone, {policy}"))
}

fn at(time: &str) -> Timestamp {
    format!("2026-12-01T{time}Z").parse().unwrap()
}

/// Stable V1 of `m` serves, and the policy has been there for long.
fn under(policy: &str) -> World {
    let repo = Repo::with(&[("m.yaml", &deployment("m", V1, None))]);
    let mut world = World::new(repo, &["m"]);
    world.settle();
    world.repo.change("environment.yaml", &environment(policy));
    world.settle();
    world
        .repo
        .change("README", "the next commit is judged by that policy");
    world
}

impl World {
    /// What the object of `m` serves: stable, canary and weight.
    fn serves(&self) -> String {
        let objects = self.target.observe(None).unwrap().objects;
        let shown = objects.into_iter().find_map(|object| match object {
            ObservedObject::Deployment(_, found) => {
                let spec = found.object.spec;
                let stable = spec.stable.version.to_string();
                Some(match spec.canary {
                    Some(canary) => format!("{stable} {}@{}", canary.pin.version, canary.weight.percent()),
                    None => stable,
                })
            }
            _ => None,
        });
        shown.unwrap_or_default()
    }

    fn overridden(&self) -> Option<String> {
        let objects = self.target.observe(None).unwrap().objects;
        objects.into_iter().find_map(|object| match object {
            ObservedObject::Deployment(_, found) => found.object.overridden,
            _ => None,
        })
    }

    /// The history of `m` in the registry.
    fn history(&self) -> Vec<serde_json::Value> {
        let path = self.store.root().join("aurora/m/history.jsonl");
        let text = std::fs::read_to_string(path).unwrap();
        text.lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect()
    }

    #[track_caller]
    fn check_waits(&self, expected: &Expect) {
        let waiting = self.reconciler.standing().waiting();
        let waiting: Vec<String> = waiting.map(ToString::to_string).collect();
        expected.assert_eq(&waiting.join("\n"));
    }
}

#[test]
fn a_raise_comes_with_the_edge_of_its_window_and_without_an_event() {
    let mut world = under(FREEZE);
    let raised = world.repo.change("m.yaml", &deployment("m", V1, Some((V2, 10))));
    world.pass();
    assert_eq!(world.serves(), V1);
    world.check_waits(&expect!["MLDeployment/m: canary waits with v20261120-093000: window Deny `0 0 * * TUE` UTC for 1h (freeze) is open; raises are allowed from 2026-12-01 01:00 UTC on"]);
    let report = world.target.last_report().unwrap();
    assert_eq!(report.next_wake_up, Some(at("01:00:00")));
    assert_ne!(report.applied_revision.as_ref(), Some(&raised));
    assert!(world.pass().is_quiet());
    let before = world.pass_at(at("00:59:59"));
    assert!(!before.is_touched && before.is_quiet());
    assert_eq!(world.serves(), V1);
    world.pass_at(at("01:00:00"));
    assert_eq!(world.serves(), format!("{V1} {V2}@10"));
    world.settle();
    let report = world.target.last_report().unwrap();
    assert_eq!(
        (report.next_wake_up, report.applied_revision),
        (None, Some(raised))
    );
}

#[test]
fn a_commit_says_why_it_overrides_a_window() {
    for (message, reason) in [
        (
            "raise\n\nAurora-Window-Override: prices are wrong",
            Some("prices are wrong"),
        ),
        (
            "raise\n\naurora-window-override:  spaced  \nSigned-off-by: a",
            Some("spaced"),
        ),
        ("raise\n\nAurora-Window-Override:", None),
        ("raise: Aurora-Window-Override: this is the subject", None),
        (
            "raise\n\nAurora-Window-Override: in the body\n\nand no trailer",
            None,
        ),
    ] {
        let mut world = under(FREEZE);
        world
            .repo
            .write("environments/dev/m.yaml", &deployment("m", V1, Some((V2, 10))));
        world.repo.commit(message);
        world.pass();
        let expected = reason.map_or(V1.to_owned(), |_| format!("{V1} {V2}@10"));
        assert_eq!(world.serves(), expected, "{message}");
        assert_eq!(world.overridden().as_deref(), reason);
        if reason.is_some() {
            world.settle();
        }
        let told = world.history();
        let told: Vec<&str> = told.iter().filter_map(|entry| entry["reason"].as_str()).collect();
        let expected_history: Vec<String> = reason
            .iter()
            .map(|reason| format!("windows overridden: {reason}"))
            .collect();
        assert_eq!(told, expected_history);
        // Of a later commit that does not touch the model, the word does not count.
        world.repo.write("environments/dev/README", "else");
        world.repo.commit("note\n\nAurora-Window-Override: late");
        world.pass();
        assert_eq!(world.serves(), expected, "{message}");
    }
}

#[test]
fn a_policy_counts_from_the_next_commit_on() {
    let mut world = under(FREEZE);
    // One commit takes the window away and raises.
    world.repo.write("environments/dev/environment.yaml", ENVIRONMENT);
    world.repo.change("m.yaml", &deployment("m", V1, Some((V2, 10))));
    for _ in 0..3 {
        world.pass();
        assert_eq!(world.serves(), V1);
    }
    // A start anew has not heard more.
    world.reconciler = crate::passes::start(&world.repo, &world.target, &world.store);
    world.pass();
    assert_eq!(world.serves(), V1);
    world.repo.change("README", "the next one");
    world.pass();
    assert_eq!(world.serves(), format!("{V1} {V2}@10"));
}

#[test]
fn gates_read_the_registry() {
    let worse = "v20261121-000000";
    let other = "v20261122-000000";
    let mut world = under("gates: { metric: { tolerancePercent: 1 }, maxWeightStep: 50 }");
    let model: ModelName = "m".parse().unwrap();
    for (version, r2, takes_missing) in [(worse, 0.4, false), (other, 0.5, true)] {
        let mut draft = draft(&model, &version.parse().unwrap(), None);
        draft.metadata.metrics.values.insert("r2".to_owned(), r2);
        draft.metadata.signature.missing_values = takes_missing;
        world.store.publish(draft).unwrap();
    }
    let mut raise = |canary: (&str, u8)| {
        world.repo.change("m.yaml", &deployment("m", V1, Some(canary)));
        world.pass();
        (world.serves(), world.findings())
    };
    assert_eq!(raise((V2, 50)), (format!("{V1} {V2}@50"), String::new()));
    let (serves, findings) = raise((worse, 10));
    assert_eq!(serves, format!("{V1} {V2}@10"));
    expect![[r#"
        environments/dev/m.yaml:1:1: MetricWorse: MLDeployment/m: canary: r2 0.4000 of v20261121-000000 beside 0.5000 of v20261101-120000 on the same holdout: worse by more than 1%
          hint: what serves stays; pin a better version"#]].assert_eq(&findings);
    assert_eq!(raise((other, 10)), (format!("{V1} {other}@10"), String::new()));
    // What clients of `other` may send, V2 does not take.
    world.repo.change("m.yaml", &deployment("m", other, None));
    world.pass();
    expect![[r#"
        environments/dev/m.yaml:1:1: WeightStepTooLarge: MLDeployment/m: stable: v20261122-000000 gets 10% -> 100% of the requests: 90% more at once, where 50% are allowed
          hint: what serves stays; raise it in smaller steps, a commit each"#]].assert_eq(&world.findings());
    world
        .repo
        .change("m.yaml", &deployment("m", V1, Some((other, 50))));
    world.settle();
    world.repo.change("m.yaml", &deployment("m", other, None));
    world.settle();
    world
        .repo
        .change("m.yaml", &deployment("m", other, Some((V2, 10))));
    world.pass();
    expect![[r#"
        environments/dev/m.yaml:1:1: SignatureBreaking: MLDeployment/m: canary: v20261120-093000 breaks clients of v20261122-000000: missing values are no longer taken
          hint: what serves stays; pin a version that clients can go on with, or name it: `allowBreaking: [v20261120-093000]`"#]].assert_eq(&world.findings());
}
