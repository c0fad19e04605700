//! What a reconciler and an operator of a cluster have in common: each runs beside its health and its metrics, and says so.

use std::error::Error;
use std::process::ExitCode;
use std::sync::Arc;

use kubernetes::reconcile::REGISTRY;
use registry::Store;
use serde_json::{Value, json};
use server::{Infrastructure, Metrics, StatusSource};

use crate::commands::registry::random_id;
use crate::failure::Failure;
use crate::listeners::Bound;
use crate::serving::Parts;
use crate::terminal::{Announcer, Terminal};

/// One of the two, as others see it.
pub(crate) struct Controller {
    /// What it is called.
    pub(crate) name: &'static str,
    /// What it does to a namespace.
    pub(crate) verb: &'static str,
    /// Which.
    pub(crate) namespace: String,
    /// What it tells of itself.
    pub(crate) status: Arc<dyn StatusSource>,
    /// What it counts.
    pub(crate) metrics: Metrics,
}

impl Controller {
    /// Runs until a signal comes or its work ends, which it does by itself only where it cannot go on.
    pub(crate) async fn run<E: Error + Send + 'static>(
        self,
        mut parts: Parts,
        bound: Bound,
        terminal: Terminal,
        work: impl Future<Output = Result<(), E>> + Send + 'static,
    ) -> Result<ExitCode, Failure> {
        let Self {
            name,
            verb,
            namespace,
            status,
            metrics,
        } = self;
        let (address, url) = (bound.address, bound.url());
        let store = Store::at(REGISTRY.as_ref());
        parts.control_plane(store, status, Arc::new(NoView), metrics, bound)?;
        parts.spawn(name, work);
        parts.supervisor().ready();
        let said = Announcer::new(terminal)?;
        said.say(
            [format!("{verb} namespace {namespace}; health and metrics: {url}")],
            || json!({ "event": "listening", "namespace": namespace, "control_plane": address }),
        );
        parts.wait().await?;
        parts.stop().await?;
        said.flush();
        Ok(ExitCode::SUCCESS)
    }
}

/// Returns who this process is in an election: no other has ever been it. In a cluster it begins with the Pod's name.
pub(crate) fn identity() -> Result<String, Failure> {
    let host = std::env::var("HOSTNAME").unwrap_or_else(|_unset| "aurora".to_owned());
    Ok(format!("{host}_{}", random_id()?))
}

/// A controller has no right to ask what the cluster is made of.
#[derive(Debug, Clone, Copy)]
struct NoView;

impl NoView {
    const WHY: &str = "a controller does not know what the cluster is made of: ask the control plane";
}

impl Infrastructure for NoView {
    fn nodes(&self) -> Result<Value, String> {
        Err(Self::WHY.to_owned())
    }

    fn storage_classes(&self) -> Result<Value, String> {
        Err(Self::WHY.to_owned())
    }

    fn volumes(&self) -> Result<Value, String> {
        Err(Self::WHY.to_owned())
    }
}
