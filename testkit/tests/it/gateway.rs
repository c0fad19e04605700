//! The small gateway: who answers what, and what changes of routes and Pods do to it.

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use testkit::{Gateway, Namespace, gateway_api, namespace};
use tokio::sync::OnceCell;

use crate::world::{change, create, list, node, server, until};

/// Returns a namespace of an API server that knows HTTPRoutes.
async fn routed() -> Option<Namespace> {
    static INSTALLED: OnceCell<()> = OnceCell::const_new();
    let namespace = namespace().await?;
    let install = async || {
        gateway_api(&namespace.client())
            .await
            .expect("HTTPRoutes are served");
    };
    INSTALLED.get_or_init(install).await;
    Some(namespace)
}

/// Deployment and Service of a track, whose Pods say its name.
async fn track(namespace: &Namespace, name: &str, replicas: u32) {
    let mut container = server(name);
    container["lifecycle"]["preStop"]["sleep"]["seconds"] = 2.into();
    let template = json!({
        "metadata": { "labels": { "track": name } },
        "spec": { "containers": [container], "volumes": [{ "name": "state", "emptyDir": {} }] },
    });
    let spec = json!({
        "replicas": replicas,
        "selector": { "matchLabels": { "track": name } },
        "strategy": { "rollingUpdate": { "maxUnavailable": 0, "maxSurge": 1 } },
        "template": template,
    });
    create(
        namespace,
        "Deployment",
        &json!({ "metadata": { "name": name }, "spec": spec }),
    )
    .await;
    let service = json!({ "selector": { "track": name }, "ports": [{ "port": 80, "targetPort": "http" }] });
    create(
        namespace,
        "Service",
        &json!({ "metadata": { "name": name }, "spec": service }),
    )
    .await;
}

fn rules(stable: u64, canary: u64) -> Value {
    let path = json!({ "type": "PathPrefix", "value": "/v2/models/a" });
    let backend = |name: &str, weight: u64| json!({ "name": name, "port": 80, "weight": weight });
    let track = json!({ "name": "aurora-track", "value": "canary" });
    json!([
        { "matches": [{ "path": path, "headers": [track] }], "backendRefs": [backend("canary", 1)] },
        { "matches": [{ "path": path }], "backendRefs": [backend("stable", stable), backend("canary", canary)] },
    ])
}

/// Asks on a connection, and returns the code and what was said.
fn ask(stream: &mut TcpStream, path: &str, header: &str) -> std::io::Result<(u16, String)> {
    let request = format!("GET {path} HTTP/1.1\r\nHost: example.org\r\n{header}\r\n");
    stream.write_all(request.as_bytes())?;
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") {
        stream.read_exact(&mut byte)?;
        head.push(byte[0]);
    }
    let head = String::from_utf8_lossy(&head).to_lowercase();
    let after = |name: &str| head.split(name).nth(1).and_then(|rest| rest.split("\r\n").next());
    let length = after("content-length: ")
        .and_then(|length| length.parse().ok())
        .unwrap_or(0);
    let mut body = vec![0; length];
    stream.read_exact(&mut body)?;
    let code = head
        .split(' ')
        .nth(1)
        .and_then(|code| code.parse().ok())
        .unwrap_or(0);
    Ok((code, String::from_utf8_lossy(&body).into_owned()))
}

/// Asks `count` times on one connection, and returns how often what was answered.
fn ask_often(address: SocketAddr, count: usize, path: &str, header: &str) -> BTreeMap<(u16, String), usize> {
    let mut stream = TcpStream::connect(address).expect("the gateway listens");
    let mut counts = BTreeMap::new();
    for _ in 0..count {
        *counts
            .entry(ask(&mut stream, path, header).expect("an answer"))
            .or_default() += 1;
    }
    counts
}

async fn until_answer(gateway: &Gateway, path: &str, expected: (u16, &str)) {
    until(&format!("{path} is answered with {expected:?}"), async || {
        let told = ask_often(gateway.address(), 1, path, "");
        let is_told = told.contains_key(&(expected.0, expected.1.to_owned()));
        if is_told { Ok(()) } else { Err(format!("{told:?}")) }
    })
    .await;
}

const PATH: &str = "/v2/models/a/infer";

fn told(counts: &BTreeMap<(u16, String), usize>, code: u16, word: &str) -> usize {
    counts.get(&(code, word.to_owned())).copied().unwrap_or_default()
}

#[tokio::test]
async fn shares_headers_and_faults_are_those_of_a_gateway() {
    let Some(namespace) = routed().await else {
        return;
    };
    let _node = node(&namespace).await;
    let gateway = Gateway::start(namespace.control_plane(), namespace.name(), Duration::ZERO)
        .await
        .unwrap();
    assert_eq!(
        told(&ask_often(gateway.address(), 1, PATH, ""), 404, ""),
        1,
        "no route"
    );
    create(
        &namespace,
        "HTTPRoute",
        &json!({ "metadata": { "name": "r" }, "spec": { "rules": rules(90, 10) } }),
    )
    .await;
    until_answer(&gateway, PATH, (500, "")).await;
    track(&namespace, "stable", 1).await;
    until_answer(&gateway, PATH, (200, "stable")).await;

    let counts = ask_often(gateway.address(), 1_000, PATH, "");
    let canary = told(&counts, 500, "");
    assert!(
        canary.abs_diff(100) <= 2 && told(&counts, 200, "stable") == 1_000 - canary,
        "no such Service: {counts:?}"
    );
    track(&namespace, "canary", 0).await;
    until("nobody is ready", async || {
        let counts = ask_often(gateway.address(), 100, PATH, "aurora-track: canary\r\n");
        if told(&counts, 503, "") == 100 {
            Ok(())
        } else {
            Err(format!("{counts:?}"))
        }
    })
    .await;
    change(
        &namespace,
        "Deployment",
        "canary",
        &json!({ "spec": { "replicas": 1 } }),
    )
    .await;
    until("the canary answers", async || {
        let counts = ask_often(gateway.address(), 10, PATH, "aurora-track: canary\r\n");
        if told(&counts, 200, "canary") == 10 {
            Ok(())
        } else {
            Err(format!("{counts:?}"))
        }
    })
    .await;
    let before = gateway.answers();
    let counts = ask_often(gateway.address(), 1_000, PATH, "");
    let canary = told(&counts, 200, "canary");
    assert!(
        canary.abs_diff(100) <= 2 && told(&counts, 200, "stable") == 1_000 - canary,
        "{counts:?}"
    );
    let key = ("canary".to_owned(), 200);
    let counted = gateway.answers()[&key] - before[&key];
    assert_eq!(
        usize::try_from(counted).unwrap(),
        canary,
        "answers are counted by Service"
    );
    assert_eq!(
        told(&ask_often(gateway.address(), 5, "/v2/models/ab", ""), 404, ""),
        5
    );

    change(
        &namespace,
        "HTTPRoute",
        "r",
        &json!({ "spec": { "rules": rules(0, 0) } }),
    )
    .await;
    until_answer(&gateway, PATH, (503, "")).await;
    // A change is in force after the lag, and not before.
    gateway.set_lag(Duration::from_secs(3));
    let changed = Instant::now();
    change(
        &namespace,
        "HTTPRoute",
        "r",
        &json!({ "spec": { "rules": rules(100, 0) } }),
    )
    .await;
    until_answer(&gateway, PATH, (200, "stable")).await;
    assert!(
        changed.elapsed() >= Duration::from_secs(3),
        "{:?}",
        changed.elapsed()
    );
}

/// What the gateway, probes, EndpointSlices and a drain have to agree on.
#[tokio::test]
async fn a_rolling_update_under_load_loses_no_request() {
    let Some(namespace) = routed().await else {
        return;
    };
    let _node = node(&namespace).await;
    let gateway = Gateway::start(
        namespace.control_plane(),
        namespace.name(),
        Duration::from_millis(300),
    )
    .await
    .unwrap();
    track(&namespace, "stable", 2).await;
    create(
        &namespace,
        "HTTPRoute",
        &json!({ "metadata": { "name": "r" }, "spec": { "rules": rules(100, 0) } }),
    )
    .await;
    until_answer(&gateway, PATH, (200, "stable")).await;
    let address = gateway.address();
    let is_over = Arc::new(AtomicBool::new(false));
    let stop = Arc::clone(&is_over);
    let load = std::thread::spawn(move || {
        let mut all: BTreeMap<(u16, String), usize> = BTreeMap::new();
        while !stop.load(Ordering::Relaxed) {
            for (answer, count) in ask_often(address, 20, PATH, "") {
                *all.entry(answer).or_default() += count;
            }
        }
        all
    });
    let uids = async || -> Vec<String> {
        let pods = list(&namespace, "Pod").await;
        pods.iter()
            .map(|pod| pod["metadata"]["uid"].to_string())
            .collect()
    };
    let old = uids().await;
    let annotated = json!({ "metadata": { "annotations": { "digest": "new" } } });
    change(
        &namespace,
        "Deployment",
        "stable",
        &json!({ "spec": { "template": annotated } }),
    )
    .await;
    until("two new Pods are there and the old ones are gone", async || {
        let now = uids().await;
        let is_done = now.len() == 2 && now.iter().all(|uid| !old.contains(uid));
        if is_done { Ok(()) } else { Err(format!("{now:?}")) }
    })
    .await;
    is_over.store(true, Ordering::Relaxed);
    let all = load.join().unwrap();
    assert!(told(&all, 200, "stable") > 100, "{all:?}");
    assert_eq!(all.len(), 1, "{all:?}");
}
