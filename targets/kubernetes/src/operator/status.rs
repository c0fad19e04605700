//! How a status is written, whatever the kind: by its only writer, at the version that was decided about.

use kube::api::{Patch, PatchParams};
use kube::core::ObjectMeta;
use kube::{Api, Resource};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::json;

use super::MANAGER;
use super::cluster::StepError;

/// Writes an object's status, unless it says so already or somebody else has written the object. Returns whether it did.
pub(super) async fn report<K, S>(
    api: &Api<K>,
    metadata: &ObjectMeta,
    (before, after): (Option<&S>, &S),
) -> Result<bool, StepError>
where
    K: Resource<DynamicType = ()> + Clone + DeserializeOwned + std::fmt::Debug,
    S: Serialize + PartialEq,
{
    if before == Some(after) {
        return Ok(false);
    }
    let name = metadata.name.as_deref().unwrap_or_default();
    let document = json!({
        "apiVersion": K::api_version(&()), "kind": K::kind(&()),
        "metadata": { "name": name, "resourceVersion": metadata.resource_version },
        "status": after,
    });
    let params = PatchParams::apply(MANAGER).force();
    let written = api.patch_status(name, &params, &Patch::Apply(&document)).await;
    written.map(|_| true).map_err(conflict)
}

/// Sorts out that somebody else has written an object. What is gone meanwhile was written by somebody else, too.
pub(super) fn conflict(error: kube::Error) -> StepError {
    match error {
        kube::Error::Api(status) if status.code == 409 || status.code == 404 => StepError::Conflict,
        error => error.into(),
    }
}
