//! What other environments' control planes are asked with. No flag holds a key: a manifest names the file that does.

use std::path::PathBuf;
use std::sync::Arc;

use clap::Args;
use reconciler::ControlPlanes;
use registry::DatasetRoots;
use server::fetch::Remote;

use crate::control_planes::RemoteControlPlanes;
use crate::failure::{Context as _, Failure};

/// Flags for other environments' control planes.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Other environments")]
pub(crate) struct UpstreamArguments {
    /// A folder below which an MLEnvironment may name the files that hold keys for other control planes (keyFile); may be
    /// given several times
    #[arg(
        long = "key-root",
        env = "AURORA_KEY_ROOT",
        value_name = "PATH",
        value_delimiter = ':'
    )]
    key_roots: Vec<PathBuf>,

    /// The certificates of authorities, in PEM, that are trusted beside the system's for other control planes
    #[arg(long, env = "AURORA_UPSTREAM_CA_FILE", value_name = "FILE")]
    upstream_ca_file: Option<PathBuf>,
}

impl UpstreamArguments {
    /// Returns who asks them.
    pub(crate) fn control_planes(&self) -> Result<Arc<dyn ControlPlanes>, Failure> {
        let named = self.key_roots.iter().filter(|root| !root.as_os_str().is_empty());
        let named: Vec<PathBuf> = named.cloned().collect();
        let roots = DatasetRoots::new(&named).context(|| "cannot use --key-root".to_owned())?;
        self.with_keys_below(roots)
    }

    /// Returns who asks them with keys below other folders.
    pub(crate) fn with_keys_below(&self, roots: DatasetRoots) -> Result<Arc<dyn ControlPlanes>, Failure> {
        let client = web::Client::new(web::Settings {
            ca_file: self.upstream_ca_file.clone(),
            proxies: web::Proxies::from_environment(),
        });
        let client = client.context(|| "cannot use --upstream-ca-file".to_owned())?;
        Ok(RemoteControlPlanes::shared(Remote::new(client, roots)))
    }
}
