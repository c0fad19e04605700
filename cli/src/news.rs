//! What happened, as lines for people and events for programs: the reconciler's events, told by what changed.
//!
//! Pure: the same events give the same news, in the same order.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use planner::deployment::ResolvedPin;
use planner::finding::{Finding, Reason, Subject};
use planner::names::{ModelName, ObjectName, Revision, Track, Version, Weight};
use planner::per_track::PerTrack;
use planner::rollout::{State, Status};
use planner::runs::{Outcome, StopReason};
use serde::Serialize;
use standalone::Event;

use crate::findings::SHOWN_MAX;

/// What is told of a run that ended with all around it.
const INTERRUPTED: &str =
    "the process that serves was killed while it trained, by the kernel if memory ran out; it is tried again";

/// One change that a person wants to hear of.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub(crate) enum News {
    /// A pass changed something.
    Applied {
        /// The commit that it looked at.
        revision: Option<Revision>,
        /// What it did.
        changes: Vec<String>,
    },
    /// A training run started, got further or ended.
    Training {
        /// The job.
        job: ObjectName,
        /// The version that it makes.
        version: Version,
        /// Where it stands.
        phase: Phase,
        /// How far it is, where it is under way.
        percent: Option<u8>,
        /// What went wrong.
        message: Option<String>,
    },
    /// A track serves something else.
    Serving {
        /// The model.
        model: ModelName,
        /// The track.
        track: Track,
        /// What it served.
        from: Option<ResolvedPin>,
        /// What it serves now.
        to: Option<ResolvedPin>,
    },
    /// The canary gets another share.
    Weight {
        /// The model.
        model: ModelName,
        /// Percent before.
        from: Weight,
        /// Percent now.
        to: Weight,
    },
    /// A rollout stands where a person should know of it.
    Rollout {
        /// The model.
        model: ModelName,
        /// `Holding` or `Aborted`.
        state: &'static str,
        /// Why.
        reason: String,
    },
    /// Raises of a canary's weight are paused by somebody, or no longer.
    Paused {
        /// The model.
        model: ModelName,
        /// Who and why, while they are.
        reason: Option<String>,
    },
    /// A model is gone.
    Removed {
        /// The model.
        model: ModelName,
    },
    /// Something is wrong with a manifest.
    Finding(Finding),
    /// It is not any more, and nothing else is wrong there.
    Resolved(Finding),
    /// More is wrong, or is not any more, than is told one by one.
    Besides {
        /// How many findings.
        found: usize,
        /// How many that are resolved.
        resolved: usize,
    },
    /// The MLEnvironment is suspended, or no longer.
    Suspended {
        /// Why, while it is.
        reason: Option<String>,
    },
    /// All that can be done for this commit is done.
    Settled {
        /// The commit.
        revision: Option<Revision>,
    },
    /// Something could not be read or written; it is tried again.
    Trouble {
        /// What.
        message: String,
    },
    /// It works again.
    Recovered,
}

/// Where a training run stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub(crate) enum Phase {
    /// It is under way.
    Running,
    /// It published its version.
    Succeeded,
    /// It did not.
    Failed,
    /// It did not start, or was stopped.
    Ended,
}

/// Remembers what was told, so that only changes are news.
#[derive(Debug, Default)]
pub(crate) struct Teller {
    findings: BTreeSet<Finding>,
    suspended: Option<String>,
    rollouts: BTreeMap<ModelName, Told>,
}

/// What was told of a model's rollout.
#[derive(Debug, Default)]
struct Told {
    serving: PerTrack<Option<ResolvedPin>>,
    weight: Weight,
    state: Option<State>,
    paused: Option<String>,
}

impl Teller {
    /// Returns the models that have a rollout, in order.
    pub(crate) fn models(&self) -> Vec<ModelName> {
        self.rollouts.keys().cloned().collect()
    }

    /// Returns what an event brings that was not told yet.
    pub(crate) fn hear(&mut self, event: Event) -> Vec<News> {
        match event {
            Event::Pass(pass) => {
                let mut news = Vec::new();
                if !pass.changes.is_empty() {
                    news.push(News::Applied {
                        revision: pass.revision,
                        changes: pass.changes,
                    });
                }
                if self.suspended != pass.suspended {
                    self.suspended.clone_from(&pass.suspended);
                    news.push(News::Suspended {
                        reason: pass.suspended,
                    });
                }
                news.extend(self.findings(pass.findings));
                news
            }
            Event::TrainingStarted { job, version, .. } => {
                vec![training(job, version, Phase::Running, Some(0), None)]
            }
            Event::TrainingProgress {
                job,
                version,
                percent,
                ..
            } => vec![training(job, version, Phase::Running, Some(percent), None)],
            Event::TrainingEnded {
                job,
                version,
                outcome,
                is_retried,
                ..
            } => {
                let (phase, message) = match outcome {
                    Outcome::Published { .. } => (Phase::Succeeded, None),
                    Outcome::Transient { message, .. } if is_retried => {
                        (Phase::Failed, Some(format!("{message}; it is tried again")))
                    }
                    Outcome::Refused { message, .. } | Outcome::Transient { message, .. } => {
                        (Phase::Failed, Some(message))
                    }
                    Outcome::Skipped { reason, .. } => (Phase::Ended, Some(reason.to_string())),
                    Outcome::Stopped {
                        reason: StopReason::Interrupted,
                        ..
                    } => (Phase::Ended, Some(INTERRUPTED.to_owned())),
                    Outcome::Stopped { reason, .. } => (Phase::Ended, Some(reason.to_string())),
                    Outcome::Running => (Phase::Running, None),
                };
                vec![training(job, version, phase, None, message)]
            }
            Event::Rollout { model, status, .. } => self.rollout(model, *status),
            Event::Removed { model } => {
                self.rollouts.remove(&model);
                vec![News::Removed { model }]
            }
            Event::Settled { revision } => vec![News::Settled { revision }],
            Event::Trouble(message) => vec![News::Trouble { message }],
            Event::Recovered => vec![News::Recovered],
            Event::PassEnded { .. } | Event::Reported(_) | Event::Uncommitted(_) => Vec::new(),
        }
    }

    fn findings(&mut self, now: Vec<Finding>) -> Vec<News> {
        let now: BTreeSet<Finding> = now.into_iter().collect();
        let before = std::mem::replace(&mut self.findings, now);
        let told: BTreeSet<Said<'_>> = before.iter().map(Said::of).collect();
        let found = self.findings.iter();
        let found = found.filter(|finding| !told.contains(&Said::of(finding)));
        let (mut news, found) = first(found.cloned().map(News::Finding));
        let places: BTreeSet<Place<'_>> = self.findings.iter().flat_map(Place::of).collect();
        let resolved = before.iter();
        let resolved = resolved.filter(|finding| !Place::of(finding).any(|place| places.contains(&place)));
        let (told, resolved) = first(resolved.cloned().map(News::Resolved));
        news.extend(told);
        if found + resolved > 0 {
            news.push(News::Besides { found, resolved });
        }
        news
    }

    fn rollout(&mut self, model: ModelName, now: Status) -> Vec<News> {
        let mut news = Vec::new();
        let before = self.rollouts.remove(&model).unwrap_or_default();
        for (track, (from, to)) in before.serving.zip(now.serving.clone()) {
            if from != to {
                news.push(News::Serving {
                    model: model.clone(),
                    track,
                    from,
                    to,
                });
            }
        }
        if before.weight != now.weight {
            news.push(News::Weight {
                model: model.clone(),
                from: before.weight,
                to: now.weight,
            });
        }
        if before.state.as_ref() != Some(&now.state) {
            let standing = match &now.state {
                State::Holding { reason, message } => Some(("Holding", format!("{reason}: {message}"))),
                State::Aborted { digest, reason } => {
                    Some(("Aborted", format!("{}: {reason}", digest.short())))
                }
                State::Idle | State::Preparing | State::Promoting => None,
            };
            news.extend(standing.map(|(state, reason)| News::Rollout {
                model: model.clone(),
                state,
                reason,
            }));
        }
        if before.paused != now.paused {
            news.push(News::Paused {
                model: model.clone(),
                reason: now.paused.clone(),
            });
        }
        let Status {
            serving,
            weight,
            state,
            paused,
            ..
        } = now;
        let state = Some(state);
        self.rollouts.insert(
            model,
            Told {
                serving,
                weight,
                state,
                paused,
            },
        );
        news
    }
}

/// What a finding says. What to do about it may name the newest commit, and is no news.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Said<'a>(Reason, &'a Subject, &'a str, Option<&'a str>);

impl<'a> Said<'a> {
    fn of(finding: &'a Finding) -> Self {
        let Finding {
            location,
            reason,
            subject,
            message,
            hint: _,
        } = finding;
        Self(
            *reason,
            subject,
            message,
            location.as_ref().map(|location| location.file.as_str()),
        )
    }
}

/// Where something is wrong. As long as anything is there, nothing is resolved: what was found before may only be hidden
/// by what is found now.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
enum Place<'a> {
    Subject(&'a Subject),
    File(&'a str),
    Nowhere(Reason),
}

impl<'a> Place<'a> {
    fn of(finding: &'a Finding) -> impl Iterator<Item = Self> {
        let subject = Some(&finding.subject).filter(|subject| !subject.is_empty());
        let file = finding.location.as_ref().map(|location| location.file.as_str());
        let nowhere = (subject.is_none() && file.is_none()).then_some(Self::Nowhere(finding.reason));
        let subject = subject.map(Self::Subject);
        subject.into_iter().chain(file.map(Self::File)).chain(nowhere)
    }
}

fn training(
    job: ObjectName,
    version: Version,
    phase: Phase,
    percent: Option<u8>,
    message: Option<String>,
) -> News {
    News::Training {
        job,
        version,
        phase,
        percent,
        message,
    }
}

impl News {
    /// Returns it as lines for people: more than one only where it says what to do.
    pub(crate) fn lines(&self) -> Vec<String> {
        match self {
            // A finding lets none of its texts bring a line of its own.
            Self::Finding(finding) => finding.to_string().lines().map(str::to_owned).collect(),
            other => vec![other.to_string()],
        }
    }

    /// Says whether a person must look.
    pub(crate) fn is_bad(&self) -> bool {
        match self {
            Self::Finding(_) | Self::Rollout { .. } | Self::Trouble { .. } => true,
            Self::Suspended { reason } => reason.is_some(),
            Self::Besides { found, .. } => *found > 0,
            Self::Training { phase, .. } => *phase == Phase::Failed,
            Self::Applied { .. }
            | Self::Serving { .. }
            | Self::Weight { .. }
            | Self::Paused { .. }
            | Self::Removed { .. }
            | Self::Resolved(_)
            | Self::Settled { .. }
            | Self::Recovered => false,
        }
    }
}

/// Returns those that are told one by one, and how many there are besides.
fn first(mut all: impl Iterator<Item = News>) -> (Vec<News>, usize) {
    let told = all.by_ref().take(SHOWN_MAX).collect();
    (told, all.count())
}

fn served(pin: Option<&ResolvedPin>) -> String {
    pin.map_or_else(|| "nothing".to_owned(), |pin| pin.version.to_string())
}

impl fmt::Display for News {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Applied { revision, changes } => {
                let revision = revision.as_ref().map_or("no commit", |revision| revision.short());
                // Most changes come from this very commit, which need not be told twice.
                let told = format!(" [{revision}]");
                let changes: Vec<_> = changes
                    .iter()
                    .map(|change| change.strip_suffix(&told).unwrap_or(change))
                    .collect();
                write!(f, "{revision} {}", changes.join(", "))
            }
            Self::Training {
                job,
                version,
                phase,
                percent,
                message,
            } => {
                let message = message.as_deref().unwrap_or("no reason given");
                match phase {
                    Phase::Running => write!(f, "training {job} {version} {}%", percent.unwrap_or(0)),
                    Phase::Succeeded => write!(f, "trained {job} {version}"),
                    Phase::Failed => write!(f, "training {job} {version} failed: {message}"),
                    Phase::Ended => write!(f, "run of {job} {version} ended: {message}"),
                }
            }
            Self::Serving {
                model,
                track,
                from,
                to,
            } => {
                write!(
                    f,
                    "{model} {track}: {} -> {}",
                    served(from.as_ref()),
                    served(to.as_ref())
                )
            }
            Self::Weight { model, from, to } => write!(f, "{model} canary weight: {from} -> {to}"),
            Self::Rollout { model, state, reason } => write!(f, "{model} {state}: {reason}"),
            Self::Paused {
                model,
                reason: Some(reason),
            } => write!(f, "{model} paused: {reason}"),
            Self::Paused { model, reason: None } => write!(f, "{model} is no longer paused"),
            Self::Removed { model } => write!(f, "{model} removed"),
            Self::Finding(finding) => write!(f, "{finding}"),
            Self::Suspended { reason: Some(reason) } => {
                write!(
                    f,
                    "suspended: {reason}; nothing is changed while it stands, and what serves stays"
                )
            }
            Self::Suspended { reason: None } => f.write_str("no longer suspended"),
            Self::Resolved(finding) if finding.subject.is_empty() => {
                write!(f, "resolved: {}", finding.reason)
            }
            Self::Resolved(finding) => write!(f, "resolved: {} {}", finding.reason, finding.subject),
            Self::Besides { found, resolved: 0 } => write!(f, "and {found} more findings"),
            Self::Besides { found: 0, resolved } => write!(f, "and {resolved} more resolved"),
            Self::Besides { found, resolved } => {
                write!(f, "and {found} more findings, and {resolved} more resolved")
            }
            Self::Settled { revision } => {
                write!(
                    f,
                    "settled at {}",
                    revision.as_ref().map_or("no commit", |revision| revision.short())
                )
            }
            Self::Trouble { message } => f.write_str(message),
            Self::Recovered => f.write_str("works again"),
        }
    }
}

#[cfg(test)]
mod tests;
