//! Why Git cannot be read, and what to do.

use std::path::{Path, PathBuf};

use planner::names::{EnvironmentName, Revision};

use super::protocol::{Cause, Immovable};
use super::remote::Fault;

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
        "{name} is a {}; --branch takes a branch{}; to follow that commit: git branch NAME {name}",
        match kind { Immovable::Tag => "tag, which --tag follows", Immovable::Commit => "commit, which never moves" },
        listed(", one of: ", branches)
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
    /// A repository on another machine could not be fetched.
    #[error("cannot fetch {what}: {fault}")]
    Fetch {
        /// The branch or tag, and the address.
        what: String,
        /// Why.
        fault: Box<Fault>,
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
            | Self::Fetch { .. }
            | Self::NoEnvironment { .. } => false,
        }
    }

    /// Says whether finding it out cost so much that it is not tried all the time.
    pub(super) fn is_costly(&self) -> bool {
        matches!(
            self,
            Self::Unreadable {
                cause: Cause::Stuck | Cause::Crashed | Cause::Killed,
                ..
            }
        )
    }
}
