//! What a trainer is asked.

use std::path::PathBuf;

use planner::names::Digest;
use planner::observed::TrainingObject;
use planner::runs::Due;
use planner::training::{DataSource, Holdout};
use registry::Store;
use registry::run::RunRequest;

/// Returns the request of a run that is due.
pub(super) fn of(due: &Due, object: &TrainingObject, inputs: Digest, store: &Store) -> RunRequest {
    let training = object.spec.clone();
    let file = |source: &DataSource, sha256: Option<&Digest>| match source {
        DataSource::Builtin(_) | DataSource::Synthetic(_) => None,
        DataSource::Committed(_) => sha256.map(|sha256| store.dataset_path(sha256)),
        DataSource::Absolute(path) => Some(PathBuf::from(path)),
    };
    RunRequest {
        registry: store.root().to_owned(),
        model: due.model.clone(),
        version: due.version.clone(),
        job: due.job.clone(),
        revision: object.revision.clone(),
        inputs_hash: inputs,
        dataset: file(&training.dataset.source, training.dataset.sha256.as_ref()),
        holdout: match &training.evaluation.holdout {
            Holdout::Percent { .. } => None,
            Holdout::File { source, sha256 } => file(source, sha256.as_ref()),
        },
        baseline: due.baseline.clone(),
        training,
    }
}
