//! A control plane with two empty namespaces: one for the reconciler, one for kubectl.

use std::fs::{self, File};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use http::Method;
use rustix::process::Signal;
use serde_json::{Value, json};
use testkit::assets::Assets;
use testkit::{ControlPlane, Namespace, install, send};
use tokio::runtime::Runtime;

use crate::process;

/// The kinds, as paths name them.
const KINDS: [&str; 3] = ["mlenvironments", "mltrainingjobs", "mldeployments"];

/// A control plane, without its controllers.
pub(super) struct Cluster {
    runtime: Runtime,
    ours: Namespace,
    theirs: Namespace,
}

impl Cluster {
    /// Starts one whose kinds are served, and stops its controllers.
    pub(super) fn start() -> Result<Self> {
        let runtime = Runtime::new()?;
        let assets = Assets::find().context("build them once with `cargo xtask kubernetes-assets`")?;
        let (ours, theirs) = runtime.block_on(async {
            let control_plane = Arc::new(ControlPlane::start(&assets).await?);
            let ours = Namespace::create(control_plane.clone()).await?;
            let theirs = Namespace::create(control_plane.clone()).await?;
            install(&ours.client(), &definitions()?).await?;
            control_plane.signal("kube-controller-manager", Signal::STOP)?;
            anyhow::Ok((ours, theirs))
        })?;
        Ok(Self {
            runtime,
            ours,
            theirs,
        })
    }

    /// Returns the namespace that is reconciled.
    pub(super) fn ours(&self) -> &str {
        self.ours.name()
    }

    /// Returns how the reconciler reaches it.
    pub(super) fn reached(&self) -> process::Cluster {
        process::Cluster {
            kubeconfig: self.ours.control_plane().kubeconfig(),
            namespace: self.ours.name().to_owned(),
        }
    }

    /// Returns how many objects the reconciled namespace has.
    pub(super) fn count(&self) -> Result<usize> {
        KINDS.iter().map(|kind| self.count_of(kind)).sum()
    }

    fn count_of(&self, kind: &str) -> Result<usize> {
        let page = self.get(&format!("{kind}?limit=1"))?;
        let further = page["metadata"]["remainingItemCount"].as_u64().unwrap_or(0);
        Ok(items(&page).len() + usize::try_from(further)?)
    }

    /// Returns which version an MLDeployment has as stable.
    pub(super) fn stable(&self, name: &str) -> Result<String> {
        let found = self.get(&format!("mldeployments/{name}"))?;
        let version = found["spec"]["stable"]["version"].as_str();
        Ok(version.unwrap_or_default().to_owned())
    }

    /// Applies the same objects in the other namespace with kubectl, and returns how long that took.
    pub(super) fn apply_by_kubectl(&self, folder: &Path) -> Result<Duration> {
        let mut objects = Vec::new();
        for kind in KINDS {
            objects.extend(items(&self.get(kind)?).iter().map(bare));
        }
        let file = folder.join("objects.json");
        fs::write(
            &file,
            json!({ "apiVersion": "v1", "kind": "List", "items": objects }).to_string(),
        )?;
        let control_plane = self.theirs.control_plane();
        let errors = folder.join("kubectl.log");
        let started = Instant::now();
        let status = Command::new(control_plane.kubectl())
            .args(["apply", "--server-side", "--namespace", self.theirs.name()])
            .arg("--kubeconfig")
            .arg(control_plane.kubeconfig())
            .arg("--cache-dir")
            .arg(folder.join("kubectl-cache"))
            .arg("--filename")
            .arg(&file)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(File::create(&errors)?)
            .status()
            .context("failed to start kubectl")?;
        let took = started.elapsed();
        if !status.success() {
            let said: String = fs::read_to_string(&errors)?.chars().take(2_000).collect();
            bail!("kubectl apply ended with {status}:\n{said}");
        }
        Ok(took)
    }

    fn get(&self, path: &str) -> Result<Value> {
        let path = format!("/apis/{}/namespaces/{}/{path}", crds::API_VERSION, self.ours());
        let client = self.ours.client();
        let asked = send(&client, Method::GET, "application/json", &path, &Value::Null);
        let answer = self.runtime.block_on(asked)?;
        if !answer.is_success() {
            bail!("{path}: {} {}", answer.code, answer.body);
        }
        Ok(answer.body)
    }
}

/// Returns an object as somebody would write it who wants the same.
fn bare(object: &Value) -> Value {
    let metadata = &object["metadata"];
    json!({
        "apiVersion": object["apiVersion"],
        "kind": object["kind"],
        "metadata": {
            "name": metadata["name"], "labels": metadata["labels"], "annotations": metadata["annotations"],
        },
        "spec": object["spec"],
    })
}

pub(super) fn items(list: &Value) -> &[Value] {
    list["items"].as_array().map_or(&[], Vec::as_slice)
}

pub(super) fn definitions() -> Result<Vec<Value>> {
    let yaml = crds::crd_yaml().into_iter();
    yaml.map(|(_, yaml)| Ok(serde_yaml::from_str(&yaml)?)).collect()
}
