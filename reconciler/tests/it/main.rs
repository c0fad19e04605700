//! The reconciler through its public interface, on repositories made for each test.
#![expect(clippy::unwrap_used, clippy::panic, reason = "tests: a failure is a panic")]

mod elsewhere;
mod following;
mod history;
mod intents;
mod long_history;
mod objects;
mod passes;
mod raises;
mod reading;
mod repository;
mod requests;
mod resolving;
mod signed;
mod signed_models;
mod stepping;
mod versions;
