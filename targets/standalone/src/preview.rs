//! What a commit would do to the state in a data directory, without doing it. Takes no lock.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use planner::Timestamp;
use planner::names::EnvironmentName;
use reconciler::preview::{Preview, against};

use crate::data_dir::{DataDir, DataDirError};
use crate::objects::Objects;
use crate::run::locate;

/// Why nothing can be said about a commit.
#[derive(Debug, thiserror::Error)]
pub enum PreviewError {
    /// The commit, the objects or the registry cannot be read.
    #[error(transparent)]
    Preview(#[from] reconciler::preview::PreviewError),
    /// The data directory cannot be read.
    #[error(transparent)]
    DataDir(#[from] DataDirError),
    /// Nothing was ever applied in the data directory.
    #[error(
        "{} holds no applied state of environment {environment}: start it with aurora up, or compare two commits with --base and --head",
        path.display()
    )]
    NotApplied {
        /// The data directory.
        path: PathBuf,
        /// The environment.
        environment: EnvironmentName,
    },
}

/// Computes what the newest commit of a branch would do to the state in a data directory.
pub fn preview(
    repository: &Path,
    branch: Option<&str>,
    environment: &EnvironmentName,
    data_dir: &Path,
    now: Timestamp,
) -> Result<Preview, PreviewError> {
    let not_applied = || PreviewError::NotApplied {
        path: data_dir.to_owned(),
        environment: environment.clone(),
    };
    let opened = Arc::new(DataDir::peek(data_dir).map_err(|_missing| not_applied())?);
    let locate = locate(&opened);
    let objects = Objects::load(opened, environment)?;
    objects.environment().ok_or_else(not_applied)?;
    Ok(against(repository, branch, environment, &objects, &locate, now)?)
}
