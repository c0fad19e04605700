//! A change by command becomes a pull request: the branch is pushed over HTTPS, and the forge is asked once.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::process::Command;

use serde_json::Value;
use tempfile::TempDir;
use testkit::{GitHub, Refusal};

use crate::harness::{Forge, aurora, private, run, text};

const V1: &str = "v20261101-120000";
const V2: &str = "v20261102-120000";
const V3: &str = "v20261103-120000";

/// Writes down what Git and its children are called with, as everybody on the machine can see it.
const HOOK: &str = "#!/bin/sh
{ tr '\\0' ' ' </proc/$PPID/cmdline; ps -eo args 2>/dev/null; env; } >\"$(dirname \"$0\")/seen\"
";

/// Somebody's clone of a repository behind a forge.
struct Clone {
    forge: Forge,
    github: GitHub,
    git: git2::Repository,
    folder: TempDir,
}

impl Clone {
    fn make() -> Option<Self> {
        let forge = Forge::start()?;
        let (github, folder) = (GitHub::start().unwrap(), TempDir::new().unwrap());
        forge.users(&[("x-access-token", github.token())]);
        private(&folder.path().join("token"), github.token());
        let place = forge.repository.path().to_str().unwrap();
        let git = git2::Repository::clone(place, folder.path().join("clone")).unwrap();
        git.remote_set_url("origin", &forge.https_address("git")).unwrap();
        let mut config = git.config().unwrap();
        config.set_str("user.name", "Ann").unwrap();
        config.set_str("user.email", "ann@example.org").unwrap();
        let hook = git.path().join("hooks/pre-push");
        fs::create_dir_all(hook.parent().unwrap()).unwrap();
        fs::write(&hook, HOOK).unwrap();
        fs::set_permissions(&hook, fs::Permissions::from_mode(0o700)).unwrap();
        Some(Self {
            forge,
            github,
            git,
            folder,
        })
    }

    /// Runs a command that edits; returns its exit code, what it said, and its JSON.
    fn edit(&self, words: &[&str]) -> (Option<i32>, String, Value) {
        let mut command = aurora();
        command.current_dir(self.folder.path().join("clone")).args(words);
        command
            .args(["--pull-request", "--github-token-file"])
            .arg(self.folder.path().join("token"));
        command.args(["--github-repository", "octo/models", "--github-api"]);
        command
            .arg(self.github.api())
            .arg("--ca-file")
            .arg(self.forge.file("ca.pem"));
        let output = run(command.args(["--output", "json"]));
        let said = text(&output);
        assert!(!said.contains(self.github.token()), "{said}");
        let json = serde_json::from_slice(&output.stdout).unwrap_or_default();
        (output.status.code(), said, json)
    }

    #[track_caller]
    fn proposes(&self, words: &[&str], number: u64, proposed: &[String]) -> Value {
        let (code, said, json) = self.edit(words);
        assert_eq!(code, Some(0), "{said}");
        let page = format!("https://forge.example/octo/models/pull/{number}");
        assert_eq!(json["pull_request"], page, "{said}");
        assert_eq!(self.github.proposed(), proposed, "{said}");
        json
    }

    #[track_caller]
    fn refuses(&self, words: &[&str], why: &str) -> String {
        let (code, said, _) = self.edit(words);
        assert_eq!(code, Some(2), "{said}");
        assert!(said.contains(why), "{why}: {said}");
        said
    }

    /// Returns the commit that a branch of the forge ends with.
    fn pushed(&self, branch: &str) -> String {
        let git = self.forge.repository.git();
        let found = git.refname_to_id(&format!("refs/heads/{branch}"));
        found.map_or_else(|_none| "none".to_owned(), |id| id.to_string())
    }
}

#[test]
fn a_pin_is_pushed_and_proposed_once() {
    let Some(clone) = Clone::make() else { return };
    let branch = format!("aurora/dev-iris-{V2}");
    let first = [format!("{branch} into main: dev: iris stable {V2} (was {V1})")];
    let json = clone.proposes(&["pin", "iris", V2], 1, &first);
    assert_eq!(clone.pushed(&branch), json["commit"].as_str().unwrap());
    // Nobody on the machine saw the token, and Git was logged in by it.
    let seen = fs::read_to_string(clone.git.path().join("hooks/seen")).unwrap();
    assert!(seen.contains("refs/heads/aurora/dev-iris"), "{seen}");
    assert!(!seen.contains(clone.github.token()), "{seen}");
    assert!(clone.forge.asked("git-receive-pack 200 x-access-token") > 0);

    // Again it is proposed no second time, and nothing is written.
    let writes = clone.github.writes();
    clone.proposes(&["pin", "iris", V2], 1, &first);
    assert_eq!(clone.github.writes(), writes);
    // What comes later on that branch goes into the same pull request.
    let later = [format!("{branch} into main: dev: iris stable {V3} (was {V2})")];
    let json = clone.proposes(&["pin", "iris", V3, "--branch", &branch], 1, &later);
    assert_eq!(clone.pushed(&branch), json["commit"].as_str().unwrap());
    // Another branch has one of its own, into another one.
    let (canary, message) = (
        format!("aurora/dev-iris-{V3}"),
        "dev: try v3\n\nSince it is better.",
    );
    let both = [later[0].clone(), format!("{canary} into release: dev: try v3")];
    let words = [
        "pin",
        "iris",
        V3,
        "--track",
        "canary",
        "--weight",
        "10",
        "--into",
        "release",
        "--message",
        message,
    ];
    clone.proposes(&words, 2, &both);
    // With nothing to change and no branch there is nothing to propose.
    let (code, said, json) = clone.edit(&["pin", "iris", V1]);
    assert_eq!(
        (code, &json["pull_request"], &json["changed"]),
        (Some(0), &Value::Null, &false.into()),
        "{said}"
    );
    // Nor is anything pushed to see what would change.
    let (code, said, json) = clone.edit(&["rollback", "iris", "--to", V2, "--dry-run"]);
    assert_eq!((code, &json["pull_request"]), (Some(0), &Value::Null), "{said}");
    assert_eq!(clone.github.proposed(), both);
}

#[test]
fn whatever_changes_a_manifest_is_proposed() {
    let Some(clone) = Clone::make() else { return };
    let here = clone.folder.path().join("clone");
    // Prod serves what dev did before it knew a digest.
    let prod = here.join("environments/prod");
    fs::create_dir(&prod).unwrap();
    let stable = fs::read_to_string(here.join("environments/dev/iris.yaml")).unwrap();
    let (_job, stable) = stable.split_once("---\n").unwrap();
    fs::write(prod.join("iris.yaml"), stable).unwrap();
    let digest = |n: u8| format!("sha256:{}", format!("{n:02x}").repeat(32));
    let done = |command: &mut Command| {
        let output = run(command.current_dir(&here));
        assert!(output.status.success(), "{}", text(&output));
    };
    done(Command::new("git").args(["add", "environments/prod"]));
    done(Command::new("git").args(["commit", "-qm", "begin prod"]));
    done(aurora().args(["pin", "iris", V1, "--digest", &digest(1), "--branch", "main"]));
    let canary = ["--track", "canary", "--weight", "10", "--branch", "main"];
    done(
        aurora()
            .args(["pin", "iris", V2, "--digest", &digest(2)])
            .args(canary),
    );

    let mut proposed = Vec::new();
    for (words, branch, title) in [
        (
            &["promote", "iris"][..],
            format!("dev-iris-{V2}"),
            format!("dev: iris promote canary {V2} (stable was {V1})"),
        ),
        (
            &["promote", "iris", "--from", "dev", "--to", "prod"],
            format!("prod-iris-{V1}"),
            format!("prod: iris stable {V1} from dev"),
        ),
        (
            &["rollback", "iris", "--to", V3],
            format!("dev-iris-without-{V1}"),
            format!("dev: iris roll back to {V3} (from {V1})"),
        ),
        (
            &["rollback", "iris", "--track", "canary"],
            format!("dev-iris-without-{V2}"),
            format!("dev: iris take canary {V2} away"),
        ),
    ] {
        proposed.push(format!("aurora/{branch} into main: {title}"));
        let json = clone.proposes(words, proposed.len() as u64, &proposed);
        assert_eq!(
            clone.pushed(&format!("aurora/{branch}")),
            json["commit"].as_str().unwrap()
        );
        // The same command again proposes no second one.
        clone.proposes(words, proposed.len() as u64, &proposed);
    }
}

#[test]
fn what_was_cut_off_is_proposed_by_the_same_command() {
    let Some(clone) = Clone::make() else { return };
    let branch = format!("aurora/dev-iris-{V2}");
    let words = ["pin", "iris", V2];
    // A forge that does not answer is said before anything is written.
    let away = Refusal {
        code: 503,
        headers: Vec::new(),
    };
    clone.github.refuse([away]);
    clone.refuses(&words, "the forge does not tell of the repository");
    assert!(clone.git.find_branch(&branch, git2::BranchType::Local).is_err());
    clone.refuses(
        &["pin", "iris", V2, "--remote", "elsewhere"],
        "there is no remote elsewhere",
    );
    clone.refuses(
        &["pin", "iris", V2, "--branch", "main"],
        "main is the branch to be merged into",
    );
    assert!(clone.git.find_branch(&branch, git2::BranchType::Local).is_err());

    // A token that may not push: the branch has the commit, and the same command goes on later.
    clone.forge.users(&[("x-access-token", "another")]);
    let said = clone.refuses(&words, "could not be pushed to origin");
    assert!(said.contains("give the same command again"), "{said}");
    assert_eq!(clone.pushed(&branch), "none");
    clone.forge.users(&[("x-access-token", clone.github.token())]);
    let proposed = [format!("{branch} into main: dev: iris stable {V2} (was {V1})")];
    let json = clone.proposes(&words, 1, &proposed);
    let tip = clone.git.refname_to_id(&format!("refs/heads/{branch}")).unwrap();
    assert_eq!(
        (clone.pushed(&branch), &json["changed"]),
        (tip.to_string(), &false.into())
    );

    // What somebody else pushed to the branch is not overwritten.
    let git = clone.forge.repository.git();
    let (ours, main) = (
        git.find_commit(tip).unwrap(),
        git.find_commit(clone.forge.repository.head()).unwrap(),
    );
    let (author, name) = (ours.author().to_owned(), format!("refs/heads/{branch}"));
    let theirs = git
        .commit(None, &author, &author, "theirs", &main.tree().unwrap(), &[&main])
        .unwrap();
    git.reference(&name, theirs, true, "").unwrap();
    clone.refuses(
        &["pin", "iris", V3, "--branch", &branch],
        "could not be pushed to origin",
    );
    assert_eq!(clone.pushed(&branch), theirs.to_string());
}
