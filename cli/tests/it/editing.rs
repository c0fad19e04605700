//! `aurora pin`, `promote` and `rollback`: manifests changed as commits on branches, by the real binary.

use std::process::Command;

use serde_json::Value;

use crate::harness::{Repository, aurora, run, skipped, text};

const DEV: &str = "environments/dev/wine.yaml";
const PROD: &str = "environments/prod/more/wine.yaml";
const V1: &str = "v20261101-120000";
const V2: &str = "v20261102-120000";
const V3: &str = "v20261103-120000";

fn digest(n: u8) -> String {
    format!("sha256:{}", format!("{n:02x}").repeat(32))
}

/// A manifest with a comment that is to stay; `spec` follows `modelName`.
fn manifest(spec: &str) -> String {
    format!(
        "# The wine.\napiVersion: aurora.io/v1alpha1\nkind: MLDeployment\nmetadata: {{ name: wine }}\nspec:\n  modelName: wine\n{spec}"
    )
}

/// A repository whose two environments serve version 1.
fn repository() -> Repository {
    let repository = Repository::empty();
    let stable = manifest(&format!(
        "  stable: {{ version: {V1}, digest: \"{}\" }}\n",
        digest(1)
    ));
    repository.write(DEV, &stable);
    repository.write(PROD, &stable);
    repository.commit("serve the wine");
    repository
}

/// Runs an editing command; returns its exit code and what it said, and JSON where that is asked for.
fn edit(repository: &Repository, words: &[&str]) -> (Option<i32>, String, Value) {
    let mut command = aurora();
    command.current_dir(repository.path()).args(words);
    command.args(["--output", "json"]);
    let output = run(&mut command);
    let json = serde_json::from_slice(&output.stdout).unwrap_or_default();
    (output.status.code(), text(&output), json)
}

/// Runs it, and returns the file as the branch that it names has it then.
fn edited(repository: &Repository, words: &[&str]) -> (String, String) {
    let (code, said, json) = edit(repository, words);
    assert_eq!(code, Some(0), "{words:?}: {said}");
    let branch = json["branch"].as_str().unwrap_or_else(|| panic!("{said}"));
    let found = repository
        .git()
        .revparse_single(&format!("{branch}:{}", json["file"].as_str().unwrap()));
    let content = found.unwrap().peel_to_blob().unwrap().content().to_vec();
    (branch.to_owned(), String::from_utf8(content).unwrap())
}

fn refused(repository: &Repository, words: &[&str], why: &str) {
    let head = repository.head();
    let (code, said, _) = edit(repository, words);
    assert_eq!(code, Some(2), "{words:?}: {said}");
    assert!(said.contains(why), "{words:?}: {said}");
    assert_eq!(repository.head(), head, "{words:?}");
}

#[test]
fn a_canary_is_pinned_promoted_and_rolled_back_by_commits_on_branches() {
    let repository = repository();
    let main = repository.git().head().unwrap().shorthand().unwrap().to_owned();
    let before = repository.head();
    let canary = [
        "pin",
        "wine",
        V2,
        "--track",
        "canary",
        "--weight",
        "10",
        "--digest",
        &digest(2),
    ];
    let (branch, content) = edited(&repository, &canary);
    assert_eq!(branch, format!("aurora/dev-wine-{V2}"));
    let pinned = format!("  stable: {{ version: {V1}, digest: \"{}\" }}\n", digest(1));
    let tried = format!(
        "  canary: {{ version: {V2}, digest: \"{}\", weight: 10 }}\n",
        digest(2)
    );
    assert_eq!(content, manifest(&format!("{pinned}{tried}")));
    // Neither the branch that is checked out nor its files are touched.
    assert_eq!(repository.head(), before);
    assert_eq!(repository.read(DEV), manifest(&pinned));

    // Once more says so, and commits nothing.
    let (code, said, json) = edit(&repository, &canary);
    assert_eq!(
        (code, &json["changed"], &json["commit"]),
        (Some(0), &false.into(), &Value::Null),
        "{said}"
    );

    // On the branch that is checked out, the files follow.
    let on_main = |words: &[&str]| edited(&repository, &[words, &["--branch", &main]].concat()).1;
    let content = on_main(&canary);
    assert_eq!(repository.read(DEV), content);
    let statuses = repository.git().statuses(None).unwrap();
    assert_eq!(
        statuses
            .iter()
            .filter(|entry| entry.status() != git2::Status::IGNORED)
            .count(),
        0
    );
    let head = repository.git().head().unwrap().peel_to_commit().unwrap();
    assert_eq!(
        head.message(),
        Ok(format!("dev: wine canary {V2} at 10%").as_str())
    );
    assert_eq!(head.parent_id(0), Ok(before));

    let promoted = format!("  stable: {{ version: {V2}, digest: \"{}\" }}\n", digest(2));
    assert_eq!(on_main(&["promote", "wine"]), manifest(&promoted));
    let rejected = format!("{pinned}  rejected: [{V2}]\n");
    assert_eq!(on_main(&["rollback", "wine"]), manifest(&rejected));
    // A branch of that name is there from another time.
    refused(&repository, &["pin", "wine", V2], "does not contain HEAD");
    // What is rejected neither comes back nor is gone back to.
    refused(
        &repository,
        &["pin", "wine", V2, "--branch", "again", "--base", &main],
        "`rejected` names the version that stable pins",
    );
    let third = on_main(&["pin", "wine", V3]);
    assert_eq!(
        third,
        manifest(&format!("  stable: {{ version: {V3} }}\n  rejected: [{V2}]\n"))
    );
    let back = on_main(&["rollback", "wine"]);
    assert_eq!(back, manifest(&format!("{pinned}  rejected: [{V2}, {V3}]\n")));
    refused(
        &repository,
        &["rollback", "wine"],
        "served no other version before",
    );
}

/// Whatever cut the first attempt off, the second finds the branch and goes on from there.
#[test]
fn the_same_command_again_changes_nothing_more() {
    let repository = repository();
    let main = repository.git().head().unwrap().shorthand().unwrap().to_owned();
    let second = digest(2);
    let pins = [
        &["pin", "wine", V2, "--digest", &second, "--branch", &main][..],
        &["pin", "wine", V3, "--track", "canary", "--branch", &main],
    ];
    for pin in pins {
        edited(&repository, pin);
    }
    for words in [
        &["pin", "wine", V3, "--track", "canary", "--weight", "7"][..],
        &["promote", "wine", "--branch", "promoted"],
        &["promote", "wine", "--from", "dev", "--to", "prod"],
        &["rollback", "wine", "--to", V1],
        &["rollback", "wine"],
        &["rollback", "wine", "--track", "canary"],
    ] {
        let (branch, content) = edited(&repository, words);
        let (code, said, json) = edit(&repository, words);
        assert_eq!(
            (code, &json["changed"]),
            (Some(0), &false.into()),
            "{words:?}: {said}"
        );
        let end = repository
            .git()
            .revparse_single(&format!("{branch}:{}", json["file"].as_str().unwrap()));
        assert_eq!(
            end.unwrap().as_blob().unwrap().content(),
            content.as_bytes(),
            "{words:?}"
        );
        repository
            .git()
            .find_branch(&branch, git2::BranchType::Local)
            .unwrap()
            .delete()
            .unwrap();
    }
}

#[test]
fn a_version_goes_from_one_environment_to_another_with_its_digest() {
    let repository = repository();
    let fresh = format!("  stable: {{ version: {V2}, digest: \"{}\" }}\n", digest(2));
    repository.write(DEV, manifest(&fresh));
    repository.commit("serve version 2");
    let (branch, content) = edited(&repository, &["promote", "wine", "--from", "dev", "--to", "prod"]);
    assert_eq!(branch, format!("aurora/prod-wine-{V2}"));
    assert_eq!(content, manifest(&fresh));
    let track = ["--track", "canary", "--weight", "5", "--branch", "try"];
    let (_, content) = edited(
        &repository,
        &[
            ["promote", "wine", "--from", "dev", "--to", "prod"].as_slice(),
            &track,
        ]
        .concat(),
    );
    let stable = format!("  stable: {{ version: {V1}, digest: \"{}\" }}\n", digest(1));
    let canary = format!(
        "  canary: {{ version: {V2}, digest: \"{}\", weight: 5 }}\n",
        digest(2)
    );
    assert_eq!(content, manifest(&format!("{stable}{canary}")));
    // The commit that tries it, then the one that promotes it: on one branch.
    let (_, content) = edited(
        &repository,
        &["promote", "wine", "--environment", "prod", "--branch", "try"],
    );
    assert_eq!(content, manifest(&fresh));

    repository.write(DEV, manifest(&format!("  stable: {{ version: {V3} }}\n")));
    repository.commit("serve version 3");
    refused(
        &repository,
        &["promote", "wine", "--from", "dev", "--to", "prod"],
        "without a digest",
    );
    refused(
        &repository,
        &["promote", "wine", "--from", "dev", "--to", "dev"],
        "are both dev",
    );
}

#[test]
fn files_of_the_work_tree_are_changed_where_that_is_asked_for() {
    let repository = repository();
    let uncommitted = repository.read(DEV).replace("# The wine.", "# The best wine.");
    repository.write(DEV, &uncommitted);
    let main = repository.git().head().unwrap().shorthand().unwrap().to_owned();
    refused(
        &repository,
        &["pin", "wine", V2, "--branch", &main],
        "has changes that are not committed",
    );
    let (code, said, json) = edit(&repository, &["pin", "wine", V2, "--in-place", "--dry-run"]);
    assert_eq!(
        (code, repository.read(DEV)),
        (Some(0), uncommitted.clone()),
        "{said}"
    );
    let shown = json["difference"].as_str().unwrap();
    assert!(
        shown.contains(&format!("+  stable: {{ version: {V2} }}")),
        "{shown}"
    );
    let head = repository.head();
    let (code, said, _) = edit(&repository, &["pin", "wine", V2, "--in-place"]);
    assert_eq!((code, repository.head()), (Some(0), head), "{said}");
    assert_eq!(
        repository.read(DEV),
        manifest(&format!("  stable: {{ version: {V2} }}\n")).replace("# The wine.", "# The best wine.")
    );
}

#[test]
fn what_cannot_be_done_is_said_and_changes_nothing() {
    let repository = repository();
    refused(
        &repository,
        &["pin", "beer", V2],
        "no MLDeployment of environment dev declares beer: there are wine",
    );
    refused(
        &repository,
        &["pin", "wine", V2, "--environment", "test"],
        "no MLDeployment of environment test",
    );
    refused(
        &repository,
        &["pin", "wine", V2, "--base", "nothing"],
        "nothing names no commit",
    );
    refused(
        &repository,
        &["pin", "wine", V2, "--weight", "10"],
        "--weight is the canary's",
    );
    refused(
        &repository,
        &["pin", "wine", V1, "--track", "canary"],
        "the canary pins the version that stable pins",
    );
    refused(
        &repository,
        &["promote", "wine"],
        "wine has no canary in environment dev",
    );
    refused(
        &repository,
        &["rollback", "wine", "--track", "canary"],
        "has no canary",
    );
    refused(&repository, &["rollback", "wine", "--to", V1], "wine serves");
    refused(
        &repository,
        &["pin", "wine", V2, "--branch", "no..branch"],
        "no..branch",
    );
    repository.write(
        "environments/dev/again.yaml",
        repository.read(DEV).replace("name: wine", "name: wine2"),
    );
    repository.commit("declare it twice");
    refused(
        &repository,
        &["pin", "wine", V2],
        "is declared in environments/dev/again.yaml and in environments/dev/wine.yaml",
    );
}

/// As `git` signs: by whatever the repository says.
#[test]
fn commits_are_signed_where_the_repository_asks_for_it() {
    let keygen = |arguments: &[&str]| Command::new("ssh-keygen").args(arguments).output();
    let repository = repository();
    let key = repository.file(".git/signer").to_string_lossy().into_owned();
    match (
        keygen(&["-q", "-t", "ed25519", "-N", "", "-f", &key]),
        Command::new("git").arg("--version").output(),
    ) {
        (Ok(made), Ok(_)) if made.status.success() => {}
        _ => return skipped("no ssh-keygen or git: signed commits were not tried"),
    }
    let mut config = repository.git().config().unwrap();
    for (name, value) in [
        ("commit.gpgsign", "true"),
        ("gpg.format", "ssh"),
        ("user.signingkey", &format!("{key}.pub")),
    ] {
        config.set_str(name, value).unwrap();
    }
    for (name, value) in [("user.name", "Aurora"), ("user.email", "aurora@example.org")] {
        config.set_str(name, value).unwrap();
    }
    let (branch, _) = edited(&repository, &["pin", "wine", V2]);
    let commit = repository.git().revparse_single(&branch).unwrap().id();
    let (signature, _) = repository.git().extract_signature(&commit, None).unwrap();
    assert!(signature.starts_with(b"-----BEGIN SSH SIGNATURE-----"));
    std::fs::remove_file(&key).unwrap();
    refused(&repository, &["pin", "wine", V3], "the commit is to be signed");
}
