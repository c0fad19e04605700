//! Signed commits, on a plan and in passes over a real repository: what is followed, and what is told where it is not.
//!
//! Keys are made from a number and sign as `ssh-keygen -Y sign` does, so that nothing has to be installed.

mod forge;
mod tools;

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use expect_test::{Expect, expect};
use git2::{ObjectType, Oid, Repository};
use planner::Timestamp;
use planner::finding::Finding;
use planner::names::Revision;
use planner::object::ObjectId;
use reconciler::objects::ObjectStore as _;
use reconciler::preview::{self, Known};
use reconciler::source::Follow;
use reconciler::{Elsewhere, Locate};
use ring::signature::{Ed25519KeyPair, KeyPair as _};
use sha2::{Digest as _, Sha512};

use crate::passes::{World, start};
use crate::repository::{ENVIRONMENT, Repo, V1, V2, deployment, dev, revision};

/// Who may sign, unless a test says otherwise.
const ANN: Signer = Signer(1);
/// Who may not.
const EVE: Signer = Signer(2);

/// Somebody with a key.
#[derive(Debug, Clone, Copy)]
struct Signer(u8);

impl Signer {
    fn pair(self) -> Ed25519KeyPair {
        Ed25519KeyPair::from_seed_unchecked(&[self.0; 32]).unwrap()
    }

    fn public(self) -> Vec<u8> {
        [text(b"ssh-ed25519"), text(self.pair().public_key().as_ref())].concat()
    }

    /// A line of allowed signers.
    fn line(self, options: &str) -> String {
        format!(
            "*@example.org {options} ssh-ed25519 {}\n",
            STANDARD.encode(self.public())
        )
    }

    fn sign(self, payload: &[u8], namespace: &str) -> String {
        let head = |magic: &[u8]| magic.to_vec();
        let kind = [text(namespace.as_bytes()), text(b""), text(b"sha512")].concat();
        let message = [head(b"SSHSIG"), kind.clone(), text(&Sha512::digest(payload))].concat();
        let signed = [text(b"ssh-ed25519"), text(self.pair().sign(&message).as_ref())].concat();
        let whole = [
            head(b"SSHSIG\0\0\0\x01"),
            text(&self.public()),
            kind,
            text(&signed),
        ];
        let inner = STANDARD.encode(whole.concat());
        format!("-----BEGIN SSH SIGNATURE-----\n{inner}\n-----END SSH SIGNATURE-----")
    }
}

fn text(bytes: &[u8]) -> Vec<u8> {
    [&u32::try_from(bytes.len()).unwrap().to_be_bytes(), bytes].concat()
}

/// What is done with a commit once it is made.
#[derive(Debug, Clone, Copy)]
enum Seal {
    Unsigned,
    By(Signer),
    /// For something else than Git.
    For(&'static str),
    /// And changed afterwards.
    Changed,
    Text(&'static str),
}

impl Repo {
    /// Makes the newest commit anew, signed.
    fn seal(&mut self, seal: Seal) -> Revision {
        let git = self.git();
        let head = git.refname_to_id("refs/heads/main").unwrap();
        let content = content(git, head);
        let signature = match seal {
            Seal::Unsigned => return revision(head),
            Seal::By(signer) => signer.sign(content.as_bytes(), "git"),
            Seal::For(namespace) => ANN.sign(content.as_bytes(), namespace),
            Seal::Changed => ANN.sign(format!("{content}.").as_bytes(), "git"),
            Seal::Text(text) => text.to_owned(),
        };
        let sealed = git.commit_signed(&content, &signature, None).unwrap();
        git.reference("refs/heads/main", sealed, true, "seal").unwrap();
        revision(sealed)
    }

    fn sealed_change(&mut self, path: &str, content: &str, seal: Seal) -> Revision {
        self.change(path, content);
        self.seal(seal)
    }
}

fn content(git: &Repository, commit: Oid) -> String {
    let objects = git.odb().unwrap();
    let object = objects.read(commit).unwrap();
    String::from_utf8(object.data().to_vec()).unwrap()
}

fn environment(commits: &str) -> String {
    ENVIRONMENT.replace("Standalone", &format!("Standalone, commits: {{ {commits} }}"))
}

fn requires() -> String {
    environment("verify: Require, allowedSigners: signers")
}

/// Stable V1 of `m` serves, by a commit that says what is demanded of the next ones.
fn under(commits: &str, signers: &str) -> World {
    let repo = Repo::with(&[("m.yaml", &deployment("m", V1, None)), ("signers", signers)]);
    let mut world = World::new(repo, &["m"]);
    world.settle();
    world.repo.change("environment.yaml", &environment(commits));
    world.settle();
    world
}

fn under_require() -> World {
    under("verify: Require, allowedSigners: signers", &ANN.line(""))
}

impl World {
    fn applied(&self) -> Revision {
        self.target.last_report().unwrap().applied_revision.unwrap()
    }

    /// Says what the plan of the commit on the applied one finds.
    fn planned(&self, head: &Revision) -> Vec<Finding> {
        let (repository, base) = (self.repo.repository(), self.applied());
        let now = "2026-12-01T00:00:00Z".parse().unwrap();
        let planned = preview::between(
            &repository,
            base.as_str(),
            head.as_str(),
            &dev(),
            None,
            Elsewhere::default(),
            now,
        );
        planned.unwrap().findings
    }

    /// Says what the next pass would find.
    fn previewed(&self) -> Vec<Finding> {
        let root = self.store.root().to_owned();
        let locate: Locate = Arc::new(move |_| root.clone());
        let now = "2026-12-01T00:00:00Z".parse().unwrap();
        let (repository, known) = (self.repo.repository(), Known::default());
        let target = self.target.as_ref();
        let follow = Follow::Branch("main".to_owned());
        let preview = preview::against(&repository, follow, &dev(), target, &locate, &known, now);
        preview.unwrap().plan.findings.into_iter().collect()
    }

    /// Plans the newest commit, and passes over it. Both say the same of it; the model follows it or stays.
    #[track_caller]
    fn check(&mut self, head: &Revision, is_followed: bool, expected: &Expect) {
        expected.assert_eq(&self.judged(head, is_followed));
    }

    /// Checks as much, and returns what both say.
    #[track_caller]
    fn judged(&mut self, head: &Revision, is_followed: bool) -> String {
        let before = self.serves();
        let (planned, previewed) = (self.planned(head), self.previewed());
        self.pass();
        let of_signatures = |finding: &&Finding| finding.reason.to_string().starts_with("Commit");
        let found: Vec<&Finding> = self
            .reconciler
            .standing()
            .findings()
            .filter(of_signatures)
            .collect();
        for said in [planned, previewed] {
            assert_eq!(said.iter().filter(of_signatures).collect::<Vec<_>>(), found);
        }
        let shown: Vec<String> = found.iter().map(ToString::to_string).collect();
        let shown = shown
            .join("\n")
            .replace(head.as_str(), "HEAD")
            .replace(head.short(), "HEAD");
        let shown = [(ANN, "ANN"), (EVE, "EVE")]
            .iter()
            .fold(shown, |shown, (signer, name)| {
                let print = sha2::Sha256::digest(signer.public());
                let print = STANDARD.encode(print);
                shown.replace(&format!("SHA256:{}", print.trim_end_matches('=')), name)
            });
        let report = self.target.last_report().unwrap();
        assert_eq!(report.attempted_revision.as_ref(), Some(head));
        if is_followed {
            self.settle();
            assert_eq!(self.applied(), *head, "{}", self.findings());
        } else {
            assert_eq!(self.serves(), before);
            assert_ne!(report.applied_revision.as_ref(), Some(head));
            for _ in 0..3 {
                self.pass();
            }
            assert_eq!(self.serves(), before);
        }
        shown
    }

    fn restart(&mut self) {
        let seen = self.reconciler.seen().clone();
        self.reconciler = start(&self.repo, &self.target, &self.store).with_seen(seen);
    }
}

fn raised() -> String {
    deployment("m", V1, Some((V2, 10)))
}

#[test]
fn who_signed_decides_under_each_policy() {
    let x509 = "-----BEGIN SIGNED MESSAGE-----\nMIIE\n-----END SIGNED MESSAGE-----";
    for (verify, seal, is_followed, expected) in [
        ("Off", Seal::Unsigned, true, ""),
        ("Off", Seal::By(EVE), true, ""),
        ("Warn", Seal::By(ANN), true, ""),
        ("Warn", Seal::Unsigned, true, "CommitUnverified: it is not signed"),
        ("Require", Seal::By(ANN), true, ""),
        (
            "Require",
            Seal::Unsigned,
            false,
            "CommitRefused: it is not signed",
        ),
        (
            "Require",
            Seal::By(EVE),
            false,
            "CommitRefused: it is signed with key EVE, which is not among the allowed ones",
        ),
        (
            "Require",
            Seal::Changed,
            false,
            "CommitRefused: its signature is bad: it is not what was signed with key ANN",
        ),
        (
            "Require",
            Seal::For("file"),
            false,
            "CommitRefused: its signature was made for `file`, not for git",
        ),
        (
            "Require",
            Seal::Text(x509),
            false,
            "CommitRefused: it is signed, with an X.509 certificate (S/MIME, gitsign), which Aurora does not verify",
        ),
        (
            "Require",
            Seal::Text("yes"),
            false,
            "CommitRefused: its signature makes no sense: it is neither of SSH nor of OpenPGP",
        ),
        (
            "Require",
            Seal::Text("-----BEGIN PGP SIGNATURE-----\n\n-----END PGP SIGNATURE-----"),
            false,
            "CommitRefused: its signature could not be verified: it is an OpenPGP signature, and no keyring is named",
        ),
    ] {
        let mut world = under(
            &format!("verify: \"{verify}\", allowedSigners: signers"),
            &ANN.line(""),
        );
        let head = world.repo.sealed_change("m.yaml", &raised(), seal);
        let said = world.judged(&head, is_followed);
        let about = "MLEnvironment/dev: commit HEAD by Test <test@example.org>: ";
        let said = said.lines().next().unwrap_or_default().replace(about, "");
        assert_eq!(said, expected);
        assert_eq!(world.serves() == V1, !is_followed, "{verify} {seal:?}");
    }
}

#[test]
fn what_served_before_serves_on_until_a_signer_answers_for_the_commit() {
    let mut world = under_require();
    let unsigned = world.repo.change("m.yaml", &raised());
    let model = || "m".parse().unwrap();
    assert_eq!(world.pass().behind, [(model(), true)]);
    assert_eq!(world.serves(), V1);
    // A signed commit after it does not make it good.
    let after = world.repo.sealed_change("README", "more", Seal::By(ANN));
    world.pass();
    assert_eq!(world.serves(), V1);
    // A restart forgets nothing, and what somebody changes meanwhile becomes again what was followed.
    world.restart();
    world.settle();
    assert_eq!(world.serves(), V1);
    let lost = ObjectId::deployment(&"m".parse().unwrap());
    world.target.delete(&lost).unwrap();
    world.settle();
    assert_eq!(world.serves(), V1);
    assert_eq!(
        world.target.last_report().unwrap().attempted_revision,
        Some(after)
    );
    let answer = format!("answer\n\nAurora-Answers-For: {unsigned}");
    world.repo.commit(&answer);
    world.pass();
    assert_eq!(world.serves(), V1, "nobody signed the answer");
    let answered = world.repo.seal(Seal::By(ANN));
    world.check(&answered, true, &expect![""]);
    assert_eq!(world.serves(), format!("{V1} {V2}@10"));
}

#[test]
fn no_commit_brings_along_the_policy_or_the_keys_by_which_it_is_judged() {
    let mut world = under_require();
    world.repo.write("environments/dev/signers", &EVE.line(""));
    world.repo.change("m.yaml", &raised());
    let own_key = world.repo.seal(Seal::By(EVE));
    world.pass();
    world.restart();
    world.settle();
    assert_eq!(world.serves(), V1);
    let report = world.target.last_report().unwrap();
    assert_eq!(report.attempted_revision, Some(own_key));

    let mut world = under_require();
    world.repo.write("environments/dev/environment.yaml", ENVIRONMENT);
    world.repo.change("m.yaml", &raised());
    world.pass();
    world.restart();
    world.settle();
    assert_eq!(world.serves(), V1);

    // A signer may let somebody else sign, from the next commit on.
    let mut world = under_require();
    let both = format!("{}{}", ANN.line(""), EVE.line(""));
    let head = world.repo.sealed_change("signers", &both, Seal::By(ANN));
    world.check(&head, true, &expect![""]);
    let head = world.repo.sealed_change("m.yaml", &raised(), Seal::By(EVE));
    world.check(&head, true, &expect![""]);
    // Or nobody need sign any more.
    let head = world
        .repo
        .sealed_change("environment.yaml", ENVIRONMENT, Seal::By(EVE));
    world.check(&head, true, &expect![""]);
    let head = world.repo.change("m.yaml", &deployment("m", V1, None));
    world.check(&head, true, &expect![""]);
    assert_eq!(world.target.last_report().unwrap().accepted_revision, None);
}

#[test]
fn a_commit_that_is_followed_and_waits_is_not_judged_by_what_it_brings_after_a_restart() {
    let repo = Repo::with(&[("m.yaml", &deployment("m", V1, None)), ("signers", &ANN.line(""))]);
    let mut world = World::new(repo, &["m"]);
    world.settle();
    // Unsigned, as it may be: it brings the policy, and something that waits for long.
    world.repo.write("environments/dev/environment.yaml", &requires());
    let job = crate::repository::training("m", "v20261125-000000", "builtin:wine-quality");
    world.repo.write("environments/dev/job.yaml", &job);
    let waits = deployment("m", "v20261125-000000", None);
    let waiting = world.repo.change("m.yaml", &waits);
    world.pass();
    world.pass();
    let report = world.target.last_report().unwrap();
    assert_ne!(report.applied_revision, Some(waiting.clone()));
    assert_eq!(report.accepted_revision, Some(waiting.clone()));
    world.restart();
    world.pass();
    assert_eq!(world.findings(), "");
    let report = world.target.last_report().unwrap();
    assert_eq!(report.attempted_revision, Some(waiting));
}

#[test]
fn only_commits_that_touch_the_folder_need_a_signature() {
    let mut world = under_require();
    world.repo.write("README", "beside");
    let head = world.repo.commit("beside");
    world.check(&head, true, &expect![""]);
    world
        .repo
        .write("environments/staging/notes.txt", "another environment");
    let head = world.repo.commit("beside");
    world.check(&head, true, &expect![""]);
    let head = world.repo.change("data.csv", "also what is no manifest");
    world.check(&head, false, &expect![[r#"
        CommitRefused: MLEnvironment/dev: commit HEAD by Test <test@example.org>: it is not signed
          hint: sign it: git commit --amend --no-edit -S (a forge's rebase merge makes commits without a signature: merge with a merge commit); or let an allowed signer answer for it: git commit --allow-empty -S -m Answer -m "Aurora-Answers-For: HEAD""#]]);
}

#[test]
fn the_first_commit_of_all_is_judged_by_what_it_says_itself() {
    for (seal, serves) in [(Seal::Unsigned, ""), (Seal::By(EVE), ""), (Seal::By(ANN), V1)] {
        let mut repo = Repo::new();
        repo.write("environments/dev/m.yaml", &deployment("m", V1, None));
        repo.commit("older ones need no signature");
        repo.write("environments/dev/signers", &ANN.line(""));
        repo.change("environment.yaml", &requires());
        let head = repo.seal(seal);
        let mut world = World::new(repo, &["m"]);
        world.pass();
        world.pass();
        assert_eq!(world.serves(), serves, "{seal:?}");
        let report = world.target.last_report().unwrap();
        assert_eq!(report.attempted_revision, Some(head), "{seal:?}");
        assert_eq!(world.findings().is_empty(), !serves.is_empty());
    }
}

#[test]
fn a_branch_that_is_forced_is_followed_to_what_was_signed() {
    let mut world = under_require();
    let unsigned = world.applied();
    let signed = world.repo.sealed_change("note.txt", "1", Seal::By(ANN));
    world.check(&signed, true, &expect![""]);
    let newer = world.repo.sealed_change("m.yaml", &raised(), Seal::By(ANN));
    world.check(&newer, true, &expect![""]);
    world.repo.force(&signed);
    world.settle();
    assert_eq!((world.serves(), world.applied()), (V1.to_owned(), signed.clone()));
    // Who made the folder what it was then did not sign: nobody answers for it any more.
    world.repo.force(&unsigned);
    world.check(&unsigned, false, &expect![[r#"
        CommitRefused: MLEnvironment/dev: commit HEAD by Test <test@example.org>: it is not signed
          hint: sign it: git commit --amend --no-edit -S (a forge's rebase merge makes commits without a signature: merge with a merge commit); or let an allowed signer answer for it: git commit --allow-empty -S -m Answer -m "Aurora-Answers-For: HEAD""#]]);
    world.repo.force(&signed);
    world.settle();
    assert!(
        !world.findings().contains("CommitRefused"),
        "{}",
        world.findings()
    );
    // Another way to the very same folder needs nobody's word.
    world.repo.force(&unsigned);
    world.repo.sealed_change("note.txt", "1", Seal::By(ANN));
    world.settle();
    assert_eq!(world.serves(), V1);
}

/// The keys of the repository are gone with it; those of the machine are not.
#[test]
fn where_the_last_followed_commit_is_gone_keys_of_the_machine_go_on() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("signers");
    std::fs::write(&path, ANN.line("")).unwrap();
    let of_machine = path.display().to_string();
    for (keys, seal, is_restarted, expected) in [
        ("signers", Seal::By(ANN), false, "is gone, and with it the keys"),
        ("signers", Seal::By(ANN), true, "is gone, and with it the keys"),
        (of_machine.as_str(), Seal::Unsigned, true, "it is not signed"),
        (of_machine.as_str(), Seal::By(ANN), false, ""),
        (of_machine.as_str(), Seal::By(ANN), true, ""),
    ] {
        let mut world = under(&format!("verify: Require, allowedSigners: {keys}"), &ANN.line(""));
        let base = world.applied();
        world.repo.write("environments/dev/m.yaml", &raised());
        world.repo.commit_on("anew", &[]);
        let head = world.repo.seal(seal);
        let (start, rest) = base.as_str().split_at(2);
        let object = world.repo.path().join(format!(".git/objects/{start}/{rest}"));
        std::fs::remove_file(object).unwrap();
        if is_restarted {
            world.restart();
        }
        world.pass();
        let said = world.findings();
        assert_eq!(said.contains("CommitRefused"), !expected.is_empty(), "{said}");
        assert!(said.contains(expected), "{said}");
        assert_eq!(world.serves() == V1, !expected.is_empty(), "{keys} {seal:?}");
        let report = world.target.last_report().unwrap();
        assert_eq!(report.attempted_revision, Some(head));
    }
}

#[test]
fn keys_count_as_of_when_a_commit_was_first_seen() {
    let until = |time: &str| ANN.line(&format!("valid-before=\"{time}\""));
    let mut world = under(
        "verify: Require, allowedSigners: signers",
        &until("20261201000100Z"),
    );
    let at = |time: &str| -> Timestamp { format!("2026-12-01T{time}Z").parse().unwrap() };
    // Seen in time, and held up by another commit until the key has expired.
    let unsigned = world.repo.change("note.txt", "unsigned");
    world.repo.sealed_change("m.yaml", &raised(), Seal::By(ANN));
    world.pass_at(at("00:00:50"));
    assert_eq!(world.serves(), V1);
    world.restart();
    world.pass_at(at("00:02:00"));
    let said = world.findings();
    assert!(
        said.contains(unsigned.short()) && !said.contains("expired"),
        "{said}"
    );
    let late = world
        .repo
        .sealed_change("m.yaml", &deployment("m", V2, None), Seal::By(ANN));
    world.pass_at(at("00:03:00"));
    let said = world.findings();
    let expired = format!("commit {} by Test <test@example.org>: key SHA256:", late.short());
    assert!(said.contains(&expired), "{said}");
    assert!(
        said.contains(
            "expired at 2026-12-01 00:01 UTC, before the commit was first seen here at 2026-12-01 00:03 UTC"
        ),
        "{said}"
    );
}

#[test]
fn a_line_that_makes_no_sense_is_told_by_its_place_and_stops_nothing() {
    let signers = format!("# who may sign\nann ssh-ed25519 AAAA\n{}", ANN.line(""));
    let mut world = under(
        "verify: Require, allowedSigners: signers, keyring: /nowhere/keys.gpg",
        &signers,
    );
    let expected = expect![[r#"
        /nowhere/keys.gpg: SignersUnusable: MLEnvironment/dev: cannot read /nowhere/keys.gpg: No such file or directory (os error 2)
          hint: no signature that needs it can be verified; a file of the repository counts from the commit on that brings it
        environments/dev/signers:2:1: SignersUnusable: MLEnvironment/dev: its key ends too early
          hint: the other lines count; write `PRINCIPAL[,PRINCIPAL…] [OPTIONS] KEYTYPE KEY`, or take it out"#]];
    expected.assert_eq(&world.findings());
    let head = world.repo.sealed_change("m.yaml", &raised(), Seal::By(ANN));
    world.check(&head, true, &expect![""]);
    world.restart();
    world.settle();
    expected.assert_eq(&world.findings());
    // A plan tells it of the commit that brings it.
    world
        .repo
        .write("environments/dev/signers", &ANN.line("valid-after=\"soon\""));
    world.repo.commit("signers");
    let head = world.repo.seal(Seal::By(ANN));
    let told = world.planned(&head);
    let told: Vec<String> = told.iter().map(ToString::to_string).collect();
    assert!(
        told[1].starts_with("environments/dev/signers:1:1: SignersUnusable"),
        "{told:?}"
    );
}

#[test]
fn keys_of_the_machine_are_read_again() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("signers");
    let commits = format!("verify: Require, allowedSigners: {}", path.display());
    let mut world = under(&commits, "");
    let head = world.repo.sealed_change("m.yaml", &raised(), Seal::By(ANN));
    world.pass();
    assert_eq!(world.serves(), V1);
    assert!(
        world.findings().contains("could not be verified: cannot read"),
        "{}",
        world.findings()
    );
    std::fs::write(&path, ANN.line("")).unwrap();
    let later: Timestamp = "2026-12-01T01:00:00Z".parse().unwrap();
    world.pass_at(later);
    world.settle();
    assert_eq!((world.applied(), world.findings()), (head, String::new()));
}

#[test]
fn what_is_not_signed_by_two_is_not_signed() {
    let mut world = under_require();
    world.repo.change("m.yaml", &raised());
    let git = world.repo.git();
    let head = git.refname_to_id("refs/heads/main").unwrap();
    let content = content(git, head);
    let signature = ANN.sign(content.as_bytes(), "git").replace('\n', "\n ");
    let (header, message) = content.split_once("\n\n").unwrap();
    let twice = format!("{header}\ngpgsig {signature}\ngpgsig {signature}\n\n{message}");
    let twice: Oid = git
        .odb()
        .unwrap()
        .write(ObjectType::Commit, twice.as_bytes())
        .unwrap();
    git.reference("refs/heads/main", twice, true, "twice").unwrap();
    world.check(&revision(twice), false, &expect![[r#"
        CommitRefused: MLEnvironment/dev: commit HEAD by Test <test@example.org>: its signature makes no sense: the commit has 2 signatures
          hint: make the commit anew, and take out what changed it after it was signed; or let an allowed signer answer for it: git commit --allow-empty -S -m Answer -m "Aurora-Answers-For: HEAD""#]]);
}
