//! Makes a namespace follow its MLDeployments and MLTrainingJobs: what the planner decides, done to Deployments, Services,
//! routes and Jobs.
//!
//! ```text
//! watch ──> queue ──> GET object ──> observe children ──> decide (pure) ──> acts (pure) ──> apply ──> status
//!             ▲                                                                              │
//!             └──────────────────────────── wake, again soon, back-off ◄─────────────────────┘
//! ```
//!
//! A step begins with the object as it is now and ends with its status at the version that it began with: where somebody
//! else wrote meanwhile, the step is dropped and decided anew. Its whole memory is that status. Nothing waits inside a step;
//! an object that fails is tried again after a back-off of its own and delays no other. Each kind has a loop of its own
//! ([`run`]): one that cannot be followed, or whose steps wait for a volume, does not hold up the other.

mod acts;
mod carried;
mod child;
mod cluster;
mod decide;
mod deployments;
mod events;
mod index;
mod lead;
mod observe;
mod queue;
pub mod release;
mod run;
mod status;
mod trainings;
mod way;

use std::path::PathBuf;

use crate::build::Installation;
use crate::build::training::REGISTRY;

pub(crate) use decide::FINALIZER;
pub use lead::{Ended, Options, lead};
pub use run::{Health, run};

/// The field manager of children and statuses.
pub const MANAGER: &str = "aurora-operator";
/// The field manager that holds a Deployment's number of replicas until an autoscaler does.
const HANDOVER_MANAGER: &str = "aurora-operator-handover";
/// How many training runs are under way at a time, unless it is said.
pub const RUNS_MAX: usize = 16;

/// What is operated, and with what.
#[derive(Debug, Clone)]
pub struct Scope {
    /// What all children have in common.
    pub installation: Installation,
    /// Where the registry's volume is mounted for this process, to be read.
    pub registry: PathBuf,
    /// How many training runs are under way at a time.
    pub runs_max: usize,
}

impl From<Installation> for Scope {
    /// The registry where Pods have it, and as many runs as are meant to be.
    fn from(installation: Installation) -> Self {
        Self {
            installation,
            registry: REGISTRY.into(),
            runs_max: RUNS_MAX,
        }
    }
}
