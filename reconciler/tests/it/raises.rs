//! Windows and gates in passes over a real repository and registry: what is held, when it is looked at again, and by whose
//! word.

use expect_test::{Expect, expect};
use planner::Timestamp;
use planner::gates::Gate;
use planner::names::{ModelName, Revision};
use reconciler::Elsewhere;
use reconciler::diff::Exposure;
use reconciler::objects::{ObjectStore as _, ObservedObject};
use reconciler::preview;
use registry::metadata::Attestation;

use crate::passes::World;
use crate::repository::{ENVIRONMENT, Repo, V1, V2, deployment, dev};
use crate::signed_models::{self, sign, trusting};
use crate::versions::draft;

/// The first hour of the day on which all passes are.
const FREEZE: &str = "windows: [ { type: Deny, cron: 0 0 * * TUE, duration: 1h, reason: freeze } ]";

pub(crate) fn environment(policy: &str) -> String {
    ENVIRONMENT.replace("Standalone", &format!("Standalone, {policy}"))
}

fn at(time: &str) -> Timestamp {
    format!("2026-12-01T{time}Z").parse().unwrap()
}

/// Stable V1 of `m` serves, and the policy has been there for long.
pub(crate) fn under(policy: &str) -> World {
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
    pub(crate) fn serves(&self) -> String {
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
        (
            "raise\n\nAurora-Window-Override: red \u{1b}[31m\u{7}",
            Some("red [31m"),
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

/// Versions of `m` beside V1 and V2: one is worse, one takes what the others do not.
const WORSE: &str = "v20261121-000000";
const TAKES_MORE: &str = "v20261122-000000";

fn publish(world: &World) {
    let model: ModelName = "m".parse().unwrap();
    for (version, r2, takes_missing, holdout) in [
        (WORSE, 0.4, false, Attestation::Unattested),
        (TAKES_MORE, 0.5, true, Attestation::Attested),
    ] {
        let mut draft = draft(&model, &version.parse().unwrap(), None);
        let measured = draft.metadata.metrics.as_mut().unwrap();
        measured.values.insert("r2".to_owned(), r2);
        draft.metadata.signature.missing_values = takes_missing;
        draft.metadata.lineage.holdout = Some(holdout);
        draft
            .metadata
            .hyperparameters
            .insert("depth".to_owned(), r2 * 10.0);
        world.store.publish(draft).unwrap();
    }
}

/// A commit that changes `m`, under a policy, and whether the gate lets it through.
struct Request {
    gate: Gate,
    policy: &'static str,
    before: (&'static str, Option<(&'static str, u8)>),
    after: (&'static str, Option<(&'static str, u8)>),
    passes: bool,
}

const REQUESTS: [Request; 15] = {
    const fn request(
        gate: Gate,
        policy: &'static str,
        before: (&'static str, Option<(&'static str, u8)>),
        after: (&'static str, Option<(&'static str, u8)>),
        passes: bool,
    ) -> Request {
        Request {
            gate,
            policy,
            before,
            after,
            passes,
        }
    }
    const STEPS: &str = "gates: { maxWeightStep: 20 }";
    const METRIC: &str = "gates: { metric: { tolerancePercent: 1 } }";
    const ANY: &str = "gates: {}";
    const SOAKED: &str = "promotion: { from: staging, soak: 60d }";
    const SOAKING: &str = "promotion: { from: staging, soak: 90d }";
    const OPEN: &str = "windows: [ { type: Allow, cron: 0 0 * * TUE, duration: 1h } ]";
    [
        request(Gate::WeightStep, STEPS, (V1, None), (V1, Some((V2, 20))), true),
        request(Gate::WeightStep, STEPS, (V1, None), (V1, Some((V2, 21))), false),
        request(Gate::WeightStep, STEPS, (V1, Some((V2, 80))), (V2, None), true),
        request(Gate::WeightStep, STEPS, (V1, Some((V2, 20))), (V2, None), false),
        request(Gate::Metric, METRIC, (V1, None), (V1, Some((V2, 10))), true),
        request(Gate::Metric, METRIC, (V1, None), (V1, Some((WORSE, 10))), false),
        request(
            Gate::Signature,
            ANY,
            (V1, None),
            (V1, Some((TAKES_MORE, 10))),
            true,
        ),
        request(
            Gate::Signature,
            ANY,
            (TAKES_MORE, None),
            (TAKES_MORE, Some((V1, 10))),
            false,
        ),
        // V2 is signed.
        request(
            Gate::Trust,
            signed_models::REQUIRE,
            (V1, None),
            (V1, Some((V2, 10))),
            true,
        ),
        request(
            Gate::Trust,
            signed_models::REQUIRE,
            (V1, None),
            (V1, Some((WORSE, 10))),
            false,
        ),
        // What staging has as stable since September.
        request(Gate::Promotion, SOAKED, (V1, None), (V1, Some((V2, 10))), true),
        request(
            Gate::Promotion,
            SOAKED,
            (V1, None),
            (V1, Some((WORSE, 10))),
            false,
        ),
        request(Gate::Promotion, SOAKING, (V1, None), (V1, Some((V2, 10))), false),
        request(Gate::Window, OPEN, (V1, None), (V1, Some((V2, 10))), true),
        request(Gate::Window, FREEZE, (V1, None), (V1, Some((V2, 10))), false),
    ]
};

/// Each gate has a commit that it stops and one that it lets through, and says so before the merge and after it.
#[test]
fn a_gate_says_on_a_plan_what_it_does_in_a_pass() {
    let mut table: Vec<(Gate, bool, &str)> = Vec::new();
    for Request {
        gate,
        policy,
        before,
        after,
        passes,
    } in &REQUESTS
    {
        let repo = Repo::with(&[("m.yaml", &deployment("m", before.0, before.1))]);
        let mut world = World::new(repo, &["m"]);
        publish(&world);
        world.settle();
        world.repo.write("environments/staging/m.yaml", &pinned(V2));
        world
            .repo
            .write("environments/dev/signers.pub", &trusting(&["p256"]));
        sign(&world.store, V2, "p256");
        world.repo.change("environment.yaml", &environment(policy));
        world.settle();
        let base = world.repo.change("README", "judged by that policy");
        let served = world.serves();
        let head = world.repo.change("m.yaml", &deployment("m", after.0, after.1));
        let planned = plan(&world, &base, &head);
        let mut judged = planned.exposures.iter().flat_map(|exposure| &exposure.gates);
        let says = judged.find(|judged| judged.gate == *gate);
        assert_eq!(
            !says.is_some_and(|judged| judged.outcome.stops()),
            *passes,
            "{gate:?}: {says:?}"
        );
        let waits = says.is_some_and(|judged| judged.waits.is_some());
        assert_eq!(planned.is_stopped(), !passes && !waits);
        table.push((*gate, *passes, "plan"));

        let pass = world.pass();
        assert_eq!(world.serves() == served, !passes, "{gate:?}: {}", world.serves());
        assert_eq!(pass.plan_hash.unwrap_or(planned.hash), planned.hash);
        table.push((*gate, *passes, "apply"));
    }
    for gate in Gate::ALL {
        for passes in [true, false] {
            for place in ["plan", "apply"] {
                let cell = table.contains(&(gate, passes, place));
                assert!(cell, "no request shows {} {passes} on {place}", gate.as_str());
            }
        }
    }
}

/// An MLDeployment of `m` whose stable is a version with its digest.
fn pinned(version: &str) -> String {
    let digest = planner::names::Digest::of(format!("m {version}").as_bytes());
    let with = format!("version: {version}, digest: \"{digest}\"");
    deployment("m", version, None).replace(&format!("version: {version}"), &with)
}

#[test]
fn a_version_soaks_in_the_environment_before() {
    type Commit<'a> = &'a dyn Fn(&mut World);
    const STAGING: &str = "environments/staging/m.yaml";
    let policy = "promotion: { from: staging, soak: 1d }";
    // What is committed in staging, one commit after the other, a minute apart, and what is said of V2 at the end; the
    // first commit of the repository is on 2026-09-21 at 14:14:20.
    let moved = |world: &mut World| {
        world.repo.remove(STAGING);
        world
            .repo
            .write("environments/staging/sub/other.yaml", &pinned(V2));
    };
    let write = |content: String| move |world: &mut World| world.repo.write(STAGING, &content);
    let (v1, v2) = (write(pinned(V1)), write(pinned(V2)));
    let canary = write(format!(
        "{}  canary: {{ version: {WORSE}, weight: 5 }}\n",
        pinned(V2)
    ));
    let (undated, broken) = (write(deployment("m", V2, None)), write("kind: [".to_owned()));
    let cases: &[(&[Commit<'_>], &str)] = &[
        (
            &[],
            "v20261120-093000 is not what staging serves as stable: the commit has no such folder",
        ),
        (
            &[&v1],
            "v20261120-093000 is not what staging serves as stable: it has v20261101-120000",
        ),
        (
            &[&broken],
            "v20261120-093000 is not what staging serves as stable: it does not serve that model",
        ),
        (
            &[&undated],
            "whether its way here will do is unknown: staging: it pins v20261120-093000 without a digest, so nobody can say of which artifact",
        ),
        (&[&v2], "since 14:17"),
        (&[&v1, &v2], "since 14:18"),
        // Another canary, and a move of the file, begin no soak anew; to leave and come back does.
        (&[&v2, &canary, &moved], "since 14:17"),
        (&[&v2, &v1, &v2], "since 14:19"),
        (&[&v2, &undated, &v2], "since 14:19"),
        (&[&v2, &broken, &v2], "since 14:19"),
    ];
    for (commits, expected) in cases {
        let mut world = under(policy);
        for (count, commit) in commits.iter().enumerate() {
            commit(&mut world);
            world.repo.commit(&format!("staging {count}"));
        }
        let base = world.repo.commit("base");
        let head = world.repo.change("m.yaml", &deployment("m", V1, Some((V2, 10))));
        let (repository, store) = (world.repo.repository(), Some(&world.store));
        let now = "2026-09-22T14:00:00Z".parse().unwrap();
        let planned = preview::between(
            &repository,
            base.as_str(),
            head.as_str(),
            &dev(),
            store,
            Elsewhere::default(),
            now,
        )
        .unwrap();
        let mut judged = planned.exposures.iter().flat_map(|exposure| &exposure.gates);
        let says = judged.find(|judged| judged.gate == Gate::Promotion).unwrap();
        let since = expected.strip_prefix("since ").map(|time| {
            format!("v20261120-093000 is stable in staging since 2026-09-21 {time} UTC, and has to be for 1d; raises are allowed from 2026-09-22 {time} UTC on")
        });
        assert_eq!(says.why, since.unwrap_or_else(|| (*expected).to_owned()));
    }
}

#[test]
fn what_soaks_comes_by_itself() {
    let mut world = under("promotion: { from: staging, soak: 71d }");
    world.repo.write("environments/staging/m.yaml", &pinned(V2));
    world.repo.commit("staging");
    world.repo.change("m.yaml", &deployment("m", V1, Some((V2, 10))));
    world.pass();
    assert_eq!(world.serves(), V1);
    let until = world.target.last_report().unwrap().next_wake_up.unwrap();
    world.pass_at(until - std::time::Duration::from_secs(1));
    assert_eq!(world.serves(), V1);
    world.pass_at(until);
    assert_eq!(world.serves(), format!("{V1} {V2}@10"));
}

fn plan(world: &World, base: &Revision, head: &Revision) -> reconciler::diff::Intents {
    let (repository, store) = (world.repo.repository(), Some(&world.store));
    preview::between(
        &repository,
        base.as_str(),
        head.as_str(),
        &dev(),
        store,
        Elsewhere::default(),
        at("00:30:00"),
    )
    .unwrap()
}

#[test]
fn a_plan_tells_how_versions_differ() {
    let mut world = under("gates: { metric: { tolerancePercent: 30 }, maxWeightStep: 50 }");
    publish(&world);
    let base = world.repo.change("README", "base");
    let head = world
        .repo
        .change("m.yaml", &deployment("m", V1, Some((WORSE, 60))));
    let text = plan(&world, &base, &head).text();
    let text = text.replace(base.short(), "BASE").replace(head.short(), "HEAD");
    let text: Vec<&str> = text.lines().filter(|line| !line.starts_with("plan ")).collect();
    expect![[r#"
        dev: BASE -> HEAD
        m
          canary v20261121-000000 gets 60% of the traffic
        m: canary v20261121-000000 beside v20261101-120000
          requests: 0% -> 60%
          holdout: unattested: the model may have been fitted to the rows that it was measured on
          signature: same
          r2: 0.4000 beside 0.5000 of v20261101-120000, same holdout
          fit: depth: none -> 4
          size: 18 -> 18 bytes
          published: 2026-12-01 00:00 UTC, within a day of v20261101-120000, by hand
          gate weight step: STOPS: v20261121-000000 gets 0% -> 60% of the requests: 60% more at once, where 50% are allowed
            hint: raise it in smaller steps, a commit each
          gate signature: passes: same beside v20261101-120000
          gate metric: passes: r2 0.4000 of v20261121-000000 beside 0.5000 of v20261101-120000 on the same holdout"#]].assert_eq(&text.join("\n"));
    // One that a model elsewhere says to be fitted to other rows, as the first of its model.
    let first = world.repo.change("m.yaml", &deployment("m", TAKES_MORE, None));
    let lines: Vec<String> = plan(&world, &base, &first)
        .exposures
        .iter()
        .flat_map(Exposure::lines)
        .collect();
    assert_eq!(
        lines[..2],
        [
            "requests: 0% -> 100%",
            "holdout: attested: the model names the rows that it was fitted to"
        ]
    );
    // A version that the same commit has trained is judged once it is there.
    let made = "v20261130-000000";
    world.repo.write(
        "environments/dev/t.yaml",
        &crate::repository::training("m", made, "builtin:iris"),
    );
    let head = world
        .repo
        .change("m.yaml", &deployment("m", V1, Some((made, 10))));
    let planned = plan(&world, &base, &head);
    let lines: Vec<String> = planned.exposures.iter().flat_map(Exposure::lines).collect();
    expect![[r#"
        requests: 0% -> 10%
        unknown: it waits for MLTrainingJob/m-20261130-000000, which makes it
        gate weight step: passes: 0% -> 10%, at most 50% more"#]]
    .assert_eq(&lines.join("\n"));
    assert!(!planned.is_stopped());
    // What nobody can look up is unknown, and stops.
    let head = world
        .repo
        .change("m.yaml", &deployment("m", V1, Some(("v20261231-000000", 10))));
    let planned = plan(&world, &base, &head);
    let lines: Vec<String> = planned.exposures.iter().flat_map(Exposure::lines).collect();
    expect![[r#"
        requests: 0% -> 10%
        unknown: the registry has no v20261231-000000
        gate weight step: passes: 0% -> 10%, at most 50% more
        gate signature: STOPS, unknown: whether its signature will do is unknown: the registry says nothing of v20261231-000000
          hint: pin a version of which it is known, or say `gates: { onUnknown: Allow }` by a commit before
        gate metric: STOPS, unknown: whether its metric will do is unknown: the registry says nothing of v20261231-000000
          hint: pin a version of which it is known, or say `gates: { onUnknown: Allow }` by a commit before"#]].assert_eq(&lines.join("\n"));
    assert!(planned.is_stopped());
}
