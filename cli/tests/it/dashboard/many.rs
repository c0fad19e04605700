//! A control plane that knows of a thousand models, without anybody who reconciles them.

use std::net::SocketAddr;
use std::sync::Arc;

use crds::view::View;
use registry::{Owner, Store};
use serde_json::{Value, json};
use server::control::Known;
use server::{Access, ControlPlane, Infrastructure, Limits, Metrics, StatusSource, serve_control_plane};
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::runtime::Runtime;

/// How many models it knows of.
pub(crate) const MODELS: usize = 1_000;

/// Serves until it is dropped.
pub(crate) struct Many {
    /// Where it answers.
    pub(crate) address: SocketAddr,
    _serves: Runtime,
    _registry: TempDir,
}

impl Many {
    pub(crate) fn start() -> Self {
        let registry = TempDir::new().expect("a temporary folder");
        let owner: Owner = serde_json::from_value(json!({ "environment": "dev", "installation": "test" }))
            .expect("an owner");
        let control = ControlPlane {
            store: Store::init(registry.path(), &owner, planner::Timestamp::UNIX_EPOCH).expect("a registry"),
            status: Arc::new(Declared(Arc::new(models()))),
            infrastructure: Arc::new(Nowhere),
            inference: None,
            access: Access::default(),
            metrics: Metrics::new(),
            limits: Limits::default(),
        };
        let runtime = Runtime::new().expect("threads");
        let listener = runtime.block_on(TcpListener::bind(("127.0.0.1", 0)));
        let listener = listener.expect("a free port");
        let address = listener.local_addr().expect("it listens");
        runtime.spawn(serve_control_plane(control, listener, std::future::pending()));
        Self {
            address,
            _serves: runtime,
            _registry: registry,
        }
    }
}

struct Declared(Arc<View>);

impl StatusSource for Declared {
    fn known(&self) -> Known {
        Known::Objects(self.0.clone())
    }

    fn age_seconds(&self) -> Option<f64> {
        Some(1.0)
    }
}

fn models() -> View {
    let digest = format!("sha256:{}", "ab".repeat(32));
    let deployment = |at: usize| {
        let name = format!("model-{at:04}");
        let track = json!({ "version": "v20261101-120000", "digest": digest });
        let object = json!({
            "apiVersion": "aurora.io/v1alpha1",
            "kind": "MLDeployment",
            "metadata": { "name": name, "annotations": { "aurora.io/revision": "c0".repeat(20) } },
            "spec": { "modelName": name, "stable": track },
            "status": { "stable": track, "weight": 0, "state": "Idle" },
        });
        (
            name,
            Arc::new(serde_json::from_value(object).expect("an MLDeployment")),
        )
    };
    View {
        deployments: (0..MODELS).map(deployment).collect(),
        ..View::default()
    }
}

struct Nowhere;

impl Infrastructure for Nowhere {
    fn nodes(&self) -> Result<Value, String> {
        Err("it runs in a test".to_owned())
    }

    fn storage_classes(&self) -> Result<Value, String> {
        self.nodes()
    }

    fn volumes(&self) -> Result<Value, String> {
        self.nodes()
    }
}
