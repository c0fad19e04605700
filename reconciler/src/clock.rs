//! What the clock is held against: the newest moments that runs, passes and commits wrote down.

use planner::Timestamp;
use planner::clock::{Doubt, doubt};
use planner::desired::Desired;

use crate::view::View;

/// Whether the clock can be believed, as last judged.
#[derive(Debug, Default)]
pub(crate) struct Clock {
    doubt: Option<Doubt>,
}

/// The newest moments of all that was ever seen; what they were of may be gone.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Newest {
    pub(crate) record: Option<Timestamp>,
    pub(crate) commit: Option<Timestamp>,
}

impl Clock {
    /// Judges the clock by what stands. Costs nothing as long as it is ahead of all that was ever seen.
    pub(crate) fn judge(&mut self, view: &View, desired: Option<&Desired>, now: Timestamp) -> Option<Doubt> {
        let Newest { record, commit } = view.newest;
        let may_be = doubt(record, commit, now).is_some();
        let doubted = may_be
            .then(|| doubt(newest_record(view), desired.and_then(newest_commit), now))
            .flatten();
        match (&self.doubt, &doubted) {
            (None, Some(doubt)) => tracing::warn!(reason = doubt.reason(), "the clock is doubted: {doubt}"),
            (Some(_), None) => tracing::info!("the clock is not doubted any more"),
            (None, None) | (Some(_), Some(_)) => {}
        }
        self.doubt = doubted;
        doubted
    }
}

fn newest_record(view: &View) -> Option<Timestamp> {
    let runs = view.observed.trainings.values();
    let runs = runs.filter_map(|found| found.recorded_at);
    let passes = view.report.history.iter().map(|pass| pass.at);
    runs.chain(passes).max()
}

fn newest_commit(desired: &Desired) -> Option<Timestamp> {
    let deployments = desired.deployments.values();
    let deployments = deployments.map(|declared| declared.committed_at);
    let trainings = desired.trainings.values();
    deployments
        .chain(trainings.map(|declared| declared.committed_at))
        .max()
}
