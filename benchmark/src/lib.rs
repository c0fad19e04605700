//! Reproduces each published figure, against the real binary, a real repository and real sockets.
//!
//! ```text
//! ground ── a clone, a data directory ──> process (aurora up) <── load (HTTP over epoll) ──> replies ──> figures
//!    └──── scenario (commits) ──────────────────┘
//! ```
//! Knows the product only by what it promises outside: its command line, its protocol and its files. One place writes
//! what the product itself writes, with its own `registry`: the many versions of `scale`.

pub mod artifact;
pub mod figures;
pub mod ground;
pub mod http;
pub mod idle;
pub mod load;
pub mod memory;
pub mod predict;
pub mod predictions;
pub mod process;
pub mod processor;
pub mod pushed;
pub mod reconcile;
pub mod replies;
pub mod scale;
pub mod scenario;
pub mod server;
pub mod soak;
pub mod split;
pub mod start;
pub mod status;
pub mod swap;
pub mod training;
