//! What a repository on another machine is reached with. No flag holds a secret: they name the files that do.

use std::fs::DirBuilder;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use std::{env, fs};

use clap::Args;
use reconciler::source::Repository;
use reconciler::source::remote::{self, Access, Address, Chance, Nudge, Proxy, Remote, Scheme};

use crate::clock;
use crate::commands::registry::random_id;
use crate::failure::{Context as _, Failure};
use crate::git_reader;

/// Flags for a repository on another machine.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "A repository on another machine")]
pub(crate) struct RemoteArguments {
    /// A private key for SSH, or lines https://USER:TOKEN@HOST as git credential-store writes them; read for each fetch
    #[arg(long, env = "AURORA_GIT_CREDENTIALS_FILE", value_name = "FILE")]
    git_credentials_file: Option<PathBuf>,

    /// The keys of SSH hosts, as ssh-keyscan prints them
    #[arg(long, env = "AURORA_KNOWN_HOSTS", value_name = "FILE")]
    known_hosts: Option<PathBuf>,

    /// The certificates of authorities, in PEM, that are trusted for HTTPS: for Git instead of the system's, else beside them
    #[arg(long, env = "AURORA_CA_FILE", value_name = "FILE")]
    ca_file: Option<PathBuf>,

    /// A proxy for HTTPS, http://HOST:PORT; its user and password stand in the credentials file
    #[arg(long, env = "AURORA_PROXY", value_name = "ADDRESS")]
    proxy: Option<Proxy>,

    /// How often it is fetched, in seconds, about
    #[arg(long, env = "AURORA_FETCH_INTERVAL", value_name = "SECONDS", default_value_t = 30,
        value_parser = clap::value_parser!(u64).range(1..=86_400))]
    fetch_interval: u64,

    /// How long a fetch may go without anything coming, in seconds
    #[arg(long, env = "AURORA_FETCH_TIMEOUT", value_name = "SECONDS", default_value_t = 30,
        value_parser = clap::value_parser!(u64).range(1..=3_600))]
    fetch_timeout: u64,
}

/// When a command that follows a remote looks at what was fetched before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum First {
    /// At once: what was applied serves, whatever has become of the remote.
    Before,
    /// After the first fetch: what the newest commit says is the question.
    Fetched,
}

impl RemoteArguments {
    /// Returns the repository that was named: at a path, or at an address with its mirror in a data directory.
    pub(crate) fn repository(
        &self,
        place: &Path,
        data_dir: &Path,
        first: First,
    ) -> Result<Repository, Failure> {
        let Some(address) = place.to_str().and_then(Address::parse) else {
            self.refuse_for_a_path(place)?;
            return Ok(git_reader::repository(place));
        };
        let address = address?;
        if address.scheme() == Scheme::Ssh && (self.proxy.is_some() || self.ca_file.is_some()) {
            return Err(
                Failure::new("--proxy and --ca-file are for https://, and --repo names ssh")
                    .hint("leave them out, or give the repository's https address"),
            );
        }
        let data_dir = std::path::absolute(data_dir)?;
        Ok(Repository {
            remote: Some(Remote {
                address,
                access: Access {
                    credentials: self.git_credentials_file.clone(),
                    known_hosts: self.known_hosts.clone(),
                    authorities: self.ca_file.as_deref().map(std::path::absolute).transpose()?,
                    proxy: self.proxy.clone(),
                    agent: env::var_os("SSH_AUTH_SOCK").filter(|socket| !socket.is_empty()),
                },
                interval: Duration::from_secs(self.fetch_interval),
                stall: Duration::from_secs(self.fetch_timeout),
                is_fetched_first: first == First::Fetched,
                nudge: Nudge::default(),
                chance: chance(),
            }),
            ..git_reader::repository(&remote::mirror(&data_dir))
        })
    }

    /// Returns what asks other machines than the repository's.
    pub(crate) fn web(&self) -> Result<web::Client, Failure> {
        let settings = web::Settings {
            ca_file: self.ca_file.clone(),
            proxies: web::Proxies::from_environment(),
        };
        Ok(web::Client::new(settings)?)
    }

    /// Returns the repository that was named, to be looked at once: a mirror is made for it and removed with the second
    /// value, since that of a data directory is somebody else's while he runs.
    pub(crate) fn looked_at(&self, place: &Path) -> Result<(Repository, Option<Scratch>), Failure> {
        let is_address = place.to_str().is_some_and(|text| Address::parse(text).is_some());
        let scratch = is_address.then(Scratch::new).transpose()?;
        let folder = scratch.as_ref().map_or(Path::new(""), |scratch| &scratch.0);
        Ok((self.repository(place, folder, First::Fetched)?, scratch))
    }

    /// Whoever names a credential for a path meant something else.
    fn refuse_for_a_path(&self, place: &Path) -> Result<(), Failure> {
        let files = [
            ("--git-credentials-file", self.git_credentials_file.is_some()),
            ("--known-hosts", self.known_hosts.is_some()),
            ("--proxy", self.proxy.is_some()),
        ];
        match files.into_iter().find(|(_, is_given)| *is_given) {
            Some((flag, _)) => Err(Failure::new(format!(
                "{flag} is for a repository on another machine, and --repo names {} on this one",
                place.display()
            ))
            .hint("give https://…, ssh://… or git@host:path with --repo")),
            None => Ok(()),
        }
    }
}

/// A folder that is this command's alone, and goes with it.
#[derive(Debug)]
pub(crate) struct Scratch(PathBuf);

impl Scratch {
    fn new() -> Result<Self, Failure> {
        let folder = env::temp_dir().join(format!("aurora-{}", random_id()?));
        DirBuilder::new()
            .mode(0o700)
            .create(&folder)
            .context(|| format!("make {}", folder.display()))?;
        Ok(Self(folder))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir_all(&self.0) {
            tracing::warn!(%error, folder = %self.0.display(), "a folder is left behind");
        }
    }
}

fn chance() -> Chance {
    Chance {
        now: Arc::new(|| clock::now().timestamp()),
        jitter: Arc::new(|| {
            // Where the system has no chance to give, all waits are of one length.
            let drawn = getrandom::u32().unwrap_or(u32::MAX / 2);
            f64::from(drawn) / (f64::from(u32::MAX) + 1.0)
        }),
    }
}
