//! One thing that happened: as it is kept, shown and given to programs.

use std::collections::BTreeSet;

use crds::status::{PhaseName, TransitionStatus};
use crds::view::View;
use planner::Timestamp;
use planner::names::{ModelName, Revision};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Commit;
use crate::news::{News, Phase};

/// The longest message, in characters; the rest is cut off.
const MESSAGE_CHARS_MAX: usize = 2_000;
/// How many changes of a pass are kept one by one.
const CHANGES_MAX: usize = 1_000;

/// Something that happened.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
pub(crate) struct Record {
    /// When, UTC.
    #[schemars(with = "String", extend("format" = "date-time"))]
    pub(crate) at: Timestamp,
    /// What kind of thing, as a stable word: `applied`, `training`, `serving`, `weight`, `rollout`, `paused`, `finding`, …
    pub(crate) event: String,
    /// What it is about, e.g. `MLDeployment/wine` or `model wine`; empty for the environment.
    pub(crate) subject: String,
    /// What happened, for people; more than one line only where it says what to do.
    pub(crate) message: String,
    /// Whether a person must look.
    pub(crate) attention: bool,
    /// The commit behind it: the one that was looked at, or that last changed the manifest; `null` where there is none.
    #[schemars(with = "Option<String>")]
    pub(crate) revision: Option<Revision>,
    /// Who made that commit, as it says itself; `null` where that is not known.
    pub(crate) author: Option<String>,
}

impl Record {
    fn new(at: Timestamp, event: &str, subject: String, message: &str) -> Self {
        Self {
            at,
            event: event.to_owned(),
            subject,
            message: message.chars().take(MESSAGE_CHARS_MAX).collect(),
            attention: false,
            revision: None,
            author: None,
        }
    }

    pub(super) fn started(now: Timestamp) -> Self {
        let version = env!("CARGO_PKG_VERSION");
        Self::new(
            now,
            "started",
            String::new(),
            &format!("aurora {version} started"),
        )
    }

    pub(super) fn stopped(now: Timestamp) -> Self {
        Self::new(now, "stopped", String::new(), "aurora stopped")
    }

    pub(super) fn missed(count: u64, now: Timestamp) -> Self {
        let message = format!("{count} more happened at once, and were not kept");
        Self::new(now, "missed", String::new(), &message)
    }

    /// Returns what is kept of a piece of news; nothing where a later one says the same and more.
    pub(super) fn of(news: &News, commit: &Commit, now: Timestamp) -> Vec<Self> {
        let one =
            |event: &str, subject: String| vec![Self::new(now, event, subject, &news.lines().join("\n"))];
        let of_model = |event: &str, model: &ModelName| one(event, format!("model {model}"));
        let mut records = match news {
            News::Applied { changes, .. } => changed(changes, commit.revision.as_ref(), now),
            News::Settled { .. } => Vec::new(),
            News::Training {
                job,
                version,
                phase: Phase::Running,
                ..
            } => {
                let message = format!("training {job} {version}");
                vec![Self::new(
                    now,
                    "training",
                    format!("MLTrainingJob/{job}"),
                    &message,
                )]
            }
            News::Training { job, .. } => one("training", format!("MLTrainingJob/{job}")),
            News::Serving { model, .. } => of_model("serving", model),
            News::Weight { model, .. } => of_model("weight", model),
            News::Rollout { model, .. } => of_model("rollout", model),
            News::Paused { model, .. } => of_model("paused", model),
            News::Removed { model } => of_model("removed", model),
            News::Finding(finding) => one("finding", finding.subject.to_string()),
            News::Resolved(finding) => one("resolved", finding.subject.to_string()),
            News::Besides { .. } => one("besides", String::new()),
            News::Suspended { .. } => one("suspended", String::new()),
            News::Trouble { .. } => one("trouble", String::new()),
            News::Recovered => one("recovered", String::new()),
        };
        for record in &mut records {
            record.attention = news.is_bad();
            record.revision.clone_from(&commit.revision);
            record.author.clone_from(&commit.author);
        }
        records
    }

    /// Says whether it is about one of these subjects.
    pub(crate) fn is_about(&self, subjects: &BTreeSet<String>) -> bool {
        subjects.contains(&self.subject)
    }

    /// Returns the line that is kept.
    pub(super) fn line(&self) -> String {
        let line = serde_json::to_string(self);
        line.expect("invariant: a record has text keys and cannot fail") + "\n"
    }

    /// Returns about how long that line is.
    pub(super) fn bytes(&self) -> usize {
        256 + self.message.len()
    }
}

/// Returns the changes of a pass over a commit, each with what it is about.
fn changed(changes: &[String], revision: Option<&Revision>, at: Timestamp) -> Vec<Record> {
    // Most changes come from this very commit, which need not be told twice.
    let told = revision
        .map(|revision| format!(" [{}]", revision.short()))
        .unwrap_or_default();
    let change = |change: &String| {
        let subject = change.split_once(':').map_or("", |(subject, _)| subject);
        let message = change.strip_suffix(&told).unwrap_or(change);
        Record::new(at, "applied", named(subject), message)
    };
    let mut records: Vec<_> = changes.iter().take(CHANGES_MAX).map(change).collect();
    if let Some(more @ 1..) = changes.len().checked_sub(CHANGES_MAX) {
        let message = format!("and {more} more changes");
        records.push(Record::new(at, "applied", String::new(), &message));
    }
    records
}

/// Returns the subject that a change names: an object, `alias MODEL@TRACK`, or a model.
fn named(subject: &str) -> String {
    if subject.is_empty() || subject.contains('/') {
        return subject.to_owned();
    }
    let alias = subject
        .strip_prefix("alias ")
        .and_then(|alias| alias.split_once('@'));
    format!("model {}", alias.map_or(subject, |(model, _track)| model))
}

/// Returns what the objects themselves remember, oldest first: the newest changes of each.
pub(crate) fn of_view(view: &View) -> Vec<Record> {
    let mut records = Vec::new();
    let status = view
        .environment
        .as_ref()
        .and_then(|environment| environment.status.as_ref());
    for pass in status.into_iter().flat_map(|status| &status.history) {
        let revision = Some(pass.revision.clone());
        records.extend(
            changed(&pass.changes, revision.as_ref(), pass.at)
                .into_iter()
                .map(|record| Record {
                    revision: revision.clone(),
                    ..record
                }),
        );
    }
    for (name, deployment) in &view.deployments {
        let history = deployment.status.iter().flat_map(|status| &status.history);
        records.extend(history.map(|transition| moved(name, transition)));
    }
    for (name, training) in &view.trainings {
        let Some(status) = &training.status else {
            continue;
        };
        let version = status
            .version
            .as_ref()
            .map_or_else(|| "a version".to_owned(), ToString::to_string);
        let of = |at: Timestamp, message: String| {
            Record::new(at, "training", format!("MLTrainingJob/{name}"), &message)
        };
        records.extend(
            status
                .started_at
                .map(|at| of(at, format!("training {name} {version}"))),
        );
        records.extend(status.finished_at.map(|at| {
            let (phase, why) = (status.phase, status.message.as_deref());
            let ended = match (phase, why) {
                (Some(PhaseName::Succeeded), _) => format!("trained {name} {version}"),
                (_, Some(why)) => format!("training {name} {version} ended: {why}"),
                (_, None) => format!("training {name} {version} ended"),
            };
            Record {
                attention: phase == Some(PhaseName::Failed),
                ..of(at, ended)
            }
        }));
    }
    records.sort();
    records
}

fn moved(name: &str, transition: &TransitionStatus) -> Record {
    let TransitionStatus {
        at,
        from,
        to,
        message,
        weight,
    } = transition;
    let why = if message.is_empty() {
        String::new()
    } else {
        format!(": {message}")
    };
    let message = format!("{name} {from:?} -> {to:?}, canary {weight}{why}");
    Record::new(*at, "rollout", format!("MLDeployment/{name}"), &message)
}
