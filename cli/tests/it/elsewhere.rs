//! A promotion that reaches the next environment: two installations, one repository, and only the first one trains.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use serde_json::Value;
use tempfile::TempDir;

use crate::harness::{FREE_PORTS, Repository, Up, aurora, eventually, free_port, get, run, text, up_command};

const V1: &str = "v20261101-120000";
const V2: &str = "v20261120-093000";
const STAGING: &str = "environments/staging/iris.yaml";
const PROD: &str = "environments/prod/iris.yaml";
/// Both versions take three inputs.
const BODY: &str = r#"{"inputs": [[5.1, 3.5, 1.4]]}"#;

/// A job that makes a version of iris from all but one column.
fn job(name: &str, version: &str, exclude: &str) -> String {
    format!(
        "apiVersion: aurora.io/v1alpha1\nkind: MLTrainingJob\nmetadata: {{ name: {name} }}\nspec:\n  modelName: iris\n  \
         version: {version}\n  dataset: {{ uri: 'builtin:iris', exclude: [{exclude}] }}\n  algorithm: logistic_regression\n  \
         evaluation: {{ metric: accuracy, minimum: 0.5, holdout: {{ percent: 20, seed: 0 }} }}\n---\n"
    )
}

fn serves(version: &str, digest: Option<&str>) -> String {
    let digest = digest.map_or_else(String::new, |digest| format!(", digest: '{digest}'"));
    format!(
        "apiVersion: aurora.io/v1alpha1\nkind: MLDeployment\nmetadata: {{ name: iris }}\nspec:\n  modelName: iris\n  \
         stable: {{ version: {version}{digest} }}\n"
    )
}

fn environment(name: &str, more: &str) -> String {
    format!(
        "apiVersion: aurora.io/v1alpha1\nkind: MLEnvironment\nmetadata: {{ name: {name} }}\nspec: {{ target: Standalone{more} }}\n"
    )
}

/// Both installations, and the control plane that prod asks, which wants a key.
struct Ground {
    repository: Repository,
    folder: TempDir,
    port: u16,
}

impl Ground {
    fn new() -> Self {
        let ground = Self {
            repository: Repository::empty(),
            folder: TempDir::new().unwrap(),
            port: free_port(),
        };
        fs::create_dir(ground.path("keys")).unwrap();
        let jobs = [job("one", V1, "petal width"), job("two", V2, "sepal width")].concat();
        let repository = &ground.repository;
        repository.write(
            "environments/staging/environment.yaml",
            environment("staging", ""),
        );
        repository.write("environments/staging/jobs.yaml", jobs);
        repository.write(STAGING, serves(V1, None));
        let upstream = format!(
            ", registry: {{ upstream: 'http://127.0.0.1:{}', keyFile: {} }}, promotion: {{ from: staging, status: \
             'http://127.0.0.1:{}', keyFile: {} }}",
            ground.port,
            ground.path("keys/staging").display(),
            ground.port,
            ground.path("keys/staging").display()
        );
        repository.write(
            "environments/prod/environment.yaml",
            environment("prod", &upstream),
        );
        repository.commit("declare both");
        ground
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn up(&self, environment: &str) -> Up {
        let mut command = up_command(self.repository.path(), &self.path(environment));
        command.args(FREE_PORTS).args(["--environment", environment]);
        if environment == "prod" {
            command.arg("--key-root").arg(self.path("keys"));
        }
        Up::watch(command)
    }

    /// The control plane of staging that others may ask.
    fn control_plane(&self) -> Up {
        let mut command = aurora();
        command
            .args(["control-plane", "--control-plane"])
            .arg(format!("127.0.0.1:{}", self.port))
            .arg("--api-keys-file")
            .arg(self.path("known"))
            .arg("--data-dir")
            .arg(self.path("staging"));
        Up::watch(command)
    }

    /// Plans the newest commit for staging with a key for its control plane, and returns what is said of requests a second.
    fn rate_of_the_newest_commit(&self, key: &str) -> String {
        let planned = run(aurora()
            .args(["plan", "--environment", "staging", "--base", "HEAD~1", "--repo"])
            .arg(self.repository.path())
            .arg("--status-api")
            .arg(format!("http://127.0.0.1:{}", self.port))
            .arg("--status-key-file")
            .arg(self.path(key)));
        let said = text(&planned);
        assert_eq!(planned.status.code(), Some(1), "{said}");
        let mut lines = said.lines();
        let line = lines.find(|line| line.contains("how many requests a second"));
        line.unwrap_or_else(|| panic!("{said}")).to_owned()
    }

    /// Pins versions with their digests.
    fn pin(&self, file: &str, version: &str, digest: &str) {
        self.repository.write(file, serves(version, Some(digest)));
        self.repository.commit(&format!("{file}: {version}"));
    }
}

/// Writes a file that nobody else may read.
fn secret(path: &Path, content: &str) {
    fs::write(path, content).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o600)).unwrap();
}

/// Waits until iris is answered by a version.
fn answers(up: &Up, version: &str) {
    eventually(&format!("{version} answers"), || {
        let answer = up.predict("iris", &[], BODY);
        (answer.status == 200 && answer.version() == version).then_some(())
    });
}

/// Waits for a finding, and returns what it says.
fn finds(up: &Up, reason: &str) -> String {
    eventually(reason, || {
        let status = up.status();
        let findings = status["environment"]["status"]["findings"].as_array()?.clone();
        let found = findings.into_iter().find(|finding| finding["reason"] == reason)?;
        Some(found["message"].as_str()?.to_owned())
    })
}

fn digest(staging: &Up, version: &str) -> String {
    let path = format!("/models/iris/{version}");
    let metadata = eventually("it is published", || {
        let answer = get(staging.control_plane, &path);
        (answer.status == 200).then(|| answer.json())
    });
    metadata["artifact"]["digest"].as_str().unwrap().to_owned()
}

#[test]
fn what_is_promoted_comes_from_the_environment_that_has_it() {
    let ground = Ground::new();
    let made = run(aurora().args(["key", "new", "prod", "--output", "json"]));
    let made: Value = serde_json::from_slice(&made.stdout).unwrap();
    secret(&ground.path("known"), made["line"].as_str().unwrap());
    secret(&ground.path("keys/staging"), "another");

    let staging = ground.up("staging");
    let (first, second) = (digest(&staging, V1), digest(&staging, V2));
    let control_plane = ground.control_plane();

    // Prod has nothing yet, and its key is none that staging knows.
    ground.pin(PROD, V1, &first);
    let prod = ground.up("prod");
    let refused = finds(&prod, "ImportFailed");
    assert!(refused.contains("401 Unauthorized"), "{refused}");
    assert!(!refused.contains("another"), "{refused}");
    secret(&ground.path("keys/staging"), made["key"].as_str().unwrap());
    // The gate asks Git and staging: it serves V1 there, but Git does not say by which digest.
    answers(&staging, V1);
    answers(&prod, V1);

    // Staging goes on; it is away while that is promoted.
    ground.pin(STAGING, V2, &second);
    answers(&staging, V2);
    // A plan asks it how many requests come, by the key that it is given and no other; it serves none itself.
    let uncounted = ground.rate_of_the_newest_commit("keys/staging");
    assert!(
        uncounted.contains("does not say how many requests come"),
        "{uncounted}"
    );
    secret(&ground.path("other"), "another");
    let refused = ground.rate_of_the_newest_commit("other");
    assert!(
        refused.contains("401 Unauthorized") && !refused.contains("another"),
        "{refused}"
    );
    drop(control_plane);
    let branch = ground
        .repository
        .git()
        .head()
        .unwrap()
        .shorthand()
        .unwrap()
        .to_owned();
    let promoted = run(aurora().current_dir(ground.repository.path()).args([
        "promote", "iris", "--from", "staging", "--to", "prod", "--branch", &branch,
    ]));
    assert!(promoted.status.success(), "{}", text(&promoted));
    assert!(ground.repository.read(PROD).contains(&second));
    let away = finds(&prod, "UpstreamUnavailable");
    assert!(away.contains("cannot be reached"), "{away}");
    answers(&prod, V1);

    // What is promoted comes once staging is back, without a restart.
    let control_plane = ground.control_plane();
    answers(&prod, V2);
    let waited = run(aurora()
        .args(["status", "--wait", "--revision", "HEAD", "--repo"])
        .arg(ground.repository.path())
        .arg("--data-dir")
        .arg(ground.path("prod")));
    assert!(waited.status.success(), "{}", text(&waited));
    let shown = run(aurora()
        .args(["model", "show", "iris", V2, "--data-dir"])
        .arg(ground.path("prod")));
    let origin = format!("from http://127.0.0.1:{} at ", ground.port);
    assert!(text(&shown).contains(&origin), "{}", text(&shown));
    assert!(control_plane.stop().success());
    assert!(prod.stop().success());

    // Nothing is fetched of what is here, and what is pinned is not collected.
    let collected = run(aurora()
        .args([
            "model",
            "gc",
            "--keep-last",
            "0",
            "--minimum-age",
            "0",
            "--data-dir",
        ])
        .arg(ground.path("prod")));
    let said = text(&collected);
    assert!(
        said.contains(&format!("removed iris {V1}")) && !said.contains(V2),
        "{said}"
    );
    let prod = ground.up("prod");
    answers(&prod, V2);
    let events = prod.events();
    assert!(!format!("{events:?}").contains("import v"), "{events:?}");
}
