//! What is counted of one slot, and the promise that each started request has exactly one outcome.
//!
//! Plain atomics, no series: those are made from what has happened when somebody asks (`series`). A slot that nobody
//! has asked costs a few hundred bytes, and a request looks no label up.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use strum::{EnumCount, IntoStaticStr, VariantArray};

use super::{LATENCY_BUCKETS_SECONDS, SlotLabels};

/// One for each bound, and one for what is above them all.
pub(super) const BUCKETS: usize = LATENCY_BUCKETS_SECONDS.len() + 1;

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

impl Outcome {
    /// Whether the client lacks an answer by no fault of its own.
    pub(super) const fn is_failure(self) -> bool {
        match self {
            Self::Error | Self::NonFinite => true,
            Self::Ok | Self::RejectedInput | Self::Cancelled => false,
        }
    }
}

/// What is counted of one version on one track.
#[derive(Debug)]
pub(crate) struct SlotMeters {
    pub(super) labels: SlotLabels,
    pub(super) codes: Codes,
    pub(super) latency: Latency,
    started: [AtomicU64; Routed::COUNT],
    outcomes: [[AtomicU64; Outcome::COUNT]; Routed::COUNT],
}

impl SlotMeters {
    pub(super) fn new(labels: SlotLabels) -> Self {
        Self {
            labels,
            codes: Codes::default(),
            latency: Latency::default(),
            started: Default::default(),
            outcomes: Default::default(),
        }
    }

    /// Returns what was counted of requests that were answered with predictions, and of the others.
    pub(crate) fn ended_by_success(&self) -> (Ended, Ended) {
        let count = |outcome| {
            Routed::VARIANTS
                .iter()
                .map(|routed| self.ended(*routed, outcome))
                .sum::<u64>()
        };
        let all: u64 = Outcome::VARIANTS.iter().map(|outcome| count(*outcome)).sum();
        let ok = count(Outcome::Ok);
        let [ok_nanoseconds, other_nanoseconds] =
            [0, 1].map(|at| self.latency.sums[at].load(Ordering::Relaxed));
        let of = |count, nanoseconds| Ended { count, nanoseconds };
        (of(ok, ok_nanoseconds), of(all - ok, other_nanoseconds))
    }

    /// Returns what was counted so far.
    pub(super) fn tally(&self) -> Tally {
        let outcomes = self
            .outcomes
            .iter()
            .flat_map(|outcomes| outcomes.iter().zip(Outcome::VARIANTS));
        Tally {
            failures: outcomes
                .filter(|(_, outcome)| outcome.is_failure())
                .map(|(count, _)| count.load(Ordering::Relaxed))
                .sum(),
            buckets: std::array::from_fn(|at| self.latency.buckets[at].load(Ordering::Relaxed)),
        }
    }

    pub(super) fn started(&self, routed: Routed) -> u64 {
        self.started[routed as usize].load(Ordering::Relaxed)
    }

    pub(super) fn ended(&self, routed: Routed, outcome: Outcome) -> u64 {
        self.outcomes[routed as usize][outcome as usize].load(Ordering::Relaxed)
    }
}

/// How many requests ended: those that the server failed, and all by what they took.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Tally {
    pub(super) failures: u64,
    /// As in [`Latency`].
    pub(super) buckets: [u64; BUCKETS],
}

/// Requests that ended, and how long they took together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Ended {
    pub(crate) count: u64,
    pub(crate) nanoseconds: u64,
}

/// Answers by HTTP status.
#[derive(Debug, Default)]
pub(crate) struct Codes {
    /// 200 and 400 come by the thousand: no lock for them.
    ok: AtomicU64,
    bad_request: AtomicU64,
    others: Mutex<BTreeMap<u16, u64>>,
}

impl Codes {
    pub(crate) fn count(&self, code: u16) {
        match code {
            200 => increment(&self.ok),
            400 => increment(&self.bad_request),
            _ => {
                let mut others = self.others.lock().unwrap_or_else(PoisonError::into_inner);
                *others.entry(code).or_default() += 1;
            }
        }
    }

    /// Returns each code and how often it was given.
    pub(super) fn counted(&self) -> BTreeMap<u16, u64> {
        let mut counted = self.others.lock().unwrap_or_else(PoisonError::into_inner).clone();
        counted.insert(200, self.ok.load(Ordering::Relaxed));
        counted.insert(400, self.bad_request.load(Ordering::Relaxed));
        counted.retain(|_code, count| *count > 0);
        counted
    }
}

/// A histogram over [`LATENCY_BUCKETS_SECONDS`].
#[derive(Debug, Default)]
pub(super) struct Latency {
    /// Not cumulative; the last is for what is above every bound.
    buckets: [AtomicU64; BUCKETS],
    /// Nanoseconds, room for five hundred years: of requests that were answered with predictions, and of the others.
    sums: [AtomicU64; 2],
}

impl Latency {
    fn observe(&self, took: Duration, is_ok: bool) {
        let seconds = took.as_secs_f64();
        let bucket = LATENCY_BUCKETS_SECONDS.partition_point(|bound| *bound < seconds);
        increment(&self.buckets[bucket]);
        let nanoseconds = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
        self.sums[usize::from(!is_ok)].fetch_add(nanoseconds, Ordering::Relaxed);
    }

    /// Returns how many are at or below each bound, how many there are, and their sum in seconds.
    pub(super) fn observed(&self) -> ([u64; LATENCY_BUCKETS_SECONDS.len()], u64, f64) {
        let mut count = 0;
        let mut at = |bucket: &AtomicU64| {
            count += bucket.load(Ordering::Relaxed);
            count
        };
        let cumulative = std::array::from_fn(|bucket| at(&self.buckets[bucket]));
        let all = at(&self.buckets[LATENCY_BUCKETS_SECONDS.len()]);
        let sum = self.sums.iter().map(|sum| sum.load(Ordering::Relaxed)).sum();
        let sum = Duration::from_nanos(sum);
        (cumulative, all, sum.as_secs_f64())
    }
}

fn increment(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
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
        increment(&meters.started[routed as usize]);
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
        increment(&meters.outcomes[self.routed as usize][outcome as usize]);
        meters.codes.count(code);
        meters
            .latency
            .observe(self.since.elapsed(), outcome == Outcome::Ok);
    }
}

impl Drop for Attempt {
    fn drop(&mut self) {
        if !self.finished {
            self.count(Outcome::Cancelled, 499);
        }
    }
}
