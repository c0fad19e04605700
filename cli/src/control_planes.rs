//! Other environments' control planes, as the reconciler asks them: from threads that may block.

use std::sync::Arc;

use planner::endpoint::Endpoint;
use planner::imports::{Fault, Wanted};
use planner::names::ModelName;
use reconciler::{ControlPlanes, Fetched};
use server::fetch::Remote;
use tokio::runtime::{Builder, Runtime};

use crate::failure::chain;

/// Asks by the server's client, each time on a runtime of its own: it is asked seldom, and never from a runtime's thread.
#[derive(Debug)]
pub(crate) struct RemoteControlPlanes(Remote);

impl RemoteControlPlanes {
    /// Asks by `remote`.
    pub(crate) fn shared(remote: Remote) -> Arc<dyn ControlPlanes> {
        Arc::new(Self(remote))
    }
}

fn runtime() -> Result<Runtime, String> {
    let built = Builder::new_current_thread().enable_all().build();
    built.map_err(|error| format!("cannot start a runtime: {error}"))
}

impl ControlPlanes for RemoteControlPlanes {
    fn version(&self, wanted: &Wanted, partial: &mut Vec<u8>) -> Result<Fetched, Fault> {
        let runtime = runtime().map_err(Fault::Unavailable)?;
        let (metadata, artifact) = runtime.block_on(self.0.version(wanted, partial))?;
        Ok(Fetched { metadata, artifact })
    }

    fn status(&self, at: &Endpoint, model: &ModelName) -> Result<Option<Vec<u8>>, String> {
        let answer = runtime()?.block_on(self.0.status(at, model));
        answer.map_err(|error| chain(&error))
    }
}
