//! Who counts the requests of the environment that a plan is about: its control plane, asked over the network.

use std::path::{self, Path, PathBuf};
use std::sync::Arc;

use clap::Args;
use planner::endpoint::{Endpoint, Url};
use reconciler::{ControlPlanes, Traffic};
use registry::DatasetRoots;

use crate::arguments::UpstreamArguments;
use crate::failure::{Context as _, Failure};

/// Flags for the environment's own control plane.
#[derive(Debug, Args)]
#[command(next_help_heading = "How many requests a second a change moves")]
pub(super) struct TrafficArguments {
    /// With --base: the environment's control plane, whose status says how many requests come; --upstream-ca-file counts for it
    /// too [example: <https://aurora.example.org:8000>]
    #[arg(long, env = "AURORA_STATUS_API", value_name = "URL", requires = "base")]
    status_api: Option<Url>,

    /// The file with the key for it; mode 600
    #[arg(
        long,
        env = "AURORA_STATUS_KEY_FILE",
        value_name = "FILE",
        requires = "status_api"
    )]
    status_key_file: Option<PathBuf>,
}

/// The control plane that counts, and who asks it.
#[derive(Debug)]
pub(super) struct Counting {
    planes: Arc<dyn ControlPlanes>,
    at: Endpoint,
}

impl TrafficArguments {
    /// Returns who counts, where somebody was named.
    pub(super) fn counting(&self, upstream: &UpstreamArguments) -> Result<Option<Counting>, Failure> {
        let Some(url) = self.status_api.clone() else {
            return Ok(None);
        };
        let unusable = || "cannot use --status-key-file".to_owned();
        let key_file = self.status_key_file.as_ref().map(path::absolute);
        let key_file = key_file.transpose().context(unusable)?;
        // Its folder is open to this question alone: no manifest may name what lies beside it.
        let folder = key_file.as_deref().and_then(Path::parent).map(Path::to_owned);
        let roots = DatasetRoots::new(folder.as_slice()).context(unusable)?;
        Ok(Some(Counting {
            planes: upstream.with_keys_below(roots)?,
            at: Endpoint {
                url,
                key_file: key_file.map(|file| file.to_string_lossy().into_owned()),
            },
        }))
    }
}

impl Counting {
    pub(super) fn traffic(&self) -> Traffic<'_> {
        Traffic {
            planes: self.planes.as_ref(),
            at: &self.at,
        }
    }
}
