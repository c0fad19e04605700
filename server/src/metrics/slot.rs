//! The counters of one slot, resolved once, and the promise that each started request has exactly one outcome.

use std::sync::Arc;
use std::time::Instant;

use prometheus::{Histogram, IntCounter, IntCounterVec, IntGauge};
use strum::{EnumCount, IntoStaticStr, VariantArray};

use super::{Families, SlotLabels, values};

/// How a request came to its track.
#[derive(Debug, Clone, Copy, PartialEq, Eq, EnumCount, IntoStaticStr, VariantArray)]
#[strum(serialize_all = "snake_case")]
pub(crate) enum Routed {
    /// By the weighted split.
    Split,
    /// It named the track or the version.
    Explicit,
}

/// How a started request ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, EnumCount, IntoStaticStr, VariantArray)]
#[strum(serialize_all = "snake_case")]
pub(crate) enum Outcome {
    /// It was answered with predictions.
    Ok,
    /// The server failed it.
    Error,
    /// The model gave a number that JSON cannot hold.
    NonFinite,
    /// The input does not fit the model's signature.
    RejectedInput,
    /// The client went away before there was an answer.
    Cancelled,
}

/// The counters of one version on one track.
pub(crate) struct SlotMeters {
    pub(super) loaded: IntGauge,
    latency: Histogram,
    answered_200: IntCounter,
    answered_400: IntCounter,
    requests: IntCounterVec,
    labels: [String; 3],
    routed: [RoutedMeters; Routed::COUNT],
}

struct RoutedMeters {
    started: IntCounter,
    outcomes: [IntCounter; Outcome::COUNT],
}

impl std::fmt::Debug for SlotMeters {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("SlotMeters").field(&self.labels).finish()
    }
}

impl SlotMeters {
    pub(super) fn resolve(families: &Families, labels: &SlotLabels) -> Self {
        let labels = values(labels);
        let [model, version, track] = [&labels[0], &labels[1], &labels[2]].map(String::as_str);
        let answered = |code| {
            families
                .inference_requests
                .with_label_values(&[model, version, track, code])
        };
        let routed = |routed: Routed| RoutedMeters {
            started: families
                .inference_started
                .with_label_values(&[model, version, track, routed.into()]),
            outcomes: std::array::from_fn(|at| {
                families.inference_outcomes.with_label_values(&[
                    model,
                    version,
                    track,
                    routed.into(),
                    Outcome::VARIANTS[at].into(),
                ])
            }),
        };
        Self {
            loaded: families.inference_loaded.with_label_values(&labels),
            latency: families.inference_latency.with_label_values(&labels),
            answered_200: answered("200"),
            answered_400: answered("400"),
            requests: families.inference_requests.clone(),
            routed: std::array::from_fn(|at| routed(Routed::VARIANTS[at])),
            labels,
        }
    }
}

/// Removes every series of a slot.
pub(super) fn remove(families: &Families, labels: &SlotLabels) {
    use prometheus::core::{Collector, MetricVec, MetricVecBuilder};

    /// Removes the series of `vec` whose labels include `wanted`.
    fn prune<B: MetricVecBuilder>(vec: &MetricVec<B>, names: &[&str], wanted: [&str; 3]) {
        for family in vec.collect() {
            for metric in family.get_metric() {
                let value = |name: &str| {
                    metric
                        .get_label()
                        .iter()
                        .find(|pair| pair.name() == name)
                        .map(|pair| pair.value().to_owned())
                        .unwrap_or_default()
                };
                if ["model", "version", "track"].map(value) == wanted {
                    let labels: Vec<String> = names.iter().map(|name| value(name)).collect();
                    // Another sweep may have removed it meanwhile: nothing to do then.
                    let _absent = vec.remove_label_values(&labels);
                }
            }
        }
    }

    let labels = values(labels);
    let wanted = [&labels[0], &labels[1], &labels[2]].map(String::as_str);
    let slot = ["model", "version", "track"];
    prune(&families.inference_loaded, &slot, wanted);
    prune(&families.inference_latency, &slot, wanted);
    prune(
        &families.inference_requests,
        &["model", "version", "track", "code"],
        wanted,
    );
    prune(
        &families.inference_started,
        &["model", "version", "track", "routed"],
        wanted,
    );
    prune(
        &families.inference_outcomes,
        &["model", "version", "track", "routed", "outcome"],
        wanted,
    );
}

/// One started request. Counts its outcome exactly once: `cancelled` when it is dropped without [`Attempt::finish`].
#[derive(Debug)]
pub(crate) struct Attempt {
    meters: Arc<SlotMeters>,
    routed: Routed,
    since: Instant,
    finished: bool,
}

impl Attempt {
    /// Counts a request as started on a slot; `since` is when its last byte was there.
    pub(crate) fn start(meters: Arc<SlotMeters>, routed: Routed, since: Instant) -> Self {
        meters.routed[routed as usize].started.inc();
        Self {
            meters,
            routed,
            since,
            finished: false,
        }
    }

    /// Counts how it ended, and with which HTTP status.
    pub(crate) fn finish(mut self, outcome: Outcome, code: u16) {
        self.count(outcome, code);
    }

    fn count(&mut self, outcome: Outcome, code: u16) {
        self.finished = true;
        let meters = &self.meters;
        meters.routed[self.routed as usize].outcomes[outcome as usize].inc();
        match code {
            200 => meters.answered_200.inc(),
            400 => meters.answered_400.inc(),
            _ => {
                let [model, version, track] = &meters.labels;
                meters
                    .requests
                    .with_label_values(&[model, version, track, &code.to_string()])
                    .inc();
            }
        }
        meters.latency.observe(self.since.elapsed().as_secs_f64());
    }
}

impl Drop for Attempt {
    fn drop(&mut self) {
        if !self.finished {
            self.count(Outcome::Cancelled, 499);
        }
    }
}
