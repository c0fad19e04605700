//! The desired-state repository: one branch of a local Git repository, read and never written.
//!
//! Only committed state counts. The branch is fixed when the source is opened; its newest commit is resolved anew each
//! time it is asked for, so a branch that is forced back is followed like any other change. What is read from a commit
//! is bounded in number, size and depth.

mod branch;
mod dataset;
mod difference;
mod history;
mod tree;

use std::path::{Path, PathBuf};

use git2::{ErrorCode, Oid, Repository, Status, StatusOptions};
use planner::names::{EnvironmentName, Revision};

pub use dataset::{DataFile, DataFileError};
pub(crate) use dataset::{DataFiles, join};
pub(crate) use difference::{Difference, ENTRIES_MAX, refused};
pub use history::Changed;
pub(crate) use history::{Documents, History, Line, Walked};
pub use tree::Folder;
pub(crate) use tree::ManifestFile;

/// The folder that holds one folder per environment.
pub const ENVIRONMENTS: &str = "environments";

/// One branch of a local repository.
pub struct Source {
    repository: Repository,
    path: PathBuf,
    branch: String,
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
#[derive(Debug, thiserror::Error)]
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
        "{} belongs to another user, and Git refuses to read it; if you trust it: git config --global --add safe.directory {}",
        path.display(), path.display()
    )]
    Ownership {
        /// The repository.
        path: PathBuf,
    },
    /// No branch is checked out and none was given.
    #[error(
        "HEAD of {} is detached at {at}: no branch is checked out; give the branch to follow with --branch{}",
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
        "{name} is a {kind}, which never moves; --branch takes a branch{}; to follow that commit: git branch NAME {name}",
        listed(", one of: ", branches)
    )]
    NotABranch {
        /// What was given.
        name: String,
        /// `tag` or `commit`.
        kind: &'static str,
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
    #[error("cannot read {what} of {}: {message}", path.display())]
    Unreadable {
        /// The repository.
        path: PathBuf,
        /// What was being read.
        what: String,
        /// What Git says.
        message: String,
    },
}

fn listed(lead: &str, names: &[String]) -> String {
    if names.is_empty() {
        String::new()
    } else {
        format!("{lead}{}", names.join(", "))
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
    /// Opens the repository that `path` lies in and fixes the branch: the one given, else the checked-out one.
    ///
    /// The branch must exist and have a commit.
    pub fn open(path: &Path, branch: Option<&str>) -> Result<Self, SourceError> {
        let repository = open_repository(path)?;
        let branch = branch::fix(&repository, path, branch)?;
        Ok(Self {
            repository,
            path: path.to_owned(),
            branch,
        })
    }

    /// Opens the repository that `path` lies in to read commits by name, whatever is checked out: for looking, not for
    /// following.
    pub fn open_any(path: &Path) -> Result<Self, SourceError> {
        Ok(Self {
            repository: open_repository(path)?,
            path: path.to_owned(),
            branch: "HEAD".to_owned(),
        })
    }

    /// Returns the branch's name, e.g. `main`.
    pub fn branch(&self) -> &str {
        self.branch.strip_prefix("refs/heads/").unwrap_or(&self.branch)
    }

    /// Resolves the branch's newest commit: one small file read, no walk.
    ///
    /// A repository that was moved away and came back is opened again, from its own folder: looking upwards from the
    /// path could find another one around it.
    pub fn head(&mut self) -> Result<Revision, SourceError> {
        match self.repository.refname_to_id(&self.branch) {
            Ok(id) => Ok(revision_of(id)),
            Err(_stale) => {
                self.repository =
                    Repository::open(self.repository.path()).map_err(|error| unopened(&self.path, &error))?;
                match self.repository.refname_to_id(&self.branch) {
                    Ok(id) => Ok(revision_of(id)),
                    Err(error) if error.code() == ErrorCode::NotFound => Err(SourceError::BranchGone {
                        path: self.path.clone(),
                        branch: self.branch().to_owned(),
                    }),
                    Err(error) => Err(self.unreadable("the branch", &error)),
                }
            }
        }
    }

    /// Finds the commit that `text` names, e.g. `main`, `HEAD~1`, a tag or an abbreviated commit.
    pub fn find(&self, text: &str) -> Result<Revision, SourceError> {
        self.repository
            .revparse_single(text)
            .and_then(|object| object.peel_to_commit())
            .map(|commit| revision_of(commit.id()))
            .map_err(|error| self.unreadable(text, &error))
    }

    /// Says how `head` relates to `applied`. A commit that is gone counts as not contained.
    pub fn relation(&self, applied: &Revision, head: &Revision) -> Relation {
        if applied == head {
            return Relation::Same;
        }
        let contained = oid_of(head)
            .and_then(|head| oid_of(applied).map(|applied| (head, applied)))
            .and_then(|(head, applied)| self.repository.graph_descendant_of(head, applied));
        match contained {
            Ok(true) => Relation::Ahead,
            Ok(false) | Err(_) => Relation::Forced,
        }
    }

    /// Returns the manifests of an environment that differ from what is committed, as paths from the repository's root.
    ///
    /// Empty for a repository without a work tree.
    pub fn uncommitted(&self, environment: &EnvironmentName) -> Vec<String> {
        if self.repository.is_bare() {
            return Vec::new();
        }
        let mut options = StatusOptions::new();
        options
            .include_untracked(true)
            .recurse_untracked_dirs(true)
            .include_ignored(false)
            .exclude_submodules(true)
            .disable_pathspec_match(true)
            .pathspec(format!("{ENVIRONMENTS}/{environment}"));
        let Ok(statuses) = self.repository.statuses(Some(&mut options)) else {
            return Vec::new();
        };
        statuses
            .iter()
            .filter(|entry| entry.status() != Status::CURRENT)
            .map(|entry| String::from_utf8_lossy(entry.path_bytes()).into_owned())
            .filter(|path| tree::is_manifest(path))
            .collect()
    }

    fn unreadable(&self, what: impl Into<String>, error: &git2::Error) -> SourceError {
        SourceError::Unreadable {
            path: self.path.clone(),
            what: what.into(),
            message: error.message().to_owned(),
        }
    }
}

fn open_repository(path: &Path) -> Result<Repository, SourceError> {
    Repository::discover(path).map_err(|error| unopened(path, &error))
}

fn unopened(path: &Path, error: &git2::Error) -> SourceError {
    match error.code() {
        ErrorCode::NotFound => SourceError::NotARepository {
            path: path.to_owned(),
        },
        ErrorCode::Owner => SourceError::Ownership {
            path: path.canonicalize().unwrap_or_else(|_unresolved| path.to_owned()),
        },
        _ => SourceError::Unreadable {
            path: path.to_owned(),
            what: "the repository".to_owned(),
            message: error.message().to_owned(),
        },
    }
}

fn revision_of(id: Oid) -> Revision {
    id.to_string()
        .parse()
        .expect("invariant: Git prints an object's id as 40 hex digits")
}

fn oid_of(revision: &Revision) -> Result<Oid, git2::Error> {
    Oid::from_str(revision.as_str())
}
