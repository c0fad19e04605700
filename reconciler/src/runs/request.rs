//! What a trainer is asked.

use std::path::PathBuf;

use planner::names::Digest;
use planner::observed::TrainingObject;
use planner::runs::Due;
use planner::training::DataSource;
use registry::run::RunRequest;

/// Where a trainer finds things: not always where they are for whoever asks it.
pub trait Places {
    /// Returns the store's root.
    fn registry(&self) -> PathBuf;

    /// Returns where the store keeps a staged data file.
    fn staged(&self, sha256: &Digest) -> PathBuf;

    /// Returns where a data file outside the store lies; `None` where it may not be read.
    fn outside(&self, path: &str) -> Option<PathBuf>;

    /// Returns the folders below which such files lie.
    fn roots(&self) -> Vec<PathBuf>;

    /// Says what to do about a file that may not be read.
    fn advice(&self) -> &'static str;
}

/// Returns the request of a run that is due, or why there can be none: its data lies where nobody said that it may be
/// read.
pub fn request(
    due: &Due,
    object: &TrainingObject,
    inputs: Digest,
    published_inputs: Option<Digest>,
    places: &dyn Places,
) -> Result<RunRequest, String> {
    let training = object.spec.clone();
    let file = |source: &DataSource, sha256: Option<Digest>| match source {
        DataSource::Builtin(_) | DataSource::Synthetic(_) => Ok(None),
        DataSource::Committed(_) => Ok(sha256.map(|sha256| places.staged(&sha256))),
        DataSource::Absolute(path) => places
            .outside(path)
            .map(Some)
            .ok_or_else(|| refusal(path, places)),
    };
    let [dataset, holdout]: [Option<PathBuf>; 2] = match &training.rows {
        None => [None, None],
        Some(rows) => rows.files(file)?,
    };
    Ok(RunRequest {
        registry: places.registry(),
        model: due.model.clone(),
        version: due.version.clone(),
        job: due.job.clone(),
        revision: object.revision.clone(),
        inputs_hash: inputs,
        dataset_roots: places.roots(),
        dataset,
        holdout,
        baseline: due.baseline.clone(),
        published_inputs,
        trust: object.trust.clone(),
        training,
    })
}

/// Says why no run of a job can start: its data lies where nobody said that it may be read. An object may be older than
/// that.
pub fn outside(object: &TrainingObject, places: &dyn Places) -> Option<String> {
    let mut paths = object.spec.outside();
    let refused = paths.find(|path| places.outside(path).is_none());
    refused.map(|path| refusal(path, places))
}

fn refusal(path: &str, places: &dyn Places) -> String {
    format!(
        "{path} lies in no folder that data may be read from: {}",
        places.advice()
    )
}
