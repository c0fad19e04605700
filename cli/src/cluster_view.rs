//! What the control plane shows in a cluster: the API server's objects, nodes and storage classes. It needs no controller to
//! be alive.

use std::collections::BTreeMap;
use std::sync::Arc;

use crds::view::View;
use kubernetes::cluster::{Cluster, Objects};
use serde_json::Value;
use server::{Infrastructure, Known, StatusSource};

/// A cluster, shown.
#[derive(Clone)]
pub(crate) struct ClusterView(Arc<Cluster>);

impl ClusterView {
    /// Shows what a cluster says.
    pub(crate) fn new(cluster: Cluster) -> Self {
        Self(Arc::new(cluster))
    }
}

impl StatusSource for ClusterView {
    fn known(&self) -> Known {
        let (objects, _age) = self.0.objects();
        match objects {
            Ok(objects) => Known::Objects(Box::new(view(&objects))),
            Err(why) => Known::Unreadable(format!("the objects are not known: {why}")),
        }
    }

    fn age_seconds(&self) -> Option<f64> {
        self.0.age().map(|age| age.as_secs_f64())
    }
}

impl Infrastructure for ClusterView {
    fn nodes(&self) -> Result<Value, String> {
        self.0.nodes()
    }

    fn storage_classes(&self) -> Result<Value, String> {
        self.0.storage_classes()
    }

    fn volumes(&self) -> Result<Value, String> {
        self.0.volumes()
    }
}

/// Returns the objects of a namespace as they are shown.
pub(crate) fn view(objects: &Objects) -> View {
    let Objects {
        environments,
        deployments,
        trainings,
    } = objects.clone();
    let name = |name: &Option<String>| name.clone().unwrap_or_default();
    View {
        environment: environments.into_iter().next(),
        deployments: deployments
            .into_iter()
            .map(|object| (name(&object.metadata.name), object))
            .collect(),
        trainings: trainings
            .into_iter()
            .map(|object| (name(&object.metadata.name), object))
            .collect(),
        unreadable: BTreeMap::new(),
    }
}
