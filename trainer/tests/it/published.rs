//! What is published, and that it is the same each time.

use std::fmt::Write as _;

use expect_test::expect;
use planner::training::Algorithm;
use planner::training::Derivation;
use registry::artifact::{self, Engines};
use registry::metadata::{Labels, VersionMetadata};
use registry::run::{Ending, Progress};

use crate::world::{World, builtin, now, nowhere, published, run, settings, small_boosting, synthetic};

#[test]
fn each_dataset_that_ships_is_learnt() {
    let mut text = String::new();
    for (algorithm, source) in [
        (Algorithm::LinearRegression, builtin("wine-quality")),
        (Algorithm::GradientBoosting, builtin("wine-quality")),
        (Algorithm::LogisticRegression, builtin("wine-quality")),
        (Algorithm::LogisticRegression, builtin("iris")),
        (Algorithm::LogisticRegression, synthetic("blobs")),
        (Algorithm::LinearRegression, synthetic("linear")),
        (Algorithm::GradientBoosting, synthetic("friedman1")),
    ] {
        let world = World::new();
        let mut request = world.request(algorithm, source);
        if algorithm == Algorithm::GradientBoosting {
            request.training.hyperparameters = small_boosting();
        }
        let metrics = published(&request);
        let metadata = world.entry(&request).metadata;
        let dataset = metadata.dataset.unwrap();
        let metrics: Vec<String> = metrics
            .iter()
            .map(|(name, value)| format!("{name} {value:.3}"))
            .collect();
        writeln!(
            text,
            "{} on {}, {} of {} rows held out: {}",
            algorithm.as_str(),
            dataset.uri,
            metadata.metrics.unwrap().holdout_rows,
            dataset.rows,
            metrics.join(", ")
        )
        .unwrap();
    }
    expect![[r#"
        linear_regression on builtin:wine-quality, 312 of 1599 rows held out: mae 0.514, r2 0.280, rmse 0.663
        gradient_boosting on builtin:wine-quality, 312 of 1599 rows held out: mae 0.491, r2 0.346, rmse 0.631
        logistic_regression on builtin:wine-quality, 312 of 1599 rows held out: accuracy 0.567, log_loss 1.020
        logistic_regression on builtin:iris, 31 of 150 rows held out: accuracy 0.968, log_loss 0.154
        logistic_regression on synthetic:blobs, 117 of 600 rows held out: accuracy 0.906, log_loss 0.240
        linear_regression on synthetic:linear, 186 of 1000 rows held out: mae 0.085, r2 0.977, rmse 0.106
        gradient_boosting on synthetic:friedman1, 400 of 2000 rows held out: mae 1.248, r2 0.907, rmse 1.560
    "#]]
    .assert_eq(&text);
}

#[test]
fn the_same_inputs_give_the_same_bytes() {
    for (algorithm, source) in [
        (Algorithm::LinearRegression, builtin("wine-quality")),
        (Algorithm::GradientBoosting, builtin("wine-quality")),
        (Algorithm::LogisticRegression, builtin("iris")),
        (Algorithm::GradientBoosting, synthetic("friedman1")),
    ] {
        let digest = |seed: u64, subsample: f64| {
            let world = World::new();
            let mut request = world.request(algorithm, source.clone());
            request.training.seed = seed;
            if algorithm == Algorithm::GradientBoosting {
                request.training.hyperparameters = settings(&[
                    ("trees", 30.0),
                    ("subsample", subsample),
                    ("column_sample", subsample),
                ]);
            }
            published(&request);
            world.entry(&request).digest
        };
        assert_eq!(digest(1, 1.0), digest(1, 1.0));
        if algorithm == Algorithm::GradientBoosting {
            assert_eq!(digest(1, 0.5), digest(1, 0.5));
            assert_ne!(digest(1, 0.5), digest(2, 0.5));
        }
    }
}

#[test]
fn a_second_run_finds_its_version_and_leaves_it() {
    let world = World::new();
    let request = world.request(Algorithm::LogisticRegression, builtin("iris"));
    let first = run(&request);
    assert!(matches!(first, Ending::Published { .. }), "{first:?}");
    assert_eq!(run(&request), first);
}

#[test]
fn progress_is_told_in_order() {
    let world = World::new();
    let request = world.request(Algorithm::LogisticRegression, builtin("iris"));
    let mut steps: Vec<Progress> = Vec::new();
    trainer::run(&request, &nowhere, &mut |step| steps.push(step), &now);
    assert!(steps.is_sorted_by_key(|step| step.percent));
    let text: Vec<String> = steps
        .iter()
        .map(|step| format!("{} {}", step.percent, step.stage))
        .collect();
    expect!["0 read, 20 fit, 80 evaluate, 90 publish, 100 publish"].assert_eq(&text.join(", "));
}

#[test]
fn metadata_tells_the_whole_story() {
    let world = World::new();
    let mut request = world.request(Algorithm::LogisticRegression, builtin("iris"));
    request.training.hyperparameters = settings(&[("l2", 2.0)]);
    published(&request);
    let mut metadata = serde_json::to_value(world.entry(&request).metadata).unwrap();
    // What depends on the machine's arithmetic, and what is long.
    for pointer in [
        "/artifact/digest",
        "/lineage/trainer",
        "/reference/features",
        "/reference/prediction",
    ] {
        *metadata.pointer_mut(pointer).unwrap() = "…".into();
    }
    round(&mut metadata);
    expect![[r#"
        {
          "accuracy": 0.968,
          "algorithm": "logistic_regression",
          "artifact": {
            "bytes": 1198,
            "digest": "…",
            "file": "model.onnx"
          },
          "baseline": null,
          "dataset": {
            "digest": "sha256:baab197214941e4332162f1a75ba0bb7b3ac2164a3ddab19edf6cdc8920ee3fc",
            "rows": 150,
            "uri": "builtin:iris"
          },
          "example": {
            "inputs": [
              6.7,
              3.1,
              5.6,
              2.4
            ],
            "prediction": [
              0.0,
              0.047,
              0.953
            ],
            "row": {
              "petal length": 5.6,
              "petal width": 2.4,
              "sepal length": 6.7,
              "sepal width": 3.1
            }
          },
          "features": 4,
          "fit": {
            "gradient_norm": 0.0,
            "iterations": 7,
            "loss": [
              1.097,
              0.492,
              0.369,
              0.305,
              0.295,
              0.295,
              0.295,
              0.295
            ]
          },
          "framework": "aurora",
          "hyperparameters": {
            "iterations": 500.0,
            "l2": 2.0
          },
          "inputs_hash": "sha256:32381523e63197c929b67f793a8098bed0ae3a6fa902634fdbcc6fa4567f3346",
          "lineage": {
            "job": "job",
            "revision": "0123456789012345678901234567890123456789",
            "trainer": "…"
          },
          "metrics": {
            "holdout_digest": "sha256:dbc05185a319e2e518bb8132989148ed2beec8f7e1304d217cb37e1fea9afc45",
            "holdout_rows": 31,
            "values": {
              "accuracy": 0.968,
              "log_loss": 0.204
            }
          },
          "model_name": "m",
          "reference": {
            "features": "…",
            "prediction": "…"
          },
          "seed": 42,
          "signature": {
            "features": [
              {
                "derivation": {
                  "column": "sepal length"
                },
                "name": "sepal length"
              },
              {
                "derivation": {
                  "column": "sepal width"
                },
                "name": "sepal width"
              },
              {
                "derivation": {
                  "column": "petal length"
                },
                "name": "petal length"
              },
              {
                "derivation": {
                  "column": "petal width"
                },
                "name": "petal width"
              }
            ],
            "inputs": [
              {
                "datatype": "FP64",
                "name": "input",
                "shape": [
                  -1,
                  4
                ]
              }
            ],
            "labels": [
              "setosa",
              "versicolor",
              "virginica"
            ],
            "missing_values": false,
            "outputs": [
              {
                "datatype": "BYTES",
                "name": "label",
                "shape": [
                  -1
                ]
              },
              {
                "datatype": "FP64",
                "name": "probabilities",
                "shape": [
                  -1,
                  3
                ]
              }
            ],
            "target_column": "species",
            "target_divide_by": null,
            "target_unit": null
          },
          "trained_at": "2026-11-01T12:00:00Z",
          "version": "v20261101-120000"
        }"#]]
    .assert_eq(&serde_json::to_string_pretty(&metadata).unwrap());
}

/// Rounds every fraction to three places.
fn round(value: &mut serde_json::Value) {
    match value {
        serde_json::Value::Number(number) if number.is_f64() => {
            let rounded = (number.as_f64().unwrap() * 1e3).round() / 1e3;
            *value = rounded.into();
        }
        serde_json::Value::Array(items) => items.iter_mut().for_each(round),
        serde_json::Value::Object(fields) => fields.values_mut().for_each(round),
        _ => {}
    }
}

#[test]
fn a_version_loads_and_a_tampered_one_does_not() {
    let world = World::new();
    let request = world.request(Algorithm::GradientBoosting, synthetic("friedman1"));
    published(&request);
    let entry = world.entry(&request);
    let loaded = artifact::load(&world.store, &entry, &Engines::default()).unwrap();
    assert_eq!(loaded.width(), 10);

    let signed = world.store.read_artifact(&entry).unwrap();
    assert_eq!(
        artifact::inspect(&world.store, &entry, &Engines::default()).unwrap(),
        artifact::Pinned::ByDigest
    );
    let contradiction = |change: fn(&mut VersionMetadata)| {
        let mut metadata = entry.metadata.clone();
        change(&mut metadata);
        artifact::load_bytes(&signed, &metadata, &Engines::default())
            .unwrap_err()
            .to_string()
    };
    let contradictions = [
        contradiction(|metadata| {
            metadata.signature.features.pop();
        }),
        contradiction(|metadata| metadata.signature.features.swap(3, 4)),
        contradiction(|metadata| {
            let ratio = Derivation::Ratio(["x0".to_owned(), "x1".to_owned()]);
            metadata.signature.features[1].derivation = ratio;
        }),
        contradiction(|metadata| metadata.signature.labels = Labels::Numbers(vec![1, 2])),
        contradiction(|metadata| metadata.signature.outputs[0].name = "score".to_owned()),
        contradiction(|metadata| metadata.signature.target_column = Some("z".to_owned())),
        contradiction(|metadata| metadata.signature.target_divide_by = Some(2.0)),
        contradiction(|metadata| metadata.signature.target_unit = Some("EUR".to_owned())),
        contradiction(|metadata| metadata.signature.missing_values = true),
    ];
    let fields = contradictions.map(|text| {
        let text = text.strip_prefix("metadata.json has another signature.").unwrap();
        let (field, _) = text
            .split_once(" than the artifact, whose digest pins it: restore metadata.json")
            .unwrap();
        field.to_owned()
    });
    expect![
        "features features[3] features[1] labels outputs target_column target_divide_by target_unit missing_values"
    ]
    .assert_eq(&fields.join(" "));

    // An artifact of before it had a signature of its own.
    let bytes = unsigned(&signed);
    assert!(artifact::load_bytes(&bytes, &entry.metadata, &Engines::default()).is_ok());
    let refusal = |change: fn(&mut VersionMetadata)| {
        let mut metadata = entry.metadata.clone();
        change(&mut metadata);
        artifact::load_bytes(&bytes, &metadata, &Engines::default())
            .unwrap_err()
            .to_string()
    };
    let refusals = [
        refusal(|metadata| {
            metadata.signature.features.pop();
        }),
        refusal(|metadata| {
            metadata.example.inputs.pop();
        }),
        refusal(|metadata| metadata.signature.labels = Labels::Numbers(vec![1, 2])),
        refusal(|metadata| metadata.signature.outputs[0].name = "score".to_owned()),
        refusal(|metadata| metadata.example.prediction = vec![1.5; 2]),
    ];
    expect![[r#"
        the artifact contradicts its metadata: it takes 10 values a row, and the signature names 9 features
        the artifact contradicts its metadata: it takes 10 values a row, and the example has 9
        the artifact contradicts its metadata: it predicts numbers, and the signature names labels
        the artifact contradicts its metadata: its tensors are not those of the signature
        the artifact predicts [22.00760169592745] for the recorded example, not [1.5, 1.5] (relative 1e-9); retrain the version on this kind of machine, or restore its files"#]].assert_eq(&refusals.join("\n"));
    assert!(refusal(|metadata| metadata.example.prediction[0] *= 1.0 + 1e-8).contains("relative 1e-9"));
    let mut near = entry.metadata.clone();
    near.example.prediction[0] *= 1.0 + 1e-10;
    assert!(artifact::load_bytes(&bytes, &near, &Engines::default()).is_ok());

    let path = entry.dir.join("model.onnx");
    let mut tampered = signed.clone();
    *tampered.last_mut().unwrap() ^= 1;
    std::fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o644)).unwrap();
    std::fs::write(&path, tampered).unwrap();
    assert!(matches!(
        artifact::load(&world.store, &entry, &Engines::default()),
        Err(artifact::LoadError::Store(_))
    ));
}

/// Takes the signature, which is the last field, from an artifact's own metadata.
fn unsigned(artifact: &[u8]) -> Vec<u8> {
    const FIELD: u8 = 14 << 3 | 2;
    let key = artifact::SIGNATURE_KEY.as_bytes();
    let at = artifact.windows(key.len()).position(|part| part == key).unwrap();
    let start = artifact[..at].iter().rposition(|byte| *byte == FIELD).unwrap();
    artifact[..start].to_vec()
}

#[test]
fn a_request_file_is_run_and_answered() {
    let world = World::new();
    let request = world.request(Algorithm::LogisticRegression, builtin("iris"));
    let folder = world.store.ensure_run(&request.model, &request.version).unwrap();
    let path = folder.request_path();
    let error = trainer::run_file(&path, &nowhere, &mut |_| {}, &now).unwrap_err();
    assert!(error.to_string().contains("asks for nothing"), "{error}");
    folder.begin(&request).unwrap();
    let mut stages = 0;
    let ending = trainer::run_file(&path, &nowhere, &mut |_| stages += 1, &now).unwrap();
    assert!(matches!(ending, Ending::Published { .. }));
    let result = folder.result().unwrap().unwrap();
    assert_eq!((result.ending, result.at), (ending, now()));
    assert_eq!(folder.progress().unwrap().unwrap().percent, 100);
    assert_eq!(stages, 5);
}
