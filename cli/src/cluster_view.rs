//! What the control plane shows in a cluster: the API server's objects, nodes and storage classes. It needs no controller to
//! be alive.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use crds::view::View;
use kubernetes::cluster::{Cluster, Objects};
use serde_json::Value;
use server::{Infrastructure, Known, StatusSource};

use crate::life;

/// A cluster, shown.
pub(crate) struct ClusterView {
    cluster: Cluster,
    /// The last answer about objects, as it is shown.
    last: Mutex<(Arc<Objects>, Arc<View>)>,
}

impl ClusterView {
    /// Shows what a cluster says.
    pub(crate) fn new(cluster: Cluster) -> Self {
        Self {
            cluster,
            last: Mutex::default(),
        }
    }
}

impl StatusSource for ClusterView {
    fn known(&self) -> Known {
        match self.cluster.objects() {
            Ok(objects) => {
                let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
                if !Arc::ptr_eq(&last.0, &objects) {
                    let shown = Arc::new(view(&objects));
                    *last = (objects, shown);
                }
                Known::Objects(last.1.clone())
            }
            Err(why) => Known::Unreadable(format!("the objects are not known: {why}")),
        }
    }

    /// How long ago whoever reconciles was last alive, as far as it was known when the objects could last be read.
    fn age_seconds(&self) -> Option<f64> {
        let last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        Some(life::age_of(last.0.renewed?).as_secs_f64())
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

/// Returns the objects of a namespace as they are shown.
pub(crate) fn view(objects: &Objects) -> View {
    let Objects {
        environments,
        deployments,
        trainings,
        renewed: _,
    } = objects.clone();
    let name = |name: &Option<String>| name.clone().unwrap_or_default();
    View {
        environment: environments.into_iter().next(),
        deployments: deployments
            .into_iter()
            .map(|object| (name(&object.metadata.name), Arc::new(object)))
            .collect(),
        trainings: trainings
            .into_iter()
            .map(|object| (name(&object.metadata.name), Arc::new(object)))
            .collect(),
        unreadable: BTreeMap::new(),
        failure: None,
    }
}
