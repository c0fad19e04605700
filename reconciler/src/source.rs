//! The desired-state repository: one branch of a local Git repository, read and never written.
//!
//! Only committed state counts. The branch is fixed when it is first read; its newest commit is resolved anew each time
//! it is asked for, so a branch that is forced back is followed like any other change. What is read from a commit is
//! bounded in number, size, depth and time.
//!
//! Git itself is read by [`crate::git`], in a process of its own that this one asks and, where it does not answer, kills.

mod client;
mod dataset;
mod difference;
mod explain;
mod folder;
pub(crate) mod hash;
mod history;
pub(crate) mod protocol;
mod session;

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
use explain::short;
pub use folder::Folder;
pub use hash::{GitHash, NoHash};
pub use history::{Changed, Remembered};
pub(crate) use history::{Documents, History, Line, Of, Questions, Walked};
pub use protocol::{Cause, Immovable};
pub(crate) use protocol::{Changes, ManifestFile, ManifestPart, Step, WalkEnd};
use protocol::{Newest, Request};

/// The folder that holds one folder per environment.
pub const ENVIRONMENTS: &str = "environments";

/// What is checked out, branch or commit.
pub(crate) const HEAD: &str = "HEAD";

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

/// A repository on this machine, and who reads it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Repository {
    /// A folder in its work tree, or a bare repository.
    pub path: PathBuf,
    /// Who reads it.
    pub reader: Reader,
}

/// What of a repository is followed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Follow {
    /// A branch.
    Branch(String),
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

/// One branch of a local repository, or what is checked out in it.
pub struct Source {
    path: PathBuf,
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

/// Why the repository, its branch or a commit cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SourceError {
    /// There is no repository at the path.
    #[error(
        "{} is no Git repository; give one with --repo, or make one there: git init && git add environments && git commit",
        path.display()
    )]
    NotARepository {
        /// Where one was looked for.
        path: PathBuf,
    },
    /// Git's ownership check refuses the repository.
    #[error(
        "{} belongs to another user, and Git refuses to read it; if you trust it: {}",
        path.display(), trusting(path, *is_behind_link, *has_home)
    )]
    Ownership {
        /// The repository, as Git wants to have it listed.
        path: PathBuf,
        /// Whether a link leads there: the next folder has another name.
        is_behind_link: bool,
        /// Whether there is a home that this user's configuration of Git can be read from.
        has_home: bool,
    },
    /// No branch is checked out and none was given.
    #[error(
        "HEAD of {} is detached at {at}: no branch is checked out; give the branch to follow with --branch{}; to follow whatever is checked out, as git-sync leaves it: --follow-head",
        path.display(), listed(", one of: ", branches)
    )]
    Detached {
        /// The repository.
        path: PathBuf,
        /// The commit that is checked out, shortened.
        at: String,
        /// The branches that exist.
        branches: Vec<String>,
    },
    /// The name is a tag's or a commit's: nothing that moves.
    #[error(
        "{name} is a {}, which never moves; --branch takes a branch{}; to follow that commit: git branch NAME {name}",
        match kind { Immovable::Tag => "tag", Immovable::Commit => "commit" }, listed(", one of: ", branches)
    )]
    NotABranch {
        /// What was given.
        name: String,
        /// What it is.
        kind: Immovable,
        /// The branches that exist.
        branches: Vec<String>,
    },
    /// The branch does not exist.
    #[error("{} has no branch {name}{}", path.display(), listed("; it has: ", branches))]
    NoBranch {
        /// The repository.
        path: PathBuf,
        /// What was given.
        name: String,
        /// The branches that exist.
        branches: Vec<String>,
    },
    /// The branch has no commit: nothing was committed yet, or it was deleted.
    #[error(
        "branch {branch} of {} has no commit{}", path.display(),
        if branches.is_empty() {
            " yet; commit the environments folder: git add environments && git commit".to_owned()
        } else {
            format!("; give the branch to follow with --branch, one of: {}", branches.join(", "))
        }
    )]
    Unborn {
        /// The repository.
        path: PathBuf,
        /// The branch.
        branch: String,
        /// The branches that exist.
        branches: Vec<String>,
    },
    /// The branch existed when the source was opened and does not now.
    #[error("branch {branch} of {} is gone; what was applied stays until it is back: git branch {branch} COMMIT", path.display())]
    BranchGone {
        /// The repository.
        path: PathBuf,
        /// The branch.
        branch: String,
    },
    /// The branch's file is not what Git writes, e.g. empty after a power cut.
    #[error(
        "branch {branch} of {} is damaged: its file names no commit, as after a power cut; what was applied stays until it is mended: remove .git/refs/heads/{branch}, then git update-ref refs/heads/{branch} {}",
        path.display(), logged.as_deref().unwrap_or("COMMIT")
    )]
    BranchTorn {
        /// The repository.
        path: PathBuf,
        /// The branch.
        branch: String,
        /// The newest commit that its log names.
        logged: Option<String>,
    },
    /// The commit has no folder for the environment.
    #[error(
        "{revision} has no folder environments/{environment}{}",
        if existing.is_empty() {
            "; commit one with an MLEnvironment and the models' manifests".to_owned()
        } else {
            listed("; give another with --environment, one of: ", existing)
        }
    )]
    NoEnvironment {
        /// The commit, shortened.
        revision: String,
        /// The environment.
        environment: EnvironmentName,
        /// The folders that exist below `environments/`.
        existing: Vec<String>,
    },
    /// Git could not read something: a missing or corrupt object, a disk that fails.
    #[error("cannot read {what}{} of {}: {message}{}", at(revision.as_ref()), path.display(), advice(*cause, path))]
    Unreadable {
        /// The repository.
        path: PathBuf,
        /// What was being read.
        what: String,
        /// The commit that it was read for, if any.
        revision: Option<Revision>,
        /// What Git says.
        message: String,
        /// Why, as far as it decides what to do.
        cause: Cause,
    },
}

/// Says how a repository of another user is trusted.
fn trusting(path: &Path, is_behind_link: bool, has_home: bool) -> String {
    let path = if is_behind_link {
        "'*'".to_owned()
    } else {
        path.display().to_string()
    };
    let why = if is_behind_link {
        " (any, since the link leads to a folder of another name each time)"
    } else {
        ""
    };
    if has_home {
        format!("git config --global --add safe.directory {path}{why}")
    } else {
        format!(
            "there is no HOME whose .gitconfig could say so, so mount a file at /etc/gitconfig with the two lines `[safe]` and `directory = {}`{why}, or set HOME to a folder that this user can read",
            path.trim_matches('\'')
        )
    }
}

fn listed(lead: &str, names: &[String]) -> String {
    if names.is_empty() {
        String::new()
    } else {
        format!("{lead}{}", names.join(", "))
    }
}

fn at(revision: Option<&Revision>) -> String {
    revision.map_or(String::new(), |revision| format!(" at {}", revision.short()))
}

/// Says what to do.
fn advice(cause: Cause, path: &Path) -> String {
    let path = path.display();
    match cause {
        Cause::Missing => {
            format!(
                "; it is missing from the clone: git -C {path} fsck lists what is, and git -C {path} fetch --refetch brings it back"
            )
        }
        Cause::Partial => {
            format!(
                "; the clone left objects out (--filter), and Aurora fetches none: git -C {path} fetch --refetch --no-filter completes it"
            )
        }
        Cause::Damaged => {
            format!("; git -C {path} fsck says what is damaged: restore it, or commit it anew")
        }
        Cause::Stuck => {
            format!(
                "; an object is damaged or far too large: git -C {path} fsck says which; restore it, or commit it anew"
            )
        }
        Cause::Crashed => {
            format!(
                "; the process that reads Git was lost over it, and another one has its place: git -C {path} fsck says whether an object is damaged; commit it anew"
            )
        }
        Cause::Killed => {
            "; another one has its place, and it is tried again: raise the memory limit if it was the kernel"
                .to_owned()
        }
        Cause::System | Cause::Stopping => String::new(),
    }
}

impl SourceError {
    /// Says which commit it was that could not be read.
    pub(crate) fn for_commit(mut self, commit: &Revision) -> Self {
        if let Self::Unreadable { revision, .. } = &mut self {
            revision.get_or_insert_with(|| commit.clone());
        }
        self
    }

    /// Says whether what is wrong lies in the objects of the repository, and not in what runs around it.
    pub(crate) fn is_of_objects(&self) -> bool {
        match self {
            Self::Unreadable { cause, .. } => match cause {
                Cause::Missing
                | Cause::Partial
                | Cause::Damaged
                | Cause::Stuck
                | Cause::Crashed
                | Cause::Killed => true,
                Cause::System | Cause::Stopping => false,
            },
            Self::NotARepository { .. }
            | Self::Ownership { .. }
            | Self::Detached { .. }
            | Self::NotABranch { .. }
            | Self::NoBranch { .. }
            | Self::Unborn { .. }
            | Self::BranchGone { .. }
            | Self::BranchTorn { .. }
            | Self::NoEnvironment { .. } => false,
        }
    }

    /// Says whether finding it out cost so much that it is not tried all the time.
    fn is_costly(&self) -> bool {
        matches!(
            self,
            Self::Unreadable {
                cause: Cause::Stuck | Cause::Crashed | Cause::Killed,
                ..
            }
        )
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
        let (given, branch) = match follow.into() {
            Follow::Branch(branch) => (Some(branch), OnceLock::new()),
            Follow::CheckedOut => (None, OnceLock::new()),
            Follow::Head => (None, OnceLock::from(HEAD.to_owned())),
        };
        Self {
            path: repository.path.clone(),
            given,
            branch,
            interrupt: client.interrupt(),
            client: Mutex::new(client),
            held: Mutex::new(None),
        }
    }

    /// Opens the repository that a path lies in to read commits by name, whatever is checked out: for looking, not for
    /// following.
    pub fn open_any(repository: &Repository) -> Result<Self, SourceError> {
        let source = Self::follow(repository, Follow::CheckedOut);
        source.client().open().map_err(|error| source.explain(error))?;
        Ok(source)
    }

    /// Returns the branch's name, e.g. `main`; `HEAD` while it is not known, or where HEAD itself is followed.
    pub fn branch(&self) -> &str {
        let branch = self.branch.get().or(self.given.as_ref());
        branch.map_or(HEAD, |branch| short(branch))
    }

    /// Returns what is followed, to be shown: `branch main`, or `HEAD`.
    pub fn followed(&self) -> String {
        match self.branch() {
            HEAD => HEAD.to_owned(),
            branch => format!("branch {branch}"),
        }
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
        let found: GitHash = self.ask(&Request::Find {
            text: text.to_owned(),
        })?;
        Ok(found.revision())
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
