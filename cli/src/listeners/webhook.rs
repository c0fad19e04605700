//! Where webhooks are taken.

use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::sync::Arc;

use clap::Args;
use reconciler::source::Repository;
use reconciler::source::remote::Nudge;
use server::{Limits, WebhookSecrets};

use super::ListenerArguments;
use crate::failure::{Context as _, Failure};

/// Flags of the listener for webhooks.
#[derive(Debug, Clone, Args)]
pub(crate) struct WebhookArguments {
    /// Where a forge may tell of pushes, at /webhook: the repository is fetched at once then [default: nowhere]
    #[arg(
        long,
        env = "AURORA_WEBHOOK",
        value_name = "ADDRESS",
        requires = "webhook_secrets_file",
        help_heading = "A repository on another machine"
    )]
    webhook: Option<SocketAddr>,

    /// The secret that calls are signed with, on a line; two while one takes the other's place. Read for each call; mode 600
    #[arg(
        long,
        env = "AURORA_WEBHOOK_SECRETS_FILE",
        value_name = "FILE",
        help_heading = "A repository on another machine"
    )]
    webhook_secrets_file: Option<PathBuf>,
}

/// A bound listener for webhooks.
#[derive(Debug)]
pub(crate) struct BoundWebhook {
    pub(crate) socket: TcpListener,
    pub(crate) secrets: WebhookSecrets,
    pub(crate) nudge: Nudge,
    pub(crate) limits: Limits,
}

impl WebhookArguments {
    /// Takes the port, if there is to be one.
    pub(crate) fn bind(
        &self,
        repository: &Repository,
        listener: &ListenerArguments,
    ) -> Result<Option<BoundWebhook>, Failure> {
        let (Some(address), Some(file)) = (self.webhook, &self.webhook_secrets_file) else {
            return Ok(None);
        };
        let Some(remote) = &repository.remote else {
            return Err(Failure::new(
                "--webhook is for a repository on another machine, and --repo names one on this",
            )
            .hint("leave it out: a commit on this machine is noticed within half a second"));
        };
        let socket = TcpListener::bind(address).context(|| format!("--webhook {address}"))?;
        socket.set_nonblocking(true)?;
        Ok(Some(BoundWebhook {
            socket,
            secrets: WebhookSecrets::open(file.clone())?,
            nudge: remote.nudge.clone(),
            limits: listener.limits(),
        }))
    }
}

impl BoundWebhook {
    /// Returns what a call that is accepted does.
    pub(crate) fn on_call(&self) -> Arc<dyn Fn() + Send + Sync> {
        let nudge = self.nudge.clone();
        Arc::new(move || nudge.nudge())
    }
}
