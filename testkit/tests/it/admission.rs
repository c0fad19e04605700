//! What the admission policy of the installation lets whom write.

use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use http::Method;
use kube::Client;
use serde_json::{Value, json};
use testkit::{Answer, Applied, ControlPlane, Namespace, apply, assets, send};

use crate::custom_resources::collection;

/// The commit that the reconciler notes.
const REVISION: &str = "cafecafecafecafecafecafecafecafecafecafe";
const DIGEST: &str = "sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
/// How long is waited for what an API server or a controller does by itself.
const PATIENCE: Duration = Duration::from_mins(5);
const MERGE: &str = "application/merge-patch+json";

/// Whoever writes, and where.
struct Writers {
    person: Client,
    reconciler: Client,
    operator: Client,
    collection: String,
}

impl Writers {
    async fn of(namespace: &Namespace) -> Self {
        let account = async |name| {
            let client = namespace.client_of_account(namespace.name(), name).await;
            client.expect("the account has a token")
        };
        let writers = Self {
            person: namespace.client(),
            reconciler: account("aurora-reconciler").await,
            operator: account("aurora-operator").await,
            collection: collection(namespace, "mldeployments"),
        };
        for name in ["aurora-reconciler", "aurora-operator"] {
            allow_everything(namespace, name).await;
        }
        writers
    }

    async fn apply(&self, client: &Client, manager: &str, object: &Value) -> Answer {
        let how = Applied {
            collection: &self.collection,
            subresource: "",
            manager,
            is_dry_run: false,
        };
        apply(client, how, object).await.expect("the server answers")
    }

    async fn patch(&self, client: &Client, name: &str, change: &Value) -> Answer {
        let path = format!("{}/{name}", self.collection);
        let answer = send(client, Method::PATCH, MERGE, &path, change).await;
        answer.expect("the server answers")
    }
}

/// What it may do is not what stops it here.
async fn allow_everything(namespace: &Namespace, account: &str) {
    let binding = json!({
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "RoleBinding",
        "metadata": { "name": account },
        "roleRef": { "apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "cluster-admin" },
        "subjects": [{ "kind": "ServiceAccount", "name": account, "namespace": namespace.name() }],
    });
    let path = format!(
        "/apis/rbac.authorization.k8s.io/v1/namespaces/{}/rolebindings",
        namespace.name()
    );
    let answer = send(
        &namespace.client(),
        Method::POST,
        "application/json",
        &path,
        &binding,
    )
    .await;
    assert!(answer.expect("the server answers").is_success());
}

fn deployment(name: &str, digest: Option<&str>) -> Value {
    let mut stable = json!({ "version": "v20261101-120000" });
    if let Some(digest) = digest {
        stable["digest"] = digest.into();
    }
    json!({
        "apiVersion": crds::API_VERSION,
        "kind": "MLDeployment",
        "metadata": { "name": name },
        "spec": { "modelName": name, "stable": stable },
    })
}

/// The object as the reconciler writes it.
fn of_environment(name: &str, digest: Option<&str>) -> Value {
    let mut object = deployment(name, digest);
    object["metadata"]["labels"] = json!({ crds::ENVIRONMENT_LABEL: "dev" });
    object["metadata"]["annotations"] = json!({ "aurora.io/revision": REVISION });
    object
}

/// Installs what `deploy/base/cluster` holds, with `kubectl` as a person does.
fn install(control_plane: &ControlPlane) {
    let base = Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/base/cluster");
    let told = Command::new(control_plane.kubectl())
        .arg("--kubeconfig")
        .arg(control_plane.kubeconfig())
        .args(["apply", "--server-side", "-k"])
        .arg(&base)
        .output()
        .expect("kubectl starts");
    let warned = String::from_utf8_lossy(&told.stderr);
    assert!(told.status.success() && warned.is_empty(), "{warned}");
}

/// The server checks the types of a policy's expressions by what it knows of the kinds.
async fn check_types(client: &Client) {
    let path = "/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicies/aurora-spec-has-one-writer";
    let started = Instant::now();
    loop {
        let answer = send(client, Method::GET, "application/json", path, &Value::Null).await;
        let found = answer.expect("the server answers").body;
        if let Some(checked) = found.pointer("/status/typeChecking") {
            assert_eq!(checked, &json!({}), "{checked}");
            return;
        }
        assert!(started.elapsed() < PATIENCE, "not checked: {found}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

fn refused(answer: &Answer, words: &str) {
    let message = answer.text("/message");
    assert!(!answer.is_success() && message.contains(words), "{answer:?}");
}

fn allowed(answer: &Answer) {
    assert!(answer.is_success(), "{answer:?}");
}

/// A policy is in force some time after it is there: waits until a person's object with the label is refused.
async fn wait_until_in_force(writers: &Writers) {
    let probe = of_environment("probe", Some(DIGEST));
    let started = Instant::now();
    let path = format!("{}?dryRun=All", writers.collection);
    loop {
        let answer = send(&writers.person, Method::POST, "application/json", &path, &probe).await;
        if answer.expect("the server answers").code == 403 {
            return;
        }
        assert!(started.elapsed() < PATIENCE, "the policy is not in force");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test]
async fn spec_and_label_of_an_environments_object_have_one_writer() {
    let Some(assets) = assets() else { return };
    // A policy is the whole cluster's: this test has one of its own.
    let control_plane = Arc::new(ControlPlane::start(&assets).await.unwrap());
    install(&control_plane);
    let namespace = Namespace::create(control_plane).await.unwrap();
    check_types(&namespace.client()).await;
    let writers = Writers::of(&namespace).await;
    let Writers {
        person,
        reconciler,
        operator,
        ..
    } = &writers;
    wait_until_in_force(&writers).await;
    let kept = "this object is kept by Aurora as Git says";

    // What the reconciler writes, and nobody else.
    let object = of_environment("a", Some(DIGEST));
    refused(&writers.apply(person, "jane", &object).await, kept);
    refused(&writers.apply(operator, "aurora-operator", &object).await, kept);
    allowed(&writers.apply(reconciler, "aurora-reconciler", &object).await);
    let again = writers.apply(reconciler, "aurora-reconciler", &object).await;
    allowed(&again);
    let spec = json!({ "spec": { "suspend": "by hand" } });
    let answer = writers.patch(person, "a", &spec).await;
    refused(&answer, kept);
    refused(&answer, REVISION);
    refused(&writers.patch(operator, "a", &spec).await, kept);
    allowed(&writers.patch(reconciler, "a", &spec).await);

    // Digests are pinned, whoever writes.
    let words = "an MLDeployment of an environment pins digests";
    refused(
        &writers
            .apply(reconciler, "aurora-reconciler", &of_environment("b", None))
            .await,
        words,
    );
    let canary = json!({ "spec": { "canary": { "version": "v20261120-093000", "weight": 1 } } });
    refused(&writers.patch(reconciler, "a", &canary).await, words);

    // The label comes and goes with the reconciler alone.
    let label = |value: Value| json!({ "metadata": { "labels": { crds::ENVIRONMENT_LABEL: value } } });
    refused(&writers.patch(person, "a", &label(Value::Null)).await, kept);
    refused(&writers.patch(person, "a", &label("prod".into())).await, kept);
    allowed(&writers.apply(person, "jane", &deployment("raw", None)).await);
    refused(&writers.patch(person, "raw", &label("dev".into())).await, kept);
    allowed(&writers.patch(person, "raw", &spec).await);

    // What is none of its business.
    let status = json!({ "status": { "weight": 0, "message": "by the operator" } });
    allowed(&writers.patch(operator, "a/status", &status).await);
    let finalizer = json!({ "metadata": { "finalizers": ["aurora.io/drain"] } });
    allowed(&writers.patch(operator, "a", &finalizer).await);
    allowed(
        &writers
            .patch(operator, "a", &json!({ "metadata": { "finalizers": null } }))
            .await,
    );
    let annotation = json!({ "metadata": { "annotations": { "aurora.io/paused": "jane: look" } } });
    allowed(&writers.patch(person, "a", &annotation).await);
    // The reconciler of another namespace is nobody here.
    let stranger = namespace
        .client_of_account("default", "aurora-reconciler")
        .await
        .unwrap();
    let answer = writers.patch(&stranger, "a", &spec).await;
    assert_eq!(answer.code, 403, "{answer:?}");
    let masters = ["system:masters", "system:authenticated"];
    let stranger = namespace
        .client_as("system:serviceaccount:default:aurora-reconciler", &masters)
        .await
        .unwrap();
    refused(
        &writers
            .patch(&stranger, "a", &json!({ "spec": { "suspend": "else" } }))
            .await,
        kept,
    );

    // A namespace goes with all that is in it.
    let path = format!("/api/v1/namespaces/{}", namespace.name());
    allowed(
        &send(person, Method::DELETE, "application/json", &path, &Value::Null)
            .await
            .unwrap(),
    );
    let started = Instant::now();
    while send(person, Method::GET, "application/json", &path, &Value::Null)
        .await
        .unwrap()
        .code
        != 404
    {
        assert!(started.elapsed() < PATIENCE, "the namespace does not go");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}
