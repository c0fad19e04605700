//! What each track answered of late: over the last minute, from what is counted anyway. A tick looks at every slot; a
//! request pays nothing for it, and a slot that nobody asks has no entry.

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

use schemars::JsonSchema;
use serde::Serialize;

use super::slot::{BUCKETS, SlotMeters, Tally};
use super::{LATENCY_BUCKETS_SECONDS, SlotLabels};

/// Over how long traffic is shown; the ticks are finer.
const WINDOW: Duration = Duration::from_mins(1);
/// How often slots are looked at.
pub(crate) const TICK: Duration = Duration::from_secs(5);
/// How many ticks a window spans, and one before it.
const TICKS_MAX: usize = 13;

/// What one track answered over about the last minute, or since the process began.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, JsonSchema)]
pub(crate) struct Traffic {
    /// How many seconds that is.
    seconds: f64,
    /// How many requests ended.
    requests: u64,
    /// How many of them the server failed to answer.
    errors: u64,
    /// Requests a second.
    per_second: f64,
    /// What half of the requests took at most, in milliseconds; `null` without requests.
    p50_ms: Option<f64>,
    /// What 99 of 100 requests took at most, in milliseconds; `null` without requests.
    p99_ms: Option<f64>,
}

/// What was counted of the slots at the last ticks.
#[derive(Debug, Default)]
pub(super) struct Recent {
    /// The newest last.
    ticks: VecDeque<Instant>,
    /// What each slot that was ever asked had counted at a tick, where that was more than at the tick before.
    slots: BTreeMap<SlotLabels, VecDeque<(Instant, Tally)>>,
}

impl Recent {
    /// Looks at all slots that are counted.
    pub(super) fn tick<'a>(&mut self, slots: impl Iterator<Item = &'a SlotMeters>, now: Instant) {
        if self.ticks.len() == TICKS_MAX {
            self.ticks.pop_front();
        }
        self.ticks.push_back(now);
        let start = self.start(now);
        let mut before = std::mem::take(&mut self.slots);
        for meters in slots {
            let mut readings = before.remove(&meters.labels).unwrap_or_default();
            let tally = meters.tally();
            let last = readings.back().map_or(Tally::default(), |(_, last)| *last);
            if tally != last {
                readings.push_back((now, tally));
            }
            // What counts is the newest that is no younger than the window.
            while readings.get(1).is_some_and(|(at, _)| *at <= start) {
                readings.pop_front();
            }
            if !readings.is_empty() {
                self.slots.insert(meters.labels.clone(), readings);
            }
        }
    }

    /// Returns what a slot answered from the tick at which the window begins until `now`.
    pub(super) fn of(&self, meters: &SlotMeters, now: Instant) -> Traffic {
        let start = self.start(now);
        let readings = self.slots.get(&meters.labels).into_iter().flatten();
        let before = readings.take_while(|(at, _)| *at <= start).last();
        let before = before.map_or(Tally::default(), |(_, tally)| *tally);
        Traffic::between(&before, &meters.tally(), now.saturating_duration_since(start))
    }

    /// Returns the tick at which the window before `now` begins: the oldest where there is none so old.
    fn start(&self, now: Instant) -> Instant {
        let is_old = |at: &&Instant| now.saturating_duration_since(**at) >= WINDOW;
        let old = self.ticks.iter().take_while(is_old).last();
        *old.or(self.ticks.front()).unwrap_or(&now)
    }
}

impl Traffic {
    fn between(before: &Tally, after: &Tally, took: Duration) -> Self {
        let buckets = std::array::from_fn(|at| after.buckets[at].saturating_sub(before.buckets[at]));
        let requests: u64 = buckets.iter().sum();
        let seconds = took.as_secs_f64();
        Self {
            seconds,
            requests,
            errors: after.failures.saturating_sub(before.failures),
            per_second: if seconds > 0.0 {
                exact(requests) / seconds
            } else {
                0.0
            },
            p50_ms: quantile(&buckets, 0.5),
            p99_ms: quantile(&buckets, 0.99),
        }
    }
}

/// Returns the latency below which a part of the requests stayed, in milliseconds, as if those of a bucket lay evenly in it;
/// above every bound, the last bound.
fn quantile(buckets: &[u64; BUCKETS], part: f64) -> Option<f64> {
    let all: u64 = buckets.iter().sum();
    if all == 0 {
        return None;
    }
    let rank = exact(all) * part;
    let (mut below, mut lower) = (0.0, 0.0);
    for (count, upper) in buckets.iter().zip(LATENCY_BUCKETS_SECONDS) {
        let count = exact(*count);
        if below + count >= rank && count > 0.0 {
            return Some((lower + (upper - lower) * (rank - below) / count) * 1e3);
        }
        below += count;
        lower = upper;
    }
    Some(lower * 1e3)
}

#[expect(clippy::cast_precision_loss, reason = "counts stay below 2^53")]
fn exact(count: u64) -> f64 {
    count as f64
}

#[cfg(test)]
mod tests {
    use super::super::slot::{Attempt, Outcome, Routed};
    use super::*;
    use std::sync::Arc;

    fn slot() -> Arc<SlotMeters> {
        Arc::new(SlotMeters::new(SlotLabels {
            model: "wine".parse().expect("a name"),
            version: "v20261101-120000".parse().expect("a version"),
            track: planner::names::Track::Stable,
        }))
    }

    fn ask(meters: &Arc<SlotMeters>, outcome: Outcome, count: usize) {
        for _ in 0..count {
            Attempt::start(meters.clone(), Routed::Split, Instant::now()).finish(outcome, 200);
        }
    }

    #[test]
    fn what_is_older_than_a_minute_does_not_count() {
        let asked = slot();
        let begun = Instant::now();
        let at = |seconds| begun + Duration::from_secs(seconds);
        let mut recent = Recent::default();
        let mut told = Vec::new();
        // Half a minute of nothing, ten requests and an error, two minutes of nothing.
        for tick in 0..=30 {
            let now = at(tick * 5);
            if tick == 6 {
                ask(&asked, Outcome::Ok, 10);
                ask(&asked, Outcome::Error, 1);
            }
            recent.tick(std::iter::once(&*asked), now);
            let Traffic { requests, errors, .. } = recent.of(&asked, now);
            if told.last().is_none_or(|(_, last)| *last != (requests, errors)) {
                told.push((tick * 5, (requests, errors)));
            }
        }
        assert_eq!(told, [(0, (0, 0)), (30, (11, 1)), (90, (0, 0))]);
        assert_eq!(recent.ticks.len(), TICKS_MAX);
        let traffic = recent.of(&asked, at(151));
        assert_eq!((traffic.seconds, traffic.p50_ms), (61.0, None));
    }

    #[test]
    fn memory_is_bounded_whatever_is_asked() {
        let asked = slot();
        let begun = Instant::now();
        let mut recent = Recent::default();
        for tick in 0..100 {
            ask(&asked, Outcome::Ok, 1);
            recent.tick(std::iter::once(&*asked), begun + TICK * tick);
        }
        assert_eq!(recent.slots[&asked.labels].len(), TICKS_MAX);
        // It is gone; another that nobody asks comes in its place.
        recent.tick(std::iter::empty(), begun + TICK * 100);
        recent.tick(std::iter::once(&*slot()), begun + TICK * 101);
        assert!(recent.slots.is_empty());
    }

    #[test]
    fn latencies_lie_evenly_in_their_bucket() {
        let counted = |counts: &[(usize, u64)]| {
            let mut buckets = [0; BUCKETS];
            for (at, count) in counts {
                buckets[*at] = *count;
            }
            [0.5, 0.99].map(|part| quantile(&buckets, part))
        };
        for (counts, expected) in [
            (&[][..], [None, None]),
            // All from 0.5 to 1 ms.
            (&[(4, 100)][..], [Some(0.75), Some(0.995)]),
            // Half up to 50 µs, half from 5 to 10 s.
            (&[(0, 50), (16, 50)][..], [Some(0.05), Some(9_900.0)]),
            // Above every bound.
            (&[(17, 10)][..], [Some(10_000.0), Some(10_000.0)]),
        ] {
            let told = counted(counts).map(|told| told.map(|told| (told * 1e6).round() / 1e6));
            assert_eq!(told, expected, "{counts:?}");
        }
    }
}
