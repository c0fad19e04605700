//! `aurora control-plane` of its own: beside a data directory, and in a cluster, where it has the registry alone.

use std::fs;
use std::process::Command;
use std::time::{Duration, SystemTime};

use http::Method;
use rustix::process::Signal;
use serde_json::{Value, json};
use tempfile::TempDir;
use testkit::{Applied, Component, Namespace, apply, namespace, send};

use crate::harness::{Ground, Up, aurora, eventually, get, run, text};

fn command(flags: &[&str]) -> Command {
    let mut command = aurora();
    command
        .args(["control-plane", "--control-plane", "127.0.0.1:0"])
        .args(flags);
    command
}

#[test]
fn on_one_machine_it_shows_this_machine_and_the_registrys_file_system() {
    let ground = Ground::dev();
    assert!(ground.up().stop().success());
    let data = ground.data();
    let control_plane = Up::watch(command(&["--data-dir", data.to_str().unwrap()]));
    let shown = |path: &str| {
        let answer = get(control_plane.control_plane, path);
        assert_eq!(answer.status, 200, "{path}: {answer:?}");
        answer.json()
    };
    let nodes = shown("/cluster/nodes");
    let node = &nodes["nodes"][0];
    assert_eq!(node["ready"], true, "{nodes}");
    assert!(!node["name"].as_str().unwrap().is_empty());
    assert!(
        node["capacity"]["memory"].as_str().unwrap().ends_with("Ki"),
        "{nodes}"
    );
    let storage = shown("/storage/classes");
    assert_eq!(storage["classes"], json!([]));
    assert!(
        storage["volume"]["capacity_bytes"].as_u64().unwrap() > 0,
        "{storage}"
    );
    assert_eq!(shown("/models")["models"].as_array().unwrap().len(), 2);
    assert!(control_plane.stop().success());
}

#[test]
fn what_an_up_that_was_killed_left_is_shown_with_its_age() {
    let ground = Ground::dev();
    let up = ground.up();
    up.signal(Signal::KILL);
    drop(up);
    let data = ground.data();
    let control_plane = Up::watch(command(&["--data-dir", data.to_str().unwrap()]));
    let beat = fs::File::options()
        .write(true)
        .open(data.join("heartbeat"))
        .unwrap();
    for (age, word) in [(1_u32, "Serving"), (3600, "Unknown")] {
        beat.set_modified(SystemTime::now() - Duration::from_secs(age.into()))
            .unwrap();
        let status = eventually("its age shows in what is said", || {
            let status = get(control_plane.control_plane, "/status").json();
            (status["models"][0]["word"] == word).then_some(status)
        });
        let model = get(control_plane.control_plane, "/status/models/iris").json();
        for shown in [&status, &model] {
            let said = shown["age_seconds"].as_f64().expect("an age");
            assert!(
                (f64::from(age)..f64::from(age) + 15.0).contains(&said),
                "{age} s: {said}"
            );
        }
        // What served last stays to be seen.
        assert_eq!(
            model["summary"]["stable"]["version"], "v20261101-120000",
            "{model}"
        );
    }
    assert!(control_plane.stop().success());
}

/// Makes a registry and a command that shows it with the cluster of a kubeconfig.
async fn in_cluster(folder: &TempDir, namespace: &Namespace) -> Command {
    let registry = folder.path().join("registry");
    let made = run(aurora().args(["registry", "init", "--registry"]).arg(&registry));
    assert!(made.status.success(), "{}", text(&made));
    let mut command = command(&["--cluster", "--registry", registry.to_str().unwrap()]);
    let kubeconfig = namespace.kubeconfig_of(Component::ControlPlane).await;
    command.env("KUBECONFIG", kubeconfig.expect("the account has a token"));
    command
}

#[tokio::test]
async fn in_a_cluster_it_shows_the_api_servers_nodes_classes_and_objects() {
    let Some(namespace) = namespace().await else {
        return;
    };
    let client = namespace.client();
    let definitions: Vec<Value> = crds::crd_yaml()
        .into_iter()
        .map(|(_, yaml)| serde_yaml::from_str(&yaml).expect("YAML"))
        .collect();
    testkit::install(&client, &definitions)
        .await
        .expect("the kinds are served");
    let node = json!({ "metadata": { "name": "node-of-control-plane" } });
    let made = send(&client, Method::POST, "application/json", "/api/v1/nodes", &node).await;
    assert!(made.expect("the server answers").is_success());
    let collection = format!(
        "/apis/aurora.io/v1alpha1/namespaces/{}/mldeployments",
        namespace.name()
    );
    let how = Applied {
        collection: &collection,
        subresource: "",
        manager: "test",
        is_dry_run: false,
    };
    let object = json!({
        "apiVersion": crds::API_VERSION, "kind": "MLDeployment", "metadata": { "name": "shown" },
        "spec": { "modelName": "shown", "stable": { "version": "v20261101-120000" } },
    });
    let applied = apply(&client, how, &object).await.expect("the server answers");
    assert!(applied.is_success(), "{applied:?}");

    let folder = TempDir::new().unwrap();
    let control_plane = Up::watch(in_cluster(&folder, &namespace).await);
    let shown = |path: &str| get(control_plane.control_plane, path);
    let nodes = shown("/cluster/nodes").json();
    let nodes = nodes["nodes"].as_array().expect("a list").clone();
    assert!(nodes.iter().any(|node| node["name"] == "node-of-control-plane"));
    let storage = shown("/storage/classes").json();
    assert!(storage["classes"].is_array(), "{storage}");
    let status = shown("/status/models/shown").json();
    assert_eq!(status["deployments"][0]["metadata"]["name"], "shown", "{status}");
    // Nobody has reconciled here, and then somebody did who is gone.
    assert_eq!(status["age_seconds"], Value::Null, "{status}");
    assert_eq!(status["summary"]["word"], "Unknown", "{status}");
    let leases = format!(
        "/apis/coordination.k8s.io/v1/namespaces/{}/leases",
        namespace.name()
    );
    let lease = json!({
        "metadata": { "name": "aurora-reconciler" },
        "spec": { "holderIdentity": "", "renewTime": "2026-11-01T12:00:00.000000Z" },
    });
    let made = send(&client, Method::POST, "application/json", &leases, &lease).await;
    assert!(made.expect("the server answers").is_success());
    let status = eventually("its age is known", || {
        let status = shown("/status").json();
        status["age_seconds"].is_number().then_some(status)
    });
    assert!(status["age_seconds"].as_f64().unwrap() > 15.0, "{status}");
    assert_eq!(status["models"][0]["word"], "Unknown", "{status}");
    assert!(control_plane.stop().success());
}

#[test]
fn without_a_cluster_to_ask_it_says_so() {
    let folder = TempDir::new().unwrap();
    let registry = folder.path().join("registry");
    let made = run(aurora().args(["registry", "init", "--registry"]).arg(&registry));
    assert!(made.status.success(), "{}", text(&made));
    let output = run(command(&["--cluster", "--registry", registry.to_str().unwrap()])
        .env("KUBECONFIG", "/nowhere")
        .env("HOME", folder.path())
        .env_remove("KUBERNETES_SERVICE_HOST"));
    assert_eq!(output.status.code(), Some(2), "{}", text(&output));
    assert!(text(&output).contains("no cluster to ask"), "{}", text(&output));
    let output = run(&mut command(&["--cluster"]));
    assert_eq!(output.status.code(), Some(2), "{}", text(&output));
    assert!(text(&output).contains("--registry"), "{}", text(&output));
}
