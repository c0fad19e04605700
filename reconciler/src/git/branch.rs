//! Which branch is followed.

use git2::{BranchType, ErrorCode};

use super::repository::Opened;
use crate::source::protocol::{GitError, Immovable};

/// Returns the full name of the branch to follow: the one given, else the checked-out one. Whether it can be read is not
/// asked.
pub(super) fn fix(opened: &Opened, given: Option<&str>) -> Result<String, GitError> {
    match given {
        Some(name) => named(opened, name),
        None => checked_out(opened),
    }
}

fn checked_out(opened: &Opened) -> Result<String, GitError> {
    let repository = &opened.repository;
    let unreadable = |error: &git2::Error| opened.unreadable("HEAD", error);
    let head = repository
        .find_reference("HEAD")
        .map_err(|error| unreadable(&error))?;
    match head.symbolic_target().map_err(|error| unreadable(&error))? {
        Some(branch) if is_there(opened, branch) => Ok(branch.to_owned()),
        Some(branch) => Err(GitError::Unborn {
            branch: short(branch).to_owned(),
            branches: existing(opened),
        }),
        None => Err(GitError::Detached {
            at: head
                .target()
                .map(|id| id.to_string()[..10].to_owned())
                .unwrap_or_default(),
            branches: existing(opened),
        }),
    }
}

fn named(opened: &Opened, name: &str) -> Result<String, GitError> {
    let repository = &opened.repository;
    let name = short(name);
    let branch = format!("refs/heads/{name}");
    let is_unborn = || {
        let head = repository.find_reference("HEAD").ok();
        head.is_some_and(|head| head.symbolic_target_bytes() == Some(branch.as_bytes()))
    };
    let immovable = |kind| GitError::NotABranch {
        name: name.to_owned(),
        kind,
        branches: existing(opened),
    };
    if is_there(opened, &branch) {
        Ok(branch)
    } else if is_unborn() {
        Err(GitError::Unborn {
            branch: name.to_owned(),
            branches: existing(opened),
        })
    } else if repository
        .find_reference(&format!("refs/tags/{}", name.trim_start_matches("refs/tags/")))
        .is_ok()
    {
        Err(immovable(Immovable::Tag))
    } else if repository.revparse_single(name).is_ok() {
        Err(immovable(Immovable::Commit))
    } else {
        Err(GitError::NoBranch {
            name: name.to_owned(),
            branches: existing(opened),
        })
    }
}

/// Says whether a branch exists. One whose file is damaged does.
fn is_there(opened: &Opened, branch: &str) -> bool {
    match opened.repository.refname_to_id(branch) {
        Ok(_id) => true,
        Err(error) => !matches!(error.code(), ErrorCode::NotFound | ErrorCode::InvalidSpec),
    }
}

fn short(branch: &str) -> &str {
    branch.strip_prefix("refs/heads/").unwrap_or(branch)
}

/// Lists at most ten branches, for an error's hint.
fn existing(opened: &Opened) -> Vec<String> {
    let Ok(branches) = opened.repository.branches(Some(BranchType::Local)) else {
        return Vec::new();
    };
    branches
        .flatten()
        .filter_map(|(branch, _kind)| branch.name().ok().flatten().map(str::to_owned))
        .take(10)
        .collect()
}
