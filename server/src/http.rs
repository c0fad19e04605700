//! Connections and the shape of answers, for both listeners.
//!
//! warp answers requests; accepting, time-outs, bounds and the drain are ours (`connection`). No answer is HTML and
//! no error lacks its `{"error": …}`, but for what is no HTTP at all: hyper's own 400 and 431 have no body.

pub(crate) mod body;
mod busy;
mod connection;
pub(crate) mod reply;
mod stall;

use std::time::Duration;

pub(crate) use connection::serve;

/// What a listener takes from strangers. The defaults suit both listeners.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Open connections; one more is told 503 and closed.
    pub connections: usize,
    /// Requests between their last byte and their answer; one more is told 429.
    pub requests: usize,
    /// Bytes of one request's body; more is 413.
    pub body_bytes: usize,
    /// Bytes of bodies held at once; what would exceed them is told 503.
    pub bodies_bytes: usize,
    /// Rows of one request; more is 413.
    pub rows: usize,
    /// How long headers may take, and how long a connection may idle between requests; then it is closed.
    pub header_timeout: Duration,
    /// How long a body may take; then 408.
    pub body_timeout: Duration,
    /// How long a request may wait for its turn to be evaluated; then 503.
    pub queue_timeout: Duration,
    /// How long a client may take no byte of an answer; then the connection is closed.
    pub write_timeout: Duration,
    /// How long requests under way may take once the listener shuts down.
    pub drain_timeout: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 1024,
            requests: 512,
            body_bytes: 16 << 20,
            bodies_bytes: 64 << 20,
            rows: 100_000,
            header_timeout: Duration::from_secs(30),
            body_timeout: Duration::from_secs(30),
            queue_timeout: Duration::from_secs(10),
            write_timeout: Duration::from_secs(30),
            drain_timeout: Duration::from_secs(25),
        }
    }
}

#[cfg(test)]
mod tests;
