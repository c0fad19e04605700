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
    pub endpoints: BTreeSet<SocketAddr>,
}
