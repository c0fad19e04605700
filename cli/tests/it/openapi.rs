//! The control plane as its OpenAPI document has it, asked by a generator of requests.

use std::process::Command;
use std::time::{SystemTime, UNIX_EPOCH};

use tempfile::TempDir;

use crate::harness::{FREE_PORTS, Ground, Up, aurora, note, private, root, run, skipped, text, up_command};

/// Not empty where this test must run: a machine without the generator is a failure then.
const REQUIRED: &str = "REQUIRE_SCHEMATHESIS";
/// What the generator begins with, where it is given; each run has its own otherwise.
const SEED: &str = "SCHEMATHESIS_SEED";
/// How many requests of each of the 39 operations, where it is given; otherwise 13: 500 in all.
const CASES: &str = "SCHEMATHESIS_CASES";

#[test]
fn what_is_answered_is_what_is_documented() {
    if Command::new("schemathesis").arg("--version").output().is_err() {
        let is_required = std::env::var_os(REQUIRED).is_some_and(|value| !value.is_empty());
        assert!(!is_required, "there is no schemathesis: .ci/run installs it");
        skipped("the control plane as schemathesis sees it; .ci/run installs it");
        return;
    }
    let ground = Ground::dev();
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("keys");
    let made = run(aurora().args(["key", "new", "generator", "--output", "json"]));
    let made: serde_json::Value = serde_json::from_slice(&made.stdout).unwrap();
    private(&file, made["line"].as_str().unwrap());
    let mut command = up_command(ground.repository.path(), &ground.data());
    command.args(FREE_PORTS).arg("--api-keys-file").arg(&file);
    // It asks as fast as it can, and takes 429 for a fault.
    command.args(["--max-control-plane-request-rate", "100000"]);
    let mut up = Up::watch(command);
    up.event("it is ready", |event| event["event"] == "ready");

    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    let seed = std::env::var(SEED).unwrap_or_else(|_unset| (now.as_millis() % 1_000_000).to_string());
    let cases = std::env::var(CASES).unwrap_or_else(|_unset| "13".to_owned());
    note(&format!("schemathesis: {SEED}={seed} {CASES}={cases}"));
    let output = run(Command::new("schemathesis")
        .current_dir(folder.path())
        .arg("run")
        .arg(root().join("docs/openapi.json"))
        .args(["--checks", "all", "--phases", "examples,fuzzing", "--no-color"])
        // It reads a stream to its end, and this one has none.
        .args(["--exclude-path", "/status/events"])
        .args(["--max-examples", &cases, "--seed", &seed])
        .arg(format!("--url=http://{}", up.control_plane))
        .arg(format!("--header=x-api-key: {}", made["key"].as_str().unwrap())));
    assert!(output.status.success(), "{}", text(&output));
    assert!(up.stop().success());
}
