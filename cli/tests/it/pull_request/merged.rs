//! From a pull request to live traffic: the workflows as a runner runs them, the webhook that a job calls with its own token,
//! and an `aurora up` that hears of the merge by nothing else.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::Stdio;

use git2::Oid;
use serde_json::{Value, json};
use tempfile::TempDir;

use super::{MANIFEST, PullRequest, steps};
use crate::harness::{Forge, Issuing, Up, eventually, free_port, get, post, private, text, up_at};

/// What follows the forge, and is told of pushes by jobs alone.
struct Following {
    up: Up,
    data: TempDir,
    webhook: SocketAddr,
    issuing: Issuing,
}

impl Following {
    fn start(forge: &Forge, pull: &PullRequest<'_>) -> Self {
        let (data, issuing) = (TempDir::new().unwrap(), Issuing::start("octo/models"));
        let webhook = SocketAddr::from((Ipv4Addr::LOCALHOST, free_port()));
        private(&data.path().join("token"), pull.forge.token());
        let mut flags = forge.https_flags();
        flags.truncate(flags.len() - 2);
        let (address, token) = (
            webhook.to_string(),
            data.path().join("token").display().to_string(),
        );
        let (issuer, api) = (issuing.issuer(), pull.forge.api());
        let more = [
            ("--branch", "main"),
            ("--fetch-interval", "3600"),
            ("--webhook", &address),
            ("--webhook-oidc-issuer", &issuer),
            ("--webhook-oidc-repository", "octo/models"),
            ("--github-token-file", &token),
            ("--github-repository", "octo/models"),
            ("--github-api", &api),
        ];
        flags.extend(
            more.iter()
                .flat_map(|(flag, value)| [*flag, *value])
                .map(str::to_owned),
        );
        let command = up_at(&forge.https_address("git"), &data.path().join("data"), &flags);
        let mut up = Up::watch(command);
        up.event("it is ready", |event| event["event"] == "ready");
        Self {
            up,
            data,
            webhook,
            issuing,
        }
    }

    /// Runs `apply.yml` for a push to a branch; nothing where the machine cannot.
    fn pushed(&self, pull: &PullRequest<'_>, branch: &str, before: Oid, after: Oid) -> Option<String> {
        let event = pushed(branch, before, after);
        let (places, webhook) = (self.places(), self.webhook());
        let [address, asking] = self.issuing.variables();
        let settings = [
            "--var", &places, "--var", &webhook, "--env", &address, "--env", &asking,
        ];
        pull.run_workflow("apply.yml", "push", &event, &settings)
    }

    /// Says where the environment stands.
    fn places(&self) -> String {
        format!("AURORA_PLACES=dev={}", self.data.path().join("data").display())
    }

    /// Says where it is told.
    fn webhook(&self) -> String {
        format!("AURORA_WEBHOOK_URL=http://{}/webhook", self.webhook)
    }

    /// Tells of a push, as a job does.
    fn tell(&self, id: &str) {
        let authorization = format!("Bearer {}", self.issuing.token("octo/models", id));
        let headers = [("authorization", authorization.as_str())];
        assert_eq!(post(self.webhook, "/webhook", &headers, "").status, 202);
    }

    fn accepted(&self) -> u64 {
        let series = "aurora_webhook_calls_total{result=\"accepted\"} ";
        let metrics = get(self.up.control_plane, "/metrics").body;
        let mut lines = metrics.lines();
        lines
            .find_map(|line| line.strip_prefix(series)?.parse().ok())
            .unwrap_or(0)
    }
}

/// Returns what a forge says of a push.
fn pushed(branch: &str, before: Oid, after: Oid) -> Value {
    json!({
        "ref": format!("refs/heads/{branch}"), "before": before.to_string(), "after": after.to_string(),
        "deleted": false, "repository": { "full_name": "octo/models", "default_branch": "main" },
    })
}

#[test]
fn a_pull_request_is_planned_merged_told_applied_and_marked() {
    let Some(forge) = Forge::start() else { return };
    let pull = PullRequest::open(&forge.repository);
    let following = Following::start(&forge, &pull);
    let git = forge.repository.git();
    let base = git.find_commit(pull.base).unwrap();
    git.branch("change", &base, false).unwrap();
    git.set_head("refs/heads/change").unwrap();

    // It is opened, and a second push changes its one comment.
    let first = pull.push("minimum: 0.9", "minimum: 0.8");
    let Some(said) = pull.act(first, "octo/models") else {
        return;
    };
    let planned = ["plan: Plan: success", "planned: Was it planned?: success"];
    assert_eq!(steps(&said), planned, "{said}");
    let comment = pull.comment();
    let second = pull.push("minimum: 0.8", "minimum: 0.7");
    let said = pull.act(second, "octo/models").unwrap();
    assert_eq!(steps(&said), planned, "{said}");
    assert_ne!(pull.comment(), comment);
    assert_eq!(pull.status(second), "aurora/plan/dev success 1 change");
    // A push to another branch runs nothing.
    let said = following.pushed(&pull, "change", first, second).unwrap();
    assert_eq!(steps(&said), [] as [&str; 0], "{said}");

    // It is merged: a job tells, nothing else does, and the next one waits until the commit is live.
    let merge = pull.merge(second);
    git.reference("refs/heads/main", merge, true, "merge").unwrap();
    git.set_head("refs/heads/main").unwrap();
    assert_eq!(following.accepted(), 0);
    let said = following.pushed(&pull, "main", pull.base, merge).unwrap();
    let applied = [
        "tell: Tell: success",
        "applied: Wait until it is applied: success",
    ];
    assert_eq!(steps(&said), applied, "{said}");
    assert_eq!(following.accepted(), 1, "{said}");
    let status = following.up.status()["environment"]["status"].clone();
    assert_eq!(status["appliedRevision"], merge.to_string(), "{status}");
    eventually("the merge is marked as applied", || {
        let statuses = pull.forge.statuses(&merge.to_string());
        (statuses.last()? == "aurora/dev success applied").then_some(())
    });
    for words in ["### Aurora: `dev`", "applied and live", "evaluation.bound 0.9"] {
        assert!(said.contains(words), "{words}: {said}");
    }

    // What cannot be applied is a job that fails, with the finding in its summary.
    let version = "    version: v20261101-120000\n";
    let manifest = forge.repository.read(MANIFEST);
    assert_eq!(manifest.matches(version).count(), 1, "{manifest}");
    let missing = forge
        .repository
        .edit(MANIFEST, version, "    version: v20261102-120000\n");
    let said = following.pushed(&pull, "main", merge, missing).unwrap();
    let stopped = [
        "tell: Tell: success",
        "applied: Wait until it is applied: failure",
    ];
    assert_eq!(steps(&said), stopped, "{said}");
    for words in ["VersionMissing", "::error title=Aurora::dev does not serve"] {
        assert!(said.contains(words), "{words}: {said}");
    }

    // A call that is not taken is a warning: the commit is waited for all the same, as long as that may take.
    let mended = forge
        .repository
        .edit(MANIFEST, "    version: v20261102-120000\n", version);
    let (places, webhook) = (following.places(), following.webhook());
    let [address, asking] = Issuing::start("octo/models").variables();
    let settings = [
        "--var",
        &places,
        "--var",
        &webhook,
        "--env",
        &address,
        "--env",
        &asking,
        "--var",
        "AURORA_APPLY_TIMEOUT=1s",
    ];
    let said = pull
        .run_workflow("apply.yml", "push", &pushed("main", missing, mended), &settings)
        .unwrap();
    assert_eq!(steps(&said), stopped, "{said}");
    assert!(
        said.contains("::warning title=Aurora::the webhook was not told"),
        "{said}"
    );
    assert!(said.contains("the commit was not seen yet"), "{said}");
}

#[test]
fn a_job_whose_commit_was_overtaken_ends_once_the_later_one_is_live() {
    let Some(forge) = Forge::start() else { return };
    let pull = PullRequest::open(&forge.repository);
    let following = Following::start(&forge, &pull);
    let first = forge.commit("the first");
    let places = following.places();
    let event = pushed("main", pull.base, first);
    let settings = ["--var", &places, "--var", "AURORA_APPLY_TIMEOUT=60s"];
    let Some(mut act) = pull.workflow("apply.yml", "push", &event, &settings) else {
        return;
    };
    let job = act.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    // It has looked at the forge before the second commit is there, and nobody tells of the first.
    eventually("the job has fetched", || {
        let tip = find(pull.folder.path(), "repository/refs/heads/followed")?;
        (fs::read_to_string(tip).ok()?.trim_end() == first.to_string()).then_some(())
    });
    forge.commit("the second");
    following.tell("the second");
    let said = text(&job.wait_with_output().unwrap());
    assert_eq!(
        steps(&said),
        ["applied: Wait until it is applied: success"],
        "{said}"
    );
}

/// Looks for a file by the end of its path.
fn find(folder: &Path, end: &str) -> Option<PathBuf> {
    let entries: Vec<_> = fs::read_dir(folder).ok()?.flatten().collect();
    entries.into_iter().find_map(|entry| {
        let path = entry.path();
        match entry.file_type().ok()? {
            kind if kind.is_dir() => find(&path, end),
            kind if kind.is_file() && path.ends_with(end) => Some(path),
            _ => None,
        }
    })
}
