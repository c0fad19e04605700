//! What a run is trained from, where a manifest leaves it open: the bytes that lie at a path when the run begins.
//!
//! They are read at each run, but for those of a file that was read before and that nobody touched since.

use planner::identity::inputs_hash;
use planner::names::Digest;
use planner::training::{DataSource, Holdout, Rows};
use registry::Store;
use registry::run::{RunRequest, Sighting};

use crate::dataset::Table;

/// Returns the hash of what a run is trained from, once its data is read.
pub(crate) fn of_tables(request: &RunRequest, table: &Table, holdout: Option<&Table>) -> Digest {
    if !request.training.has_open_data() {
        return request.inputs_hash;
    }
    of(request, table.digest, holdout.map(|holdout| holdout.digest))
}

/// Returns the same before anything is read, where all that is left open is known from earlier runs.
pub(crate) fn known(store: &Store, request: &RunRequest) -> Option<Digest> {
    let training = &request.training;
    if !training.has_open_data() {
        return Some(request.inputs_hash);
    }
    let known = |source: &DataSource, path: Option<&std::path::PathBuf>, declared: Option<Digest>| match (
        source, declared,
    ) {
        (DataSource::Absolute(_), None) => {
            let (_, sighting) = Sighting::open(&request.dataset_roots, path?).ok()?;
            store.known_data(&request.model, &sighting)
        }
        (_, declared) => declared,
    };
    let Rows { dataset, evaluation } = training.rows.as_ref()?;
    let digest = known(&dataset.source, request.dataset.as_ref(), dataset.sha256)?;
    let holdout = match &evaluation.holdout {
        Holdout::Percent { .. } => None,
        Holdout::File { source, sha256 } => Some(known(source, request.holdout.as_ref(), *sha256)?),
    };
    Some(of(request, digest, holdout))
}

/// Keeps what was read, so that the next run may know it. Where that cannot be written, the next run reads.
pub(crate) fn remember(store: &Store, request: &RunRequest, tables: [Option<&Table>; 2]) {
    let read = tables
        .into_iter()
        .flatten()
        .filter_map(|table| Some((table.sighting.clone()?, table.digest)));
    let read: Vec<_> = read.collect();
    if let Err(error) = store.remember_data(&request.model, &read) {
        tracing::warn!(%error, "failed to keep what was read, which the next run reads again");
    }
}

/// A file outside the repository is what its bytes are.
fn of(request: &RunRequest, dataset: Digest, of_holdout: Option<Digest>) -> Digest {
    let mut training = request.training.clone();
    if let Some(rows) = &mut training.rows {
        if let DataSource::Absolute(_) = rows.dataset.source {
            rows.dataset.sha256 = Some(dataset);
        }
        if let Holdout::File {
            source: DataSource::Absolute(_),
            sha256,
        } = &mut rows.evaluation.holdout
        {
            *sha256 = of_holdout.or(*sha256);
        }
    }
    inputs_hash(&training)
}
