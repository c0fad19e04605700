//! Jobs of training runs.

use std::path::PathBuf;

use expect_test::{expect, expect_file};
use planner::commits::Verify;
use planner::engine::Engine;
use planner::names::{ObjectName, Version};
use planner::training::{
    Algorithm, Container, DataSource, Dataset, Derivation, Evaluation, Feature, Fit, Holdout, Import,
    ImportSource, Metric, RunPolicy, Told, Training,
};
use planner::trust::Trust;
use registry::run::RunRequest;

use super::super::training::{Run, job, name};
use super::{check, installation, json, map, owner, pin, pod, revision};
use planner::names::Digest;
use planner::object::Kind;

fn request() -> RunRequest {
    let version = pin(1).version;
    RunRequest {
        registry: PathBuf::from("/shared-models"),
        model: "wine-quality".parse().unwrap(),
        version: version.clone(),
        job: "wine".parse().unwrap(),
        revision: revision(),
        training: Training {
            model: "wine-quality".parse().unwrap(),
            runs: RunPolicy::Fixed(version),
            rows: Some(planner::training::Rows {
                dataset: Dataset {
                    source: DataSource::Builtin("wine-quality".to_owned()),
                    sha256: None,
                    features: Vec::new(),
                    exclude: Vec::new(),
                    target: None,
                },
                evaluation: Evaluation {
                    metric: Metric::R2,
                    bound: Some(0.3),
                    holdout: Holdout::Percent { percent: 20, seed: 0 },
                },
            }),
            fit: Fit::Algorithm(Algorithm::GradientBoosting),
            engine: Engine::Aurora,
            hyperparameters: std::collections::BTreeMap::from([("trees".to_owned(), 100.0)]),
            seed: 42,
            active_deadline_seconds: 1800,
            suspend: false,
            pod: None,
        },
        inputs_hash: Digest::of(b"inputs"),
        dataset_roots: Vec::new(),
        dataset: None,
        holdout: None,
        baseline: None,
        published_inputs: None,
        trust: None,
    }
}

fn built(request: &RunRequest) -> serde_json::Value {
    let run = Run {
        installation: &installation(),
        owner: &owner(Kind::Training),
        request,
        attempt: 1,
    };
    json(&job(&run).unwrap())
}

#[test]
fn a_run_is_a_job() {
    check(
        &[built(&request())],
        &expect_file!["../../../tests/golden/training.yaml"],
    );
}

/// The queue's label is the Job's, which waits for whoever gives quota.
#[test]
fn a_job_with_settings_of_its_pod_data_and_a_queue() {
    let mut request = request();
    let mut pod = pod();
    pod.labels = map("kueue.x-k8s.io/queue-name", "team");
    request.training.pod = Some(Box::new(pod));
    request.training.rows.as_mut().unwrap().dataset.source =
        DataSource::Absolute("/data/wine/rows.csv".to_owned());
    request.dataset = Some(PathBuf::from("/data/wine/rows.csv"));
    request.dataset_roots = vec![PathBuf::from("/data/wine")];
    check(
        &[built(&request)],
        &expect_file!["../../../tests/golden/training-queued.yaml"],
    );
}

/// Whoever checks a model of ONNX Runtime has it.
#[test]
fn a_run_that_needs_onnx_runtime_has_its_image() {
    let mut request = request();
    request.training.engine = Engine::OnnxRuntime;
    let job = built(&request);
    let containers = &job["spec"]["template"]["spec"]["containers"];
    assert_eq!(containers[0]["image"], "example.org/aurora-onnxruntime:1");
}

/// A credential is where its own prefix is asked, and nowhere else.
#[test]
fn an_import_from_elsewhere_has_the_credential_of_its_own_prefix() {
    let mut request = request();
    request.training.hyperparameters.clear();
    request.training.seed = 0;
    request.training.fit = Fit::Import(Box::new(Import {
        source: ImportSource::Elsewhere("https://models.example.org/team/wine.onnx".parse().unwrap()),
        digest: Digest::of(b"wine"),
        files: std::collections::BTreeMap::new(),
        signature: Some("https://models.example.org/signed/wine.sig".parse().unwrap()),
        told: Told::default(),
    }));
    check(
        &[built(&request)],
        &expect_file!["../../../tests/golden/training-import-elsewhere.yaml"],
    );
}

/// Whose signature what it imports needs is told with the rest, so that no other Pod's file has a say in it. Other keys make another
/// Job: one that was made for those before is in the way.
#[test]
fn an_import_is_told_whose_signature_it_needs() {
    let mut request = request();
    request.training.hyperparameters.clear();
    request.training.seed = 0;
    request.training.fit = Fit::Import(Box::new(Import {
        source: ImportSource::Committed("models/wine.onnx".to_owned()),
        digest: Digest::of(b"wine"),
        files: std::collections::BTreeMap::new(),
        signature: Some(
            format!("models/wine.sig@{}", Digest::of(b"signature"))
                .parse()
                .unwrap(),
        ),
        told: Told::default(),
    }));
    let unsigned = built(&request);
    let trusting = |key: &str| Trust {
        verify: Verify::Require,
        keys: vec![key.to_owned()],
    };
    request.trust = Some(trusting("-----BEGIN PUBLIC KEY-----\n"));
    let signed = built(&request);
    request.trust = Some(trusting("another"));
    let spec = |job: &serde_json::Value| job["metadata"]["annotations"]["aurora.io/spec"].clone();
    assert_ne!(spec(&signed), spec(&built(&request)));
    assert_ne!(spec(&signed), spec(&unsigned));
    check(
        &[signed],
        &expect_file!["../../../tests/golden/training-import.yaml"],
    );
}

/// Neither the registry nor the holdout is to be seen from somebody else's container.
#[test]
fn a_run_of_a_container_is_three_steps() {
    let mut request = request();
    request.training.fit = Fit::Container(Box::new(Container {
        image: "example.org/train:1".to_owned(),
        command: vec!["python".to_owned(), "train.py".to_owned()],
        args: Vec::new(),
    }));
    let job = built(&request);
    let fit = &job["spec"]["template"]["spec"]["initContainers"][1];
    let mounts = fit["volumeMounts"].as_array().unwrap().iter();
    let mounts: Vec<_> = mounts.map(|mount| mount["mountPath"].as_str().unwrap()).collect();
    assert_eq!(mounts, ["/tmp", "/scratch"]);
    assert!(!fit.to_string().contains("AURORA_REQUEST"), "{fit}");
    check(
        &[job],
        &expect_file!["../../../tests/golden/training-container.yaml"],
    );
}

#[test]
fn names_of_jobs_fit_and_differ() {
    let longest: ObjectName = "a".repeat(40).parse().unwrap();
    let table: Vec<String> = [
        ("wine", "v20261101-120000", 1),
        (longest.as_str(), "v20261101-120000", 3),
        (longest.as_str(), "v20261101-120000", 100),
        (longest.as_str(), "v20261101-120000-999999999", 1),
        (longest.as_str(), "v20261101-120000-999999998", 1),
        ("a-b", "v20261101-120000-2", 1),
    ]
    .into_iter()
    .map(|(job, version, attempt)| {
        let version: Version = version.parse().unwrap();
        let name = name(&job.parse().unwrap(), &version, attempt);
        assert!(name.len() <= 63, "{name}");
        name
    })
    .collect();
    expect![[r#"
        wine-v20261101-120000-1
        aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa-v20261101-120000-3
        aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa-v20261101-120000-100
        aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa-v20261101-120-8ec2e1f0
        aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa-v20261101-120-374150a0
        a-b-v20261101-120000-2-1"#]]
    .assert_eq(&table.join("\n"));
}

#[test]
fn a_request_that_no_variable_holds_is_told() {
    let mut request = request();
    let feature = |n: usize| Feature {
        name: format!("{n:0>128}"),
        derivation: Derivation::Column(format!("{n:0>128}")),
    };
    request.training.rows.as_mut().unwrap().dataset.features = (0..1000).map(feature).collect();
    let run = Run {
        installation: &installation(),
        owner: &owner(Kind::Training),
        request: &request,
        attempt: 1,
    };
    let error = job(&run).unwrap_err().to_string();
    assert!(error.contains("list fewer features"), "{error}");
}
