//! Commits that a forge makes: merges, squashed requests, rebased ones.

use expect_test::expect;
use git2::Oid;
use planner::names::Revision;

use super::{ANN, EVE, Seal, Signer, environment, raised, under};
use crate::passes::World;
use crate::repository::{V1, V2, deployment};

/// The forge's own key.
const FORGE: Signer = Signer(9);

fn world(forge: &str) -> World {
    let mut world = under("verify: \"Off\"", &ANN.line(""));
    world.repo.write("environments/dev/forge", &FORGE.line(""));
    let commits =
        format!("verify: Require, allowedSigners: signers, forge: {{ allowedSigners: forge, {forge} }}");
    world.repo.change("environment.yaml", &environment(&commits));
    world.settle();
    world
}

impl World {
    /// Makes a branch with a commit that raises the canary, and goes on with main; returns main's commit and the branch's.
    fn diverge(&mut self, seal: Seal) -> (Revision, Revision) {
        let main = self.applied();
        let branch = self.repo.sealed_change("m.yaml", &raised(), seal);
        self.repo.force(&main);
        let main = self.repo.sealed_change("note.txt", "meanwhile", Seal::By(ANN));
        (main, branch)
    }

    /// Merges a branch as the forge would, with what is staged besides.
    fn merge(&mut self, main: &Revision, branch: &Revision, by: Seal) -> Revision {
        let id = |revision: &Revision| Oid::from_str(revision.as_str()).unwrap();
        self.repo.write("environments/dev/m.yaml", &raised());
        self.repo.commit_on("merge", &[id(main), id(branch)]);
        self.repo.seal(by)
    }
}

#[test]
fn a_merge_of_the_forge_counts_for_what_was_signed() {
    let unsigned = "it is not signed";
    for (branch, merge, expected) in [
        (Seal::By(ANN), Seal::By(FORGE), [None, None]),
        (Seal::By(ANN), Seal::By(ANN), [None, None]),
        (Seal::Unsigned, Seal::By(FORGE), [Some(unsigned), None]),
        (
            Seal::By(EVE),
            Seal::By(FORGE),
            [Some("it is signed with key EVE,"), None],
        ),
        (Seal::By(ANN), Seal::Unsigned, [None, Some(unsigned)]),
        (Seal::Unsigned, Seal::Unsigned, [Some(unsigned), Some(unsigned)]),
    ] {
        let mut world = world("squash: Refuse");
        let (main, side) = world.diverge(branch);
        let head = world.merge(&main, &side, merge);
        let said = world.judged(&head, expected == [None, None]);
        let of = |name: &str| {
            let lines = said
                .lines()
                .filter(|line| line.contains(&format!("commit {name} ")));
            lines.map(|line| line.rsplit_once(">: ").unwrap().1).next()
        };
        let found = [of(side.short()), of("HEAD")];
        for (found, expected) in found.into_iter().zip(expected) {
            assert_eq!(
                found.is_some(),
                expected.is_some(),
                "{branch:?} {merge:?}: {said}"
            );
            assert!(
                found
                    .unwrap_or_default()
                    .starts_with(expected.unwrap_or_default()),
                "{said}"
            );
        }
    }
}

#[test]
fn a_merge_of_the_forge_brings_nothing_besides() {
    let mut world = world("squash: Allow");
    let (main, branch) = world.diverge(Seal::By(ANN));
    world
        .repo
        .write("environments/dev/other.yaml", &deployment("other", V1, None));
    let head = world.merge(&main, &branch, Seal::By(FORGE));
    world.check(&head, false, &expect![[r#"
        CommitRefused: MLEnvironment/dev: commit HEAD by Test <test@example.org>: the forge signed it, and it says something else of the folder than a merge of its parents does
          hint: merge the branch locally and sign the merge: git merge --no-ff -S; or let an allowed signer answer for it: git commit --allow-empty -S -m Answer -m "Aurora-Answers-For: HEAD""#]]);
    // What lies beside the folder is not looked at.
    let mut world = self::world("squash: Refuse");
    let (main, branch) = world.diverge(Seal::By(ANN));
    world.repo.write("README", "besides");
    let head = world.merge(&main, &branch, Seal::By(FORGE));
    world.check(&head, true, &expect![""]);
}

#[test]
fn a_squashed_request_counts_where_the_forge_is_trusted_with_it() {
    let mut world = world("squash: Allow");
    let head = world.repo.sealed_change("m.yaml", &raised(), Seal::By(FORGE));
    world.check(&head, true, &expect![""]);
    let mut world = self::world("squash: Refuse");
    let head = world.repo.sealed_change("m.yaml", &raised(), Seal::By(FORGE));
    world.check(&head, false, &expect![[r#"
        CommitRefused: MLEnvironment/dev: commit HEAD by Test <test@example.org>: the forge signed it, and it is no merge: nobody else signed what it says
          hint: merge with a merge commit, or set commits.forge.squash to Allow if the forge is trusted with content; or let an allowed signer answer for it: git commit --allow-empty -S -m Answer -m "Aurora-Answers-For: HEAD""#]]);
}

#[test]
fn a_merge_stands_for_what_it_merged_where_the_branch_was_forced() {
    let mut world = world("squash: Refuse");
    let (main, branch) = world.diverge(Seal::By(ANN));
    let merged = world.merge(&main, &branch, Seal::By(FORGE));
    world.settle();
    let newer = world
        .repo
        .sealed_change("m.yaml", &deployment("m", V2, None), Seal::By(ANN));
    world.settle();
    assert_eq!(world.applied(), newer);
    world.repo.force(&merged);
    world.settle();
    assert_eq!(
        (world.applied(), world.serves()),
        (merged, format!("{V1} {V2}@10"))
    );
}
