//! What Git can do to the branch that `up` follows, as docs/git.md tells it.

use git2::{BranchType, Oid};
use serde_json::{Value, json};

use crate::harness::{FREE_PORTS, Ground, Repository, Up, aurora, eventually, get, run, text, up_command};

const WINE: &str = "environments/dev/wine-quality.yaml";
const STABLE: &str = "v20261101-120000";
const CANARY: &str = "v20261120-093000";

/// What wine-quality serves: stable, canary and the live weight.
type Serving<'a> = (&'a str, Option<&'a str>, u64);

/// Waits until wine-quality serves this, by its status and by its answers.
#[track_caller]
fn serves(up: &Up, body: &str, wanted: Serving<'_>) {
    let (stable, canary, weight) = wanted;
    eventually(&format!("it serves {wanted:?}"), || {
        let status = up.status();
        let wine = status["deployments"]
            .as_array()?
            .iter()
            .find(|deployment| deployment["metadata"]["name"] == "wine-quality")?["status"]
            .clone();
        let is_as_wanted = wine["stable"]["version"] == stable
            && wine["canary"]["version"] == json!(canary)
            && wine["weight"] == weight
            && wine["state"] == "Idle";
        is_as_wanted.then_some(())
    });
    let on = |track: &str| up.predict("wine-quality", &[("aurora-track", track)], body);
    assert_eq!((on("stable").status, on("stable").version()), (200, stable));
    match canary {
        Some(canary) => assert_eq!((on("canary").status, on("canary").version()), (200, canary)),
        None => assert_eq!(on("canary").status, 404),
    }
    let canaries = (0..50).filter(|_| up.predict("wine-quality", &[], body).track() == "canary");
    let canaries = canaries.count() as u64;
    assert!(
        canaries.abs_diff(weight / 2) <= 1,
        "{canaries} of 50 at weight {weight}"
    );
    assert_eq!(canaries == 0, weight == 0);
}

fn body(up: &Up) -> String {
    let answer = get(up.control_plane, &format!("/models/wine-quality/{STABLE}"));
    assert_eq!(answer.status, 200, "{answer:?}");
    json!({ "rows": [answer.json()["example"]["row"]] }).to_string()
}

/// Reverts one commit, as `git revert` does.
fn revert(repository: &Repository, commit: Oid) -> Oid {
    let git = repository.git();
    let commit = git.find_commit(commit).expect("the commit");
    let mut checkout = git2::build::CheckoutBuilder::new();
    checkout.force();
    let mut options = git2::RevertOptions::new();
    options.checkout_builder(checkout);
    git.revert(&commit, Some(&mut options)).expect("a revert");
    assert!(
        !git.index().expect("an index").has_conflicts(),
        "the revert has no conflict"
    );
    git.cleanup_state().expect("the revert is over");
    repository.commit("revert")
}

fn forced(up: &mut Up, from: Oid, to: Oid) -> Value {
    let short = |commit: Oid| commit.to_string()[..10].to_owned();
    up.event(&format!("the branch was forced from {from} to {to}"), |event| {
        let message = event["message"].to_string();
        event["event"] == "finding"
            && event["reason"] == "BranchForced"
            && message.contains(&format!("from {} to {}", short(from), short(to)))
    })
}

#[test]
fn a_revert_of_any_commit_restores_version_and_weight() {
    let ground = Ground::dev();
    let repository = &ground.repository;
    let up = ground.up();
    let body = body(&up);
    let first = (STABLE, Some(CANARY), 10);
    serves(&up, &body, first);

    let raised = repository.edit(WINE, "weight: 10", "weight: 50");
    serves(&up, &body, (STABLE, Some(CANARY), 50));

    // The newest but one: what came after it, about another model, stays.
    let other = repository.edit(
        "environments/dev/iris.yaml",
        "kind: MLDeployment",
        "kind: MLDeployment # annotated",
    );
    let lowered = revert(repository, raised);
    serves(&up, &body, first);
    assert!(
        repository
            .read("environments/dev/iris.yaml")
            .contains("annotated"),
        "{other} stays"
    );

    // The revert of the revert.
    revert(repository, lowered);
    serves(&up, &body, (STABLE, Some(CANARY), 50));
    revert(repository, repository.head());
    serves(&up, &body, first);

    // A new version and its training, then its promotion; both taken back.
    let version = "v20261201-070000";
    let manifests = repository.read(WINE);
    let boosted = manifests
        .split("---\n")
        .find(|document| document.contains("name: wine-quality-boosted"))
        .expect("the example trains a boosted model");
    let job = boosted
        .replace("name: wine-quality-boosted", "name: wine-quality-again")
        .replace(CANARY, version)
        .replace("seed: 42", "seed: 43");
    repository.write("environments/dev/wine-quality-again.yaml", job);
    let (jobs, deployment) = manifests.rsplit_once("---\n").expect("documents");
    repository.write(
        WINE,
        format!("{jobs}---\n{}", deployment.replace(CANARY, version)),
    );
    let trial = repository.commit("train and try");
    serves(&up, &body, (STABLE, Some(version), 10));
    repository.write(
        WINE,
        format!(
            "{jobs}---\napiVersion: aurora.io/v1alpha1\nkind: MLDeployment\nmetadata: {{ name: wine-quality }}\nspec:\n  \
             modelName: wine-quality\n  stable: {{ version: {version} }}\n"
        ),
    );
    let promotion = repository.commit("promote");
    serves(&up, &body, (version, None, 0));
    revert(repository, promotion);
    serves(&up, &body, (STABLE, Some(version), 10));
    revert(repository, trial);
    serves(&up, &body, first);
    // Versions never change: the one that nobody pins any more stays.
    assert_eq!(
        get(up.control_plane, &format!("/models/wine-quality/{version}")).status,
        200
    );
    assert!(up.stop().success());
}

#[test]
fn a_branch_that_is_forced_is_followed_and_reported_once() {
    let ground = Ground::dev();
    let repository = &ground.repository;
    let first = repository.head();
    let mut up = ground.up();
    let body = body(&up);
    let second = repository.edit(WINE, "weight: 10", "weight: 30");
    let third = repository.edit(WINE, "weight: 30", "weight: 60");
    serves(&up, &body, (STABLE, Some(CANARY), 60));

    // git reset --hard HEAD~2
    repository.reset_to(first);
    serves(&up, &body, (STABLE, Some(CANARY), 10));
    let told = forced(&mut up, third, first);
    assert!(told["hint"].to_string().contains("git branch"), "{told}");

    // git commit --amend: the commit before is not contained either.
    let aside = repository.edit(WINE, "weight: 10", "weight: 20");
    serves(&up, &body, (STABLE, Some(CANARY), 20));
    up.event("the report is over with the next commit", |event| {
        event["event"] == "resolved" && event["reason"] == "BranchForced"
    });
    let amended = repository.amend(WINE, "weight: 20", "weight: 40");
    serves(&up, &body, (STABLE, Some(CANARY), 40));
    eventually("it is reported", || {
        let findings = up.status()["environment"]["status"]["findings"].to_string();
        findings.contains("BranchForced").then_some(())
    });
    assert_ne!(aside, amended);

    // While it does not run.
    assert!(up.stop().success());
    repository.reset_to(second);
    let mut up = ground.up();
    forced(&mut up, amended, second);
    serves(&up, &body, (STABLE, Some(CANARY), 30));
    assert!(up.stop().success());
}

#[test]
fn a_link_that_is_moved_to_the_next_checked_out_commit_is_followed() {
    let ground = Ground::dev();
    let repository = &ground.repository;
    let folder = tempfile::tempdir().expect("a folder");
    let link = folder.path().join("current");
    // What git-sync does: each commit in a work tree of its own, with a detached HEAD, and the former one removed.
    let sync = |name: &str| {
        let made = repository.git().worktree(name, &folder.path().join(name), None);
        let made = made.expect("a work tree");
        let opened = git2::Repository::open_from_worktree(&made).expect("its repository");
        opened.set_head_detached(repository.head()).expect("a checkout");
        let aside = folder.path().join("aside");
        std::os::unix::fs::symlink(folder.path().join(name), &aside).expect("a link");
        std::fs::rename(&aside, &link).expect("it has the place of the other");
        made
    };
    let first = sync("first");
    let mut command = up_command(&link, &ground.data());
    command.args(FREE_PORTS).arg("--follow-head");
    let mut up = Up::watch(command);
    up.event("it is ready", |event| event["event"] == "ready");
    let body = body(&up);

    let commit = repository.edit(WINE, "weight: 10", "weight: 40");
    let second = sync("second");
    std::fs::remove_dir_all(first.path()).expect("it goes");
    first.prune(None).expect("it is forgotten");
    serves(&up, &body, (STABLE, Some(CANARY), 40));
    assert_eq!(
        up.status()["environment"]["status"]["appliedRevision"],
        commit.to_string()
    );

    repository.edit(WINE, "weight: 40", "weight: 50");
    std::fs::remove_dir_all(second.path()).expect("it goes");
    second.prune(None).expect("it is forgotten");
    sync("third");
    serves(&up, &body, (STABLE, Some(CANARY), 50));
    assert!(up.stop().success());
}

#[test]
fn a_configuration_of_git_that_cannot_be_read_stops_nothing() {
    let repository = Repository::dev();
    let home = tempfile::tempdir().expect("a folder");
    let config = home.path().join(".gitconfig");
    let elsewhere = home.path().join("loop");
    std::os::unix::fs::symlink(&elsewhere, &elsewhere).expect("a link");
    // What another user's home answers takes that user: a link to itself cannot be examined either.
    let unreadable = |config: &std::path::Path| {
        std::os::unix::fs::symlink(&elsewhere, config).expect("a link");
    };
    let unfinished = |config: &std::path::Path| std::fs::write(config, "[user").expect("a file");
    let including = |config: &std::path::Path| {
        let text = format!("[include]\n\tpath = {}\n", elsewhere.display());
        std::fs::write(config, text).expect("a file");
    };
    for kind in ["unreadable", "unfinished", "including"] {
        let _former = std::fs::remove_file(&config);
        match kind {
            "unreadable" => unreadable(&config),
            "unfinished" => unfinished(&config),
            _ => including(&config),
        }
        let output = run(aurora()
            .args(["validate", "--repo"])
            .arg(repository.path())
            .env("HOME", home.path())
            .env_remove("XDG_CONFIG_HOME"));
        assert!(output.status.success(), "{kind}: {}", text(&output));
    }
}

#[test]
fn only_the_followed_branch_counts_whatever_else_moves() {
    let ground = Ground::dev();
    let repository = &ground.repository;
    let git = repository.git();
    let first = repository.head();
    let commit = git.find_commit(first).expect("the commit");
    let mut up = ground.up();
    let body = body(&up);

    // Another branch is checked out and committed to; a tag moves; HEAD is detached and committed to.
    git.branch("other", &commit, false).expect("a branch");
    git.set_head("refs/heads/other").expect("a checkout");
    let other = repository.edit(WINE, "weight: 10", "weight: 70");
    git.tag_lightweight("main-release", &git.find_object(other, None).expect("it"), false)
        .expect("a tag");
    git.set_head_detached(other).expect("a checkout");
    repository.edit(WINE, "weight: 70", "weight: 80");
    // A commit of the followed branch shows that the others had been looked past.
    git.set_head("refs/heads/main").expect("a checkout");
    repository.reset_to(first);
    repository.edit(WINE, "weight: 10", "weight: 20");
    serves(&up, &body, (STABLE, Some(CANARY), 20));
    let weights: Vec<Value> = up
        .events()
        .into_iter()
        .filter(|event| event["event"] == "weight")
        .collect();
    assert!(
        !weights.iter().any(|event| event["to"] == 70 || event["to"] == 80),
        "{weights:?}"
    );

    // Deleted: what serves goes on. Made again elsewhere: followed, and reported.
    let last = repository.head();
    git.set_head_detached(last).expect("a checkout");
    git.find_branch("main", BranchType::Local)
        .expect("it")
        .delete()
        .expect("it goes");
    let gone = up.event("it is told", |event| {
        event["event"] == "finding" && event["reason"] == "SourceUnavailable"
    });
    assert!(gone["message"].to_string().contains("branch main"), "{gone}");
    serves(&up, &body, (STABLE, Some(CANARY), 20));
    git.branch("main", &git.find_commit(other).expect("it"), false)
        .expect("a branch");
    forced(&mut up, last, other);
    serves(&up, &body, (STABLE, Some(CANARY), 70));

    // The repository is moved away and comes back.
    let aside = repository.path().with_extension("aside");
    std::fs::rename(repository.path(), &aside).expect("a rename");
    up.event("it is told", |event| {
        event["event"] == "finding" && event["message"].to_string().contains("no Git repository")
    });
    serves(&up, &body, (STABLE, Some(CANARY), 70));
    std::fs::rename(&aside, repository.path()).expect("a rename");
    eventually("it is over", || {
        let status = up.status();
        let findings = status["environment"]["status"]["findings"].to_string();
        (!findings.contains("SourceUnavailable")).then_some(())
    });
    assert!(up.stop().success());
}

/// Starts `up` on the ground with further flags; it must be refused with all of `words`.
#[track_caller]
fn refused(ground: &Ground, flags: &[&str], words: &[&str]) {
    let output = run(up_command(ground.repository.path(), &ground.data())
        .args(FREE_PORTS)
        .args(flags));
    let said = text(&output);
    assert_eq!(output.status.code(), Some(2), "{said}");
    for word in words {
        assert!(said.contains(word), "{word:?} is missing in: {said}");
    }
}

#[test]
fn a_start_without_a_branch_to_follow_names_those_that_there_are() {
    let ground = Ground::dev();
    let git = ground.repository.git();
    let head = ground.repository.head();
    let commit = git.find_commit(head).expect("the commit");
    git.branch("kept", &commit, false).expect("a branch");
    git.tag_lightweight("v1", commit.as_object(), false)
        .expect("a tag");

    refused(
        &ground,
        &["--branch", "v1"],
        &["v1 is a tag", "kept", "git branch NAME v1"],
    );
    let id = head.to_string();
    refused(
        &ground,
        &["--branch", &id],
        &["is a commit", "kept", "git branch NAME"],
    );
    refused(&ground, &["--branch", &id[..10]], &["is a commit", "kept"]);
    refused(
        &ground,
        &["--branch", "typo"],
        &["no branch typo", "kept", "main"],
    );

    // The branch that is checked out is deleted beneath: nothing says which other one is meant.
    git.find_reference("refs/heads/main")
        .expect("it")
        .delete()
        .expect("it goes");
    refused(&ground, &[], &["branch main", "kept", "--branch"]);
    refused(&ground, &["--branch", "main"], &["main", "kept"]);
    git.set_head_detached(head).expect("a checkout");
    refused(&ground, &[], &["detached", "kept", "--branch"]);
    let mut command = up_command(ground.repository.path(), &ground.data());
    command.args(FREE_PORTS).args(["--branch", "kept"]);
    let mut up = Up::watch(command);
    up.event("it follows the other branch", |event| event["event"] == "ready");
    assert!(up.stop().success());
}
