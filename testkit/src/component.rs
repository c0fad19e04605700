//! The parts of an installation that ask the API server, with the rights that `deploy/base` ships them, and no others.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use http::Method;
use kube::Client;
use kube::config::Config;
use serde_json::{Value, json};

use crate::control_plane::{ControlPlaneError, client};
use crate::namespace::Namespace;
use crate::request::{Applied, apply, send};

const RBAC: &str = "/apis/rbac.authorization.k8s.io/v1";
const REVIEWS: &str = "/apis/authorization.k8s.io/v1/subjectaccessreviews";
/// How long an API server may take to go by a Role that it has taken.
const PATIENCE: Duration = Duration::from_mins(5);

/// One of them. Its ServiceAccount, Role and binding are of its name, in a file of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Component {
    /// Keeps the objects.
    Reconciler,
    /// Keeps their children.
    Operator,
    /// Shows the cluster.
    ControlPlane,
    /// Splits requests; runs in Pods that the operator makes.
    Router,
}

impl Component {
    /// Returns the name of its ServiceAccount.
    pub fn account(self) -> &'static str {
        match self {
            Self::Reconciler => "aurora-reconciler",
            Self::Operator => "aurora-operator",
            Self::ControlPlane => "aurora-control-plane",
            Self::Router => "aurora-router",
        }
    }

    fn file(self) -> &'static str {
        match self {
            Self::Reconciler => "reconciler.yaml",
            Self::Operator => "operator.yaml",
            Self::ControlPlane => "control-plane.yaml",
            Self::Router => "router.yaml",
        }
    }

    /// Returns what of its file is about rights, as it is in a namespace.
    fn rights(self, namespace: &str) -> Result<Vec<Value>, ControlPlaneError> {
        let path = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("../deploy/base")
            .join(self.file());
        let documents: Vec<Value> = serde_yaml::from_multiple(&fs::read_to_string(path)?)
            .map_err(|error| ControlPlaneError::Rights(error.to_string()))?;
        let mut rights: Vec<Value> = documents
            .into_iter()
            .filter(|object| collection(object, namespace).is_some())
            .collect();
        for object in &mut rights {
            let subjects = object.get_mut("subjects").and_then(Value::as_array_mut);
            for subject in subjects.into_iter().flatten() {
                subject["namespace"] = namespace.into();
            }
            // Each namespace has its own of what is of none, as each overlay has.
            if object["kind"] == "ClusterRoleBinding" {
                object["metadata"]["name"] = format!("{}-{namespace}", self.account()).into();
            }
        }
        Ok(rights)
    }
}

impl Namespace {
    /// Gives a component's ServiceAccount the rights that it is shipped with, and waits until they count.
    ///
    /// # Errors
    ///
    /// There is no answer, what is shipped is refused, or does not count in time.
    pub async fn allow(&self, component: Component) -> Result<(), ControlPlaneError> {
        let client = self.client();
        let rights = component.rights(self.name())?;
        for object in &rights {
            let collection = collection(object, self.name()).unwrap_or_default();
            let how = Applied {
                collection: &collection,
                subresource: "",
                manager: "testkit",
                is_dry_run: false,
            };
            let answer = apply(&client, how, object).await?;
            if !answer.is_success() {
                return Err(ControlPlaneError::Rights(answer.body.to_string()));
            }
        }
        let user = format!("system:serviceaccount:{}:{}", self.name(), component.account());
        for role in rights.iter().filter(|object| object["rules"].is_array()) {
            until_allowed(&client, &user, &review(role, self.name())).await?;
        }
        Ok(())
    }

    /// Returns what a client is made of that asks as a component, with the rights that it is shipped with.
    ///
    /// # Errors
    ///
    /// As [`Self::allow`].
    pub async fn config_of(&self, component: Component) -> Result<Config, ControlPlaneError> {
        self.allow(component).await?;
        self.config_of_account(self.name(), component.account()).await
    }

    /// Returns such a client.
    ///
    /// # Errors
    ///
    /// As [`Self::allow`].
    pub async fn client_of(&self, component: Component) -> Result<Client, ControlPlaneError> {
        client(self.config_of(component).await?)
    }

    /// Returns the path of a kubeconfig with which a process asks as a component.
    ///
    /// # Errors
    ///
    /// As [`Self::allow`].
    pub async fn kubeconfig_of(&self, component: Component) -> Result<PathBuf, ControlPlaneError> {
        self.allow(component).await?;
        let token = self.token_of(self.name(), component.account()).await?;
        let kubeconfig = fs::read_to_string(self.control_plane().kubeconfig())?;
        let mut kubeconfig: Value = serde_json::from_str(&kubeconfig).map_err(io::Error::from)?;
        kubeconfig["users"][0]["user"] = json!({ "token": token });
        kubeconfig["contexts"][0]["context"]["namespace"] = self.name().into();
        let path = self.control_plane().kubeconfig();
        let path = path.with_file_name(format!("kubeconfig-{}-{}", self.name(), component.account()));
        fs::write(&path, kubeconfig.to_string())?;
        Ok(path)
    }
}

/// Returns where an object is, if it is about rights.
fn collection(object: &Value, namespace: &str) -> Option<String> {
    let place = match object["kind"].as_str()? {
        "ServiceAccount" => format!("/api/v1/namespaces/{namespace}/serviceaccounts"),
        "Role" => format!("{RBAC}/namespaces/{namespace}/roles"),
        "RoleBinding" => format!("{RBAC}/namespaces/{namespace}/rolebindings"),
        "ClusterRole" => format!("{RBAC}/clusterroles"),
        "ClusterRoleBinding" => format!("{RBAC}/clusterrolebindings"),
        _ => return None,
    };
    Some(place)
}

/// Returns the first thing that a role allows.
fn review(role: &Value, namespace: &str) -> Value {
    let first = &role["rules"][0];
    let namespace = (role["kind"] == "Role").then_some(namespace);
    let resource = first["resources"][0].as_str().unwrap_or_default();
    let (resource, subresource) = resource.split_once('/').unwrap_or((resource, ""));
    json!({
        "verb": first["verbs"][0], "group": first["apiGroups"][0], "resource": resource, "subresource": subresource,
        "namespace": namespace, "name": first["resourceNames"][0],
    })
}

async fn until_allowed(client: &Client, user: &str, attributes: &Value) -> Result<(), ControlPlaneError> {
    let review = json!({
        "apiVersion": "authorization.k8s.io/v1", "kind": "SubjectAccessReview",
        "spec": { "user": user, "resourceAttributes": attributes },
    });
    let started = Instant::now();
    loop {
        let answer = send(client, Method::POST, "application/json", REVIEWS, &review).await?;
        if answer.body["status"]["allowed"] == true {
            return Ok(());
        }
        if started.elapsed() > PATIENCE {
            return Err(ControlPlaneError::Rights(answer.body.to_string()));
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
