//! Keeps what serves equal to what Git says.
//!
//! ```text
//! source  →  resolve  →  observe  →  plan  →  apply  →  report         one pass, by the driver
//!  git2       files →     objects,   planner   objects,   status of
//!             Desired     registry             aliases    the environment
//! standalone: the objects in a data directory, and the loop that makes slots and child processes follow them
//! ```
//!
//! Decisions are the planner's; here is only what reads and writes. Nothing here knows the server or the trainer.
#![forbid(unsafe_code)]
#![warn(missing_docs)]

mod apply;
pub mod diff;
mod driver;
mod observe;
pub mod preview;
pub mod report;
pub mod resolve;
pub mod source;
pub mod standalone;
