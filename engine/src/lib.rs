//! ONNX bytes → checked graph → program → answers.
//!
//! ```text
//! bytes --read--> nodes --by operator--> steps --run--> answers
//! ```
//!
//! Data, never code: an operator that [`OPERATORS`](ops::OPERATORS) does not name, an attribute that its reader has not
//! asked for, a shape in which rows would mix: each is refused when a file is read, by the node that is wrong. Types,
//! shapes, memory and work for a row are known before a request comes. No I/O, no clock, no threads.

mod build;
mod meaning;
mod node;
mod onnx;
mod ops;
mod program;
mod refusal;
mod types;
mod wire;

pub use ops::{Supported, supported};
pub use program::{Label, Program, Scratch, Tensor, UnknownCategory};
pub use refusal::{Limits, Refusal};
pub use types::{Buffer, Dim, Symbol, Symbols, Type};
