//! What every target does before its first pass: the first environment, and the registry that it may use.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use planner::environment::{Environment, Target};
use planner::finding::Finding;
use planner::names::{EnvironmentName, Revision};
use registry::{Owner, Store, StoreError};

use crate::pass::Admit;
use crate::resolve::Resolver;
use crate::source::{Source, SourceError};

/// Why there is nothing to begin with.
#[derive(Debug, thiserror::Error)]
pub enum FirstError {
    /// The repository, branch or folder is not there or cannot be read.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// The commit has no MLEnvironment that can be read.
    #[error("environment {environment} cannot start at {}:\n{}", revision.short(), lines(findings))]
    Environment {
        /// The environment.
        environment: EnvironmentName,
        /// The commit.
        revision: Revision,
        /// What is wrong.
        findings: Vec<Finding>,
    },
}

fn lines(findings: &[Finding]) -> String {
    let lines: Vec<String> = findings.iter().map(ToString::to_string).collect();
    lines.join("\n")
}

/// Returns the MLEnvironment of the newest commit, where nothing was applied before.
///
/// # Errors
///
/// It cannot be read, or has none that makes sense and is of this target.
pub fn first_environment(
    source: &mut Source,
    name: &EnvironmentName,
    target: Target,
) -> Result<Environment, FirstError> {
    let head = source.head()?;
    // An environment that has no folder is told with those that exist.
    source.folder(&head, name)?;
    let mut resolver = Resolver::without_history().for_target(target);
    resolver.resolve(source, &head, name, None)?;
    let resolution = resolver.into_resolution();
    match resolution.desired {
        Some(desired) => Ok(desired.environment),
        None => Err(FirstError::Environment {
            environment: name.clone(),
            revision: head,
            findings: resolution.findings,
        }),
    }
}

/// Says, until it once may be, whether a registry that was not there at the start may be used by now. Whoever asks, what an
/// owner does when it opens its store is done once, before the store is used.
pub fn admission(
    root: &Path,
    owner: &Owner,
    open: impl Fn(&Path, &Owner) -> Result<Store, StoreError> + Send + Sync + 'static,
) -> Admit {
    let (root, owner) = (root.to_owned(), owner.clone());
    let is_admitted = Mutex::new(false);
    Arc::new(move || {
        let mut is_admitted = is_admitted.lock().unwrap_or_else(PoisonError::into_inner);
        if !*is_admitted {
            open(&root, &owner)?;
            *is_admitted = true;
        }
        Ok(())
    })
}
