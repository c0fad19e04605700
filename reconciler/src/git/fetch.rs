//! Fetches one branch or tag of a remote into its mirror, in a process that may be killed at any time.
//!
//! The mirror is a bare repository that nobody else writes: it holds what was fetched last, under a name that goes by
//! address and branch. A fetch that fails leaves it as it was. One that has gathered too many packs, or cannot be used, is
//! made anew beside and takes the other's place at once.

mod certificate;
mod classify;
mod mirror;

use std::cell::RefCell;
use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;
use std::time::{Duration, Instant};

use git2::{
    AutotagOption, CertificateCheckStatus, Cred, CredentialType, Direction, FetchOptions, FetchPrune,
    ObjectType, ProxyOptions, RemoteCallbacks, RemoteRedirect, Repository,
};

use super::repository::hash;
use super::{Failure, Output};
use crate::source::protocol::{Fetch, Fetched, GitError, Kind, Wanted, write_answer};
use crate::source::remote::{Address, Credential, Fault};
use classify::Seen;

/// The largest pack that is taken, in bytes.
const PACK_BYTES_MAX: usize = 4 * 1024 * 1024 * 1024;
/// The most objects of one pack: their index is held in memory.
const PACK_OBJECTS_MAX: usize = 10_000_000;
/// How often it is told that something came.
const TELL_EVERY: Duration = Duration::from_millis(500);
/// How often one connection may ask who we are: a server that refuses goes on asking.
const ASKED_MAX: u32 = 1;
/// How many branches are named where the wanted one is missing.
const LISTED_MAX: usize = 10;

/// Fetches what is wanted; tells with empty parts that it goes on.
pub(super) fn fetch(request: &Fetch, output: &mut Output) -> Result<Fetched, Failure> {
    let told = |fault| Failure::Git(GitError::Fetch(fault));
    let home = Path::new(OsStr::from_bytes(&request.home));
    let place = Path::new(OsStr::from_bytes(&request.mirror));
    let mirror = mirror::Mirror::take(place).map_err(told)?;
    lay_out(home, request).map_err(told)?;
    let fetching = Fetching {
        request,
        output: RefCell::new(output),
    };
    if !request.is_anew
        && let Some(repository) = mirror.open(&request.local)
    {
        let fetched = fetching.fetch_into(&repository).map_err(told)?;
        if !mirror.is_crowded() {
            return Ok(fetched);
        }
    }
    let beside = mirror.make_beside().map_err(told)?;
    let fetched = fetching.fetch_into(&beside).map_err(told)?;
    drop(beside);
    mirror.take_the_place().map_err(told)?;
    Ok(fetched)
}

/// Makes the home of this process: it holds the known hosts and nothing else.
fn lay_out(home: &Path, request: &Fetch) -> Result<(), Fault> {
    let ssh = home.join(".ssh");
    let failed = |error: std::io::Error| Fault::Mirror {
        message: format!("{}: {error}", home.display()),
    };
    mirror::make_private(home)
        .and_then(|()| mirror::make_private(&ssh))
        .map_err(failed)?;
    let hosts = ssh.join("known_hosts");
    match &request.means.known_hosts {
        Some(known) => fs::write(&hosts, known).map_err(failed),
        None => match fs::remove_file(&hosts) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(failed(error)),
            Err(_) | Ok(()) => Ok(()),
        },
    }
}

struct Fetching<'a> {
    request: &'a Fetch,
    output: RefCell<&'a mut Output>,
}

impl Fetching<'_> {
    fn fetch_into(&self, repository: &Repository) -> Result<Fetched, Fault> {
        let seen = RefCell::new(Seen::default());
        let request = self.request;
        let failed = |error: git2::Error| classify::fault(&error, &seen.borrow(), request);
        let mut remote = repository.remote_anonymous(&request.address).map_err(failed)?;
        if remote.url().ok() != Some(&request.address) {
            return Err(Fault::Rewritten);
        }
        // The mirror's configuration forbids to follow a redirect elsewhere: this call has no option for it.
        let connected =
            remote.connect_auth(Direction::Fetch, Some(self.callbacks(&seen)), Some(self.proxy()));
        let mut connection = connected.map_err(failed)?;
        // Whoever was let in so far may be asked anew for the pack.
        seen.borrow_mut().asked = 0;
        let name = name(&connection, &request.wanted)?;
        let newest = connection.list().map_err(failed)?;
        let Some(newest) = newest
            .iter()
            .find(|head| head.name() == name)
            .map(git2::RemoteHead::oid)
        else {
            return Err(missing(&connection, &request.wanted, &name));
        };
        let is_there = repository
            .refname_to_id(&request.local)
            .is_ok_and(|id| id == newest);
        if !is_there {
            let refspec = format!("+{name}:{}", request.local);
            let mut options = FetchOptions::new();
            options
                .remote_callbacks(self.callbacks(&seen))
                .proxy_options(self.proxy())
                .prune(FetchPrune::Off)
                .update_fetchhead(false)
                .download_tags(AutotagOption::None)
                .follow_redirects(RemoteRedirect::None);
            let fetched = connection.remote().fetch(&[refspec], Some(&mut options), None);
            fetched.map_err(failed)?;
        }
        let commit = repository
            .find_reference(&request.local)
            .and_then(|found| found.peel(ObjectType::Commit));
        let commit = hash(commit.map_err(failed)?.id());
        Ok(Fetched { name, commit })
    }

    fn callbacks<'s>(&'s self, seen: &'s RefCell<Seen>) -> RemoteCallbacks<'s> {
        let mut callbacks = RemoteCallbacks::new();
        callbacks
            .credentials(|url, _user, allowed| self.credential(url, allowed, seen))
            .certificate_check(|certificate, _host| {
                seen.borrow_mut().shown(certificate);
                // What libgit2 found counts: to say that it is all right would accept any certificate.
                Ok(CertificateCheckStatus::CertificatePassthrough)
            });
        let mut told = Instant::now();
        callbacks.transfer_progress(move |progress| {
            let is_too_large =
                progress.received_bytes() > PACK_BYTES_MAX || progress.total_objects() > PACK_OBJECTS_MAX;
            seen.borrow_mut().is_too_large |= is_too_large;
            if told.elapsed() >= TELL_EVERY {
                told = Instant::now();
                return !is_too_large && self.tell();
            }
            !is_too_large
        });
        callbacks
    }

    /// Tells that something came; `false` where nobody listens.
    fn tell(&self) -> bool {
        let mut output = self.output.borrow_mut();
        write_answer(&mut **output, Kind::Part, &[]).is_ok() && std::io::Write::flush(&mut **output).is_ok()
    }

    fn proxy(&self) -> ProxyOptions<'static> {
        let mut options = ProxyOptions::new();
        if let Some(proxy) = &self.request.means.proxy {
            options.url(proxy);
        }
        options
    }

    /// Answers a server that asks who comes.
    fn credential(
        &self,
        url: &str,
        allowed: CredentialType,
        seen: &RefCell<Seen>,
    ) -> Result<Cred, git2::Error> {
        let request = self.request;
        let refused = || {
            seen.borrow_mut().is_refused = true;
            Err(git2::Error::from_str("not let in"))
        };
        if allowed == CredentialType::USERNAME {
            return Cred::username(&request.user);
        }
        // A server that refuses asks again, for ever.
        seen.borrow_mut().asked += 1;
        if seen.borrow().asked > ASKED_MAX {
            return refused();
        }
        match &request.means.credential {
            Credential::Password { user, password }
                if allowed.is_user_pass_plaintext() && is_at(url, &request.host, request.port) =>
            {
                Cred::userpass_plaintext(user, password)
            }
            Credential::Key(key) if allowed.is_ssh_memory() => {
                Cred::ssh_key_from_memory(&request.user, None, key, None)
            }
            Credential::Agent if allowed.is_ssh_key() => Cred::ssh_key_from_agent(&request.user),
            Credential::Nothing | Credential::Password { .. } | Credential::Key(_) | Credential::Agent => {
                refused()
            }
        }
    }
}

/// Says whether it is the host asked for that asks, and not one that it led to.
fn is_at(url: &str, host: &str, port: u16) -> bool {
    let asking = Address::parse(url).and_then(Result::ok);
    asking.is_some_and(|asking| asking.host() == host && asking.port() == port)
}

/// Returns the full name of what is wanted.
fn name(connection: &git2::RemoteConnection<'_, '_, '_>, wanted: &Wanted) -> Result<String, Fault> {
    match wanted {
        Wanted::Branch(name) => Ok(format!("refs/heads/{name}")),
        Wanted::Tag(name) => Ok(format!("refs/tags/{name}")),
        Wanted::Default => {
            let branch = connection.default_branch().ok();
            let branch = branch.as_ref().and_then(|branch| branch.as_str().ok());
            branch.map(str::to_owned).ok_or(Fault::Empty)
        }
    }
}

fn missing(connection: &git2::RemoteConnection<'_, '_, '_>, wanted: &Wanted, name: &str) -> Fault {
    let heads = connection.list().unwrap_or_default();
    let branches = heads
        .iter()
        .filter_map(|head| head.name().strip_prefix("refs/heads/"));
    let branches: Vec<String> = branches.take(LISTED_MAX).map(str::to_owned).collect();
    if heads.is_empty() {
        return Fault::Empty;
    }
    let (kind, name) = match wanted {
        Wanted::Tag(name) => ("tag", &name[..]),
        Wanted::Branch(name) => ("branch", &name[..]),
        Wanted::Default => ("branch", name.trim_start_matches("refs/heads/")),
    };
    Fault::Missing {
        kind: kind.to_owned(),
        name: name.to_owned(),
        branches,
    }
}
