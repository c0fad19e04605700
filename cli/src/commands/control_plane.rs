//! `aurora control-plane`: the registry's and the status's read API, from a data directory, beside or without `up`, or from a
//! cluster (`--cluster`), where any number of replicas mount the registry to read it.

use std::process::ExitCode;
use std::sync::Arc;

use clap::Args;
use kubernetes::cluster::Cluster;
use registry::Store;
use serde_json::json;
use server::{Infrastructure, Metrics, StatusSource};

use crate::arguments::OutputArguments;
use crate::cluster_view::ClusterView;
use crate::commands::model::StoreArguments;
use crate::failure::{Context as _, DONE, Failure};
use crate::listeners::{Bound, ControlPlaneArguments, ListenerArguments};
use crate::machine::Machine;
use crate::serving::{self, Parts};
use crate::signals::Signals;
use crate::status_files::StatusFiles;
use crate::terminal::{Announcer, Terminal};

/// Flags of `aurora control-plane`.
#[derive(Debug, Args)]
pub(crate) struct ControlPlaneCommandArguments {
    /// Show the objects, nodes and storage classes of the cluster that KUBECONFIG names, or that this runs in, and need
    /// no data directory
    #[arg(long, env = "AURORA_CLUSTER", requires = "registry")]
    cluster: bool,
    #[command(flatten)]
    store: StoreArguments,
    #[command(flatten)]
    control_plane: ControlPlaneArguments,
    #[command(flatten)]
    listener: ListenerArguments,
    #[command(flatten)]
    output: OutputArguments,
}

/// What is shown beside the registry.
type Shown = (Arc<dyn StatusSource>, Arc<dyn Infrastructure>);

pub(crate) fn run(arguments: &ControlPlaneCommandArguments) -> Result<ExitCode, Failure> {
    let signals = Signals::catch(DONE)?;
    let files = if arguments.cluster {
        None
    } else {
        Some(StatusFiles::new(arguments.store.data().settled()?))
    };
    let bound = arguments.control_plane.bind(&arguments.listener, None)?;
    let store = arguments.store.open()?;
    let terminal = Terminal::new(arguments.output.output);
    serving::block_on(async {
        let shown: Shown = match files {
            Some(files) => (Arc::new(files), Arc::new(Machine)),
            None => of_cluster().await?,
        };
        serve(store, shown, bound, terminal, signals).await
    })?
}

async fn of_cluster() -> Result<Shown, Failure> {
    let cluster = Cluster::find().await.hint(|| {
        "in a Pod it takes the ServiceAccount's token, elsewhere KUBECONFIG names the cluster".to_owned()
    })?;
    let view = Arc::new(ClusterView::new(cluster));
    Ok((view.clone(), view))
}

async fn serve(
    store: Store,
    (status, infrastructure): Shown,
    bound: Bound,
    terminal: Terminal,
    signals: Signals,
) -> Result<ExitCode, Failure> {
    let mut parts = Parts::begin(signals);
    let (address, url) = (bound.address, bound.url());
    parts.control_plane(store, status, infrastructure, Metrics::new(), bound)?;
    parts.supervisor().ready();
    let said = Announcer::new(terminal)?;
    said.say(
        [format!("control plane  {url}")],
        || json!({ "event": "listening", "control_plane": address }),
    );
    parts.wait().await?;
    parts.stop().await?;
    said.flush();
    Ok(ExitCode::SUCCESS)
}
