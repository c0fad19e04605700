//! An API server and `aurora validate` refuse the same objects, with the same words, at the same field.

mod environments;
mod imports;
mod routes;

use std::collections::BTreeSet;

use http::Method;
use serde_json::{Value, json};
use testkit::{Applied, Namespace, apply, send};

use crate::custom_resources::{collection, definitions, installed};

/// What is wrong: a field, and what about it.
type Fault = (String, String);

/// A kind, and what is changed of an object that is in order, by JSON pointer; `null` removes.
type Fixture = (Kind, &'static [(&'static str, &'static str)]);

#[derive(Debug, Clone, Copy)]
enum Kind {
    Environment,
    Deployment,
    Training,
}

impl Kind {
    fn plural(self) -> &'static str {
        match self {
            Self::Environment => "mlenvironments",
            Self::Deployment => "mldeployments",
            Self::Training => "mltrainingjobs",
        }
    }

    fn object(self) -> Value {
        let (kind, spec) = match self {
            Self::Environment => ("MLEnvironment", json!({ "target": "Standalone" })),
            Self::Deployment => (
                "MLDeployment",
                json!({
                    "modelName": "wine",
                    "stable": { "version": "v20261101-120000" },
                    "canary": { "version": "v20261120-093000", "weight": 10 },
                }),
            ),
            Self::Training => (
                "MLTrainingJob",
                json!({
                    "modelName": "wine",
                    "dataset": { "uri": "wine.csv", "target": { "column": "quality" } },
                    "algorithm": "gradient_boosting",
                    "evaluation": { "metric": "r2", "holdout": { "percent": 20 } },
                }),
            ),
        };
        json!({
            "apiVersion": crds::API_VERSION,
            "kind": kind,
            // Named like its folder, as an environment is.
            "metadata": { "name": "dev" },
            "spec": spec,
        })
    }
}

const DIGEST: &str = r#""sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa""#;
const SHA256: &str = r#""aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa""#;

/// At least one per CEL rule; then near ones.
const REFUSED: &[Fixture] = &[
    (Kind::Deployment, &[("/canary/version", r#""v20261101-120000""#)]),
    (
        Kind::Deployment,
        &[("/canary/digest", DIGEST), ("/stable/digest", DIGEST)],
    ),
    (Kind::Deployment, &[("/rejected", r#"["v20261101-120000"]"#)]),
    (
        Kind::Deployment,
        &[("/rejected", r#"["v20260101-000000", "v20261120-093000"]"#)],
    ),
    (
        Kind::Training,
        &[
            ("/version", r#""v20261101-120000""#),
            ("/schedule", r#"{"cron": "0 3 * * SUN"}"#),
        ],
    ),
    (Kind::Training, &[("/dataset/uri", r#""/data/wine.csv""#)]),
    (Kind::Training, &[("/evaluation/metric", r#""accuracy""#)]),
    (Kind::Training, &[("/algorithm", r#""logistic_regression""#)]),
    (
        Kind::Training,
        &[
            ("/algorithm", r#""logistic_regression""#),
            ("/evaluation/metric", r#""log_loss""#),
            ("/dataset/target/unit", r#""EUR""#),
        ],
    ),
    (
        Kind::Training,
        &[("/evaluation/minimum", "0.1"), ("/evaluation/maximum", "0.2")],
    ),
    (
        Kind::Training,
        &[
            ("/evaluation/metric", r#""rmse""#),
            ("/evaluation/minimum", "0.1"),
        ],
    ),
    (Kind::Training, &[("/evaluation/maximum", "0.1")]),
    (
        Kind::Training,
        &[("/evaluation/holdout", r#"{"percent": 20, "file": "test.csv"}"#)],
    ),
    (
        Kind::Training,
        &[("/evaluation/holdout", r#"{"file": "test.csv", "seed": 0}"#)],
    ),
    (Kind::Training, &[("/evaluation/holdout/sha256", SHA256)]),
    (
        Kind::Training,
        &[("/evaluation/holdout", r#"{"file": "/data/test.csv"}"#)],
    ),
    (
        Kind::Training,
        &[
            ("/dataset/exclude", r#"["a"]"#),
            ("/dataset/features", r#"[{"name": "a", "column": "a"}]"#),
        ],
    ),
    (
        Kind::Training,
        &[(
            "/dataset/features",
            r#"[{"name": "a", "column": "a"}, {"name": "b"}]"#,
        )],
    ),
    (Kind::Training, &[("/dataset/target/divideBy", "0")]),
    (Kind::Training, &[("/dataset/target/divideBy", "-0.0")]),
    (Kind::Training, &[("/dataset/target/divideBy", "0e5")]),
    (Kind::Training, &[("/dataset/uri", r#""builtin:nope""#)]),
    (Kind::Training, &[("/dataset/uri", r#""builtin:""#)]),
    (Kind::Training, &[("/dataset/uri", r#""builtin:Iris""#)]),
    (Kind::Training, &[("/dataset/uri", r#""synthetic:iris""#)]),
    (
        Kind::Training,
        &[
            ("/dataset/uri", r#""builtin:wine-quality""#),
            ("/dataset/sha256", SHA256),
        ],
    ),
    (Kind::Training, &[("/dataset/target", "null")]),
    (
        Kind::Training,
        &[("/dataset/uri", r#""https://example.org/wine.csv""#)],
    ),
    (Kind::Training, &[("/dataset/uri", r#""file:///wine.csv""#)]),
    (Kind::Training, &[("/dataset/uri", r#""../wine.csv""#)]),
    (Kind::Training, &[("/dataset/uri", r#""a/../wine.csv""#)]),
    (Kind::Training, &[("/dataset/uri", r#""a/..""#)]),
    (Kind::Training, &[("/dataset/uri", r#""./wine.csv""#)]),
    (Kind::Training, &[("/dataset/uri", r#"".""#)]),
    (Kind::Training, &[("/dataset/uri", r#""a//wine.csv""#)]),
    (Kind::Training, &[("/dataset/uri", r#""a/""#)]),
    (
        Kind::Training,
        &[("/dataset/uri", r#""/""#), ("/dataset/sha256", SHA256)],
    ),
    (
        Kind::Training,
        &[("/dataset/uri", r#""//a""#), ("/dataset/sha256", SHA256)],
    ),
    (Kind::Training, &[("/dataset/uri", r#""s3:bucket""#)]),
    (Kind::Training, &[("/dataset/uri", r#""../s3:bucket""#)]),
    (
        Kind::Training,
        &[("/evaluation/holdout", r#"{"file": "s3://bucket/test.csv"}"#)],
    ),
    (
        Kind::Training,
        &[("/evaluation/holdout", r#"{"file": "../test.csv"}"#)],
    ),
    (
        Kind::Training,
        &[("/evaluation/holdout", r#"{"file": "builtin:iris"}"#)],
    ),
    (Kind::Environment, &[("/registry", r#"{"path": "../store"}"#)]),
    (Kind::Environment, &[("/registry", r#"{"path": "s3://bucket"}"#)]),
    (Kind::Environment, &[("/registry", r#"{"path": "nfs:share"}"#)]),
    (
        Kind::Deployment,
        &[(
            "/autoscaling",
            r#"{"minReplicas": 3, "maxReplicas": 2, "targetCPUPercent": 70}"#,
        )],
    ),
    (
        Kind::Deployment,
        &[(
            "/pod",
            r#"{"labels": {"app": "a", "a b": "c"}, "nodeSelector": {"-": "a"}, "env": [{"name": "AURORA_KEY", "value": "a"}]}"#,
        )],
    ),
    (
        Kind::Deployment,
        &[("/pod", r#"{"labels": {"app.kubernetes.io/name": "a"}}"#)],
    ),
    (
        Kind::Deployment,
        &[("/pod", r#"{"labels": {"aurora.io/model": "a"}}"#)],
    ),
    (
        Kind::Training,
        &[(
            "/pod",
            r#"{"resources": {"requests": {"gpu": "1"}, "limits": {"CPU": "1"}}}"#,
        )],
    ),
    (
        Kind::Training,
        &[(
            "/pod",
            r#"{"tolerations": [{"value": "a"}, {"operator": "Exists", "value": "a"}, {"key": "a", "tolerationSeconds": 1}]}"#,
        )],
    ),
    (
        Kind::Deployment,
        &[(
            "/pod",
            r#"{"env": [{"name": "A", "value": "1"}, {"name": "A", "value": "2"}]}"#,
        )],
    ),
    (Kind::Environment, &[("/namespace", r#""dev""#)]),
    (Kind::Environment, &[("/drift", r#""Warn""#)]),
    (Kind::Environment, &[("/target", r#""Kubernetes""#)]),
    (
        Kind::Environment,
        &[
            ("/target", r#""Kubernetes""#),
            ("/namespace", r#""dev""#),
            ("/registry", r#"{"path": "models"}"#),
        ],
    ),
    (Kind::Training, &[("/container", r#"{"image": "a"}"#)]),
    (Kind::Training, &[("/algorithm", "null")]),
    (
        Kind::Training,
        &[
            ("/algorithm", "null"),
            ("/container", r#"{"image": "a"}"#),
            ("/evaluation/metric", r#""accuracy""#),
            ("/dataset/target/divideBy", "2"),
        ],
    ),
    // No CEL could say these for a thousand features within its budget: the lists' own types do.
    (
        Kind::Training,
        &[(
            "/dataset/features",
            r#"[{"name": "a", "column": "a"}, {"name": "b", "column": "b"}, {"name": "a", "column": "c"}]"#,
        )],
    ),
    (Kind::Training, &[("/dataset/exclude", r#"["a", "b", "b", "a"]"#)]),
];

/// Near what is refused.
const ACCEPTED: &[Fixture] = &[
    (Kind::Deployment, &[]),
    (Kind::Deployment, &[("/canary/digest", DIGEST)]),
    (
        Kind::Deployment,
        &[("/route", r#"{"provider": "None"}"#), ("/canary/weight", "0")],
    ),
    (
        Kind::Deployment,
        &[
            ("/stable/replicas", "1000"),
            (
                "/autoscaling",
                r#"{"minReplicas": 2, "maxReplicas": 2, "targetCPUPercent": 70}"#,
            ),
            (
                "/route",
                r#"{"path": "/", "host": "a.example.org", "gateway": {"name": "a", "namespace": "b", "sectionName": "https"}}"#,
            ),
            (
                "/pod",
                r#"{
                    "resources": {"requests": {"cpu": "0.5", "memory": "1.5Gi", "nvidia.com/gpu": "1"}, "limits": {"memory": "2Gi"}},
                    "nodeSelector": {"kubernetes.io/arch": "amd64"},
                    "tolerations": [{"operator": "Exists"}, {"key": "a", "effect": "NoExecute", "tolerationSeconds": 0}],
                    "imagePullSecrets": [{"name": "a"}],
                    "labels": {"kueue.x-k8s.io/queue-name": "a", "application": ""},
                    "env": [{"name": "RUST_LOG", "value": "debug"}]
                }"#,
            ),
        ],
    ),
    (
        Kind::Environment,
        &[
            ("/target", r#""Kubernetes""#),
            ("/namespace", r#""dev""#),
            ("/drift", r#""Off""#),
            ("/registry", r#"{"path": "/models"}"#),
        ],
    ),
    (
        Kind::Training,
        &[
            ("/algorithm", "null"),
            (
                "/container",
                r#"{"image": "a:1", "command": ["b"], "args": [""]}"#,
            ),
            ("/evaluation/metric", r#""accuracy""#),
            ("/hyperparameters", r#"{"depth": 3}"#),
        ],
    ),
    (Kind::Training, &[]),
    (Kind::Training, &[("/dataset/uri", r#""..wine/...csv""#)]),
    (
        Kind::Training,
        &[
            ("/dataset/uri", r#""/data/s3:wine.csv""#),
            ("/dataset/sha256", SHA256),
        ],
    ),
    (
        Kind::Training,
        &[("/dataset/uri", r#""builtin:iris""#), ("/dataset/target", "null")],
    ),
    (
        Kind::Training,
        &[
            ("/dataset/uri", r#""synthetic:linear""#),
            ("/dataset/target", "null"),
        ],
    ),
    (Kind::Training, &[("/dataset/target/divideBy", "-1e-300")]),
    (Kind::Training, &[("/dataset/target/divideBy", "100000")]),
    (
        Kind::Training,
        &[("/evaluation/holdout", r#"{"file": "données/test.csv"}"#)],
    ),
];

/// Returns the object of a fixture.
fn object((kind, changes): &Fixture) -> Value {
    let mut object = kind.object();
    for (pointer, value) in *changes {
        let value: Value = serde_json::from_str(value).expect("a fixture is JSON");
        let (parent, name) = pointer.rsplit_once('/').expect("a pointer has a '/'");
        let parent = object
            .pointer_mut(&format!("/spec{parent}"))
            .expect("its parent is there");
        if value.is_null() {
            parent.as_object_mut().expect("a mapping").remove(name);
        } else {
            parent[name] = value;
        }
    }
    object
}

/// Returns what `aurora validate` finds in a file that holds an object.
fn validated(object: &Value) -> BTreeSet<Fault> {
    let findings = crds::parse::parse_file("environments/dev/a.yaml", object.to_string().as_bytes()).findings;
    findings
        .into_iter()
        .map(|finding| {
            let (field, words) = finding
                .message
                .split_once(": ")
                .expect("a finding names its field");
            (field.to_owned(), words.to_owned())
        })
        .collect()
}

/// Returns what the API server finds wrong with an object, without its own word for the kind of a fault. Whether it is
/// created or applied, it is taken or refused.
async fn refused(namespace: &Namespace, kind: Kind, object: &Value) -> BTreeSet<Fault> {
    let client = namespace.client();
    let collection = collection(namespace, kind.plural());
    let how = Applied {
        collection: &collection,
        subresource: "",
        manager: "test",
        is_dry_run: true,
    };
    let applied = apply(&client, how, object).await.expect("the server answers");
    let path = format!("{collection}?dryRun=All&fieldValidation=Strict");
    let created = send(&client, Method::POST, "application/json", &path, object).await;
    let created = created.expect("the server answers");
    assert_eq!(created.is_success(), created.causes().is_empty(), "{created:?}");
    assert_eq!(applied.is_success(), created.is_success(), "{applied:?}");
    assert_eq!(created.warnings, Vec::<String>::new(), "{object}");
    let causes = created.causes().into_iter();
    causes
        .map(|(field, words)| (field, words.trim_start_matches("Invalid value: ").to_owned()))
        .collect()
}

/// Returns each CEL rule of a schema as the fault that it tells; items of lists are `[]`.
fn cel_rules(schema: &Value, path: &str, found: &mut BTreeSet<Fault>) {
    for rule in schema["x-kubernetes-validations"]
        .as_array()
        .into_iter()
        .flatten()
    {
        let text = |name: &str| rule[name].as_str().unwrap_or_default();
        found.insert((format!("{path}{}", text("fieldPath")), text("message").to_owned()));
    }
    for (name, field) in schema["properties"].as_object().into_iter().flatten() {
        let path = if path.is_empty() {
            name.clone()
        } else {
            format!("{path}.{name}")
        };
        cel_rules(field, &path, found);
    }
    if schema["items"].is_object() {
        cel_rules(&schema["items"], &format!("{path}[]"), found);
    }
}

/// Returns a field's path without the positions in lists.
fn without_positions(field: &str) -> String {
    let kept = field.split(['[', ']']).enumerate();
    kept.map(|(index, part)| if index % 2 == 0 { part } else { "[]" })
        .collect()
}

#[tokio::test]
async fn the_server_and_validate_refuse_with_the_same_words() {
    let Some(namespace) = installed().await else {
        return;
    };
    let mut shown = BTreeSet::new();
    for fixture in REFUSED
        .iter()
        .chain(environments::REFUSED)
        .chain(routes::REFUSED)
        .chain(imports::refused())
    {
        let object = object(fixture);
        let told = refused(&namespace, fixture.0, &object).await;
        assert!(!told.is_empty(), "the server takes {fixture:?}");
        assert_eq!(
            validated(&object),
            told,
            "validate (left), the server (right) of {fixture:?}"
        );
        shown.extend(
            told.into_iter()
                .map(|(field, words)| (without_positions(&field), words)),
        );
    }
    let mut rules = BTreeSet::new();
    for definition in definitions() {
        cel_rules(
            &definition["spec"]["versions"][0]["schema"]["openAPIV3Schema"],
            "",
            &mut rules,
        );
    }
    assert!(rules.len() > 25, "{rules:?}");
    let without_fixture: Vec<_> = rules.difference(&shown).collect();
    assert!(without_fixture.is_empty(), "no fixture shows {without_fixture:?}");
}

#[tokio::test]
async fn what_is_near_them_is_taken_by_both() {
    let Some(namespace) = installed().await else {
        return;
    };
    for fixture in ACCEPTED
        .iter()
        .chain(environments::ACCEPTED)
        .chain(routes::ACCEPTED)
        .chain(imports::accepted())
    {
        let object = object(fixture);
        assert_eq!(validated(&object), BTreeSet::new(), "{fixture:?}");
        assert_eq!(
            refused(&namespace, fixture.0, &object).await,
            BTreeSet::new(),
            "{fixture:?}"
        );
    }
}

/// What no rule says, limits of the schema do; those are the server's own words.
#[tokio::test]
async fn limits_are_refused_by_both_at_the_same_field() {
    let Some(namespace) = installed().await else {
        return;
    };
    let at_field = |faults: BTreeSet<Fault>| -> BTreeSet<String> {
        let fields = faults.into_iter().map(|(field, _)| field);
        // The server adds that it left the rules out.
        fields.filter(|field| field != "<nil>").collect()
    };
    let long = "a".repeat(41);
    for (pointer, value) in [
        ("/metadata/name", json!("a.b")),
        ("/metadata/name", json!(long)),
        ("/metadata/name", json!("Wine")),
        ("/spec/modelName", json!(long)),
        ("/spec/dataset/uri", json!("a\\b.csv")),
        ("/spec/dataset/uri", json!("a\u{1}b.csv")),
        ("/spec/evaluation/holdout/file", json!("a\\b.csv")),
        ("/spec/seed", json!(-1)),
        ("/spec/activeDeadlineSeconds", json!(0)),
    ] {
        let mut object = Kind::Training.object();
        object["spec"]["seed"] = json!(0);
        object["spec"]["activeDeadlineSeconds"] = json!(60);
        if pointer.ends_with("/file") {
            object["spec"]["evaluation"]["holdout"] = json!({ "file": "a.csv" });
        }
        *object.pointer_mut(pointer).unwrap() = value;
        let told = at_field(refused(&namespace, Kind::Training, &object).await);
        assert!(!told.is_empty(), "the server takes {pointer} of {object}");
        assert_eq!(at_field(validated(&object)), told, "{pointer} of {object}");
    }
}
