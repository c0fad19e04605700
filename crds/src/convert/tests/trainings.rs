//! Jobs of each kind, to be written and read back.

use planner::training::Command;

use super::*;
use std::collections::BTreeMap;

pub(super) fn all() -> Vec<Training> {
    let plain = Training {
        model: "wine".parse().unwrap(),
        runs: RunPolicy::Fixed("v20261101-120000".parse().unwrap()),
        rows: Some(Rows {
            dataset: Dataset {
                source: DataSource::Builtin("wine-quality".to_owned()),
                sha256: None,
                features: Vec::new(),
                exclude: Vec::new(),
                target: None,
            },
            evaluation: Evaluation {
                metric: Metric::R2,
                bound: Some(0.2),
                holdout: Holdout::Percent { percent: 20, seed: 0 },
            },
        }),
        fit: Fit::Algorithm(Algorithm::LinearRegression),
        engine: planner::engine::Engine::Aurora,
        hyperparameters: BTreeMap::new(),
        seed: 0,
        active_deadline_seconds: 1800,
        suspend: false,
        pod: None,
    };
    let text = ScheduleText {
        cron: "0 3 * * SUN".to_owned(),
        time_zone: "Europe/Paris".to_owned(),
    };
    let scheduled = Training {
        runs: RunPolicy::Scheduled {
            schedule: Schedule::try_from(text).unwrap(),
            starting_deadline_seconds: Some(3600),
            concurrency: Concurrency::Replace,
        },
        rows: Some(Rows {
            dataset: Dataset {
                source: DataSource::Absolute("/data/wine.csv".to_owned()),
                sha256: Some(Digest::of(b"wine")),
                features: vec![
                    Feature {
                        name: "a".to_owned(),
                        derivation: Derivation::Column("b".to_owned()),
                    },
                    Feature {
                        name: "r".to_owned(),
                        derivation: Derivation::Ratio(["c".to_owned(), "d".to_owned()]),
                    },
                ],
                exclude: Vec::new(),
                target: Some(TrainingTarget {
                    column: "quality".to_owned(),
                    divide_by: Some(100_000.0),
                    unit: Some("100,000 USD".to_owned()),
                }),
            },
            evaluation: Evaluation {
                metric: Metric::Rmse,
                bound: Some(0.7),
                holdout: Holdout::File {
                    source: DataSource::Committed("test.csv".to_owned()),
                    sha256: Some(Digest::of(b"test")),
                },
            },
        }),
        fit: Fit::Algorithm(Algorithm::GradientBoosting),
        hyperparameters: BTreeMap::from([("trees".to_owned(), 100.0), ("learning_rate".to_owned(), 0.05)]),
        seed: crate::wire::SEED_MAX,
        active_deadline_seconds: 60,
        suspend: true,
        pod: Some(Box::new(pod())),
        ..plain.clone()
    };
    let per_inputs = Training {
        runs: RunPolicy::PerInputs,
        rows: Some(Rows {
            dataset: Dataset {
                source: DataSource::Synthetic("blobs".to_owned()),
                exclude: vec!["x2".to_owned()],
                ..plain.rows.clone().unwrap().dataset
            },
            evaluation: Evaluation {
                metric: Metric::LogLoss,
                bound: None,
                holdout: Holdout::Percent { percent: 35, seed: 7 },
            },
        }),
        fit: Fit::Algorithm(Algorithm::LogisticRegression),
        ..plain.clone()
    };
    let container = Training {
        fit: Fit::Container(Box::new(Container {
            image: "example.org/train:1".to_owned(),
            command: vec!["python".to_owned(), "train.py".to_owned()],
            args: vec!["--fast".to_owned()],
        })),
        hyperparameters: BTreeMap::from([("depth".to_owned(), 3.0)]),
        ..plain.clone()
    };
    let command = Training {
        fit: Fit::Command(Box::new(Command {
            argv: vec!["python".to_owned(), "train.py".to_owned()],
            files: vec![
                "train.py".parse().unwrap(),
                format!("a.py@{}", Digest::of(b"a")).parse().unwrap(),
            ],
        })),
        ..container.clone()
    };
    let import = Training {
        fit: Fit::Import(Box::new(Import {
            source: ImportSource::Committed("models/forest.onnx".to_owned()),
            digest: Digest::of(b"forest"),
            files: BTreeMap::from([("forest.onnx_data".parse().unwrap(), Digest::of(b"data"))]),
            signature: Some(
                format!("models/forest.sig@{}", Digest::of(b"sig"))
                    .parse()
                    .unwrap(),
            ),
            told: Told::default(),
        })),
        ..plain.clone()
    };
    let foreign = Training {
        engine: planner::engine::Engine::OnnxRuntime,
        ..import.clone()
    };
    let mut elsewhere = import.clone();
    let address = "https://models.example.org/forest.onnx".parse().unwrap();
    elsewhere.fit = Fit::Import(Box::new(Import {
        source: ImportSource::Elsewhere(address),
        digest: Digest::of(b"forest"),
        files: BTreeMap::new(),
        signature: Some("https://models.example.org/forest.sig".parse().unwrap()),
        told: Told::default(),
    }));
    let unevaluated = Training {
        rows: None,
        fit: Fit::Import(Box::new(Import {
            source: ImportSource::Committed("models/forest.onnx".to_owned()),
            digest: Digest::of(b"forest"),
            files: BTreeMap::new(),
            signature: None,
            told: Told {
                features: vec!["age".to_owned(), "fare".to_owned()],
                labels: vec!["no".to_owned(), "yes".to_owned()],
                outputs: Outputs {
                    prediction: None,
                    label: Some("survived".to_owned()),
                    probabilities: Some("chance".to_owned()),
                },
            },
        })),
        ..plain.clone()
    };
    vec![
        plain,
        scheduled,
        per_inputs,
        container,
        command,
        import,
        foreign,
        elsewhere,
        unevaluated,
    ]
}
