//! What is counted, under the names and labels of DESIGN §10.
//!
//! Labels are bounded: models and versions come from slots, never from a request's path; whatever a request names
//! that is not served shares the label `unknown`. A hot path holds its counters in a [`SlotMeters`] or
//! [`RouteMeters`] and looks no label up.

mod slot;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use planner::Timestamp;
use planner::names::{EnvironmentName, ModelName, Track, Version, Weight};
use prometheus::{
    GaugeVec, Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGaugeVec, Opts, Registry,
    TextEncoder,
};

pub(crate) use slot::{Attempt, Outcome, Routed, SlotMeters};

/// Upper bounds of the latency histograms, in seconds: 50 µs to 10 s.
pub const LATENCY_BUCKETS_SECONDS: [f64; 17] = [
    0.000_05, 0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5,
    5.0, 10.0,
];

/// How long the series of a version that is no longer loaded are still shown, so that each scraper sees its last
/// values: many scrape intervals.
pub const RETIRED_SERIES_KEPT: Duration = Duration::from_mins(15);

/// The label of a model, version or track that a request named and that nothing serves.
pub(crate) const UNKNOWN: &str = "unknown";

/// Every metric of the process; cheap to clone.
#[derive(Clone)]
pub struct Metrics(Arc<Families>);

struct Families {
    registry: Registry,
    inference_requests: IntCounterVec,
    inference_latency: HistogramVec,
    inference_started: IntCounterVec,
    inference_outcomes: IntCounterVec,
    inference_loaded: IntGaugeVec,
    requests: IntCounterVec,
    latency: HistogramVec,
    errors: IntCounterVec,
    reconciles: IntCounterVec,
    reconcile_duration: Histogram,
    last_reconcile: GaugeVec,
    converged: IntGaugeVec,
    canary_weight: IntGaugeVec,
    /// Which slots have series; `Some` since when they are no longer loaded.
    slots: Mutex<BTreeMap<SlotLabels, Option<Instant>>>,
}

/// The labels of one slot's series.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct SlotLabels {
    pub(crate) model: ModelName,
    pub(crate) version: Version,
    pub(crate) track: Track,
}

impl std::fmt::Debug for Metrics {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Metrics").finish_non_exhaustive()
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

impl Metrics {
    /// Builds a registry with every family of Aurora and no series.
    pub fn new() -> Self {
        let registry = Registry::new();
        let counter = |name, help, labels: &[&str]| {
            register(&registry, IntCounterVec::new(Opts::new(name, help), labels))
        };
        let gauge = |name, help, labels: &[&str]| {
            register(&registry, IntGaugeVec::new(Opts::new(name, help), labels))
        };
        let histogram = |name: &str, help: &str, labels: &[&str]| {
            let options = HistogramOpts::new(name, help).buckets(LATENCY_BUCKETS_SECONDS.to_vec());
            register(&registry, HistogramVec::new(options, labels))
        };
        let slot = ["model", "version", "track"];
        let families = Families {
            inference_requests: counter(
                "aurora_inference_requests_total",
                "Inference requests by the model that answered and the HTTP status (499: the client went away).",
                &["model", "version", "track", "code"],
            ),
            inference_latency: histogram(
                "aurora_inference_request_latency_seconds",
                "From a request's last byte to its answer.",
                &slot,
            ),
            inference_started: counter(
                "aurora_inference_started_total",
                "Requests handed to a track, by how they came to it: split or explicit.",
                &["model", "version", "track", "routed"],
            ),
            inference_outcomes: counter(
                "aurora_inference_outcomes_total",
                "How started requests ended, exactly one each: ok, error, non_finite, rejected_input, cancelled.",
                &["model", "version", "track", "routed", "outcome"],
            ),
            inference_loaded: gauge(
                "aurora_inference_model_loaded",
                "1 while the version answers on the track.",
                &slot,
            ),
            requests: counter(
                "aurora_requests_total",
                "HTTP requests by method, route and status.",
                &["method", "route", "code"],
            ),
            latency: histogram(
                "aurora_request_latency_seconds",
                "From a request's headers to its answer's, reading the body included.",
                &["route"],
            ),
            errors: counter(
                "aurora_errors_total",
                "HTTP requests that failed on the server's side (status 500 and above).",
                &["route"],
            ),
            reconciles: counter(
                "aurora_reconcile_total",
                "Reconcile passes by result.",
                &["environment", "result"],
            ),
            reconcile_duration: register(
                &registry,
                Histogram::with_opts(
                    HistogramOpts::new(
                        "aurora_reconcile_duration_seconds",
                        "How long a reconcile pass took.",
                    )
                    .buckets(LATENCY_BUCKETS_SECONDS.to_vec()),
                ),
            ),
            last_reconcile: register(
                &registry,
                GaugeVec::new(
                    Opts::new(
                        "aurora_last_reconcile_timestamp_seconds",
                        "When the last reconcile pass ended, in Unix seconds.",
                    ),
                    &["environment"],
                ),
            ),
            converged: gauge(
                "aurora_model_converged",
                "1 while the model serves what Git declares.",
                &["environment", "model"],
            ),
            canary_weight: gauge(
                "aurora_canary_weight",
                "The live weight of the canary, percent.",
                &["environment", "model"],
            ),
            slots: Mutex::default(),
            registry,
        };
        Self(Arc::new(families))
    }

    /// Returns every series in Prometheus's text format.
    pub fn render(&self) -> String {
        TextEncoder::new()
            .encode_to_string(&self.0.registry.gather())
            .expect("invariant: gathered families have a name and at least one series")
    }

    /// Counts one reconcile pass that took `took` and ended at `at`; `result` is one of a few fixed words.
    pub fn reconciled(
        &self,
        environment: &EnvironmentName,
        result: &'static str,
        took: Duration,
        at: Timestamp,
    ) {
        let families = &self.0;
        families
            .reconciles
            .with_label_values(&[environment.as_str(), result])
            .inc();
        families.reconcile_duration.observe(took.as_secs_f64());
        #[expect(
            clippy::cast_precision_loss,
            reason = "milliseconds since 1970 stay below 2^53"
        )]
        let seconds = at.timestamp_millis() as f64 / 1000.0;
        families
            .last_reconcile
            .with_label_values(&[environment.as_str()])
            .set(seconds);
    }

    /// Sets whether `model` serves what Git declares.
    pub fn set_converged(&self, environment: &EnvironmentName, model: &ModelName, converged: bool) {
        self.0
            .converged
            .with_label_values(&[environment.as_str(), model.as_str()])
            .set(converged.into());
    }

    /// Sets the live weight of `model`'s canary.
    pub fn set_canary_weight(&self, environment: &EnvironmentName, model: &ModelName, weight: Weight) {
        self.0
            .canary_weight
            .with_label_values(&[environment.as_str(), model.as_str()])
            .set(weight.percent().into());
    }

    /// Removes the gauges of a model that the environment no longer has.
    pub fn forget_model(&self, environment: &EnvironmentName, model: &ModelName) {
        let labels = [environment.as_str(), model.as_str()];
        // The series may never have been made: nothing to remove then.
        let _absent = self.0.converged.remove_label_values(&labels);
        let _absent = self.0.canary_weight.remove_label_values(&labels);
    }

    /// Returns the counters of one HTTP route. `method` is the one that counts without a look-up.
    pub(crate) fn route(&self, method: &'static str, route: &'static str) -> RouteMeters {
        RouteMeters {
            families: self.0.clone(),
            method,
            route,
            ok: self.0.requests.with_label_values(&[method, route, "200"]),
            latency: self.0.latency.with_label_values(&[route]),
            errors: self.0.errors.with_label_values(&[route]),
        }
    }

    /// Counts an inference request that no slot took: it named nothing that is served, or was refused before it was routed.
    pub(crate) fn unrouted(&self, model: Option<&ModelName>, code: u16) {
        let model = model.map_or(UNKNOWN, ModelName::as_str);
        self.0
            .inference_requests
            .with_label_values(&[model, UNKNOWN, UNKNOWN, &code.to_string()])
            .inc();
    }

    /// Marks a slot as loaded and returns its counters; a version that comes back goes on counting where it stopped.
    pub(crate) fn slot(&self, labels: &SlotLabels) -> Arc<SlotMeters> {
        let meters = SlotMeters::resolve(&self.0, labels);
        self.slots().insert(labels.clone(), None);
        meters.loaded.set(1);
        Arc::new(meters)
    }

    /// Marks a slot as no longer loaded; its series stay for [`RETIRED_SERIES_KEPT`].
    pub(crate) fn retire(&self, labels: &SlotLabels, now: Instant) {
        if let Some(retired) = self.slots().get_mut(labels) {
            *retired = Some(now);
            self.0.inference_loaded.with_label_values(&values(labels)).set(0);
        }
    }

    /// Removes the series of slots that were retired long enough ago.
    pub(crate) fn sweep(&self, now: Instant) {
        self.slots().retain(|labels, retired| {
            let over = retired.is_some_and(|at| now.saturating_duration_since(at) >= RETIRED_SERIES_KEPT);
            if over {
                slot::remove(&self.0, labels);
            }
            !over
        });
    }

    fn slots(&self) -> std::sync::MutexGuard<'_, BTreeMap<SlotLabels, Option<Instant>>> {
        self.0.slots.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The counters of one HTTP route.
#[derive(Clone)]
pub(crate) struct RouteMeters {
    families: Arc<Families>,
    method: &'static str,
    route: &'static str,
    ok: IntCounter,
    latency: Histogram,
    errors: IntCounter,
}

impl std::fmt::Debug for RouteMeters {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("RouteMeters").field(&self.route).finish()
    }
}

impl RouteMeters {
    /// Counts one answered request.
    pub(crate) fn answered(&self, method: &str, code: u16, took: Duration) {
        if code == 200 && method == self.method {
            self.ok.inc();
        } else {
            self.families
                .requests
                .with_label_values(&[bounded_method(method), self.route, &code.to_string()])
                .inc();
        }
        self.latency.observe(took.as_secs_f64());
        if code >= 500 {
            self.errors.inc();
        }
    }
}

/// A method is the client's text: those that HTTP does not define share one label.
fn bounded_method(method: &str) -> &str {
    match method {
        "GET" | "POST" | "HEAD" | "PUT" | "DELETE" | "PATCH" | "OPTIONS" => method,
        _ => "other",
    }
}

fn values(labels: &SlotLabels) -> [String; 3] {
    [
        labels.model.to_string(),
        labels.version.to_string(),
        labels.track.to_string(),
    ]
}

fn register<C: prometheus::core::Collector + Clone + 'static>(
    registry: &Registry,
    built: prometheus::Result<C>,
) -> C {
    let collector = built.expect("invariant: names, labels and buckets are constants that the tests build");
    registry
        .register(Box::new(collector.clone()))
        .expect("invariant: each family is registered once");
    collector
}

#[cfg(test)]
mod tests;
