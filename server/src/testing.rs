//! Small models for tests.

use std::sync::Arc;

use planner::names::{Digest, ModelName, Track, Version};
use planner::training::{Derivation, Feature};
use registry::artifact::{Graph, Limits, Model, encode};
use registry::metadata::{
    Artifact as ArtifactRecord, Cell, DatasetRecord, Distribution, Example, Labels, Lineage, Measured,
    Reference, VersionMetadata,
};

use crate::metrics::{Metrics, Page};
use crate::runtime::{Artifact, Runtime};

pub(crate) const V1: &str = "v20260101-000000";
pub(crate) const V2: &str = "v20260202-000000";

/// `a + 10 · (b / c)`: three raw columns, two features.
pub(crate) fn linear(intercept: f64) -> Graph {
    Graph::Linear {
        weights: vec![1.0, 10.0],
        intercept,
    }
}

/// Three classes over two inputs: the first is likely where `a` is large, the second where the ratio is.
pub(crate) fn logistic(labels: Labels) -> Graph {
    Graph::Logistic {
        weights: vec![1.0, 0.0, 0.0, 0.0, 1.0, 0.0],
        intercepts: vec![0.0, 0.0, 0.5],
        labels,
    }
}

pub(crate) fn version(text: &str) -> Version {
    text.parse().expect("a version")
}

pub(crate) fn model(text: &str) -> ModelName {
    text.parse().expect("a name")
}

/// The record and the bytes of a version.
pub(crate) fn draft(name: &str, number: &str, graph: &Graph) -> (VersionMetadata, Vec<u8>) {
    let bytes = encode(graph);
    let digest = Digest::of(&bytes);
    let column = |name: &str| name.to_owned();
    let features = vec![
        Feature {
            name: column("a"),
            derivation: Derivation::Column(column("a")),
        },
        Feature {
            name: column("b_per_c"),
            derivation: Derivation::Ratio([column("b"), column("c")]),
        },
    ];
    let inputs = [2.0, 0.5];
    let decoded = Model::read(&bytes, &Limits::default()).expect("what we encode decodes");
    let distribution = || Distribution {
        name: column("a"),
        n: 1,
        mean: 2.0,
        std: 0.0,
        edges: vec![],
        counts: vec![1],
    };
    let metadata = VersionMetadata {
        model_name: model(name),
        version: version(number),
        framework: "test".to_owned(),
        algorithm: "linear_regression".to_owned(),
        trained_at: version(number).time(),
        features: 2,
        metric: [("r2_score".to_owned(), 0.5)].into(),
        artifact: ArtifactRecord {
            file: "model.onnx".to_owned(),
            digest,
            bytes: bytes.len() as u64,
        },
        engine: planner::engine::Engine::Aurora,
        inputs_hash: None,
        signature: graph.signature(features, None),
        metrics: Some(Measured {
            values: [("r2".to_owned(), 0.5)].into(),
            holdout_digest: digest,
            holdout_rows: 1,
        }),
        baseline: None,
        dataset: Some(DatasetRecord {
            uri: "synthetic:test".to_owned(),
            digest,
            rows: 10,
        }),
        hyperparameters: [].into(),
        fit: registry::metadata::Fit::default(),
        seed: Some(1),
        lineage: Lineage {
            revision: None,
            job: None,
            trainer: "test".to_owned(),
            imported: None,
            source: None,
            holdout: None,
        },
        reference: Some(Reference {
            features: vec![distribution(), distribution()],
            prediction: distribution(),
        }),
        example: Example {
            row: [
                ("a".to_owned(), 2.0.into()),
                ("b".to_owned(), 1.0.into()),
                ("c".to_owned(), 2.0.into()),
            ]
            .into(),
            prediction: decoded
                .predict(&inputs)
                .expect("the engine answers")
                .numbers()
                .to_vec(),
            inputs: inputs.map(Into::into).to_vec(),
        },
    };
    (metadata, bytes)
}

/// What is loaded into a slot; the revision's digits tell the version.
pub(crate) fn artifact(name: &str, number: &str, track: Track, graph: &Graph) -> Artifact {
    let (metadata, bytes) = draft(name, number, graph);
    let digit = if number == V1 { "1" } else { "2" };
    Artifact {
        model: model(name),
        track,
        version: version(number),
        digest: metadata.artifact.digest,
        revision: digit.repeat(40).parse().expect("a revision"),
        loaded: Model::read(&bytes, &Limits::default())
            .and_then(|read| read.described(metadata.signature.clone()))
            .expect("what we encode loads"),
        metadata: Arc::new(metadata),
    }
}

/// A model that an exporter wrote, with an example of zeros and these texts.
pub(crate) fn theirs(name: &str, bytes: &[u8], texts: &[&str]) -> Artifact {
    let mut artifact = artifact(name, V1, Track::Stable, &linear(0.0));
    let read = Model::read(bytes, &Limits::default()).expect("what exporters write is read");
    let inputs = read.input_tensors().iter();
    let mut texts = texts.iter();
    let mut zero = |input: &engine::Tensor| match input.element {
        engine::Type::Text => Cell::Text(texts.next().copied().unwrap_or_default().to_owned()),
        _ => Cell::Number(0.0),
    };
    let cells: Vec<Cell> = inputs
        .flat_map(|input| vec![zero(input); input.width()])
        .collect();
    let features = read
        .signature()
        .features
        .iter()
        .map(|feature| feature.name.clone());
    let metadata = VersionMetadata {
        signature: read.signature().clone(),
        example: Example {
            row: features.zip(cells.iter().cloned()).collect(),
            prediction: read
                .predict_cells(&cells)
                .expect("they are its own")
                .numbers()
                .to_vec(),
            inputs: cells,
        },
        ..VersionMetadata::clone(&artifact.metadata)
    };
    artifact.metadata = Arc::new(metadata);
    artifact.loaded = read;
    artifact
}

/// `wine` on both tracks, the canary at weight 0: stable answers `a + 10 · b_per_c`, the canary 1000 more.
pub(crate) fn wine() -> Runtime {
    let runtime = Runtime::new(Metrics::new());
    runtime.load(artifact("wine", V1, Track::Stable, &linear(0.0)));
    runtime.load(artifact("wine", V2, Track::Canary, &linear(1000.0)));
    runtime.expected(std::time::Instant::now());
    runtime
}

/// Adds `iris` on stable: classes by word.
pub(crate) fn add_iris(runtime: &Runtime) {
    let words = ["setosa", "versicolor", "virginica"].map(str::to_owned).to_vec();
    runtime.load(artifact(
        "iris",
        V1,
        Track::Stable,
        &logistic(Labels::Words(words)),
    ));
}

/// Returns the count of one series as the `/metrics` of whichever listener shows it; 0 where neither does.
pub(crate) fn series(metrics: &Metrics, name_and_labels: &str) -> u64 {
    let pages = [Page::Inference, Page::ControlPlane].map(|page| metrics.render(page));
    pages
        .concat()
        .lines()
        .find_map(|line| {
            line.strip_prefix(name_and_labels)?
                .strip_prefix(' ')?
                .parse()
                .ok()
        })
        .unwrap_or(0)
}
