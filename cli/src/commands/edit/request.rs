//! A pull request for a branch: it is pushed as `git push` would in the asker's hands, and opened by the forge's API.
//!
//! Git gets the token through a pipe, for the remote's own host; neither arguments nor environment hold it.

use std::io::{PipeReader, Write as _};
use std::os::fd::AsRawFd as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use ::forge::{GitHub, Opened, Proposal};
use clap::Args;
use planner::shown::escape;
use reconciler::source::remote::{Address, Scheme};
use rustix::io::{FdFlags, fcntl_setfd};

use crate::arguments::GitHubArguments;
use crate::failure::{Context as _, Failure};
use crate::serving;
use crate::terminal::Line;

/// Who a token belongs to, for Git: any name does, and GitHub's own documents write this one.
const USER: &str = "x-access-token";

/// Flags for a pull request.
#[derive(Debug, Args)]
#[command(next_help_heading = "A pull request on GitHub")]
pub(crate) struct RequestArguments {
    /// Push the branch and open a pull request for it; one that is open already is brought up to date
    #[arg(
        id = "request",
        long = "pull-request",
        requires = "github_token_file",
        conflicts_with = "in_place"
    )]
    is_asked_for: bool,

    /// The branch that it is to be merged into [default: the default branch of the repository on GitHub]
    #[arg(long, value_name = "BRANCH", requires = "request")]
    into: Option<String>,

    /// The remote that the branch is pushed to
    #[arg(long, value_name = "NAME", default_value = "origin")]
    remote: String,

    /// The certificates of authorities, in PEM, that are trusted for HTTPS: for Git instead of the system's, else beside them
    #[arg(long, env = "AURORA_CA_FILE", value_name = "FILE")]
    ca_file: Option<PathBuf>,

    #[command(flatten)]
    github: GitHubArguments,
}

/// A pull request that is about to be made.
pub(super) struct Requesting {
    github: GitHub,
    branch: String,
    into: String,
    push: Push,
}

/// How a branch is pushed.
struct Push {
    repo: PathBuf,
    remote: String,
    /// Where the token counts, `https://HOST:PORT`, and the token.
    login: Option<(String, String)>,
    ca_file: Option<PathBuf>,
}

impl RequestArguments {
    /// Asks whom a branch can be proposed to, where it is to be; nothing is written.
    pub(super) fn begin(&self, repo: &Path, branch: &str) -> Result<Option<Requesting>, Failure> {
        let Some(token) = self.github.token()?.filter(|_| self.is_asked_for) else {
            return Ok(None);
        };
        let address = self.address(repo)?;
        let ca_file = self.ca_file.as_deref().map(std::path::absolute).transpose()?;
        let client = || {
            Ok(web::Client::new(web::Settings {
                ca_file: ca_file.clone(),
                proxies: web::Proxies::from_environment(),
            })?)
        };
        let Some((github, _link)) = self.github.github(Path::new(&address), client)? else {
            return Ok(None);
        };
        let into = match &self.into {
            Some(into) => into.clone(),
            None => serving::block_on(github.default_branch())??,
        };
        if into == branch {
            return Err(Failure::new(format!("{branch} is the branch to be merged into"))
                .hint("name another one with --branch, or leave that away"));
        }
        Ok(Some(Requesting {
            github,
            branch: branch.to_owned(),
            into,
            push: Push {
                repo: repo.to_owned(),
                remote: self.remote.clone(),
                login: login(&address)?.map(|place| (place, token)),
                ca_file,
            },
        }))
    }

    /// Returns where the remote is, as Git's configuration has it.
    fn address(&self, repo: &Path) -> Result<String, Failure> {
        let output = git(repo)
            .args(["remote", "get-url", "--push", "--", &self.remote])
            .output()
            .context(|| "cannot run git, which pushes the branch".to_owned())?;
        if !output.status.success() {
            return Err(refused(&format!("there is no remote {}", self.remote), &output)
                .hint("`git remote add` makes one; give its name with --remote"));
        }
        Ok(String::from_utf8_lossy(&output.stdout).trim_end().to_owned())
    }
}

impl Requesting {
    /// Pushes the branch, and lets it have one open pull request that says what the commit's message does.
    pub(super) fn end(&self, message: &str) -> Result<Opened, Failure> {
        let (branch, again) = (
            &self.branch,
            "the branch has the commit; once that is mended, give the same command again",
        );
        self.push
            .run(branch)
            .map_err(|failure| failure.hint(again.to_owned()))?;
        let (title, body) = message.split_once('\n').unwrap_or((message, ""));
        let proposal = Proposal {
            branch,
            into: &self.into,
            title,
            body: body.trim(),
        };
        let opened = serving::block_on(self.github.propose(&proposal))?;
        opened.map_err(|error| Failure::from(error).hint(again.to_owned()))
    }
}

impl Push {
    /// Pushes a branch to one of the same name, which may only go forward.
    fn run(&self, branch: &str) -> Result<(), Failure> {
        let mut command = git(&self.repo);
        if let Some(ca_file) = &self.ca_file {
            // What is named by a flag counts for more than what the environment says.
            command.env("GIT_SSL_CAINFO", ca_file);
        }
        // A server that says nothing for a minute is given up.
        command.args(["-c", "http.lowSpeedLimit=1", "-c", "http.lowSpeedTime=60"]);
        // Open as long as Git may ask.
        let _token = self
            .login
            .as_ref()
            .map(|(place, token)| hand_over(&mut command, place, token))
            .transpose()?;
        let reference = format!("refs/heads/{branch}:refs/heads/{branch}");
        command.args(["push", "--quiet", "--", &self.remote, &reference]);
        let output = command
            .output()
            .context(|| "cannot run git, which pushes the branch".to_owned())?;
        if output.status.success() {
            return Ok(());
        }
        Err(refused(
            &format!("{branch} could not be pushed to {}", self.remote),
            &output,
        ))
    }
}

/// Returns where a token may be shown for an address; nowhere where it is not asked for.
fn login(address: &str) -> Result<Option<String>, Failure> {
    let Some(address) = Address::parse(address) else {
        return Ok(None);
    };
    let address = address.context(|| "the remote's address".to_owned())?;
    Ok(match address.scheme() {
        Scheme::Https => Some(format!("https://{}:{}", address.host(), address.port())),
        Scheme::Ssh => None,
    })
}

/// Lets a command of Git read who logs in at a place from a pipe, and asks nobody else; returns the pipe.
fn hand_over(command: &mut Command, place: &str, token: &str) -> Result<PipeReader, Failure> {
    let failed = || "cannot hand the token to git".to_owned();
    let (reader, mut writer) = std::io::pipe().context(failed)?;
    // It is far smaller than a pipe, so nobody has to read yet.
    writer
        .write_all(format!("username={USER}\npassword={token}\n").as_bytes())
        .context(failed)?;
    drop(writer);
    // Git's children have it under the same number.
    fcntl_setfd(&reader, FdFlags::empty()).context(failed)?;
    let number = reader.as_raw_fd();
    command.args(["-c", "credential.helper=", "-c"]);
    command.arg(format!(
        "credential.{place}.helper=!f() {{ [ \"$1\" != get ] || cat /dev/fd/{number}; }}; f"
    ));
    Ok(reader)
}

/// Returns Git in a repository. It asks nobody for a password.
fn git(repo: &Path) -> Command {
    let mut command = Command::new("git");
    command.arg("-C").arg(repo).stdin(Stdio::null());
    command
        .env("GIT_TERMINAL_PROMPT", "0")
        .env("GIT_ASKPASS", "")
        .env("LC_ALL", "C");
    command
}

/// Fails with what Git says.
fn refused(what: &str, output: &Output) -> Failure {
    let said = String::from_utf8_lossy(&output.stderr);
    let words: Vec<_> = said.split_whitespace().collect();
    Failure::new(format!("{what}: git: {}", escape(&words.join(" "))))
}

/// Says which pull request there is.
pub(super) fn said(opened: &Opened) -> Line {
    let done = if opened.is_new { "opened" } else { "up to date" };
    Line::from(format!(
        "pull request {} {done}: {}",
        opened.number,
        escape(&opened.page)
    ))
}
