//! Where webhooks are taken.

use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::sync::Arc;

use clap::{ArgGroup, Args};
use reconciler::source::Repository;
use reconciler::source::remote::Nudge;
use server::{Issued, Issuer, Limits, WebhookSecrets};
use web::{Client, Plain, Proxies, Settings, Url};

use super::ListenerArguments;
use super::issuer::KeySource;
use crate::failure::{Context as _, Failure};

/// Flags of the listener for webhooks.
#[derive(Debug, Clone, Args)]
#[command(
    next_help_heading = "A repository on another machine",
    group = ArgGroup::new("calls").multiple(true)
)]
pub(crate) struct WebhookArguments {
    /// Where a forge may tell of pushes, at /webhook: the repository is fetched at once then [default: nowhere]
    #[arg(long, env = "AURORA_WEBHOOK", value_name = "ADDRESS", requires = "calls")]
    webhook: Option<SocketAddr>,

    /// The secret that calls are signed with, on a line; two while one takes the other's place. Read for each call; mode 600
    #[arg(
        long,
        env = "AURORA_WEBHOOK_SECRETS_FILE",
        value_name = "FILE",
        group = "calls"
    )]
    webhook_secrets_file: Option<PathBuf>,

    /// Who issues the tokens that jobs may call with instead, e.g. https://token.actions.githubusercontent.com
    #[arg(
        long,
        env = "AURORA_WEBHOOK_OIDC_ISSUER",
        value_name = "URL",
        requires = "webhook_oidc_repository",
        group = "calls"
    )]
    webhook_oidc_issuer: Option<String>,

    /// Whose jobs may: the token's `repository`
    #[arg(long, env = "AURORA_WEBHOOK_OIDC_REPOSITORY", value_name = "OWNER/NAME")]
    webhook_oidc_repository: Option<String>,

    /// Whom such a token has to be meant for
    #[arg(
        long,
        env = "AURORA_WEBHOOK_OIDC_AUDIENCE",
        value_name = "TEXT",
        default_value = "aurora"
    )]
    webhook_oidc_audience: String,
}

/// A bound listener for webhooks.
#[derive(Debug)]
pub(crate) struct BoundWebhook {
    pub(crate) socket: TcpListener,
    pub(crate) secrets: Option<WebhookSecrets>,
    /// The issuer's name, and where its keys come from.
    pub(crate) issuer: Option<(String, KeySource)>,
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
        let Some(address) = self.webhook else {
            return Ok(None);
        };
        let Some(remote) = &repository.remote else {
            return Err(Failure::new(
                "--webhook is for a repository on another machine, and --repo names one on this",
            )
            .hint("leave it out: a commit on this machine is noticed within half a second"));
        };
        let secrets = self.webhook_secrets_file.clone().map(WebhookSecrets::open);
        let secrets = secrets.transpose()?;
        let issuer = self.issuer(remote.access.authorities.clone())?;
        let socket = TcpListener::bind(address).context(|| format!("--webhook {address}"))?;
        socket.set_nonblocking(true)?;
        Ok(Some(BoundWebhook {
            socket,
            secrets,
            issuer,
            nudge: remote.nudge.clone(),
            limits: listener.limits(),
        }))
    }

    /// Returns whose tokens are taken; `ca_file` is what else may vouch for the issuer.
    fn issuer(&self, ca_file: Option<PathBuf>) -> Result<Option<(String, KeySource)>, Failure> {
        let (Some(issuer), Some(repository)) = (&self.webhook_oidc_issuer, &self.webhook_oidc_repository)
        else {
            return Ok(None);
        };
        let url = Url::parse(issuer, Plain::Loopback).context(|| "--webhook-oidc-issuer".to_owned())?;
        let client = Client::new(Settings {
            ca_file,
            proxies: Proxies::from_environment(),
        })?;
        let whose = Issuer {
            issuer: issuer.clone(),
            audience: self.webhook_oidc_audience.clone(),
            repository: repository.clone(),
        };
        let keys = KeySource {
            issuer: url,
            client,
            issued: Issued::by(whose),
        };
        Ok(Some((issuer.clone(), keys)))
    }
}

impl BoundWebhook {
    /// Returns what a call that is accepted does.
    pub(crate) fn on_call(&self) -> Arc<dyn Fn() + Send + Sync> {
        let nudge = self.nudge.clone();
        Arc::new(move || nudge.nudge())
    }
}
