//! The commands that end by themselves.

use crate::harness::{Repository, aurora, run, text};

#[test]
fn a_key_is_shown_once_and_its_hash_goes_into_the_file() {
    let output = run(aurora().args(["key", "new", "ann", "--output", "json"]));
    assert!(output.status.success());
    let key: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let hash = planner::names::Digest::of(key["key"].as_str().unwrap().as_bytes());
    assert_eq!(key["line"], format!("ann:{}", hash.hex()));
    let other = run(aurora().args(["key", "new", "ann", "--output", "json"]));
    assert_ne!(output.stdout, other.stdout);
}

#[test]
fn the_crds_are_those_that_are_committed() {
    let output = run(aurora().arg("crds"));
    assert!(output.status.success());
    let printed = text(&output);
    for entry in std::fs::read_dir(crate::harness::root().join("crds/yaml")).unwrap() {
        let committed = std::fs::read_to_string(entry.unwrap().path()).unwrap();
        assert!(printed.contains(committed.trim_end()), "{committed}");
    }
}

#[test]
fn a_shell_completes_and_man_shows_every_command() {
    let help = text(&run(aurora().arg("--help")));
    let commands: Vec<&str> = help
        .lines()
        .skip_while(|line| *line != "Commands:")
        .filter_map(|line| line.strip_prefix("  ")?.split(' ').next())
        .filter(|command| !command.is_empty() && !command.starts_with('-') && *command != "help")
        .take_while(|command| command.chars().all(|c| c.is_ascii_lowercase() || c == '-'))
        .collect();
    assert!(commands.len() > 20, "{help}");
    for shell in ["bash", "zsh", "fish"] {
        let script = text(&run(aurora().args(["completions", shell])));
        for command in &commands {
            assert!(script.contains(command), "{shell}: {command}");
        }
    }
    let folder = tempfile::TempDir::new().unwrap();
    // It is longer than one argument may be.
    let script = folder.path().join("completions.bash");
    std::fs::write(&script, run(aurora().args(["completions", "bash"])).stdout).unwrap();
    let output = run(std::process::Command::new("bash").arg("-n").arg(&script));
    assert!(output.status.success(), "{}", text(&output));

    let output = run(aurora().arg("man").arg(folder.path()));
    assert!(output.status.success(), "{}", text(&output));
    for command in &commands {
        let page = std::fs::read_to_string(folder.path().join(format!("aurora-{command}.1"))).unwrap();
        assert!(page.contains(".SH NAME"), "{page}");
    }
    let pages = std::fs::read_dir(folder.path()).unwrap().flatten();
    let pages = pages.filter(|entry| entry.path().extension().is_some_and(|kind| kind == "1"));
    let told = format!("{} pages written", pages.count());
    assert!(text(&output).contains(&told), "{told}: {}", text(&output));
    let output = run(aurora().arg("man").arg(folder.path().join("gone")));
    assert_eq!(output.status.code(), Some(2));
    assert!(text(&output).contains("name a folder"), "{}", text(&output));
}

#[test]
fn a_sound_repository_validates() {
    let repository = Repository::dev();
    let output = run(aurora().arg("validate").arg("--repo").arg(repository.path()));
    assert!(output.status.success(), "{}", text(&output));
}

#[test]
fn a_plan_between_commits_says_by_its_exit_code_whether_there_is_one() {
    let repository = Repository::dev();
    let wine = "environments/dev/wine-quality.yaml";
    let plan = |base: &str| {
        let output = run(aurora()
            .args(["plan", "--base", base, "--repo"])
            .arg(repository.path()));
        (output.status.code(), text(&output))
    };
    let (code, said) = plan("HEAD");
    assert_eq!(code, Some(0), "{said}");
    repository.edit(wine, "weight: 10", "weight: 50");
    let (code, said) = plan("HEAD~1");
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("10%") && said.contains("50%"), "{said}");
    // What has a finding cannot be computed, and is never shown as no change.
    repository.edit(wine, "weight: 50", "weight: fifty");
    let (code, said) = plan("HEAD~1");
    assert_eq!(code, Some(2), "{said}");
    assert!(!said.contains("no change"), "{said}");
    let (code, said) = plan("no-such-commit");
    assert_eq!(code, Some(2), "{said}");
}

#[test]
fn a_wrong_command_line_exits_2() {
    for arguments in [
        &["up", "--nonsense"][..],
        &["model", "show"],
        &["key", "new", "Not A Name"],
    ] {
        let output = run(aurora().args(arguments));
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {}", text(&output));
        assert!(text(&output).starts_with("error: "), "{}", text(&output));
    }
}
