//! What `deploy/` installs: a real API server takes each overlay, and nothing in it has a right that it is not meant to have.

use std::path::{Path, PathBuf};
use std::process::Command;

use k8s_openapi::api::core::v1;
use kube::Api;
use kube::api::PostParams;
use serde_json::{Value, json};
use testkit::{ControlPlane, assets, namespace};

const OVERLAYS: [&str; 3] = ["staging", "prod", "cephfs"];

fn overlay(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../deploy/overlays")
        .join(name)
}

/// Returns the objects of an overlay, as `kubectl kustomize` makes them.
fn objects(kubectl: &Path, name: &str) -> Vec<Value> {
    let told = Command::new(kubectl).arg("kustomize").arg(overlay(name)).output();
    let told = told.expect("kubectl starts");
    let said = String::from_utf8_lossy(&told.stderr);
    assert!(told.status.success() && said.is_empty(), "{name}: {said}");
    let text = String::from_utf8(told.stdout).expect("it writes text");
    let documents = text.split("\n---\n");
    documents
        .map(|document| serde_yaml::from_str(document).expect("it writes YAML"))
        .collect()
}

/// Returns the objects of all overlays, each with what a failure calls it; none where there is no `kubectl`.
fn all() -> Vec<(String, Value)> {
    let Some(assets) = assets() else { return Vec::new() };
    let kubectl = assets.program("kubectl");
    let mut all = Vec::new();
    for name in OVERLAYS {
        for object in objects(&kubectl, name) {
            let text = |pointer| {
                object
                    .pointer(pointer)
                    .and_then(Value::as_str)
                    .unwrap_or_default()
            };
            let called = format!("{name}: {} {}", text("/kind"), text("/metadata/name"));
            all.push((called, object));
        }
    }
    assert!(all.len() > 90, "{}", all.len());
    all
}

/// Makes the namespace that an overlay brings along: it is not there yet for what would be made in it.
async fn ensure_namespace(control_plane: &ControlPlane, name: &str) {
    let mut objects = objects(&control_plane.kubectl(), name).into_iter();
    let object = objects.find(|object| object["kind"] == "Namespace");
    let object: v1::Namespace = serde_json::from_value(object.expect("a namespace")).expect("one");
    let client = control_plane.client().await.expect("the control plane answers");
    match Api::all(client).create(&PostParams::default(), &object).await {
        Err(kube::Error::Api(status)) if status.is_already_exists() => {}
        made => drop(made.expect("the namespace is made")),
    }
}

#[tokio::test]
async fn an_api_server_takes_each_overlay_without_a_warning() {
    let Some(namespace) = namespace().await else {
        return;
    };
    let control_plane = namespace.control_plane();
    for name in OVERLAYS {
        ensure_namespace(control_plane, name).await;
        let told = Command::new(control_plane.kubectl())
            .arg("--kubeconfig")
            .arg(control_plane.kubeconfig())
            .args([
                "apply",
                "--server-side",
                "--dry-run=server",
                "--validate=strict",
                "-k",
            ])
            .arg(overlay(name))
            .output()
            .expect("kubectl starts");
        // The namespace's own policy, `restricted`, warns of a pod that asks for more.
        let said = String::from_utf8_lossy(&told.stderr);
        assert!(told.status.success() && said.is_empty(), "{name}: {said}");
        let done = String::from_utf8_lossy(&told.stdout);
        assert_eq!(
            done.lines().count(),
            objects(&control_plane.kubectl(), name).len(),
            "{done}"
        );
    }
}

#[test]
fn no_container_has_more_rights_than_it_needs() {
    let mut containers = 0;
    for (called, object) in all() {
        let Some(pod) = object.pointer("/spec/template/spec") else {
            continue;
        };
        let context = &pod["securityContext"];
        assert_eq!(context["runAsNonRoot"], true, "{called}");
        assert!(context["runAsUser"].as_u64() > Some(0), "{called}");
        assert_eq!(
            context["seccompProfile"],
            json!({ "type": "RuntimeDefault" }),
            "{called}"
        );
        for field in ["hostNetwork", "hostPID", "hostIPC", "shareProcessNamespace"] {
            assert_eq!(pod[field], Value::Null, "{called}: {field}");
        }
        // Who has a token says so, and is an account of its own.
        let has_token = pod["automountServiceAccountToken"].as_bool().expect(&called);
        assert_eq!(has_token, pod["serviceAccountName"].is_string(), "{called}");
        let lists = ["initContainers", "containers"].map(|list| pod[list].as_array());
        for container in lists.into_iter().flatten().flatten() {
            containers += 1;
            let expected = json!({
                "allowPrivilegeEscalation": false,
                "readOnlyRootFilesystem": true,
                "capabilities": { "drop": ["ALL"] },
            });
            assert_eq!(container["securityContext"], expected, "{called}");
            let resources = &container["resources"];
            for amount in ["/requests/cpu", "/requests/memory", "/limits/memory"] {
                assert!(
                    resources.pointer(amount).is_some_and(Value::is_string),
                    "{called}: {amount}"
                );
            }
        }
    }
    assert!(containers == 0 || containers >= 15, "{containers}");
}

#[test]
fn no_role_has_a_wildcard_and_each_verb_is_one_of_the_list() {
    /// Not among them: what deletes or lists by one request what nobody looked at, and what gives rights to others.
    const VERBS: [&str; 7] = ["get", "list", "watch", "create", "update", "patch", "delete"];
    /// Whatever reads these has the rights of others.
    const SECRET: [&str; 5] = [
        "secrets",
        "serviceaccounts/token",
        "pods/exec",
        "roles",
        "rolebindings",
    ];
    for (called, object) in all() {
        if !called.contains(": Role ") && !called.contains(": ClusterRole ") {
            continue;
        }
        let rules = object["rules"].as_array().expect(&called);
        for rule in rules {
            let list = |field: &str| -> Vec<&str> {
                let list = rule[field].as_array().into_iter().flatten();
                list.map(|value| value.as_str().expect("a name")).collect()
            };
            for field in ["apiGroups", "resources", "verbs"] {
                assert!(!list(field).is_empty(), "{called}: {field}: {rule}");
            }
            for field in ["apiGroups", "resources", "resourceNames", "verbs"] {
                assert!(
                    !list(field).iter().any(|value| value.contains('*')),
                    "{called}: {rule}"
                );
            }
            assert!(
                list("verbs").iter().all(|verb| VERBS.contains(verb)),
                "{called}: {rule}"
            );
            assert!(
                !list("resources").iter().any(|it| SECRET.contains(it)),
                "{called}: {rule}"
            );
            assert_eq!(rule["nonResourceURLs"], Value::Null, "{called}: {rule}");
        }
    }
}

/// What writes in the cluster has no right outside its own namespace.
#[test]
fn only_what_has_no_namespace_is_read_across_the_cluster() {
    for (called, object) in all() {
        if object["kind"] != "ClusterRole" {
            continue;
        }
        for rule in object["rules"].as_array().expect(&called) {
            assert_eq!(rule["verbs"], json!(["list"]), "{called}");
            let resources = &rule["resources"];
            assert!(
                [json!(["nodes"]), json!(["storageclasses"])].contains(resources),
                "{called}"
            );
        }
    }
}

/// Two environments of one cluster share what has no namespace only where it is the same.
#[test]
fn overlays_of_two_environments_do_not_fight() {
    let all = all();
    let of = |name: &str| -> Vec<&Value> {
        let prefix = format!("{name}: ");
        let found = all.iter().filter(|(called, _)| called.starts_with(&prefix));
        found.map(|(_, object)| object).collect()
    };
    let key = |object: &Value| {
        let metadata = &object["metadata"];
        (
            object["kind"].clone(),
            metadata["name"].clone(),
            metadata["namespace"].clone(),
        )
    };
    for one in of("staging") {
        for other in of("prod") {
            assert!(key(one) != key(other) || one == other, "{:?}", key(one));
        }
    }
}
