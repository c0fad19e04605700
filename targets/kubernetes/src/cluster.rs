//! What a cluster says of itself: its nodes, its storage classes, and the objects of an environment with their status.
//!
//! Our objects are followed from the first look on. All else is asked for by who looks: an answer counts for some seconds,
//! also a refusal, so that many who look cost the API server what one does. What is not allowed is said with the API
//! server's words.

mod describe;
mod followed;
mod look;
mod rights;

use std::fmt::Debug;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use crds::view::View;
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::{Node, PersistentVolumeClaim};
use k8s_openapi::api::storage::v1::StorageClass;
use kube::api::ListParams;
use kube::{Api, Client, Resource};
use planner::Timestamp;
use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio::runtime::Handle;
use tokio::sync::Mutex;

use self::followed::Followed;
use crate::reconcile::LEASE;

pub use look::{Look, LookError, Namespace};
pub use rights::Part;

/// How long an answer counts.
const COUNTS: Duration = Duration::from_secs(10);
/// How long one about the Lease does: knowledge that is older than 15 s is worth nothing, and the Lease may be some seconds old
/// already when it is read.
const LEASE_COUNTS: Duration = Duration::from_secs(5);
/// How long all pages of a list may take.
const PATIENCE: Duration = Duration::from_secs(10);
/// How many objects a page has, and how many pages are read.
const PAGE: u32 = 500;
const PAGES_MAX: usize = 40;

/// Says why there is no cluster to ask.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// Neither a Pod's account nor a kubeconfig.
    #[error("there is no cluster to ask: {0}")]
    Config(#[from] kube::config::InferConfigError),
    /// What they say cannot be used.
    #[error("the cluster's configuration cannot be used: {0}")]
    Client(#[from] kube::Error),
}

/// The objects of one namespace, each with its status.
#[derive(Debug, Clone)]
pub struct Objects {
    /// All of them.
    pub view: Arc<View>,
    /// When a reconciler last renewed its Lease or gave it up, by the clock of its machine; none where none ever led.
    pub renewed: Option<Timestamp>,
}

/// A cluster that is asked from threads that may block; its connections live where it was made.
#[expect(missing_debug_implementations, reason = "a client has none")]
pub struct Cluster {
    client: Client,
    runtime: Handle,
    nodes: Kept<Value>,
    classes: Kept<Value>,
    claims: Kept<Value>,
    renewed: Kept<Option<Timestamp>>,
    objects: OnceLock<Followed>,
}

impl Cluster {
    /// Finds the cluster that `KUBECONFIG` names, else the one whose Pod this is. To be called on the runtime that keeps
    /// the connections.
    pub async fn find() -> Result<Self, ConnectError> {
        let config = kube::Config::infer().await?;
        Ok(Self::of(Client::try_from(config)?))
    }

    /// Asks through a client; its default namespace is the environment's.
    pub fn of(client: Client) -> Self {
        Self {
            client,
            runtime: Handle::current(),
            nodes: Kept::default(),
            classes: Kept::default(),
            claims: Kept::default(),
            renewed: Kept::default(),
            objects: OnceLock::new(),
        }
    }

    /// Returns the nodes as JSON, or why they are not known; blocks.
    pub fn nodes(&self) -> Result<Value, String> {
        let api: Api<Node> = Api::all(self.client.clone());
        let read = async {
            let nodes = list(&api).await.map_err(|error| error.to_string())?;
            Ok(nodes.iter().map(describe::node).collect())
        };
        self.runtime.block_on(self.nodes.get(read)).value
    }

    /// Returns the storage classes as JSON, or why they are not known; blocks.
    pub fn storage_classes(&self) -> Result<Value, String> {
        let api: Api<StorageClass> = Api::all(self.client.clone());
        let read = async {
            let classes = list(&api).await.map_err(|error| error.to_string())?;
            Ok(classes.iter().map(describe::class).collect())
        };
        self.runtime.block_on(self.classes.get(read)).value
    }

    /// Returns the claims of the namespace as JSON, or why they are not known; blocks.
    pub fn volumes(&self) -> Result<Value, String> {
        let api: Api<PersistentVolumeClaim> = Api::default_namespaced(self.client.clone());
        let read = async {
            let claims = list(&api).await.map_err(|error| error.to_string())?;
            Ok(claims.iter().map(describe::claim).collect())
        };
        self.runtime.block_on(self.claims.get(read)).value
    }

    /// Returns the objects of the namespace, or why they are not known; blocks.
    pub fn objects(&self) -> Result<Objects, String> {
        let leases: Api<Lease> = Api::default_namespaced(self.client.clone());
        let read = async {
            let lease = leases.get_opt(LEASE).await.map_err(|error| words(&error))?;
            Ok(renewed(lease.as_ref()))
        };
        let followed = self
            .objects
            .get_or_init(|| Followed::begin(&self.client, &self.runtime));
        self.runtime.block_on(async {
            // First: what is read after it is no older. It also says whether the API server answers at all.
            let renewed = self.renewed.get_for(LEASE_COUNTS, read).await.value?;
            let view = followed.view().await?;
            Ok(Objects { view, renewed })
        })
    }
}

/// Returns when a Lease was last renewed or given up.
fn renewed(lease: Option<&Lease>) -> Option<Timestamp> {
    let at = lease?.spec.as_ref()?.renew_time.as_ref()?;
    Timestamp::from_timestamp_micros(at.0.as_microsecond())
}

/// Lists all objects of a kind, page by page.
async fn list<K>(api: &Api<K>) -> Result<Vec<K>, ListError>
where
    K: Resource + Clone + DeserializeOwned + Debug,
{
    let mut all = Vec::new();
    let mut page = ListParams::default().limit(PAGE);
    for _ in 0..PAGES_MAX {
        let listed = api.list(&page).await?;
        all.extend(listed.items);
        match listed.metadata.continue_.filter(|token| !token.is_empty()) {
            Some(token) => page = page.continue_token(&token),
            None => return Ok(all),
        }
    }
    Err(ListError::TooMany)
}

/// Says why a list cannot be had.
#[derive(Debug, thiserror::Error)]
enum ListError {
    /// The API server refuses, or cannot be asked.
    #[error("{}", words(.0))]
    Ask(#[from] kube::Error),
    /// It is longer than any is read.
    #[error("there are more than {} of them", PAGE as usize * PAGES_MAX)]
    TooMany,
}

impl ListError {
    /// Says whether asking again does not help.
    fn is_refusal(&self) -> bool {
        match self {
            Self::Ask(kube::Error::Api(status)) => status.code < 500 && status.code != 429,
            Self::Ask(_) => false,
            Self::TooMany => true,
        }
    }
}

/// Says what an error is to whoever looks: the API server's own words, where it has some.
fn words(error: &kube::Error) -> String {
    match error {
        kube::Error::Api(status) => format!("the API server answers {}: {}", status.code, status.message),
        other => format!("the API server cannot be asked: {other}"),
    }
}

/// An answer that counts for a while.
struct Kept<T>(Mutex<Option<Answer<T>>>);

#[derive(Clone)]
struct Answer<T> {
    at: Instant,
    value: Result<T, String>,
}

impl<T> Default for Kept<T> {
    fn default() -> Self {
        Self(Mutex::new(None))
    }
}

impl<T: Clone> Kept<T> {
    /// Returns the kept answer while it counts, else a new one. Those who come meanwhile wait for the same.
    async fn get(&self, read: impl Future<Output = Result<T, String>>) -> Answer<T> {
        self.get_for(COUNTS, read).await
    }

    async fn get_for(&self, counts: Duration, read: impl Future<Output = Result<T, String>>) -> Answer<T> {
        let mut kept = self.0.lock().await;
        if let Some(answer) = kept.as_ref().filter(|answer| answer.at.elapsed() < counts) {
            return answer.clone();
        }
        let value = tokio::time::timeout(PATIENCE, read).await;
        let value =
            value.unwrap_or_else(|_elapsed| Err(format!("the API server takes more than {PATIENCE:?}")));
        let at = Instant::now();
        kept.insert(Answer { at, value }).clone()
    }
}
