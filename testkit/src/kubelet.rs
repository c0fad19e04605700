//! A **play-kubelet**: a node whose containers are processes of this machine.
//!
//! ```text
//! watch of Pods ──> keeper: bind ──> pod: one task each ──> container: process, probes, restarts ──> status
//!                                        │ volumes, variables, rewrite: what the process sees
//!                                        └ address: 127.x.y.z here, 10.x.y.z in the API
//! ```
//!
//! It writes Nodes, their Leases and the status of Pods, and deletes Pods that have ended, as a kubelet does; all else is the
//! controllers'. What it cannot show: images, security contexts, limits, read-only mounts, users, Services' names. A
//! container's output goes to `<folder>/<pod>/<container>.log`; a failed test names the folder. A token of a ServiceAccount
//! that a Pod mounts is also in a kubeconfig that `KUBECONFIG` names, since the path that clients know is the machine's.

mod address;
mod capacity;
mod container;
mod image;
mod keeper;
mod node;
mod pod;
mod prepare;
mod probe;
mod process;
mod report;
mod rewrite;
mod status;
mod variables;
mod volumes;

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::core::v1::Pod;
use kube::Client;
use serde_json::{Value, json};
use tokio::sync::mpsc;

use crate::background::Background;
use crate::control_plane::{ControlPlane, ControlPlaneError};
use crate::note;
use crate::request::{Answer, send};
use crate::supervisor::Supervisor;
pub use address::on_machine;
pub use image::Image;

/// How long after an error something is tried again.
const PAUSE: Duration = Duration::from_millis(200);

/// How a container of a Pod that runs no process ended: exit code and last word.
pub type Ending = (i32, String);

/// What becomes of containers.
#[derive(Clone)]
pub enum Containers {
    /// They are processes.
    Processes,
    /// There are none. Pods are ready at once; those that are to come to an end do so at once, as this says.
    AtOnce(Arc<dyn Fn(&Pod) -> Ending + Send + Sync>),
}

impl fmt::Debug for Containers {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Processes => "Processes",
            Self::AtOnce(_) => "AtOnce",
        })
    }
}

/// What a node has.
#[derive(Debug, Clone)]
pub struct Machine {
    /// Its name, one in the control plane.
    pub name: String,
    /// Labels of the node.
    pub labels: BTreeMap<String, String>,
    /// Amounts by resource, e.g. `cpu`: `8`. A Pod whose requests are above stays Pending.
    pub capacity: BTreeMap<String, String>,
    /// What images are: by whole reference, or by the last part of the name without tag and digest.
    pub images: BTreeMap<String, Image>,
    /// The folders of PersistentVolumeClaims, by name; others are made below the node's folder.
    pub claims: BTreeMap<String, PathBuf>,
    /// How long a container that ended waits before it starts again; each time twice as long.
    pub back_off: Duration,
    /// Whether there are processes.
    pub containers: Containers,
}

impl Machine {
    /// Returns a node of 8 cores that knows no image.
    pub fn new(name: &str) -> Self {
        let own = |(key, value): (&str, &str)| (key.to_owned(), value.to_owned());
        Self {
            name: name.to_owned(),
            labels: BTreeMap::from(
                [("kubernetes.io/hostname", name), ("kubernetes.io/os", "linux")].map(own),
            ),
            capacity: BTreeMap::from([("cpu", "8"), ("memory", "16Gi"), ("pods", "110")].map(own)),
            images: BTreeMap::new(),
            claims: BTreeMap::new(),
            back_off: Duration::from_millis(200),
            containers: Containers::Processes,
        }
    }

    /// Returns the node with an image.
    #[must_use]
    pub fn with_image(mut self, name: &str, image: Image) -> Self {
        self.images.insert(name.to_owned(), image);
        self
    }
}

/// A node that runs the Pods of a namespace, until it is dropped.
#[derive(Debug)]
pub struct Kubelet {
    folder: PathBuf,
    asked: mpsc::UnboundedSender<(String, Ask)>,
    // First the tasks end, then what is left of processes.
    _background: Background,
    supervisor: Supervisor,
}

/// What a test asks of a Pod's node.
#[derive(Debug)]
enum Ask {
    OutOfMemory { container: String },
    Evict,
}

/// What all Pods of a node share.
#[derive(Debug)]
struct Node {
    machine: Machine,
    namespace: String,
    folder: PathBuf,
    /// The URL of the API server and the file with its authority.
    server: Value,
}

impl Kubelet {
    /// Starts a node for the Pods of one namespace.
    ///
    /// # Errors
    ///
    /// Its folder or thread cannot be made, or the control plane has no kubeconfig.
    pub async fn start(
        control_plane: &ControlPlane,
        namespace: &str,
        machine: Machine,
    ) -> Result<Self, ControlPlaneError> {
        let folder = tempfile::Builder::new()
            .prefix("aurora-kubelet-")
            .tempdir()?
            .keep();
        let supervisor = Supervisor::start(&folder)?;
        let config = control_plane.config().await?;
        let (asked, asks) = mpsc::unbounded_channel();
        let node = Arc::new(Node {
            server: json!({
                "server": config.cluster_url.to_string(),
                "certificate-authority": control_plane.authority(),
            }),
            namespace: namespace.to_owned(),
            folder: folder.clone(),
            machine,
        });
        let background = Background::start("kubelet", move || keeper::keep(node, config, asks))?;
        Ok(Self {
            folder,
            asked,
            _background: background,
            supervisor,
        })
    }

    /// Returns the folder with the Pods' volumes and logs.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Returns what a container wrote, also to the processes before this one.
    pub fn log(&self, pod: &str, container: &str) -> String {
        let path = self.folder.join(pod).join(format!("{container}.log"));
        std::fs::read_to_string(path).unwrap_or_default()
    }

    /// Ends the process of a container as a kernel without memory does.
    pub fn out_of_memory(&self, pod: &str, container: &str) {
        let container = container.to_owned();
        drop(self.asked.send((pod.to_owned(), Ask::OutOfMemory { container })));
    }

    /// Evicts a Pod as a node does that is short of something: it fails with `DisruptionTarget` and stays.
    pub fn evict_under_pressure(&self, pod: &str) {
        drop(self.asked.send((pod.to_owned(), Ask::Evict)));
    }
}

impl Drop for Kubelet {
    fn drop(&mut self) {
        if std::thread::panicking() && self.supervisor.keep().is_ok() {
            note(&format!("the logs of Pods are kept in {}", self.folder.display()));
        }
    }
}

/// Evicts a Pod through the API, as `kubectl drain` does: it is deleted with `DisruptionTarget`, or a budget refuses (429).
///
/// # Errors
///
/// There is no answer; a refusal is an answer.
pub async fn evict(client: &Client, namespace: &str, pod: &str) -> Result<Answer, kube::Error> {
    let eviction = json!({
        "apiVersion": "policy/v1",
        "kind": "Eviction",
        "metadata": { "name": pod, "namespace": namespace },
    });
    let path = format!("/api/v1/namespaces/{namespace}/pods/{pod}/eviction");
    send(client, http::Method::POST, "application/json", &path, &eviction).await
}

fn uid(pod: &Pod) -> &str {
    pod.metadata.uid.as_deref().unwrap_or_default()
}

fn phase(pod: &Pod) -> &str {
    let phase = pod.status.as_ref().and_then(|status| status.phase.as_deref());
    phase.unwrap_or_default()
}

fn is_over(pod: &Pod) -> bool {
    matches!(phase(pod), "Succeeded" | "Failed")
}

fn node_of(pod: &Pod) -> Option<&str> {
    let node = pod.spec.as_ref()?.node_name.as_deref();
    node.filter(|node| !node.is_empty())
}
