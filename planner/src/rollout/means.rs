//! What a target has to carry a rollout out with, as far as decisions depend on it.

use chrono::Duration;

/// How fast requests follow the route, how many replicas a track is to have, and what a name costs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Means {
    /// For how long after a write of the route requests may follow what it said before. Zero: they follow at once.
    pub settle: Duration,
    /// How many replicas stable is declared to have; `None` where an autoscaler says.
    pub stable_replicas: Option<u32>,
    /// How many replicas the canary has at the least.
    pub canary_replicas_min: u32,
    /// Whether what answers is started anew to name another commit.
    pub is_restarted_to_rename: bool,
}

impl Means {
    /// Slots in one process: there is one of each, and a write of the weight has taken effect once it is made.
    pub const SLOTS: Self = Self {
        settle: Duration::zero(),
        stable_replicas: Some(1),
        canary_replicas_min: 1,
        is_restarted_to_rename: false,
    };
}
