//! What each listener's `/metrics` shows: no series stands on both pages, so that whoever reads both adds up nothing twice.

use std::sync::Arc;

use prometheus::{GaugeVec, HistogramVec, IntCounterVec, IntGaugeVec, Opts, Registry, TextEncoder};
use strum::IntoStaticStr;

use super::{counter, gauge, histogram, register};

/// Whose `/metrics`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Page {
    /// That of the listener of inference, of a router too: predictions, and the listener itself.
    Inference,
    /// That of the control plane: all else.
    ControlPlane,
}

/// The label of a listener.
#[derive(Debug, Clone, Copy, PartialEq, Eq, IntoStaticStr)]
#[strum(serialize_all = "snake_case")]
pub(crate) enum ListenerName {
    Inference,
    Grpc,
    ControlPlane,
    Webhook,
}

impl ListenerName {
    /// Returns the page that shows what is counted of it.
    pub(super) const fn page(self) -> Page {
        match self {
            Self::Inference | Self::Grpc => Page::Inference,
            // It has no page of its own.
            Self::ControlPlane | Self::Webhook => Page::ControlPlane,
        }
    }
}

/// A page, and what every listener counts.
pub(super) struct PageFamilies {
    pub(super) registry: Registry,
    pub(super) requests: IntCounterVec,
    pub(super) latency: HistogramVec,
    pub(super) errors: IntCounterVec,
    pub(super) connections: IntGaugeVec,
    pub(super) connections_refused: IntCounterVec,
    pub(super) connections_closed: IntCounterVec,
    pub(super) requests_refused: IntCounterVec,
    pub(super) certificate_expiry: GaugeVec,
}

impl PageFamilies {
    pub(super) fn new() -> Arc<Self> {
        let registry = Registry::new();
        Arc::new(Self {
            requests: counter(
                &registry,
                "aurora_requests_total",
                "HTTP requests by method, route and status.",
                &["method", "route", "code"],
            ),
            latency: histogram(
                &registry,
                "aurora_request_latency_seconds",
                "From a request's headers to its answer's, reading the body included.",
                &["route"],
            ),
            errors: counter(
                &registry,
                "aurora_errors_total",
                "HTTP requests that failed on the server's side (status 500 and above).",
                &["route"],
            ),
            connections: gauge(
                &registry,
                "aurora_connections",
                "Open connections by listener: inference, control_plane or webhook.",
                &["listener"],
            ),
            connections_refused: counter(
                &registry,
                "aurora_connections_refused_total",
                "Connections that were told that all places are taken.",
                &["listener"],
            ),
            connections_closed: counter(
                &registry,
                "aurora_connections_closed_total",
                "Connections that the server closed: evicted, slow, stalled, handshake, header, idle.",
                &["listener", "reason"],
            ),
            requests_refused: counter(
                &registry,
                "aurora_requests_refused_total",
                "Requests that were refused for want of a key, or because their address asks too often.",
                &["listener", "reason"],
            ),
            certificate_expiry: register(
                &registry,
                GaugeVec::new(
                    Opts::new(
                        "aurora_certificate_expiry_timestamp_seconds",
                        "Until when a listener's certificate is valid, in Unix seconds.",
                    ),
                    &["listener"],
                ),
            ),
            registry,
        })
    }

    /// Returns every series in Prometheus's text format.
    pub(super) fn render(&self) -> String {
        TextEncoder::new()
            .encode_to_string(&self.registry.gather())
            .expect("invariant: gathered families have a name and at least one series")
    }
}
