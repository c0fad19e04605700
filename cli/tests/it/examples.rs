//! The examples of trainers of one's own, each as its README tells it.

use std::env;
use std::ffi::OsString;
use std::path::PathBuf;

use crate::harness::{FREE_PORTS, Repository, Up, copy, eventually, get, post, root, skipped, up_command};

/// Not empty where these tests must run: a machine without their packages is a failure then.
const REQUIRED: &str = "REQUIRE_EXAMPLES";

/// Returns a Python that has what the examples need, which `.ci/run` installs.
fn python() -> Option<PathBuf> {
    let python = env::var_os("AURORA_EXAMPLES_PYTHON").map(PathBuf::from);
    let is_required = env::var_os(REQUIRED).is_some_and(|value| !value.is_empty());
    assert!(
        python.is_some() || !is_required,
        "AURORA_EXAMPLES_PYTHON names no Python: .ci/run does"
    );
    if python.is_none() {
        skipped(
            "the examples; AURORA_EXAMPLES_PYTHON names no Python that has their requirements: .ci/run installs them",
        );
    }
    python
}

/// Runs an example, and asks its model.
fn check(example: &str, model: &str, body: &str, expected: &str) {
    let Some(python) = python() else {
        return;
    };
    let repository = Repository::empty();
    copy(&root().join("examples").join(example), repository.path());
    repository.commit("the example");
    let aside = tempfile::TempDir::new().expect("a folder");
    let path = env::var_os("PATH").unwrap_or_default();
    let folder = python.parent().expect("a Python lies in a folder").to_owned();
    let path: OsString = env::join_paths([folder].into_iter().chain(env::split_paths(&path))).expect("paths");
    let mut command = up_command(repository.path(), &aside.path().join("data"));
    command.args(FREE_PORTS).arg("--allow-commands").env("PATH", path);
    let up = Up::watch(command);
    let answer = eventually("the model answers", || {
        let answer = post(up.inference, &format!("/predict/{model}"), &[], body);
        (answer.status == 200).then_some(answer.body)
    });
    let known = get(up.control_plane, &format!("/models/{model}/v20261101-120000")).body;
    assert!(known.contains("\"framework\":\"command\""), "{known}");
    assert!(answer.contains(expected), "{answer}");
    assert!(up.stop().success());
}

#[test]
fn a_scikit_learn_pipeline_takes_texts_and_what_is_missing() {
    check(
        "scikit-learn",
        "survival",
        r#"{"rows": [{"age": 4, "fare": 80.5, "sex": "female", "port": "Cherbourg"},
                     {"age": null, "fare": 7, "sex": "male", "port": "Atlantis"}]}"#,
        r#"["yes","no"]"#,
    );
}

#[test]
fn lightgbm_names_classes() {
    check(
        "lightgbm",
        "iris",
        r#"{"inputs": [[5.1, 3.5, 1.4, 0.2], [6.3, 3.3, 6.0, 2.5]]}"#,
        r#"["setosa","virginica"]"#,
    );
}

#[test]
fn xgboost_predicts_numbers() {
    check(
        "xgboost",
        "wine-quality",
        r#"{"inputs": [[7.4, 0.7, 0, 1.9, 0.076, 11, 34, 0.9978, 3.51, 0.56, 9.4]]}"#,
        r#""predictions":[5."#,
    );
}
