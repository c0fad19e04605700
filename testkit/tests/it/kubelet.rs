//! A play-kubelet: Pods run as processes, and their status says what became of them.

mod endings;

use std::sync::Arc;

use serde_json::{Value, json};
use testkit::{Containers, namespace};

use crate::world::{
    change, create, delete, get, list, node, node_of, objects, server, shell, until, until_phase,
};

/// What a Pod with one container and restart policy `Never` writes as its last word.
const SEES: &str = r#"
printf '%s\n' "$OWN $NAME $TRACK $FROM_MAP $PREFIX_b" "$(cat /claim/a/in/by-init)" "$(cat /secret/key)" >"$LAST_WORD"
cat /secret/key >/scratch/copy && cat /pod/labels
case $ADDRESS in 127.*) ;; *) exit 9 ;; esac
"#;

#[tokio::test]
async fn a_container_sees_what_its_pod_says() {
    let Some(namespace) = namespace().await else {
        return;
    };
    let node = node(&namespace).await;
    create(
        &namespace,
        "ConfigMap",
        &json!({ "metadata": { "name": "map" }, "data": { "b": "2" } }),
    )
    .await;
    let claim =
        json!({ "accessModes": ["ReadWriteMany"], "resources": { "requests": { "storage": "1Gi" } } });
    create(
        &namespace,
        "PersistentVolumeClaim",
        &json!({ "metadata": { "name": "claim" }, "spec": claim }),
    )
    .await;
    let from = |name: &str, from: Value| json!({ "name": name, "valueFrom": from });
    let mut container = shell(SEES);
    // The image's entrypoint does not see the script's paths: they are of the words, and are translated there.
    container["env"] = json!([
        { "name": "OWN", "value": "o" },
        from("NAME", json!({ "fieldRef": { "fieldPath": "metadata.name" } })),
        from("TRACK", json!({ "fieldRef": { "fieldPath": "metadata.labels['track']" } })),
        from("ADDRESS", json!({ "fieldRef": { "fieldPath": "status.podIP" } })),
        from("FROM_MAP", json!({ "configMapKeyRef": { "name": "map", "key": "b" } })),
    ]);
    container["envFrom"] = json!([{ "prefix": "PREFIX_", "configMapRef": { "name": "map" } }]);
    container["volumeMounts"] = json!([
        { "name": "claim", "mountPath": "/claim/a", "subPath": "below" },
        { "name": "secret", "mountPath": "/secret", "readOnly": true },
        { "name": "scratch", "mountPath": "/scratch" },
        { "name": "pod", "mountPath": "/pod" },
    ]);
    let mut first = shell("mkdir -p /whole/below/in && echo init >/whole/below/in/by-init");
    first["name"] = "first".into();
    first["volumeMounts"] = json!([{ "name": "claim", "mountPath": "/whole" }]);
    let downward = json!({ "items": [{ "path": "labels", "fieldRef": { "fieldPath": "metadata.labels" } }] });
    let pod = json!({
        "metadata": { "name": "p", "labels": { "track": "canary" } },
        "spec": {
            "restartPolicy": "Never",
            "initContainers": [first],
            "containers": [container],
            "volumes": [
                { "name": "claim", "persistentVolumeClaim": { "claimName": "claim" } },
                { "name": "secret", "secret": { "secretName": "late" } },
                { "name": "scratch", "emptyDir": {} },
                { "name": "pod", "downwardAPI": downward },
            ],
        },
    });
    create(&namespace, "Pod", &pod).await;
    // A Secret that is not there yet is waited for, by name.
    until("the Secret is missed", async || {
        let pod = get(&namespace, "Pod", "p").await;
        let waiting = &pod["status"]["initContainerStatuses"][0]["state"]["waiting"];
        let is_missed = waiting["message"]
            .as_str()
            .is_some_and(|message| message.contains("\"late\" not found"));
        if is_missed {
            Ok(())
        } else {
            Err(pod["status"].to_string())
        }
    })
    .await;
    create(
        &namespace,
        "Secret",
        &json!({ "metadata": { "name": "late" }, "stringData": { "key": "secret" } }),
    )
    .await;
    let pod = until_phase(&namespace, "p", &["Succeeded", "Failed"]).await;
    let ended = &pod["status"]["containerStatuses"][0]["state"]["terminated"];
    assert_eq!(ended["exitCode"], 0, "{}{}", pod["status"], node.log("p", "a"));
    assert_eq!(ended["message"], "o p canary 2 2\ninit\nsecret\n");
    assert_eq!(node.log("p", "a"), "track=\"canary\"");
    assert_eq!(
        pod["spec"]["nodeName"],
        format!("node-{}", namespace.name()).as_str()
    );
    let address = pod["status"]["podIP"].as_str().unwrap_or_default();
    assert!(address.starts_with("10."), "{address}");
}

fn serving(word: &str) -> Value {
    let mut container = server(word);
    container["livenessProbe"] = json!({
        "httpGet": { "path": "/alive", "port": "http" }, "periodSeconds": 1, "failureThreshold": 2,
    });
    container["startupProbe"] = json!({
        "exec": { "command": ["sh", "-c", "[ -e /state/started ]"] }, "periodSeconds": 1, "failureThreshold": 100,
    });
    json!({
        "metadata": { "name": "d" },
        "spec": {
            "replicas": 1,
            "selector": { "matchLabels": { "app": "d" } },
            "template": {
                "metadata": { "labels": { "app": "d" } },
                "spec": { "containers": [container], "volumes": [{ "name": "state", "emptyDir": {} }] },
            },
        },
    })
}

/// The controllers say of a Pod what its probes say, and nothing of that is said by the test kit.
#[tokio::test]
async fn probes_decide_who_is_an_endpoint_and_who_starts_again() {
    let Some(namespace) = namespace().await else {
        return;
    };
    let node = node(&namespace).await;
    create(&namespace, "Deployment", &serving("x")).await;
    let service = json!({ "selector": { "app": "d" }, "ports": [{ "port": 80, "targetPort": "http" }] });
    create(
        &namespace,
        "Service",
        &json!({ "metadata": { "name": "s" }, "spec": service }),
    )
    .await;
    let pod = until("its Pod runs", async || {
        let pods = list(&namespace, "Pod").await;
        let pod = pods.first().cloned().unwrap_or_default();
        if pod["status"]["phase"] == "Running" {
            Ok(pod)
        } else {
            Err(pod["status"].to_string())
        }
    })
    .await;
    let name = pod["metadata"]["name"].as_str().unwrap_or_default();
    let state = node.folder().join(name).join("volumes/state");
    let status = &pod["status"]["containerStatuses"][0];
    assert_eq!(
        (&status["started"], &status["ready"]),
        (&false.into(), &false.into()),
        "{status}"
    );
    let endpoint_is = async |ready: bool| {
        until(&format!("its endpoint's readiness is {ready}"), async || {
            let slices = list(&namespace, "EndpointSlice").await;
            let endpoint = slices
                .first()
                .map(|slice| slice["endpoints"][0].clone())
                .unwrap_or_default();
            if endpoint["conditions"]["ready"] == ready {
                Ok(endpoint)
            } else {
                Err(format!("{slices:?}"))
            }
        })
        .await
    };
    std::fs::write(state.join("started"), "").unwrap();
    let endpoint = endpoint_is(true).await;
    let pod = get(&namespace, "Pod", name).await;
    assert_eq!(endpoint["addresses"][0], pod["status"]["podIP"]);

    std::fs::write(state.join("not-ready"), "").unwrap();
    endpoint_is(false).await;
    std::fs::remove_file(state.join("not-ready")).unwrap();
    endpoint_is(true).await;

    std::fs::write(state.join("not-alive"), "").unwrap();
    let status = until("it starts again", async || {
        let pod = get(&namespace, "Pod", name).await;
        let status = pod["status"]["containerStatuses"][0].clone();
        if status["restartCount"].as_u64() > Some(0) {
            Ok(status)
        } else {
            Err(status.to_string())
        }
    })
    .await;
    assert_eq!(status["lastState"]["terminated"]["exitCode"], 143, "{status}");
}

#[tokio::test]
async fn pods_without_processes_are_ready_or_over_at_once() {
    let Some(namespace) = namespace().await else {
        return;
    };
    let at_once = Containers::AtOnce(Arc::new(|_| (0, "v20261101-120000".to_owned())));
    let _node = node_of(&namespace, |mut machine| {
        machine.images.clear();
        machine.containers = at_once;
        machine
    })
    .await;
    create(&namespace, "Deployment", &serving("x")).await;
    let template = json!({ "spec": { "restartPolicy": "Never", "containers": [shell("exit 5")] } });
    create(
        &namespace,
        "Job",
        &json!({ "metadata": { "name": "j" }, "spec": { "template": template } }),
    )
    .await;
    let status_has = async |kind: &str, name: &str, field: &str| {
        until(&format!("{kind} {name} has {field}"), async || {
            let object = get(&namespace, kind, name).await;
            if object["status"][field] == 1 {
                Ok(())
            } else {
                Err(object["status"].to_string())
            }
        })
        .await;
    };
    status_has("Deployment", "d", "readyReplicas").await;
    status_has("Job", "j", "succeeded").await;
    let pods = list(&namespace, "Pod").await;
    let messages: Vec<_> = pods
        .iter()
        .filter_map(|pod| pod["status"]["containerStatuses"][0]["state"]["terminated"]["message"].as_str())
        .collect();
    assert_eq!(messages, ["v20261101-120000"]);
    change(
        &namespace,
        "Deployment",
        "d",
        &json!({ "spec": { "replicas": 0 } }),
    )
    .await;
    until("its Pod goes", async || {
        let left = list(&namespace, "Pod").await.len();
        if left == 1 { Ok(()) } else { Err(left.to_string()) }
    })
    .await;
}

#[tokio::test]
async fn what_has_no_room_waits_and_says_why() {
    let Some(namespace) = namespace().await else {
        return;
    };
    let _node = node_of(&namespace, |mut machine| {
        machine.capacity.insert("cpu".to_owned(), "1".to_owned());
        machine
    })
    .await;
    for name in ["a", "b"] {
        let mut container = shell("while :; do sleep 0.1; done");
        container["resources"] = json!({ "requests": { "cpu": "600m" } });
        let spec = json!({ "containers": [container], "terminationGracePeriodSeconds": 0 });
        create(
            &namespace,
            "Pod",
            &json!({ "metadata": { "name": name }, "spec": spec }),
        )
        .await;
        if name == "a" {
            until_phase(&namespace, "a", &["Running"]).await;
        }
    }
    until("the second is told why it waits", async || {
        let pod = get(&namespace, "Pod", "b").await;
        let condition = &pod["status"]["conditions"][0];
        let is_told = condition["message"]
            .as_str()
            .is_some_and(|message| message.contains("Insufficient cpu"));
        if is_told && condition["reason"] == "Unschedulable" {
            Ok(())
        } else {
            Err(pod["status"].to_string())
        }
    })
    .await;
    delete(&namespace, "Pod", "a", Some(0)).await;
    until_phase(&namespace, "b", &["Running"]).await;
    assert!(objects(&namespace, "Pod").ends_with("/pods"));
}
