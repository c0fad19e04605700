//! What the engine takes, refuses and answers.

#![expect(clippy::unwrap_used, reason = "tests fail by a panic")]

mod distances;
mod hostile;
mod meaning;
mod model;
mod operators;
mod refusals;
mod trees;
