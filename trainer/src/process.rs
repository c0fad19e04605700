//! The trainer as a process of its own: a request file in, progress and result files out.
//!
//! It may be killed at any point: a version appears whole or not at all, and a result is written last.

use std::path::Path;

use planner::Timestamp;
use registry::StoreError;
use registry::artifact::Engines;
use registry::run::{Ending, Progress, RunFolder, RunRequest, RunResult};

use crate::Means;

/// Says why a run's own files could not be used. What went wrong with the run itself is its [`Ending`].
#[derive(Debug, thiserror::Error)]
pub enum ProcessError {
    /// The folder's files cannot be read or written.
    #[error("failed to use the run's files: {0}")]
    Files(#[from] StoreError),
    /// There is no request.
    #[error("{} asks for nothing: the target writes it before it starts the trainer", .0.display())]
    NoRequest(std::path::PathBuf),
}

/// Runs what the file `request.json` in a run's folder asks for, and writes `progress.jsonl` and `result.json` beside it.
///
/// `means` are those of [`crate::run`]. `progress` is called for each stage too, for a terminal. Progress that cannot be written does not stop the run.
pub fn run_file(
    request_path: &Path,
    means: &dyn Means,
    progress: &mut dyn FnMut(&Progress),
    clock: &dyn Fn() -> Timestamp,
) -> Result<Ending, ProcessError> {
    recorded(request_path, progress, clock, |request, report| {
        crate::run(request, means, report, clock)
    })
}

/// As [`run_file`], for a model that somebody else's program left in the folder `made`.
pub fn publish_file(
    request_path: &Path,
    made: &Path,
    engines: &Engines,
    progress: &mut dyn FnMut(&Progress),
    clock: &dyn Fn() -> Timestamp,
) -> Result<Ending, ProcessError> {
    recorded(request_path, progress, clock, |request, report| {
        crate::publish(request, made, engines, report, clock)
    })
}

fn recorded(
    request_path: &Path,
    progress: &mut dyn FnMut(&Progress),
    clock: &dyn Fn() -> Timestamp,
    run: impl FnOnce(&RunRequest, &mut dyn FnMut(Progress)) -> Ending,
) -> Result<Ending, ProcessError> {
    let folder = RunFolder::of_request(request_path)?;
    let request = folder
        .request()?
        .ok_or_else(|| ProcessError::NoRequest(request_path.to_owned()))?;
    let mut report = |step: Progress| {
        if let Err(error) = folder.append_progress(&step) {
            tracing::warn!(%error, "failed to write progress");
        }
        progress(&step);
    };
    let ending = run(&request, &mut report);
    folder.write_result(&RunResult {
        at: clock(),
        ending: ending.clone(),
    })?;
    Ok(ending)
}
