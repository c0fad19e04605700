//! Keeps objects and aliases equal to what Git says.
//!
//! ```text
//! source  →  resolve  →  observe  →  plan  →  apply  →  report         one pass, over what was touched
//!  asks git   files →     objects,   planner   objects,   status of
//!             Desired     registry             aliases    the environment
//! ```
//!
//! Decisions are the planner's; here is only what reads and writes. Objects are reached through [`objects::ObjectStore`]:
//! nothing here knows a target, the server or the trainer.
#![forbid(unsafe_code)]
#![warn(missing_docs)]

mod apply;
mod awaited;
mod clock;
pub mod conditions;
mod converged;
pub mod diff;
pub mod edit;
pub mod git;
pub mod messages;
pub mod objects;
mod observe;
mod pass;
mod policy;
pub mod preview;
mod report;
pub mod resolve;
pub mod runs;
pub mod signatures;
pub mod source;
mod standing;
mod start;
mod upstream;
mod view;
pub mod zones;

pub use apply::{Applied, ApplyError, Failed};
pub use converged::Converged;
pub use pass::{Aborted, Admit, Beat, Live, Locate, Pass, Reconciler, Reported};
pub use policy::OVERRIDE_TRAILER;
pub use standing::{AwaitedPin, Standing};
pub use start::{FirstError, admission, first_environment};
pub use upstream::{ControlPlanes, Elsewhere, Fetched, Nobody, Traffic};
