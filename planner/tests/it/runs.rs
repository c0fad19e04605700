//! A job's runs over time: each line is a moment, what is decided at it, and when it is asked again.

mod clock;
mod queue;
mod scheduled;
mod status;
mod unscheduled;

use std::collections::BTreeMap;
use std::fmt::Write as _;

use chrono::Duration;
use expect_test::Expect;
use planner::Timestamp;
use planner::identity::{inputs_hash, spec_hash};
use planner::names::{Digest, Version};
use planner::observed::ObservedVersion;
use planner::runs::{Around, Job, Outcome, Phase, Record, RunAction, Runs, StopReason, runs};
use planner::training::Training;

use crate::support::{at, digest};

/// A target that does what it is told, and whose runs end when the test says so.
struct Target {
    training: Training,
    committed_at: Timestamp,
    existing: BTreeMap<Version, ObservedVersion>,
    records: Vec<Record>,
    around: Around,
    now: Timestamp,
    log: String,
}

impl Target {
    fn new(training: Training) -> Self {
        Self {
            training,
            committed_at: at("2026-03-01 00:00"),
            existing: BTreeMap::new(),
            records: Vec::new(),
            around: Around::default(),
            now: at("2026-03-01 00:00"),
            log: String::new(),
        }
    }

    fn decide(&self) -> Runs {
        let job = Job {
            training: &self.training,
            inputs: inputs_hash(&self.training),
            spec_hash: spec_hash(&self.training),
            committed_at: self.committed_at,
            behind_since: None,
            existing: &self.existing,
            baseline: None,
            around: &self.around,
        };
        runs(&job, &self.records, self.now)
    }

    /// Asks once, does what is decided, and writes it down.
    fn step(&mut self) -> Runs {
        let decided = self.decide();
        let mut line = format!("{}", self.now.format("%d %H:%M:%S"));
        for action in &decided.actions {
            write!(line, " {}", self.act(action)).unwrap();
        }
        let wake = decided
            .wake
            .map_or("never".to_owned(), |wake| wake.format("%d %H:%M:%S").to_string());
        writeln!(self.log, "{line} | {} | wake {wake}", render(&decided.phase)).unwrap();
        decided
    }

    /// Asks until nothing is decided any more.
    fn settle(&mut self) {
        for _ in 0..5 {
            if self.step().actions.is_empty() {
                return;
            }
        }
        panic!("no rest:\n{}", self.log);
    }

    fn wait(&mut self, seconds: i64) {
        self.now += Duration::seconds(seconds);
        self.settle();
    }

    fn until(&mut self, text: &str) {
        self.now = at(text);
        self.settle();
    }

    fn act(&mut self, action: &RunAction) -> String {
        let (inputs, spec_hash) = (inputs_hash(&self.training), spec_hash(&self.training));
        let record = |version: &Version, slot, attempt, outcome| Record {
            version: version.clone(),
            inputs,
            spec_hash,
            slot,
            attempt,
            started_at: self.now,
            outcome,
        };
        match action {
            RunAction::Start {
                version,
                slot,
                attempt,
                baseline: _,
            } => {
                self.records
                    .push(record(version, *slot, *attempt, Outcome::Running));
                format!("start {version} #{attempt}")
            }
            RunAction::Skip {
                version,
                slot,
                reason,
            } => {
                let outcome = Outcome::Skipped {
                    at: self.now,
                    reason: *reason,
                };
                self.records.push(record(version, Some(*slot), 1, outcome));
                format!("skip {version} {reason}")
            }
            RunAction::Stop { version, reason } => {
                let running = self.running(version);
                running.outcome = Outcome::Stopped {
                    at: running.started_at,
                    reason: *reason,
                };
                format!("stop {version} {reason}")
            }
        }
    }

    fn running(&mut self, version: &Version) -> &mut Record {
        let mut records = self.records.iter_mut();
        records
            .find(|r| r.version == *version && r.outcome == Outcome::Running)
            .unwrap()
    }

    /// The newest run ends.
    fn end(&mut self, outcome: impl Fn(Timestamp) -> Outcome) {
        let outcome = outcome(self.now);
        let record = self
            .records
            .iter_mut()
            .rev()
            .find(|r| r.outcome == Outcome::Running)
            .unwrap();
        record.outcome = outcome.clone();
        if let Outcome::Published { digest, .. } = outcome {
            let inputs = Some(record.inputs);
            self.existing.insert(
                record.version.clone(),
                ObservedVersion::Sound {
                    digest,
                    inputs,
                    engine: planner::engine::Engine::Aurora,
                },
            );
        }
        self.settle();
    }

    #[track_caller]
    fn check(&self, expected: &Expect) {
        expected.assert_eq(&self.log);
    }
}

fn render(phase: &Phase) -> String {
    match phase {
        Phase::Scheduled { .. } => "Scheduled".to_owned(),
        Phase::Pending { version } => format!("Pending {version}"),
        Phase::Running { version } => format!("Running {version}"),
        Phase::Succeeded { version, .. } => format!("Succeeded {version}"),
        Phase::Failed { version, message } => format!("Failed {version}: {message}"),
        Phase::Suspended => "Suspended".to_owned(),
    }
}

fn succeeded(at: Timestamp) -> Outcome {
    Outcome::Published {
        at,
        digest: digest(1),
    }
}

fn invalid(at: Timestamp) -> Outcome {
    Outcome::Refused {
        at,
        message: "r2 is below 0.5".to_owned(),
    }
}

fn killed(at: Timestamp) -> Outcome {
    Outcome::Transient {
        at,
        message: "killed".to_owned(),
    }
}

fn interrupted(at: Timestamp) -> Outcome {
    Outcome::Stopped {
        at,
        reason: StopReason::Interrupted,
    }
}

fn sound(inputs: Option<Digest>) -> ObservedVersion {
    ObservedVersion::Sound {
        digest: digest(9),
        inputs,
        engine: planner::engine::Engine::Aurora,
    }
}

/// Changes what is trained.
fn change(target: &mut Target) {
    target.training.seed += 1;
    target.committed_at = target.now;
}
