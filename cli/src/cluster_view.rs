//! What the control plane shows in a cluster: the API server's objects, nodes and storage classes. It needs no controller to
//! be alive.

use std::sync::{Mutex, PoisonError};

use kubernetes::cluster::Cluster;
use planner::Timestamp;
use serde_json::Value;
use server::{Infrastructure, Known, StatusSource};

use crate::life;

/// A cluster, shown.
pub(crate) struct ClusterView {
    cluster: Cluster,
    /// When whoever reconciles was last seen alive.
    renewed: Mutex<Option<Timestamp>>,
}

impl ClusterView {
    /// Shows what a cluster says.
    pub(crate) fn new(cluster: Cluster) -> Self {
        Self {
            cluster,
            renewed: Mutex::default(),
        }
    }
}

impl StatusSource for ClusterView {
    fn known(&self) -> Known {
        match self.cluster.objects() {
            Ok(objects) => {
                *self.renewed.lock().unwrap_or_else(PoisonError::into_inner) = objects.renewed;
                Known::Objects(objects.view)
            }
            Err(why) => Known::Unreadable(format!("the objects are not known: {why}")),
        }
    }

    /// How long ago whoever reconciles was last alive, as far as it was known when the objects could last be read.
    fn age_seconds(&self) -> Option<f64> {
        let renewed = *self.renewed.lock().unwrap_or_else(PoisonError::into_inner);
        Some(life::age_of(renewed?).as_secs_f64())
    }
}

impl Infrastructure for ClusterView {
    fn nodes(&self) -> Result<Value, String> {
        self.cluster.nodes()
    }

    fn storage_classes(&self) -> Result<Value, String> {
        self.cluster.storage_classes()
    }

    fn volumes(&self) -> Result<Value, String> {
        self.cluster.volumes()
    }
}
