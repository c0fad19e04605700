//! What a Pod needs before its containers can start: objects of its namespace, folders, a token, programs.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::fs::{self, File};
use std::io;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use k8s_openapi::api::authentication::v1::{TokenRequest, TokenRequestSpec};
use k8s_openapi::api::core::v1::{Container, PersistentVolumeClaim, Pod, ServiceAccount};
use kube::api::{ListParams, PostParams};
use kube::{Api, Client, Resource, ResourceExt as _};
use serde::de::DeserializeOwned;
use serde_json::json;

use super::container::Prepared;
use super::probe::Target;
use super::process::Program;
use super::rewrite::Translation;
use super::status::RestartPolicy;
use super::variables::{Sources, expand, variables};
use super::volumes::{self, Storage};
use super::{Node, image};

/// Where Kubernetes puts a process's last word unless it is told otherwise.
const TERMINATION_LOG: &str = "/dev/termination-log";
/// How long a process has to end when a probe says so, unless its Pod says how long.
const GRACE_SECONDS: i64 = 30;

/// The folders of a Pod.
#[derive(Debug)]
pub(super) struct Preparation {
    folder: PathBuf,
    volumes: BTreeMap<String, PathBuf>,
    /// The kubeconfig with the token of its ServiceAccount.
    kubeconfig: Option<PathBuf>,
    address: Ipv4Addr,
}

impl Preparation {
    /// Makes the folders of a Pod, or says what is missing.
    pub(super) async fn of_pod(
        node: &Node,
        client: &Client,
        pod: &Pod,
        address: Ipv4Addr,
    ) -> Result<Self, String> {
        let folder = node.folder.join(pod.name_any());
        fs::create_dir_all(&folder).map_err(|error| error.to_string())?;
        let claims: BTreeMap<String, PersistentVolumeClaim> = by_name(client, &node.namespace).await?;
        let claims = claims.into_keys().map(|name| {
            let given = node.machine.claims.get(&name).cloned();
            let own = || node.folder.join("claims").join(&name);
            (name.clone(), given.unwrap_or_else(own))
        });
        let token = token(client, pod).await?;
        let kubeconfig = token.as_ref().map(|token| kubeconfig(node, &folder, token));
        let kubeconfig = kubeconfig.transpose().map_err(|error| error.to_string())?;
        let storage = Storage {
            folder: &folder,
            claims: claims.collect(),
            token,
        };
        let volumes = volumes::prepare(pod, &sources(node, client, pod, address).await?, &storage)?;
        Ok(Self {
            folder,
            volumes,
            kubeconfig,
            address,
        })
    }

    /// Makes a container ready to run, or says what is missing.
    pub(super) async fn container(
        &self,
        node: &Node,
        client: &Client,
        pod: &Pod,
        container: &Container,
        policy: RestartPolicy,
    ) -> Result<Prepared, (&'static str, String)> {
        let reference = container.image.as_deref().unwrap_or_default();
        let image = image::find(&node.machine.images, reference)
            .ok_or_else(|| ("ErrImagePull", format!("the node has no image {reference}")))?;
        let unusable = |missing| ("CreateContainerConfigError", missing);
        let sources = sources(node, client, pod, self.address).await.map_err(unusable)?;
        let own = variables(container, &sources).map_err(unusable)?;
        let mut variables = image.variables();
        variables.extend(own);
        variables
            .entry("HOSTNAME".to_owned())
            .or_insert_with(|| pod.name_any());
        if let Some(kubeconfig) = &self.kubeconfig {
            let path = kubeconfig.display().to_string();
            variables.entry("KUBECONFIG".to_owned()).or_insert(path);
        }
        let mut places = volumes::mounts(container, &self.volumes, &variables).map_err(unusable)?;
        let message = self.folder.join(format!("{}.message", container.name));
        let message_path = container.termination_message_path.as_deref();
        places.push((
            message_path.unwrap_or(TERMINATION_LOG).to_owned(),
            message.clone(),
        ));
        let work = self.folder.join(format!("{}.work", container.name));
        fs::create_dir_all(&work).map_err(|error| ("CreateContainerError", error.to_string()))?;
        let translation = Translation::new(places, self.address);
        let words = image.words(container.command.as_deref(), container.args.as_deref());
        let program = Program {
            image: image.clone(),
            words: words.iter().map(|word| expand(word, &variables)).collect(),
            folder: match &container.working_dir {
                Some(folder) => PathBuf::from(translation.text(folder)),
                None => work,
            },
            variables,
            translation,
            log: self.folder.join(format!("{}.log", container.name)),
            supervised: node.folder.clone(),
        };
        let grace = pod
            .spec
            .as_ref()
            .and_then(|spec| spec.termination_grace_period_seconds);
        let grace = u64::try_from(grace.unwrap_or(GRACE_SECONDS)).unwrap_or_default();
        Ok(Prepared {
            spec: container.clone(),
            target: Target {
                container: container.clone(),
                address: self.address,
                program: Program {
                    log: self.folder.join(format!("{}.commands.log", container.name)),
                    ..program.clone()
                },
            },
            program,
            policy,
            message,
            back_off: node.machine.back_off,
            grace: Duration::from_secs(grace),
        })
    }
}

async fn sources<'a>(
    node: &'a Node,
    client: &Client,
    pod: &'a Pod,
    address: Ipv4Addr,
) -> Result<Sources<'a>, String> {
    Ok(Sources {
        pod,
        node: &node.machine.name,
        address,
        config_maps: by_name(client, &node.namespace).await?,
        secrets: by_name(client, &node.namespace).await?,
    })
}

async fn by_name<K>(client: &Client, namespace: &str) -> Result<BTreeMap<String, K>, String>
where
    K: Resource<Scope = k8s_openapi::NamespaceResourceScope, DynamicType = ()>
        + Clone
        + DeserializeOwned
        + Debug,
{
    let api: Api<K> = Api::namespaced(client.clone(), namespace);
    let list = api
        .list(&ListParams::default())
        .await
        .map_err(|error| error.to_string())?;
    Ok(list
        .items
        .into_iter()
        .map(|object| (object.name_any(), object))
        .collect())
}

/// Returns a token of the Pod's ServiceAccount, if it mounts one.
async fn token(client: &Client, pod: &Pod) -> Result<Option<String>, String> {
    let volumes = pod.spec.iter().flat_map(|spec| spec.volumes.iter().flatten());
    let mut sources = volumes
        .filter_map(|volume| volume.projected.as_ref())
        .flat_map(|projected| projected.sources.iter().flatten());
    if !sources.any(|source| source.service_account_token.is_some()) {
        return Ok(None);
    }
    let account = pod
        .spec
        .as_ref()
        .and_then(|spec| spec.service_account_name.as_deref());
    let accounts: Api<ServiceAccount> = Api::namespaced(client.clone(), &pod.namespace().unwrap_or_default());
    let request = TokenRequest {
        spec: Some(TokenRequestSpec::default()),
        ..TokenRequest::default()
    };
    let account = account.unwrap_or("default");
    let made = accounts
        .create_token_request(account, &PostParams::default(), &request)
        .await;
    let status = made.map_err(|error| error.to_string())?.status;
    Ok(status.and_then(|status| status.token))
}

fn kubeconfig(node: &Node, folder: &Path, token: &str) -> io::Result<PathBuf> {
    let context = json!({ "cluster": "testkit", "user": "pod", "namespace": node.namespace });
    let kubeconfig = json!({
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{ "name": "testkit", "cluster": node.server }],
        "users": [{ "name": "pod", "user": { "token": token } }],
        "contexts": [{ "name": "testkit", "context": context }],
        "current-context": "testkit",
    });
    let path = folder.join("kubeconfig");
    serde_json::to_writer(File::create(&path)?, &kubeconfig)?;
    Ok(path)
}
