//! What a pass found and did → the status of the MLEnvironment. Computed in one place, at the end of the pass.

use crds::MLEnvironmentStatus;
use crds::status::{Condition, Counts, FindingStatus, PassStatus, WaitStatus};
use planner::Timestamp;
use planner::clock::Doubt;
use planner::names::Revision;
use planner::plan::Waiting;

use crate::conditions::{Facts, fact};
use crate::pass::Pass;
use crate::standing::Standing;
use crate::view::View;

/// How many changing passes a report remembers.
const HISTORY_LENGTH_MAX: usize = 10;
/// How many changes of a pass are named.
const CHANGES_MAX: usize = 20;
/// How many findings are named, and how much of what waits; all are counted.
const NAMED_MAX: usize = 100;

/// What a report was made of: nothing is written while this stays the same and nothing was done.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Told {
    attempted: Option<Revision>,
    accepted: Option<Revision>,
    suspended: Option<String>,
    is_cut_short: bool,
    doubt: Option<Doubt>,
    standing: u64,
    wakes_at: Option<Timestamp>,
    objects: (usize, usize),
}

impl Told {
    pub(crate) fn of(pass: &Pass, standing: &Standing, view: &View) -> Self {
        Self {
            attempted: pass.attempted.clone(),
            accepted: pass.accepted.clone(),
            suspended: pass.suspended.clone(),
            is_cut_short: pass.is_cut_short,
            doubt: pass.doubt,
            standing: standing.changes(),
            wakes_at: pass.wakes_at,
            objects: (view.observed.deployments.len(), view.observed.trainings.len()),
        }
    }
}

/// Computes the environment's status after a pass. The same pass over the same state gives the same status.
pub(crate) fn report(pass: &Pass, standing: &Standing, view: &View, now: Timestamp) -> MLEnvironmentStatus {
    let old = &view.report;
    let is_applied = pass.suspended.is_none()
        && !pass.applied.stops_commit()
        && !pass.is_cut_short
        && !standing.findings().any(|finding| finding.reason.stops_commit())
        && !standing.waiting().any(Waiting::stops_commit);
    let applied_revision = pass
        .attempted
        .clone()
        .filter(|_| is_applied)
        .or_else(|| old.applied_revision.clone());
    let accepted_revision = pass.accepted.clone();
    let mut history = old.history.clone();
    let done: Vec<_> = pass
        .applied
        .done
        .iter()
        .filter(|action| !action.is_note())
        .collect();
    if let (false, Some(revision)) = (done.is_empty(), &pass.attempted) {
        let named = done.iter().take(CHANGES_MAX).map(ToString::to_string);
        let unnamed = done.len().saturating_sub(CHANGES_MAX);
        history.push(PassStatus {
            at: now,
            revision: revision.clone(),
            plan_hash: pass.plan_hash.map(|hash| hash.to_string()),
            changes: named
                .chain((unnamed > 0).then(|| format!("and {unnamed} more")))
                .collect(),
        });
        let surplus = history.len().saturating_sub(HISTORY_LENGTH_MAX);
        history.drain(..surplus);
    }
    let count = |length: usize| u32::try_from(length).unwrap_or(u32::MAX);
    MLEnvironmentStatus {
        observed_generation: None,
        conditions: conditions(pass, standing, &old.conditions, now),
        attempted_revision: pass.attempted.clone().or_else(|| old.attempted_revision.clone()),
        applied_revision,
        accepted_revision,
        findings: standing
            .findings()
            .take(NAMED_MAX)
            .map(FindingStatus::from)
            .collect(),
        waiting: standing
            .waiting()
            .take(NAMED_MAX)
            .map(ToString::to_string)
            .collect(),
        waits: standing.waiting().take(NAMED_MAX).map(WaitStatus::from).collect(),
        counts: Counts {
            deployments: count(view.observed.deployments.len()),
            trainings: count(view.observed.trainings.len()),
            findings: count(standing.findings_count()),
            waiting: count(standing.waiting_count()),
        },
        requested_at: None,
        next_wake_up: pass.wakes_at,
        history,
    }
}

fn conditions(pass: &Pass, standing: &Standing, old: &[Condition], now: Timestamp) -> Vec<Condition> {
    let is_stopped = standing.stopping().next().is_some();
    let first = standing
        .stopping()
        .next()
        .map(|finding| format!("{}: {}", finding.reason, finding.message))
        .unwrap_or_default();
    let facts = if let Some(reason) = &pass.suspended {
        Facts::Held("Suspended", reason.clone())
    } else if pass.is_cut_short || pass.applied.is_tried_again() {
        Facts::Reconciling("Retrying", first)
    } else if is_stopped {
        Facts::Stalled {
            reason: "Findings",
            message: first,
            goes_on: standing.waiting_count() > 0,
        }
    } else if let Some(waiting) = standing.waiting().next() {
        Facts::Reconciling("Waiting", waiting.to_string())
    } else {
        Facts::Ready("Applied", String::new())
    };
    let doubted = pass
        .doubt
        .map(|doubt| fact("ClockDoubted", doubt.reason(), &doubt.to_string(), old, now));
    let mut conditions = facts.conditions(old, now);
    conditions.extend(doubted);
    conditions
}
