//! What the planner decides, shown through data.

mod identity;
mod plan;
mod rollout;
mod runs;
mod slots;
mod support;
mod tidy;
mod world;
