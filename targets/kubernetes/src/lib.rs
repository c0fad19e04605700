//! A cluster as target.
//!
//! Each controller runs as two replicas of which one leads: [`leadership`] says which, and what a leader may still write.
#![forbid(unsafe_code)]
#![warn(missing_docs)]

pub mod leadership;
