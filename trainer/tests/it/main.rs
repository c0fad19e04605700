//! Whole runs: a request in, a published version or a refusal out.
#![expect(clippy::unwrap_used, clippy::panic, reason = "tests: a failure is a panic")]

mod attested;
mod bad_data;
mod california;
mod data_files;
mod external;
mod holdouts;
mod imports;
mod onnxruntime;
mod published;
mod signed;
mod world;
