//! A pipeline of another team with texts and missing numbers: committed, evaluated, served, and tried against one that is pushed.

use planner::names::Digest;
use serde_json::{Value, json};

use crate::harness::{Repository, Up, aurora, eventually, post, root, run, text};

/// Rows whose columns stand in another order than the model's inputs.
const PASSENGERS: &str = "port,sex,name,fare,age,survived\n\
    Southampton,male,A,7.25,22,no\nCherbourg,female,B,80,,yes\nAtlantis,male,C,10,4,yes\nQueenstown,female,D,8,30,yes\n\
    Southampton,female,E,26,41,yes\nSouthampton,male,F,8,35,no\nCherbourg,female,G,71,38,yes\nSouthampton,male,H,8,28,no\n";
const IMPORTED: &str = "v20261101-120000";
const PUSHED: &str = "v20261102-120000";

fn manifests(digest: &Digest, canary: &str) -> String {
    format!(
        "apiVersion: aurora.io/v1alpha1
kind: MLTrainingJob
metadata: {{ name: survival }}
spec:
  modelName: survival
  version: {IMPORTED}
  dataset: {{ uri: passengers.csv, target: {{ column: survived }} }}
  import: {{ uri: survival.onnx, digest: '{digest}' }}
  evaluation: {{ metric: accuracy, minimum: 0.5, holdout: {{ percent: 60, seed: 3 }} }}
---
apiVersion: aurora.io/v1alpha1
kind: MLDeployment
metadata: {{ name: survival }}
spec:
  modelName: survival
  stable: {{ version: {IMPORTED} }}
{canary}"
    )
}

#[test]
fn a_pipeline_with_texts_comes_by_a_commit_is_served_and_tried_against_another() {
    let repository = Repository::empty();
    let aside = tempfile::TempDir::new().expect("a folder");
    let data = aside.path().join("data");
    let survival = std::fs::read(root().join("registry/tests/models/survival.onnx")).expect("the model");
    let digest = Digest::of(&survival);
    repository.write("environments/dev/environment.yaml", super::ENVIRONMENT);
    repository.write("environments/dev/passengers.csv", PASSENGERS);
    repository.write("environments/dev/survival.onnx", &survival);
    repository.write("environments/dev/survival.yaml", manifests(&digest, ""));
    repository.commit("a pipeline of another team");
    let up = Up::ready(repository.path(), &data);
    let rows = json!({ "rows": [
        { "age": 22, "fare": 7.25, "sex": "male", "port": "Southampton" },
        { "age": null, "fare": 80, "sex": "female", "port": "Cherbourg" },
        { "age": 4, "fare": 10, "sex": "nobody", "port": "" },
    ], "probabilities": true });
    let answer = eventually("it predicts", || {
        let answer = post(up.inference, "/predict/survival", &[], &rows.to_string());
        (answer.status == 200).then(|| answer.json())
    });
    assert_eq!(answer["predictions"], json!(["no", "yes", "no"]));
    assert_eq!(answer["classes"], json!(["no", "yes"]));
    let first = answer["probabilities"][0][0].as_f64().expect("a number");
    assert!(
        (first - 0.817_235_77).abs() < 1e-6,
        "as onnxruntime says: {first}"
    );

    let asked = |words: &[&str]| {
        let mut command = aurora();
        command.args(words).arg("--data-dir").arg(&data);
        run(command.current_dir(repository.path()))
    };
    // A track answers before its alias is written.
    let named = |track: &str| {
        eventually("the registry names it", || {
            let shown = asked(&["model", "show", "survival", track]);
            (shown.status.code() == Some(0)).then_some(())
        });
    };
    let said = |words: &[&str]| {
        let output = asked(words);
        assert_eq!(output.status.code(), Some(0), "{}", text(&output));
        String::from_utf8(output.stdout).expect("text")
    };
    named("stable");
    let shown = said(&["model", "show", "survival", "--output", "json"]);
    let shown: Value = serde_json::from_str(&shown).expect("JSON");
    assert_eq!(shown["metadata"]["metrics"]["values"]["accuracy"], 1.0);
    // What it prints to ask it by is answered.
    let body = json!({ "rows": [shown["metadata"]["example"]["row"]] }).to_string();
    assert_eq!(post(up.inference, "/predict/survival", &[], &body).status, 200);

    // The same, pushed by hand: evaluated by nobody, and tried as canary by a commit.
    let file = repository.file("environments/dev/survival.onnx");
    let file = file.to_str().expect("text");
    said(&["model", "push", "survival", file, "--version", PUSHED]);
    let canary = format!("  canary: {{ version: {PUSHED}, weight: 10 }}\n");
    repository.write("environments/dev/survival.yaml", manifests(&digest, &canary));
    repository.commit("try what was pushed");
    let track = [("aurora-track", "canary")];
    eventually("the canary answers", || {
        let answer = post(up.inference, "/predict/survival", &track, &rows.to_string());
        (answer.status == 200 && answer.version() == PUSHED).then_some(())
    });
    named("canary");
    let compared = said(&[
        "model",
        "compare",
        "survival",
        "--data",
        repository
            .file("environments/dev/passengers.csv")
            .to_str()
            .expect("text"),
        "--by",
        "sex",
    ]);
    assert!(compared.contains("0 rows get another class"), "{compared}");
    assert!(compared.contains("was not evaluated"), "{compared}");
}
