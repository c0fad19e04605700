//! What is counted of one listener's connections: refusals begin with 0, each other series is made when it first counts.

use std::sync::{Arc, OnceLock};

use planner::Timestamp;
use prometheus::{IntCounter, IntGauge};
use strum::{EnumCount, IntoStaticStr};

use super::page::{ListenerName, PageFamilies};

/// Why the server closed a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, EnumCount, IntoStaticStr)]
#[strum(serialize_all = "snake_case")]
pub(crate) enum Closed {
    /// It idled, and its place was needed.
    Evicted,
    /// Its client sent or took too slowly while others waited.
    Slow,
    /// Its client took nothing of an answer for too long.
    Stalled,
    /// It is by TLS, and the handshake failed or took too long.
    Handshake,
    /// A request's head did not come in time.
    Header,
    /// It idled for too long.
    Idle,
}

/// The counters of one listener's connections, and of what it lets nobody ask; cheap to clone.
#[derive(Clone)]
pub(crate) struct ListenerMeters {
    families: Arc<PageFamilies>,
    listener: &'static str,
    open: Arc<OnceLock<IntGauge>>,
    refused: IntCounter,
}

/// An open connection, until it is dropped.
#[derive(Debug)]
pub(crate) struct Open(IntGauge);

impl std::fmt::Debug for ListenerMeters {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("ListenerMeters").field(&self.listener).finish()
    }
}

impl ListenerMeters {
    pub(super) fn new(families: Arc<PageFamilies>, listener: ListenerName) -> Self {
        let listener = listener.into();
        Self {
            refused: families.connections_refused.with_label_values(&[listener]),
            families,
            listener,
            open: Arc::default(),
        }
    }

    /// Counts a connection that was taken on.
    pub(crate) fn opened(&self) -> Open {
        let open = self
            .open
            .get_or_init(|| self.families.connections.with_label_values(&[self.listener]));
        open.inc();
        Open(open.clone())
    }

    /// Counts a connection that got no place.
    pub(crate) fn refused(&self) {
        self.refused.inc();
    }

    /// Counts a connection that the server closed.
    pub(crate) fn closed(&self, why: Closed) {
        self.families
            .connections_closed
            .with_label_values(&[self.listener, why.into()])
            .inc();
    }
}

impl ListenerMeters {
    pub(crate) const fn listener(&self) -> &'static str {
        self.listener
    }

    /// Sets until when the listener's certificate is valid.
    pub(crate) fn certificate_expires(&self, at: Timestamp) {
        #[expect(clippy::cast_precision_loss, reason = "seconds since 1970 stay below 2^53")]
        let seconds = (at.timestamp_millis() / 1000) as f64;
        self.families
            .certificate_expiry
            .with_label_values(&[self.listener])
            .set(seconds);
    }

    /// Counts a request that was refused before it was looked at; `reason` is one of a few fixed words.
    pub(crate) fn refused_request(&self, reason: &'static str) {
        self.families
            .requests_refused
            .with_label_values(&[self.listener, reason])
            .inc();
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.dec();
    }
}
