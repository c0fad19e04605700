//! Workflows and actions, read by those who know what goes wrong with them.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use tempfile::TempDir;
use testkit::{GitHub, Refusal};

use crate::harness::{aurora, has_git, root, run, skipped, text};

/// Not empty where these tests must run: a machine without the linters is a failure then.
const REQUIRED: &str = "REQUIRE_WORKFLOW_LINTERS";

/// Runs a linter over this repository, and over one that `aurora init` made; it finds nothing.
fn lint(program: &str, arguments: &[&str]) {
    let made = TempDir::new().unwrap();
    let mut init = aurora();
    init.args(["init", "--folder"]).arg(made.path());
    for role in ["AUTHOR", "COMMITTER"] {
        init.env(format!("GIT_{role}_NAME"), "Ada")
            .env(format!("GIT_{role}_EMAIL"), "ada@example.org");
    }
    let output = run(&mut init);
    assert!(output.status.success(), "{}", text(&output));
    for folder in [&root(), made.path()] {
        lint_folder(program, arguments, folder);
    }
}

fn lint_folder(program: &str, arguments: &[&str], folder: &Path) {
    let mut command = Command::new(program);
    command.args(arguments).current_dir(folder);
    if Command::new(program).arg("--version").output().is_err() {
        let is_required = std::env::var_os(REQUIRED).is_some_and(|value| !value.is_empty());
        assert!(!is_required, "there is no {program}: .ci/run installs it");
        skipped(&format!(
            "the workflows as {program} sees them; .ci/run installs it"
        ));
        return;
    }
    let output = run(&mut command);
    assert!(output.status.success(), "{}", text(&output));
}

#[test]
fn actionlint_finds_nothing() {
    lint("actionlint", &[]);
}

#[test]
fn zizmor_finds_nothing() {
    lint("zizmor", &["--offline", "--no-progress", "."]);
}

/// What a linter is told to pass over, it says nothing of; and what others made may change any day.
#[test]
fn nothing_is_passed_over_and_nothing_of_others_is_used() {
    for folder in [".github", ".github/workflows", ".github/actions/plan"] {
        for entry in fs::read_dir(root().join(folder)).unwrap() {
            let path = entry.unwrap().path();
            if path
                .extension()
                .is_none_or(|extension| extension != "yml" && extension != "yaml")
            {
                continue;
            }
            let content = fs::read_to_string(&path).unwrap();
            let shown = path.display();
            assert!(!content.contains("zizmor: ignore"), "{shown}");
            let mut lines = content.lines().map(str::trim);
            let used = lines.find(|line| line.trim_start_matches("- ").starts_with("uses:"));
            assert_eq!(used, None, "{shown}");
        }
    }
}

/// Releases a program of these bytes, with a tag's name.
fn release(forge: &GitHub, tag: &str, program: &[u8]) -> Output {
    let folder = TempDir::new().unwrap();
    let binary = folder.path().join("aurora");
    fs::write(&binary, program).unwrap();
    let mut script = Command::new(root().join(".ci/release"));
    script.args(["publish", tag]).arg(&binary);
    script
        .env("GITHUB_API_URL", forge.api())
        .env("GITHUB_REPOSITORY", "octo/models");
    let output = run(script.env("TOKEN", forge.token()));
    assert!(!text(&output).contains(forge.token()), "{}", text(&output));
    output
}

/// A program without a loader, as far as `ldd` can see.
const STATIC: &[u8] = b"\x7fELF and so on";

#[test]
fn a_release_is_a_static_program_with_its_checksum() {
    if !has_git() {
        return;
    }
    let forge = GitHub::start().unwrap();
    let tag = concat!("v", env!("CARGO_PKG_VERSION"));
    let refused = |tag: &str, program: &[u8], why: &str| {
        let output = release(&forge, tag, program);
        assert!(
            !output.status.success() && text(&output).contains(why),
            "{}",
            text(&output)
        );
        assert_eq!(forge.calls().len(), 0, "{why}");
    };
    refused("v999.0.0", STATIC, "the tag is v999.0.0, and Cargo.toml says ");
    refused(tag, b"#!/bin/sh", "is no program of Linux");
    let linked = fs::read(env!("CARGO_BIN_EXE_aurora")).unwrap();
    refused(tag, &linked, "is not static");

    let output = release(&forge, tag, STATIC);
    assert!(output.status.success(), "{}", text(&output));
    let [(released, files)] = &forge.releases()[..] else {
        panic!("{}", text(&output))
    };
    assert_eq!(*released, format!("{tag} published"));
    // What is listed is what is there.
    let folder = TempDir::new().unwrap();
    for (name, content) in files {
        fs::write(folder.path().join(name), content).unwrap();
    }
    let checked = run(Command::new("sha256sum")
        .args(["--check", "--strict", "SHA256SUMS"])
        .current_dir(folder.path()));
    let archive = format!("aurora-{tag}-x86_64-linux.tar.gz");
    assert_eq!(text(&checked), format!("{archive}: OK\n"));
    let listed = run(Command::new("tar")
        .args(["--list", "--file", &archive])
        .current_dir(folder.path()));
    let expected =
        ["", "CHANGELOG.md", "LICENSE", "README.md", "aurora"].map(|name| format!("aurora-{tag}/{name}\n"));
    assert_eq!(text(&listed), expected.concat());
    // The same program makes the same archive.
    assert!(release(&forge, tag, STATIC).status.success());
    let all = forge.releases();
    assert_eq!(all[0].1, all[1].1);

    // A forge that says no ends it.
    let calls = forge.calls().len();
    let refusal = Refusal {
        code: 502,
        headers: Vec::new(),
    };
    forge.refuse([refusal]);
    assert!(!release(&forge, tag, STATIC).status.success());
    assert_eq!((forge.calls().len(), forge.releases().len()), (calls + 1, 2));
}

#[test]
fn a_tag_is_released_where_it_is_the_version_of_a_merged_commit() {
    if !has_git() {
        return;
    }
    let tag = concat!("v", env!("CARGO_PKG_VERSION"));
    let check = |tag: &str, branch: &str, refusal: Option<&str>| {
        let output = run(Command::new(root().join(".ci/release")).args(["check", tag, branch]));
        assert_eq!(output.status.success(), refusal.is_none(), "{}", text(&output));
        assert!(
            text(&output).contains(refusal.unwrap_or_default()),
            "{}",
            text(&output)
        );
    };
    check(tag, "HEAD", None);
    check(tag, "HEAD~1", Some("is of no commit that HEAD~1 contains"));
    check(
        "v999.0.0",
        "HEAD",
        Some("the tag is v999.0.0, and Cargo.toml says "),
    );
}
