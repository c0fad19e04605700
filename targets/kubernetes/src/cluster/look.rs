//! One look at a namespace: its objects with their status, and when its reconciler was last alive.

use std::collections::BTreeMap;
use std::sync::Arc;

use crds::MLEnvironment;
use crds::view::View;
use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::api::coordination::v1::Lease;
use kube::{Api, Client, Resource, ResourceExt};

use super::{ConnectError, ListError, Objects, PATIENCE, list, renewed};
use crate::leadership::Record;
use crate::reconcile::LEASE;

/// A namespace that is looked at by whoever asks; its connections live on the runtime that made it.
#[expect(missing_debug_implementations, reason = "a client has none")]
pub struct Namespace {
    pub(super) client: Client,
    pub(super) name: String,
}

/// What a namespace says.
#[derive(Debug, Clone)]
pub struct Look {
    /// Its objects, and when its reconciler was last alive.
    pub objects: Objects,
    /// Whether one holds it.
    pub is_led: bool,
}

/// Says why a namespace could not be looked at.
#[derive(Debug, thiserror::Error)]
pub enum LookError {
    /// The API server refuses.
    #[error("cannot read namespace {namespace}: {why}")]
    Refused {
        /// Which.
        namespace: String,
        /// What it says.
        why: String,
    },
    /// It does not answer, or not now.
    #[error("cannot read namespace {namespace} now: {why}")]
    Unavailable {
        /// Which.
        namespace: String,
        /// What is in the way.
        why: String,
    },
}

impl Namespace {
    /// Finds the cluster as [`Cluster::find`](super::Cluster::find) does.
    ///
    /// # Errors
    ///
    /// Nothing says how it is reached.
    pub async fn find(name: &str) -> Result<Self, ConnectError> {
        let config = kube::Config::infer().await?;
        Ok(Self {
            client: Client::try_from(config)?,
            name: name.to_owned(),
        })
    }

    /// Looks once, for at most some seconds.
    ///
    /// # Errors
    ///
    /// The API server refuses or does not answer.
    pub async fn look(&self) -> Result<Look, LookError> {
        match tokio::time::timeout(PATIENCE, self.read()).await {
            Ok(read) => read.map_err(|error| self.error(&error)),
            Err(_elapsed) => Err(LookError::Unavailable {
                namespace: self.name.clone(),
                why: format!("the API server takes more than {PATIENCE:?}"),
            }),
        }
    }

    /// Says whether asking again helps.
    pub(super) fn error(&self, error: &ListError) -> LookError {
        let (namespace, why) = (self.name.clone(), error.to_string());
        if error.is_refusal() {
            LookError::Refused { namespace, why }
        } else {
            LookError::Unavailable { namespace, why }
        }
    }

    async fn read(&self) -> Result<Look, ListError> {
        let leases: Api<Lease> = Api::namespaced(self.client.clone(), &self.name);
        let lease = leases.get_opt(LEASE).await?;
        let is_led = lease
            .as_ref()
            .is_some_and(|lease| !Record::of(lease).holder.is_empty());
        let view = Arc::new(self.view().await?);
        let renewed = renewed(lease.as_ref());
        let objects = Objects { view, renewed };
        Ok(Look { objects, is_led })
    }

    async fn view(&self) -> Result<View, ListError> {
        let environments: Vec<MLEnvironment> = list(&self.api()).await?;
        Ok(View {
            environment: environments.into_iter().next(),
            deployments: by_name(list(&self.api()).await?),
            trainings: by_name(list(&self.api()).await?),
            ..View::default()
        })
    }

    fn api<K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>>(&self) -> Api<K> {
        Api::namespaced(self.client.clone(), &self.name)
    }
}

fn by_name<K: ResourceExt>(objects: Vec<K>) -> BTreeMap<String, Arc<K>> {
    let named = objects
        .into_iter()
        .map(|object| (object.name_any(), Arc::new(object)));
    named.collect()
}
