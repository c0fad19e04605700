//! Why a remote could not be fetched: what is wrong, where, and what to do. Never holds a secret.

use std::path::PathBuf;

use planner::finding::Disposition;
use planner::shown::escape;
use serde::{Deserialize, Serialize};

/// Why a remote could not be fetched. What a server says is cut and escaped when it is shown.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
pub enum Fault {
    /// A file that says what the remote is reached with is missing or makes no sense.
    #[error("{}{} {what}", path.display(), line.map_or(String::new(), |line| format!(":{line}:")))]
    File {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: Option<usize>,
        /// What is wrong with it.
        what: String,
    },
    /// Nothing says which key the host has.
    #[error(
        "SSH needs to know the host's key; give a file with --known-hosts: ssh-keyscan HOST prints one, to be compared with what the host's owner publishes"
    )]
    NoKnownHosts,
    /// The host has another key than the known one, or none is known.
    #[error(
        "the key of {host} is {key}, and the known hosts have another one for it, or none; if its owner says that this is it, put it into the file of --known-hosts, else somebody stands between"
    )]
    HostKey {
        /// The host, with its port.
        host: String,
        /// The key that it showed.
        key: String,
    },
    /// The certificate of the host is not valid any more, or not yet.
    #[error(
        "the certificate of {host} is valid from {from} until {until}, and it is {now}: renew it there, or set the clock here"
    )]
    CertificateTime {
        /// The host.
        host: String,
        /// The beginning of its validity.
        from: String,
        /// The end.
        until: String,
        /// The time of this machine.
        now: String,
    },
    /// The certificate was issued by an unknown authority, or for another host.
    #[error(
        "the certificate of {host} is not trusted: {}; give the certificate of its authority with --ca-file, or the name that it was issued for",
        shown(message)
    )]
    Certificate {
        /// The host.
        host: String,
        /// What OpenSSL says.
        message: String,
    },
    /// Who we are was not accepted.
    #[error("the server does not let us in: {presented}")]
    Refused {
        /// What it was shown.
        presented: Presented,
    },
    /// There is no such repository, or it is kept from us.
    #[error(
        "the server has no such repository, or hides it from who may not read it; look at the address, and at what the credentials may read"
    )]
    NotFound,
    /// What answers is no Git server.
    #[error(
        "what answers is no Git repository: {}; look at the address: a page for logging in may be in its place",
        shown(message)
    )]
    NotGit {
        /// What came.
        message: String,
    },
    /// The server sends us elsewhere.
    #[error(
        "the server redirects to {}, which is not followed, since credentials are not for others; give that address, if it is the right one",
        shown(to)
    )]
    Redirected {
        /// Where to, as far as it is known.
        to: String,
    },
    /// A configuration of this machine turns the address into another one.
    #[error(
        "the configuration of Git on this machine (url.….insteadOf in /etc/gitconfig) turns the address into another one; take it away there, or give the other one"
    )]
    Rewritten,
    /// The repository has no such branch.
    #[error(
        "there is no {kind} {}{}; what was fetched before stays until it is back",
        shown(name),
        listed(branches)
    )]
    Missing {
        /// `branch` or `tag`.
        kind: String,
        /// Its name.
        name: String,
        /// Some of the branches that there are.
        branches: Vec<String>,
    },
    /// The repository has no commit yet.
    #[error("it has no commit yet; push one with an environments folder")]
    Empty,
    /// The server asks for patience.
    #[error("the server answers with status {status}: it is busy, or asked too often")]
    Busy {
        /// The status.
        status: u16,
    },
    /// The host is not reached.
    #[error("the host is not reached: {}", shown(message))]
    Unreachable {
        /// What the system says.
        message: String,
    },
    /// The proxy is at fault.
    #[error(
        "the proxy does not let it through: {}; look at --proxy, and at its line in --git-credentials-file",
        shown(message)
    )]
    Proxy {
        /// What it says.
        message: String,
    },
    /// Nothing came for a while.
    #[error("nothing came for {seconds} s; it is broken off")]
    Stalled {
        /// How long.
        seconds: u64,
    },
    /// It took longer than a fetch may.
    #[error("it took longer than {minutes} minutes; it is broken off")]
    TooLong {
        /// How long it may take.
        minutes: u64,
    },
    /// What came is not what was announced, or broke off.
    #[error("what came is broken: {}", shown(message))]
    Broken {
        /// What libgit2 says.
        message: String,
    },
    /// There is more than is taken.
    #[error("the repository is larger than is fetched: more than {what}; keep large files elsewhere")]
    TooLarge {
        /// Of what.
        what: String,
    },
    /// The mirror cannot be written.
    #[error("the mirror cannot be kept: {}", shown(message))]
    Mirror {
        /// What the system says.
        message: String,
    },
    /// The process that fetches was lost.
    #[error("{}", shown(message))]
    Lost {
        /// How.
        message: String,
    },
    /// Aurora is ending.
    #[error("Aurora is ending")]
    Stopping,
}

/// What a server was shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Presented {
    /// Nothing, over HTTPS.
    Nobody,
    /// A user and a password or token.
    Password,
    /// A private key.
    Key,
    /// The keys of an agent.
    Agent,
    /// Nothing, over SSH.
    NoKey,
}

impl std::fmt::Display for Presented {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Nobody => {
                "it wants to know who asks, and no line of --git-credentials-file is for this host and port: write https://USER:TOKEN@HOST"
            }
            Self::Password => {
                "it refuses the user and the password or token of --git-credentials-file: they are wrong, expired or revoked, or may not read this repository; put new ones into the file, which is read anew for each fetch"
            }
            Self::Key => {
                "it refuses the key of --git-credentials-file: have its public half added there, or put another one into the file, which is read anew for each fetch"
            }
            Self::Agent => "it refuses the keys of the agent (SSH_AUTH_SOCK): ssh-add -l lists them",
            Self::NoKey => "there is no key to show: give one with --git-credentials-file, or start with an agent (SSH_AUTH_SOCK)",
        })
    }
}

impl Fault {
    /// Says what happens next.
    pub fn disposition(&self) -> Disposition {
        match self {
            Self::File { .. }
            | Self::NoKnownHosts
            | Self::HostKey { .. }
            | Self::CertificateTime { .. }
            | Self::Certificate { .. }
            | Self::Refused { .. }
            | Self::NotFound
            | Self::NotGit { .. }
            | Self::Redirected { .. }
            | Self::Rewritten
            | Self::Missing { .. }
            | Self::TooLarge { .. } => Disposition::Invalid,
            Self::Empty | Self::Busy { .. } => Disposition::Waiting,
            Self::Unreachable { .. }
            | Self::Proxy { .. }
            | Self::Stalled { .. }
            | Self::TooLong { .. }
            | Self::Broken { .. }
            | Self::Mirror { .. }
            | Self::Lost { .. }
            | Self::Stopping => Disposition::Transient,
        }
    }
}

/// The most characters of another's words that are shown.
const SHOWN_CHARS_MAX: usize = 200;

fn shown(text: &str) -> String {
    let cut: String = text.trim().chars().take(SHOWN_CHARS_MAX).collect();
    escape(&cut).into_owned()
}

fn listed(branches: &[String]) -> String {
    if branches.is_empty() {
        return String::new();
    }
    let branches: Vec<String> = branches.iter().map(|branch| shown(branch)).collect();
    format!("; branches that there are: {}", branches.join(", "))
}
