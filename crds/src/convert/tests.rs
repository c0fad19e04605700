//! What the reconciler writes reads back as what it was.

mod statuses;
mod trainings;

use std::collections::BTreeMap;

use expect_test::expect;
use planner::Timestamp;
use planner::commits::{CommitPolicy, Forge, KeyFiles, Squash, Verify};
use planner::deployment::{Autoscaling, Canary, Deployment, ResolvedPin};
use planner::endpoint::Endpoint;
use planner::environment::{Drift, Environment, RemovalLimits};
use planner::gates::{Gates, OnFault, PromotionOrder, Tolerance};
use planner::names::{Digest, EnvironmentName, ObjectName, Weight};
use planner::notify::{Form, Receiver, Topic};
use planner::observed::{Behind, DeploymentObject, Kept, TrainingObject};
use planner::per_track::PerTrack;
use planner::pod::{Pod, Resources, TaintEffect, Toleration, TolerationOperator};
use planner::rollout::{self, State, Transition};
use planner::route::{Gateway, Grpc, Provider, Route};
use planner::runs::Phase;
use planner::schedule::{Schedule, ScheduleText};
use planner::training::{
    Algorithm, Concurrency, Container, DataSource, Dataset, Derivation, Evaluation, Feature, Fit, Holdout,
    Import, ImportSource, Metric, Outputs, Rows, RunPolicy, Target as TrainingTarget, Told, Training,
};
use planner::trust::ModelPolicy;
use planner::window::{Window, WindowKind};

use super::*;
use crate::{MLTrainingJob, status};

fn name() -> ObjectName {
    "wine".parse().unwrap()
}

fn dev() -> EnvironmentName {
    "dev".parse().unwrap()
}

fn pin(hour: u32) -> ResolvedPin {
    ResolvedPin {
        version: format!("v20261101-{hour:02}0000").parse().unwrap(),
        digest: Digest::of(&hour.to_be_bytes()),
    }
}

fn time(second: i64) -> Timestamp {
    Timestamp::from_timestamp(1_800_000_000 + second, 0).unwrap()
}

fn deployment_of(canary: Option<u64>) -> DeploymentObject {
    DeploymentObject {
        spec: Deployment {
            model: "wine".parse().unwrap(),
            stable: pin(1),
            replicas: 5,
            canary: canary.map(|weight| Canary {
                pin: pin(2),
                weight: Weight::try_from(weight).unwrap(),
                replicas: 2,
            }),
            autoscaling: canary.map(|_| Autoscaling {
                min_replicas: 2,
                max_replicas: 9,
                target_cpu_percent: 70,
            }),
            pod: canary.map(|_| Box::new(pod())),
            route: canary.map(|_| Box::new(route())),
            engine: planner::engine::Engine::Aurora,
            suspend: canary.is_none().then(|| "freeze".to_owned()),
            rejected: canary.map(|_| pin(3).version).into_iter().collect(),
            allow_breaking: canary.map(|_| pin(2).version).into_iter().collect(),
        },
        revision: "a".repeat(40).parse().unwrap(),
        stable_revision: "b".repeat(40).parse().unwrap(),
        canary_revision: canary.map(|_| "c".repeat(40).parse().unwrap()),
        abort: canary.map(|_| Digest::of(b"aborted")),
        overridden: canary.map(|_| "stop the bleeding".to_owned()),
        kept: canary.map(|_| Kept {
            stable: pin(1),
            canary: None,
        }),
        trust: canary.map(|_| models().trust().unwrap()),
        behind: canary.map(|_| Behind::Stopped("VersionMissing: canary: v1".to_owned())),
    }
}

fn window() -> Window {
    let text = ScheduleText {
        cron: "0 18 * * FRI".to_owned(),
        time_zone: "Europe/Paris".to_owned(),
    };
    Window {
        kind: WindowKind::Deny,
        schedule: text.try_into().unwrap(),
        duration: "62h".parse().unwrap(),
        reason: Some("weekend".to_owned()),
    }
}

fn commits() -> CommitPolicy {
    let keys = |name: &str| KeyFiles {
        allowed_signers: Some(format!("{name}.signers")),
        keyring: Some(format!("/etc/{name}.gpg")),
    };
    CommitPolicy {
        verify: Verify::Require,
        signers: keys("people"),
        forge: Some(Forge {
            keys: keys("forge"),
            squash: Squash::Allow,
        }),
    }
}

fn models() -> ModelPolicy {
    ModelPolicy {
        verify: Verify::Warn,
        keys: Some("signers.pub".to_owned()),
        trusted: vec!["a key\n".to_owned(), "another\n".to_owned()],
    }
}

fn gates() -> Gates {
    Gates {
        signature: OnFault::Allow,
        metric: Some(Tolerance::try_from(0.5).unwrap()),
        max_weight_step: Weight::try_from(25).unwrap(),
        on_unknown: OnFault::Allow,
    }
}

fn pod() -> Pod {
    let map = |name: &str, value: &str| BTreeMap::from([(name.to_owned(), value.to_owned())]);
    Pod {
        resources: Resources {
            requests: map("cpu", "500m"),
            limits: map("memory", "1Gi"),
        },
        node_selector: map("disk", "ssd"),
        tolerations: vec![Toleration {
            key: Some("gpu".to_owned()),
            operator: TolerationOperator::Equal,
            value: Some("yes".to_owned()),
            effect: Some(TaintEffect::NoExecute),
            toleration_seconds: Some(60),
        }],
        image_pull_secrets: vec!["pull".to_owned()],
        labels: map("team", "wine"),
        env: map("LEVEL", "debug"),
    }
}

fn route() -> Route {
    Route {
        provider: Provider::GatewayApi,
        path: Some("/".to_owned()),
        host: Some("wine.example.org".to_owned()),
        gateway: Some(Gateway {
            name: "public".to_owned(),
            namespace: Some("gateways".to_owned()),
            section_name: Some("https".to_owned()),
        }),
        ingress_class_name: None,
        tls_secret: None,
        grpc: Some(Grpc {
            host: Some("grpc.example.org".to_owned()),
            gateway: Some(Gateway {
                name: "calls".to_owned(),
                namespace: None,
                section_name: None,
            }),
        }),
    }
}

/// Sends an object through the text that a data directory or an API server keeps.
fn through_json<T: serde::Serialize + serde::de::DeserializeOwned>(object: &T) -> T {
    serde_json::from_str(&serde_json::to_string(object).unwrap()).unwrap()
}

#[test]
fn objects_read_back_as_what_was_written() {
    for canary in [None, Some(0), Some(100)] {
        let object = deployment_of(canary);
        let written = deployment_object(&name(), &object, &dev());
        assert_eq!(read_deployment_object(&through_json(&written)).unwrap(), object);
        assert_eq!(object_name(&written.metadata).unwrap(), name());
    }
    for spec in trainings::all() {
        let object = TrainingObject {
            spec,
            revision: "a".repeat(64).parse().unwrap(),
            committed_at: time(0),
            baseline: Some(pin(3).version),
            trust: models().trust(),
            behind: None,
        };
        for behind in [
            None,
            Some(Behind::Stopped("VersionHasOtherInputs: of other rows".to_owned())),
            Some(Behind::Waits("its data is being staged".to_owned())),
        ] {
            let object = TrainingObject {
                behind,
                ..object.clone()
            };
            let written = training_object(&name(), &object, &dev());
            assert_eq!(read_training_object(&through_json(&written)).unwrap(), object);
        }
    }
    for registry_path in [None, Some("/shared-models".to_owned())] {
        let (target, drift) = match &registry_path {
            None => (planner::environment::Target::Standalone, Drift::Correct),
            Some(_) => (
                planner::environment::Target::Kubernetes {
                    namespace: "aurora-dev".to_owned(),
                },
                Drift::Warn,
            ),
        };
        let allow = registry_path.as_ref().map(|_| "d".repeat(40).parse().unwrap());
        let removal = RemovalLimits {
            max_count: 1,
            max_percent: 2,
            allow,
        };
        let environment = Environment {
            name: dev(),
            target,
            commits: registry_path.as_ref().map(|_| commits()).unwrap_or_default(),
            models: registry_path.as_ref().map(|_| models()).unwrap_or_default(),
            drift,
            suspend: registry_path.clone(),
            notify: registry_path.iter().flat_map(|_| receivers()).collect(),
            windows: registry_path.iter().map(|_| window()).collect(),
            gates: registry_path.as_ref().map(|_| gates()),
            promotion: registry_path.as_ref().map(|_| PromotionOrder {
                from: "staging".parse().unwrap(),
                soak: Some("24h".parse().unwrap()),
                status: Some(Endpoint {
                    url: "https://staging.example.org/status".parse().unwrap(),
                    key_file: Some("/keys/status".to_owned()),
                }),
            }),
            upstream: registry_path.as_ref().map(|_| Endpoint {
                url: "https://staging.example.org".parse().unwrap(),
                key_file: None,
            }),
            registry_path,
            removal,
        };
        let written = environment_object(&environment);
        assert_eq!(
            read_environment_object(&through_json(&written)).unwrap(),
            environment
        );
    }
}

fn receivers() -> [Receiver; 2] {
    [
        Receiver {
            form: Form::Webhook {
                url: "https://hooks.example.org/aurora".to_owned(),
            },
            secret_file: "pager".to_owned(),
            topics: vec![Topic::Abort],
        },
        Receiver {
            form: Form::Slack,
            secret_file: "slack".to_owned(),
            topics: vec![Topic::Finding, Topic::Applied],
        },
    ]
}

/// What an Aurora of before wrote says nothing of replicas.
#[test]
fn objects_of_before_read_as_what_is_declared_now() {
    let object = deployment_object(&name(), &deployment_of(Some(10)), &dev());
    let mut before = serde_json::to_value(&object).unwrap();
    for (track, more) in [("stable", "replicas"), ("canary", "replicas")] {
        before["spec"][track].as_object_mut().unwrap().remove(more);
    }
    for more in ["autoscaling", "pod", "route"] {
        before["spec"].as_object_mut().unwrap().remove(more);
    }
    let read = read_deployment_object(&serde_json::from_value(before).unwrap()).unwrap();
    assert!(read.spec.operation().is_default());
    let job = &trainings::all()[0];
    let text = serde_json::to_string(job).unwrap();
    assert!(text.contains(r#""algorithm":"linear_regression""#), "{text}");
    assert!(!text.contains("pod"), "{text}");
    assert_eq!(serde_json::from_str::<Training>(&text).unwrap(), *job);
}

#[test]
fn written_objects_keep_the_rules_of_the_schema() {
    let check = |object: serde_json::Value| {
        let mut manifest = object;
        manifest["metadata"] = serde_json::json!({ "name": manifest["metadata"]["name"] });
        let crate::parse::ParsedFile {
            documents: parsed,
            findings,
            ..
        } = crate::parse::parse_file("a.yaml", manifest.to_string().as_bytes());
        assert_eq!((parsed.len(), findings), (1, vec![]), "{manifest}");
    };
    for spec in trainings::all() {
        let object = TrainingObject {
            spec,
            revision: "a".repeat(40).parse().unwrap(),
            committed_at: time(0),
            baseline: None,
            trust: None,
            behind: None,
        };
        check(serde_json::to_value(training_object(&name(), &object, &dev())).unwrap());
    }
    check(serde_json::to_value(deployment_object(&name(), &deployment_of(Some(10)), &dev())).unwrap());
}

#[test]
fn object_file_is_a_custom_resource() {
    let object = deployment_object(&name(), &deployment_of(Some(10)), &dev());
    expect![[r#"
        {
          "apiVersion": "aurora.io/v1alpha1",
          "kind": "MLDeployment",
          "metadata": {
            "annotations": {
              "aurora.io/abort": "sha256:a2d1c681df8f5f5a9483a24551ac1e27b535043cf09a8fbf733f8aa195874988",
              "aurora.io/canary-revision": "cccccccccccccccccccccccccccccccccccccccc",
              "aurora.io/kept": "{\"stable\":{\"version\":\"v20261101-010000\",\"digest\":\"sha256:b40711a88c7039756fb8a73827eabe2c0fe5a0346ca7e0a104adc0fc764f528d\"}}",
              "aurora.io/overridden": "stop the bleeding",
              "aurora.io/revision": "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
              "aurora.io/stable-revision": "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb",
              "aurora.io/stopped": "VersionMissing: canary: v1",
              "aurora.io/trust": "{\"verify\":\"Warn\",\"keys\":[\"a key\\n\",\"another\\n\"]}"
            },
            "labels": {
              "aurora.io/environment": "dev"
            },
            "name": "wine"
          },
          "spec": {
            "modelName": "wine",
            "stable": {
              "version": "v20261101-010000",
              "digest": "sha256:b40711a88c7039756fb8a73827eabe2c0fe5a0346ca7e0a104adc0fc764f528d",
              "replicas": 5
            },
            "canary": {
              "version": "v20261101-020000",
              "digest": "sha256:433ebf5bc03dffa38536673207a21281612cef5faa9bc7a4d5b9be2fdb12cf1a",
              "weight": 10,
              "replicas": 2
            },
            "autoscaling": {
              "minReplicas": 2,
              "maxReplicas": 9,
              "targetCPUPercent": 70
            },
            "pod": {
              "resources": {
                "requests": {
                  "cpu": "500m"
                },
                "limits": {
                  "memory": "1Gi"
                }
              },
              "nodeSelector": {
                "disk": "ssd"
              },
              "tolerations": [
                {
                  "key": "gpu",
                  "operator": "Equal",
                  "value": "yes",
                  "effect": "NoExecute",
                  "tolerationSeconds": 60
                }
              ],
              "imagePullSecrets": [
                {
                  "name": "pull"
                }
              ],
              "labels": {
                "team": "wine"
              },
              "env": [
                {
                  "name": "LEVEL",
                  "value": "debug"
                }
              ]
            },
            "route": {
              "provider": "GatewayApi",
              "path": "/",
              "host": "wine.example.org",
              "gateway": {
                "name": "public",
                "namespace": "gateways",
                "sectionName": "https"
              },
              "grpc": {
                "host": "grpc.example.org",
                "gateway": {
                  "name": "calls"
                }
              }
            },
            "rejected": [
              "v20261101-030000"
            ],
            "allowBreaking": [
              "v20261101-020000"
            ]
          }
        }"#]]
    .assert_eq(&serde_json::to_string_pretty(&object).unwrap());
}

#[test]
fn object_of_somebody_else_is_told_apart() {
    let object = deployment_object(&name(), &deployment_of(Some(10)), &dev());
    let read = |change: fn(&mut MLDeployment)| {
        let mut object = object.clone();
        change(&mut object);
        read_deployment_object(&object).unwrap_err().to_string()
    };
    expect!["metadata.annotations[aurora.io/revision]: the annotation is missing"]
        .assert_eq(&read(|object| object.metadata.annotations = None));
    expect!["spec.stable.digest: a resolved pin has a digest, this one has none"]
        .assert_eq(&read(|object| object.spec.stable.digest = None));
    expect![[r#"metadata.annotations[aurora.io/abort]: "yes" is not a digest: sha256: and 64 lower-case hex digits"#]].assert_eq(&read(|object| {
        let annotations = object.metadata.annotations.as_mut().unwrap();
        annotations.insert("aurora.io/abort".to_owned(), "yes".to_owned());
    }));
    let mut job = MLTrainingJob::new("wine", super::training::training_spec(&trainings::all()[0]));
    expect!["metadata.annotations[aurora.io/revision]: the annotation is missing"]
        .assert_eq(&read_training_object(&job).unwrap_err()[0].to_string());
    job.spec.dataset.as_mut().unwrap().uri = "..".to_owned();
    expect!["spec.dataset.uri: a path has no empty, '.' or '..' part"]
        .assert_eq(&read_training_object(&job).unwrap_err()[0].to_string());
}

#[test]
fn paths_stay_in_the_manifests_folder() {
    let render = |uri: &str| match dataset::parse(uri, "uri") {
        Ok(source) => {
            assert_eq!(super::uri(&source), uri);
            format!("{source:?}")
        }
        Err(problem) => problem.message,
    };
    let uris = [
        "builtin:iris",
        "builtin:",
        "builtin:Iris",
        "synthetic:linear",
        "synthetic:",
        "synthetic:../x",
        "wine.csv",
        "data/wine.csv",
        "/data/wine.csv",
        "",
        "/",
        ".",
        "..",
        "../wine.csv",
        "data/../wine.csv",
        "data//wine.csv",
        "./wine.csv",
        "data/",
        "data\\wine.csv",
        "wine\0.csv",
        "wine\n.csv",
        "https://example.org/wine.csv",
        "s3:bucket",
        "données/vin.csv",
        ".git/config",
    ];
    let table: Vec<_> = uris
        .iter()
        .map(|uri| format!("{uri:?} -> {}", render(uri)))
        .collect();
    expect![[r#"
        "builtin:iris" -> Builtin("iris")
        "builtin:" -> there is no builtin dataset of this name
        "builtin:Iris" -> there is no builtin dataset of this name
        "synthetic:linear" -> Synthetic("linear")
        "synthetic:" -> there is no synthetic dataset of this name
        "synthetic:../x" -> there is no synthetic dataset of this name
        "wine.csv" -> Committed("wine.csv")
        "data/wine.csv" -> Committed("data/wine.csv")
        "/data/wine.csv" -> Absolute("/data/wine.csv")
        "" -> a path has no empty, '.' or '..' part
        "/" -> a path has no empty, '.' or '..' part
        "." -> a path has no empty, '.' or '..' part
        ".." -> a path has no empty, '.' or '..' part
        "../wine.csv" -> a path has no empty, '.' or '..' part
        "data/../wine.csv" -> a path has no empty, '.' or '..' part
        "data//wine.csv" -> a path has no empty, '.' or '..' part
        "./wine.csv" -> a path has no empty, '.' or '..' part
        "data/" -> a path has no empty, '.' or '..' part
        "data\\wine.csv" -> "data\\wine.csv" is not a path without backslash and control characters
        "wine\0.csv" -> "wine\0.csv" is not a path without backslash and control characters
        "wine\n.csv" -> "wine\n.csv" is not a path without backslash and control characters
        "https://example.org/wine.csv" -> data is not fetched from a URL
        "s3:bucket" -> what stands before ':' is no kind of dataset
        "données/vin.csv" -> Committed("données/vin.csv")
        ".git/config" -> Committed(".git/config")"#]]
    .assert_eq(&table.join("\n"));
}
