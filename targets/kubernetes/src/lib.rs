//! A cluster as target.
//!
//! [`build`] says what objects become in it, [`operator`] makes models so.
//! [`objects`] are the blackboard as custom resources in a namespace.
//! [`router`] says whom a router of a model may ask.
//! [`cluster`] reads what the control plane shows of it.
//! Each controller runs as two replicas of which one leads: [`leadership`] says which, and what a leader may still write.
#![forbid(unsafe_code)]
#![warn(missing_docs)]

pub mod build;
pub mod cluster;
mod events;
pub mod leadership;
pub mod objects;
pub mod operator;
mod pods;
pub mod reconcile;
pub mod router;
pub mod trainings;
mod watch;
