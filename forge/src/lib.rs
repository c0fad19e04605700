//! What a forge is told and asked.
//!
//! ```text
//! repository   which one, and where its API is
//! standing     a report → what a commit's status says (pure)
//! reporter     keeps commit statuses and deployment records as the newest report says
//! github       the REST calls: one after the other, writes a second apart, limits obeyed
//! ```
//!
//! A forge that is away holds nothing up: the newest state waits for it, those before it are dropped.
#![forbid(unsafe_code)]
#![warn(missing_docs)]

mod error;
mod github;
mod reporter;
mod repository;
mod standing;

pub use error::ForgeError;
pub use github::{Comment, Commented, GitHub, Opened, Proposal, Settings, Token};
pub use reporter::{Reporter, Told};
pub use repository::{ForgeRepository, RepositoryError};
pub use standing::{CommitState, State};
