//! What a router counts of what it passes on: by track, and not by version, which its endpoints count.

use std::sync::Arc;
use std::time::Instant;

use hyper::StatusCode;
use planner::names::Track;
use prometheus::{HistogramVec, IntCounterVec, IntGaugeVec, Registry};

use super::slot::Routed;
use super::{Families, Metrics, counter, gauge, histogram};
use crate::router::Table;

/// The families of a router.
pub(super) struct RouterFamilies {
    requests: IntCounterVec,
    latency: HistogramVec,
    diverted: IntCounterVec,
    tried: IntCounterVec,
    weight: IntGaugeVec,
    endpoints: IntGaugeVec,
    /// Without labels; it too is made by what it counts first.
    unreadable: IntCounterVec,
}

impl RouterFamilies {
    pub(super) fn new(registry: &Registry) -> Self {
        Self {
            requests: counter(
                registry,
                "aurora_router_requests_total",
                "Requests for predictions by the track that they went to and the HTTP status (499: the client went away).",
                &["model", "track", "routed", "code"],
            ),
            latency: histogram(
                registry,
                "aurora_router_request_latency_seconds",
                "From a request's last byte to its answer, asking another endpoint included.",
                &["model", "track"],
            ),
            diverted: counter(
                registry,
                "aurora_router_diverted_total",
                "Requests of the canary's share that stable answered, for no endpoint of the canary did.",
                &["model"],
            ),
            tried: counter(
                registry,
                "aurora_router_endpoint_failures_total",
                "Endpoints that gave no answer: refused, not_ready, broken.",
                &["model", "track", "reason"],
            ),
            weight: gauge(
                registry,
                "aurora_router_weight",
                "The canary's share that the router goes by, percent.",
                &["model"],
            ),
            endpoints: gauge(
                registry,
                "aurora_router_endpoints",
                "Endpoints that can answer, by track.",
                &["model", "track"],
            ),
            unreadable: counter(
                registry,
                "aurora_router_refused_total",
                "Times that what the router was told could not be gone by, so that the last that could stayed in force.",
                &[],
            ),
        }
    }
}

/// The counters of a router.
pub(crate) struct RouterMeters(Arc<Families>);

impl std::fmt::Debug for RouterMeters {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RouterMeters").finish_non_exhaustive()
    }
}

impl Metrics {
    /// Returns the counters of a router.
    pub(crate) fn router(&self) -> RouterMeters {
        RouterMeters(self.0.clone())
    }
}

impl RouterMeters {
    /// Begins a request that is passed on; one that asks for no prediction is not counted.
    pub(crate) fn begin<'a>(
        &'a self,
        model: &'a str,
        track: Track,
        routed: Option<Routed>,
        since: Instant,
    ) -> Passed<'a> {
        Passed {
            families: &self.0.router,
            model,
            track,
            routed,
            since,
        }
    }

    /// Counts an endpoint that gave no answer; `reason` is one of a few fixed words.
    pub(crate) fn tried(&self, model: &str, track: Track, reason: &'static str) {
        let tried = &self.0.router.tried;
        tried.with_label_values(&[model, track.as_str(), reason]).inc();
    }

    /// Counts a request of the canary's share that goes to stable.
    pub(crate) fn diverted(&self, model: &str) {
        self.0.router.diverted.with_label_values(&[model]).inc();
    }

    /// Counts what could not be gone by.
    pub(crate) fn unreadable(&self) {
        self.0.router.unreadable.with_label_values::<&str>(&[]).inc();
    }

    /// Shows what is in force.
    pub(crate) fn told(&self, table: &Table) {
        let model = table.model.as_str();
        let RouterFamilies {
            weight, endpoints, ..
        } = &self.0.router;
        weight
            .with_label_values(&[model])
            .set(table.weight.percent().into());
        for track in [Track::Stable, Track::Canary] {
            let labels = [model, track.as_str()];
            match table.upstream(track) {
                Some(upstream) => endpoints
                    .with_label_values(&labels)
                    .set(i64::try_from(upstream.endpoints.len()).unwrap_or(i64::MAX)),
                None => {
                    // The series may never have been made: nothing to remove then.
                    let _absent = endpoints.remove_label_values(&labels);
                }
            }
        }
    }
}

/// One request that is passed on. Counts once: as gone away when it is dropped without [`Passed::answered`].
pub(crate) struct Passed<'a> {
    families: &'a RouterFamilies,
    model: &'a str,
    /// Where it goes; a request that is diverted goes to another in the end.
    pub(crate) track: Track,
    /// Nothing once it is counted.
    routed: Option<Routed>,
    since: Instant,
}

impl Passed<'_> {
    /// Counts how it was answered.
    pub(crate) fn answered(mut self, status: StatusCode) {
        self.count(status.as_str());
    }

    fn count(&mut self, code: &str) {
        let Some(routed) = self.routed.take() else { return };
        let (model, track) = (self.model, self.track.as_str());
        let requests = &self.families.requests;
        requests
            .with_label_values(&[model, track, routed.into(), code])
            .inc();
        let latency = self.families.latency.with_label_values(&[model, track]);
        latency.observe(self.since.elapsed().as_secs_f64());
    }
}

impl Drop for Passed<'_> {
    fn drop(&mut self) {
        self.count("499");
    }
}
