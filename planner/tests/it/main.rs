//! What the planner decides, shown through data.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "the helpers of tests fail as tests do"
)]

mod documents;
mod identity;
mod memory;
mod part;
mod plan;
mod rollout;
mod runs;
mod slots;
mod support;
mod tidy;
mod words;
mod world;
