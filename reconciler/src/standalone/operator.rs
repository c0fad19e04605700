//! The operator's loop: per object, level-triggered, it never learns why it was woken.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use planner::Timestamp;

use super::Wake;
use super::data_dir::advice;
use super::deployments::{Deployments, Stepped, earliest};
use super::events::{Event, Events};
use super::objects::Objects;
use super::trainings::Trainings;

/// How often the trainers' progress and the commands are looked at while something is under way.
const TICK: Duration = Duration::from_millis(200);
/// How often the commands are looked at while everything rests.
const TICK_RESTING: Duration = Duration::from_millis(500);
/// How often the heartbeat file is touched, in seconds.
const HEARTBEAT_SECONDS: i64 = 5;
/// The longest wait before a failed write is tried again, in seconds.
const RETRY_SECONDS_MAX: i64 = 30;

/// Makes slots and processes follow the objects.
pub(super) struct Operator {
    objects: Arc<Objects>,
    deployments: Deployments,
    trainings: Trainings,
    wake: Wake,
    events: Events,
    beat_at: Option<Timestamp>,
    retry: Retry,
}

/// What a step came to.
#[derive(Debug)]
pub(super) struct Step {
    /// The generation of the objects at which nothing loads, trains or is behind, if that is so.
    pub(super) settled_at: Option<u64>,
    /// How long to wait for a wake-up.
    pub(super) wait: Duration,
}

impl Operator {
    pub(super) fn new(
        objects: Arc<Objects>,
        deployments: Deployments,
        trainings: Trainings,
        wake: Wake,
        events: Events,
    ) -> Self {
        Self {
            objects,
            deployments,
            trainings,
            wake,
            events,
            beat_at: None,
            retry: Retry::default(),
        }
    }

    /// Steps everything once. The slots come first: they wait for nothing.
    pub(super) fn step(&mut self, now: Timestamp) -> Step {
        let generation = self.objects.state().generation;
        let deployments = self.deployments.step(now);
        let trainings = self.trainings.step(now);
        self.write(now);
        let Stepped {
            has_news,
            is_settled,
            wake,
        } = merge(deployments, trainings);
        if has_news {
            self.wake.reconcile();
        }
        let tick = if is_settled { TICK_RESTING } else { TICK };
        let due = wake.and_then(|wake| (wake - now).to_std().ok()).unwrap_or(tick);
        Step {
            settled_at: (is_settled && !self.retry.is_waiting()).then_some(generation),
            wait: due.min(tick),
        }
    }

    pub(super) fn stop_all(&mut self) {
        self.trainings.stop_all();
    }

    fn write(&mut self, now: Timestamp) {
        let is_beat_due = self
            .beat_at
            .is_none_or(|at| (now - at).num_seconds().abs() >= HEARTBEAT_SECONDS);
        if !self.retry.is_due(now) {
            return;
        }
        let mut result = self.objects.write_statuses();
        if is_beat_due {
            self.beat_at = Some(now);
            result = result.and(self.objects.data_dir.beat(SystemTime::from(now)));
        }
        match result {
            Ok(()) => {
                if self.retry.succeeded() {
                    self.events.send(Event::Recovered);
                }
            }
            Err(error) => {
                if self.retry.failed(now) {
                    tracing::error!(%error, "cannot write to the data directory; what serves serves, and it is tried again");
                    self.events.send(Event::Trouble(format!(
                        "{error}{}; what serves serves, and it is tried again",
                        advice(&error)
                    )));
                }
            }
        }
    }
}

fn merge(a: Stepped, b: Stepped) -> Stepped {
    Stepped {
        has_news: a.has_news || b.has_news,
        is_settled: a.is_settled && b.is_settled,
        wake: earliest(a.wake, b.wake),
    }
}

/// A back-off that doubles, from one second.
#[derive(Debug, Default)]
pub(super) struct Retry {
    failures: u32,
    until: Option<Timestamp>,
}

impl Retry {
    pub(super) fn is_waiting(&self) -> bool {
        self.until.is_some()
    }

    /// Says whether the wait is over. A wait that is longer than any means that the clock was set back.
    pub(super) fn is_due(&self, now: Timestamp) -> bool {
        self.until
            .is_none_or(|until| now >= until || (until - now).num_seconds() > RETRY_SECONDS_MAX)
    }

    /// Returns whether this is the first failure in a row.
    pub(super) fn failed(&mut self, now: Timestamp) -> bool {
        let seconds = 1_i64.checked_shl(self.failures).unwrap_or(RETRY_SECONDS_MAX);
        self.until = Some(now + Duration::from_secs(seconds.clamp(1, RETRY_SECONDS_MAX).unsigned_abs()));
        self.failures = (self.failures + 1).min(10);
        self.failures == 1
    }

    /// Returns whether something had failed before.
    pub(super) fn succeeded(&mut self) -> bool {
        self.failures = 0;
        self.until.take().is_some()
    }
}
