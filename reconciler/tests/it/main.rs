//! The reconciler through its public interface, on repositories made for each test.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod following;
mod history;
mod intents;
mod repository;
mod resolving;
mod stepping;
