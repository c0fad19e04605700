//! Whom passes are told to beside whoever looks. No flag holds a secret: they name the files that do.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use ::forge::{ForgeRepository, GitHub, Settings};
use clap::Args;
use web::{Plain, Url};

use super::RemoteArguments;
use crate::clock;
use crate::failure::{Context as _, Failure};
use crate::outward::notify::NotifySettings;
use crate::outward::{LinkedGitHub, OutwardSettings};
use crate::secret_file;

/// The API of GitHub itself.
const GITHUB_API: &str = "https://api.github.com";
/// How far apart writes are: GitHub asks for that much.
const BETWEEN_WRITES: Duration = Duration::from_secs(1);

/// Flags for those who are told.
#[derive(Debug, Clone, Args)]
pub(crate) struct ForgeArguments {
    #[command(flatten)]
    github: GitHubArguments,

    /// The folder of the files that an MLEnvironment's `notify` names as `secretFile`; each mode 600
    #[arg(
        long,
        env = "AURORA_NOTIFY_SECRETS",
        value_name = "PATH",
        help_heading = "Those who are told"
    )]
    notify_secrets: Option<PathBuf>,

    /// Who takes a trace of each commit, from when it is seen until it is applied: OTLP over HTTP, in JSON, at
    /// ADDRESS/v1/traces [example: http://127.0.0.1:4318]
    #[arg(
        long,
        env = "AURORA_TRACES",
        value_name = "ADDRESS",
        help_heading = "Those who are told"
    )]
    traces: Option<String>,
}

/// Flags for a forge.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "GitHub")]
pub(crate) struct GitHubArguments {
    /// The token by which GitHub is told; read for each call; mode 600
    #[arg(
        id = "github_token_file",
        long = "github-token-file",
        env = "AURORA_GITHUB_TOKEN_FILE",
        value_name = "FILE"
    )]
    token_file: Option<PathBuf>,

    /// The repository there [default: that of --repo]
    #[arg(
        id = "github_repository",
        long = "github-repository",
        env = "AURORA_GITHUB_REPOSITORY",
        value_name = "OWNER/NAME",
        requires = "github_token_file"
    )]
    repository: Option<String>,

    /// The address of the API: https://HOST/api/v3 of a GitHub Enterprise Server [default: that of --repo's host]
    #[arg(
        id = "github_api",
        long = "github-api",
        env = "AURORA_GITHUB_API",
        value_name = "ADDRESS",
        requires = "github_repository"
    )]
    api: Option<String>,

    /// The page that statuses and records link to
    #[arg(
        id = "github_link",
        long = "github-link",
        env = "AURORA_GITHUB_LINK",
        value_name = "ADDRESS",
        requires = "github_token_file"
    )]
    link: Option<String>,
}

impl ForgeArguments {
    /// Returns how others are told of `repo`.
    pub(crate) fn outward(&self, repo: &Path, remote: &RemoteArguments) -> Result<OutwardSettings, Failure> {
        let remote_of_notify = remote.clone();
        let client = move || {
            remote_of_notify
                .web()
                .map_err(|failure| failure.message().to_owned())
        };
        let traces = self.traces.as_ref().map(|address| {
            // Collectors stand beside what they collect from, and a trace holds no secret.
            let url = Url::parse(address, Plain::Anywhere).and_then(|url| url.join("v1/traces"));
            Ok::<_, Failure>((remote.web()?, url.context(|| "--traces".to_owned())?))
        });
        Ok(OutwardSettings {
            traces: traces.transpose()?,
            github: self.github.github(repo, || remote.web())?,
            notify: NotifySettings {
                secrets: self.notify_secrets.clone(),
                client: Arc::new(client),
            },
        })
    }
}

impl GitHubArguments {
    /// Returns the token as it is now, if there is one.
    pub(crate) fn token(&self) -> Result<Option<String>, Failure> {
        let read = |file: &PathBuf| {
            secret_file::read(file).map_err(|why| Failure::new(format!("--github-token-file: {why}")))
        };
        self.token_file.as_ref().map(read).transpose()
    }

    /// Returns the forge that is told of `repo`, if one is.
    pub(crate) fn github(
        &self,
        repo: &Path,
        client: impl FnOnce() -> Result<web::Client, Failure>,
    ) -> Result<Option<LinkedGitHub>, Failure> {
        // What cannot be read now is said now; later it is told and tried again.
        let (Some(_token), Some(file)) = (self.token()?, self.token_file.clone()) else {
            return Ok(None);
        };
        let github = GitHub::new(Settings {
            client: client()?,
            repository: self.repository(repo)?,
            token: Arc::new(move || secret_file::read(&file)),
            now: Arc::new(|| clock::now().timestamp()),
            between_writes: BETWEEN_WRITES,
        });
        Ok(Some((github, self.link.clone())))
    }

    fn repository(&self, repo: &Path) -> Result<ForgeRepository, Failure> {
        if let Some(name) = &self.repository {
            let api = self.api.as_deref().unwrap_or(GITHUB_API);
            return ForgeRepository::new(api, name)
                .context(|| format!("--github-repository {name} at {api}"));
        }
        ForgeRepository::of_address(&repo.to_string_lossy()).map_err(|error| {
            Failure::new(format!("--repo: {error}"))
                .hint("give --github-repository OWNER/NAME, and --github-api where it is not github.com")
        })
    }
}
