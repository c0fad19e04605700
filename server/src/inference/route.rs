//! The listener's paths. Segments are compared as they are: names and versions need no escapes.

use strum::{EnumCount, IntoStaticStr, VariantArray};

use crate::http::gate::{Audience, Demands, Methods};
use crate::metrics::{Metrics, Page, RouteMeters};

/// A path, taken apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Route<'a> {
    /// What clients of KServe's first protocol ask to learn whether somebody is there.
    Root,
    Server,
    Live,
    Ready,
    Models,
    Model {
        name: &'a str,
        version: Option<&'a str>,
    },
    ModelReady {
        name: &'a str,
        version: Option<&'a str>,
    },
    Infer {
        name: &'a str,
        version: Option<&'a str>,
    },
    Config {
        name: &'a str,
        version: Option<&'a str>,
    },
    Stats {
        name: &'a str,
        version: Option<&'a str>,
    },
    Index,
    ChangeModel,
    Predict {
        name: Option<&'a str>,
    },
    /// What describes a model's plain path.
    OpenApi {
        name: &'a str,
    },
    /// KServe's first protocol.
    FirstModels,
    FirstModel {
        name: &'a str,
    },
    FirstPredict {
        name: &'a str,
    },
    /// MLflow's scoring protocol.
    Invocations,
    Ping,
    Version,
    Health,
    Metrics,
    Unknown,
}

impl<'a> Route<'a> {
    pub(crate) fn parse(path: &'a str) -> Self {
        let mut segments = [""; 8];
        let mut count = 0;
        for segment in path.trim_start_matches('/').split('/') {
            if count == segments.len() {
                return Self::Unknown;
            }
            segments[count] = segment;
            count += 1;
        }
        // `/v2/` is `/v2`: the protocol's OpenAPI file writes the slash, its text does not.
        if count > 1 && segments[count - 1].is_empty() {
            count -= 1;
        }
        match segments[..count] {
            [""] => Self::Root,
            ["v2"] => Self::Server,
            ["v2", "health", "live"] => Self::Live,
            ["v2", "health", "ready"] => Self::Ready,
            ["v2", "models"] => Self::Models,
            ["v2", "models", name] => Self::Model { name, version: None },
            ["v2", "models", name, "ready"] => Self::ModelReady { name, version: None },
            ["v2", "models", name, "infer"] => Self::Infer { name, version: None },
            ["v2", "models", name, "config"] => Self::Config { name, version: None },
            ["v2", "models", name, "stats"] => Self::Stats { name, version: None },
            ["v2", "models", name, "versions", version] => Self::Model {
                name,
                version: Some(version),
            },
            ["v2", "models", name, "versions", version, "ready"] => Self::ModelReady {
                name,
                version: Some(version),
            },
            ["v2", "models", name, "versions", version, "infer"] => Self::Infer {
                name,
                version: Some(version),
            },
            ["v2", "models", name, "versions", version, "config"] => Self::Config {
                name,
                version: Some(version),
            },
            ["v2", "models", name, "versions", version, "stats"] => Self::Stats {
                name,
                version: Some(version),
            },
            ["v2", "repository", "index"] => Self::Index,
            ["v2", "repository", "models", _, "load" | "unload"] => Self::ChangeModel,
            ["predict"] => Self::Predict { name: None },
            ["predict", name] => Self::Predict { name: Some(name) },
            ["predict", name, "openapi.json"] => Self::OpenApi { name },
            ["v1", "models"] => Self::FirstModels,
            ["v1", "models", name] => match name.strip_suffix(":predict") {
                Some(name) => Self::FirstPredict { name },
                None => Self::FirstModel { name },
            },
            ["invocations"] => Self::Invocations,
            ["ping"] => Self::Ping,
            ["version"] => Self::Version,
            ["health"] => Self::Health,
            ["metrics"] => Self::Metrics,
            _ => Self::Unknown,
        }
    }

    pub(crate) fn kind(self) -> Kind {
        match self {
            Self::Root => Kind::Root,
            Self::Server => Kind::Server,
            Self::Live => Kind::Live,
            Self::Ready => Kind::Ready,
            Self::Models => Kind::Models,
            Self::Model { .. } => Kind::Model,
            Self::ModelReady { .. } => Kind::ModelReady,
            Self::Infer { .. } => Kind::Infer,
            Self::Config { .. } => Kind::Config,
            Self::Stats { .. } => Kind::Stats,
            Self::Index => Kind::Index,
            Self::ChangeModel => Kind::ChangeModel,
            Self::Predict { .. } => Kind::Predict,
            Self::OpenApi { .. } => Kind::OpenApi,
            Self::FirstModels => Kind::FirstModels,
            Self::FirstModel { .. } => Kind::FirstModel,
            Self::FirstPredict { .. } => Kind::FirstPredict,
            Self::Invocations => Kind::Invocations,
            Self::Ping => Kind::Ping,
            Self::Version => Kind::Version,
            Self::Health => Kind::Health,
            Self::Metrics => Kind::Metrics,
            Self::Unknown => Kind::Unknown,
        }
    }
}

/// A path without what varies in it: the label `route`, the methods, and whether it is open to everybody.
#[derive(Debug, Clone, Copy, PartialEq, Eq, EnumCount, IntoStaticStr, VariantArray)]
pub(crate) enum Kind {
    #[strum(serialize = "/")]
    Root,
    #[strum(serialize = "/v2")]
    Server,
    #[strum(serialize = "/v2/health/live")]
    Live,
    #[strum(serialize = "/v2/health/ready")]
    Ready,
    #[strum(serialize = "/v2/models")]
    Models,
    #[strum(serialize = "/v2/models/{model}")]
    Model,
    #[strum(serialize = "/v2/models/{model}/ready")]
    ModelReady,
    #[strum(serialize = "/v2/models/{model}/infer")]
    Infer,
    #[strum(serialize = "/v2/models/{model}/config")]
    Config,
    #[strum(serialize = "/v2/models/{model}/stats")]
    Stats,
    #[strum(serialize = "/v2/repository/index")]
    Index,
    #[strum(serialize = "/v2/repository/models/{model}")]
    ChangeModel,
    #[strum(serialize = "/predict/{model}")]
    Predict,
    #[strum(serialize = "/predict/{model}/openapi.json")]
    OpenApi,
    #[strum(serialize = "/v1/models")]
    FirstModels,
    #[strum(serialize = "/v1/models/{model}")]
    FirstModel,
    #[strum(serialize = "/v1/models/{model}:predict")]
    FirstPredict,
    #[strum(serialize = "/invocations")]
    Invocations,
    #[strum(serialize = "/ping")]
    Ping,
    #[strum(serialize = "/version")]
    Version,
    #[strum(serialize = "/health")]
    Health,
    #[strum(serialize = "/metrics")]
    Metrics,
    #[strum(serialize = "unknown")]
    Unknown,
}

impl Kind {
    /// Builds the meters of each kind, in the order of the variants.
    pub(crate) fn meters(metrics: &Metrics) -> [RouteMeters; Self::COUNT] {
        std::array::from_fn(|at| {
            let kind = Self::VARIANTS[at];
            metrics.route(Page::Inference, kind.method(), kind.into())
        })
    }

    /// Returns what the path asks of a request.
    pub(crate) fn demands(self) -> Demands {
        let audience = match self {
            Self::Root | Self::Live | Self::Ready | Self::Ping | Self::Health => Audience::Probes,
            Self::Metrics => Audience::Scrapers,
            _ => Audience::Keys,
        };
        let methods = match self.method() {
            _ if self == Self::Unknown => Methods::None,
            "POST" => Methods::Call,
            _ => Methods::Read,
        };
        Demands { audience, methods }
    }

    /// Returns the method that the path is made for.
    const fn method(self) -> &'static str {
        match self {
            Self::Infer
            | Self::Index
            | Self::ChangeModel
            | Self::Predict
            | Self::FirstPredict
            | Self::Invocations => "POST",
            Self::Root
            | Self::Server
            | Self::Live
            | Self::Ready
            | Self::Models
            | Self::Model
            | Self::ModelReady
            | Self::Config
            | Self::Stats
            | Self::OpenApi
            | Self::FirstModels
            | Self::FirstModel
            | Self::Ping
            | Self::Version
            | Self::Health
            | Self::Metrics
            | Self::Unknown => "GET",
        }
    }
}
