//! `aurora router` as a process with the rights of its Role, behind a real API server and before real pods' processes, whose
//! EndpointSlices are the test's; and as the Deployment that an operator makes.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use http::Method;
use serde_json::{Value, json};
use testkit::{Applied, Component, Namespace, Proxy, apply, namespace, send};

use crate::harness::{Up, aurora, eventually, get, note, post};
use crate::operated::{Installation, MODEL, carry_a_canary_to_its_promotion, image};
use crate::pods::{Cluster, ready};

const ROW: &str = r#"{"inputs":[[5.1,3.5,1.4,0.2]]}"#;
const MAP: &str = "iris-route";
/// How many threads ask.
const ASKING: usize = 2;
/// How long the pods of a router may take to be replaced.
const PATIENCE: Duration = Duration::from_mins(4);

/// An installation's router, and what it hears of a cluster.
struct Routed {
    namespace: Namespace,
    api: Option<Proxy>,
    router: Up,
    pods: Cluster,
    _control_plane: Up,
}

impl Routed {
    async fn begin() -> Option<Self> {
        let namespace = namespace().await?;
        let account = namespace.config_of(Component::Router).await;
        let api = Proxy::start(account.expect("an account")).expect("a proxy");
        let pods = Cluster::new();
        let kubeconfig = pods.folder.path().join("kubeconfig");
        api.write_kubeconfig(&kubeconfig).expect("written");
        let control_plane = pods.control_plane(&[]);
        let mut routing = aurora();
        routing
            .args(["router", "--namespace", namespace.name(), "--config-map", MAP])
            .args(["--inference", "127.0.0.1:0", "--insecure-inference"])
            .env("KUBECONFIG", kubeconfig);
        Some(Self {
            api: Some(api),
            router: Up::watch(routing),
            namespace,
            pods,
            _control_plane: control_plane,
        })
    }

    fn pod(&self, track: &str) -> Up {
        let mut pod = Up::watch(self.pods.serve(&self.pods.digest, track));
        ready(&mut pod);
        pod
    }

    async fn apply(&self, path: &str, object: &Value) {
        let collection = format!("{path}/namespaces/{}/{}", self.namespace.name(), plural(object));
        let how = Applied {
            collection: &collection,
            subresource: "",
            manager: "test",
            is_dry_run: false,
        };
        let applied = apply(&self.namespace.client(), how, object).await;
        let applied = applied.expect("the server answers");
        assert!(applied.is_success(), "{applied:?}");
    }

    /// Writes what the operator would.
    async fn tell(&self, route: &str) {
        let map = json!({
            "apiVersion": "v1", "kind": "ConfigMap", "metadata": { "name": MAP }, "data": { "route.json": route },
        });
        self.apply("/api/v1", &map).await;
    }

    async fn weigh(&self, weight: u64) {
        let track = |track| json!({ "service": format!("iris-{track}"), "version": self.pods.version });
        let route = json!({
            "model": "iris", "weight": weight, "stable": track("stable"), "canary": track("canary"),
        });
        self.tell(&route.to_string()).await;
        self.until("the weight is in force", |health| {
            health["weight"] == weight && health["refused"].is_null()
        });
    }

    /// Writes the slice of one pod, as the controllers would; one that is not ready is as good as gone.
    async fn slice(&self, name: &str, track: &str, pod: SocketAddr, is_ready: bool) {
        let slice = json!({
            "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice",
            "metadata": { "name": name, "labels": { "kubernetes.io/service-name": format!("iris-{track}") } },
            "addressType": "IPv4",
            "endpoints": [{ "addresses": ["10.0.0.1"], "conditions": { "ready": is_ready } }],
            "ports": [{ "name": "http", "port": pod.port(), "protocol": "TCP" }],
        });
        self.apply("/apis/discovery.k8s.io/v1", &slice).await;
    }

    fn health(&self) -> Value {
        let answer = get(self.router.inference, "/health");
        assert_eq!(answer.status, 200, "it is alive whatever it hears: {answer:?}");
        answer.json()
    }

    fn until(&self, what: &str, condition: impl Fn(&Value) -> bool) {
        eventually(what, || condition(&self.health()).then_some(()));
    }

    fn ready(&self) -> u16 {
        get(self.router.inference, "/v2/health/ready").status
    }

    /// Returns how many of so many requests, one after the other, the canary answered.
    fn canarys(&self, requests: usize) -> usize {
        let asked = (0..requests).map(|_| ask(self.router.inference));
        asked.filter(|told| told == "canary").count()
    }

    fn counted(&self, series: &str) -> u64 {
        let metrics = get(self.router.inference, "/metrics").body;
        let line = metrics.lines().find_map(|line| line.strip_prefix(series));
        line.and_then(|count| count.trim().parse().ok()).unwrap_or(0)
    }
}

fn plural(object: &Value) -> String {
    format!("{}s", object["kind"].as_str().expect("a kind").to_lowercase())
}

/// Asks all the time, on connections of one request each, and counts what was answered.
struct Load {
    counts: Arc<Mutex<BTreeMap<String, usize>>>,
    is_over: Arc<AtomicBool>,
    asking: Vec<JoinHandle<()>>,
}

impl Load {
    fn begin(router: SocketAddr) -> Self {
        let counts: Arc<Mutex<BTreeMap<String, usize>>> = Arc::default();
        let is_over = Arc::new(AtomicBool::new(false));
        let ask_on = || {
            let (counts, is_over) = (counts.clone(), is_over.clone());
            std::thread::spawn(move || {
                while !is_over.load(Ordering::Relaxed) {
                    let told = ask(router);
                    *counts
                        .lock()
                        .expect("no panic under the lock")
                        .entry(told)
                        .or_default() += 1;
                }
            })
        };
        Self {
            asking: (0..ASKING).map(|_| ask_on()).collect(),
            counts,
            is_over,
        }
    }

    fn answered(&self) -> usize {
        self.counts
            .lock()
            .expect("no panic under the lock")
            .values()
            .sum()
    }

    /// Waits until so many more have been answered.
    fn more(&self, requests: usize) {
        let before = self.answered();
        eventually("requests are answered", || {
            (self.answered() >= before + requests).then_some(())
        });
    }

    fn end(self) -> BTreeMap<String, usize> {
        self.is_over.store(true, Ordering::Relaxed);
        for asking in self.asking {
            asking.join().expect("it only asks");
        }
        std::mem::take(&mut *self.counts.lock().expect("no panic under the lock"))
    }
}

/// Returns the track that answered, or what went wrong.
fn ask(router: SocketAddr) -> String {
    let answer = post(router, "/predict/iris", &[], ROW);
    match answer.status {
        200 => answer.track().to_owned(),
        code => format!("{code} {}", answer.body),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_router_follows_weights_and_pods_and_loses_no_request() {
    let Some(mut routed) = Routed::begin().await else {
        return;
    };
    // Nothing, and then what cannot be gone by: alive, not ready, and it says why.
    routed.until("it misses its ConfigMap", |health| {
        health["refused"] == format!("ConfigMap {MAP}: it is not there")
    });
    assert_eq!(routed.ready(), 503);
    routed.tell("{\"model\":").await;
    routed.until("it refuses", |health| {
        health["refused"]
            .as_str()
            .is_some_and(|why| why.contains("route.json: EOF"))
    });
    assert_eq!(routed.ready(), 503);

    let (one, two, canary) = (routed.pod("stable"), routed.pod("stable"), routed.pod("canary"));
    routed.slice("one", "stable", one.inference, true).await;
    routed.slice("two", "stable", two.inference, true).await;
    routed.weigh(10).await;
    assert_eq!(routed.ready(), 200);
    // A canary without pods: its share is stable's.
    assert_eq!(routed.canarys(100), 0);
    let diverted = routed.counted("aurora_router_diverted_total{model=\"iris\"}");
    assert!(diverted.abs_diff(10) <= 2, "{diverted}");
    routed.slice("canary", "canary", canary.inference, true).await;
    routed.until("the canary's pod is known", |health| {
        health["canary"]["endpoints"] == 1
    });

    for (weight, requests) in [(10, 1_000), (50, 200), (0, 50), (100, 50)] {
        routed.weigh(weight).await;
        let canarys = routed.canarys(requests);
        let exact = requests * usize::try_from(weight).expect("a percent") / 100;
        assert!(canarys.abs_diff(exact) <= 2, "{weight} %: {canarys}");
        assert!(!matches!(weight, 0 | 100) || canarys == exact);
    }

    let load = Load::begin(routed.router.inference);
    for weight in [0, 100, 10, 90, 50] {
        routed.weigh(weight).await;
        load.more(100);
    }
    // A pod dies, and the API does not know yet; then it does.
    drop(one);
    load.more(300);
    routed.slice("one", "stable", two.inference, false).await;
    routed.until("it is gone", |health| health["stable"]["endpoints"] == 1);
    // The last canary dies.
    drop(canary);
    load.more(300);
    assert!(routed.counted("aurora_router_diverted_total{model=\"iris\"}") > diverted);
    // What cannot be gone by changes nothing, nor does an API server that is away.
    routed.tell("[]").await;
    routed.until("it refuses", |health| health["refused"].is_string());
    drop(routed.api.take());
    load.more(300);
    let told = load.end();
    note(&format!("routed: answers under load: {told:?}"));
    assert!(
        told.keys()
            .all(|told| ["stable", "canary"].contains(&told.as_str())),
        "{told:?}"
    );
    assert_eq!(routed.ready(), 200);

    assert!(two.stop().success());
    assert!(routed.router.stop().success(), "it ends in order");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_router_that_an_operator_makes_carries_a_canary_to_its_promotion() {
    let Some(namespace) = namespace().await else {
        return;
    };
    let account = namespace.config_of(Component::Router).await;
    let api = Proxy::start(account.expect("an account")).expect("a proxy");
    let folder = tempfile::tempdir().expect("a folder");
    let kubeconfig = folder.path().join("kubeconfig");
    api.write_kubeconfig(&kubeconfig).expect("written");
    let image = image().with_variable("KUBECONFIG", kubeconfig.to_str().expect("text"));
    let route = json!({ "provider": "Aurora", "grpc": {} });
    let installation = Installation::begin_in(namespace, image, route).await;
    // What stands before the router: all that comes goes to its Service.
    for (kind, port) in [("HTTPRoute", 8080), ("GRPCRoute", 8081)] {
        let front = json!({
            "apiVersion": "gateway.networking.k8s.io/v1", "kind": kind, "metadata": { "name": "front" },
            "spec": { "rules": [{ "backendRefs": [{ "name": format!("{MODEL}-route"), "port": port }] }] },
        });
        let path = format!(
            "/apis/gateway.networking.k8s.io/v1/namespaces/{}/{}",
            installation.namespace.name(),
            plural(&front)
        );
        let client = installation.namespace.client();
        let made = send(&client, Method::POST, "application/json", &path, &front).await;
        let made = made.expect("the server answers");
        assert!(made.is_success(), "{made:?}");
    }
    carry_a_canary_to_its_promotion(installation, async |installation| {
        let emptied = tokio::time::timeout(PATIENCE, empty_the_nodes_of_routers(installation));
        emptied.await.expect("each is replaced");
    })
    .await;
}

/// Evicts the pods of a router one by one, as nodes are emptied: each drains what it was asked, and is replaced.
async fn empty_the_nodes_of_routers(installation: &Installation) {
    let (client, namespace) = (installation.namespace.client(), installation.namespace.name());
    let path =
        format!("/api/v1/namespaces/{namespace}/pods?labelSelector=app.kubernetes.io/component%3Droute");
    let routers = async || {
        let found = send(&client, Method::GET, "", &path, &Value::Null).await;
        found.expect("the server answers").body["items"].clone()
    };
    let two_ready = async |but: &BTreeSet<String>| loop {
        let found = routers().await;
        let pods = found.as_array().into_iter().flatten();
        let names = pods.map(|pod| (pod, pod["metadata"]["name"].as_str().expect("a name").to_owned()));
        let (gone, ready): (Vec<_>, Vec<_>) = names.partition(|(_, name)| but.contains(name));
        let ready: BTreeSet<String> = ready
            .into_iter()
            .filter(|(pod, _)| is_ready(pod))
            .map(|(_, name)| name)
            .collect();
        if gone.is_empty() && ready.len() == 2 {
            return ready;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    };
    let before = two_ready(&BTreeSet::new()).await;
    for pod in &before {
        // The budget lets one go once another is there.
        loop {
            let evicted = testkit::evict(&client, namespace, pod).await;
            let evicted = evicted.expect("the server answers");
            if evicted.is_success() {
                break;
            }
            assert_eq!(evicted.code, 429, "{evicted:?}");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }
    two_ready(&before).await;
}

fn is_ready(pod: &Value) -> bool {
    let conditions = pod.pointer("/status/conditions").and_then(Value::as_array);
    let mut conditions = conditions.into_iter().flatten();
    pod["metadata"]["deletionTimestamp"].is_null()
        && conditions.any(|condition| condition["type"] == "Ready" && condition["status"] == "True")
}
