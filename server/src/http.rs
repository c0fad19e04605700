//! Connections and the shape of answers, for all listeners.
//!
//! ```text
//! connection   accept, drive to the end, drain
//! places       who gets a place when all are taken
//! place        what one connection has to finish, whether its client keeps pace
//! http1        requests one after the other
//! http2        calls of gRPC, many at a time
//! sockets      one listener on several addresses
//! socket       half-closed clients, clients that take nothing, what comes after an early answer
//! stream       TCP, or TLS over it
//! tls          a certificate and its key, read again as they change
//! guard        Host and Origin
//! origins      whose pages may call from a browser
//! frame        what every request passes: its name, what is left of its body, counting
//! request_id   that name
//! gate         who may ask, how often, with which method
//! rates        how often each address may
//! body         a request's body within its bounds
//! budget       memory that bodies, and answers, share
//! coding       bodies that are compressed
//! aside        what would stall others
//! reply        JSON, text, failures
//! ```
//!
//! warp answers requests; accepting, time-outs, bounds and the drain are ours. No answer is HTML and no error lacks its
//! `{"error": …}`, but for what is no HTTP at all: hyper's own 400 and 431 have no body.

pub(crate) mod aside;
pub(crate) mod body;
pub(crate) mod budget;
pub(crate) mod clock;
pub(crate) mod coding;
mod connection;
pub(crate) mod frame;
pub(crate) mod gate;
mod guard;
pub(crate) mod http1;
pub(crate) mod http2;
pub(crate) mod origins;
pub(crate) mod place;
mod places;
mod rates;
pub(crate) mod reply;
pub(crate) mod request_id;
mod socket;
mod sockets;
mod stream;
pub(crate) mod tls;

use std::num::NonZero;
use std::time::Duration;

use crate::keys::Access;
use crate::metrics::{ListenerMeters, ListenerName, Metrics};
pub(crate) use connection::{Protocol, Shutdown, serve};
use guard::Names;
pub use origins::{NoOrigin, Origin, Origins};
pub use sockets::Sockets;
pub use tls::{Tls, TlsError, probe};

/// What a listener takes from strangers. The defaults are those of inference.
///
/// One client address gets at most seven eighths of what is shared: requests, bodies and answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Open connections. One more gets the place of the one that idles longest, else of one whose client is slow; where
    /// nobody gives way it may ask for health and metrics (32 places), and beyond these it is told 503 and closed.
    pub connections: usize,
    /// Requests between their last byte and their answer; one more is told 429.
    pub requests: usize,
    /// Requests of one address in a second, twice as many at once; more are told 429. Health is not counted.
    pub peer_requests_per_second: Option<NonZero<u32>>,
    /// Bytes of one request's body; more is 413.
    pub body_bytes: usize,
    /// Bytes of bodies held at once, beyond the first 16 KiB of each. A body that finds no room waits two seconds while
    /// slow ones are given up, then it is told 503.
    pub bodies_bytes: usize,
    /// Rows of one request; more is 413.
    pub rows: usize,
    /// Bytes that one answer may have, by its rows before they are evaluated; more is 413.
    pub answer_bytes: usize,
    /// Bytes of answers that are made or not yet taken, beyond 16 KiB of each; as for bodies.
    pub answers_bytes: usize,
    /// How long a request's headers may take, and the first request of a connection; then it is closed.
    pub header_timeout: Duration,
    /// How long a connection may idle between requests; then it is closed.
    pub idle_timeout: Duration,
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
            peer_requests_per_second: None,
            body_bytes: 16 << 20,
            bodies_bytes: 64 << 20,
            rows: 100_000,
            answer_bytes: 64 << 20,
            answers_bytes: 256 << 20,
            header_timeout: Duration::from_secs(30),
            idle_timeout: Duration::from_secs(75),
            body_timeout: Duration::from_secs(30),
            queue_timeout: Duration::from_secs(10),
            write_timeout: Duration::from_secs(30),
            drain_timeout: Duration::from_secs(7),
        }
    }
}

impl Limits {
    /// Files and sockets that a listener with these limits may hold open, at most.
    pub fn files(&self) -> usize {
        places::files(self.connections)
    }

    /// Returns the limits with as many connections as `files` allow, at least one.
    #[must_use]
    pub fn within(self, files: usize) -> Self {
        let over = self.files().saturating_sub(files);
        Self {
            connections: self.connections.saturating_sub(over).max(1),
            ..self
        }
    }
}

/// How one listener treats its connections.
#[derive(Debug)]
pub(crate) struct Listener {
    limits: Limits,
    names: Names,
    meters: ListenerMeters,
}

impl Listener {
    /// `name` is the one that its connections are counted under.
    pub(crate) fn new(name: ListenerName, limits: &Limits, access: &Access, metrics: &Metrics) -> Self {
        Self {
            limits: limits.clone(),
            names: if access.keys.configured() || access.open_names {
                Names::Any
            } else {
                Names::Loopback(access.origins.clone())
            },
            meters: metrics.listener(name),
        }
    }
}

#[cfg(test)]
mod tests;
