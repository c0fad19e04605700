//! The model store on a shared filesystem, and the formats of what lies in it.
//!
//! ```text
//! <root>/aurora/
//!   registry/{current-version, metadata.json, identity.json, .lock}
//!   datasets/<sha256>
//!   <model>/versions/<version>/{model.onnx, metadata.json, checksums}
//!   <model>/aliases/{stable,canary} -> ../versions/<version>
//!   <model>/{history.jsonl, history-<n>.jsonl}
//!   <model>/descriptions/<version>.jsonl
//!   <model>/signatures/<version>/<key>.json
//!   <model>/runs/<version>/{request.json, progress.jsonl, result.json}
//!   <model>/runs/data.json
//! ```
//!
//! Several processes use one store at a time: readers take no lock and see the old or the new state of everything;
//! writers hold `registry/.lock` shared, so that whoever holds it exclusively knows that each `.tmp-*` is a leftover.
//! A version never changes once it is visible.
#![forbid(unsafe_code)]

mod alias;
pub mod artifact;
mod collect;
mod dataset;
mod description;
mod error;
mod facts;
pub mod files;
mod gate;
pub mod history;
mod identity;
mod lock;
pub mod metadata;
mod observer;
mod publish;
mod reference;
mod roots;
pub mod run;
mod shortage;
mod signatures;
mod store;
mod verify;

pub use collect::{Collected, Keep};
pub use description::{Description, DescriptionChange, TooLong};
pub use error::{Damage, StoreError};
pub use gate::Gate;
pub use history::{Event, HistoryEntry};
pub use identity::Wrong;
pub use observer::Observer;
pub use publish::Draft;
pub use reference::{Entry, Reference, ShortDigest};
pub use roots::{DatasetRoots, RootError, open_data_file};
pub use shortage::{Advice, Shortage};
pub use signatures::{Held, SIGNATURES_BYTES_MAX, Signatures, Signed, Unsigned, Untrusted};
pub use store::{LAYOUT, METADATA_BYTES_MAX, Owner, Store};
pub use verify::CHECKSUMS_BYTES_MAX;
