//! The series of slots and models, made from what was counted when somebody asks. What never happened has none, but what
//! the split began to hand to a slot that is loaded, and how often that failed: those begin with 0, so that a first failure
//! is an increase.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use planner::names::ModelName;
use prometheus::core::{Collector, Desc};
use prometheus::proto::{Bucket, Counter, Gauge, Histogram, LabelPair, Metric, MetricFamily, MetricType};
use strum::{EnumCount, VariantArray};

use super::kept::Kept;
use super::slot::{Codes, Latency, Outcome, Routed, SlotMeters};
use super::{LATENCY_BUCKETS_SECONDS, SlotLabels};

/// The label of a model, version or track that a request named and that nothing serves.
const UNKNOWN: &str = "unknown";

/// What is counted of slots, and of requests that no slot took; cheap to clone.
#[derive(Debug, Clone)]
pub(super) struct SlotSeries {
    counted: Arc<Mutex<Counted>>,
    /// In the order of [`Family`].
    families: Arc<[Desc]>,
}

#[derive(Debug, Default)]
pub(super) struct Counted {
    pub(super) slots: Kept<SlotLabels, SlotMeters>,
    /// Answers to requests that no slot took, by the model that they named; `None` for one that nobody knows.
    pub(super) unrouted: Kept<Option<ModelName>, Codes>,
}

/// The families that are made here.
#[derive(Debug, Clone, Copy, EnumCount, VariantArray)]
enum Family {
    Requests,
    Latency,
    Started,
    Outcomes,
    Loaded,
}

/// The series of each [`Family`].
type Collected = [Vec<Metric>; Family::COUNT];

impl Family {
    fn describe(self) -> Desc {
        let (name, help, last): (_, _, &[&str]) = match self {
            Self::Requests => (
                "aurora_inference_requests_total",
                "Inference requests by the model that answered and the HTTP status (499: the client went away).",
                &["code"],
            ),
            Self::Latency => (
                "aurora_inference_request_latency_seconds",
                "From a request's last byte to its answer.",
                &[],
            ),
            Self::Started => (
                "aurora_inference_started_total",
                "Requests handed to a track, by how they came to it: split or explicit.",
                &["routed"],
            ),
            Self::Outcomes => (
                "aurora_inference_outcomes_total",
                "How started requests ended, exactly one each: ok, error, non_finite, rejected_input, cancelled.",
                &["routed", "outcome"],
            ),
            Self::Loaded => (
                "aurora_inference_model_loaded",
                "1 while the version answers on the track.",
                &[],
            ),
        };
        let labels = ["model", "version", "track"].iter().chain(last);
        let labels = labels.map(|label| (*label).to_owned()).collect();
        Desc::new(name.to_owned(), help.to_owned(), labels, HashMap::new())
            .expect("invariant: names and labels are constants that the tests build")
    }

    const fn kind(self) -> MetricType {
        match self {
            Self::Requests | Self::Started | Self::Outcomes => MetricType::COUNTER,
            Self::Latency => MetricType::HISTOGRAM,
            Self::Loaded => MetricType::GAUGE,
        }
    }
}

impl SlotSeries {
    pub(super) fn new() -> Self {
        Self {
            counted: Arc::default(),
            families: Family::VARIANTS.iter().map(|family| family.describe()).collect(),
        }
    }

    /// Held by whoever loads, removes or collects, for moments; never by a request.
    pub(super) fn counted(&self) -> MutexGuard<'_, Counted> {
        self.counted.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns the meters of every slot, and whether it is loaded.
    pub(super) fn slots(&self) -> Vec<(Arc<SlotMeters>, bool)> {
        let counted = self.counted();
        let slots = counted.slots.iter();
        slots
            .map(|(_, meters, loaded)| (meters.clone(), loaded))
            .collect()
    }
}

impl Collector for SlotSeries {
    fn desc(&self) -> Vec<&Desc> {
        self.families.iter().collect()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let unrouted: Vec<_> = self
            .counted()
            .unrouted
            .iter()
            .map(|(model, codes, _)| (model.clone(), codes.clone()))
            .collect();
        let mut collected = Collected::default();
        for (model, codes) in unrouted {
            let model = model.as_ref().map_or(UNKNOWN, ModelName::as_str);
            requests(&mut collected, &codes, [model, UNKNOWN, UNKNOWN]);
        }
        for (meters, loaded) in self.slots() {
            slot(&mut collected, &meters, loaded);
        }
        self.families
            .iter()
            .zip(Family::VARIANTS)
            .zip(collected)
            .map(|((described, family), metrics)| {
                let mut shown = MetricFamily::default();
                shown.set_name(described.fq_name.clone());
                shown.set_help(described.help.clone());
                shown.set_field_type(family.kind());
                shown.set_metric(metrics);
                shown
            })
            .collect()
    }
}

/// Adds the series of one slot.
fn slot(collected: &mut Collected, meters: &SlotMeters, loaded: bool) {
    let SlotLabels {
        model,
        version,
        track,
    } = &meters.labels;
    let (model, version, track) = (model.as_str(), version.to_string(), track.as_str());
    // Label pairs stand in the order of their names, as in the families that the library keeps.
    if loaded {
        let mut metric = labelled(&[("model", model), ("track", track), ("version", &version)]);
        let mut gauge = Gauge::default();
        gauge.set_value(1.0);
        metric.set_gauge(gauge);
        collected[Family::Loaded as usize].push(metric);
    }
    requests(collected, &meters.codes, [model, track, &version]);
    let labels = [("model", model), ("track", track), ("version", &version)];
    collected[Family::Latency as usize].extend(latency(&meters.latency, &labels));
    for routed in Routed::VARIANTS.iter().copied() {
        let started = meters.started(routed);
        let is_begun = started > 0 || (loaded && routed == Routed::Split);
        if !is_begun {
            continue;
        }
        collected[Family::Started as usize].push(counter(
            started,
            &[
                ("model", model),
                ("routed", routed.into()),
                ("track", track),
                ("version", &version),
            ],
        ));
        for outcome in Outcome::VARIANTS.iter().copied() {
            let ended = meters.ended(routed, outcome);
            if ended == 0 && !outcome.is_failure() {
                continue;
            }
            collected[Family::Outcomes as usize].push(counter(
                ended,
                &[
                    ("model", model),
                    ("outcome", outcome.into()),
                    ("routed", routed.into()),
                    ("track", track),
                    ("version", &version),
                ],
            ));
        }
    }
}

fn requests(collected: &mut Collected, codes: &Codes, [model, track, version]: [&str; 3]) {
    for (code, count) in codes.counted() {
        let code = code.to_string();
        collected[Family::Requests as usize].push(counter(
            count,
            &[
                ("code", &code),
                ("model", model),
                ("track", track),
                ("version", version),
            ],
        ));
    }
}

fn latency(latency: &Latency, labels: &[(&str, &str)]) -> Option<Metric> {
    let (cumulative, count, sum) = latency.observed();
    (count > 0).then(|| {
        let buckets = LATENCY_BUCKETS_SECONDS.into_iter().zip(cumulative);
        let bucket = |(bound, count)| {
            let mut bucket = Bucket::default();
            bucket.set_upper_bound(bound);
            bucket.set_cumulative_count(count);
            bucket
        };
        let mut histogram = Histogram::default();
        histogram.set_bucket(buckets.map(bucket).collect());
        histogram.set_sample_count(count);
        histogram.set_sample_sum(sum);
        let mut metric = labelled(labels);
        metric.set_histogram(histogram);
        metric
    })
}

fn counter(count: u64, labels: &[(&str, &str)]) -> Metric {
    let mut counter = Counter::default();
    #[expect(clippy::cast_precision_loss, reason = "counts stay below 2^53")]
    counter.set_value(count as f64);
    let mut metric = labelled(labels);
    metric.set_counter(counter);
    metric
}

pub(super) fn labelled(labels: &[(&str, &str)]) -> Metric {
    let pair = |(name, value): &(&str, &str)| {
        let mut pair = LabelPair::default();
        pair.set_name((*name).to_owned());
        pair.set_value((*value).to_owned());
        pair
    };
    Metric::from_label(labels.iter().map(pair).collect())
}
