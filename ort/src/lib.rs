//! Evaluates models by ONNX Runtime: those that `engine` refuses, and whose job and deployment say `engine: OnnxRuntime`.
//!
//! ```text
//! aurora: Model ─answer─> OnnxRuntime (this library) ─socket─> aurora-ort: limits ─> session ─> libonnxruntime.so
//! ```
//!
//! Each version has a process of its own, which can read no file and reach nobody once it has its model: what is wrong with a
//! model, or with the library, ends that process and nothing else. The process is not believed either: what it answers is held
//! against what it said that the model gives.
#![warn(missing_docs)]

mod process;
pub mod protocol;
mod runtime;

pub use runtime::{Limits, OnnxRuntime};
