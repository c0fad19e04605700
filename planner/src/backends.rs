//! Whom a router of a model may ask.

use std::collections::BTreeSet;
use std::net::SocketAddr;

use crate::names::{ModelName, Version, Weight};

/// What a router goes by: it follows this and decides nothing of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Backends {
    /// The registered model.
    pub model: ModelName,
    /// The canary's share of the requests that name neither track nor version.
    pub weight: Weight,
    /// Who answers as stable.
    pub stable: Backend,
    /// Who answers as canary, while there is one.
    pub canary: Option<Backend>,
}

/// Who answers as a track.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Backend {
    /// The version that they serve.
    pub version: Version,
    /// Where they are: those that can answer now.
    pub endpoints: BTreeSet<Endpoint>,
}

/// Where one of them is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Endpoint {
    /// Where it answers by HTTP.
    pub http: SocketAddr,
    /// Where it answers by gRPC, if it does.
    pub grpc: Option<SocketAddr>,
}

impl Endpoint {
    /// Returns one that answers by HTTP alone.
    pub fn by_http(http: SocketAddr) -> Self {
        Self { http, grpc: None }
    }
}
