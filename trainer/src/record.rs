//! `metadata.json` of the version that a run publishes.

use std::collections::BTreeMap;

use planner::Timestamp;
use planner::names::Digest;
use planner::training::{Feature, Metric};
use registry::METADATA_BYTES_MAX;
use registry::artifact::Predictions;
use registry::metadata::{
    Artifact, Attestation, Baseline, Cell, DatasetRecord, Distribution, Example, Fit, Labels, Lineage,
    Measured, Reference, Signature, Source, VersionMetadata,
};
use registry::run::RunRequest;

use crate::algorithm::Settings;
use crate::baseline::by_name;
use crate::dataset::Table;
use crate::features::Layout;
use crate::holdout::Split;
use crate::reference;

/// What a run knows at its end.
#[derive(Debug)]
pub(crate) struct Findings<'a> {
    pub(crate) request: &'a RunRequest,
    /// The metric that the bound is of.
    pub(crate) decided_on: Metric,
    pub(crate) inputs_hash: Digest,
    pub(crate) layout: &'a Layout,
    /// What made the model: its framework, and its algorithm.
    pub(crate) framework: &'static str,
    pub(crate) algorithm: &'static str,
    pub(crate) settings: Settings,
    pub(crate) fit: Fit,
    pub(crate) table: &'a Table,
    /// How many rows there are, those of a holdout of its own included.
    pub(crate) rows: usize,
    pub(crate) split: &'a Split,
    pub(crate) metrics: &'a BTreeMap<Metric, f64>,
    pub(crate) baseline: Option<Baseline>,
    /// Of a model that was made elsewhere.
    pub(crate) attestation: Option<Attestation>,
    pub(crate) signer: Option<String>,
    /// Absent where rows hold more than numbers.
    pub(crate) reference: Option<Reference>,
    pub(crate) example: Example,
    /// As it stands in the artifact's own metadata.
    pub(crate) signature: Signature,
    pub(crate) artifact: &'a [u8],
}

/// What a record may need beside the features: metrics, settings, lineage, warnings.
const OTHER_BYTES: u64 = 64 << 10;

/// The record of a version of so many features would be larger than a store takes.
#[derive(Debug, thiserror::Error)]
#[error(
    "{features} features (and {labels} class labels) are more than the record of a version holds, which has at most \
     {METADATA_BYTES_MAX} bytes: list the ones that matter as `dataset.features`, leave others out by \
     `dataset.exclude`, or give them shorter names"
)]
pub(crate) struct TooWide {
    features: usize,
    labels: usize,
}

/// Returns in how many bins each feature's distribution is recorded: fewer where there are many features.
///
/// It is asked before the fit, so that nothing is fitted that cannot be published.
pub(crate) fn bins(layout: &Layout, labels: Option<&Labels>) -> Result<usize, TooWide> {
    let fits = |bins: &usize| record_bytes_max(layout, labels, *bins) + OTHER_BYTES <= METADATA_BYTES_MAX;
    [reference::BINS, 5, 2, 1]
        .into_iter()
        .find(fits)
        .ok_or_else(|| TooWide {
            features: layout.features.len(),
            labels: labels.map_or(0, Labels::len),
        })
}

/// Returns the most bytes that the parts of a record have which grow with features and labels.
fn record_bytes_max(layout: &Layout, labels: Option<&Labels>, bins: usize) -> u64 {
    // As many digits as a double can have.
    const LONGEST: f64 = -2.225_073_858_507_201_4e-308;
    let distribution = |feature: &Feature| Distribution {
        name: feature.name.clone(),
        n: u64::from(u32::MAX),
        mean: LONGEST,
        std: LONGEST,
        edges: vec![LONGEST; bins - 1],
        counts: vec![u64::from(u32::MAX); bins],
    };
    let features = &layout.features;
    let row: BTreeMap<&str, f64> = layout
        .raw_columns()
        .into_iter()
        .map(|column| (column, LONGEST))
        .collect();
    let record = serde_json::json!({
        "signature": { "features": features, "labels": labels },
        "reference": { "features": features.iter().map(distribution).collect::<Vec<_>>() },
        "example": {
            "row": row,
            "inputs": vec![LONGEST; features.len()],
            "prediction": vec![LONGEST; labels.map_or(1, Labels::len)],
        },
    });
    serde_json::to_vec_pretty(&record).map_or(u64::MAX, |bytes| bytes.len() as u64)
}

/// Writes down what a run found.
pub(crate) fn metadata(findings: Findings<'_>, now: Timestamp) -> VersionMetadata {
    let Findings {
        request,
        decided_on,
        inputs_hash,
        layout,
        framework,
        algorithm,
        settings,
        fit,
        table,
        rows,
        split,
        metrics,
        baseline,
        attestation,
        signer,
        reference,
        example,
        signature,
        artifact,
    } = findings;
    let training = &request.training;
    let metric = metrics
        .get(&decided_on)
        .map(|value| (metric_key(decided_on).to_owned(), *value));
    VersionMetadata {
        model_name: request.model.clone(),
        version: request.version.clone(),
        framework: framework.to_owned(),
        algorithm: algorithm.to_owned(),
        trained_at: now,
        features: layout.features.len(),
        metric: metric.into_iter().collect(),
        artifact: Artifact {
            file: "model.onnx".to_owned(),
            digest: Digest::of(artifact),
            bytes: artifact.len() as u64,
        },
        signature,
        engine: training.engine,
        inputs_hash: Some(inputs_hash),
        metrics: Some(Measured {
            values: by_name(metrics),
            holdout_digest: split.digest,
            holdout_rows: split.held_out.len(),
        }),
        baseline,
        dataset: Some(DatasetRecord {
            uri: table.uri.clone(),
            digest: table.digest,
            rows,
        }),
        hyperparameters: settings,
        fit,
        seed: training.fit.import().is_none().then_some(training.seed),
        lineage: Lineage {
            holdout: attestation,
            ..lineage(request, signer)
        },
        reference,
        example,
    }
}

/// Returns what a version that a run publishes comes from; `signer` is the key that signed what was imported.
pub(crate) fn lineage(request: &RunRequest, signer: Option<String>) -> Lineage {
    let imported = request.training.fit.import();
    Lineage {
        revision: Some(request.revision.clone()),
        job: Some(request.job.clone()),
        trainer: trainer(),
        imported: None,
        source: imported.map(|import| Source {
            uri: import.source.to_string(),
            digest: import.digest,
            files: import
                .files
                .iter()
                .map(|(name, digest)| (name.to_string(), *digest))
                .collect(),
            signer,
        }),
        holdout: None,
    }
}

/// The seed wrote R² as `r2_score`.
fn metric_key(metric: Metric) -> &'static str {
    match metric {
        Metric::R2 => "r2_score",
        Metric::Rmse | Metric::Mae | Metric::Accuracy | Metric::LogLoss => metric.as_str(),
    }
}

/// Makes the example: the held-out row with the smallest hash, and what the artifact says of it.
pub(crate) fn example(
    table: &Table,
    split: &Split,
    layout: &Layout,
    inputs: &[Cell],
    predictions: &Predictions,
) -> Example {
    let smallest = (0..split.held_out.len()).min_by_key(|at| &table.hashes[split.held_out[*at]]);
    let at = smallest.expect("invariant: a holdout is never empty");
    let row = split.held_out[at];
    let raw = layout.raw_columns().into_iter();
    let width = layout.features.len();
    let outputs = predictions.numbers();
    let k = outputs.len() / split.held_out.len();
    Example {
        row: raw
            .map(|column| {
                let cell = match table.texts.get(column) {
                    Some(texts) => Cell::Text(texts[row].to_string()),
                    None => table.columns[column][row].into(),
                };
                (column.to_owned(), cell)
            })
            .collect(),
        inputs: inputs[at * width..][..width].to_vec(),
        prediction: outputs[at * k..][..k].to_vec(),
    }
}

/// Names the trainer and the CPU features that decide how its arithmetic rounds.
pub(crate) fn trainer() -> String {
    let mut features = Vec::new();
    #[cfg(target_arch = "x86_64")]
    {
        if std::is_x86_feature_detected!("avx2") {
            features.push("avx2");
        }
        if std::is_x86_feature_detected!("fma") {
            features.push("fma");
        }
        if std::is_x86_feature_detected!("avx512f") {
            features.push("avx512f");
        }
    }
    let features = if features.is_empty() {
        "baseline".to_owned()
    } else {
        features.join(" ")
    };
    format!(
        "aurora {} ({}: {features})",
        env!("CARGO_PKG_VERSION"),
        std::env::consts::ARCH
    )
}
