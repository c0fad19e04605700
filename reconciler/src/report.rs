//! What a pass found and did → the status of the MLEnvironment. Computed in one place, at the end of the pass.

use crds::MLEnvironmentStatus;
use crds::status::{Condition, ConditionStatus, Counts, FindingStatus, InventoryEntry, PassStatus};
use planner::Timestamp;
use planner::finding::{Finding, Reason};
use planner::names::{Digest, Revision};
use planner::object::Kind;
use planner::plan::Waiting;

use crate::apply::Applied;
use crate::standalone::AwaitedPin;
use crate::standalone::objects::State;

/// How many changing passes a report remembers.
const HISTORY_LENGTH_MAX: usize = 10;
/// How many changes of a pass are named.
const CHANGES_MAX: usize = 20;
/// How many findings are named; all are counted.
const FINDINGS_MAX: usize = 100;

/// What one pass found and did.
#[derive(Debug, Default)]
pub struct Pass {
    /// The commit that it looked at; absent where the branch could not be read and never was.
    pub attempted: Option<Revision>,
    /// Why nothing was done, where the MLEnvironment is suspended.
    pub suspended: Option<String>,
    /// The hash of what the commit intends (DESIGN §11.6), where the pass did something.
    pub plan_hash: Option<Digest>,
    /// What it did and what failed.
    pub applied: Applied,
    /// All findings, sorted.
    pub findings: Vec<Finding>,
    /// What goes on by itself.
    pub waiting: Vec<Waiting>,
    /// What should come to serve, sorted; without the pins that a finding keeps from it.
    pub awaited: Vec<AwaitedPin>,
    /// Whether something could not be read or written, and is tried again.
    pub is_cut_short: bool,
}

impl Pass {
    /// Says whether nothing is left to do: no action, no failure, nothing that waits.
    pub fn is_converged(&self) -> bool {
        self.applied.done.is_empty()
            && self.applied.failed.is_empty()
            && self.waiting.is_empty()
            && !self.is_cut_short
    }

    /// Returns the findings that stop something; a forced branch is only told.
    pub fn stopping(&self) -> impl Iterator<Item = &Finding> {
        self.findings
            .iter()
            .filter(|finding| finding.reason != Reason::BranchForced)
    }
}

/// Computes the environment's status after a pass. The same pass over the same state gives the same status.
pub(crate) fn report(pass: &Pass, state: &State, now: Timestamp) -> MLEnvironmentStatus {
    let Pass {
        attempted,
        suspended,
        plan_hash,
        applied: Applied { done, failed },
        findings,
        waiting,
        awaited: _,
        is_cut_short,
    } = pass;
    let old = &state.report;
    let applied_revision = if suspended.is_none() && failed.is_empty() && !is_cut_short {
        attempted.clone().or_else(|| old.applied_revision.clone())
    } else {
        old.applied_revision.clone()
    };
    let mut history = old.history.clone();
    if let (false, Some(revision)) = (done.is_empty(), attempted) {
        let named = done.iter().take(CHANGES_MAX).map(ToString::to_string);
        let unnamed = done.len().saturating_sub(CHANGES_MAX);
        history.push(PassStatus {
            at: now,
            revision: revision.clone(),
            plan_hash: plan_hash.map(|hash| hash.to_string()),
            changes: named
                .chain((unnamed > 0).then(|| format!("and {unnamed} more")))
                .collect(),
        });
        let surplus = history.len().saturating_sub(HISTORY_LENGTH_MAX);
        history.drain(..surplus);
    }
    let inventory = state
        .deployments
        .keys()
        .map(|name| (Kind::Deployment, name))
        .chain(state.trainings.keys().map(|name| (Kind::Training, name)))
        .map(|(kind, name)| InventoryEntry {
            kind: kind.to_string(),
            name: name.to_string(),
        })
        .collect();
    let count = |length: usize| u32::try_from(length).unwrap_or(u32::MAX);
    MLEnvironmentStatus {
        observed_generation: None,
        conditions: conditions(pass, &old.conditions, now),
        attempted_revision: attempted.clone().or_else(|| old.attempted_revision.clone()),
        applied_revision,
        findings: findings
            .iter()
            .take(FINDINGS_MAX)
            .map(FindingStatus::from)
            .collect(),
        waiting: waiting
            .iter()
            .take(FINDINGS_MAX)
            .map(ToString::to_string)
            .collect(),
        counts: Counts {
            deployments: count(state.deployments.len()),
            trainings: count(state.trainings.len()),
            findings: count(findings.len()),
            waiting: count(waiting.len()),
        },
        inventory,
        next_wake_up: None,
        history,
    }
}

fn conditions(pass: &Pass, old: &[Condition], now: Timestamp) -> Vec<Condition> {
    let stopping = pass.stopping().count();
    let first = pass
        .stopping()
        .next()
        .map(|finding| format!("{}: {}", finding.reason, finding.message))
        .unwrap_or_default();
    let facts = if let Some(reason) = &pass.suspended {
        Facts {
            ready: (ConditionStatus::True, "Suspended", reason.clone()),
            reconciling: false,
            stalled: false,
        }
    } else if pass.is_cut_short || !pass.applied.failed.is_empty() {
        Facts {
            ready: (ConditionStatus::False, "Retrying", first),
            reconciling: true,
            stalled: false,
        }
    } else if stopping > 0 {
        Facts {
            ready: (ConditionStatus::False, "Findings", first),
            reconciling: !pass.waiting.is_empty(),
            stalled: true,
        }
    } else if let Some(waiting) = pass.waiting.first() {
        Facts {
            ready: (ConditionStatus::False, "Waiting", waiting.to_string()),
            reconciling: true,
            stalled: false,
        }
    } else {
        Facts {
            ready: (ConditionStatus::True, "Applied", String::new()),
            reconciling: false,
            stalled: false,
        }
    };
    facts.conditions(old, now)
}

/// What an object's three conditions say.
#[derive(Debug, Clone)]
pub(crate) struct Facts {
    pub(crate) ready: (ConditionStatus, &'static str, String),
    pub(crate) reconciling: bool,
    pub(crate) stalled: bool,
}

impl Facts {
    /// Returns the conditions; the time of each is that of its last change of status.
    pub(crate) fn conditions(self, old: &[Condition], now: Timestamp) -> Vec<Condition> {
        let (status, reason, message) = self.ready;
        let cut: String = message.chars().take(500).collect();
        let condition = |kind: &str, status: ConditionStatus| Condition {
            kind: kind.to_owned(),
            status,
            reason: reason.to_owned(),
            message: cut.clone(),
            last_transition_time: old
                .iter()
                .find(|old| old.kind == kind && old.status == status)
                .map_or(now, |old| old.last_transition_time),
        };
        let truth = |holds: bool| {
            if holds {
                ConditionStatus::True
            } else {
                ConditionStatus::False
            }
        };
        vec![
            condition("Ready", status),
            condition("Reconciling", truth(self.reconciling)),
            condition("Stalled", truth(self.stalled)),
        ]
    }
}
