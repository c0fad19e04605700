//! A store in a temporary folder, and requests to train into it.

use std::collections::BTreeMap;
use std::path::PathBuf;

use planner::Timestamp;
use planner::finding::Disposition;
use planner::names::{Digest, Version};
use planner::training::{
    Address, Algorithm, DataSource, Dataset, Derivation, Evaluation, Feature, Fit, Holdout, Metric, Rows,
    RunPolicy, Target, Training,
};
use registry::run::{Ending, RunRequest};
use registry::{Entry, Owner, Reference, Store};
use trainer::{Unmet, Wanted};

/// Says something past the test harness, which would keep it to itself.
pub(crate) fn say(line: &str) {
    let line = format!("{line}\n");
    std::io::Write::write_all(&mut std::io::stderr(), line.as_bytes()).unwrap();
}

pub(crate) struct World {
    pub(crate) dir: tempfile::TempDir,
    pub(crate) store: Store,
}

impl World {
    pub(crate) fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let owner = Owner {
            environment: "dev".parse().unwrap(),
            installation: "test".to_owned(),
        };
        let store = Store::init(&dir.path().join("registry"), &owner, now()).unwrap();
        Self { dir, store }
    }

    /// Asks for `algorithm` on `source`, seed 42, a fifth of the rows held out.
    pub(crate) fn request(&self, algorithm: Algorithm, source: DataSource) -> RunRequest {
        let version: Version = "v20261101-120000".parse().unwrap();
        let model = "m".parse().unwrap();
        // Whoever names a file outside the repository here may read it.
        let roots = match &source {
            DataSource::Absolute(path) => vec![PathBuf::from(path).parent().unwrap().to_owned()],
            _ => Vec::new(),
        };
        RunRequest {
            registry: self.store.root().to_owned(),
            model: "m".parse().unwrap(),
            version: version.clone(),
            job: "job".parse().unwrap(),
            revision: "0123456789012345678901234567890123456789".parse().unwrap(),
            training: Training {
                model,
                runs: RunPolicy::Fixed(version),
                rows: Some(Rows {
                    dataset: Dataset {
                        source,
                        sha256: None,
                        features: Vec::new(),
                        exclude: Vec::new(),
                        target: None,
                    },
                    evaluation: Evaluation {
                        metric: if algorithm.is_classifier() {
                            Metric::Accuracy
                        } else {
                            Metric::R2
                        },
                        bound: None,
                        holdout: Holdout::Percent { percent: 20, seed: 0 },
                    },
                }),
                fit: Fit::Algorithm(algorithm),
                engine: planner::engine::Engine::Aurora,
                hyperparameters: BTreeMap::new(),
                seed: 42,
                active_deadline_seconds: 60,
                suspend: false,
                pod: None,
            },
            inputs_hash: Digest::of(b"inputs"),
            dataset_roots: roots,
            dataset: None,
            holdout: None,
            baseline: None,
            published_inputs: None,
            trust: None,
        }
    }

    /// Writes a data file.
    pub(crate) fn write(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.dir.path().join(name);
        std::fs::write(&path, content).unwrap();
        path
    }

    /// Asks for a linear model of column `y` of a CSV file.
    pub(crate) fn csv(&self, content: impl AsRef<[u8]>) -> RunRequest {
        let source = DataSource::Committed("data.csv".to_owned());
        let mut request = self.request(Algorithm::LinearRegression, source);
        request.dataset = Some(self.write("data.csv", content));
        declared(&mut request).dataset.target = Some(target("y"));
        request
    }

    pub(crate) fn entry(&self, request: &RunRequest) -> Entry {
        let reference = Reference::Version(request.version.clone());
        self.store.resolve(&request.model, &reference).unwrap()
    }
}

pub(crate) fn builtin(name: &str) -> DataSource {
    DataSource::Builtin(name.to_owned())
}

pub(crate) fn synthetic(name: &str) -> DataSource {
    DataSource::Synthetic(name.to_owned())
}

/// Returns the rows that a run declares, to change them.
pub(crate) fn declared(request: &mut RunRequest) -> &mut Rows {
    request.training.rows.as_mut().expect("it has rows")
}

pub(crate) fn target(column: &str) -> Target {
    Target {
        column: column.to_owned(),
        divide_by: None,
        unit: None,
    }
}

pub(crate) fn column(name: &str, column: &str) -> Feature {
    Feature {
        name: name.to_owned(),
        derivation: Derivation::Column(column.to_owned()),
    }
}

pub(crate) fn ratio(name: &str, above: &str, below: &str) -> Feature {
    Feature {
        name: name.to_owned(),
        derivation: Derivation::Ratio([above.to_owned(), below.to_owned()]),
    }
}

pub(crate) fn settings(pairs: &[(&str, f64)]) -> BTreeMap<String, f64> {
    pairs
        .iter()
        .map(|(name, value)| ((*name).to_owned(), *value))
        .collect()
}

/// Wine quality's canary: 100 trees of 8 leaves.
pub(crate) fn small_boosting() -> BTreeMap<String, f64> {
    settings(&[("max_leaves", 8.0), ("learning_rate", 0.05)])
}

pub(crate) fn now() -> Timestamp {
    "2026-11-01T12:00:00Z".parse().unwrap()
}

/// Brings nothing from elsewhere.
pub(crate) fn nowhere(address: &Address, _wanted: Wanted<'_>) -> Result<Vec<u8>, Unmet> {
    Err(Unmet {
        disposition: Disposition::Transient,
        message: format!("{address} cannot be reached"),
    })
}

pub(crate) fn run(request: &RunRequest) -> Ending {
    trainer::run(request, &nowhere, &mut |_| {}, &now)
}

/// Runs, expecting a published version; returns its metrics.
pub(crate) fn published(request: &RunRequest) -> BTreeMap<String, f64> {
    match run(request) {
        Ending::Published { metrics, .. } => metrics,
        other => panic!("{other:?}"),
    }
}

/// Runs, expecting a refusal; returns its words.
pub(crate) fn refused(request: &RunRequest) -> String {
    match run(request) {
        Ending::Refused { message } => message,
        other => panic!("{other:?}"),
    }
}
