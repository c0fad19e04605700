//! The three conditions that every object of ours has.

use crds::status::{Condition, ConditionStatus};
use planner::Timestamp;

/// What an object's three conditions say.
#[derive(Debug, Clone)]
pub struct Facts {
    /// Whether it is ready, a PascalCase word, and one sentence for a person.
    pub ready: (ConditionStatus, &'static str, String),
    /// Whether something goes on.
    pub reconciling: bool,
    /// Whether a person must act.
    pub stalled: bool,
}

impl Facts {
    /// Returns the conditions; the time of each is that of its last change of status.
    pub fn conditions(self, old: &[Condition], now: Timestamp) -> Vec<Condition> {
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
