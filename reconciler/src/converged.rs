//! What a target that was run once came to.

use planner::finding::Finding;
use planner::names::Revision;

use crate::pass::{Pass, Reconciler};

/// What a target that was run until nothing was left to do came to.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Converged {
    /// Whether nothing was left to do in time.
    pub is_settled: bool,
    /// The commit.
    pub revision: Option<Revision>,
    /// Why nothing is changed, where the MLEnvironment is suspended.
    pub suspended: Option<String>,
    /// What stands in the way.
    pub findings: Vec<Finding>,
    /// What still waits, one sentence each.
    pub waiting: Vec<String>,
}

impl Converged {
    /// Says whether everything is as Git says.
    pub fn is_converged(&self) -> bool {
        self.is_settled && self.suspended.is_none() && self.findings.is_empty() && self.waiting.is_empty()
    }
}

impl Reconciler {
    /// Returns what it has come to by a pass.
    pub fn converged(&self, pass: &Pass, is_settled: bool) -> Converged {
        let standing = self.standing();
        Converged {
            is_settled,
            revision: pass.attempted.clone(),
            suspended: pass.suspended.clone(),
            findings: standing.stopping().cloned().collect(),
            waiting: standing.waiting().map(ToString::to_string).collect(),
        }
    }

    /// Returns what a pass came to, in one word: a metric's label.
    pub fn result(&self, pass: &Pass) -> &'static str {
        let standing = self.standing();
        if pass.is_cut_short || pass.applied.is_tried_again() {
            "failed"
        } else if pass.suspended.is_some() {
            "suspended"
        } else if standing.stopping().next().is_some() {
            "findings"
        } else if pass.applied.done.is_empty() && standing.waiting_count() == 0 {
            "converged"
        } else {
            "changed"
        }
    }
}
