//! What is built is what an API server takes, and once it is there, applying it again changes nothing.

use std::path::Path;

use http::Method;
use serde_json::{Value, json};
use testkit::{Answer, Applied, Namespace, apply, send};

use crate::installed::installed;

/// Reads the children of all golden files, for a namespace. What they belong to is not there, and nothing may collect them.
fn children(namespace: &str) -> Vec<(String, Value)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
    let mut children = Vec::new();
    let mut files: Vec<_> = std::fs::read_dir(folder)
        .expect("a golden file and an answer")
        .map(|entry| entry.expect("a golden file and an answer").path())
        .collect();
    files.sort();
    for file in files {
        let name = file
            .file_stem()
            .expect("a golden file and an answer")
            .to_str()
            .expect("a golden file and an answer")
            .to_owned();
        let text = std::fs::read_to_string(file).expect("a golden file and an answer");
        for document in text.split("---\n") {
            let mut child: Value = serde_yaml::from_str(document).expect("a golden file and an answer");
            let metadata = child["metadata"]
                .as_object_mut()
                .expect("a golden file and an answer");
            metadata.insert("namespace".to_owned(), json!(namespace));
            metadata.remove("ownerReferences");
            children.push((name.clone(), child));
        }
    }
    assert!(children.len() > 15, "{}", children.len());
    children
}

/// Returns the path of a kind's objects.
fn collection(child: &Value, namespace: &str) -> String {
    let (group, plural) = match child["kind"].as_str().expect("a golden file and an answer") {
        "ConfigMap" => ("api/v1", "configmaps"),
        "Deployment" => ("apis/apps/v1", "deployments"),
        "HorizontalPodAutoscaler" => ("apis/autoscaling/v2", "horizontalpodautoscalers"),
        "Ingress" => ("apis/networking.k8s.io/v1", "ingresses"),
        "Job" => ("apis/batch/v1", "jobs"),
        "PodDisruptionBudget" => ("apis/policy/v1", "poddisruptionbudgets"),
        "Service" => ("api/v1", "services"),
        "GRPCRoute" => ("apis/gateway.networking.k8s.io/v1", "grpcroutes"),
        "HTTPRoute" => ("apis/gateway.networking.k8s.io/v1", "httproutes"),
        other => unreachable!("{other}"),
    };
    format!("/{group}/namespaces/{namespace}/{plural}")
}

async fn applied(namespace: &Namespace, collection: &str, child: &Value) -> Answer {
    let how = Applied {
        collection,
        subresource: "",
        manager: "aurora-operator",
        is_dry_run: false,
    };
    let answer = apply(&namespace.client(), how, child)
        .await
        .expect("a golden file and an answer");
    assert!(answer.is_success(), "{} of {child}", answer.body);
    assert_eq!(answer.warnings, Vec::<String>::new(), "{child}");
    answer
}

#[tokio::test]
async fn children_are_taken_and_applying_them_again_changes_nothing() {
    let Some(namespace) = installed().await else {
        return;
    };
    for (file, child) in children(namespace.name()) {
        let collection = collection(&child, namespace.name());
        if child["kind"] == "Job" {
            made(&namespace, &collection, &child).await;
            continue;
        }
        // Controllers write statuses at any time: what is compared is what we say.
        let intent = |answer: &Answer| {
            let (generation, managed) = (
                answer.body["metadata"]["generation"].clone(),
                answer.body["metadata"]["managedFields"].as_array().cloned(),
            );
            let ours = managed
                .into_iter()
                .flatten()
                .find(|entry| entry["manager"] == "aurora-operator");
            (generation, ours)
        };
        let first = applied(&namespace, &collection, &child).await;
        let again = applied(&namespace, &collection, &child).await;
        assert_eq!(intent(&again), intent(&first), "{file}: {child}");
        if first.text("/metadata/resourceVersion") != again.text("/metadata/resourceVersion") {
            // It was a controller's.
            assert_eq!(first.body["spec"], again.body["spec"], "{file}");
        }
    }
}

/// A Job is made once. One of a queue is made suspended.
async fn made(namespace: &Namespace, collection: &str, job: &Value) {
    let path = format!("{collection}?fieldManager=aurora-operator&fieldValidation=Strict");
    let client = namespace.client();
    let made = send(&client, Method::POST, "application/json", &path, job)
        .await
        .expect("a golden file and an answer");
    let already_there = made.body["reason"] == "AlreadyExists";
    assert!(made.is_success() || already_there, "{}", made.body);
    assert_eq!(made.warnings, Vec::<String>::new(), "{job}");
    let path = format!(
        "{collection}/{}",
        job["metadata"]["name"]
            .as_str()
            .expect("a golden file and an answer")
    );
    let merge = "application/merge-patch+json";
    let expiry = json!({ "spec": { "ttlSecondsAfterFinished": 3600 } });
    let expiring = send(&client, Method::PATCH, merge, &path, &expiry)
        .await
        .expect("a golden file and an answer");
    assert!(expiring.is_success(), "{}", expiring.body);
}
