//! The store as its users see it: through files, from several processes, after crashes and after tampering.
#![expect(
    clippy::unwrap_used,
    clippy::format_push_string,
    reason = "what fails unexpectedly in a helper fails the test; short texts, built line by line"
)]

mod behaviour;
mod crash;
mod described;
mod junk;
mod model;
mod observer;
mod owner;
mod parts;
mod scenario;
mod signed;
mod tamper;
mod view;
