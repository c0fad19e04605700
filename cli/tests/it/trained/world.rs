//! An installation in a namespace of a real API server: its processes are those that are shipped, its Pods are processes of
//! this machine, and its volume is a folder.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use http::Method;
use serde_json::{Value, json};
use tempfile::TempDir;
use testkit::{
    Applied, Component, Gateway, Image, Kubelet, Machine, Namespace, apply, gateway_api, install, send,
};
use tokio::sync::OnceCell;

use crate::cluster::definitions;
use crate::harness::{Repository, Up, aurora, run, text};
use crate::operated::image;

pub(super) const IMAGE: &str = "example.org/aurora:1";
/// The image of a team's own programs: it has a shell.
pub(super) const TEAM_IMAGE: &str = "example.org/team/trainer:1";
pub(super) const ENVIRONMENT: &str = "staging";
/// The claim of the registry's volume.
const CLAIM: &str = "aurora-model-pvc";
/// How late requests follow a write of the route.
const LAG: Duration = Duration::from_millis(800);
/// How long anything may take.
const PATIENCE: Duration = Duration::from_mins(4);
const MERGE: &str = "application/merge-patch+json";

/// An installation, as far as it was started.
pub(super) struct World {
    pub(super) namespace: Namespace,
    _node: Kubelet,
    pub(super) repository: Repository,
    operator: Option<Up>,
    reconciler: Option<Up>,
    control_plane: Option<Up>,
    /// Where the control plane is to be found.
    artifacts: String,
    folder: TempDir,
}

impl World {
    /// Makes a namespace with its node and an empty registry; `None` where there is no API server to be had.
    pub(super) async fn begin() -> Option<Self> {
        static INSTALLED: OnceCell<()> = OnceCell::const_new();
        let namespace = testkit::namespace().await?;
        let client = namespace.client();
        let kinds = async || {
            let made = install(&client, &definitions()).await;
            made.expect("the kinds are served");
            gateway_api(&client).await.expect("HTTPRoutes are served");
        };
        INSTALLED.get_or_init(kinds).await;
        let folder = TempDir::new().expect("a folder");
        let registry = folder.path().join("shared-models");
        let made = run(aurora()
            .args(["registry", "init", "--environment", ENVIRONMENT, "--registry"])
            .arg(&registry));
        assert!(made.status.success(), "{}", text(&made));
        let mut machine = Machine::new(&format!("node-of-{}", namespace.name()))
            .with_image(IMAGE, image())
            .with_image(TEAM_IMAGE, Image::of_program("/bin/sh", "/bin/sh"));
        machine.claims.insert(CLAIM.to_owned(), registry);
        let node = Kubelet::start(namespace.control_plane(), namespace.name(), machine).await;
        let world = Self {
            _node: node.expect("a node"),
            artifacts: testkit::free_address().expect("a port").to_string(),
            repository: Repository::empty(),
            operator: None,
            reconciler: None,
            control_plane: None,
            namespace,
            folder,
        };
        let claim = json!({
            "apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": { "name": CLAIM },
            "spec": { "accessModes": ["ReadWriteMany"], "resources": { "requests": { "storage": "1Gi" } } },
        });
        let made = world
            .ask(Method::POST, "api/v1/persistentvolumeclaims", &claim)
            .await;
        assert_eq!(made["kind"], "PersistentVolumeClaim", "{made}");
        Some(world)
    }

    /// Returns the folder that is the registry's volume.
    pub(super) fn registry(&self) -> PathBuf {
        self.folder.path().join("shared-models")
    }

    /// Starts the operator.
    pub(super) async fn operate(&mut self) {
        self.operate_with(&[]).await;
    }

    /// Starts the operator with some flags.
    pub(super) async fn operate_with(&mut self, flags: &[&str]) {
        let kubeconfig = self.namespace.kubeconfig_of(Component::Operator).await;
        let mut command = aurora();
        command
            .args(["operator", "--namespace", self.namespace.name()])
            .args(["--environment", ENVIRONMENT, "--image", IMAGE])
            .args(["--control-plane", "127.0.0.1:0"])
            .args(["--artifacts", &format!("http://{}", self.artifacts), "--registry"])
            .arg(self.registry())
            .args(flags)
            .env(
                "KUBECONFIG",
                kubeconfig.expect("the operator's account has a token"),
            );
        self.operator = Some(Up::watch(command));
    }

    /// Starts what hands artifacts out, and returns a gateway that follows routes late.
    pub(super) async fn serve(&mut self) -> Gateway {
        let secret = json!({
            "apiVersion": "v1", "kind": "Secret", "metadata": { "name": "aurora-keys" },
            "stringData": { "inference": "none-is-asked-for-on-loopback" },
        });
        let made = self.ask(Method::POST, "api/v1/secrets", &secret).await;
        assert_eq!(made["kind"], "Secret", "{made}");
        let mut command = aurora();
        command
            .args(["control-plane", "--cluster", "--control-plane", &self.artifacts])
            .arg("--registry")
            .arg(self.registry())
            .env("AURORA_NAMESPACE", self.namespace.name())
            .env("KUBECONFIG", self.namespace.control_plane().kubeconfig());
        self.control_plane = Some(Up::watch(command));
        let namespace = &self.namespace;
        let gateway = Gateway::start(namespace.control_plane(), namespace.name(), LAG).await;
        gateway.expect("a gateway")
    }

    /// Starts the reconciler of what is committed.
    pub(super) fn reconcile(&mut self) {
        let mut command = aurora();
        command
            .args(["reconcile", "--namespace", self.namespace.name()])
            .args([
                "--environment",
                ENVIRONMENT,
                "--control-plane",
                "127.0.0.1:0",
                "--repo",
            ])
            .arg(self.repository.path())
            .arg("--data-dir")
            .arg(self.folder.path().join("reconciler"))
            .env("KUBECONFIG", self.namespace.control_plane().kubeconfig());
        self.reconciler = Some(Up::watch(command));
    }

    /// Ends all processes in order.
    pub(super) fn stop(&mut self) {
        for process in [&mut self.reconciler, &mut self.operator, &mut self.control_plane] {
            if let Some(process) = process.take() {
                assert!(process.stop().success(), "it ends in order");
            }
        }
    }

    /// Commits a file of the environment.
    pub(super) fn commit(&self, file: &str, content: impl AsRef<[u8]>) -> git2::Oid {
        self.repository
            .write(&format!("environments/{ENVIRONMENT}/{file}"), content);
        self.repository.commit(file)
    }

    /// Writes an MLTrainingJob as the reconciler does after a commit.
    pub(super) async fn declare(&self, name: &str, spec: &Value) {
        let object = json!({
            "apiVersion": crds::API_VERSION, "kind": "MLTrainingJob",
            "metadata": {
                "name": name, "labels": { "aurora.io/environment": ENVIRONMENT },
                "annotations": {
                    "aurora.io/revision": "0123456789012345678901234567890123456789",
                    "aurora.io/committed-at": "2026-11-01T12:00:00Z",
                },
            },
            "spec": spec,
        });
        let collection = self.path("apis/aurora.io/v1alpha1/mltrainingjobs");
        let how = Applied {
            collection: &collection,
            subresource: "",
            manager: "aurora-reconciler",
            is_dry_run: false,
        };
        let applied = apply(&self.namespace.client(), how, &object).await;
        let applied = applied.expect("the server answers");
        assert!(applied.is_success(), "{applied:?}");
    }

    /// Returns the path of what lies in the namespace, e.g. of `apis/batch/v1/jobs`, or of `apis/batch/v1/jobs/NAME`.
    fn path(&self, resource: &str) -> String {
        let names = [
            "/jobs",
            "/mltrainingjobs",
            "/mldeployments",
            "/pods",
            "/secrets",
            "/events",
            "/persistentvolumeclaims",
        ];
        let at = names.iter().find_map(|name| resource.rfind(name));
        let (api, rest) = resource.split_at(at.expect("a resource that is known here"));
        format!("/{api}/namespaces/{}{rest}", self.namespace.name())
    }

    /// Asks the API server, and returns its answer.
    pub(super) async fn ask(&self, method: Method, resource: &str, body: &Value) -> Value {
        let kind = if method == Method::PATCH {
            MERGE
        } else {
            "application/json"
        };
        let path = self.path(resource);
        let answer = send(&self.namespace.client(), method, kind, &path, body).await;
        answer.expect("the server answers").body
    }

    /// Returns an object, or all of a kind.
    pub(super) async fn get(&self, resource: &str) -> Value {
        self.ask(Method::GET, resource, &Value::Null).await
    }

    /// Returns the Jobs or Pods that there are, by name.
    pub(super) async fn names(&self, resource: &str) -> Vec<String> {
        let found = self.get(resource).await;
        let items = found["items"].as_array().into_iter().flatten();
        let names = items.filter_map(|item| item["metadata"]["name"].as_str());
        names.map(str::to_owned).collect()
    }

    /// Waits until something holds of an object, and returns it as it is then.
    pub(super) async fn until(&mut self, resource: &str, holds: impl Fn(&Value) -> bool) -> Value {
        let began = Instant::now();
        loop {
            let found = self.get(resource).await;
            if holds(&found) {
                return found;
            }
            for process in [&mut self.operator, &mut self.reconciler].into_iter().flatten() {
                let ended = process.ended();
                assert!(ended.is_none(), "{ended:?}: {:?}", process.events());
            }
            assert!(began.elapsed() < PATIENCE, "{resource}: {found:#}");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    /// Waits for the phase of an MLTrainingJob, and returns its status.
    pub(super) async fn until_phase(&mut self, job: &str, phase: &str) -> Value {
        let resource = format!("apis/aurora.io/v1alpha1/mltrainingjobs/{job}");
        let found = self
            .until(&resource, |found| found["status"]["phase"] == phase)
            .await;
        found["status"].clone()
    }
}
