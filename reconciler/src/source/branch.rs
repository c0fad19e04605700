//! Which branch a source follows.

use std::path::Path;

use git2::{BranchType, ErrorCode, Repository};

use super::SourceError;

/// Returns the full name of the branch to follow: the one given, else the checked-out one.
pub(super) fn fix(repository: &Repository, path: &Path, given: Option<&str>) -> Result<String, SourceError> {
    let branch = match given {
        Some(name) => named(repository, path, name)?,
        None => checked_out(repository, path)?,
    };
    Ok(branch)
}

fn checked_out(repository: &Repository, path: &Path) -> Result<String, SourceError> {
    let unreadable = |error: &git2::Error| SourceError::Unreadable {
        path: path.to_owned(),
        what: "HEAD".to_owned(),
        message: error.message().to_owned(),
    };
    let head = repository
        .find_reference("HEAD")
        .map_err(|error| unreadable(&error))?;
    match head.symbolic_target().map_err(|error| unreadable(&error))? {
        Some(branch) => match repository.refname_to_id(branch) {
            Ok(_id) => Ok(branch.to_owned()),
            Err(error) if error.code() == ErrorCode::NotFound => Err(SourceError::Unborn {
                path: path.to_owned(),
                branch: short(branch).to_owned(),
                branches: existing(repository),
            }),
            Err(error) => Err(unreadable(&error)),
        },
        None => Err(SourceError::Detached {
            path: path.to_owned(),
            at: head
                .target()
                .map(|id| id.to_string()[..10].to_owned())
                .unwrap_or_default(),
            branches: existing(repository),
        }),
    }
}

fn named(repository: &Repository, path: &Path, name: &str) -> Result<String, SourceError> {
    let name = short(name);
    let branch = format!("refs/heads/{name}");
    let is_unborn = || {
        let head = repository.find_reference("HEAD").ok();
        head.is_some_and(|head| head.symbolic_target_bytes() == Some(branch.as_bytes()))
    };
    if repository.refname_to_id(&branch).is_ok() {
        Ok(branch)
    } else if is_unborn() {
        Err(SourceError::Unborn {
            path: path.to_owned(),
            branch: name.to_owned(),
            branches: existing(repository),
        })
    } else if repository
        .find_reference(&format!("refs/tags/{}", name.trim_start_matches("refs/tags/")))
        .is_ok()
    {
        Err(SourceError::NotABranch {
            name: name.to_owned(),
            kind: "tag",
            branches: existing(repository),
        })
    } else if repository.revparse_single(name).is_ok() {
        Err(SourceError::NotABranch {
            name: name.to_owned(),
            kind: "commit",
            branches: existing(repository),
        })
    } else {
        Err(SourceError::NoBranch {
            path: path.to_owned(),
            name: name.to_owned(),
            branches: existing(repository),
        })
    }
}

fn short(branch: &str) -> &str {
    branch.strip_prefix("refs/heads/").unwrap_or(branch)
}

/// Lists at most ten branches, for an error's hint.
fn existing(repository: &Repository) -> Vec<String> {
    let Ok(branches) = repository.branches(Some(BranchType::Local)) else {
        return Vec::new();
    };
    branches
        .flatten()
        .filter_map(|(branch, _kind)| branch.name().ok().flatten().map(str::to_owned))
        .take(10)
        .collect()
}
