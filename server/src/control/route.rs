//! The control plane's paths.

use planner::names::ModelName;
use registry::Reference;
use strum::{EnumCount, IntoStaticStr, VariantArray};

use super::models::no_version;
use super::status;
use crate::http::gate::{Audience, Demands, Methods};
use crate::http::reply::Failure;
use crate::metrics::{Metrics, Page, RouteMeters};

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
    Signatures(ModelName, Reference),
    Status(status::At),
    Nodes,
    Classes,
    Volumes,
    /// The page, or what it loads: the path without its first slash.
    Dashboard(String),
}

impl Route {
    /// Takes a path apart: 404 where there is no such path, 400 where nothing can have such a name.
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
            ["models", name, text, "signatures"] => Self::Signatures(model(name)?, reference(text)?),
            ["cluster", "nodes"] => Self::Nodes,
            ["storage", "classes"] => Self::Classes,
            ["storage", "volumes"] => Self::Volumes,
            ["status"] => Self::Status(status::At::All),
            ["status", "objects"] => Self::Status(status::At::Objects),
            ["status", "events"] => Self::Status(status::At::Events),
            ["status", "badge.svg"] => Self::Status(status::At::Badge),
            ["status", "models", name] => Self::Status(status::At::Model(model(name)?)),
            ["status", "models", name, "badge.svg"] => Self::Status(status::At::BadgeOfModel(model(name)?)),
            [""] | ["assets", _] => Self::Dashboard(path.to_owned()),
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
            Self::Signatures(..) => Kind::Signatures,
            Self::Status(status::At::All) => Kind::Status,
            Self::Status(status::At::Objects) => Kind::StatusObjects,
            Self::Status(status::At::Events) => Kind::StatusEvents,
            Self::Status(status::At::Badge) => Kind::StatusBadge,
            Self::Status(status::At::Model(_)) => Kind::StatusOfModel,
            Self::Status(status::At::BadgeOfModel(_)) => Kind::BadgeOfModel,
            Self::Nodes => Kind::Nodes,
            Self::Classes => Kind::Classes,
            Self::Volumes => Kind::Volumes,
            Self::Dashboard(_) => Kind::Dashboard,
        }
    }
}

fn model(name: &str) -> Result<ModelName, Failure> {
    name.parse().map_err(|malformed: planner::names::Malformed| {
        Failure::bad_request(format!("no model has such a name: {malformed}"))
    })
}

fn reference(text: &str) -> Result<Reference, Failure> {
    // The colon of a digest is the one escape that clients make of these names.
    text.replace("%3A", ":")
        .replace("%3a", ":")
        .parse()
        .map_err(|malformed| no_version(text, &malformed))
}

/// A path without what varies in it: the label `route`, and the key in the OpenAPI document.
#[derive(Debug, Clone, Copy, PartialEq, Eq, EnumCount, IntoStaticStr, VariantArray)]
pub(super) enum Kind {
    #[strum(serialize = "/health")]
    Health,
    #[strum(serialize = "/platform/info")]
    Platform,
    #[strum(serialize = "/metrics")]
    Metrics,
    #[strum(serialize = "/openapi.json")]
    OpenApi,
    #[strum(serialize = "/models")]
    Models,
    #[strum(serialize = "/models/{model}")]
    Model,
    #[strum(serialize = "/models/{model}/{ref}")]
    Version,
    #[strum(serialize = "/models/{model}/{ref}/artifact")]
    Artifact,
    #[strum(serialize = "/models/{model}/{ref}/signatures")]
    Signatures,
    #[strum(serialize = "/status")]
    Status,
    #[strum(serialize = "/status/objects")]
    StatusObjects,
    #[strum(serialize = "/status/events")]
    StatusEvents,
    #[strum(serialize = "/status/badge.svg")]
    StatusBadge,
    #[strum(serialize = "/status/models/{model}")]
    StatusOfModel,
    #[strum(serialize = "/status/models/{model}/badge.svg")]
    BadgeOfModel,
    #[strum(serialize = "/cluster/nodes")]
    Nodes,
    #[strum(serialize = "/storage/classes")]
    Classes,
    #[strum(serialize = "/storage/volumes")]
    Volumes,
    #[strum(serialize = "/")]
    Dashboard,
    #[strum(serialize = "unknown")]
    Unknown,
}

impl Kind {
    /// Returns what the path asks of a request: all are read.
    pub(super) const fn demands(self) -> Demands {
        let audience = match self {
            Self::Health => Audience::Probes,
            Self::Metrics => Audience::Scrapers,
            Self::Dashboard => Audience::Public,
            _ => Audience::Keys,
        };
        let methods = match self {
            Self::Unknown => Methods::None,
            _ => Methods::Read,
        };
        Demands { audience, methods }
    }

    /// Builds the meters of each kind, in the order of the variants.
    pub(super) fn meters(metrics: &Metrics) -> [RouteMeters; Self::COUNT] {
        std::array::from_fn(|at| metrics.route(Page::ControlPlane, "GET", Self::VARIANTS[at].into()))
    }
}
