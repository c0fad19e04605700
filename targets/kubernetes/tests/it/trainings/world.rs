//! A namespace whose training runs are over at once, a registry, and operators over both.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use chrono::Utc;
use http::Method;
use k8s_openapi::api::core::v1::Pod;
use kube::{Client, Config};
use kubernetes::build::Installation;
use kubernetes::operator::{Health, Scope, run};
use planner::Timestamp;
use planner::route::Gateway;
use registry::run::{Ending, RunRequest, RunResult};
use registry::{Owner, Store};
use serde_json::{Value, json};
use testkit::{Component, Containers, Kubelet, Machine, Namespace, send};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use crate::installed::{apply_as, ask, get, installed};
use crate::versions::draft;

/// What is waited for comes within this.
const PATIENCE: Duration = Duration::from_mins(5);
pub(super) const VERSION: &str = "v20261101-120000";

/// What trainers were asked, in order.
pub(crate) type Runs = Arc<Mutex<Vec<RunRequest>>>;

pub(super) struct World {
    pub(super) namespace: Namespace,
    folder: tempfile::TempDir,
    runs: Runs,
    operator: Option<Operator>,
    runs_max: usize,
    clock: fn() -> Timestamp,
    _node: Kubelet,
}

struct Operator {
    stop: oneshot::Sender<()>,
    running: JoinHandle<()>,
}

fn clock() -> Timestamp {
    Utc::now()
}

/// Publishes what a Pod is asked for.
pub(crate) fn train(pod: &Pod, root: &std::path::Path, runs: &Runs) -> (i32, String) {
    let containers = &pod.spec.as_ref().unwrap().containers;
    let env = containers[0].env.iter().flatten();
    let mut asked = env.filter(|variable| variable.name == "AURORA_REQUEST");
    let asked = asked.next().unwrap().value.as_deref().unwrap();
    let request: RunRequest = serde_json::from_str(asked).unwrap();
    let made = (&request.job, &request.revision, request.inputs_hash);
    let draft = draft(&request.model, &request.version, Some(made));
    let digest = draft.metadata.artifact.digest;
    Store::open(root).unwrap().publish(draft).unwrap();
    runs.lock().unwrap().push(request);
    let ending = Ending::Published {
        digest,
        metrics: BTreeMap::from([("r2".to_owned(), 0.5)]),
    };
    let result = RunResult { at: clock(), ending };
    (0, serde_json::to_string(&result).unwrap())
}

impl World {
    /// Makes one without an operator.
    pub(super) async fn begin() -> Option<Self> {
        let namespace = installed().await?;
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().join("registry");
        let owner = Owner {
            environment: "dev".parse().unwrap(),
            installation: "one".to_owned(),
        };
        Store::init(&root, &owner, clock()).unwrap();
        let runs = Runs::default();
        let mut machine = Machine::new(&format!("node-of-{}", namespace.name()));
        machine.capacity.insert("cpu".to_owned(), "1000".to_owned());
        machine.capacity.insert("memory".to_owned(), "1000Gi".to_owned());
        machine.capacity.insert("pods".to_owned(), "10000".to_owned());
        let told = runs.clone();
        machine.containers = Containers::AtOnce(Arc::new(move |pod| train(pod, &root, &told)));
        let node = Kubelet::start(namespace.control_plane(), namespace.name(), machine).await;
        Some(Self {
            namespace,
            folder,
            runs,
            operator: None,
            runs_max: 16,
            clock,
            _node: node.unwrap(),
        })
    }

    /// Lets so many runs be under way at a time.
    pub(super) fn with_runs_max(self, runs_max: usize) -> Self {
        Self { runs_max, ..self }
    }

    /// Lets operators believe another clock.
    pub(super) fn with_clock(self, clock: fn() -> Timestamp) -> Self {
        Self { clock, ..self }
    }

    pub(super) fn root(&self) -> PathBuf {
        self.folder.path().join("registry")
    }

    /// Starts an operator.
    pub(super) async fn start(&mut self) {
        self.start_behind(self.namespace.config_of(Component::Operator).await.unwrap());
    }

    /// Starts an operator that reaches the API server so.
    pub(super) fn start_behind(&mut self, config: Config) {
        let scope = Scope {
            installation: Installation {
                environment: "dev".parse().unwrap(),
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
                    name: "inference".to_owned(),
                    namespace: None,
                    section_name: None,
                },
            },
            registry: self.root(),
            runs_max: self.runs_max,
        };
        let client = Client::try_from(config).unwrap();
        let (stop, stopped) = oneshot::channel::<()>();
        let clock = self.clock;
        let running = tokio::spawn(async move {
            let stopped = async { drop(stopped.await) };
            run(client, scope, clock, Arc::new(Health::default()), stopped).await;
        });
        self.operator = Some(Operator { stop, running });
    }

    /// Ends the operator as a signal does.
    pub(super) async fn stop(&mut self) {
        let Operator { stop, running } = self.operator.take().unwrap();
        drop(stop);
        running.await.unwrap();
    }

    /// Ends the operator as a power cut does.
    pub(super) async fn kill(&mut self) {
        let Operator { stop: _stop, running } = self.operator.take().unwrap();
        running.abort();
        drop(running.await);
    }

    /// Commits a job, as the reconciler does.
    pub(super) async fn declare(&self, name: &str, spec: &Value, annotations: &Value) {
        let mut said = json!({
            "aurora.io/revision": "0123456789012345678901234567890123456789",
            "aurora.io/committed-at": "2026-11-01T12:00:00Z",
        });
        let said_besides = annotations.as_object().into_iter().flatten();
        for (key, value) in said_besides {
            said[key] = value.clone();
        }
        let object = json!({
            "apiVersion": crds::API_VERSION, "kind": "MLTrainingJob",
            "metadata": { "name": name, "labels": { "aurora.io/environment": "dev" }, "annotations": said },
            "spec": spec,
        });
        let applied = apply_as(&self.namespace, "aurora-reconciler", "mltrainingjobs", &object).await;
        assert!(applied.is_success(), "{applied:?}");
    }

    pub(super) async fn status(&self, job: &str) -> Value {
        let found = get(&self.namespace, &format!("mltrainingjobs/{job}")).await;
        found.body["status"].clone()
    }

    /// Patches or deletes a job, as anybody does.
    pub(super) async fn change(&self, job: &str, method: Method, body: &Value) {
        let changed = ask(&self.namespace, method, &format!("mltrainingjobs/{job}"), body).await;
        assert!(changed.is_success(), "{changed:?}");
    }

    pub(super) async fn wipe_status(&self, job: &str) {
        let path = format!("mltrainingjobs/{job}/status");
        let wiped = ask(&self.namespace, Method::PATCH, &path, &json!({ "status": null })).await;
        assert!(wiped.is_success(), "{wiped:?}");
    }

    /// Waits until something holds of a job's status.
    pub(super) async fn until(&self, job: &str, holds: impl Fn(&Value) -> bool) -> Value {
        let began = Instant::now();
        loop {
            let status = self.status(job).await;
            if holds(&status) {
                return status;
            }
            assert!(began.elapsed() < PATIENCE, "{job}: {status:#}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    pub(super) async fn until_phase(&self, job: &str, phase: &str) -> Value {
        self.until(job, |status| status["phase"] == phase).await
    }

    /// Asks for what lies in the namespace, e.g. `jobs/a`.
    pub(super) async fn batch(&self, method: Method, path: &str, body: &Value) -> Value {
        let kind = if method == Method::PATCH {
            "application/merge-patch+json"
        } else {
            "application/json"
        };
        let path = format!("/apis/batch/v1/namespaces/{}/{path}", self.namespace.name());
        let answer = send(&self.namespace.client(), method, kind, &path, body).await;
        answer.unwrap().body
    }

    /// Returns the Jobs, by name.
    pub(super) async fn jobs(&self) -> Vec<String> {
        let found = self.batch(Method::GET, "jobs", &Value::Null).await;
        let items = found["items"].as_array().into_iter().flatten();
        let names = items.map(|job| job["metadata"]["name"].as_str().unwrap().to_owned());
        names.collect()
    }

    /// Returns which jobs' runs trainers were asked for, in order, with what they were compared with.
    pub(super) fn runs(&self) -> Vec<String> {
        let runs = self.runs.lock().unwrap();
        let line = |run: &RunRequest| match &run.baseline {
            Some(baseline) => format!("{} {} beside {baseline}", run.job, run.version),
            None => format!("{} {}", run.job, run.version),
        };
        runs.iter().map(line).collect()
    }
}
