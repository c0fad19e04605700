//! Each case as the YAML that a cluster gets: `tests/golden/`. An API server takes each of them too: `tests/it/golden.rs`.

mod trainings;

use std::collections::BTreeMap;

use expect_test::ExpectFile;
use planner::deployment::{Autoscaling, Canary, ResolvedDeployment, ResolvedPin};
use planner::engine::Engine;
use planner::names::{Digest, Revision, Track, Weight};
use planner::object::Kind;
use planner::pod::{Pod, Resources, TaintEffect, Toleration, TolerationOperator};
use planner::route::{Gateway, Grpc, Provider, Route};
use serde::Serialize;

use super::route::{Carrier, Split, carrier};
use super::serving::{Content, Model, deployment, service};
use super::*;

fn installation() -> Installation {
    Installation {
        environment: "staging".parse().unwrap(),
        namespace: "aurora-staging".to_owned(),
        image: "example.org/aurora:1".to_owned(),
        onnx_runtime_image: Some("example.org/aurora-onnxruntime:1".to_owned()),
        control_plane: "http://aurora-control-plane:8000".to_owned(),
        keys_secret: "aurora-keys".to_owned(),
        registry_claim: "aurora-model-pvc".to_owned(),
        dataset_claims: vec![
            DatasetClaim {
                folder: "/data/wine".to_owned(),
                claim: "wine".to_owned(),
            },
            DatasetClaim {
                folder: "/data/iris".to_owned(),
                claim: "iris".to_owned(),
            },
        ],
        import_sources: [
            ("https://models.example.org/team", Some("team")),
            ("https://models.example.org", None),
            ("s3://wine", Some("wine")),
        ]
        .map(|(prefix, secret)| ImportSource {
            prefix: prefix.parse().unwrap(),
            secret: secret.map(str::to_owned),
        })
        .to_vec(),
        import_ca: Some("authorities".to_owned()),
        gateway: Gateway {
            name: "aurora".to_owned(),
            namespace: Some("gateways".to_owned()),
            section_name: None,
        },
    }
}

fn owner(kind: Kind) -> Owner {
    Owner {
        kind,
        name: "wine".parse().unwrap(),
        uid: "00000000-0000-0000-0000-000000000001".to_owned(),
    }
}

fn pin(hour: u32) -> ResolvedPin {
    ResolvedPin {
        version: format!("v20261101-{hour:02}0000").parse().unwrap(),
        digest: Digest::of(&hour.to_be_bytes()),
    }
}

fn revision() -> Revision {
    "a".repeat(40).parse().unwrap()
}

fn spec() -> ResolvedDeployment {
    ResolvedDeployment {
        model: "wine-quality".parse().unwrap(),
        stable: pin(1),
        replicas: 3,
        canary: Some(Canary {
            pin: pin(2),
            weight: Weight::try_from(10).unwrap(),
            replicas: 1,
        }),
        autoscaling: None,
        pod: None,
        route: None,
        engine: Engine::Aurora,
        suspend: None,
        rejected: Vec::new(),
        allow_breaking: Vec::new(),
    }
}

fn map(name: &str, value: &str) -> BTreeMap<String, String> {
    BTreeMap::from([(name.to_owned(), value.to_owned())])
}

fn pod() -> Pod {
    Pod {
        resources: Resources {
            requests: map("cpu", "500m"),
            limits: map("memory", "1Gi"),
        },
        node_selector: map("kubernetes.io/arch", "amd64"),
        tolerations: vec![Toleration {
            key: Some("gpu".to_owned()),
            operator: TolerationOperator::Exists,
            value: None,
            effect: Some(TaintEffect::NoExecute),
            toleration_seconds: Some(60),
        }],
        image_pull_secrets: vec!["pull".to_owned()],
        labels: map("team", "wine"),
        env: map("RUST_LOG", "debug"),
    }
}

/// Compares what a cluster gets with a file.
fn check(children: &[serde_json::Value], expected: &ExpectFile) {
    let documents = children.iter().map(|child| serde_yaml::to_string(child).unwrap());
    expected.assert_eq(&documents.collect::<Vec<_>>().join("---\n"));
}

/// Renders a child; whatever it is, it says whose it is and what it was meant to be.
fn json<K: kube::Resource<DynamicType = ()> + Serialize>(child: &K) -> serde_json::Value {
    let metadata = child.meta();
    assert_eq!(metadata.owner_references.as_ref().unwrap().len(), 1);
    let told = &metadata.annotations.as_ref().unwrap()[INTENT];
    assert_eq!(*told, intent(child));
    serde_json::to_value(child).unwrap()
}

fn with<T>(spec: &ResolvedDeployment, then: impl FnOnce(&Model<'_>) -> T) -> T {
    then(&Model {
        installation: &installation(),
        owner: &owner(Kind::Deployment),
        spec,
    })
}

/// Builds a track of a model as its spec has it.
fn track(spec: &ResolvedDeployment, track: Track) -> serde_json::Value {
    let pin = match track {
        Track::Stable => &spec.stable,
        Track::Canary => &spec.canary.as_ref().unwrap().pin,
    };
    let replicas = match (track, spec.autoscaling) {
        (Track::Stable, Some(_)) => None,
        (Track::Stable, None) => Some(spec.replicas),
        (Track::Canary, _) => spec.canary.as_ref().map(|canary| canary.replicas),
    };
    let content = Content {
        pin,
        revision: &revision(),
        replicas,
    };
    with(spec, |model| json(&deployment(model, track, &content)))
}

#[test]
fn tracks() {
    let spec = spec();
    let services = Track::ALL.map(|track| with(&spec, |model| json(&service(model, track))));
    let [stable, canary] = Track::ALL.map(|of| track(&spec, of));
    check(
        &[stable, canary],
        &expect_test::expect_file!["../../tests/golden/tracks.yaml"],
    );
    check(
        &services,
        &expect_test::expect_file!["../../tests/golden/services.yaml"],
    );
}

/// What no other model needs is in no other model's pods.
#[test]
fn models_of_onnx_runtime_have_an_image_of_their_own() {
    let image = |model: &Model<'_>, of: Track| {
        let content = Content {
            pin: &pin(1),
            revision: &revision(),
            replicas: Some(1),
        };
        let deployment = json(&deployment(model, of, &content));
        deployment["spec"]["template"]["spec"]["containers"][0]["image"].clone()
    };
    let spec = ResolvedDeployment {
        engine: Engine::OnnxRuntime,
        ..spec()
    };
    let (own, usual) = ("example.org/aurora-onnxruntime:1", "example.org/aurora:1");
    assert_eq!(
        with(&spec, |model| Track::ALL.map(|of| image(model, of))),
        [own, own]
    );
    // Where there is none, the usual one says what it lacks.
    let installation = Installation {
        onnx_runtime_image: None,
        ..installation()
    };
    let model = Model {
        installation: &installation,
        owner: &owner(Kind::Deployment),
        spec: &spec,
    };
    assert_eq!(image(&model, Track::Stable), usual);
}

#[test]
fn settings_of_pods() {
    let spec = ResolvedDeployment {
        pod: Some(Box::new(pod())),
        ..spec()
    };
    check(
        &[track(&spec, Track::Stable)],
        &expect_test::expect_file!["../../tests/golden/pod.yaml"],
    );
}

/// A cluster takes `$(NAME)` for the value of another variable, and `$$` for `$`.
#[test]
fn a_variable_is_what_it_says() {
    let pod = Pod {
        env: map("PATTERN", "$(AURORA_OUTPUT)$"),
        ..Pod::default()
    };
    let spec = ResolvedDeployment {
        pod: Some(Box::new(pod)),
        ..spec()
    };
    let env = &track(&spec, Track::Stable)["spec"]["template"]["spec"]["containers"][0]["env"];
    assert_eq!(env[0]["value"], "$$(AURORA_OUTPUT)$$");
}

/// A promotion changes what the template says of the digest, and never the image.
#[test]
fn a_promotion_changes_no_image() {
    let before = track(&spec(), Track::Stable);
    let promoted = ResolvedDeployment {
        stable: pin(2),
        canary: None,
        ..spec()
    };
    let after = track(&promoted, Track::Stable);
    let mut differing = Vec::new();
    differ("", &before, &after, &mut differing);
    expect_test::expect![[r#"
        /metadata/annotations/aurora.io/intent
        /spec/template/metadata/annotations/aurora.io/digest
        /spec/template/metadata/annotations/aurora.io/version
        /spec/template/spec/containers/0/args/2
        /spec/template/spec/containers/0/args/3"#]]
    .assert_eq(&differing.join("\n"));
}

/// Names the leaves that differ.
fn differ(path: &str, before: &serde_json::Value, after: &serde_json::Value, differing: &mut Vec<String>) {
    use serde_json::Value;
    match (before, after) {
        (Value::Object(before), Value::Object(after)) => {
            for (key, before) in before {
                differ(&format!("{path}/{key}"), before, &after[key], differing);
            }
        }
        (Value::Array(before), Value::Array(after)) => {
            for (index, (before, after)) in before.iter().zip(after).enumerate() {
                differ(&format!("{path}/{index}"), before, after, differing);
            }
        }
        (before, after) if before != after => differing.push(path.to_owned()),
        _ => {}
    }
}

#[test]
fn autoscaled() {
    let spec = ResolvedDeployment {
        autoscaling: Some(Autoscaling {
            min_replicas: 3,
            max_replicas: 10,
            target_cpu_percent: 70,
        }),
        ..spec()
    };
    let stable = track(&spec, Track::Stable);
    assert_eq!(stable["spec"].get("replicas"), None, "the autoscaler's alone");
    let autoscaler = with(&spec, |model| json(&scaling::autoscaler(model).unwrap()));
    let budget = with(&spec, |model| {
        json(&scaling::budget(model, Track::Stable, 3).unwrap())
    });
    check(
        &[autoscaler, budget],
        &expect_test::expect_file!["../../tests/golden/scaling.yaml"],
    );
}

/// One replica could never be evicted, or go without one that answers.
#[test]
fn one_replica_has_no_budget() {
    let spec = spec();
    let has_budget = |replicas| {
        with(&spec, |model| {
            scaling::budget(model, Track::Canary, replicas).is_some()
        })
    };
    assert_eq!([0, 1, 2, 3].map(has_budget), [false, false, true, true]);
    assert!(with(&spec, |model| scaling::autoscaler(model).is_none()));
}

fn carried(route: Option<Route>, weight: u64, is_ready: bool) -> Vec<serde_json::Value> {
    let spec = ResolvedDeployment {
        route: route.map(Box::new),
        ..spec()
    };
    let (stable, canary) = (pin(1).version, pin(2).version);
    let split = Split {
        weight: Weight::try_from(weight).unwrap(),
        stable: &stable,
        canary: is_ready.then_some(&canary),
    };
    match with(&spec, |model| carrier(model, &split)) {
        Carrier::Gateway(route, calls) => {
            let metadata = &route.metadata;
            assert_eq!(metadata.annotations.as_ref().unwrap()[INTENT], intent(&*route));
            let calls = calls.map(|route| json(&*route));
            [json(&*route)].into_iter().chain(calls).collect()
        }
        Carrier::Ingress(stable, canary) => {
            let canary = canary.map(|canary| json(&*canary));
            [json(&*stable)].into_iter().chain(canary).collect()
        }
        Carrier::Router(router) => vec![
            json(&router.weights),
            json(&router.deployment),
            json(&router.service),
            json(&router.budget),
        ],
        Carrier::None => Vec::new(),
    }
}

#[test]
fn routes_of_the_gateway_api() {
    check(
        &carried(None, 10, true),
        &expect_test::expect_file!["../../tests/golden/route-gateway.yaml"],
    );
    check(
        &carried(None, 10, false),
        &expect_test::expect_file!["../../tests/golden/route-gateway-alone.yaml"],
    );
    let route = Route {
        path: Some("/".to_owned()),
        host: Some("wine.example.org".to_owned()),
        gateway: Some(Gateway {
            name: "public".to_owned(),
            namespace: None,
            section_name: Some("https".to_owned()),
        }),
        ..Route::default()
    };
    check(
        &carried(Some(route), 100, true),
        &expect_test::expect_file!["../../tests/golden/route-gateway-host.yaml"],
    );
}

fn grpc() -> Grpc {
    Grpc {
        host: Some("grpc.example.org".to_owned()),
        gateway: None,
    }
}

#[test]
fn calls_by_grpc_have_a_port_and_a_route_of_their_own() {
    let route = Route {
        host: Some("wine.example.org".to_owned()),
        grpc: Some(grpc()),
        ..Route::default()
    };
    let spec = ResolvedDeployment {
        route: Some(Box::new(route.clone())),
        ..spec()
    };
    let of_track = with(&spec, |model| json(&service(model, Track::Stable)));
    check(
        &[of_track, track(&spec, Track::Stable)],
        &expect_test::expect_file!["../../tests/golden/grpc-track.yaml"],
    );
    check(
        &carried(Some(route.clone()), 10, true)[1..],
        &expect_test::expect_file!["../../tests/golden/route-grpc.yaml"],
    );
    // Without a host, what names no model is nobody's; and a listener may be one for calls alone.
    let gateway = Gateway {
        name: "calls".to_owned(),
        namespace: Some("gateways".to_owned()),
        section_name: None,
    };
    let by_metadata = Route {
        grpc: Some(Grpc {
            host: None,
            gateway: Some(gateway),
        }),
        ..route
    };
    check(
        &carried(Some(by_metadata), 10, false)[1..],
        &expect_test::expect_file!["../../tests/golden/route-grpc-metadata.yaml"],
    );
    let router = Route {
        provider: Provider::Aurora,
        grpc: Some(Grpc::default()),
        ..Route::default()
    };
    check(
        &carried(Some(router), 10, true)[1..3],
        &expect_test::expect_file!["../../tests/golden/route-aurora-grpc.yaml"],
    );
}

/// Some gateways lose a route whose weights are all 0, others answer with an error what they send to nobody.
#[test]
fn weights_add_up_to_100_and_no_rule_has_none() {
    let both = Route {
        grpc: Some(grpc()),
        ..Route::default()
    };
    for is_ready in [false, true] {
        for weight in [0, 1, 50, 99, 100] {
            for route in carried(Some(both.clone()), weight, is_ready) {
                let rules = route["spec"]["rules"].as_array().unwrap();
                let weights = |rule: &serde_json::Value| -> Vec<i64> {
                    let backends = rule["backendRefs"].as_array().unwrap().iter();
                    backends
                        .map(|backend| backend["weight"].as_i64().unwrap())
                        .collect()
                };
                let (split, fixed) = rules.split_last().unwrap();
                let weight = i64::try_from(weight).unwrap();
                let expected = if is_ready {
                    vec![100 - weight, weight]
                } else {
                    vec![100]
                };
                assert_eq!(weights(split), expected);
                assert!(fixed.iter().all(|rule| weights(rule) == [1]), "{fixed:?}");
                let mut matches: Vec<_> = rules
                    .iter()
                    .flat_map(|rule| rule["matches"].as_array().unwrap())
                    .collect();
                let all = matches.len();
                matches.sort_by_key(ToString::to_string);
                matches.dedup();
                assert_eq!(matches.len(), all, "two rules with equal matches");
            }
        }
    }
}

#[test]
fn routes_of_nginx() {
    let route = Route {
        provider: Provider::IngressNginx,
        host: Some("wine.example.org".to_owned()),
        ingress_class_name: Some("nginx".to_owned()),
        tls_secret: Some("wine-tls".to_owned()),
        ..Route::default()
    };
    check(
        &carried(Some(route.clone()), 10, true),
        &expect_test::expect_file!["../../tests/golden/route-nginx.yaml"],
    );
    assert_eq!(carried(Some(route), 10, false).len(), 1);
}

#[test]
fn routes_of_our_own() {
    let route = |provider| Route {
        provider,
        ..Route::default()
    };
    let router = carried(Some(route(Provider::Aurora)), 10, true);
    check(
        &router,
        &expect_test::expect_file!["../../tests/golden/route-aurora.yaml"],
    );
    let raised = carried(Some(route(Provider::Aurora)), 50, true);
    assert_ne!(raised[0], router[0]);
    assert_eq!(raised[1..], router[1..], "a weight replaces no pod");
    assert_eq!(
        carried(Some(route(Provider::None)), 0, true),
        Vec::<serde_json::Value>::new()
    );
}
