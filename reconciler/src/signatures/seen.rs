//! When commits were first seen: by that time their keys are judged, whatever time a commit says.

use std::collections::BTreeMap;

use planner::Timestamp;
use planner::names::Revision;
use serde::{Deserialize, Serialize};

/// How many commits are remembered.
const COMMITS_MAX: usize = 4_000;

/// When commits were first seen, from one process to the next. What is lost counts from when it is seen again.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Seen(BTreeMap<Revision, Timestamp>);

impl Seen {
    /// Returns when a commit was first seen, which may be now.
    pub(crate) fn first(&mut self, commit: &Revision, now: Timestamp) -> Timestamp {
        let first = *self.0.entry(commit.clone()).or_insert(now);
        while self.0.len() > COMMITS_MAX {
            let oldest = self.0.iter().min_by_key(|(_, seen)| **seen);
            let Some(oldest) = oldest.map(|(commit, _)| commit.clone()) else {
                break;
            };
            self.0.remove(&oldest);
        }
        // Whatever the clock was then, nothing is first seen later than now.
        first.min(now)
    }
}
