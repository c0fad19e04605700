//! `/cluster/nodes` and `/storage/classes`: what the installation runs on, as far as it is known.

use registry::Store;
use rustix::fs::statvfs;
use serde_json::{Value, json};
use warp::reply::Response;

use super::ok;

/// What Aurora runs on: the machines, and where volumes come from. One machine, or a cluster.
///
/// What is not known is said as such, with the reason; it is never an empty list. Called on a thread that may block.
pub trait Infrastructure: Send + Sync {
    /// Returns `[{"name", "ready", "roles", "version", "capacity": {…}, "allocatable": {…}}]`, or why that is not known.
    fn nodes(&self) -> Result<Value, String>;
    /// Returns `[{"name", "provisioner", "default", "expansion", "binding_mode"}]`, or why that is not known.
    fn storage_classes(&self) -> Result<Value, String>;
}

/// Shows the machines.
pub(super) fn nodes(infrastructure: &dyn Infrastructure) -> Response {
    ok(&known("nodes", infrastructure.nodes()))
}

/// Shows where volumes come from, and the one that holds the models.
pub(super) fn storage(infrastructure: &dyn Infrastructure, store: &Store) -> Response {
    let mut shown = known("classes", infrastructure.storage_classes());
    shown["volume"] = volume(store);
    ok(&shown)
}

/// Shows a list, or why there is none.
fn known(name: &str, list: Result<Value, String>) -> Value {
    match list {
        Ok(list) => json!({ name: list }),
        Err(why) => json!({ name: null, "unknown": why }),
    }
}

/// Shows the file system of the registry, in bytes.
fn volume(store: &Store) -> Value {
    match statvfs(store.root()) {
        Ok(system) => json!({
            "capacity_bytes": system.f_blocks * system.f_frsize,
            "used_bytes": system.f_blocks.saturating_sub(system.f_bfree) * system.f_frsize,
            "available_bytes": system.f_bavail * system.f_frsize,
        }),
        Err(error) => json!({ "unknown": format!("the registry's file system does not say: {error}") }),
    }
}
