//! The three conditions that every object of ours has, and facts beside them.

use crds::status::{Condition, ConditionStatus};
use planner::Timestamp;
use planner::observed::{Behind, DeploymentObject};
use planner::rollout::{self, HoldReason, State};

/// What an object's three conditions say: one of four things, so that it is never ready beside anything else. Each has
/// a PascalCase word and a sentence for a person.
#[derive(Debug, Clone)]
pub enum Facts {
    /// All is as it should be.
    Ready(&'static str, String),
    /// It is not yet, and becomes so by itself.
    Reconciling(&'static str, String),
    /// It is not, and a person must act.
    Stalled {
        /// Why.
        reason: &'static str,
        /// The sentence.
        message: String,
        /// Whether something else goes on by itself.
        goes_on: bool,
    },
    /// It may not be, and somebody wants it so.
    Held(&'static str, String),
}

impl Facts {
    /// Something that a person must mend, while nothing goes on.
    pub fn stalled(reason: &'static str, message: String) -> Self {
        Self::Stalled {
            reason,
            message,
            goes_on: false,
        }
    }

    /// Returns what holds of an object that something may keep from what Git says.
    #[must_use]
    pub fn behind(self, behind: Option<&Behind>) -> Self {
        match (behind, self) {
            (Some(Behind::Stopped(what)), facts) => Self::Stalled {
                reason: "Stopped",
                message: what.clone(),
                goes_on: matches!(facts, Self::Reconciling(..)),
            },
            (Some(Behind::Waits(what)), Self::Ready(..)) => Self::Reconciling("Waiting", what.clone()),
            (Some(Behind::Held(what)), Self::Ready(..)) => Self::Held("Held", what.clone()),
            (Some(Behind::Waits(_) | Behind::Held(_)) | None, facts) => facts,
        }
    }

    /// Returns the conditions; the time of each is that of its last change of status.
    pub fn conditions(self, old: &[Condition], now: Timestamp) -> Vec<Condition> {
        let (ready, reconciling, stalled) = match &self {
            Self::Ready(..) => (true, false, false),
            Self::Reconciling(..) => (false, true, false),
            Self::Stalled { goes_on, .. } => (false, *goes_on, true),
            Self::Held(..) => (false, false, false),
        };
        let (Self::Ready(reason, message)
        | Self::Reconciling(reason, message)
        | Self::Held(reason, message)
        | Self::Stalled { reason, message, .. }) = self;
        let condition = |kind: &str, holds: bool| {
            let status = if holds {
                ConditionStatus::True
            } else {
                ConditionStatus::False
            };
            condition(kind, status, reason, &message, old, now)
        };
        vec![
            condition("Ready", ready),
            condition("Reconciling", reconciling),
            condition("Stalled", stalled),
        ]
    }
}

/// What an MLDeployment's conditions say: of the tracks, and of what keeps the object from what Git says.
pub fn of_rollout(status: &rollout::Status, object: &DeploymentObject) -> Facts {
    let facts = match &status.state {
        State::Idle => Facts::Ready("Idle", String::new()),
        State::Preparing => {
            let message = "a track does not serve its pin yet";
            Facts::Reconciling("Preparing", message.to_owned())
        }
        State::Promoting => {
            let message = "stable becomes what the canary serves";
            Facts::Reconciling("Promoting", message.to_owned())
        }
        State::Holding { reason, message } => {
            let message = format!("{reason}: {message}");
            match reason {
                HoldReason::Suspended | HoldReason::Paused => Facts::Held("Holding", message),
                HoldReason::CanaryLost | HoldReason::CanaryCapacity => Facts::Reconciling("Holding", message),
                HoldReason::LoadFailed => Facts::stalled("Holding", message),
            }
        }
        State::Aborted { digest, reason } => {
            Facts::stalled("Aborted", format!("{}: {reason}", digest.short()))
        }
    };
    facts.behind(object.behind.as_ref())
}

/// Returns the condition of a fact, which is there only while it is true.
pub fn fact(kind: &str, reason: &str, message: &str, old: &[Condition], now: Timestamp) -> Condition {
    condition(kind, ConditionStatus::True, reason, message, old, now)
}

fn condition(
    kind: &str,
    status: ConditionStatus,
    reason: &str,
    message: &str,
    old: &[Condition],
    now: Timestamp,
) -> Condition {
    let before = old.iter().find(|old| old.kind == kind && old.status == status);
    Condition {
        kind: kind.to_owned(),
        status,
        reason: reason.to_owned(),
        message: message.chars().take(500).collect(),
        last_transition_time: before.map_or(now, |old| old.last_transition_time),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_ready_beside_anything_else() {
        let text = String::new;
        let all = [
            Facts::Ready("Idle", text()),
            Facts::Reconciling("Preparing", text()),
            Facts::stalled("Findings", text()),
            Facts::Stalled {
                reason: "Findings",
                message: text(),
                goes_on: true,
            },
            Facts::Held("Suspended", text()),
        ];
        let holding = |facts: Facts| -> Vec<String> {
            let conditions = facts.conditions(&[], Timestamp::UNIX_EPOCH);
            let holding = conditions.into_iter();
            holding
                .filter(|condition| condition.status == ConditionStatus::True)
                .map(|condition| condition.kind)
                .collect()
        };
        let all: Vec<Vec<String>> = all.into_iter().map(holding).collect();
        let expected: [&[&str]; 5] = [
            &["Ready"],
            &["Reconciling"],
            &["Stalled"],
            &["Reconciling", "Stalled"],
            &[],
        ];
        assert_eq!(all, expected);
    }
}
