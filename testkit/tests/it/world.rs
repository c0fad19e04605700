//! What tests of Pods have in common: objects by kind, what is waited for, and a program that serves.

use std::time::{Duration, Instant};

use http::Method;
use serde_json::{Value, json};
use testkit::{Answer, Image, Kubelet, Machine, Namespace, send};

/// What is waited for comes within this.
const PATIENCE: Duration = Duration::from_mins(5);

/// Waits until `look` finds something; what it says until then is told if that does not happen.
pub(crate) async fn until<T>(what: &str, mut look: impl AsyncFnMut() -> Result<T, String>) -> T {
    let started = Instant::now();
    loop {
        match look().await {
            Ok(found) => return found,
            Err(seen) => assert!(started.elapsed() < PATIENCE, "{what}: {seen}"),
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// Returns the path of a kind's objects in a namespace.
pub(crate) fn objects(namespace: &Namespace, kind: &str) -> String {
    let (group, plural) = match kind {
        "Pod" => ("/api/v1", "pods"),
        "Service" => ("/api/v1", "services"),
        "Secret" => ("/api/v1", "secrets"),
        "ConfigMap" => ("/api/v1", "configmaps"),
        "PersistentVolumeClaim" => ("/api/v1", "persistentvolumeclaims"),
        "Job" => ("/apis/batch/v1", "jobs"),
        "Deployment" => ("/apis/apps/v1", "deployments"),
        "EndpointSlice" => ("/apis/discovery.k8s.io/v1", "endpointslices"),
        "HTTPRoute" => ("/apis/gateway.networking.k8s.io/v1", "httproutes"),
        "Ingress" => ("/apis/networking.k8s.io/v1", "ingresses"),
        _ => unreachable!("a kind of these tests: {kind}"),
    };
    format!("{group}/namespaces/{}/{plural}", namespace.name())
}

async fn ask(namespace: &Namespace, method: Method, kind: &str, path: &str, body: &Value) -> Answer {
    let answer = send(&namespace.client(), method, kind, path, body).await;
    answer.expect("the server answers")
}

/// Makes an object; `apiVersion` and the namespace are its kind's and the test's.
pub(crate) async fn create(namespace: &Namespace, kind: &str, object: &Value) -> Value {
    let collection = objects(namespace, kind);
    let group = collection.split("/namespaces/").next().unwrap_or_default();
    let mut object = object.clone();
    object["kind"] = kind.into();
    object["apiVersion"] = group
        .trim_start_matches("/apis/")
        .trim_start_matches("/api/")
        .into();
    let answer = ask(namespace, Method::POST, "application/json", &collection, &object).await;
    assert!(answer.is_success() && answer.warnings.is_empty(), "{answer:?}");
    answer.body
}

/// Returns an object as it is; null if there is none.
pub(crate) async fn get(namespace: &Namespace, kind: &str, name: &str) -> Value {
    let path = format!("{}/{name}", objects(namespace, kind));
    let answer = ask(namespace, Method::GET, "application/json", &path, &Value::Null).await;
    if answer.is_success() {
        answer.body
    } else {
        Value::Null
    }
}

/// Returns all objects of a kind.
pub(crate) async fn list(namespace: &Namespace, kind: &str) -> Vec<Value> {
    let path = objects(namespace, kind);
    let answer = ask(namespace, Method::GET, "application/json", &path, &Value::Null).await;
    answer.body["items"].as_array().cloned().unwrap_or_default()
}

pub(crate) async fn change(namespace: &Namespace, kind: &str, name: &str, change: &Value) {
    let path = format!("{}/{name}", objects(namespace, kind));
    let answer = ask(
        namespace,
        Method::PATCH,
        "application/merge-patch+json",
        &path,
        change,
    )
    .await;
    assert!(answer.is_success(), "{answer:?}");
}

pub(crate) async fn delete(namespace: &Namespace, kind: &str, name: &str, grace_seconds: Option<u32>) {
    let path = format!("{}/{name}", objects(namespace, kind));
    let options = json!({
        "apiVersion": "v1",
        "kind": "DeleteOptions",
        "gracePeriodSeconds": grace_seconds,
        "propagationPolicy": "Background",
    });
    let answer = ask(namespace, Method::DELETE, "application/json", &path, &options).await;
    assert!(answer.is_success(), "{answer:?}");
}

/// Waits until a Pod's phase is one of these, and returns the Pod.
pub(crate) async fn until_phase(namespace: &Namespace, name: &str, phases: &[&str]) -> Value {
    until(&format!("Pod {name} comes to {phases:?}"), async || {
        let pod = get(namespace, "Pod", name).await;
        let phase = pod["status"]["phase"].as_str().unwrap_or_default();
        if phases.contains(&phase) {
            Ok(pod)
        } else {
            Err(pod["status"].to_string())
        }
    })
    .await
}

/// Returns a node with a shell, and a program that serves (see [`crate::server`]).
pub(crate) async fn node(namespace: &Namespace) -> Kubelet {
    node_of(namespace, |machine| machine).await
}

pub(crate) async fn node_of(namespace: &Namespace, with: impl FnOnce(Machine) -> Machine) -> Kubelet {
    let own = std::env::current_exe().expect("a test is a program");
    let machine = Machine::new(&format!("node-{}", namespace.name()))
        .with_image(
            "shell",
            Image::of_program("/bin/sh", "sh").with_variable("LAST_WORD", "/dev/termination-log"),
        )
        .with_image("server", Image::of_program("/server", own));
    let started = Kubelet::start(namespace.control_plane(), namespace.name(), with(machine)).await;
    started.expect("a node starts")
}

/// A container that runs a script of the shell.
pub(crate) fn shell(script: &str) -> Value {
    json!({ "name": "a", "image": "shell:1", "args": ["-c", script] })
}

/// A container that serves at port 8080 and says `word`.
pub(crate) fn server(word: &str) -> Value {
    json!({
        "name": "a",
        "image": "example.org/server@sha256:0000000000000000000000000000000000000000000000000000000000000000",
        "args": ["--exact", "server::serves", "--nocapture"],
        "env": [
            { "name": "SERVER_WORD", "value": word },
            { "name": "SERVER_ADDRESS", "value": "0.0.0.0:8080" },
            { "name": "SERVER_STATE", "value": "/state" },
        ],
        "ports": [{ "name": "http", "containerPort": 8080 }],
        "volumeMounts": [{ "name": "state", "mountPath": "/state" }],
        "readinessProbe": {
            "httpGet": { "path": "/ready", "port": "http" }, "periodSeconds": 1, "failureThreshold": 1,
        },
    })
}
