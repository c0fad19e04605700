//! Takes our finalizers away, for uninstalling: nothing is left that nobody would drain.

use crds::MLDeployment;
use kube::api::ListParams;
use kube::{Api, Client, Config};

use super::cluster::{Cluster, StepError};
use super::decide;

/// How many objects one answer of a list holds.
const PAGE: u32 = 500;
/// How often an object is tried that somebody else writes.
const ATTEMPTS: u32 = 10;

/// Why an object keeps its finalizer.
#[derive(Debug, thiserror::Error)]
#[error("cannot release {object}: {why}")]
pub struct NotReleased {
    object: String,
    why: String,
}

/// Takes the finalizer of every MLDeployment of a namespace away, and returns how many had one.
///
/// # Errors
///
/// The cluster does not answer, or somebody else goes on writing an object.
pub async fn release(config: Config, namespace: &str) -> Result<usize, NotReleased> {
    let failed = |object: &str, why: &dyn std::fmt::Display| NotReleased {
        object: object.to_owned(),
        why: why.to_string(),
    };
    let client = Client::try_from(config).map_err(|error| failed("any object", &error))?;
    let objects: Api<MLDeployment> = Api::namespaced(client.clone(), namespace);
    let cluster = Cluster::new(client, namespace);
    let mut released = 0;
    let mut params = ListParams::default().limit(PAGE);
    loop {
        let page = objects.list(&params).await;
        let page = page.map_err(|error| failed("the namespace's MLDeployments", &error))?;
        for object in page.items.iter().filter(|object| decide::is_finalized(object)) {
            let name = object.metadata.name.as_deref().unwrap_or_default();
            one(&cluster, object)
                .await
                .map_err(|error| failed(name, &error))?;
            released += 1;
        }
        params.continue_token = page.metadata.continue_.filter(|token| !token.is_empty());
        if params.continue_token.is_none() {
            return Ok(released);
        }
    }
}

async fn one(cluster: &Cluster, object: &MLDeployment) -> Result<(), StepError> {
    let name = object.metadata.name.as_deref().unwrap_or_default();
    let mut attempts = 1;
    let mut object = Some(object.clone());
    while let Some(found) = object.filter(decide::is_finalized) {
        match cluster.finalize(&found, false).await {
            Err(StepError::Conflict) if attempts < ATTEMPTS => attempts += 1,
            released => return released.map(drop),
        }
        object = cluster.objects().get_opt(name).await?;
    }
    Ok(())
}
