//! The node object: what it has, that it is ready, and its Lease.

use std::time::Duration;

use http::Method;
use k8s_openapi::jiff::Timestamp;
use kube::Client;
use serde_json::{Value, json};

use super::Machine;
use crate::request::{Answer, send};

/// How often a node says that it is there.
const RENEW_EVERY: Duration = Duration::from_secs(10);
/// How long after an error it says so again.
const PAUSE: Duration = Duration::from_millis(200);
const LEASES: &str = "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases";

/// Makes the node, and says for ever that it is there.
pub(crate) async fn keep(client: Client, machine: Machine) {
    let mut is_there = false;
    loop {
        is_there = is_there || register(&client, &machine).await;
        let is_renewed = is_there && renew(&client, &machine.name).await;
        tokio::time::sleep(if is_renewed { RENEW_EVERY } else { PAUSE }).await;
    }
}

async fn register(client: &Client, machine: &Machine) -> bool {
    let node = json!({
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": { "name": machine.name, "labels": machine.labels },
    });
    let path = format!("/api/v1/nodes/{}", machine.name);
    let made = ask(client, Method::POST, "/api/v1/nodes", &node).await;
    let status = json!({ "status": status(machine, Timestamp::now()) });
    is_done(&made, 409)
        && is_done(
            &ask(client, Method::PATCH, &format!("{path}/status"), &status).await,
            0,
        )
}

fn status(machine: &Machine, now: Timestamp) -> Value {
    json!({
        "capacity": machine.capacity,
        "allocatable": machine.capacity,
        "addresses": [{ "type": "InternalIP", "address": "127.0.0.1" }, { "type": "Hostname", "address": machine.name }],
        "conditions": [{
            "type": "Ready",
            "status": "True",
            "reason": "KubeletReady",
            "message": "play-kubelet is posting ready status",
            "lastHeartbeatTime": now.to_string(),
            "lastTransitionTime": now.to_string(),
        }],
        "nodeInfo": {
            "architecture": std::env::consts::ARCH,
            "operatingSystem": std::env::consts::OS,
            "kubeletVersion": crate::assets::kubernetes_version(),
            "kubeProxyVersion": "",
            "containerRuntimeVersion": "processes://1",
            "bootID": "", "kernelVersion": "", "machineID": "", "osImage": "", "systemUUID": "",
        },
    })
}

async fn renew(client: &Client, node: &str) -> bool {
    let spec = json!({
        "holderIdentity": node,
        "leaseDurationSeconds": 40,
        "renewTime": Timestamp::now().strftime("%Y-%m-%dT%H:%M:%S%.6fZ").to_string(),
    });
    let lease = json!({
        "apiVersion": "coordination.k8s.io/v1",
        "kind": "Lease",
        "metadata": { "name": node },
        "spec": spec,
    });
    let renewed = ask(
        client,
        Method::PATCH,
        &format!("{LEASES}/{node}"),
        &json!({ "spec": spec }),
    )
    .await;
    is_done(&renewed, 0) || is_done(&ask(client, Method::POST, LEASES, &lease).await, 0)
}

async fn ask(client: &Client, method: Method, path: &str, body: &Value) -> Result<Answer, kube::Error> {
    let kind = if method == Method::PATCH {
        "application/strategic-merge-patch+json"
    } else {
        "application/json"
    };
    send(client, method, kind, path, body).await
}

/// Says whether it was done, or answered with the one code that is as good.
fn is_done(answer: &Result<Answer, kube::Error>, or_code: u16) -> bool {
    answer
        .as_ref()
        .is_ok_and(|answer| answer.is_success() || answer.code == or_code)
}
