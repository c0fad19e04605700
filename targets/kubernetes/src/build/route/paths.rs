//! Which paths are a model's.

use planner::names::{ModelName, Version};
use planner::route::Route;

/// A path that is a model's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Path {
    pub(super) kind: PathKind,
    pub(super) value: String,
}

/// Which requests a path stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum PathKind {
    /// Those below it too.
    Prefix,
    /// Those of it alone.
    Exact,
}

/// Returns the paths of a model: those that name it, or all below the one that the manifest gives.
pub(super) fn of_model(model: &ModelName, route: &Route) -> Vec<Path> {
    if let Some(path) = &route.path {
        return vec![prefix(path.clone())];
    }
    vec![
        prefix(format!("/v2/models/{model}")),
        exact(format!("/predict/{model}")),
        exact(format!("/predict/{model}/openapi.json")),
        exact(format!("/v1/models/{model}")),
        exact(format!("/v1/models/{model}:predict")),
    ]
}

/// Returns the path of a version.
pub(super) fn of_version(model: &ModelName, version: &Version) -> Path {
    prefix(format!("/v2/models/{model}/versions/{version}"))
}

fn prefix(value: String) -> Path {
    Path {
        kind: PathKind::Prefix,
        value,
    }
}

fn exact(value: String) -> Path {
    Path {
        kind: PathKind::Exact,
        value,
    }
}
