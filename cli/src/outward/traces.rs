//! The way of each commit as a trace: from when it is seen until it is applied, refused or overtaken.
//!
//! A trace's id is how the commit's begins: who knows the one finds the other, and environments that follow one commit
//! share its trace. What is under way when the process ends is lost.

mod otlp;

use std::collections::BTreeMap;
use std::time::Duration;

use forge::{CommitState, State};
use planner::Timestamp;
use planner::names::{EnvironmentName, ModelName, ObjectName, Revision, Version};
use planner::rollout;
use planner::runs::Outcome;
use reconciler::Reported;
use standalone::Event;

pub(crate) use otlp::Exporter;

/// How long the trace of a commit that is applied waits for the end of what began on its way: a version can be seen before the run
/// that made it is known to have ended.
const LINGER: Duration = Duration::from_secs(30);

/// The most spans of a trace beside that of the commit; what is more is counted.
const SPANS_MAX: usize = 256;

/// A part of a commit's way.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Span {
    id: u64,
    name: String,
    began: Timestamp,
    ended: Timestamp,
    attributes: Vec<(&'static str, String)>,
    /// What went wrong, where something did.
    error: Option<String>,
}

/// The way of a commit.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Trace {
    revision: Revision,
    commit: Span,
    spans: Vec<Span>,
    left_out: usize,
}

/// Records the ways of commits.
struct Recorder {
    environment: EnvironmentName,
    /// Makes ids that no other span has.
    next_id: Box<dyn FnMut() -> u64 + Send>,
    /// What the pass reported that has not ended yet.
    reported: Option<Box<Reported>>,
    under_way: Option<Trace>,
    /// The way of a commit that was applied, while something that began on it has not ended, and not for long.
    lingering: Option<Trace>,
    /// Runs and rollouts that have not ended, since when, and of which model: a run may begin before the pass over its commit
    /// has ended, and go on under the next. It belongs to the commit that it ends under.
    open: BTreeMap<String, (Timestamp, ModelName)>,
    /// What has ended since the last pass while no commit was under way: a quick run ends before the pass that began it.
    early: Vec<Span>,
}

impl Recorder {
    fn new(environment: EnvironmentName, next_id: Box<dyn FnMut() -> u64 + Send>) -> Self {
        Self {
            environment,
            next_id,
            reported: None,
            under_way: None,
            lingering: None,
            open: BTreeMap::new(),
            early: Vec::new(),
        }
    }

    /// Keeps what a pass reported until it has ended.
    fn reported(&mut self, reported: &Reported) {
        self.reported = Some(Box::new(reported.clone()));
    }

    /// Takes in that a pass ended at `now`, and returns the traces that ended by then.
    fn passed(&mut self, result: &'static str, took: Duration, now: Timestamp) -> Vec<Trace> {
        let over = self.lingering.take_if(|trace| now >= trace.commit.ended + LINGER);
        let mut ended: Vec<Trace> = over.into_iter().collect();
        let Some(reported) = self.reported.take() else {
            return ended;
        };
        let Some(state) = CommitState::of(&reported.after) else {
            return ended;
        };
        let began = now - took;
        let mut early = std::mem::take(&mut self.early);
        early.retain(|span| span.ended >= began);
        if let Some(trace) = self.under_way.take_if(|trace| trace.revision != state.revision) {
            let why = format!("overtaken by {} before it was applied", state.revision.short());
            ended.push(trace.end(now, Some(why)));
        }
        if reported.before.attempted_revision.as_ref() != Some(&state.revision) {
            ended.extend(self.lingering.take());
            self.under_way = Some(Trace {
                commit: self.span("commit".to_owned(), (began, now), Vec::new()),
                revision: state.revision.clone(),
                spans: early,
                left_out: 0,
            });
        }
        let counts = &reported.after.counts;
        let attributes = vec![
            ("aurora.result", result.to_owned()),
            ("aurora.findings", counts.findings.to_string()),
            ("aurora.waiting", counts.waiting.to_string()),
        ];
        let pass = self.span("pass".to_owned(), (began, now), attributes);
        let Some(trace) = &mut self.under_way else {
            return ended;
        };
        trace.add(pass);
        let error = match state.state {
            State::Pending => return ended,
            State::Success => None,
            State::Failure | State::Superseded => Some(state.description),
        };
        let is_applied = error.is_none();
        let trace = self.under_way.take().map(|trace| trace.end(now, error));
        self.lingering = trace;
        if !(is_applied && self.lingers()) {
            ended.extend(self.lingering.take());
        }
        ended
    }

    /// Says whether something goes on that began on the way of the commit that lingers.
    fn lingers(&self) -> bool {
        let since = self.lingering.as_ref().map(|trace| trace.commit.began);
        since.is_some_and(|since| self.open.values().any(|(began, _)| *began >= since))
    }

    /// Takes in what else happens on a commit's way, and returns the trace that ended with it.
    fn happened(&mut self, event: &Event, now: Timestamp) -> Option<Trace> {
        match event {
            Event::TrainingStarted {
                job, model, version, ..
            } => {
                self.begin(training(job, version), model, now);
                None
            }
            Event::TrainingEnded {
                job,
                version,
                outcome,
                ..
            } => {
                let error = match outcome {
                    Outcome::Running | Outcome::Published { .. } => None,
                    Outcome::Skipped { reason, .. } => Some(format!("skipped: {reason}")),
                    Outcome::Stopped { reason, .. } => Some(format!("stopped: {reason}")),
                    Outcome::Refused { message, .. } | Outcome::Transient { message, .. } => {
                        Some(message.clone())
                    }
                };
                self.end(training(job, version), error, now)
            }
            Event::Rollout { model, status, .. } => {
                let error = match &status.state {
                    rollout::State::Idle => None,
                    rollout::State::Aborted { reason, .. } => Some(reason.clone()),
                    rollout::State::Preparing
                    | rollout::State::Promoting
                    | rollout::State::Holding { .. } => {
                        self.begin(rolling_out(model), model, now);
                        return None;
                    }
                };
                self.end(rolling_out(model), error, now)
            }
            Event::Pass(_)
            | Event::PassEnded { .. }
            | Event::Reported(_)
            | Event::Uncommitted(_)
            | Event::TrainingProgress { .. }
            | Event::Removed { .. }
            | Event::Settled { .. }
            | Event::Trouble(_)
            | Event::Recovered => None,
        }
    }

    fn begin(&mut self, name: String, model: &ModelName, now: Timestamp) {
        if self.open.len() < SPANS_MAX {
            self.open.entry(name).or_insert_with(|| (now, model.clone()));
        }
    }

    fn end(&mut self, name: String, error: Option<String>, now: Timestamp) -> Option<Trace> {
        let (began, model) = self.open.remove(&name)?;
        let mut span = self.span(name, (began, now), vec![("aurora.model", model.to_string())]);
        span.error = error;
        let lingering = self.lingering.as_mut();
        match self
            .under_way
            .as_mut()
            .or(lingering.filter(|trace| began >= trace.commit.began))
        {
            Some(trace) => trace.add(span),
            None if self.early.len() < SPANS_MAX => self.early.push(span),
            None => {}
        }
        if self.lingers() {
            return None;
        }
        self.lingering.take()
    }

    fn span(
        &mut self,
        name: String,
        (began, ended): (Timestamp, Timestamp),
        attributes: Vec<(&'static str, String)>,
    ) -> Span {
        Span {
            id: (self.next_id)(),
            name,
            began,
            ended,
            attributes,
            error: None,
        }
    }
}

impl Trace {
    fn add(&mut self, span: Span) {
        if self.spans.len() < SPANS_MAX {
            self.spans.push(span);
        } else {
            self.left_out += 1;
        }
    }

    fn end(mut self, now: Timestamp, error: Option<String>) -> Self {
        self.commit.ended = now;
        self.commit.error = error;
        self
    }
}

fn training(job: &ObjectName, version: &Version) -> String {
    format!("train {job} {version}")
}

fn rolling_out(model: &ModelName) -> String {
    format!("roll out {model}")
}

#[cfg(test)]
mod tests;
