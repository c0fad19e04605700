//! The control plane's paths.

use planner::names::ModelName;
use registry::Reference;

use crate::http::reply::Failure;

/// A path whose names are names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Route {
    Health,
    Platform,
    Metrics,
    OpenApi,
    Models,
    Model(ModelName),
    Version(ModelName, Reference),
    Artifact(ModelName, Reference),
    Status,
    StatusOfModel(ModelName),
}

impl Route {
    /// Takes a path apart: 404 where there is no such path or nothing can have such a name.
    pub(super) fn parse(path: &str) -> Result<Self, Failure> {
        let path = path.trim_start_matches('/');
        let segments: Vec<&str> = path.strip_suffix('/').unwrap_or(path).splitn(6, '/').collect();
        Ok(match segments[..] {
            ["health"] => Self::Health,
            ["platform", "info"] => Self::Platform,
            ["metrics"] => Self::Metrics,
            ["openapi.json"] => Self::OpenApi,
            ["models"] => Self::Models,
            ["models", name] => Self::Model(model(name)?),
            ["models", name, text] => Self::Version(model(name)?, reference(text)?),
            ["models", name, text, "artifact"] => Self::Artifact(model(name)?, reference(text)?),
            ["status"] => Self::Status,
            ["status", "models", name] => Self::StatusOfModel(model(name)?),
            _ => {
                return Err(Failure::not_found(
                    "no such path: GET /openapi.json lists them".to_owned(),
                ));
            }
        })
    }

    pub(super) fn kind(&self) -> Kind {
        match self {
            Self::Health => Kind::Health,
            Self::Platform => Kind::Platform,
            Self::Metrics => Kind::Metrics,
            Self::OpenApi => Kind::OpenApi,
            Self::Models => Kind::Models,
            Self::Model(_) => Kind::Model,
            Self::Version(..) => Kind::Version,
            Self::Artifact(..) => Kind::Artifact,
            Self::Status => Kind::Status,
            Self::StatusOfModel(_) => Kind::StatusOfModel,
        }
    }
}

fn model(name: &str) -> Result<ModelName, Failure> {
    name.parse().map_err(|malformed: planner::names::Malformed| {
        Failure::not_found(format!("no such model: {malformed}"))
    })
}

fn reference(text: &str) -> Result<Reference, Failure> {
    // The colon of a digest is the one escape that clients make of these names.
    text.replace("%3A", ":")
        .replace("%3a", ":")
        .parse()
        .map_err(|malformed: planner::names::Malformed| {
            Failure::not_found(format!("no such version: {malformed}"))
        })
}

/// A path without what varies in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Health,
    Platform,
    Metrics,
    OpenApi,
    Models,
    Model,
    Version,
    Artifact,
    Status,
    StatusOfModel,
    Unknown,
}

impl Kind {
    pub(super) const ALL: [Self; 11] = [
        Self::Health,
        Self::Platform,
        Self::Metrics,
        Self::OpenApi,
        Self::Models,
        Self::Model,
        Self::Version,
        Self::Artifact,
        Self::Status,
        Self::StatusOfModel,
        Self::Unknown,
    ];

    /// Returns the path's template: the label `route`, and the key in the OpenAPI document.
    pub(super) const fn path(self) -> &'static str {
        match self {
            Self::Health => "/health",
            Self::Platform => "/platform/info",
            Self::Metrics => "/metrics",
            Self::OpenApi => "/openapi.json",
            Self::Models => "/models",
            Self::Model => "/models/{model}",
            Self::Version => "/models/{model}/{ref}",
            Self::Artifact => "/models/{model}/{ref}/artifact",
            Self::Status => "/status",
            Self::StatusOfModel => "/status/models/{model}",
            Self::Unknown => "unknown",
        }
    }
}
