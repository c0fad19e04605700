//! Which commit counts as the one that changed a manifest.

use std::cell::RefCell;
use std::fmt::Write as _;
use std::time::Duration;

use expect_test::{Expect, expect};
use git2::Oid;
use planner::Timestamp;
use planner::desired::{Dating, Declared, Desired};
use planner::names::{ObjectName, Revision};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use reconciler::resolve::Resolver;
use reconciler::source::Source;

use crate::repository::{Repo, V1, V2, deployment, dev, training};

fn desired(repo: &Repo, resolver: &mut Resolver) -> Desired {
    let mut source = Source::open(&repo.repository(), None).unwrap();
    let head = source.head().unwrap();
    resolver.resolve(&source, &head, &dev(), None).unwrap();
    resolver.resolution().desired.clone().unwrap()
}

/// Shows each manifest with the message and time of the commit that changed it, the same whether walked at once or step by step.
fn check(repo: &Repo, step_by_step: &mut Resolver, expected: &Expect) {
    let desired_now = desired(repo, step_by_step);
    assert_eq!(desired_now, desired(repo, &mut Resolver::default()));
    let message = |revision: &Revision| {
        let commit = repo
            .git()
            .find_commit(Oid::from_str(revision.as_str()).unwrap())
            .unwrap();
        commit.message().unwrap().to_owned()
    };
    let mut shown = String::new();
    for (name, declared) in &desired_now.deployments {
        writeln!(
            shown,
            "MLDeployment/{name}: {} at {}",
            message(&declared.revision),
            declared.committed_at
        )
        .unwrap();
    }
    for (name, declared) in &desired_now.trainings {
        writeln!(
            shown,
            "MLTrainingJob/{name}: {} at {}",
            message(&declared.revision),
            declared.committed_at
        )
        .unwrap();
    }
    expected.assert_eq(&shown);
}

#[test]
fn the_commit_that_changed_the_parsed_document_counts() {
    let mut repo = Repo::with(&[
        ("a.yaml", &deployment("a", V1, None)),
        (
            "b.yaml",
            &format!(
                "{}---\n{}",
                deployment("b", V1, None),
                training("b", V1, "builtin:iris")
            ),
        ),
    ]);
    let mut resolver = Resolver::default();
    check(
        &repo,
        &mut resolver,
        &expect![[r#"
        MLDeployment/a: first at 2026-09-21 14:14:20 UTC
        MLDeployment/b: first at 2026-09-21 14:14:20 UTC
        MLTrainingJob/b-20261101-120000: first at 2026-09-21 14:14:20 UTC
    "#]],
    );

    repo.write("environments/dev/a.yaml", &deployment("a", V2, None));
    repo.commit("a moves");
    check(
        &repo,
        &mut resolver,
        &expect![[r#"
        MLDeployment/a: a moves at 2026-09-21 14:15:20 UTC
        MLDeployment/b: first at 2026-09-21 14:14:20 UTC
        MLTrainingJob/b-20261101-120000: first at 2026-09-21 14:14:20 UTC
    "#]],
    );

    repo.write(
        "environments/dev/a.yaml",
        &format!("# why\n{}", deployment("a", V2, None)),
    );
    repo.commit("a comment");
    repo.remove("environments/dev/b.yaml");
    repo.write("environments/dev/sub/b.yaml", &deployment("b", V1, None));
    repo.write(
        "environments/dev/sub/job.yaml",
        &training("b", V1, "builtin:wine-quality"),
    );
    repo.commit("b moves to other files, its job changes");
    check(
        &repo,
        &mut resolver,
        &expect![[r#"
        MLDeployment/a: a moves at 2026-09-21 14:15:20 UTC
        MLDeployment/b: first at 2026-09-21 14:14:20 UTC
        MLTrainingJob/b-20261101-120000: b moves to other files, its job changes at 2026-09-21 14:17:20 UTC
    "#]],
    );
}

#[test]
fn a_revert_and_a_repair_count_as_changes() {
    let mut repo = Repo::with(&[("a.yaml", &deployment("a", V1, None))]);
    let mut resolver = Resolver::default();
    repo.write("environments/dev/a.yaml", &deployment("a", V2, None));
    repo.commit("change");
    repo.write("environments/dev/a.yaml", &deployment("a", V1, None));
    repo.commit("revert");
    check(
        &repo,
        &mut resolver,
        &expect![[r#"
        MLDeployment/a: revert at 2026-09-21 14:16:20 UTC
    "#]],
    );

    repo.write("environments/dev/a.yaml", "kind: [");
    repo.commit("broken");
    assert!(desired(&repo, &mut resolver).deployments.is_empty());
    repo.write("environments/dev/a.yaml", &deployment("a", V1, None));
    repo.commit("repaired");
    check(
        &repo,
        &mut resolver,
        &expect![[r#"
        MLDeployment/a: repaired at 2026-09-21 14:18:20 UTC
    "#]],
    );
}

#[test]
fn a_merge_counts_for_what_its_branch_brought() {
    let mut repo = Repo::with(&[
        ("a.yaml", &deployment("a", V1, None)),
        ("b.yaml", &deployment("b", V1, None)),
    ]);
    let mut resolver = Resolver::default();
    let first = repo.git().refname_to_id("refs/heads/main").unwrap();
    repo.write("environments/dev/a.yaml", &deployment("a", V2, None));
    let side = repo.commit_on("side", &[first]);
    repo.force(&crate::repository::revision(first));
    repo.write("environments/dev/b.yaml", &deployment("b", V2, None));
    let main = repo.commit("main");
    repo.write("environments/dev/a.yaml", &deployment("a", V2, None));
    let parents: Vec<Oid> = [main, side]
        .iter()
        .map(|id| Oid::from_str(id.as_str()).unwrap())
        .collect();
    repo.commit_on("merge", &parents);
    check(
        &repo,
        &mut resolver,
        &expect![[r#"
        MLDeployment/a: merge at 2026-09-21 14:17:20 UTC
        MLDeployment/b: main at 2026-09-21 14:16:20 UTC
    "#]],
    );
}

#[test]
fn a_forced_branch_is_walked_anew() {
    let mut repo = Repo::with(&[("a.yaml", &deployment("a", V1, None))]);
    let mut resolver = Resolver::default();
    let first = repo.git().refname_to_id("refs/heads/main").unwrap();
    repo.write("environments/dev/a.yaml", &deployment("a", V2, None));
    repo.commit("one way");
    check(
        &repo,
        &mut resolver,
        &expect![[r#"
        MLDeployment/a: one way at 2026-09-21 14:15:20 UTC
    "#]],
    );
    repo.force(&crate::repository::revision(first));
    repo.write("environments/dev/a.yaml", &deployment("a", V2, Some((V1, 5))));
    repo.commit("another way");
    check(
        &repo,
        &mut resolver,
        &expect![[r#"
        MLDeployment/a: another way at 2026-09-21 14:16:20 UTC
    "#]],
    );
}

/// A repository whose last 150 commits changed `a` alone.
fn long() -> Repo {
    let mut repo = Repo::with(&[
        ("a.yaml", &deployment("a", V1, None)),
        ("b.yaml", &deployment("b", V1, None)),
        ("c.yaml", &training("c", V1, "builtin:iris")),
        ("d.yaml", &training("d", V1, "rows.csv")),
        ("rows.csv", "x,quality\n1,2\n"),
    ]);
    repo.change("rows.csv", "x,quality\n1,3\n");
    for n in 0..150 {
        repo.change("a.yaml", &deployment("a", V1, Some((V2, 1 + n % 9))));
    }
    repo
}

fn name(text: &str) -> ObjectName {
    text.parse().unwrap()
}

/// The commits of all manifests, and whether any of them only stands for another.
type Commits = (Vec<(String, Revision, Timestamp)>, bool);

fn commits(desired: &Desired) -> Commits {
    let deployments = desired.deployments.iter().map(|(name, declared)| {
        let Declared {
            revision,
            committed_at,
            dating,
            ..
        } = declared;
        ((name.to_string(), revision.clone(), *committed_at), dating)
    });
    let trainings = desired.trainings.iter().map(|(name, declared)| {
        let Declared {
            revision,
            committed_at,
            dating,
            ..
        } = declared;
        ((name.to_string(), revision.clone(), *committed_at), dating)
    });
    let (commits, datings): (Vec<_>, Vec<_>) = deployments.chain(trainings).unzip();
    (commits, datings.contains(&&Dating::Provisional))
}

#[test]
fn a_long_history_is_read_a_piece_at_a_time_and_only_once() {
    let repo = long();
    let mut source = Source::open(&repo.repository(), None).unwrap();
    let head = source.head().unwrap();
    let whole = desired(&repo, &mut Resolver::default());
    let mut resolver = Resolver::default().with_patience(Duration::ZERO);
    let first = desired(&repo, &mut resolver);
    assert!(resolver.is_under_way());
    assert_eq!(resolver.walked_to(), None);
    assert_eq!(first.deployments[&name("a")].dating, Dating::Known);
    assert_eq!(first.deployments[&name("a")].revision, head);
    let stands_in = &first.deployments[&name("b")];
    assert_eq!(stands_in.dating, Dating::Provisional);
    assert_ne!(stands_in.revision, whole.deployments[&name("b")].revision);

    let mut pieces = 0;
    while resolver.is_under_way() {
        pieces += 1;
        resolver.go_on(&source).unwrap();
    }
    assert_eq!(pieces, 2);
    let last = resolver.resolution().desired.clone().unwrap();
    assert_eq!(commits(&last), commits(&whole));
    let corrected = Dating::Corrected(stands_in.revision.clone());
    assert_eq!(last.deployments[&name("b")].dating, corrected);

    // The next process reads nothing of it again.
    let remembered = resolver.remembered().unwrap();
    let remembered = serde_json::from_str(&serde_json::to_string(&remembered).unwrap()).unwrap();
    let mut next = Resolver::default()
        .with_patience(Duration::ZERO)
        .with_remembered(Some(remembered));
    assert_eq!(commits(&desired(&repo, &mut next)), commits(&whole));
    assert!(!next.is_under_way());
}

#[derive(Debug, Clone)]
enum Event {
    /// A commit changes the model `a`, `b`, the job `c` or the data of `d`.
    Commit(usize, u8),
    /// A commit takes the data of `d` away, which then cannot be used.
    Remove,
    /// The branch is forced back by as many commits.
    Force(usize),
    GoOn,
    /// Another process begins, with what the last one remembered.
    Restart,
}

fn events() -> impl Strategy<Value = Vec<Event>> {
    let event = prop_oneof![
        4 => (0..4_usize, 1..9_u8).prop_map(|(which, n)| Event::Commit(which, n)),
        1 => Just(Event::Remove),
        2 => prop_oneof![1..4_usize, 60..140_usize].prop_map(Event::Force),
        3 => Just(Event::GoOn),
        1 => Just(Event::Restart),
    ];
    prop::collection::vec(event, 1..14)
}

/// What happens while a history is read in pieces, and what is found in the end beside what a walk over all of it finds.
fn found_and_whole(repo: &mut Repo, base: Oid, events: Vec<Event>) -> [Commits; 2] {
    repo.force(&crate::repository::revision(base));
    let fresh = || Resolver::default().with_patience(Duration::ZERO);
    let mut resolver = fresh();
    let mut source = Source::open(&repo.repository(), None).unwrap();
    desired(repo, &mut resolver);
    for event in events {
        match event {
            Event::Commit(0, n) => drop(repo.change("a.yaml", &deployment("a", V1, Some((V2, n))))),
            Event::Commit(1, n) => drop(repo.change("b.yaml", &deployment("b", V1, Some((V2, n))))),
            Event::Commit(2, n) => {
                let job = training("c", V1, "builtin:iris") + &format!("  seed: {n}\n");
                drop(repo.change("c.yaml", &job));
            }
            Event::Commit(_, n) => drop(repo.change("rows.csv", &format!("x,quality\n{n},3\n"))),
            Event::Remove => {
                repo.remove("rows.csv");
                drop(repo.commit("no rows"));
            }
            Event::Force(back) => {
                let head = source.head().unwrap();
                let back = source.find(&format!("{head}~{back}"));
                repo.force(&back.unwrap_or(head));
            }
            Event::GoOn => drop(resolver.go_on(&source).unwrap()),
            Event::Restart => resolver = fresh().with_remembered(resolver.remembered()),
        }
        let head = source.head().unwrap();
        resolver.resolve(&source, &head, &dev(), None).unwrap();
    }
    while resolver.is_under_way() {
        resolver.go_on(&source).unwrap();
    }
    let found = resolver.resolution().desired.clone().unwrap();
    [commits(&found), commits(&desired(repo, &mut Resolver::default()))]
}

/// What another process is told of a job whose data could not be used is nothing: who changed it meanwhile was not followed.
#[test]
fn data_that_comes_back_is_of_the_commit_that_brought_it() {
    for between in [&[][..], &[Event::GoOn], &[Event::Commit(0, 3)]] {
        let mut repo = long();
        let base = repo.git().refname_to_id("refs/heads/main").unwrap();
        let mut events = vec![Event::GoOn, Event::GoOn, Event::GoOn, Event::Remove];
        events.extend_from_slice(between);
        events.extend([
            Event::Restart,
            Event::Commit(3, 5),
            Event::Commit(1, 7),
            Event::Restart,
        ]);
        let [found, whole] = found_and_whole(&mut repo, base, events);
        assert_eq!(found, whole, "{between:?}");
    }
}

/// Whatever happens while a history is read in pieces, what is found in the end is what a walk over all of it finds.
#[test]
fn pieces_of_a_walk_make_the_whole() {
    let repo = RefCell::new(long());
    let base = repo.borrow().git().refname_to_id("refs/heads/main").unwrap();
    let config = Config {
        cases: 24,
        failure_persistence: None,
        ..Config::default()
    };
    let tested = TestRunner::new(config).run(&events(), |events| {
        let [found, whole] = found_and_whole(&mut repo.borrow_mut(), base, events);
        prop_assert_eq!(found, whole);
        Ok(())
    });
    tested.unwrap();
}

/// What a commit touches is known beside the one before it: not beside one further back, which a forced branch is
/// compared with.
#[test]
fn data_counts_however_often_the_branch_is_forced_meanwhile() {
    let mut repo = long();
    let base = repo.git().refname_to_id("refs/heads/main").unwrap();
    let (a, rows) = (|n| Event::Commit(0, n), |n| Event::Commit(3, n));
    for events in [
        vec![a(1), rows(2), Event::Force(1), Event::Force(1)],
        vec![rows(2), Event::GoOn, Event::Force(1), Event::Force(1)],
        // The same data comes with another commit.
        vec![a(1), rows(2), Event::Force(1), rows(2)],
        vec![a(1), rows(2), Event::Force(2), rows(2), a(3)],
    ] {
        let shown = format!("{events:?}");
        let [found, whole] = found_and_whole(&mut repo, base, events);
        assert_eq!(found, whole, "{shown}");
    }
}
