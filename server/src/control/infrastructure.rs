//! `/cluster/nodes`, `/storage/classes` and `/storage/volumes`: what the installation runs on, as far as it is known.

use registry::Store;
use rustix::fs::statvfs;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::shown::{Nodes, Space, StorageClasses, StorageVolumes};

/// What Aurora runs on: the machines, and where volumes come from. One machine, or a cluster.
///
/// What is not known is said as such, with the reason; it is never an empty list. Called on a thread that may block.
pub trait Infrastructure: Send + Sync {
    /// Returns `[{"name", "ready", "roles", "version", "capacity": {…}, "allocatable": {…}}]`, or why that is not known.
    fn nodes(&self) -> Result<Value, String>;
    /// Returns `[{"name", "provisioner", "default", "expansion", "binding_mode"}]`, or why that is not known.
    fn storage_classes(&self) -> Result<Value, String>;
    /// Returns `[{"name", "class", "volume", "phase", "requested", "capacity", "access_modes"}]`: what claims storage, or why
    /// that is not known.
    fn volumes(&self) -> Result<Value, String>;
}

/// Shows the machines.
pub(super) fn nodes(infrastructure: &dyn Infrastructure) -> Nodes {
    let (nodes, unknown) = known(infrastructure.nodes());
    Nodes { nodes, unknown }
}

/// Shows where volumes come from, and the one that holds the models.
pub(super) fn classes(infrastructure: &dyn Infrastructure, store: &Store) -> StorageClasses {
    let (classes, unknown) = known(infrastructure.storage_classes());
    let volume = space(store);
    StorageClasses {
        classes,
        unknown,
        volume,
    }
}

/// Shows what claims storage, and how much of its own the registry has left.
pub(super) fn volumes(infrastructure: &dyn Infrastructure, store: &Store) -> StorageVolumes {
    let (volumes, unknown) = known(infrastructure.volumes());
    let registry = space(store);
    StorageVolumes {
        volumes,
        unknown,
        registry,
    }
}

/// Returns a list, or why there is none.
fn known<T: DeserializeOwned>(list: Result<Value, String>) -> (Option<T>, Option<String>) {
    let list = list.and_then(|list| {
        serde_json::from_value(list).map_err(|error| format!("what is said of it cannot be read: {error}"))
    });
    match list {
        Ok(list) => (Some(list), None),
        Err(why) => (None, Some(why)),
    }
}

fn space(store: &Store) -> Space {
    match statvfs(store.root()) {
        Ok(system) => Space::Known {
            capacity_bytes: system.f_blocks * system.f_frsize,
            used_bytes: system.f_blocks.saturating_sub(system.f_bfree) * system.f_frsize,
            available_bytes: system.f_bavail * system.f_frsize,
        },
        Err(error) => Space::Unknown {
            unknown: format!("the registry's file system does not say: {error}"),
        },
    }
}
