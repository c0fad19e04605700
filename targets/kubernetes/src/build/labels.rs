//! The labels and annotations of children: by labels they are found, annotations say what they hold.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, ObjectMeta};
use planner::names::{ModelName, Track};

use super::{Installation, Owner};

/// The label that names the model.
pub const MODEL: &str = "aurora.io/model";
/// The label that names the track: what a Service and a NetworkPolicy go by.
pub const TRACK: &str = "track";
/// The annotation with the digest that a pod serves.
pub const DIGEST: &str = "aurora.io/digest";
/// The annotation with the version that a pod serves or makes.
pub const VERSION: &str = "aurora.io/version";
/// The annotation with the commit that last changed what a pod serves.
pub const REVISION: &str = "aurora.io/revision";

/// What a child is there for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Component {
    Serving,
    Route,
    Training,
}

impl Component {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Serving => "serving",
            Self::Route => "route",
            Self::Training => "training",
        }
    }
}

pub(super) type Map = BTreeMap<String, String>;

pub(super) fn map<const N: usize>(entries: [(&str, &str); N]) -> Map {
    let entries = entries.into_iter();
    entries
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .collect()
}

/// Returns the labels of a child.
pub(super) fn labels(
    installation: &Installation,
    owner: &Owner,
    model: &ModelName,
    component: Component,
) -> Map {
    map([
        ("app", owner.name.as_str()),
        ("app.kubernetes.io/name", "aurora-model"),
        ("app.kubernetes.io/instance", owner.name.as_str()),
        ("app.kubernetes.io/component", component.as_str()),
        ("app.kubernetes.io/managed-by", "aurora-operator"),
        (crds::ENVIRONMENT_LABEL, installation.environment.as_str()),
        (MODEL, model.as_str()),
    ])
}

/// Returns labels with that of a track.
pub(super) fn of_track(mut labels: Map, track: Track) -> Map {
    labels.insert(TRACK.to_owned(), track.as_str().to_owned());
    labels
}

/// Returns by which labels the pods of a track are found. They never change: a Deployment's selector cannot.
pub(super) fn selects_track(owner: &Owner, track: Track) -> Map {
    map([("app", owner.name.as_str()), (TRACK, track.as_str())])
}

/// Returns by which labels the pods of a router are found.
pub(super) fn selects_router(owner: &Owner) -> Map {
    map([
        ("app", owner.name.as_str()),
        ("app.kubernetes.io/component", Component::Route.as_str()),
    ])
}

/// Returns how the pods of an object's router are asked for.
pub(crate) fn asks_for_router(object: &str) -> String {
    let component = Component::Route.as_str();
    format!("app={object},app.kubernetes.io/component={component}")
}

pub(super) fn selector(labels: Map) -> LabelSelector {
    LabelSelector {
        match_labels: Some(labels),
        match_expressions: None,
    }
}

/// Returns the metadata of a child.
pub(super) fn metadata(installation: &Installation, owner: &Owner, name: String, labels: Map) -> ObjectMeta {
    ObjectMeta {
        name: Some(name),
        namespace: Some(installation.namespace.clone()),
        labels: Some(labels),
        owner_references: Some(vec![owner.reference()]),
        ..ObjectMeta::default()
    }
}
