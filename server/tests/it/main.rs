//! What loaded models cost, counted in allocations: in a process of its own, for the counts are those of the process.

use std::alloc::System;
use std::sync::Arc;

use planner::names::{Digest, ModelName, Track};
use planner::training::{Derivation, Feature};
use registry::artifact::{Graph, Limits, Model, encode};
use registry::metadata::{Labels, VersionMetadata};
use serde_json::json;
use server::{Artifact, Metrics, Page, Runtime};
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

const VERSION: &str = "v20260101-000000";
const FEATURES: [&str; 4] = ["sepal_length", "sepal_width", "petal_length", "petal_width"];
const MODELS: usize = 2_000;
const KEPT_BYTES_MAX: usize = 12 << 10;
/// A path of the tree, not the tree.
const REMOVED_BYTES_MAX: usize = 4 << 10;

/// A classifier as it is trained on iris: four features, three classes, sketches of ten bins each.
struct Iris {
    bytes: Vec<u8>,
    metadata: VersionMetadata,
}

impl Iris {
    fn new() -> Self {
        let words = ["setosa", "versicolor", "virginica"].map(str::to_owned);
        let graph = Graph::Logistic {
            weights: vec![0.5; 12],
            intercepts: vec![0.1, 0.2, 0.3],
            labels: Labels::Words(words.to_vec()),
        };
        let bytes = encode(&graph);
        let features = FEATURES.map(|name| Feature {
            name: name.to_owned(),
            derivation: Derivation::Column(name.to_owned()),
        });
        let digest = Digest::of(&bytes);
        let sketch = |name: &str| {
            json!({
                "name": name, "n": 120, "mean": 5.8, "std": 0.8,
                "edges": [4.8, 5.0, 5.2, 5.6, 5.8, 6.1, 6.3, 6.5, 6.9], "counts": vec![12; 10],
            })
        };
        let metadata = json!({
            "model_name": "iris", "version": VERSION, "framework": "linfa", "algorithm": "logistic_regression",
            "trained_at": "2026-01-01T00:00:00Z", "features": 4, "accuracy": 0.95,
            "artifact": { "file": "model.onnx", "digest": digest, "bytes": bytes.len() },
            "inputs_hash": digest,
            "signature": graph.signature(features.to_vec(), None),
            "metrics": { "values": { "accuracy": 0.95, "log_loss": 0.1 }, "holdout_digest": digest, "holdout_rows": 30 },
            "baseline": null,
            "dataset": { "uri": "builtin:iris", "digest": digest, "rows": 150 },
            "hyperparameters": { "alpha": 1.0, "max_iterations": 100.0, "tolerance": 0.0001 },
            "seed": 42,
            "lineage": { "revision": "1".repeat(40), "job": "iris", "trainer": "aurora 0.1.0 (x86_64: avx2 fma)" },
            "reference": { "features": FEATURES.map(sketch), "prediction": sketch("prediction") },
            "example": {
                "row": { "sepal_length": 5.1, "sepal_width": 3.5, "petal_length": 1.4, "petal_width": 0.2 },
                "inputs": [5.1, 3.5, 1.4, 0.2], "prediction": [0.97, 0.02, 0.01],
            },
        });
        let metadata = serde_json::from_value(metadata).expect("metadata");
        Self { bytes, metadata }
    }

    /// Returns it under a name of its own, sharing nothing with the others.
    fn named(&self, number: usize) -> Artifact {
        let mut metadata = self.metadata.clone();
        metadata.model_name = name(number);
        Artifact {
            model: name(number),
            track: Track::Stable,
            version: metadata.version.clone(),
            digest: metadata.artifact.digest,
            revision: "1".repeat(40).parse().expect("a revision"),
            loaded: Model::read(&self.bytes, &Limits::default()).expect("what we encode decodes"),
            metadata: Arc::new(metadata),
        }
    }
}

fn name(number: usize) -> ModelName {
    format!("iris-{number}").parse().expect("a name")
}

/// One test: another beside it would be counted too.
#[test]
fn ten_times_the_models_cost_ten_times_the_work_and_little_memory_each() {
    let iris = Iris::new();
    let metrics = Metrics::new();
    let runtime = Runtime::new(metrics.clone());
    let all = Region::new(ALLOCATOR);
    let load = |from: usize| {
        let artifacts: Vec<_> = (from..from + MODELS / 10)
            .map(|number| iris.named(number))
            .collect();
        let region = Region::new(ALLOCATOR);
        for artifact in artifacts {
            runtime.load(artifact);
        }
        region.change()
    };
    let tenths: Vec<_> = (0..10).map(|tenth| load(tenth * MODELS / 10)).collect();
    let kept = all.change();
    let (first, last) = (&tenths[1], &tenths[9]);
    assert!(
        last.allocations <= first.allocations * 3 / 2
            && last.bytes_allocated <= first.bytes_allocated * 3 / 2,
        "the second tenth: {first:?}\nthe last: {last:?}"
    );
    let kept = kept.bytes_allocated.saturating_sub(kept.bytes_deallocated) / MODELS;
    assert!(kept <= KEPT_BYTES_MAX, "{kept} bytes per model");
    // Four lines for each model that is loaded: that it is, what was started, and what failed in two ways; and two that
    // describe each of these families.
    assert_eq!(
        metrics.render(Page::Inference).lines().count(),
        4 * MODELS + 3 * 2
    );

    let region = Region::new(ALLOCATOR);
    runtime.remove(&name(MODELS - 1));
    let removed = region.change().bytes_allocated;
    assert!(removed <= REMOVED_BYTES_MAX, "{removed} bytes to remove one");
    for number in 0..MODELS - 1 {
        runtime.remove(&name(number));
    }
    assert!(
        metrics.render(Page::Inference).is_empty(),
        "what nobody asked leaves nothing behind"
    );
}
