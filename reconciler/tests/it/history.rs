//! Which commit counts as the one that changed a manifest.

use std::fmt::Write as _;

use expect_test::{Expect, expect};
use git2::Oid;
use planner::desired::Desired;
use planner::names::Revision;
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
