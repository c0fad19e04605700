//! Clients that teams have already, against a running `up`.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use serde_json::{Value, json};

use crate::harness::{FREE_PORTS, Ground, Up, get, post, root, run, skipped, text, up_command};

/// Not empty where these tests must run: a machine without the clients is a failure then.
const REQUIRED: &str = "REQUIRE_CLIENTS";

/// Returns a Python that has tritonclient and model-signing, which `.ci/run` installs.
pub(crate) fn python() -> Option<PathBuf> {
    let python = std::env::var_os("AURORA_TRITONCLIENT_PYTHON").map(PathBuf::from);
    let is_required = std::env::var_os(REQUIRED).is_some_and(|value| !value.is_empty());
    assert!(
        python.is_some() || !is_required,
        "AURORA_TRITONCLIENT_PYTHON names no Python: .ci/run does"
    );
    if python.is_none() {
        skipped(
            "clients of the protocol, and who verifies signatures; AURORA_TRITONCLIENT_PYTHON names no Python that has them: .ci/run installs it",
        );
    }
    python
}

#[test]
fn the_clients_that_teams_have_are_content() {
    let Some(python) = python() else {
        return;
    };
    let ground = Ground::dev();
    let mut command = up_command(ground.repository.path(), &ground.data());
    command.args(FREE_PORTS).args(["--grpc", "127.0.0.1:0"]);
    let mut up = Up::watch(command);
    let listening = up.event("it listens", |event| event["event"] == "listening");
    up.event("it is ready", |event| event["event"] == "ready");
    let mut command = Command::new(python);
    command
        .arg(root().join("cli/tests/clients.py"))
        .arg(up.inference.to_string())
        .arg(listening["grpc"].as_str().unwrap());
    let output = run(&mut command);
    assert!(output.status.success(), "{}", text(&output));
    assert!(up.stop().success());
}

/// MLflow's scoring names no model: it is the one that there is.
#[test]
fn mlflows_scoring_asks_the_one_model() {
    let ground = Ground::dev();
    fs::remove_file(ground.repository.file("environments/dev/wine-quality.yaml")).unwrap();
    ground.repository.commit("serve one model");
    let up = ground.up();
    let document = get(up.inference, "/predict/iris/openapi.json").json();
    let content = &document["paths"]["/predict/iris"]["post"]["requestBody"]["content"]["application/json"];
    let row = content["examples"]["rows"]["value"]["rows"][0]
        .as_object()
        .unwrap();
    let inputs = &content["examples"]["inputs"]["value"]["inputs"];
    let (columns, values): (Vec<_>, Vec<_>) = row.iter().unzip();
    let by_column: serde_json::Map<_, _> = row
        .iter()
        .map(|(name, value)| (name.clone(), json!([value])))
        .collect();
    let expected = up
        .predict("iris", &[], &json!({ "rows": [row] }).to_string())
        .json();
    for body in [
        json!({ "dataframe_split": { "columns": columns, "data": [values] } }),
        json!({ "dataframe_split": { "columns": columns, "index": [0], "data": [values] }, "params": {} }),
        json!({ "dataframe_records": [row] }),
        json!({ "instances": [row] }),
        json!({ "instances": inputs }),
        json!({ "inputs": inputs }),
        json!({ "inputs": by_column }),
    ] {
        let answer = post(up.inference, "/invocations", &[], &body.to_string());
        assert_eq!(answer.status, 200, "{body}: {answer:?}");
        assert_eq!(answer.json(), expected, "{body}");
    }
    let body = json!({ "inputs": inputs, "params": { "probabilities": true } });
    let answer: Value = post(up.inference, "/invocations", &[], &body.to_string()).json();
    assert_eq!(answer["classes"].as_array().unwrap().len(), 3, "{answer}");
    assert_eq!(
        answer["probabilities"][0].as_array().unwrap().len(),
        3,
        "{answer}"
    );
    assert!(up.stop().success());
}
