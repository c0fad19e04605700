//! Workflows and actions, read by those who know what goes wrong with them.

use std::fs;
use std::process::Command;

use crate::harness::{root, run, skipped, text};

/// Not empty where these tests must run: a machine without the linters is a failure then.
const REQUIRED: &str = "REQUIRE_WORKFLOW_LINTERS";

/// Runs a linter over this repository; it finds nothing.
fn lint(program: &str, arguments: &[&str]) {
    let mut command = Command::new(program);
    command.args(arguments).current_dir(root());
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
    for folder in [".github/workflows", ".github/actions/plan"] {
        for entry in fs::read_dir(root().join(folder)).unwrap() {
            let path = entry.unwrap().path();
            if path.extension().is_none_or(|extension| extension != "yml") {
                continue;
            }
            let content = fs::read_to_string(&path).unwrap();
            let shown = path.display();
            assert!(!content.contains("zizmor: ignore"), "{shown}");
            let used = content
                .lines()
                .filter_map(|line| line.trim().trim_start_matches("- ").strip_prefix("uses: "));
            for used in used {
                assert!(used.starts_with("actions/"), "{shown} uses {used}");
            }
        }
    }
}
