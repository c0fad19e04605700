//! Passes from commits to objects, on the store in memory; the test plays the operator.

mod away;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crds::MLEnvironmentStatus;
use expect_test::expect;
use planner::Timestamp;
use planner::finding::{Disposition, Reason};
use planner::names::{ModelName, ObjectName, Track, Weight};
use planner::object::ObjectId;
use planner::per_track::PerTrack;
use planner::rollout::{State, Status};
use reconciler::objects::{
    Changes, Mark, MemoryStore, Object, ObjectStore, ObservedObject, TargetError, conformance,
};
use reconciler::source::Source;
use reconciler::{Beat, ControlPlanes, Pass, Reconciler};
use registry::{Observer, Owner, Reference, Store};

use crate::repository::{ENVIRONMENT, Repo, V1, V2, deployment, dev};
use crate::versions::draft;

pub(crate) struct World {
    pub(crate) repo: Repo,
    folder: tempfile::TempDir,
    pub(crate) target: Arc<MemoryStore>,
    pub(crate) reconciler: Reconciler,
    pub(crate) store: Store,
    now: Timestamp,
}

impl World {
    pub(crate) fn new(repo: Repo, models: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let owner = Owner {
            environment: dev(),
            installation: "test".to_owned(),
        };
        let now = "2026-12-01T00:00:00Z".parse().unwrap();
        let store = Store::init(folder.path(), &owner, now).unwrap();
        for model in models {
            for version in [V1, V2] {
                let draft = draft(&model.parse().unwrap(), &version.parse().unwrap(), None);
                store.publish(draft).unwrap();
            }
        }
        let target = Arc::new(MemoryStore::default());
        Self {
            reconciler: start(&repo, &target, &store),
            repo,
            folder,
            target,
            store,
            now,
        }
    }

    /// Asks other environments' control planes by `planes`.
    pub(crate) fn asking(self, planes: Arc<dyn ControlPlanes>) -> Self {
        Self {
            reconciler: self.reconciler.with_control_planes(planes),
            ..self
        }
    }

    pub(crate) fn pass(&mut self) -> Pass {
        self.now += std::time::Duration::from_millis(200);
        self.reconciler.pass(Beat::Turn, self.now, &mut || {})
    }

    /// Passes at this moment, looking at nothing that was not touched; the next passes come after it.
    pub(crate) fn pass_at(&mut self, now: Timestamp) -> Pass {
        self.now = now;
        self.reconciler.pass(Beat::Touch, now, &mut || {})
    }

    /// Passes until nothing is left to do, each deployment serving at once what its object says.
    pub(crate) fn settle(&mut self) {
        for _ in 0..20 {
            let pass = self.pass();
            let is_still = !self.serve();
            if pass.is_quiet() && is_still && self.reconciler.standing().waiting_count() == 0 {
                return;
            }
        }
        panic!("not settled: {:?}", self.reconciler.standing());
    }

    /// Passes until none is touched by anything, for as long as every model has its turn. The stamps of what was just
    /// published are not trusted yet, so that this takes seconds.
    fn rest(&mut self) {
        let mut still = 0;
        for _ in 0..2_000 {
            if self.pass().is_touched {
                still = 0;
                std::thread::sleep(std::time::Duration::from_millis(20));
            } else {
                still += 1;
            }
            if still == 60 {
                return;
            }
        }
        panic!("no rest: {:?}", self.reconciler.standing());
    }

    /// Lets each deployment serve what its object says; returns whether that was news.
    pub(crate) fn serve(&self) -> bool {
        let mut is_news = false;
        for object in self.target.observe(None).unwrap().objects {
            let ObservedObject::Deployment(name, found) = object else {
                continue;
            };
            let spec = &found.object.spec;
            let canary = spec.canary.as_ref();
            let serving = PerTrack {
                stable: Some(spec.stable.clone()),
                canary: canary.map(|canary| canary.pin.clone()),
            };
            if found.status.is_none_or(|status| status.serving != serving) {
                is_news = true;
                self.target
                    .set_rollout(&name, status(serving, canary.map(|canary| canary.weight)));
            }
        }
        is_news
    }

    fn alias(&self, model: &str, track: Track) -> Option<String> {
        let model: ModelName = model.parse().unwrap();
        let entry = self.store.resolve(&model, &Reference::Alias(track)).ok()?;
        Some(entry.version.to_string())
    }

    pub(crate) fn findings(&self) -> String {
        let findings: Vec<String> = self
            .reconciler
            .standing()
            .findings()
            .map(ToString::to_string)
            .collect();
        findings
            .join("\n")
            .replace(&self.folder.path().display().to_string(), "FOLDER")
    }
}

/// A store that takes reports and is too full for objects.
#[derive(Debug)]
struct FullStore(Arc<MemoryStore>, AtomicUsize);

impl ObjectStore for FullStore {
    fn observe(&self, since: Option<Mark>) -> Result<Changes, TargetError> {
        self.0.observe(since)
    }

    fn put(&self, _: &Object) -> Result<(), TargetError> {
        self.1.fetch_add(1, Ordering::Relaxed);
        let (disposition, reason) = (Disposition::Transient, Reason::StorageUnavailable);
        Err(TargetError::new(disposition, reason, "the store is full"))
    }

    fn delete(&self, id: &ObjectId) -> Result<(), TargetError> {
        self.0.delete(id)
    }

    fn report(&self, status: &MLEnvironmentStatus) -> Result<(), TargetError> {
        self.0.report(status)
    }
}

pub(crate) fn start<T: ObjectStore + 'static>(repo: &Repo, target: &Arc<T>, store: &Store) -> Reconciler {
    let source = Source::open(&repo.repository(), None).unwrap();
    let root = store.root().to_owned();
    let locate = Arc::new(move |_: &planner::environment::Environment| root.clone());
    Reconciler::new(
        source,
        dev(),
        Arc::<T>::clone(target),
        Observer::new(store.clone()),
        locate,
    )
}

fn status(serving: PerTrack<Option<planner::deployment::ResolvedPin>>, weight: Option<Weight>) -> Status {
    Status {
        state: State::Idle,
        since: "2026-12-01T00:00:00Z".parse().unwrap(),
        serving,
        weight: weight.unwrap_or_default(),
        routed_at: None,
        lost: None,
        thinned: None,
        paused: None,
        ceiling: None,
        frozen: None,
        retry: PerTrack::default(),
        history: Vec::new(),
    }
}

fn done(pass: &Pass) -> Vec<String> {
    pass.applied.done.iter().map(ToString::to_string).collect()
}

#[test]
fn the_store_in_memory_does_what_every_store_must() {
    conformance::check(MemoryStore::default);
}

#[test]
fn a_commit_becomes_objects_and_aliases_follow_what_serves() {
    let repo = Repo::with(&[("m.yaml", &deployment("m", V1, Some((V2, 10))))]);
    let mut world = World::new(repo, &["m"]);
    world.settle();
    assert_eq!(world.findings(), "");
    assert_eq!(world.alias("m", Track::Stable).as_deref(), Some(V1));
    assert_eq!(world.alias("m", Track::Canary).as_deref(), Some(V2));
    let report = world.target.last_report().unwrap();
    assert_eq!(report.applied_revision, report.attempted_revision);
    assert_eq!(report.counts.deployments, 1);

    world.repo.change("m.yaml", &deployment("m", V2, None));
    world.settle();
    assert_eq!(world.alias("m", Track::Stable).as_deref(), Some(V2));
    assert_eq!(world.alias("m", Track::Canary), None);
}

#[test]
fn a_converged_world_is_not_written_to_and_a_restart_decides_the_same() {
    let repo = Repo::with(&[
        ("m.yaml", &deployment("m", V1, Some((V2, 10)))),
        ("o.yaml", &deployment("o", V1, None)),
    ]);
    let mut world = World::new(repo, &["m", "o"]);
    world.settle();
    let before = world.target.writes();
    for _ in 0..100 {
        assert_eq!(done(&world.pass()), Vec::<String>::new());
    }
    world.reconciler = start(&world.repo, &world.target, &world.store);
    for _ in 0..3 {
        assert_eq!(done(&world.pass()), Vec::<String>::new());
    }
    assert_eq!(world.target.writes(), before);
}

#[test]
fn a_commit_that_changes_one_of_many_models_touches_that_one() {
    let names: Vec<String> = (0..150).map(|n| format!("m{n}")).collect();
    let mut repo = Repo::with(&[]);
    for name in &names {
        repo.write(
            &format!("environments/dev/{name}.yaml"),
            &deployment(name, V1, None),
        );
    }
    repo.commit("many");
    let models: Vec<&str> = names.iter().map(String::as_str).collect();
    let mut world = World::new(repo, &models);
    world.settle();
    world.rest();
    let before = world.target.writes();
    let revision = world.repo.change("m7.yaml", &deployment("m7", V1, Some((V2, 5))));
    let pass = world.pass();
    assert_eq!(done(&pass).len(), 1, "{:?}", done(&pass));
    // The object, and the report with the new revision.
    assert_eq!(world.target.writes() - before, 2);
    assert_eq!(
        world.target.last_report().unwrap().applied_revision,
        Some(revision)
    );
    world.settle();
    assert_eq!(world.alias("m7", Track::Canary).as_deref(), Some(V2));
    // The others are looked at in turns, and nothing is found: in the end no pass is touched by any.
    let before = world.target.writes();
    world.rest();
    assert_eq!(world.target.writes(), before);
}

#[test]
fn an_alias_and_a_version_that_somebody_changes_are_found_in_turns() {
    let repo = Repo::with(&[("m.yaml", &deployment("m", V1, None))]);
    let mut world = World::new(repo, &["m"]);
    world.settle();
    let alias = world.store.root().join("aurora/m/aliases/stable");
    std::fs::remove_file(&alias).unwrap();
    world.settle();
    assert_eq!(world.alias("m", Track::Stable).as_deref(), Some(V1));
    std::fs::remove_dir_all(world.store.root().join(format!("aurora/m/versions/{V1}"))).unwrap();
    for _ in 0..3 {
        world.pass();
    }
    expect![[r#"
        environments/dev/m.yaml:1:1: VersionMissing: MLDeployment/m: stable: version v20261101-120000 of m does not exist and no training job makes it
          hint: pin a version that exists, nearest v20261120-093000, or add an MLTrainingJob with `version: v20261101-120000`"#]]
    .assert_eq(&world.findings());
}

#[test]
fn a_store_that_is_away_is_told_and_nothing_is_lost() {
    let repo = Repo::with(&[("m.yaml", &deployment("m", V1, None))]);
    let mut world = World::new(repo, &["m", "o"]);
    world.settle();
    world.repo.change("o.yaml", &deployment("o", V1, None));
    // The objects and the report, and the objects once more.
    world.target.fail(3);
    assert!(world.pass().is_cut_short);
    expect![[r#"
        StorageUnavailable: the objects: the store is away
          hint: what serves stays; it is tried again
        StorageUnavailable: the report: the store is away
          hint: what serves stays; it is tried again"#]]
    .assert_eq(&world.findings());
    assert!(world.pass().is_cut_short);
    expect![[r#"
        StorageUnavailable: the objects: the store is away
          hint: what serves stays; it is tried again"#]]
    .assert_eq(&world.findings());
    // It is told no longer than it lasts.
    assert!(!world.pass().is_cut_short);
    assert_eq!(world.findings(), "");
    world.settle();
    assert_eq!(world.findings(), "");
    assert_eq!(world.alias("o", Track::Stable).as_deref(), Some(V1));
}

#[test]
fn what_cannot_be_written_is_tried_again_and_stops_no_other_model() {
    let repo = Repo::with(&[("m.yaml", &deployment("m", V1, None))]);
    let mut world = World::new(repo, &["m", "o"]);
    world.settle();
    // A folder in an alias's place is nobody's to remove: a person must act.
    let aliases = world.store.root().join("aurora/o/aliases");
    std::fs::create_dir_all(aliases.join("stable")).unwrap();
    world.repo.change("o.yaml", &deployment("o", V1, None));
    for _ in 0..5 {
        world.pass();
        world.serve();
    }
    world.repo.change("m.yaml", &deployment("m", V2, None));
    for _ in 0..5 {
        world.pass();
        world.serve();
    }
    assert_eq!(world.alias("m", Track::Stable).as_deref(), Some(V2));
    expect![[r#"
        StorageUnavailable: alias o@stable: alias FOLDER/aurora/o/aliases/stable is a folder: remove it by hand, the next pass sets it anew
          hint: what serves stays; mend it, then it goes on by itself"#]]
    .assert_eq(&world.findings());
    let report = world.target.last_report().unwrap();
    assert_ne!(
        report.applied_revision, report.attempted_revision,
        "not all of it was applied"
    );
    std::fs::remove_dir(aliases.join("stable")).unwrap();
    world.now += std::time::Duration::from_secs(30);
    world.settle();
    assert_eq!(world.findings(), "");
    assert_eq!(world.alias("o", Track::Stable).as_deref(), Some(V1));
}

#[test]
fn each_wait_for_what_fails_again_is_longer() {
    let repo = Repo::with(&[("m.yaml", &deployment("m", V1, None))]);
    let mut world = World::new(repo, &["m"]);
    world.settle();
    let full = Arc::new(FullStore(world.target.clone(), AtomicUsize::new(0)));
    world.reconciler = start(&world.repo, &full, &world.store);
    world.rest();
    world.repo.change("m.yaml", &deployment("m", V2, None));
    let begin = world.now;
    let mut tries = Vec::new();
    while tries.len() < 7 {
        let before = full.1.load(Ordering::Relaxed);
        assert!(world.pass().is_cut_short);
        if full.1.load(Ordering::Relaxed) > before {
            tries.push((world.now - begin).num_seconds());
        }
    }
    assert_eq!(tries, [0, 2, 6, 14, 30, 60, 90]);
    expect![[r#"
        environments/dev/m.yaml:1:1: StorageUnavailable: MLDeployment/m: the store is full
          hint: what serves stays; it is tried again"#]]
    .assert_eq(&world.findings());
}

#[test]
fn a_removed_manifest_removes_its_object_and_aliases() {
    let repo = Repo::with(&[
        ("m.yaml", &deployment("m", V1, None)),
        ("o.yaml", &deployment("o", V1, None)),
    ]);
    let mut world = World::new(repo, &["m", "o"]);
    world.settle();
    world.repo.remove("environments/dev/o.yaml");
    world.repo.commit("o goes");
    world.settle();
    let name: ObjectName = "o".parse().unwrap();
    let there = world.target.observe(None).unwrap().objects;
    let is_o =
        |object: &ObservedObject| matches!(object, ObservedObject::Deployment(other, _) if *other == name);
    assert!(!there.iter().any(is_o));
    assert_eq!(world.alias("o", Track::Stable), None);
    assert_eq!(world.alias("m", Track::Stable).as_deref(), Some(V1));
}

/// Attempted, applied, and what is ready.
fn stands(world: &World) -> String {
    let report = world.target.last_report().unwrap();
    let holding = report.conditions.iter();
    let holding = holding.filter(|condition| condition.status == crds::status::ConditionStatus::True);
    let holding: Vec<&str> = holding.map(|condition| condition.kind.as_str()).collect();
    let is_applied = report.applied_revision == report.attempted_revision;
    format!("{} applied: {is_applied}", holding.join("+"))
}

#[test]
fn a_commit_that_is_refused_is_attempted_and_not_applied() {
    let repo = Repo::with(&[
        ("m.yaml", &deployment("m", V1, None)),
        ("o.yaml", &deployment("o", V1, None)),
    ]);
    let mut world = World::new(repo, &["m", "o"]);
    world.settle();
    assert_eq!(stands(&world), "Ready applied: true");
    let behind = |pass: &Pass| -> Vec<String> {
        let behind = pass.behind.iter();
        behind
            .map(|(model, is_behind)| format!("{model} {is_behind}"))
            .collect()
    };
    // A pin that nobody makes.
    world
        .repo
        .change("m.yaml", &deployment("m", "v20990101-000000", None));
    assert_eq!(behind(&world.pass()), ["m true"]);
    assert_eq!(stands(&world), "Stalled applied: false");
    world.repo.change("m.yaml", &deployment("m", V1, None));
    assert_eq!(behind(&world.pass()), ["m false"]);
    assert_eq!(stands(&world), "Ready applied: true");
    // Both models at once are more than may go.
    world.repo.remove("environments/dev/m.yaml");
    world.repo.remove("environments/dev/o.yaml");
    world.repo.commit("both go");
    assert_eq!(behind(&world.pass()), ["m true", "o true"]);
    assert_eq!(stands(&world), "Stalled applied: false");
    world.settle();
    assert_eq!(world.alias("m", Track::Stable).as_deref(), Some(V1));
    world
        .repo
        .write("environments/dev/m.yaml", &deployment("m", V1, None));
    world
        .repo
        .write("environments/dev/o.yaml", &deployment("o", V1, None));
    world.repo.commit("both come back");
    assert_eq!(behind(&world.pass()), ["m false", "o false"]);
    assert_eq!(stands(&world), "Ready applied: true");
    // Suspended, nothing is applied, and nobody says that all is as it should be.
    let environment = ENVIRONMENT.replace("Standalone }", "Standalone, suspend: freeze }");
    world.repo.change("environment.yaml", &environment);
    let pass = world.pass();
    assert_eq!(
        (behind(&pass), pass.suspended.as_deref()),
        (vec!["m true".to_owned(), "o true".to_owned()], Some("freeze"))
    );
    assert_eq!(stands(&world), " applied: false");
    world.repo.change("m.yaml", &deployment("m", V2, None));
    assert_eq!(done(&world.pass()), Vec::<String>::new());
    world.repo.change("environment.yaml", ENVIRONMENT);
    world.settle();
    assert_eq!(world.alias("m", Track::Stable).as_deref(), Some(V2));
    assert_eq!(stands(&world), "Ready applied: true");
}

#[test]
fn models_are_removed_one_by_one_by_nobody_but_git() {
    // Four objects turn to models of other names: no later pass, whatever it is about, lets one of them go.
    let names = ["a", "b", "c", "d"];
    let mut repo = Repo::with(&[]);
    for name in names {
        repo.write(
            &format!("environments/dev/{name}.yaml"),
            &deployment(name, V1, None),
        );
    }
    repo.commit("four");
    let mut world = World::new(repo, &["a", "b", "c", "d", "ax", "bx", "cx", "dx"]);
    world.settle();
    for name in names {
        let turned = deployment(name, V1, None)
            .replace("modelName: ", "modelName: x")
            .replace(&format!("modelName: x{name}"), &format!("modelName: {name}x"));
        world
            .repo
            .write(&format!("environments/dev/{name}.yaml"), &turned);
    }
    world.repo.commit("turned");
    let turns = |world: &mut World| {
        for _ in 0..50 {
            world.pass();
            world.serve();
        }
    };
    turns(&mut world);
    let refused = world.findings();
    assert!(
        refused.starts_with("RemovalRefused: MLEnvironment/dev: 4 of 4 models"),
        "{refused}"
    );
    for name in names {
        std::fs::remove_file(world.store.root().join(format!("aurora/{name}/aliases/stable"))).unwrap();
    }
    turns(&mut world);
    for name in names {
        assert_eq!(world.alias(name, Track::Stable).as_deref(), Some(V1), "{name}");
    }
    assert_eq!(world.findings(), refused);
}

/// What the environment's status says of the clock: the reason, and since when.
fn doubted(world: &World) -> Option<(String, Timestamp)> {
    let report = world.target.observe(None).unwrap().report.unwrap();
    let mut conditions = report.conditions.into_iter();
    let doubted = conditions.find(|condition| condition.kind == "ClockDoubted")?;
    Some((doubted.reason, doubted.last_transition_time))
}

/// Commits a file below `environments/dev/` under a clock of its own.
fn commit_at(repo: &mut Repo, path: &str, content: &str, at: Timestamp) {
    repo.write(&format!("environments/dev/{path}"), content);
    let git = repo.git();
    let at = git2::Time::new(at.timestamp(), 0);
    let author = git2::Signature::new("Test", "test@example.org", &at).unwrap();
    let tree = git.find_tree(git.index().unwrap().write_tree().unwrap()).unwrap();
    let parent = git.head().unwrap().peel_to_commit().unwrap();
    git.commit(Some("refs/heads/main"), &author, &author, path, &tree, &[&parent])
        .unwrap();
}

#[test]
fn a_commit_that_is_dated_ahead_lets_the_clock_be_doubted_until_it_is_reached() {
    let hours = std::time::Duration::from_hours;
    let repo = Repo::with(&[("m.yaml", &deployment("m", V1, None))]);
    let mut world = World::new(repo, &["m"]);
    world.settle();
    assert_eq!(doubted(&world), None);
    let ahead = world.now + hours(10 * 24);
    commit_at(&mut world.repo, "m.yaml", &deployment("m", V2, None), ahead);
    world.settle();
    let since = doubted(&world);
    assert_eq!(
        since.as_ref().map(|(reason, _)| reason.as_str()),
        Some("BehindCommit")
    );
    assert_eq!(
        world.alias("m", Track::Stable).as_deref(),
        Some(V2),
        "it is applied as any other"
    );
    // Later commits that are dated right are no reason to believe it.
    let now = world.now;
    commit_at(&mut world.repo, "n.yaml", &deployment("m2", V1, None), now);
    world.now += hours(24);
    world.pass();
    assert_eq!(doubted(&world), since);
    world.now += hours(9 * 24);
    world.pass();
    assert_eq!(doubted(&world), None);
}

#[test]
fn a_clock_behind_what_was_recorded_is_doubted_through_a_restart() {
    let repo = Repo::with(&[("m.yaml", &deployment("m", V1, None))]);
    let mut world = World::new(repo, &["m"]);
    world.settle();
    let right = world.now;
    // A few minutes are nothing: no two clocks agree.
    world.now = right - std::time::Duration::from_secs(200);
    world.pass();
    assert_eq!(doubted(&world), None);
    world.now = right - std::time::Duration::from_hours(24);
    world.pass();
    let since = doubted(&world);
    assert_eq!(
        since.as_ref().map(|(reason, _)| reason.as_str()),
        Some("BehindRecord")
    );
    world.reconciler = start(&world.repo, &world.target, &world.store);
    world.settle();
    assert_eq!(doubted(&world), since);
    world.now = right;
    world.pass();
    assert_eq!(doubted(&world), None);
}
