//! Versions to publish, without training.

use std::collections::BTreeMap;

use planner::names::{Digest, ModelName, ObjectName, Revision, Version};
use registry::Draft;
use registry::metadata::{
    Artifact, DatasetRecord, Distribution, Example, Labels, Lineage, Measured, Reference as Sketch, Roles,
    Signature, VersionMetadata,
};

/// A version whose bytes tell model and version; `made` by which job, at which commit, from which inputs.
pub(crate) fn draft(
    model: &ModelName,
    version: &Version,
    made: Option<(&ObjectName, &Revision, Digest)>,
) -> Draft {
    let bytes = format!("{model} {version}").into_bytes();
    let distribution = Distribution {
        name: "prediction".to_owned(),
        n: 1,
        mean: 0.0,
        std: 0.0,
        edges: Vec::new(),
        counts: vec![1],
    };
    Draft {
        metadata: VersionMetadata {
            model_name: model.clone(),
            version: version.clone(),
            framework: "linfa".to_owned(),
            algorithm: "linear_regression".to_owned(),
            trained_at: "2026-12-01T00:00:00Z".parse().unwrap(),
            features: 1,
            metric: BTreeMap::from([("r2_score".to_owned(), 0.5)]),
            artifact: Artifact {
                file: "model.onnx".to_owned(),
                digest: Digest::of(&bytes),
                bytes: bytes.len() as u64,
            },
            engine: planner::engine::Engine::Aurora,
            inputs_hash: made.map(|(_, _, inputs)| inputs),
            signature: Signature {
                inputs: Vec::new(),
                outputs: Vec::new(),
                features: Vec::new(),
                labels: Labels::Numbers(Vec::new()),
                target_column: None,
                target_divide_by: None,
                target_unit: None,
                missing_values: false,
                roles: Roles::default(),
            },
            metrics: Some(Measured {
                values: BTreeMap::from([("r2".to_owned(), 0.5)]),
                holdout_digest: Digest::of(b"holdout"),
                holdout_rows: 1,
            }),
            baseline: None,
            dataset: Some(DatasetRecord {
                uri: "builtin:iris".to_owned(),
                digest: Digest::of(b"data"),
                rows: 1,
            }),
            hyperparameters: BTreeMap::new(),
            fit: registry::metadata::Fit::default(),
            seed: Some(0),
            lineage: Lineage {
                revision: made.map(|(_, revision, _)| revision.clone()),
                job: made.map(|(job, _, _)| job.clone()),
                trainer: "test".to_owned(),
                imported: None,
                source: None,
                holdout: None,
            },
            reference: Some(Sketch {
                features: Vec::new(),
                prediction: distribution,
            }),
            example: Example {
                row: BTreeMap::new(),
                inputs: Vec::new(),
                prediction: Vec::new(),
            },
        },
        artifact: bytes,
    }
}
