//! A namespace with the kinds, an operator over it, and pods whose readiness a test sets.

use std::collections::BTreeMap;
use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use chrono::Utc;
use crds::MLDeployment;
use crds::convert::deployment_object;
use http::Method;
use kubernetes::build::Installation;
use kubernetes::operator::{Health, Scope, run};
use planner::Timestamp;
use planner::names::ObjectName;
use planner::observed::DeploymentObject;
use planner::route::Gateway;
use registry::Store;
use serde_json::{Value, json};
use tempfile::TempDir;
use testkit::{Applied, Component, Namespace, apply, send};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use crate::desired::owner;
use crate::installed::installed;

/// What is waited for comes within this.
const PATIENCE: Duration = Duration::from_mins(5);
const MERGE: &str = "application/merge-patch+json";
/// Where children stand.
const COLLECTIONS: [&str; 7] = [
    "apis/apps/v1/deployments",
    "api/v1/services",
    "apis/policy/v1/poddisruptionbudgets",
    "apis/autoscaling/v2/horizontalpodautoscalers",
    "apis/gateway.networking.k8s.io/v1/httproutes",
    "apis/gateway.networking.k8s.io/v1/grpcroutes",
    "api/v1/configmaps",
];

/// A namespace whose operator runs.
pub(super) struct World {
    pub(super) namespace: Namespace,
    pub(super) health: Arc<Health>,
    /// Has the registry, which knows nothing.
    folder: TempDir,
    operator: Option<(oneshot::Sender<()>, JoinHandle<()>)>,
    kubelet: JoinHandle<()>,
    /// Whether pods become ready.
    pub(super) starts: Arc<AtomicBool>,
    /// Whether the pods of routers do.
    pub(super) starts_routers: Arc<AtomicBool>,
}

fn clock() -> Timestamp {
    Utc::now()
}

impl World {
    /// Returns one of the shared control plane, where there is one.
    pub(super) async fn begin() -> Option<Self> {
        Some(Self::of(installed().await?).await)
    }

    pub(super) async fn of(namespace: Namespace) -> Self {
        let starts = Arc::new(AtomicBool::new(true));
        let client = kube::Client::try_from(config_of(&namespace).await).expect("there is a client");
        let starts_routers = Arc::new(AtomicBool::new(true));
        let both = [Arc::clone(&starts), Arc::clone(&starts_routers)];
        let kubelet = tokio::spawn(play(client, namespace.name().to_owned(), both));
        let folder = tempfile::tempdir().expect("a folder");
        Store::init(&folder.path().join("registry"), &owner(), clock()).expect("a registry");
        let mut world = Self {
            namespace,
            folder,
            health: Arc::new(Health::default()),
            operator: None,
            kubelet,
            starts,
            starts_routers,
        };
        world.start().await;
        world
    }

    pub(super) async fn config(&self) -> kube::Config {
        config_of(&self.namespace).await
    }

    /// Takes the registry's volume away.
    pub(super) fn unmount(&self) {
        let folder = self.folder.path();
        fs::rename(folder.join("registry"), folder.join("elsewhere")).expect("it is there");
    }

    /// Brings it back.
    pub(super) fn mount(&self) {
        let folder = self.folder.path();
        fs::rename(folder.join("elsewhere"), folder.join("registry")).expect("it was taken away");
    }

    pub(super) async fn start(&mut self) {
        let config = self.namespace.config_of(Component::Operator).await;
        self.start_behind(config.expect("the operator's account has a token"));
    }

    /// Starts an operator that reaches the API server so.
    pub(super) fn start_behind(&mut self, config: kube::Config) {
        let client = kube::Client::try_from(config).expect("there is a client");
        let installation = Installation {
            environment: "staging".parse().expect("a name"),
            namespace: self.namespace.name().to_owned(),
            image: "example.org/aurora:1".to_owned(),
            onnx_runtime_image: None,
            import_sources: Vec::new(),
            import_ca: None,
            control_plane: "http://aurora-control-plane:8000".to_owned(),
            keys_secret: "aurora-keys".to_owned(),
            registry_claim: "aurora-model-pvc".to_owned(),
            dataset_claims: Vec::new(),
            gateway: Gateway {
                name: "aurora".to_owned(),
                namespace: None,
                section_name: None,
            },
        };
        let scope = Scope {
            registry: self.folder.path().join("registry"),
            ..Scope::from(installation)
        };
        let (stop, stopped) = oneshot::channel::<()>();
        self.health = Arc::new(Health::default());
        let health = Arc::clone(&self.health);
        let running = tokio::spawn(async move {
            run(client, scope, clock, health, async { drop(stopped.await) }).await;
        });
        self.operator = Some((stop, running));
    }

    /// Ends the operator as a signal does.
    pub(super) async fn stop(&mut self) {
        if let Some((stop, running)) = self.operator.take() {
            drop(stop);
            running.await.expect("it ends in order");
        }
    }

    pub(super) fn path(&self, collection: &str) -> String {
        let (prefix, plural) = collection.rsplit_once('/').expect("a collection");
        format!("/{prefix}/namespaces/{}/{plural}", self.namespace.name())
    }

    pub(super) async fn ask(&self, method: Method, path: &str, body: &Value) -> Value {
        let answer = send(&self.namespace.client(), method, MERGE, path, body).await;
        answer.expect("the server answers").body
    }

    /// Commits an object, as the reconciler does.
    pub(super) async fn commit(&self, name: &str, object: &DeploymentObject) {
        let name: ObjectName = name.parse().expect("a name");
        let environment = "staging".parse().expect("a name");
        let written = deployment_object(&name, object, &environment);
        let how = Applied {
            collection: &self.path("apis/aurora.io/v1alpha1/mldeployments"),
            subresource: "",
            manager: "aurora-reconciler",
            is_dry_run: false,
        };
        let mut document = serde_json::to_value(&written).expect("it is JSON");
        document.as_object_mut().expect("an object").remove("status");
        let answer = apply(&self.namespace.client(), how, &document)
            .await
            .expect("an answer");
        assert!(answer.is_success(), "{answer:?}");
    }

    /// Lets an object be stepped once more.
    pub(super) async fn touch(&self, name: &str) {
        let touched = json!({ "metadata": { "annotations": { "example.org/touched": Utc::now() } } });
        self.ask(Method::PATCH, &self.object_path(name), &touched).await;
    }

    pub(super) fn object_path(&self, name: &str) -> String {
        format!("{}/{name}", self.path("apis/aurora.io/v1alpha1/mldeployments"))
    }

    pub(super) async fn object(&self, name: &str) -> MLDeployment {
        let found = self.ask(Method::GET, &self.object_path(name), &Value::Null).await;
        serde_json::from_value(found).expect("an MLDeployment")
    }

    /// Waits until a line about an object is as expected: state, stable's version, the canary's, the live weight.
    pub(super) async fn until(&self, name: &str, expected: &str) {
        let began = Instant::now();
        loop {
            let found = self.ask(Method::GET, &self.object_path(name), &Value::Null).await;
            let text = |pointer: &str| {
                found
                    .pointer(pointer)
                    .map_or("-".to_owned(), |value| match value {
                        Value::String(text) => text.clone(),
                        value => value.to_string(),
                    })
            };
            let line = format!(
                "{} {} {} {}",
                text("/status/state"),
                text("/status/stable/version"),
                text("/status/canary/version"),
                text("/status/weight")
            );
            if line == expected {
                return;
            }
            assert!(began.elapsed() < PATIENCE, "{line}, not {expected}: {found:#}");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    /// Waits until something holds of a child.
    pub(super) async fn until_child(
        &self,
        collection: &str,
        name: &str,
        holds: impl Fn(&Value) -> bool,
    ) -> Value {
        let path = format!("{}/{name}", self.path(collection));
        let began = Instant::now();
        loop {
            let found = self.ask(Method::GET, &path, &Value::Null).await;
            if holds(&found) {
                return found;
            }
            assert!(began.elapsed() < PATIENCE, "{found:#}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Returns all children, by kind and name, each with its version.
    pub(super) async fn children(&self) -> BTreeMap<String, String> {
        let mut children = BTreeMap::new();
        for collection in COLLECTIONS {
            let selected = format!(
                "{}?labelSelector=app.kubernetes.io/managed-by=aurora-operator",
                self.path(collection)
            );
            let found = self.ask(Method::GET, &selected, &Value::Null).await;
            let plural = collection.rsplit_once('/').expect("a collection").1;
            for child in found["items"].as_array().into_iter().flatten() {
                let text = |pointer: &str| child.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
                let name = format!("{plural}/{}", text("/metadata/name"));
                children.insert(name, text("/metadata/resourceVersion").to_owned());
            }
        }
        children
    }

    /// Returns the canary's weight in the route.
    pub(super) async fn routed(&self, name: &str) -> Option<u64> {
        let path = format!(
            "{}/{name}-route",
            self.path("apis/gateway.networking.k8s.io/v1/httproutes")
        );
        let found = self.ask(Method::GET, &path, &Value::Null).await;
        let rules = found["spec"]["rules"].as_array()?.clone();
        let split = rules.last()?["backendRefs"].as_array()?.clone();
        let canary = split
            .iter()
            .find(|backend| backend["name"] == format!("{name}-canary"));
        Some(
            canary
                .and_then(|canary| canary["weight"].as_u64())
                .unwrap_or_default(),
        )
    }

    /// Waits until this operator has stepped an object.
    pub(super) async fn stepped(&self) {
        let began = Instant::now();
        while self.health.steps() == 0 {
            assert!(began.elapsed() < PATIENCE, "nothing is stepped");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

async fn config_of(namespace: &Namespace) -> kube::Config {
    namespace
        .control_plane()
        .config()
        .await
        .expect("it is configured")
}

impl Drop for World {
    fn drop(&mut self) {
        self.kubelet.abort();
    }
}

/// Lets the pods of a namespace be ready, and those that go be gone.
async fn play(client: kube::Client, namespace: String, [starts, starts_routers]: [Arc<AtomicBool>; 2]) {
    let pods = format!("/api/v1/namespaces/{namespace}/pods");
    loop {
        let found = send(&client, Method::GET, MERGE, &pods, &Value::Null).await;
        let items = found
            .map(|found| found.body["items"].as_array().cloned())
            .ok()
            .flatten();
        for pod in items.unwrap_or_default() {
            let name = pod["metadata"]["name"].as_str().unwrap_or_default().to_owned();
            let path = format!("{pods}/{name}");
            let is_router = name.contains("-route-");
            let starts = if is_router { &starts_routers } else { &starts };
            if !pod["metadata"]["deletionTimestamp"].is_null() {
                let now = json!({ "gracePeriodSeconds": 0, "apiVersion": "v1", "kind": "DeleteOptions" });
                drop(send(&client, Method::DELETE, "application/json", &path, &now).await);
            } else if pod["status"]["phase"] == "Pending" && starts.load(Ordering::Relaxed) {
                let ready = json!({ "status": {
                    "phase": "Running", "podIP": "127.0.1.1", "podIPs": [{ "ip": "127.0.1.1" }],
                    "conditions": [{ "type": "Ready", "status": "True", "lastTransitionTime": Utc::now() }],
                } });
                drop(send(&client, Method::PATCH, MERGE, &format!("{path}/status"), &ready).await);
            }
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}
