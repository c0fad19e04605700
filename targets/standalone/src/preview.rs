//! What a commit would do to the state in a data directory, without doing it. Takes no lock.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use planner::Timestamp;
use planner::names::EnvironmentName;
use reconciler::ControlPlanes;
use reconciler::preview::{Known, Preview, against};
use reconciler::source::{Follow, Repository};
use registry::DatasetRoots;

use crate::data_dir::{DataDir, DataDirError};
use crate::objects::Objects;
use crate::run::{locate, registry_in_use};

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
///
/// Without `roots`, data outside the repository may lie where the process that last used the data directory was told.
pub fn preview(
    repository: &Repository,
    follow: Follow,
    environment: &EnvironmentName,
    data_dir: &Path,
    roots: Option<DatasetRoots>,
    planes: Option<Arc<dyn ControlPlanes>>,
    now: Timestamp,
) -> Result<Preview, PreviewError> {
    let not_applied = || PreviewError::NotApplied {
        path: data_dir.to_owned(),
        environment: environment.clone(),
    };
    let opened = match DataDir::peek(data_dir) {
        Ok(opened) => Arc::new(opened),
        Err(error) if error.is_not_found() => return Err(not_applied()),
        Err(error) => return Err(error.into()),
    };
    opened.watch_repository(&repository.path)?;
    let locate = locate(&opened);
    let objects = Objects::load(opened.clone(), environment)?;
    let last_good = objects.environment().ok_or_else(not_applied)?;
    let declared = last_good.registry_path.as_deref();
    let known = Known {
        registry: Some(registry_in_use(opened.path(), declared)),
        roots: roots.or_else(|| opened.dataset_roots()),
        digests: opened.data_digests(),
        history: opened.history(),
        seen: opened.seen(),
        planes,
    };
    Ok(against(
        repository,
        follow,
        environment,
        &objects,
        &locate,
        &known,
        now,
    )?)
}
