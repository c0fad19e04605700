//! The definitions of the three kinds, as an API server takes them.

use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use testkit::{Applied, ControlPlane, Namespace, apply, condition, install, namespace};
use tokio::sync::OnceCell;

/// Returns the definitions that are committed.
pub(crate) fn definitions() -> Vec<Value> {
    let definitions = crds::crd_yaml().into_iter();
    definitions
        .map(|(_, yaml)| serde_yaml::from_str(&yaml).expect("a definition is YAML"))
        .collect()
}

/// Returns a namespace of an API server that knows the three kinds.
pub(crate) async fn installed() -> Option<Namespace> {
    static INSTALLED: OnceCell<()> = OnceCell::const_new();
    let namespace = namespace().await?;
    let client = namespace.client();
    let install = async || {
        let served = install(&client, &definitions()).await;
        drop(served.expect("the kinds are served"));
    };
    INSTALLED.get_or_init(install).await;
    Some(namespace)
}

/// Returns the path of a kind's objects in a namespace.
pub(crate) fn collection(namespace: &Namespace, plural: &str) -> String {
    format!(
        "/apis/aurora.io/v1alpha1/namespaces/{}/{plural}",
        namespace.name()
    )
}

#[tokio::test]
async fn definitions_are_established_without_a_warning() {
    let Some(namespace) = installed().await else {
        return;
    };
    // Once more, beside what is there: what it warns of, it warns of each time.
    for (answer, found) in install(&namespace.client(), &definitions()).await.unwrap() {
        assert_eq!(
            answer.warnings,
            Vec::<String>::new(),
            "{}",
            found["metadata"]["name"]
        );
        assert_eq!(
            condition(&found, "NamesAccepted"),
            Some("True"),
            "{}",
            found["status"]
        );
        assert_eq!(
            condition(&found, "NonStructuralSchema"),
            None,
            "{}",
            found["status"]
        );
        assert_eq!(found["status"]["storedVersions"], json!(["v1alpha1"]));
    }
}

/// A memory is one entry of who manages what, and none of its fields are lost.
#[tokio::test]
async fn a_memory_is_kept_whole_and_owned_whole() {
    let Some(namespace) = installed().await else {
        return;
    };
    let client = namespace.client();
    let job = json!({
        "apiVersion": crds::API_VERSION,
        "kind": "MLTrainingJob",
        "metadata": { "name": "a" },
        "spec": {
            "modelName": "a",
            "dataset": { "uri": "builtin:iris" },
            "algorithm": "logistic_regression",
            "evaluation": { "metric": "accuracy" },
        },
    });
    let deployment = json!({
        "apiVersion": crds::API_VERSION,
        "kind": "MLDeployment",
        "metadata": { "name": "a" },
        "spec": { "modelName": "a", "stable": { "version": "v20261101-120000" } },
    });
    for (plural, object) in [("mltrainingjobs", job), ("mldeployments", deployment)] {
        let collection = collection(&namespace, plural);
        let mut how = Applied {
            collection: &collection,
            subresource: "",
            manager: "test",
            is_dry_run: false,
        };
        let answer = apply(&client, how, &object).await.unwrap();
        assert!(answer.is_success(), "{answer:?}");
        how.subresource = "status";
        how.manager = "operator";
        let memory = json!({ "format": 1, "a": { "b": [1, null, { "c": 0.5 }] } });
        let mut status = json!({ "memory": memory });
        if plural == "mldeployments" {
            status["weight"] = json!(0);
        }
        let object = json!({
            "apiVersion": crds::API_VERSION,
            "kind": object["kind"],
            "metadata": { "name": "a" },
            "status": status,
        });
        let answer = apply(&client, how, &object).await.unwrap();
        assert!(answer.is_success() && answer.warnings.is_empty(), "{answer:?}");
        assert_eq!(answer.body["status"]["memory"], memory);
        let managed = answer.body["metadata"]["managedFields"].as_array().unwrap();
        let ours = managed
            .iter()
            .find(|entry| entry["manager"] == "operator")
            .unwrap();
        assert_eq!(ours["fieldsV1"]["f:status"]["f:memory"], json!({}), "{ours}");
    }
}

/// Returns what `kubectl explain` says of a field, or what is wrong, in one line.
fn explained(control_plane: &ControlPlane, field: &str) -> String {
    let told = Command::new(control_plane.kubectl())
        .arg("--kubeconfig")
        .arg(control_plane.kubeconfig())
        .args(["explain", field])
        .output()
        .expect("kubectl starts");
    let text = String::from_utf8_lossy(if told.status.success() {
        &told.stdout
    } else {
        &told.stderr
    });
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[tokio::test]
async fn explain_says_what_a_field_takes() {
    let Some(namespace) = installed().await else {
        return;
    };
    for (field, words) in [
        ("mldeployment.spec.canary.weight", "whole percent from 0 to 100"),
        (
            "mltj.spec.activeDeadlineSeconds",
            "whole seconds from 1 to 604800",
        ),
        ("mle.spec.removal.maxCount", "whole number from 0 to 1000000"),
        ("mltj.spec.modelName", "at most 40 lower-case letters"),
    ] {
        // Kinds are explained some time after they are served.
        let started = Instant::now();
        let mut text = explained(namespace.control_plane(), field);
        while !text.contains(words) {
            assert!(started.elapsed() < Duration::from_mins(1), "{field}: {text}");
            tokio::time::sleep(Duration::from_millis(200)).await;
            text = explained(namespace.control_plane(), field);
        }
    }
}
