//! What is counted, under the names and labels of docs/metrics.md.
//!
//! Labels are bounded: models and versions come from slots, never from a request's path; whatever a request names
//! that is not served shares the label `unknown`. A hot path holds its counters in a [`SlotMeters`] or
//! [`RouteMeters`] and looks no label up. What fails is shown from 0 on, what else never happened has no line: what is
//! shown is linear in what is loaded and in what was asked. Each listener has a [`Page`] of its own.

mod connection;
mod kept;
mod page;
mod route;
mod router;
mod series;
mod slot;
mod states;
mod steps;
mod told;
mod traffic;
mod webhook;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use planner::Timestamp;
use planner::names::{EnvironmentName, ModelName, Track, Version, Weight};
use prometheus::{GaugeVec, HistogramOpts, HistogramVec, IntCounterVec, IntGaugeVec, Opts, Registry};
use tokio::sync::Semaphore;
use tokio::task::JoinError;

pub(crate) use connection::{Closed, ListenerMeters};
pub(crate) use page::ListenerName;
pub use page::Page;
use page::PageFamilies;
pub(crate) use route::RouteMeters;
use router::RouterFamilies;
pub(crate) use router::RouterMeters;
use series::SlotSeries;
pub(crate) use slot::{Attempt, Codes, Ended, Outcome, Routed, SlotMeters};
use states::States;
use steps::Steps;
use traffic::Recent;
pub(crate) use traffic::{TICK, Traffic};
pub(crate) use webhook::WebhookMeters;

/// Upper bounds of the latency histograms, in seconds: 50 µs to 10 s.
pub const LATENCY_BUCKETS_SECONDS: [f64; 17] = [
    0.000_05, 0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5,
    5.0, 10.0,
];

/// How long the series of a version that is no longer loaded are still shown, so that each scraper sees its last
/// values: many scrape intervals.
pub const RETIRED_SERIES_KEPT: Duration = Duration::from_mins(15);

/// The result of a pass, or of telling somebody, that failed.
const FAILED: &str = "failed";

/// Every metric of the process; cheap to clone.
#[derive(Clone)]
pub struct Metrics(Arc<Families>);

struct Families {
    inference: Arc<PageFamilies>,
    control_plane: Arc<PageFamilies>,
    slots: SlotSeries,
    recent: Mutex<Recent>,
    reconciles: IntCounterVec,
    /// Without labels; it too is made by what it counts first.
    reconcile_duration: HistogramVec,
    last_reconcile: GaugeVec,
    converged: IntGaugeVec,
    drifted: IntGaugeVec,
    canary_weight: IntGaugeVec,
    states: States,
    router: RouterFamilies,
    webhook_calls: IntCounterVec,
    told: IntCounterVec,
    /// One at a time renders: what it makes may be many megabytes.
    rendering: Semaphore,
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
    /// Builds both pages with every family of Aurora and no series.
    pub fn new() -> Self {
        let (inference, control_plane) = (PageFamilies::new(), PageFamilies::new());
        let (serving, rest) = (&inference.registry, &control_plane.registry);
        let families = Families {
            slots: register(serving, Ok(SlotSeries::new())),
            recent: Mutex::default(),
            router: RouterFamilies::new(serving),
            reconciles: counter(
                rest,
                "aurora_reconcile_total",
                "Reconcile passes by result.",
                &["environment", "result"],
            ),
            reconcile_duration: histogram(
                rest,
                "aurora_reconcile_duration_seconds",
                "How long a reconcile pass took.",
                &[],
            ),
            last_reconcile: register(
                rest,
                GaugeVec::new(
                    Opts::new(
                        "aurora_last_reconcile_timestamp_seconds",
                        "When the last reconcile pass ended, in Unix seconds.",
                    ),
                    &["environment"],
                ),
            ),
            converged: gauge(
                rest,
                "aurora_model_converged",
                "1 while the model serves what Git declares.",
                &["environment", "model"],
            ),
            drifted: gauge(
                rest,
                "aurora_drifted",
                "1 while somebody has changed what Git declares of the model, and that stands.",
                &["environment", "model"],
            ),
            canary_weight: gauge(
                rest,
                "aurora_canary_weight",
                "The live weight of the canary, percent.",
                &["environment", "model"],
            ),
            states: register(rest, Ok(States::new())),
            webhook_calls: counter(
                rest,
                "aurora_webhook_calls_total",
                "Calls of the webhook, by what came of them.",
                &["result"],
            ),
            told: counter(
                rest,
                "aurora_told_total",
                "Attempts to tell others of passes, by whom and by what came of them.",
                &["receiver", "result"],
            ),
            rendering: Semaphore::new(1),
            inference,
            control_plane,
        };
        Self(Arc::new(families))
    }

    fn page(&self, page: Page) -> &Arc<PageFamilies> {
        match page {
            Page::Inference => &self.0.inference,
            Page::ControlPlane => &self.0.control_plane,
        }
    }

    /// Returns every series of a page in Prometheus's text format.
    pub fn render(&self, page: Page) -> String {
        self.page(page).render()
    }

    /// Renders on a thread that may block: with thousands of models it takes a while.
    pub(crate) async fn scrape(&self, page: Page) -> Result<String, JoinError> {
        let _turn = self
            .0
            .rendering
            .acquire()
            .await
            .expect("invariant: the semaphore is never closed");
        let page = self.page(page).clone();
        tokio::task::spawn_blocking(move || page.render()).await
    }

    /// Begins to count an environment's passes: none has failed yet.
    pub fn begin_reconciled(&self, environment: &EnvironmentName) {
        let failed = [environment.as_str(), FAILED];
        drop(self.0.reconciles.with_label_values(&failed));
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
        families
            .reconcile_duration
            .with_label_values::<&str>(&[])
            .observe(took.as_secs_f64());
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

    /// Sets whether somebody has changed what Git declares of `model`, and that stands.
    pub fn set_drifted(&self, environment: &EnvironmentName, model: &ModelName, drifted: bool) {
        self.0
            .drifted
            .with_label_values(&[environment.as_str(), model.as_str()])
            .set(drifted.into());
    }

    /// Lets `model` be one that nobody has changed, unless it was said otherwise.
    pub fn begin_drifted(&self, environment: &EnvironmentName, model: &ModelName) {
        let labels = [environment.as_str(), model.as_str()];
        drop(self.0.drifted.with_label_values(&labels));
    }

    /// Counts the steps of an operator; `read` returns how many came to their end, and how many failed. Once per process.
    pub fn count_steps(&self, read: impl Fn() -> (u64, u64) + Send + Sync + 'static) {
        let steps = Steps::new(Box::new(read));
        self.page(Page::ControlPlane)
            .registry
            .register(Box::new(steps))
            .expect("invariant: one operator of a process counts its steps");
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
        let _absent = self.0.drifted.remove_label_values(&labels);
        let _absent = self.0.canary_weight.remove_label_values(&labels);
    }

    /// Returns the counters of one HTTP route. `method` is the one that counts without a look-up.
    pub(crate) fn route(&self, page: Page, method: &'static str, route: &'static str) -> RouteMeters {
        RouteMeters::new(self.page(page).clone(), method, route)
    }

    /// Returns the counters of one listener.
    pub(crate) fn listener(&self, listener: ListenerName) -> ListenerMeters {
        ListenerMeters::new(self.page(listener.page()).clone(), listener)
    }

    /// Returns the counter of inference requests for a model that no slot took, by status: they named nothing that is
    /// served, or were refused before they were routed. Without a model: of requests for one that nobody knows.
    pub(crate) fn unrouted(&self, model: Option<&ModelName>) -> Arc<Codes> {
        let mut counted = self.0.slots.counted();
        counted.unrouted.enter(&model.cloned(), Codes::default)
    }

    /// Marks a model as no longer known; what no slot took stays shown for [`RETIRED_SERIES_KEPT`].
    pub(crate) fn retire_unrouted(&self, model: &ModelName, now: Instant) {
        let mut counted = self.0.slots.counted();
        counted.unrouted.retire(&Some(model.clone()), now);
    }

    /// Marks a slot as loaded and returns its counters; a version that comes back goes on counting where it stopped.
    pub(crate) fn slot(&self, labels: &SlotLabels) -> Arc<SlotMeters> {
        let mut counted = self.0.slots.counted();
        counted.slots.enter(labels, || SlotMeters::new(labels.clone()))
    }

    /// Marks a slot as no longer loaded; what it counted stays shown for [`RETIRED_SERIES_KEPT`].
    pub(crate) fn retire(&self, labels: &SlotLabels, now: Instant) {
        self.0.slots.counted().slots.retire(labels, now);
    }

    /// Notes what each slot has counted so far: called every [`TICK`].
    pub(crate) fn tick(&self, now: Instant) {
        let slots = self.0.slots.slots();
        let mut recent = self.0.recent.lock().unwrap_or_else(PoisonError::into_inner);
        recent.tick(slots.iter().map(|(meters, _)| &**meters), now);
    }

    /// Returns what a version answered on a track of late; `None` where this process does not serve it.
    pub(crate) fn traffic(&self, labels: &SlotLabels, now: Instant) -> Option<Traffic> {
        let meters = self.0.slots.counted().slots.get(labels)?;
        let recent = self.0.recent.lock().unwrap_or_else(PoisonError::into_inner);
        Some(recent.of(&meters, now))
    }

    /// Removes the series of what was retired long enough ago, and returns when the next may go.
    pub(crate) fn sweep(&self, now: Instant) -> Option<Instant> {
        let mut counted = self.0.slots.counted();
        [counted.slots.sweep(now), counted.unrouted.sweep(now)]
            .into_iter()
            .flatten()
            .min()
    }
}

fn counter(registry: &Registry, name: &str, help: &str, labels: &[&str]) -> IntCounterVec {
    register(registry, IntCounterVec::new(Opts::new(name, help), labels))
}

fn gauge(registry: &Registry, name: &str, help: &str, labels: &[&str]) -> IntGaugeVec {
    register(registry, IntGaugeVec::new(Opts::new(name, help), labels))
}

fn histogram(registry: &Registry, name: &str, help: &str, labels: &[&str]) -> HistogramVec {
    let options = HistogramOpts::new(name, help).buckets(LATENCY_BUCKETS_SECONDS.to_vec());
    register(registry, HistogramVec::new(options, labels))
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
mod documented;
#[cfg(test)]
mod tests;
