//! A namespace of an API server that knows the three kinds, and its objects seen from outside.

use http::Method;
use kube::Client;
use kubernetes::objects::Objects;
use serde_json::{Value, json};
use testkit::{Answer, Applied, Namespace, apply, install, namespace, send};
use tokio::sync::OnceCell;

/// The environment of all tests here.
pub(crate) const ENVIRONMENT: &str = "dev";

/// Returns a namespace in which the three kinds and HTTPRoutes are served; none where there is no API server to be had.
pub(crate) async fn installed() -> Option<Namespace> {
    static INSTALLED: OnceCell<()> = OnceCell::const_new();
    let namespace = namespace().await?;
    let client = namespace.client();
    INSTALLED.get_or_init(async || serve(&client).await).await;
    Some(namespace)
}

/// Lets an API server serve the three kinds, and HTTPRoutes.
pub(crate) async fn serve(client: &Client) {
    let yaml = crds::crd_yaml().into_iter();
    let definitions: Vec<Value> = yaml
        .map(|(_, yaml)| serde_yaml::from_str(&yaml).expect("a definition is YAML"))
        .collect();
    let served = install(client, &definitions).await;
    drop(served.expect("the kinds are served"));
    testkit::gateway_api(client).await.expect("HTTPRoutes are served");
}

/// Returns the objects of a namespace, followed by a client that may do everything.
pub(crate) fn follow(namespace: &Namespace) -> Objects {
    let environment = ENVIRONMENT.parse().expect("a name");
    Objects::follow(&namespace.client(), namespace.name(), &environment)
}

/// Asks for an object of the namespace, e.g. `mldeployments/a`.
pub(crate) async fn get(namespace: &Namespace, path: &str) -> Answer {
    ask(namespace, Method::GET, path, &Value::Null).await
}

/// Sends a request about an object of the namespace; a patch is a merge patch.
pub(crate) async fn ask(namespace: &Namespace, method: Method, path: &str, body: &Value) -> Answer {
    let kind = if method == Method::PATCH {
        "application/merge-patch+json"
    } else {
        "application/json"
    };
    let path = format!("{}/{path}", all_of(namespace));
    let client: Client = namespace.client();
    let answer = send(&client, method, kind, &path, body).await;
    answer.expect("the server answers")
}

/// Applies an object by server-side apply as somebody.
pub(crate) async fn apply_as(namespace: &Namespace, manager: &str, plural: &str, object: &Value) -> Answer {
    let collection = format!("{}/{plural}", all_of(namespace));
    let how = Applied {
        collection: &collection,
        subresource: "",
        manager,
        is_dry_run: false,
    };
    let answer = apply(&namespace.client(), how, object).await;
    answer.expect("the server answers")
}

/// Returns each object of ours with its version.
pub(crate) async fn versions(namespace: &Namespace) -> Vec<(String, String)> {
    let mut versions = Vec::new();
    for plural in ["mlenvironments", "mldeployments", "mltrainingjobs"] {
        let list = get(namespace, plural).await;
        for item in list.body["items"].as_array().into_iter().flatten() {
            let metadata = &item["metadata"];
            let text = |name: &str| metadata[name].as_str().unwrap_or_default().to_owned();
            versions.push((format!("{plural}/{}", text("name")), text("resourceVersion")));
        }
    }
    versions
}

/// Returns an MLDeployment of nobody's.
pub(crate) fn manifest(name: &str, stable: u8) -> Value {
    json!({
        "apiVersion": crds::API_VERSION,
        "kind": "MLDeployment",
        "metadata": { "name": name },
        "spec": {
            "modelName": name,
            "stable": {
                "version": format!("v202601{stable:02}-000000"),
                "digest": planner::names::Digest::of(&[stable]).to_string(),
            },
        },
    })
}

fn all_of(namespace: &Namespace) -> String {
    format!("/apis/aurora.io/v1alpha1/namespaces/{}", namespace.name())
}
