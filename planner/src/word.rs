//! How a model stands, and an environment, in one word: the same in every answer, table, page and metric.
//!
//! Only [`Word::Serving`] is well. A word comes with why, since when, and what to do next, so that nobody has to look
//! for the cause elsewhere.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::Timestamp;
use crate::finding::Reason;
use crate::object::ObjectId;
use crate::observed::Behind;
use crate::plan::Waiting;
use crate::rollout::{self, HoldReason, State};

/// How something stands. Ordered as an environment takes the worst of its models, which comes first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Word {
    /// What has answered, or should by now, answers nothing; or the only run failed for good.
    Failed,
    /// It serves, but not what was declared: a finding, an abort, a canary that was lost.
    Degraded,
    /// What is known is too old to say.
    Unknown,
    /// Something else must come first, and will by itself.
    Waiting,
    /// On its way to what Git declares.
    RollingOut,
    /// A pin waits for a training run.
    Training,
    /// Somebody wants it so: a suspension, a pause, a window, a gate.
    Held,
    /// What Git declares answers.
    Serving,
}

impl Word {
    /// All, worst first.
    pub const ALL: [Self; 8] = [
        Self::Failed,
        Self::Degraded,
        Self::Unknown,
        Self::Waiting,
        Self::RollingOut,
        Self::Training,
        Self::Held,
        Self::Serving,
    ];

    /// Returns the word as it is written everywhere.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Failed => "Failed",
            Self::Degraded => "Degraded",
            Self::Unknown => "Unknown",
            Self::Waiting => "Waiting",
            Self::RollingOut => "RollingOut",
            Self::Training => "Training",
            Self::Held => "Held",
            Self::Serving => "Serving",
        }
    }
}

impl fmt::Display for Word {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A word, and what a person asks next.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Standing {
    /// The word.
    pub word: Word,
    /// Why, as a stable word: a finding's reason, a rollout's state, or what it waits for.
    pub reason: String,
    /// Why, in one sentence.
    pub message: String,
    /// What to do, or what happens by itself; empty where nothing is to be done.
    pub next: String,
    /// Since when; `None` where nobody wrote that down.
    pub since: Option<Timestamp>,
}

/// A finding as a report has it.
#[derive(Debug, Clone, Copy)]
pub struct Found<'a> {
    /// Its reason; `None` for one that a newer program wrote.
    pub reason: Option<Reason>,
    /// The reason as it was written.
    pub name: &'a str,
    /// What is wrong.
    pub message: &'a str,
    /// What to do about it.
    pub hint: &'a str,
}

/// What waits, as a report has it.
#[derive(Debug, Clone, Copy)]
pub struct Waits<'a> {
    /// For what.
    pub reason: WaitReason,
    /// In one sentence.
    pub message: &'a str,
    /// What comes first, e.g. `MLTrainingJob/wine`.
    pub blocked_by: Option<&'a str>,
    /// Why that does not come yet, where it is known.
    pub because: Option<&'a str>,
    /// When it goes on at the latest, as far as that is known.
    pub until: Option<Timestamp>,
}

/// What something waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum WaitReason {
    /// A training run makes the version.
    WaitingForVersion,
    /// The version is being imported.
    WaitingForImport,
    /// The track serves its pin soon.
    WaitingForTrack,
    /// Another object still has the model.
    WaitingForModel,
    /// A window, or a soak.
    WaitingForTime,
    /// A model that is no longer declared may not go yet.
    WaitingToLeave,
}

impl fmt::Display for WaitReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

impl Waiting {
    /// Returns the object that waits.
    pub fn subject(&self) -> ObjectId {
        match self {
            Self::ForVersion { deployment, .. }
            | Self::ForImport { deployment, .. }
            | Self::ForTrack { deployment, .. }
            | Self::ForModel { deployment, .. }
            | Self::ForTime { deployment, .. }
            | Self::ToLeave { deployment, .. } => ObjectId::deployment(deployment),
        }
    }

    /// Returns for what it waits.
    pub const fn reason(&self) -> WaitReason {
        match self {
            Self::ForVersion { .. } => WaitReason::WaitingForVersion,
            Self::ForImport { .. } => WaitReason::WaitingForImport,
            Self::ForTrack { .. } => WaitReason::WaitingForTrack,
            Self::ForModel { .. } => WaitReason::WaitingForModel,
            Self::ForTime { .. } => WaitReason::WaitingForTime,
            Self::ToLeave { .. } => WaitReason::WaitingToLeave,
        }
    }

    /// Returns the object that must come first.
    pub fn blocked_by(&self) -> Option<ObjectId> {
        match self {
            Self::ForVersion { job, .. } => Some(ObjectId::training(job)),
            Self::ForModel { holder, .. } => Some(ObjectId::deployment(holder)),
            Self::ForImport { .. } | Self::ForTrack { .. } | Self::ForTime { .. } | Self::ToLeave { .. } => {
                None
            }
        }
    }

    /// Returns when it goes on at the latest, as far as that is known.
    pub const fn until(&self) -> Option<Timestamp> {
        match self {
            Self::ForTime { closed, .. } => closed.until,
            Self::ForVersion { .. }
            | Self::ForImport { .. }
            | Self::ForTrack { .. }
            | Self::ForModel { .. }
            | Self::ToLeave { .. } => None,
        }
    }
}

/// Why what is known is worth nothing: too old, or never written.
#[derive(Debug, Clone, Copy)]
pub struct Doubt<'a> {
    /// Why.
    pub why: &'a str,
    /// What to do about it.
    pub next: &'a str,
}

/// What is known of one model.
#[derive(Debug, Clone, Default)]
pub struct ModelFacts<'a> {
    /// Why what is known is worth nothing.
    pub unknown: Option<Doubt<'a>>,
    /// Why it is not known what Git declares now.
    pub blind: Option<Found<'a>>,
    /// Why one of its objects cannot be read.
    pub unreadable: Option<&'a str>,
    /// Why the whole environment is suspended.
    pub suspended: Option<&'a str>,
    /// What its MLDeployment object says; `None` where there is none.
    pub deployment: Option<DeploymentFacts<'a>>,
    /// Whether Git declares, as far as anybody knows, that it serves.
    pub is_declared: bool,
    /// What is wrong with its manifests and objects.
    pub findings: Vec<Found<'a>>,
    /// What it waits for.
    pub waits: Vec<Waits<'a>>,
    /// The newest run of a job that failed for good: why.
    pub failed_run: Option<&'a str>,
}

/// What an MLDeployment object says of its model.
#[derive(Debug, Clone, Copy)]
pub struct DeploymentFacts<'a> {
    /// Why it is suspended.
    pub suspended: Option<&'a str>,
    /// What keeps it from what Git says.
    pub behind: Option<&'a Behind>,
    /// The rollout's memory; `None` before its first step.
    pub status: Option<&'a rollout::Status>,
    /// Since when its conditions are what they are.
    pub since: Option<Timestamp>,
}

/// Returns how a model stands; `None` for one that nothing serves and nothing is to serve, which counts only once a run of
/// it failed.
pub fn of_model(facts: &ModelFacts<'_>) -> Option<Standing> {
    if let Some(doubt) = facts.unknown {
        return Some(unknown(doubt));
    }
    if let Some(why) = facts.unreadable {
        let next =
            "see the log of the process that reconciles; it writes the object anew when a commit changes it";
        return Some(standing(Word::Unknown, "Unreadable", why, next));
    }
    if facts.deployment.is_none() && !facts.is_declared {
        let failed = facts.failed_run?;
        let next = "mend what the run says; a commit that changes the job lets it run again";
        return Some(standing(Word::Failed, "TrainingFailed", failed, next));
    }
    let said = failed(facts)
        .or_else(|| held(facts))
        .or_else(|| waiting(facts))
        .or_else(|| degraded(facts))
        .unwrap_or_else(|| moving(facts));
    Some(said)
}

/// What is known of an environment beside its models.
#[derive(Debug, Clone, Default)]
pub struct EnvironmentFacts<'a> {
    /// Why what is known is worth nothing.
    pub unknown: Option<Doubt<'a>>,
    /// Why it is suspended.
    pub suspended: Option<&'a str>,
    /// What is wrong that is about none of its models.
    pub findings: Vec<Found<'a>>,
    /// Since when its conditions are what they are.
    pub since: Option<Timestamp>,
}

/// Returns how an environment stands: the worst of its models, by name, and of itself.
pub fn of_environment<'a>(
    facts: &EnvironmentFacts<'_>,
    models: impl Iterator<Item = (&'a str, &'a Standing)>,
) -> Standing {
    if let Some(doubt) = facts.unknown {
        return unknown(doubt);
    }
    let (mut total, mut alike) = (0_usize, 0_usize);
    let mut worst: Option<(&str, &Standing)> = None;
    for (name, model) in models {
        total += 1;
        match worst.map_or(std::cmp::Ordering::Less, |(_, known)| model.word.cmp(&known.word)) {
            std::cmp::Ordering::Less => (worst, alike) = (Some((name, model)), 1),
            std::cmp::Ordering::Equal => alike += 1,
            std::cmp::Ordering::Greater => {}
        }
    }
    let own = own(facts);
    match worst {
        Some((name, model)) if own.as_ref().is_none_or(|own| model.word < own.word) => {
            if model.word == Word::Serving {
                let message = match total {
                    1 => "the model serves what Git declares".to_owned(),
                    _ => format!("all {total} models serve what Git declares"),
                };
                return dated(standing(Word::Serving, "Serving", &message, ""), facts.since);
            }
            Standing {
                message: format!(
                    "{alike} of {total} {}, first {name}: {}",
                    if total == 1 { "model" } else { "models" },
                    model.message
                ),
                ..model.clone()
            }
        }
        _ => dated(
            own.unwrap_or_else(|| standing(Word::Serving, "NoModels", "no model is declared", "")),
            facts.since,
        ),
    }
}

fn own(facts: &EnvironmentFacts<'_>) -> Option<Standing> {
    let counting = || facts.findings.iter().filter(|found| counts(found));
    // What Git says now is not known; what serves goes on.
    let is_blind = |found: &&Found<'_>| found.reason.is_some_and(Reason::is_blind);
    let blind = counting()
        .find(is_blind)
        .map(|found| of_finding(Word::Unknown, found));
    let degraded = || counting().next().map(|found| of_finding(Word::Degraded, found));
    let held = || facts.suspended.map(suspended_whole);
    blind.or_else(degraded).or_else(held)
}

fn standing(word: Word, reason: &str, message: &str, next: &str) -> Standing {
    Standing {
        word,
        reason: reason.to_owned(),
        message: message.to_owned(),
        next: next.to_owned(),
        since: None,
    }
}

fn unknown(Doubt { why, next }: Doubt<'_>) -> Standing {
    standing(Word::Unknown, "KnowledgeTooOld", why, next)
}

fn dated(standing: Standing, since: Option<Timestamp>) -> Standing {
    Standing {
        since: standing.since.or(since),
        ..standing
    }
}

fn of_finding(word: Word, found: &Found<'_>) -> Standing {
    let next = if found.hint.is_empty() {
        "mend what is said by a commit"
    } else {
        found.hint
    };
    standing(word, found.name, found.message, next)
}

/// Says whether a finding keeps something from what was declared.
fn counts(found: &Found<'_>) -> bool {
    found.reason.is_none_or(|reason| !reason.is_report())
}

fn suspended_whole(why: &str) -> Standing {
    let next = "take spec.suspend out of the MLEnvironment by a commit; what serves stays until then";
    let message = format!("the environment is suspended: {why}");
    standing(Word::Held, "Suspended", &message, next)
}

impl ModelFacts<'_> {
    fn status(&self) -> Option<&rollout::Status> {
        self.deployment.and_then(|deployment| deployment.status)
    }

    fn state(&self) -> Option<&State> {
        self.status().map(|status| &status.state)
    }

    fn answers(&self) -> bool {
        self.status()
            .is_some_and(|status| status.serving.stable.is_some())
    }

    /// Says whether it came to answer once, as far as its memory goes.
    fn has_answered(&self) -> bool {
        let past = self.status().into_iter().flat_map(|status| &status.history);
        past.into_iter()
            .flat_map(|transition| [&transition.from, &transition.to])
            .any(|state| matches!(state, State::Idle | State::Promoting))
    }

    fn stopping(&self) -> Option<&Found<'_>> {
        let is_gate = |found: &&Found<'_>| found.reason.is_some_and(Reason::is_of_policy);
        self.findings
            .iter()
            .filter(|found| counts(found))
            .find(|found| !is_gate(found))
    }

    fn stopped(&self) -> Option<&str> {
        match self.deployment?.behind? {
            Behind::Stopped(what) => Some(what),
            Behind::Waits(_) | Behind::Held(_) => None,
        }
    }

    fn since(&self) -> Option<Timestamp> {
        self.deployment.and_then(|deployment| deployment.since)
    }
}

fn failed(facts: &ModelFacts<'_>) -> Option<Standing> {
    if facts.answers() {
        return None;
    }
    let said = if let Some(found) = facts.stopping() {
        of_finding(Word::Failed, found)
    } else if facts.status().is_some() && facts.has_answered() {
        let message = "it has answered, and nothing answers now";
        let next = "look at the logs of what serves it; it comes back by itself once it loads";
        standing(Word::Failed, "NothingAnswers", message, next)
    } else {
        let what = facts.stopped()?;
        standing(Word::Failed, "Stopped", what, "mend what is said by a commit")
    };
    Some(dated(said, facts.since()))
}

fn held(facts: &ModelFacts<'_>) -> Option<Standing> {
    let since = facts.status().map(|status| status.since);
    if let Some(why) = facts.suspended {
        return Some(dated(suspended_whole(why), facts.since()));
    }
    if let Some(why) = facts.deployment.and_then(|deployment| deployment.suspended) {
        let next = "take spec.suspend out of the MLDeployment by a commit; what serves stays until then";
        let message = format!("the model is suspended: {why}");
        return Some(dated(standing(Word::Held, "Suspended", &message, next), since));
    }
    let is_gate = |found: &&Found<'_>| counts(found) && found.reason.is_some_and(Reason::is_of_policy);
    if let Some(found) = facts.findings.iter().find(is_gate) {
        return Some(dated(of_finding(Word::Held, found), facts.since()));
    }
    let for_time = |waits: &&Waits<'_>| waits.reason == WaitReason::WaitingForTime;
    if let Some(waits) = facts.waits.iter().find(for_time) {
        return Some(dated(of_wait(Word::Held, waits), facts.since()));
    }
    if let Some(State::Holding {
        reason: HoldReason::Paused,
        message,
    }) = facts.state()
    {
        let next = "`aurora rollout resume` lets it go on";
        return Some(dated(standing(Word::Held, "Paused", message, next), since));
    }
    match facts.deployment?.behind? {
        Behind::Held(what) => {
            let next = "nothing: it goes on once that is over";
            Some(dated(standing(Word::Held, "Held", what, next), facts.since()))
        }
        Behind::Stopped(_) | Behind::Waits(_) => None,
    }
}

fn of_wait(word: Word, waits: &Waits<'_>) -> Standing {
    let next = match (waits.until, waits.blocked_by) {
        (Some(until), _) => format!(
            "nothing: it goes on by itself at {}",
            until.format("%F %H:%M UTC")
        ),
        (None, Some(by)) if waits.because.is_some() => {
            format!("mend what {by} says; it goes on by itself after that")
        }
        (None, Some(by)) => format!("nothing: it goes on by itself; {by} comes first"),
        (None, None) => "nothing: it goes on by itself".to_owned(),
    };
    let message = match waits.because {
        Some(because) => format!("{}, and that waits: {because}", waits.message),
        None => waits.message.to_owned(),
    };
    standing(word, &waits.reason.to_string(), &message, &next)
}

/// What waits for a run that can come is training; for a track, on its way.
fn waiting(facts: &ModelFacts<'_>) -> Option<Standing> {
    let of = |waits: &Waits<'_>| match waits.reason {
        WaitReason::WaitingForVersion if waits.because.is_none() => Some(Word::Training),
        WaitReason::WaitingForVersion
        | WaitReason::WaitingForImport
        | WaitReason::WaitingForModel
        | WaitReason::WaitingToLeave => Some(Word::Waiting),
        WaitReason::WaitingForTrack | WaitReason::WaitingForTime => None,
    };
    let first = facts
        .waits
        .iter()
        .filter_map(|waits| Some((of(waits)?, waits)))
        .min_by_key(|(word, _)| *word);
    let told = first.map(|(word, waits)| of_wait(word, waits));
    // A report names only so many.
    let noted = || match facts.deployment?.behind? {
        Behind::Waits(what) => {
            let next = "nothing: it goes on by itself";
            Some(standing(Word::Waiting, "Waiting", what, next))
        }
        Behind::Stopped(_) | Behind::Held(_) => None,
    };
    Some(dated(told.or_else(noted)?, facts.since()))
}

fn degraded(facts: &ModelFacts<'_>) -> Option<Standing> {
    if let Some(found) = facts.stopping() {
        return Some(dated(of_finding(Word::Degraded, found), facts.since()));
    }
    if let Some(what) = facts.stopped() {
        let said = standing(Word::Degraded, "Stopped", what, "mend what is said by a commit");
        return Some(dated(said, facts.since()));
    }
    let status = facts.status()?;
    let said = match &status.state {
        State::Aborted { digest, reason } => {
            let message = format!("the canary {} is aborted: {reason}", digest.short());
            let next = "pin another canary, or take it out, by a commit";
            standing(Word::Degraded, "Aborted", &message, next)
        }
        State::Holding {
            reason: reason @ (HoldReason::LoadFailed | HoldReason::CanaryLost),
            message,
        } => {
            let next = "it is tried again by itself; pin another version by a commit if it does not come";
            standing(Word::Degraded, &reason.to_string(), message, next)
        }
        State::Holding {
            reason: HoldReason::CanaryCapacity,
            message,
        } if status.thinned.is_some() => {
            let next = "it is tried again by itself; look at what took its replicas";
            standing(Word::Degraded, "CanaryCapacity", message, next)
        }
        State::Idle | State::Preparing | State::Promoting | State::Holding { .. } => return None,
    };
    Some(dated(said, Some(status.since)))
}

fn moving(facts: &ModelFacts<'_>) -> Standing {
    let by_itself = "nothing: it goes on by itself";
    let rolling = |reason: &str, message: &str| standing(Word::RollingOut, reason, message, by_itself);
    let since = facts.status().map(|status| status.since);
    let said = match facts.state() {
        None => rolling("New", "it is being set up"),
        Some(State::Preparing) => rolling("Preparing", "a track does not serve its pin yet"),
        Some(State::Promoting) => rolling("Promoting", "stable becomes what the canary serves"),
        Some(State::Holding { reason, message }) => rolling(&reason.to_string(), message),
        Some(State::Idle | State::Aborted { .. }) => {
            let for_track = |waits: &&Waits<'_>| waits.reason == WaitReason::WaitingForTrack;
            match facts.waits.iter().find(for_track) {
                Some(waits) => of_wait(Word::RollingOut, waits),
                None => serving(facts.blind.as_ref()),
            }
        }
    };
    dated(said, since.or(facts.since()))
}

/// What Git declares now may be something else where nobody can read it.
fn serving(blind: Option<&Found<'_>>) -> Standing {
    match blind {
        None => standing(Word::Serving, "Serving", "it serves what Git declares", ""),
        Some(found) => {
            let message = format!(
                "it serves what Git declared when that was last read, and now: {}",
                found.message
            );
            standing(Word::Serving, found.name, &message, found.hint)
        }
    }
}

#[cfg(test)]
mod tests;
