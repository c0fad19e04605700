//! Other environments' control planes: versions are imported from them, and they say what serves there.
//!
//! ```text
//! pass ── asks ──> rounds: a thread, one thing at a time ──> ControlPlanes (the edge)
//!   ^ what came so far, without waiting  │
//!   └──────────── news: the models of which there is more ┘
//! ```
//!
//! No pass waits for another machine.

mod imports;
mod rounds;
mod served;
mod traffic;

use std::fmt;

use planner::endpoint::Endpoint;
use planner::imports::{Fault, Wanted};
use planner::names::ModelName;
use registry::metadata::VersionMetadata;

pub(crate) use imports::Imports;
pub(crate) use served::{Known, Served, Statuses, ask};
pub(crate) use traffic::Rates;
pub use traffic::Traffic;

/// The control planes of other environments. Each call blocks, and takes no longer than a bounded time.
pub trait ControlPlanes: Send + Sync + fmt::Debug {
    /// Fetches a version whose artifact has the digest that is wanted. `partial` holds what came of the artifact before, and
    /// what came when this fails.
    ///
    /// # Errors
    ///
    /// It is not there, not handed out, or not what is wanted; or nobody answers.
    fn version(&self, wanted: &Wanted, partial: &mut Vec<u8>) -> Result<Fetched, Fault>;

    /// Returns what a control plane says of a model's state: the JSON of `/status/models/{model}`; `None` where it has no
    /// such model.
    ///
    /// # Errors
    ///
    /// Why it says nothing, for people.
    fn status(&self, at: &Endpoint, model: &ModelName) -> Result<Option<Vec<u8>>, String>;
}

/// Whom a comparison of two commits may ask besides Git and a registry.
#[derive(Debug, Clone, Copy, Default)]
pub struct Elsewhere<'a> {
    /// Who asks the control planes that manifests name; absent where nobody may be asked.
    pub planes: Option<&'a dyn ControlPlanes>,
    /// The control plane that counts the environment's own requests; absent where nobody named one.
    pub traffic: Option<Traffic<'a>>,
}

/// A version that came.
#[derive(Debug, Clone, PartialEq)]
pub struct Fetched {
    /// Its record.
    pub metadata: VersionMetadata,
    /// Its artifact's bytes.
    pub artifact: Vec<u8>,
}

/// Asks nobody: for processes that were given no way to.
#[derive(Debug, Clone, Copy)]
pub struct Nobody;

const NO_WAY: &str = "this process asks no other environment";

impl ControlPlanes for Nobody {
    fn version(&self, _wanted: &Wanted, _partial: &mut Vec<u8>) -> Result<Fetched, Fault> {
        Err(Fault::Unavailable(NO_WAY.to_owned()))
    }

    fn status(&self, _at: &Endpoint, _model: &ModelName) -> Result<Option<Vec<u8>>, String> {
        Err(NO_WAY.to_owned())
    }
}
