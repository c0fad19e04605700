//! The hashes that say whether two training jobs ask for the same (DESIGN §11.7).

use planner::names::Digest;
use planner::training::{DataSource, Holdout, Training};
use serde_json::{Value, json};

/// Returns the hash of what a run is made from: two jobs with one hash make the same model.
///
/// Covers model, data, features, target, algorithm, declared hyperparameters, seed and holdout; not the trainer's
/// version, default values, the bound, the deadline or `suspend`. A file counts by its content, not by its path.
pub fn inputs_hash(training: &Training) -> Digest {
    let Training {
        model,
        runs: _,
        dataset,
        algorithm,
        hyperparameters,
        seed,
        evaluation,
        active_deadline_seconds: _,
        suspend: _,
    } = training;
    let holdout = match &evaluation.holdout {
        Holdout::Percent { percent, seed } => json!({ "percent": percent, "seed": seed }),
        Holdout::File { source, sha256 } => json!({ "file": data(source, sha256.as_ref()) }),
    };
    hash(&json!({
        "modelName": model,
        "dataset": data(&dataset.source, dataset.sha256.as_ref()),
        "features": dataset.features,
        "target": dataset.target,
        "algorithm": algorithm,
        "hyperparameters": hyperparameters,
        "seed": seed,
        "holdout": holdout,
    }))
}

/// Returns the hash of the whole spec: "no retry until the spec changes" looks at this one.
pub fn spec_hash(training: &Training) -> Digest {
    hash(&serde_json::to_value(training).expect("invariant: a training spec is JSON"))
}

/// A file is its digest; until that is known, and for data without a file, where it comes from.
fn data(source: &DataSource, sha256: Option<&Digest>) -> Value {
    match sha256 {
        Some(digest) => json!({ "sha256": digest.hex() }),
        None => json!({ "uri": crate::convert::uri(source) }),
    }
}

fn hash(value: &Value) -> Digest {
    Digest::of(&crate::canonical::to_vec(value))
}
