//! What is looked at again although nothing touched it: what could not be read or done.

use std::collections::{BTreeMap, BTreeSet};

use chrono::Duration;
use planner::Timestamp;
use planner::finding::Disposition;
use planner::names::ModelName;

/// The first wait, in seconds; it doubles each time.
const SECONDS_MIN: i64 = 2;
/// The longest wait for what may work again by itself, in seconds.
const SECONDS_MAX: i64 = 30;
/// The wait for what a person must mend, in seconds: nothing tells when they have.
const SECONDS_INVALID: i64 = 10;

/// The models to look at again, each with its wait. `None` stands for what is about no model.
#[derive(Debug, Default)]
pub(super) struct Retries {
    waits: BTreeMap<Option<ModelName>, Wait>,
    /// What was touched and could not be decided about.
    again: BTreeSet<ModelName>,
}

#[derive(Debug, Clone, Copy)]
struct Wait {
    failures: u32,
    until: Timestamp,
}

impl Wait {
    /// Says whether it is over. A wait that is longer than any means that the clock was set back.
    fn is_over(&self, now: Timestamp) -> bool {
        self.until <= now || self.until - now > Duration::seconds(SECONDS_MAX)
    }
}

impl Retries {
    /// Notes that something failed.
    pub(super) fn failed(&mut self, model: Option<ModelName>, disposition: Disposition, now: Timestamp) {
        let failures = self.waits.get(&model).map_or(0, |wait| wait.failures);
        let seconds = match disposition {
            Disposition::Invalid => SECONDS_INVALID,
            Disposition::Waiting | Disposition::Transient => {
                (SECONDS_MIN << failures.min(8)).min(SECONDS_MAX)
            }
        };
        self.waits.insert(
            model,
            Wait {
                failures: failures + 1,
                until: now + Duration::seconds(seconds),
            },
        );
    }

    /// Keeps a model that was touched for the next pass.
    pub(super) fn again(&mut self, model: ModelName) {
        self.again.insert(model);
    }

    /// Notes that all was done about a model, or about no model.
    pub(super) fn succeeded(&mut self, model: Option<&ModelName>) {
        self.waits.remove(&model.cloned());
    }

    /// Says whether what is about no model is to be tried again.
    pub(super) fn is_general_due(&self, now: Timestamp) -> bool {
        self.waits.get(&None).is_none_or(|wait| wait.is_over(now))
    }

    /// Takes the models whose wait is over; the number of failures is remembered.
    pub(super) fn due(&mut self, now: Timestamp) -> BTreeSet<ModelName> {
        let mut due = std::mem::take(&mut self.again);
        if !self.waits.is_empty() {
            let over = self.waits.iter().filter(|(_, wait)| wait.is_over(now));
            due.extend(over.filter_map(|(model, _)| model.clone()));
        }
        due
    }
}
