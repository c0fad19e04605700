//! A training by hand: a workflow, whose inputs anybody may write who may start it.

use std::fs;

use serde_json::json;
use tempfile::TempDir;

use super::{PullRequest, declared, steps};
use crate::harness::{aurora, has_git, run, text};

#[test]
fn the_workflow_trains_what_the_default_branch_declares() {
    if !has_git() {
        return;
    }
    let (repository, folder) = (declared(), TempDir::new().unwrap());
    let pull = PullRequest::open(&repository);
    let registry = folder.path().join("registry");
    let made = run(aurora().args(["registry", "init", "--registry"]).arg(&registry));
    assert!(made.status.success(), "{}", text(&made));
    let variable = format!("AURORA_REGISTRY={}", registry.display());
    let train = |job: &str, default_branch: &str| {
        let event = json!({
            "ref": "refs/heads/main", "inputs": { "environment": "dev", "job": job },
            "repository": { "full_name": "octo/models", "default_branch": default_branch },
        });
        pull.run_workflow("train.yml", "workflow_dispatch", &event, &["--var", &variable])
    };
    let Some(said) = train("iris", "trunk") else {
        return;
    };
    assert_eq!(
        steps(&said),
        [] as [&str; 0],
        "another branch declares nothing: {said}"
    );

    let said = train("iris", "main").unwrap();
    assert_eq!(steps(&said), ["train: Train: success"], "{said}");
    let version = registry.join("aurora/iris/versions/v20261101-120000");
    assert!(version.join("model.onnx").exists(), "{said}");
    assert!(said.contains("published iris v20261101-120000"), "{said}");

    // A version never changes, and an input is no command.
    let failed = ["train: Train: failure"];
    let said = train("iris", "main").unwrap();
    assert_eq!(steps(&said), failed, "{said}");
    assert!(said.contains("a version never changes"), "{said}");
    let marker = folder.path().join("marker");
    let said = train(&format!("$(touch {0}); touch {0}", marker.display()), "main").unwrap();
    assert_eq!(steps(&said), failed, "{said}");
    assert_eq!(fs::exists(&marker).ok(), Some(false), "{said}");
}
