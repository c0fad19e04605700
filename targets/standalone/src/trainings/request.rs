//! What a trainer is asked.

use std::path::PathBuf;

use planner::names::Digest;
use planner::observed::TrainingObject;
use planner::runs::Due;
use planner::training::{DataSource, Holdout};
use registry::run::RunRequest;
use registry::{DatasetRoots, Store};

/// Returns the request of a run that is due, or why there can be none: its data lies where this process was not told
/// that it may be read.
pub(super) fn of(
    due: &Due,
    object: &TrainingObject,
    inputs: Digest,
    published_inputs: Option<Digest>,
    store: &Store,
    roots: &DatasetRoots,
) -> Result<RunRequest, String> {
    let training = object.spec.clone();
    let file = |source: &DataSource, sha256: Option<&Digest>| match source {
        DataSource::Builtin(_) | DataSource::Synthetic(_) => Ok(None),
        DataSource::Committed(_) => Ok(sha256.map(|sha256| store.dataset_path(sha256))),
        DataSource::Absolute(path) => roots.locate(path).map(Some).ok_or_else(|| refusal(path)),
    };
    let dataset: Option<PathBuf> = file(&training.dataset.source, training.dataset.sha256.as_ref())?;
    let holdout = match &training.evaluation.holdout {
        Holdout::Percent { .. } => None,
        Holdout::File { source, sha256 } => file(source, sha256.as_ref())?,
    };
    Ok(RunRequest {
        registry: store.root().to_owned(),
        model: due.model.clone(),
        version: due.version.clone(),
        job: due.job.clone(),
        revision: object.revision.clone(),
        inputs_hash: inputs,
        dataset_roots: roots.folders(),
        dataset,
        holdout,
        baseline: due.baseline.clone(),
        published_inputs,
        training,
    })
}

/// Says why no run of a job can start: its data lies where this process was not told that it may be read. An object may
/// be older than that.
pub(super) fn outside(object: &TrainingObject, roots: &DatasetRoots) -> Option<String> {
    let holdout = match &object.spec.evaluation.holdout {
        Holdout::Percent { .. } => None,
        Holdout::File { source, .. } => Some(source),
    };
    [Some(&object.spec.dataset.source), holdout]
        .into_iter()
        .flatten()
        .find_map(|source| match source {
            DataSource::Absolute(path) if roots.locate(path).is_none() => Some(refusal(path)),
            DataSource::Builtin(_)
            | DataSource::Synthetic(_)
            | DataSource::Committed(_)
            | DataSource::Absolute(_) => None,
        })
}

fn refusal(path: &str) -> String {
    format!(
        "{path} lies in no folder that data may be read from: start aurora with --dataset-root and the folder that holds it"
    )
}
