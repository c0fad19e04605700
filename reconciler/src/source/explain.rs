//! What the process that reads Git answers, as what it means here.

use super::protocol::{Cause, GitError};
use super::{Source, SourceError, session};

impl Source {
    /// Returns what an error means here. A mirror that lacks something is fetched anew.
    pub(super) fn explain(&self, error: GitError) -> SourceError {
        let path = self.path.clone();
        if let (
            Some(fetcher),
            GitError::Unreadable {
                cause: Cause::Missing | Cause::Partial | Cause::Damaged,
                ..
            },
        ) = (&self.fetcher, &error)
        {
            fetcher.doubt();
        }
        match error {
            GitError::NotARepository => SourceError::NotARepository { path },
            GitError::Ownership { path: owned } => SourceError::Ownership {
                is_behind_link: path.canonicalize().ok() != std::path::absolute(&path).ok(),
                path: owned.into(),
                has_home: session::has_home(),
            },
            GitError::Detached { at, branches } => SourceError::Detached { path, at, branches },
            GitError::NotABranch { name, kind, branches } => SourceError::NotABranch { name, kind, branches },
            GitError::NoBranch { name, branches } => SourceError::NoBranch { path, name, branches },
            GitError::Unborn { branch, branches } => SourceError::Unborn {
                path,
                branch,
                branches,
            },
            GitError::Gone => SourceError::BranchGone {
                path,
                branch: self.branch(),
            },
            GitError::Fetch(fault) => SourceError::Fetch {
                what: path.display().to_string(),
                fault: Box::new(fault),
            },
            GitError::Torn { branch, logged } => SourceError::BranchTorn {
                path,
                branch: short(&branch).to_owned(),
                logged,
            },
            GitError::Unreadable { what, message, cause } => SourceError::Unreadable {
                path,
                what,
                revision: None,
                message,
                cause,
            },
        }
    }
}

/// Returns a branch's name as people say it.
pub(super) fn short(branch: &str) -> &str {
    let branch = branch.strip_prefix("refs/heads/").unwrap_or(branch);
    // A tag's name keeps what tells it from a branch's.
    branch
        .strip_prefix("refs/")
        .filter(|name| name.starts_with("tags/"))
        .unwrap_or(branch)
}
