//! Our artifacts in onnxruntime, where `AURORA_ONNXRUNTIME_PYTHON` names a Python that has it.

use std::path::{Path, PathBuf};
use std::process::Command;

use planner::training::Algorithm;
use registry::artifact::{Child, Graph, Limits, Model, Predictions, Split, Trees, encode};
use registry::metadata::Labels;

use crate::world::{World, builtin, published, say, settings, synthetic};

/// Writes an artifact, rows and our predictions of them for the script.
fn write_case(dir: &Path, name: &str, artifact: &[u8], rows: &[f64]) -> PathBuf {
    let model = Model::decode(artifact, &Limits::default()).unwrap();
    let path = dir.join(format!("{name}.onnx"));
    std::fs::write(&path, artifact).unwrap();
    let predictions = model.predict(rows);
    let k = predictions.numbers().len() / predictions.rows();
    let numbers: Vec<&[f64]> = predictions.numbers().chunks(k).collect();
    let labels = match (&predictions, model.labels()) {
        (Predictions::Classes { index, .. }, Some(Labels::Words(words))) => {
            serde_json::json!(index.iter().map(|at| &words[*at]).collect::<Vec<_>>())
        }
        (Predictions::Classes { index, .. }, Some(Labels::Numbers(numbers))) => {
            serde_json::json!(index.iter().map(|at| numbers[*at]).collect::<Vec<_>>())
        }
        _ => serde_json::Value::Null,
    };
    let rows: Vec<&[f64]> = rows.chunks(model.width()).collect();
    let case = serde_json::json!({ "model": path, "rows": rows, "numbers": numbers, "labels": labels });
    let path = dir.join(format!("{name}.json"));
    std::fs::write(&path, case.to_string()).unwrap();
    path
}

/// Rows around the example, further and further away.
fn around(inputs: &[f64]) -> Vec<f64> {
    let factor = |row: u32, at: u32| f64::from((row * 31 + at * 17) % 101) / 50.5;
    (0..1_000)
        .flat_map(|row| {
            let inputs = (0..).zip(inputs);
            inputs.map(move |(at, input)| input * factor(row, at))
        })
        .collect()
}

#[test]
fn onnxruntime_predicts_the_same() {
    let Some(python) = std::env::var_os("AURORA_ONNXRUNTIME_PYTHON") else {
        say("skipped: AURORA_ONNXRUNTIME_PYTHON names no Python with onnx and onnxruntime");
        return;
    };
    let dir = tempfile::tempdir().unwrap();
    let mut cases = Vec::new();
    for (name, algorithm, source) in [
        ("linear", Algorithm::LinearRegression, builtin("wine-quality")),
        ("trees", Algorithm::GradientBoosting, synthetic("friedman1")),
        ("words", Algorithm::LogisticRegression, builtin("iris")),
        ("numbers", Algorithm::LogisticRegression, builtin("wine-quality")),
    ] {
        let world = World::new();
        let mut request = world.request(algorithm, source);
        if algorithm == Algorithm::GradientBoosting {
            request.training.hyperparameters = settings(&[("trees", 300.0)]);
        }
        published(&request);
        let entry = world.entry(&request);
        let artifact = world.store.read_artifact(&entry).unwrap();
        let rows = around(&entry.metadata.example.inputs);
        cases.push(write_case(dir.path(), name, &artifact, &rows));
    }
    // What no fit of ours brings about by itself: inputs on a threshold, and a tree of one leaf.
    let edges = Graph::Trees(Trees {
        width: 2,
        base: 0.1,
        roots: vec![Child::split(0).unwrap(), Child::leaf(2).unwrap()],
        splits: vec![Split {
            threshold: 0.1,
            feature: 1,
            below: Child::leaf(0).unwrap(),
            otherwise: Child::leaf(1).unwrap(),
        }],
        leaves: vec![1.0, 2.0, 0.3],
    });
    let rows = [
        0.0,
        0.1,
        0.0,
        0.1_f64.next_down(),
        5.0,
        0.1_f64.next_up(),
        -1.0,
        -1.0,
    ];
    cases.push(write_case(dir.path(), "edges", &encode(&edges), &rows));

    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/onnxruntime_agrees.py");
    let output = Command::new(python).arg(script).args(&cases).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    say(text.trim_end());
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    assert_eq!(text.lines().count(), cases.len());
}
