//! The model store on a shared filesystem, and the formats of what lies in it.
//!
//! ```text
//! <root>/aurora/
//!   registry/{current-version, metadata.json, .lock}
//!   datasets/<sha256>
//!   <model>/versions/<version>/{model.onnx, metadata.json, checksums}
//!   <model>/aliases/{stable,canary} -> ../versions/<version>
//!   <model>/history.jsonl
//!   <model>/runs/<version>/{request.json, progress.jsonl, result.json}
//! ```
#![forbid(unsafe_code)]

pub mod artifact;
pub mod metadata;
pub mod run;
