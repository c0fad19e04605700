//! What happens, for whoever shows it: the command line prints these.

use std::time::Duration;

use planner::finding::Finding;
use planner::names::{ModelName, ObjectName, Revision, Version};
use planner::rollout;
use planner::runs::Outcome;
use reconciler::Reported;
use tokio::sync::broadcast;

/// How many events a slow listener may be behind before it misses the oldest.
const BACKLOG: usize = 1_024;

/// Something that happened.
#[derive(Debug, Clone)]
pub enum Event {
    /// A pass changed something, found something new, or was the first.
    Pass(Box<PassSummary>),
    /// A pass ended, whether it changed anything or not: for counting, not for telling.
    PassEnded {
        /// `converged`, `changed`, `findings`, `suspended` or `failed`.
        result: &'static str,
        /// How long it took.
        took: Duration,
    },
    /// A pass wrote a report.
    Reported(Box<Reported>),
    /// Manifests of the work tree, as it was at the start, are not committed, and so do not count: their paths.
    Uncommitted(Vec<String>),
    /// A training run started.
    TrainingStarted {
        /// The job.
        job: ObjectName,
        /// Its model.
        model: ModelName,
        /// The version that it publishes.
        version: Version,
        /// The commit that last changed the job's manifest.
        revision: Revision,
    },
    /// A training run got further.
    TrainingProgress {
        /// The job.
        job: ObjectName,
        /// The version that it publishes.
        version: Version,
        /// 0 to 100.
        percent: u8,
        /// `read`, `fit`, `evaluate`, `publish`.
        stage: String,
    },
    /// A training run ended.
    TrainingEnded {
        /// The job.
        job: ObjectName,
        /// Its model.
        model: ModelName,
        /// The version that it was to publish.
        version: Version,
        /// How it ended.
        outcome: Outcome,
        /// Whether another attempt follows by itself.
        is_retried: bool,
    },
    /// A model's rollout moved: what it serves, at which weight, or its state.
    Rollout {
        /// The MLDeployment.
        deployment: ObjectName,
        /// Its model.
        model: ModelName,
        /// The commit that last changed its manifest.
        revision: Revision,
        /// Where it stands now.
        status: Box<rollout::Status>,
    },
    /// A model's tracks are empty and its object is gone.
    Removed {
        /// The model.
        model: ModelName,
    },
    /// Nothing is left to do at this commit: what can serve serves. Sent once per change.
    Settled {
        /// The commit.
        revision: Option<Revision>,
    },
    /// Something could not be read or written; it is tried again. Sent once until it works again.
    Trouble(String),
    /// What could not be read or written works again.
    Recovered,
}

/// What a pass did.
#[derive(Debug, Clone)]
pub struct PassSummary {
    /// The commit that it looked at.
    pub revision: Option<Revision>,
    /// Who made that commit, as it says itself, where it is another one than before.
    pub author: Option<String>,
    /// Whether it is the first pass of this process.
    pub is_first: bool,
    /// Why nothing is changed, where the MLEnvironment is suspended.
    pub suspended: Option<String>,
    /// The models of which it is news whether something is not as Git says.
    pub behind: Vec<(ModelName, bool)>,
    /// The models of which it is news whether somebody changed something that stands.
    pub drifted: Vec<(ModelName, bool)>,
    /// Whether nothing is known of what the branch's newest commit declares.
    pub is_blind: bool,
    /// What it did, one line each.
    pub changes: Vec<String>,
    /// All findings.
    pub findings: Vec<Finding>,
    /// What goes on by itself, one sentence each, at most 100.
    pub waiting: Vec<String>,
}

/// Where events go. Nobody needs to listen.
#[derive(Debug, Clone)]
pub(crate) struct Events(broadcast::Sender<Event>);

impl Events {
    pub(crate) fn new() -> Self {
        Self(broadcast::Sender::new(BACKLOG))
    }

    pub(crate) fn send(&self, event: Event) {
        // Nobody listening is no error.
        let _listeners = self.0.send(event);
    }

    pub(crate) fn subscribe(&self) -> broadcast::Receiver<Event> {
        self.0.subscribe()
    }
}
