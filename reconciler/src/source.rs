//! The desired-state repository: one branch of a Git repository, read and never written.
//!
//! Only committed state counts. The branch is fixed when it is first read; its newest commit is resolved anew each time
//! it is asked for, so a branch that is forced back is followed like any other change. What is read from a commit is
//! bounded in number, size, depth and time.
//!
//! Git itself is read by [`crate::git`], in a process of its own that this one asks and, where it does not answer, kills.

mod client;
mod dataset;
mod difference;
mod error;
mod explain;
mod folder;
pub(crate) mod hash;
mod history;
pub(crate) mod protocol;
pub mod remote;
mod session;
mod signed;

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use planner::names::{EnvironmentName, Revision};

use client::Client;
pub use client::Interrupt;
pub use dataset::{DataFile, DataFileError};
pub(crate) use dataset::{DataFiles, join};
pub(crate) use difference::{Difference, refused};
pub use error::SourceError;
use explain::short;
pub use folder::Folder;
pub use hash::{GitHash, NoHash};
pub use history::{Changed, Remembered};
pub(crate) use history::{Documents, History, Line, Of, Questions, Walked};
pub use protocol::{Cause, Immovable};
pub(crate) use protocol::{Changes, ManifestFile, ManifestPart, Range, SignatureText, Signed, Step, WalkEnd};
use protocol::{Newest, Request, Wanted};
use remote::{Fetcher, Remote};
pub use session::FETCHING;

/// The folder that holds one folder per environment.
pub const ENVIRONMENTS: &str = "environments";

/// What is checked out, branch or commit.
pub(crate) const HEAD: &str = "HEAD";

/// What the full name of a tag begins with.
const TAGS: &str = "refs/tags/";

/// The most entries that a folder is read with, folders included.
pub(crate) const ENTRIES_MAX: usize = 100_000;
/// The most levels of folders below the environment's.
pub(crate) const DEPTH_MAX: usize = 16;
/// The largest data file, in bytes.
pub(crate) const DATA_BYTES_MAX: usize = 512 * 1024 * 1024;

/// How long a commit that could not be read is left alone; it doubles each time.
const WAIT_MIN: Duration = Duration::from_millis(500);
/// The longest that it is: a restored object is found within seconds.
const WAIT_MAX: Duration = Duration::from_secs(4);

/// Says whether a path is a manifest's by its ending.
pub(crate) fn is_manifest(path: &str) -> bool {
    Path::new(path)
        .extension()
        .is_some_and(|extension| extension == "yaml" || extension == "yml")
}

/// Who reads Git.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reader {
    /// A process of this program, which answers with [`crate::git::serve`] on its standard input.
    Process {
        /// The program.
        program: PathBuf,
        /// What it is told on its command line.
        arguments: Vec<OsString>,
    },
    /// A thread of this process, for tests: what hangs, hangs for good.
    Thread,
}

/// A repository, and who reads it.
#[derive(Debug, Clone)]
pub struct Repository {
    /// A folder in its work tree, or a bare repository; where it is on another machine, its mirror on this one.
    pub path: PathBuf,
    /// Who reads it.
    pub reader: Reader,
    /// Where it is, if it is on another machine.
    pub remote: Option<Remote>,
}

/// What of a repository is followed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Follow {
    /// A branch.
    Branch(String),
    /// A tag; where it is moved, it is followed like a branch.
    Tag(String),
    /// The branch that is checked out when it is first read; a later checkout is not followed.
    CheckedOut,
    /// Whatever is checked out at the path, branch or commit, each time anew.
    Head,
}

impl From<Option<&str>> for Follow {
    fn from(branch: Option<&str>) -> Self {
        branch.map_or(Self::CheckedOut, |branch| Self::Branch(branch.to_owned()))
    }
}

/// One branch or tag of a repository, or what is checked out in it.
pub struct Source {
    path: PathBuf,
    /// Present for a repository on another machine.
    fetcher: Option<Fetcher>,
    /// The branch that was asked for.
    given: Option<String>,
    /// The full name of the branch, once it was looked up.
    branch: OnceLock<String>,
    client: Mutex<Client>,
    interrupt: Interrupt,
    held: Mutex<Option<Held>>,
}

/// What could not be read the last time, and is left alone for a while.
#[derive(Debug)]
struct Held {
    /// The commit; absent where the branch itself could not be read.
    revision: Option<Revision>,
    until: Instant,
    wait: Duration,
    error: SourceError,
}

impl std::fmt::Debug for Source {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Source")
            .field("path", &self.path)
            .field("branch", &self.branch)
            .finish_non_exhaustive()
    }
}

/// How the branch's newest commit relates to the last one that was applied.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Relation {
    /// It is the same.
    Same,
    /// It contains the applied one.
    Ahead,
    /// It does not: the branch was moved back or aside.
    Forced,
}

impl Source {
    /// Opens the repository that a path lies in and fixes the branch, where one is followed.
    ///
    /// What is followed must exist and have a commit.
    pub fn open(repository: &Repository, follow: impl Into<Follow>) -> Result<Self, SourceError> {
        let mut source = Self::follow(repository, follow);
        source.head()?;
        Ok(source)
    }

    /// Follows a repository of which nothing is read yet: a branch is fixed when it is first read.
    pub fn follow(repository: &Repository, follow: impl Into<Follow>) -> Self {
        let client = Client::new(repository);
        let follow = follow.into();
        let fetcher = repository.remote.as_ref().map(|remote| {
            let wanted = match &follow {
                Follow::Branch(branch) => Wanted::Branch(short(branch).to_owned()),
                Follow::Tag(tag) => Wanted::Tag(tag.clone()),
                Follow::CheckedOut | Follow::Head => Wanted::Default,
            };
            let (reader, mirror) = (repository.reader.clone(), repository.path.clone());
            Fetcher::new(remote.clone(), reader, mirror, wanted, client.interrupt())
        });
        let (given, branch) = match (&fetcher, follow) {
            (Some(fetcher), _) => (None, OnceLock::from(fetcher.local().to_owned())),
            (None, Follow::Branch(branch)) => (Some(branch), OnceLock::new()),
            (None, Follow::Tag(tag)) => (None, OnceLock::from(format!("{TAGS}{tag}"))),
            (None, Follow::CheckedOut) => (None, OnceLock::new()),
            (None, Follow::Head) => (None, OnceLock::from(HEAD.to_owned())),
        };
        Self {
            fetcher,
            path: repository.path.clone(),
            given,
            branch,
            interrupt: client.interrupt(),
            client: Mutex::new(client),
            held: Mutex::new(None),
        }
    }

    /// Opens the repository that a path lies in to read commits by name, whatever is checked out: for looking, not for
    /// following. Of one on another machine, the branch that its HEAD names is fetched first.
    pub fn open_any(repository: &Repository) -> Result<Self, SourceError> {
        let mut source = Self::follow(repository, Follow::CheckedOut);
        if let Some(fetched) = source.fetched_head() {
            fetched?;
        }
        source.client().open().map_err(|error| source.explain(error))?;
        Ok(source)
    }

    /// Returns the branch's name, e.g. `main`; `HEAD` while it is not known, or where HEAD itself is followed.
    pub fn branch(&self) -> String {
        if let Some(fetcher) = &self.fetcher {
            let name = fetcher.followed();
            return name.map_or(HEAD.to_owned(), |name| short(&name).to_owned());
        }
        let branch = self.branch.get().or(self.given.as_ref());
        branch.map_or(HEAD, |branch| short(branch)).to_owned()
    }

    /// Returns what is followed, to be shown: `branch main`, `tag v1`, or `HEAD`.
    pub fn followed(&self) -> String {
        let branch = self.branch();
        match branch.strip_prefix("tags/") {
            _ if branch == HEAD => branch,
            Some(tag) => format!("tag {tag}"),
            None => format!("branch {branch}"),
        }
    }

    /// Returns why the remote could not be fetched the last time, where what was fetched before is followed instead.
    pub fn trouble(&self) -> Option<SourceError> {
        self.fetcher.as_ref().and_then(Fetcher::trouble)
    }

    /// Returns what ends all reading from another thread: whatever is being read then fails at once, and all that is
    /// asked for later.
    pub fn interrupt(&self) -> Interrupt {
        self.interrupt.clone()
    }

    /// Resolves the branch's newest commit: one small file read, no walk.
    ///
    /// Where a link on the repository's path was changed, the repository that it leads to now is followed.
    pub fn head(&mut self) -> Result<Revision, SourceError> {
        if let Some(head) = self.fetched_head() {
            return head;
        }
        if let Some(error) = self.held(None) {
            return Err(error);
        }
        let head = self.newest();
        if let Err(error) = &head
            && error.is_costly()
        {
            self.hold(None, error);
        }
        head
    }

    /// Resolves the newest commit of a remote that was fetched; nothing for a repository on this machine.
    ///
    /// What was fetched before is not held up by a remote that is away. Where nothing was, the first fetch is waited for.
    fn fetched_head(&mut self) -> Option<Result<Revision, SourceError>> {
        let fetcher = self.fetcher.as_mut()?;
        if let Err(error) = fetcher.begin() {
            return Some(Err(error));
        }
        let is_awaited = fetcher.is_awaited();
        if is_awaited && let Err(error) = fetcher.first() {
            return Some(Err(error));
        }
        let head = self.newest();
        let fetcher = self.fetcher.as_ref()?;
        Some(match head {
            Err(_nothing_there) if !is_awaited => fetcher.first().and_then(|()| self.newest()),
            head => head,
        })
    }

    fn newest(&self) -> Result<Revision, SourceError> {
        let branch = if let Some(branch) = self.branch.get() {
            branch
        } else {
            let given = self.given.clone();
            let branch = self.ask(&Request::Branch { given })?;
            self.branch.get_or_init(|| branch)
        };
        let branch = branch.clone();
        let Newest {
            commit,
            moved,
            is_large,
        } = self.ask(&Request::Head { branch })?;
        let mut client = self.client();
        if let Some(moved) = moved {
            client.moved(moved);
        }
        if is_large {
            client.replace();
        }
        Ok(commit.revision())
    }

    /// Returns the newest commit, if it is another one than a commit that was the newest.
    pub(crate) fn newest_after(&self, head: &Revision) -> Option<Revision> {
        self.newest().ok().filter(|newest| newest != head)
    }

    /// Finds the commit that `text` names, e.g. `main`, `HEAD~1`, a tag or an abbreviated commit. A branch's name stands
    /// for the branch, whatever else has it too.
    pub fn find(&self, text: &str) -> Result<Revision, SourceError> {
        let text = self.in_mirror(text);
        let found: GitHash = self.ask(&Request::Find { text })?;
        Ok(found.revision())
    }

    /// Returns what is called in the mirror of a remote what `text` names there: the branch that was fetched, or HEAD, and
    /// what follows from it (`~1`).
    fn in_mirror(&self, text: &str) -> String {
        let Some(fetcher) = &self.fetcher else {
            return text.to_owned();
        };
        let branch = self.branch();
        let rest = [HEAD, &branch]
            .into_iter()
            .find_map(|name| text.strip_prefix(name));
        match rest {
            Some(rest) if rest.is_empty() || rest.starts_with(['~', '^', '@']) => {
                format!("{}{rest}", fetcher.local())
            }
            Some(_) | None => text.to_owned(),
        }
    }

    /// Makes a commit of the work tree, in the memory of who reads Git: it can be read like any other, from this source
    /// alone.
    pub fn work_tree(&self) -> Result<Revision, SourceError> {
        let commit: GitHash = self.ask(&Request::WorkTree)?;
        Ok(commit.revision())
    }

    /// Counts the files below `environments/` that differ from what is committed; none without a work tree.
    pub fn uncommitted_files(&self) -> Result<usize, SourceError> {
        self.ask(&Request::UncommittedFiles)
    }

    /// Says how `head` relates to `applied`. A commit that is gone counts as not contained.
    pub fn relation(&self, applied: &Revision, head: &Revision) -> Relation {
        if applied == head {
            return Relation::Same;
        }
        let contains = || {
            let (head, commit) = (GitHash::of(head).ok()?, GitHash::of(applied).ok()?);
            self.ask(&Request::Contains { head, commit }).ok()
        };
        match contains() {
            Some(true) => Relation::Ahead,
            Some(false) | None => Relation::Forced,
        }
    }

    /// Returns the manifests of an environment that differ from what is committed, as paths from the repository's root.
    ///
    /// Empty for a repository without a work tree, or one that cannot be read.
    pub fn uncommitted(&self, environment: &EnvironmentName) -> Vec<String> {
        let folder = format!("{ENVIRONMENTS}/{environment}");
        self.ask(&Request::Uncommitted { folder }).unwrap_or_default()
    }

    /// Returns why a commit could not be read, while it is left alone for that; absent: the branch itself.
    pub(crate) fn held(&self, revision: Option<&Revision>) -> Option<SourceError> {
        let held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        held.as_ref()
            .filter(|held| held.revision.as_ref() == revision && Instant::now() < held.until)
            .map(|held| held.error.clone())
    }

    /// Leaves a commit alone for a while that could not be read, longer each time in a row.
    pub(crate) fn hold(&self, revision: Option<&Revision>, error: &SourceError) {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        let again = held.take().filter(|held| held.revision.as_ref() == revision);
        let wait = again.map_or(WAIT_MIN, |held| (held.wait * 2).min(WAIT_MAX));
        *held = Some(Held {
            revision: revision.cloned(),
            until: Instant::now() + wait,
            wait,
            error: error.clone(),
        });
    }

    fn client(&self) -> std::sync::MutexGuard<'_, Client> {
        self.client.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Asks what has a single answer.
    fn ask<T: serde::de::DeserializeOwned>(&self, request: &Request) -> Result<T, SourceError> {
        let mut client = self.client();
        let answer = client.exchange(request).and_then(client::Exchange::finish);
        answer.map_err(|error| self.explain(error))
    }

    /// Says that a commit has a name that Git does not give.
    fn no_hash(&self, error: &NoHash) -> SourceError {
        SourceError::Unreadable {
            path: self.path.clone(),
            what: "a commit".to_owned(),
            revision: None,
            message: error.to_string(),
            cause: Cause::System,
        }
    }

    pub(crate) fn hash(&self, revision: &Revision) -> Result<GitHash, SourceError> {
        GitHash::of(revision).map_err(|error| self.no_hash(&error))
    }
}
