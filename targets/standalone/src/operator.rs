//! The operator's loop: what was touched is stepped, level-triggered; a step never learns why.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use planner::Timestamp;
use planner::names::ObjectName;
use planner::object::{Kind, ObjectId};
use reconciler::{Admit, Beat};

use crate::Wake;
use crate::data_dir::advice;
use crate::events::{Event, Events};
use crate::models::{Models, Stepped, earliest};
use crate::objects::Objects;
use crate::trainings::Trainings;

/// How often the trainers' progress and the commands are looked at while something is under way.
const TICK: Duration = Duration::from_millis(200);
/// How often the commands are looked at while everything rests.
const TICK_RESTING: Duration = Duration::from_millis(500);
/// How often the heartbeat file is touched, in seconds.
const HEARTBEAT_SECONDS: i64 = 5;
/// The longest wait before a failed write is tried again, in seconds.
const RETRY_SECONDS_MAX: i64 = 30;
/// A clock that goes back by more than this, in seconds, was set back: no time that was noted means anything.
const SET_BACK_SECONDS: i64 = 2;

/// Makes slots and processes follow the objects.
pub(crate) struct Operator {
    objects: Arc<Objects>,
    models: Models,
    trainings: Trainings,
    wake: Wake,
    events: Events,
    /// Up to where the changes of specs were followed.
    followed: Option<u64>,
    stepped_at: Option<Timestamp>,
    beat_at: Option<Timestamp>,
    retry: Retry,
    /// Present until the registry is there.
    awaited: Option<Admit>,
}

/// What a step came to.
#[derive(Debug)]
pub(crate) struct Step {
    /// The generation of the objects at which nothing loads, trains or is behind, if that is so.
    pub(crate) settled_at: Option<u64>,
    /// How long to wait for a wake-up.
    pub(crate) wait: Duration,
}

impl Operator {
    pub(crate) fn new(
        objects: Arc<Objects>,
        models: Models,
        trainings: Trainings,
        wake: Wake,
        events: Events,
    ) -> Self {
        Self {
            objects,
            models,
            trainings,
            wake,
            events,
            followed: None,
            stepped_at: None,
            beat_at: None,
            retry: Retry::default(),
            awaited: None,
        }
    }

    /// Loads and trains nothing until the registry is there, as `admit` says.
    pub(crate) fn awaiting_registry(self, admit: Admit) -> Self {
        Self {
            awaited: Some(admit),
            ..self
        }
    }

    /// Steps everything that was touched once, and where it is a turn some that nothing touched. The slots come first: they wait for nothing.
    pub(crate) fn step(&mut self, beat: Beat, now: Timestamp) -> Step {
        // A finding of the pass says why not.
        if self.awaited.as_ref().is_some_and(|admit| admit().is_err()) {
            self.write(now);
            return Step {
                settled_at: None,
                wait: TICK_RESTING,
            };
        }
        self.awaited = None;
        let (changed, generation) = self.objects.specs_since(self.followed);
        self.followed = Some(generation);
        let of_kind = |kind: Kind| changed.iter().filter(move |id: &&ObjectId| id.kind == kind);
        let deployments: Vec<ObjectName> = of_kind(Kind::Deployment).map(|id| id.name.clone()).collect();
        let mut jobs: BTreeSet<ObjectName> = of_kind(Kind::Training).map(|id| id.name.clone()).collect();
        let mut models = self.wake.take_models();
        let is_set_back = self
            .stepped_at
            .is_some_and(|last| (last - now).num_seconds() > SET_BACK_SECONDS);
        if is_set_back {
            models.extend(self.models.clock_was_set_back());
            jobs.extend(self.trainings.clock_was_set_back());
        }
        self.stepped_at = Some(now);
        let models = self.models.step(&deployments, models, now);
        let trainings = self.trainings.step(jobs, beat, now);
        self.write(now);
        let Stepped {
            has_news,
            is_settled,
            wake,
        } = merge(models, trainings);
        if has_news {
            self.wake.reconciler();
        }
        let tick = if is_settled { TICK_RESTING } else { TICK };
        let due = wake.and_then(|wake| (wake - now).to_std().ok()).unwrap_or(tick);
        Step {
            settled_at: (is_settled && !self.retry.is_waiting()).then_some(generation),
            wait: due.min(tick),
        }
    }

    pub(crate) fn stop_all(&mut self) {
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
pub(crate) struct Retry {
    failures: u32,
    until: Option<Timestamp>,
}

impl Retry {
    pub(crate) fn is_waiting(&self) -> bool {
        self.until.is_some()
    }

    /// Says whether the wait is over. A wait that is longer than any means that the clock was set back.
    pub(crate) fn is_due(&self, now: Timestamp) -> bool {
        self.until
            .is_none_or(|until| now >= until || (until - now).num_seconds() > RETRY_SECONDS_MAX)
    }

    /// Returns whether this is the first failure in a row.
    pub(crate) fn failed(&mut self, now: Timestamp) -> bool {
        let seconds = 1_i64.checked_shl(self.failures).unwrap_or(RETRY_SECONDS_MAX);
        self.until = Some(now + Duration::from_secs(seconds.clamp(1, RETRY_SECONDS_MAX).unsigned_abs()));
        self.failures = (self.failures + 1).min(10);
        self.failures == 1
    }

    /// Returns whether something had failed before.
    pub(crate) fn succeeded(&mut self) -> bool {
        self.failures = 0;
        self.until.take().is_some()
    }
}
