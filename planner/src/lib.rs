//! Decides what must change; does nothing.
//!
//! Three pure functions decide everything that Aurora does:
//!
//! ```text
//! plan(desired, observed, now)          specs, staged data, aliases, removals    run by the reconciler
//! runs(job, records, now)               which training run starts, retries, ends run per job by the target
//! rollout(spec, commands, tracks, …)    tracks, live weight, transitions         run per model by the target
//! ```
//!
//! This crate knows no Git, no file, no clock, no randomness and no Kubernetes type: values in, values out.
#![forbid(unsafe_code)]
#![warn(missing_docs, clippy::wildcard_enum_match_arm)]

pub mod backends;
pub mod clock;
pub mod commits;
pub mod deployment;
pub mod desired;
pub mod endpoint;
pub mod engine;
pub mod environment;
pub mod finding;
pub mod gates;
pub mod identity;
pub mod imports;
pub mod memory;
pub mod names;
pub mod notify;
pub mod object;
pub mod observed;
pub mod part;
pub mod per_track;
pub mod plan;
pub mod pod;
pub mod rollout;
pub mod route;
pub mod runs;
pub mod schedule;
pub mod shown;
pub mod signature;
pub mod span;
pub mod training;
pub mod trust;
pub mod window;
pub mod word;

pub use chrono::{DateTime, Utc};

/// A point in time, UTC.
pub type Timestamp = DateTime<Utc>;
