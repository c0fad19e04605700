//! Everything on: a reconciler, an operator and the controllers, on a node whose Pods are ready at once, until all models
//! serve; with and without models that fail for ever.
//!
//! Each run has a control plane of its own, so that none finds what another one left.

use std::collections::BTreeSet;
use std::fs;
use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use http::Method;
use serde_json::{Value, json};
use testkit::assets::Assets;
use testkit::{Containers, ControlPlane, Kubelet, Machine, Namespace, gateway_api, install, send};
use tokio::runtime::Runtime;

use super::cluster::{definitions, items};
use crate::process::{self, Aurora, Role};
use crate::scale::Site;
use crate::scale::fleet::{self, Fleet, model_name};

/// How often all models are looked at, at most.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// A look is waited for so many times as long as it took: the machine is for what is measured.
const LOOK_SHARE: u32 = 20;
/// How much longer than the reconciler alone everything may take before the run is given up.
const PATIENCE_TIMES: u32 = 20;

/// A version that nobody makes.
const MISSING: &str = "v20261231-235959";

/// A control plane with its controllers, and a node.
struct Whole {
    runtime: Runtime,
    namespace: Namespace,
    _node: Kubelet,
}

/// An environment all of whose models serve that can.
pub(super) struct On {
    reconciler: Aurora,
    operator: Aurora,
    /// From nothing until they did.
    pub(super) took: Duration,
    _whole: Whole,
}

impl On {
    /// Begins with nothing and waits until `good` models serve, beside `failing` others that never will.
    pub(super) fn until_all_serve(site: &Site, good: usize, failing: usize) -> Result<Self> {
        let whole = Whole::start()?;
        let folder = site.folder.path().join(format!("whole-{good}-{failing}"));
        fs::create_dir(&folder)?;
        let fleet = Fleet::declare(&folder.join("clone"), &whole.spec(site)?, good + failing)?;
        let failing = good..good + failing;
        whole.spoil(&fleet, failing.clone())?;
        let mut reconciler = process(
            site,
            &fleet,
            folder.join("reconciler"),
            Role::Reconcile(whole.reached()),
        )?;
        let mut operator = process(
            site,
            &fleet,
            folder.join("operator"),
            Role::Operate(whole.reached(), site.data().join("registry")),
        )?;
        let failing: BTreeSet<String> = failing.map(model_name).collect();
        let patience = site.patience(true) * PATIENCE_TIMES;
        let took = loop {
            let looked = Instant::now();
            let serve = whole.serving()?.difference(&failing).count();
            let took = reconciler.started.elapsed();
            if serve == good {
                break took;
            }
            reconciler.check_running()?;
            operator.check_running()?;
            if took > patience {
                bail!(
                    "{serve} of {good} models serve after {} s:\n{}\n{}",
                    patience.as_secs(),
                    reconciler.output_tail(),
                    operator.output_tail()
                );
            }
            thread::sleep(LOOK_EVERY.max(looked.elapsed() * LOOK_SHARE));
        };
        if let Some(name) = whole.serving()?.intersection(&failing).next() {
            bail!("{name} was to fail, and serves");
        }
        Ok(Self {
            reconciler,
            operator,
            took,
            _whole: whole,
        })
    }

    /// Returns the reconciler and the operator.
    pub(super) fn processes(&mut self) -> [&mut Aurora; 2] {
        [&mut self.reconciler, &mut self.operator]
    }

    /// Ends both in order, and returns how long it took until all served, in seconds.
    pub(super) fn stop(self) -> Result<f64> {
        self.reconciler.stop()?;
        self.operator.stop()?;
        Ok(self.took.as_secs_f64())
    }
}

impl Whole {
    fn start() -> Result<Self> {
        let runtime = Runtime::new()?;
        let assets = Assets::find().context("build them once with `cargo xtask kubernetes-assets`")?;
        let (namespace, node) = runtime.block_on(async {
            let control_plane = Arc::new(ControlPlane::start(&assets).await?);
            let namespace = Namespace::create(control_plane.clone()).await?;
            install(&namespace.client(), &definitions()?).await?;
            gateway_api(&namespace.client()).await?;
            let mut machine = Machine::new("node");
            for (resource, amount) in [("cpu", "100000"), ("memory", "100Ti"), ("pods", "100000")] {
                machine.capacity.insert(resource.to_owned(), amount.to_owned());
            }
            machine.containers = Containers::AtOnce(Arc::new(|_pod| (0, String::new())));
            let node = Kubelet::start(&control_plane, namespace.name(), machine).await?;
            anyhow::Ok((namespace, node))
        })?;
        Ok(Self {
            runtime,
            namespace,
            _node: node,
        })
    }

    fn reached(&self) -> process::Cluster {
        process::Cluster {
            kubeconfig: self.namespace.control_plane().kubeconfig(),
            namespace: self.namespace.name().to_owned(),
        }
    }

    /// Returns what the environment says.
    fn spec(&self, site: &Site) -> Result<String> {
        let registry = serde_json::to_string(&site.data().join("registry"))?;
        let namespace = self.namespace.name();
        Ok(format!(
            "{{ target: Kubernetes, namespace: {namespace}, registry: {{ path: {registry} }} }}"
        ))
    }

    /// Lets models fail for ever: by turns one pins a version that nobody makes, and what another one is to be made of is
    /// somebody else's.
    fn spoil(&self, fleet: &Fleet, models: Range<usize>) -> Result<()> {
        let deployments = format!("/apis/apps/v1/namespaces/{}/deployments", self.namespace.name());
        for index in models {
            if index % 2 == 0 {
                fleet.pin(index, MISSING, None, "pin what nobody makes")?;
            } else {
                self.make(&deployments, &foreign(&format!("{}-stable", model_name(index))))?;
            }
        }
        Ok(())
    }

    fn make(&self, path: &str, object: &Value) -> Result<()> {
        let client = self.namespace.client();
        let asked = send(&client, Method::POST, "application/json", path, object);
        let answer = self.runtime.block_on(asked)?;
        if !answer.is_success() {
            bail!("{path}: {} {}", answer.code, answer.body);
        }
        Ok(())
    }

    /// Returns the models that serve what they declare.
    fn serving(&self) -> Result<BTreeSet<String>> {
        let path = format!(
            "/apis/{}/namespaces/{}/mldeployments",
            crds::API_VERSION,
            self.namespace.name()
        );
        let client = self.namespace.client();
        let asked = send(&client, Method::GET, "application/json", &path, &Value::Null);
        let answer = self.runtime.block_on(asked)?;
        if !answer.is_success() {
            bail!("{path}: {} {}", answer.code, answer.body);
        }
        let is_serving = |object: &&Value| object["status"]["state"] == "Idle";
        let names = items(&answer.body).iter().filter(is_serving);
        Ok(names
            .filter_map(|object| object["metadata"]["name"].as_str())
            .map(str::to_owned)
            .collect())
    }
}

fn process(site: &Site, fleet: &Fleet, data: PathBuf, role: Role) -> Result<Aurora> {
    Aurora::start(&process::Options {
        aurora: site.aurora.clone(),
        repository: fleet.folder().to_owned(),
        environment: fleet::ENVIRONMENT.to_owned(),
        data,
        core: None,
        wrapper: Vec::new(),
        role,
    })
}

/// Returns a Deployment without replicas that somebody else has made.
fn foreign(name: &str) -> Value {
    let labels = json!({ "made-by": "somebody-else" });
    json!({
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": { "name": name },
        "spec": {
            "replicas": 0,
            "selector": { "matchLabels": labels },
            "template": {
                "metadata": { "labels": labels },
                "spec": { "containers": [{ "name": "c", "image": "example.org/other:1" }] },
            },
        },
    })
}
