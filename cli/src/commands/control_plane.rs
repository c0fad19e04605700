//! `aurora control-plane`: the registry's and the status's read API from a data directory, beside or without `up`.

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use clap::Args;
use registry::Store;
use serde_json::json;
use server::Metrics;

use crate::arguments::OutputArguments;
use crate::commands::model::StoreArguments;
use crate::failure::{DONE, Failure};
use crate::listeners::{Bound, ControlPlaneArguments, ListenerArguments};
use crate::serving::{self, Parts};
use crate::signals::Signals;
use crate::status_files::StatusFiles;
use crate::terminal::{Announcer, Terminal};

/// Flags of `aurora control-plane`.
#[derive(Debug, Args)]
pub(crate) struct ControlPlaneCommandArguments {
    #[command(flatten)]
    store: StoreArguments,
    #[command(flatten)]
    control_plane: ControlPlaneArguments,
    #[command(flatten)]
    listener: ListenerArguments,
    #[command(flatten)]
    output: OutputArguments,
}

pub(crate) fn run(arguments: &ControlPlaneCommandArguments) -> Result<ExitCode, Failure> {
    let signals = Signals::catch(DONE)?;
    let data_dir = arguments.store.data().settled()?;
    let bound = arguments.control_plane.bind(&arguments.listener, None)?;
    let store = arguments.store.open()?;
    let terminal = Terminal::new(arguments.output.output);
    serving::block_on(serve(store, data_dir, bound, terminal, signals))?
}

async fn serve(
    store: Store,
    data_dir: PathBuf,
    bound: Bound,
    terminal: Terminal,
    signals: Signals,
) -> Result<ExitCode, Failure> {
    let mut parts = Parts::begin(signals);
    let status = Arc::new(StatusFiles::new(data_dir));
    let address = bound.address;
    parts.control_plane(store, status, Metrics::new(), bound)?;
    parts.supervisor().ready();
    let said = Announcer::new(terminal)?;
    said.say(
        [format!("control plane  http://{address}")],
        || json!({ "event": "listening", "control_plane": address }),
    );
    parts.wait().await?;
    parts.stop().await?;
    said.flush();
    Ok(ExitCode::SUCCESS)
}
