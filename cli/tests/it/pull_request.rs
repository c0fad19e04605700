//! A pull request on GitHub: what the plan action shows of it, what keeps a fork off the runner, and what its
//! merge does.

mod by_hand;
mod in_a_cluster;
mod merged;

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Output};

use git2::Oid;
use serde_json::{Value, json};
use tempfile::TempDir;
use testkit::GitHub;

use crate::harness::{Repository, aurora, copy, has_git, root, run, skipped, text};

const MANIFEST: &str = "environments/dev/iris.yaml";

/// Not empty where these tests must run: a machine without act is a failure then.
const REQUIRED: &str = "REQUIRE_WORKFLOW_LINTERS";

/// Returns where programs lie, this one first.
fn path() -> String {
    let binary = PathBuf::from(env!("CARGO_BIN_EXE_aurora"));
    let path = std::env::var("PATH").unwrap();
    format!("{}:{path}", binary.parent().unwrap().display())
}

/// A pull request, number 7, of a repository behind a forge.
struct PullRequest<'a> {
    repository: &'a Repository,
    base: Oid,
    folder: TempDir,
    forge: GitHub,
}

/// Makes a repository that declares a model.
fn declared() -> Repository {
    let repository = Repository::empty();
    for file in ["environment.yaml", "iris.yaml"] {
        let manifest = fs::read(root().join("environments/dev").join(file)).unwrap();
        repository.write(&format!("environments/dev/{file}"), manifest);
    }
    repository.commit("declare iris");
    repository
}

impl<'a> PullRequest<'a> {
    fn open(repository: &'a Repository) -> Self {
        // As somebody has them who begins a repository.
        let begun = Repository::empty();
        let output = run(aurora().args(["init", "--folder"]).arg(begun.path()));
        assert!(output.status.success(), "{}", text(&output));
        copy(&begun.file(".github"), &repository.file(".github"));
        let base = repository.commit("take the workflows");
        Self {
            repository,
            base,
            folder: TempDir::new().unwrap(),
            forge: GitHub::start().unwrap(),
        }
    }

    /// Pushes a commit that changes the manifest, and returns it.
    fn push(&self, from: &str, to: &str) -> Oid {
        let head = self.repository.edit(MANIFEST, from, to);
        self.forge.open(7, &head.to_string());
        head
    }

    /// Merges a commit into the base, as a forge does to see whether that can be.
    fn merge(&self, head: Oid) -> Oid {
        let git = self.repository.git();
        let (base, tip) = (
            git.find_commit(self.base).unwrap(),
            git.find_commit(head).unwrap(),
        );
        let author = git2::Signature::now("GitHub", "noreply@example.org").unwrap();
        let tree = tip.tree().unwrap();
        let merge = git
            .commit(None, &author, &author, "merge", &tree, &[&base, &tip])
            .unwrap();
        git.reference("refs/pull/7/merge", merge, true, "").unwrap();
        merge
    }

    /// Returns where the forge is, for Git.
    fn server(&self) -> PathBuf {
        let server = self.folder.path().join("server");
        if !server.exists() {
            fs::create_dir_all(server.join("octo")).unwrap();
            std::os::unix::fs::symlink(self.repository.path(), server.join("octo/models")).unwrap();
        }
        server
    }

    /// Runs the action's script for a commit, as a workflow does.
    fn plan(&self, head: Oid) -> Output {
        let mut script = Command::new(root().join(".github/actions/plan/plan.sh"));
        script.env_clear().env("PATH", path());
        script.env("RUNNER_TEMP", self.folder.path());
        script.env("GITHUB_STEP_SUMMARY", self.folder.path().join("summary"));
        script
            .env("GITHUB_SERVER_URL", self.server())
            .env("GITHUB_API_URL", self.forge.api());
        script.env("TOKEN", self.forge.token());
        script
            .env("HEAD", head.to_string())
            .env("MERGE", self.merge(head).to_string());
        script.envs([
            ("GITHUB_REPOSITORY", "octo/models"),
            ("NUMBER", "7"),
            ("ENVIRONMENTS", "dev"),
            ("AUTHOR", "github-actions[bot]"),
        ]);
        let output = run(&mut script);
        assert!(!text(&output).contains(self.forge.token()), "{}", text(&output));
        output
    }

    /// Runs the workflow for a pull request whose commit is of this repository; nothing where the machine cannot.
    fn act(&self, head: Oid, of: &str) -> Option<String> {
        let merge = self.merge(head);
        let git = self.repository.git();
        let before = git.find_reference("HEAD").unwrap();
        let before = before.symbolic_target().unwrap().unwrap().to_owned();
        git.set_head_detached(merge).unwrap();
        let event = json!({
            "action": "synchronize", "number": 7,
            "repository": { "full_name": "octo/models" },
            "pull_request": {
                "number": 7,
                "base": { "ref": "main", "sha": self.base.to_string() },
                "head": { "ref": "change", "sha": head.to_string(), "repo": { "full_name": of } },
            },
        });
        let said = self.run_workflow(
            "plan.yml",
            "pull_request",
            &event,
            &["--var", "AURORA_ENVIRONMENTS=dev"],
        );
        git.set_head(&before).unwrap();
        said
    }

    /// Runs a workflow for an event, as the forge's runner does; nothing where the machine cannot.
    fn run_workflow(&self, workflow: &str, kind: &str, event: &Value, settings: &[&str]) -> Option<String> {
        let said = text(&run(&mut self.workflow(workflow, kind, event, settings)?));
        assert!(!said.contains(self.forge.token()), "{said}");
        Some(said)
    }

    /// Returns what runs a workflow; nothing where the machine cannot.
    fn workflow(&self, workflow: &str, kind: &str, event: &Value, settings: &[&str]) -> Option<Command> {
        if Command::new("act").arg("--version").output().is_err() {
            let is_required = std::env::var_os(REQUIRED).is_some_and(|value| !value.is_empty());
            assert!(!is_required, "there is no act: .ci/run installs it");
            skipped("a workflow as a runner runs it; it needs act, which .ci/run installs");
            return None;
        }
        let file = self.folder.path().join("event.json");
        fs::write(&file, event.to_string()).unwrap();
        let mut act = Command::new("act");
        // It would hand all of an environment on.
        act.env_clear()
            .env("PATH", path())
            .env("HOME", self.folder.path())
            .env("NO_COLOR", "1");
        act.current_dir(self.repository.path())
            .arg(kind)
            .arg("--eventpath")
            .arg(&file);
        act.args(["--workflows", &format!(".github/workflows/{workflow}"), "--json"]);
        act.args([
            "--platform",
            "self-hosted=-self-hosted",
            "--platform",
            "ubuntu-24.04=-self-hosted",
        ]);
        act.arg("--secret")
            .arg(format!("GITHUB_TOKEN={}", self.forge.token()));
        act.arg("--env")
            .arg(format!("GITHUB_SERVER_URL={}", self.server().display()));
        act.arg("--env")
            .arg(format!("GITHUB_API_URL={}", self.forge.api()));
        act.args(["--env", "GITHUB_REPOSITORY=octo/models"])
            .args(settings);
        Some(act)
    }

    /// Returns the one comment.
    fn comment(&self) -> String {
        let comments = self.forge.comments(7);
        assert_eq!(comments.len(), 1, "{comments:?}");
        comments[0].clone()
    }

    fn status(&self, head: Oid) -> String {
        self.forge.statuses(&head.to_string()).join("; ")
    }
}

/// Returns how each step that ran ended, by job and name, without those that the runner adds.
fn steps(said: &str) -> Vec<String> {
    let lines = said
        .lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let text = |line: &Value, name: &str| line[name].as_str().unwrap_or_default().to_owned();
    lines
        .filter(|line| !line["stepResult"].is_null() && !line["stepID"].is_null())
        .map(|line| {
            let (job, step) = (text(&line, "jobID"), text(&line, "step"));
            format!("{job}: {step}: {}", text(&line, "stepResult"))
        })
        .collect()
}

#[test]
fn a_pull_request_has_one_comment_a_status_and_annotations() {
    if !has_git() {
        return;
    }
    let repository = declared();
    let pull = PullRequest::open(&repository);
    let first = pull.push("minimum: 0.9", "minimum: 0.8");
    let output = pull.plan(first);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output));
    let comment = pull.comment();
    assert!(
        comment.starts_with("github-actions[bot]: <!-- aurora plan dev -->\n### Aurora: `dev`"),
        "{comment}"
    );
    assert!(comment.contains("iris"), "{comment}");
    assert_eq!(pull.status(first), "aurora/plan/dev success 1 change");
    let summary = fs::read_to_string(pull.folder.path().join("summary")).unwrap();
    assert!(summary.starts_with("### Aurora: `dev`"), "{summary}");

    // The second push changes the comment and not their number.
    let second = pull.push("percent: 20", "percent: 30");
    assert_eq!(pull.plan(second).status.code(), Some(0));
    assert_ne!(pull.comment(), comment);

    // What is wrong stands at its line, and the check fails.
    let third = pull.push("algorithm: logistic_regression", "algorithm: guessing");
    let output = pull.plan(third);
    let said = text(&output);
    assert_eq!(output.status.code(), Some(1), "{said}");
    let line = said
        .lines()
        .find(|line| line.starts_with("::error "))
        .unwrap_or_else(|| panic!("{said}"));
    assert!(
        line.starts_with("::error file=environments/dev/iris.yaml,line=11,col="),
        "{line}"
    );
    assert!(
        said.lines().any(|line| line.starts_with("::stop-commands::")),
        "{said}"
    );
    assert!(
        pull.status(third)
            .starts_with("aurora/plan/dev failure 1 findings, first "),
        "{}",
        pull.status(third)
    );

    // A job of an older commit that ends late changes nothing.
    let (comment, status) = (pull.comment(), pull.status(second));
    assert_eq!(pull.plan(second).status.code(), Some(1));
    assert_eq!((pull.comment(), pull.status(second)), (comment, status));
    // Nothing is left on the runner.
    let left = fs::read_dir(pull.folder.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name());
    assert!(left.into_iter().all(|name| name == "server" || name == "summary"));
}

#[test]
fn a_fork_runs_nothing_on_the_runner() {
    let folder = TempDir::new().unwrap();
    let event = folder.path().join("event.json");
    let check = |name: &str, content: &str, is_taken: bool| {
        fs::write(&event, content).unwrap();
        let mut hook = Command::new(root().join(".github/runner/job-started"));
        hook.env("GITHUB_EVENT_NAME", name)
            .env("GITHUB_EVENT_PATH", &event)
            .env("GITHUB_REPOSITORY", "octo/models");
        let output = run(&mut hook);
        assert_eq!(
            output.status.code(),
            Some(i32::from(!is_taken)),
            "{name} {content}: {}",
            text(&output)
        );
    };
    let of = |repository: &str| {
        format!(r#"{{ "number": 7, "pull_request": {{ "head": {{ "repo": {repository} }} }} }}"#)
    };
    check("pull_request", &of(r#"{ "full_name": "octo/models" }"#), true);
    check("pull_request", &of(r#"{ "full_name": "Octo/Models" }"#), true);
    check("pull_request", &of(r#"{ "full_name": "mallory/models" }"#), false);
    // The fork is gone.
    check("pull_request", &of("null"), false);
    check("pull_request", "{}", false);
    check("pull_request", "no JSON", false);
    check("push", "{}", true);
    check("workflow_dispatch", "{}", true);
    check("merge_group", "{}", true);
    check(
        "pull_request_target",
        &of(r#"{ "full_name": "octo/models" }"#),
        false,
    );
    check("issue_comment", "{}", false);
    check("workflow_run", "{}", false);
    check("", "{}", false);
}

#[test]
fn the_workflow_runs_nothing_for_a_fork() {
    if !has_git() {
        return;
    }
    let repository = declared();
    let pull = PullRequest::open(&repository);
    let head = pull.push("minimum: 0.9", "minimum: 0.8");
    // Its job is skipped, and what must not be skipped fails. What a step prints that ends at once, act may lose.
    let Some(said) = pull.act(head, "mallory/models") else {
        return;
    };
    assert_eq!(steps(&said), ["planned: Was it planned?: failure"], "{said}");
    assert_eq!(pull.forge.calls().len(), 0, "{said}");
}

#[test]
fn the_workflow_plans_a_pull_request() {
    if !has_git() {
        return;
    }
    let repository = declared();
    let pull = PullRequest::open(&repository);
    let first = pull.push("minimum: 0.9", "minimum: 0.8");
    let Some(said) = pull.act(first, "octo/models") else {
        return;
    };
    assert_eq!(pull.status(first), "aurora/plan/dev success 1 change", "{said}");
    let comment = pull.comment();
    assert!(comment.contains("### Aurora: `dev`"), "{comment}");
    assert!(
        said.contains("Job succeeded") && !said.contains("Job failed"),
        "{said}"
    );

    // The second push changes the comment.
    let second = pull.push("percent: 20", "percent: 30");
    let said = pull.act(second, "octo/models").unwrap();
    assert_ne!(pull.comment(), comment, "{said}");
    assert_eq!(pull.status(second), "aurora/plan/dev success 1 change", "{said}");
}
