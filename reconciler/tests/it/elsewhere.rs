//! What comes from another environment: versions, and what it says of the one that serves there.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use expect_test::{Expect, expect};
use planner::endpoint::Endpoint;
use planner::finding::Reason;
use planner::imports::{Fault, Wanted};
use planner::names::{Digest, ModelName, Revision, Version};
use planner::training::{Derivation, Feature};
use reconciler::diff::Exposure;
use reconciler::{ControlPlanes, Elsewhere, Fetched, Traffic, preview};
use registry::Draft;
use registry::artifact::{Graph, encode};

use crate::passes::World;
use crate::repository::{ENVIRONMENT, Repo, V1, V2, deployment, dev};
use crate::versions::draft;

const V3: &str = "v20261125-080000";
/// Longer than anything here takes.
const PATIENCE: Duration = Duration::from_mins(5);

/// A version that loads: `x + intercept`.
fn loads(intercept: f64) -> Draft {
    let graph = Graph::Linear {
        weights: vec![1.0],
        intercept,
    };
    let artifact = encode(&graph);
    let mut draft = draft(&"m".parse().unwrap(), &V3.parse().unwrap(), None);
    let metadata = &mut draft.metadata;
    metadata.artifact.digest = Digest::of(&artifact);
    metadata.artifact.bytes = artifact.len() as u64;
    let feature = Feature {
        name: "x".to_owned(),
        derivation: Derivation::Column("x".to_owned()),
    };
    metadata.signature = graph.signature(vec![feature], None);
    metadata.example.inputs = vec![2.0.into()];
    metadata.example.prediction = vec![2.0 + intercept];
    Draft { artifact, ..draft }
}

/// Another environment, which does what it is told and then what is right.
#[derive(Debug, Default)]
struct Staging {
    faults: Mutex<VecDeque<Fault>>,
    /// What is handed out besides.
    draft: Mutex<Option<Draft>>,
    asked: Mutex<Vec<Wanted>>,
    status: Mutex<Option<Result<Option<String>, String>>>,
}

impl Staging {
    fn with(draft: Draft) -> Arc<Self> {
        let staging = Self::default();
        *staging.draft.lock().unwrap() = Some(draft);
        Arc::new(staging)
    }

    fn asked(&self) -> usize {
        self.asked.lock().unwrap().len()
    }
}

impl ControlPlanes for Staging {
    fn version(&self, wanted: &Wanted, _partial: &mut Vec<u8>) -> Result<Fetched, Fault> {
        self.asked.lock().unwrap().push(wanted.clone());
        if let Some(fault) = self.faults.lock().unwrap().pop_front() {
            return Err(fault);
        }
        let draft = self.draft.lock().unwrap().clone();
        let Draft { metadata, artifact } = draft.ok_or(Fault::NotThere)?;
        Ok(Fetched { metadata, artifact })
    }

    fn status(&self, _at: &Endpoint, _model: &ModelName) -> Result<Option<Vec<u8>>, String> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(said) = self.status.lock().unwrap().clone() {
                return said.map(|said| said.map(String::into_bytes));
            }
            assert!(Instant::now() < deadline, "nobody lets it answer");
            std::thread::yield_now();
        }
    }
}

/// An environment that imports from staging, where V1 serves; the next commit pins V3 of this digest.
fn importing(staging: &Arc<Staging>, digest: Digest) -> (World, Revision) {
    let environment = ENVIRONMENT.replace(
        "Standalone",
        "Standalone, registry: { upstream: 'https://staging.example.org' }",
    );
    let mut repo = Repo::with(&[("m.yaml", &deployment("m", V1, None))]);
    repo.change("environment.yaml", &environment);
    let mut world = World::new(repo, &["m"]).asking(staging.clone());
    world.settle();
    let head = world.repo.change("m.yaml", &pinned(digest));
    (world, head)
}

fn pinned(digest: Digest) -> String {
    deployment("m", &format!("{V3}, digest: '{digest}'"), None)
}

impl World {
    /// Passes until something holds.
    #[track_caller]
    fn until(&mut self, what: &str, holds: impl Fn(&Self) -> bool) {
        let deadline = Instant::now() + PATIENCE;
        while !holds(self) {
            assert!(
                Instant::now() < deadline,
                "{what}: {:?}",
                self.reconciler.standing()
            );
            self.pass();
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    fn has(&self, reason: Reason) -> bool {
        let mut findings = self.reconciler.standing().findings();
        findings.any(|finding| finding.reason == reason)
    }
}

#[test]
fn a_version_that_is_pinned_comes_from_upstream_once() {
    let staging = Staging::with(loads(0.5));
    let digest = loads(0.5).metadata.artifact.digest;
    let (mut world, head) = importing(&staging, digest);
    let first = world.pass();
    let done: Vec<String> = first.applied.done.iter().map(ToString::to_string).collect();
    assert!(done[0].contains("import v20261125-080000"), "{done:?}");
    world.until("it serves", |world| world.serves() == V3);
    world.settle();
    assert_eq!(
        world.target.last_report().unwrap().applied_revision,
        Some(head.clone())
    );
    let version: Version = V3.parse().unwrap();
    let record = world
        .store
        .record(&"m".parse().unwrap(), &version)
        .unwrap()
        .unwrap();
    let imported = record.lineage.imported.unwrap();
    assert_eq!(imported.from.as_str(), "https://staging.example.org");
    assert_eq!(imported.revision, head);
    // Whoever pins it again has it.
    world.repo.change("m.yaml", &deployment("m", V1, None));
    world.settle();
    world.repo.change("m.yaml", &pinned(digest));
    world.settle();
    assert_eq!((world.serves(), staging.asked()), (V3.to_owned(), 1));
}

#[test]
fn what_does_not_come_is_told_and_what_serves_stays_until_it_comes() {
    let staging = Staging::with(loads(0.5));
    let (mut world, head) = importing(&staging, loads(0.5).metadata.artifact.digest);
    let fault = Fault::Unavailable("connection refused".to_owned());
    staging.faults.lock().unwrap().push_back(fault);
    world.until("it is told", |world| world.has(Reason::UpstreamUnavailable));
    assert_eq!(world.serves(), V1);
    let report = world.target.last_report().unwrap();
    assert_ne!(report.applied_revision, Some(head));
    // It is tried again by itself.
    world.until("it serves", |world| world.serves() == V3);
    world.settle();
    assert_eq!((world.findings(), staging.asked()), (String::new(), 2));
}

#[test]
fn only_a_version_that_could_serve_is_kept() {
    let digest = loads(0.5).metadata.artifact.digest;
    let not_loading = draft(&"m".parse().unwrap(), &V3.parse().unwrap(), None);
    let mut lying = loads(0.5);
    lying.metadata.example.prediction = vec![7.0];
    for (draft, digest, expected) in [
        (
            not_loading.clone(),
            not_loading.metadata.artifact.digest,
            expect![[r#"
                environments/dev/m.yaml:1:1: ImportFailed: MLDeployment/m: stable: version v20261125-080000 of m from https://staging.example.org cannot be used: this is no ONNX file: a field ends after its message
                  hint: what serves stays; `aurora model verify` there says which versions are sound"#]],
        ),
        (
            lying,
            digest,
            expect![[r#"
            environments/dev/m.yaml:1:1: ImportFailed: MLDeployment/m: stable: version v20261125-080000 of m from https://staging.example.org cannot be used: the artifact predicts [2.5] for the recorded example, not [7.0] (relative 1e-9); retrain the version on this kind of machine, or restore its files
              hint: what serves stays; `aurora model verify` there says which versions are sound"#]],
        ),
        // Its bytes are not what its record says.
        (
            Draft {
                artifact: loads(0.25).artifact,
                metadata: loads(0.5).metadata,
            },
            digest,
            expect![[r#"
                environments/dev/m.yaml:1:1: ImportFailed: MLDeployment/m: stable: version v20261125-080000 of m from https://staging.example.org cannot be used: the artifact predicts [2.25] for the recorded example, not [2.5] (relative 1e-9); retrain the version on this kind of machine, or restore its files
                  hint: what serves stays; `aurora model verify` there says which versions are sound"#]],
        ),
    ] {
        let staging = Staging::with(draft);
        let (mut world, _head) = importing(&staging, digest);
        world.until("it is told", |world| world.has(Reason::ImportFailed));
        expected.assert_eq(&world.findings());
        let model: ModelName = "m".parse().unwrap();
        let there = world.store.versions(&model).unwrap();
        assert_eq!(there.len(), 2, "{there:?}");
        assert_eq!(world.serves(), V1);
    }
}

#[test]
fn what_nobody_pins_any_more_is_not_asked_for() {
    let staging = Arc::new(Staging::default());
    let (mut world, _head) = importing(&staging, Digest::of(b"elsewhere"));
    world.until("it is told", |world| world.has(Reason::VersionMissing));
    world.repo.change("m.yaml", &deployment("m", V1, None));
    world.settle();
    // Only what is asked for is under way, and a process that is run once does not wait for more.
    assert_eq!(world.pass().importing, 0);
    assert_eq!((world.findings(), staging.asked()), (String::new(), 1));
}

/// What the control plane says of a stable V2 that has been there since a moment.
fn served(bytes: &[u8], since: &str) -> String {
    let digest = Digest::of(bytes);
    format!(
        r#"{{ "deployments": [{{ "status": {{ "stable": {{ "version": "{V2}", "digest": "{digest}" }} }} }}],
              "stable": {{ "version": "{V2}", "digest": "{digest}", "since": "{since}" }}, "age_seconds": 1.0 }}"#
    )
}

#[test]
fn the_control_plane_of_the_environment_before_says_since_when_a_version_serves() {
    let soaked = served(format!("m {V2}").as_bytes(), "2026-11-20T00:00:00Z");
    let soaking = served(format!("m {V2}").as_bytes(), "2026-11-30T23:00:00Z");
    let other = served(b"another", "2026-11-20T00:00:00Z");
    for (said, serves, expected) in [
        (
            Ok(Some(soaked)),
            format!("{V1} {V2}@10"),
            expect![[r#"

            MLDeployment/m: the alias canary waits until the track serves its pin"#]],
        ),
        (
            Ok(Some(soaking)),
            V1.to_owned(),
            expect![[r#"

            MLDeployment/m: canary waits with v20261120-093000: v20261120-093000 is stable in staging since 2026-11-30 23:00 UTC, and has to be for 1d; raises are allowed from 2026-12-01 23:00 UTC on"#]],
        ),
        (
            Ok(Some(other)),
            V1.to_owned(),
            expect![[r#"
            environments/dev/m.yaml:1:1: NotPromoted: MLDeployment/m: canary: v20261120-093000 is not what staging serves as stable: its v20261120-093000 is another artifact (ae448ac86c4e)
              hint: what serves stays; make it stable there first, with its digest
        "#]],
        ),
        (
            Ok(None),
            V1.to_owned(),
            expect![[r#"
            environments/dev/m.yaml:1:1: NotPromoted: MLDeployment/m: canary: v20261120-093000 is not what staging serves as stable: it does not serve that model
              hint: what serves stays; make it stable there first, with its digest
        "#]],
        ),
        (
            Err("no answer".to_owned()),
            V1.to_owned(),
            expect![[r#"
            environments/dev/m.yaml:1:1: GateUnknown: MLDeployment/m: canary: whether its way here will do is unknown: staging: the commit has no such folder, and https://staging.example.org does not say: no answer
              hint: what serves stays; pin a version of which it is known, or say `gates: { onUnknown: Allow }` by a commit before
        "#]],
        ),
    ] {
        let staging = Arc::new(Staging::default());
        let policy = "promotion: { from: staging, soak: 1d, status: 'https://staging.example.org' }";
        // Staging is of another repository: Git says nothing of it.
        let mut world = crate::raises::under(policy).asking(staging.clone());
        world.repo.change("m.yaml", &deployment("m", V1, Some((V2, 10))));
        world.pass();
        let waits = |world: &World| {
            let waiting = world.reconciler.standing().waiting();
            waiting.map(ToString::to_string).collect::<Vec<_>>().join("\n")
        };
        assert!(waits(&world).contains("is being asked"), "{}", waits(&world));
        assert_eq!(world.serves(), V1);
        *staging.status.lock().unwrap() = Some(said);
        world.until("it answered", |world| !waits(world).contains("is being asked"));
        world.pass();
        assert_eq!(world.serves(), serves);
        expected.assert_eq(&[world.findings(), waits(&world)].join("\n"));
    }
}

#[test]
fn a_plan_tells_what_is_imported_or_that_nobody_can_say() {
    let staging = Arc::new(Staging::default());
    let (mut world, head) = importing(&staging, loads(0.5).metadata.artifact.digest);
    let base = format!("{head}^");
    let told = |store: Option<&registry::Store>| {
        let now = "2026-12-01T00:00:00Z".parse().unwrap();
        let repository = world.repo.repository();
        let intents = preview::between(
            &repository,
            &base,
            head.as_str(),
            &dev(),
            store,
            Elsewhere::default(),
            now,
        )
        .unwrap();
        let lines = intents.exposures.iter().flat_map(Exposure::lines);
        lines.collect::<Vec<_>>().join("\n")
    };
    expect![[r#"
        requests: 0% -> 100%
        imports v20261125-080000 from https://staging.example.org
        unknown: it is compared once it is imported"#]]
    .assert_eq(&told(Some(&world.store)));
    expect![[r#"
        requests: 0% -> 100%
        unknown: whether v20261125-080000 is imported from https://staging.example.org: no registry was named: give --registry
        unknown: no registry was named: give --registry"#]].assert_eq(&told(None));
    // What is here is compared, and not imported.
    world.store.publish(loads(0.5)).unwrap();
    assert!(!told(Some(&world.store)).contains("import"));
    world.settle();
    assert_eq!((world.serves(), staging.asked()), (V3.to_owned(), 0));
}

#[test]
fn a_plan_tells_how_many_requests_a_second_it_moves_or_that_nobody_knows() {
    let mut repo = Repo::with(&[("m.yaml", &deployment("m", V1, Some((V2, 10))))]);
    let base = repo.change("k.yaml", &deployment("k", V1, None));
    repo.change("m.yaml", &deployment("m", V1, Some((V2, 50))));
    let head = repo.change("k.yaml", &deployment("k", V2, None));
    let at = Endpoint {
        url: "https://dev.example.org".parse().unwrap(),
        key_file: None,
    };
    let check = |said: Result<Option<&str>, &str>, expected: Expect| {
        let counting = Staging::default();
        let said = said.map(|said| said.map(str::to_owned)).map_err(str::to_owned);
        *counting.status.lock().unwrap() = Some(said);
        let elsewhere = Elsewhere {
            planes: None,
            traffic: Some(Traffic {
                planes: &counting,
                at: &at,
            }),
        };
        let now = "2026-12-01T00:00:00Z".parse().unwrap();
        let (repository, base, head) = (repo.repository(), base.as_str(), head.as_str());
        let intents = preview::between(&repository, base, head, &dev(), None, elsewhere, now).unwrap();
        let lines = intents.exposures.iter().flat_map(Exposure::lines);
        // What a registry would say is no matter here.
        let lines: Vec<_> = lines.filter(|line| line.contains("requests")).collect();
        expected.assert_eq(&lines.join("\n"));
    };
    check(
        Ok(Some(
            r#"{ "traffic": { "stable": { "per_second": 110.0 }, "canary": { "per_second": 13.0 } }, "age_seconds": 2 }"#,
        )),
        expect![[r#"
            requests: 0% -> 100%, 0 -> 123 a second of 123 over the last minute
            requests: 10% -> 50%, 12 -> 62 a second of 123 over the last minute"#]],
    );
    check(
        Ok(Some(r#"{ "age_seconds": 2 }"#)),
        expect![[r#"
        requests: 0% -> 100%
        unknown: how many requests a second that is: https://dev.example.org: it does not say how many requests come
        requests: 10% -> 50%
        unknown: how many requests a second that is: https://dev.example.org: it does not say how many requests come"#]],
    );
    check(
        Ok(None),
        expect![[r#"
        requests: 0% -> 100%
        unknown: how many requests a second that is: https://dev.example.org does not serve k
        requests: 10% -> 50%
        unknown: how many requests a second that is: https://dev.example.org does not serve m"#]],
    );
    check(
        Err("nobody listens there"),
        expect![[r#"
        requests: 0% -> 100%
        unknown: how many requests a second that is: https://dev.example.org: nobody listens there
        requests: 10% -> 50%
        unknown: how many requests a second that is: https://dev.example.org: nobody listens there"#]],
    );
}
