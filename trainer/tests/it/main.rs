//! Whole runs: a request in, a published version or a refusal out.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "tests: a failure is a panic, and a test that does nothing says so"
)]

mod bad_data;
mod california;
mod holdouts;
mod onnxruntime;
mod published;
mod world;
