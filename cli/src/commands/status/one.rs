//! `aurora status MODEL`: how one model stands, why it is not what Git says, and what to do.

use std::process::ExitCode;

use crds::status::{FindingStatus, MLDeploymentStatus, PhaseName, TrackStatus, WaitStatus};
use crds::view::{ModelRow, ModelView, PinRow, StandingRow, View};
use planner::Timestamp;
use planner::names::{ModelName, Revision};
use planner::object::Kind;
use planner::word::Word;
use serde_json::{Value, json};

use super::{finding, waits, word};
use crate::failure::{Failure, NO};
use crate::life::Life;
use crate::terminal::{Line, Terminal, table};

/// How many of its last transitions are shown.
const TRANSITIONS_SHOWN: usize = 5;

/// Says how a model stands; ends with 1 unless it serves what Git declares, that can be read, and nothing is wrong.
pub(super) fn say(
    model: &ModelName,
    view: &View,
    life: Life,
    terminal: Terminal,
) -> Result<ExitCode, Failure> {
    let models = view.models(life.unknown());
    let Some(found) = models.get(model.as_str()) else {
        let names: Vec<&str> = models.keys().map(String::as_str).collect();
        let hint = match names[..] {
            [] => "no model is known yet".to_owned(),
            _ => format!("there are {}", names.join(", ")),
        };
        return Err(Failure::new(format!("no model {model} is known here")).hint(hint));
    };
    let row = found.row(model.as_str());
    if terminal.is_json() {
        terminal.document(&document(&row, found))?;
    } else {
        terminal.lines(render(&row, found, unapplied(view)))?;
    }
    let is_well = row
        .standing
        .as_ref()
        .is_some_and(|said| said.word == Word::Serving);
    Ok(
        if is_well && found.findings.is_empty() && view.blind().is_none() {
            ExitCode::SUCCESS
        } else {
            ExitCode::from(NO)
        },
    )
}

/// Returns what `/status/models/{model}` shows, without what the registry says.
fn document(row: &ModelRow, found: &ModelView<'_>) -> Value {
    json!({
        "model": row.model,
        "summary": row,
        "deployments": found.deployment.into_iter().collect::<Vec<_>>(),
        "trainings": found.trainings,
        "findings": found.findings,
        "waits": found.waits,
    })
}

/// Returns the newest commit, where not all of it is applied.
fn unapplied(view: &View) -> Option<&Revision> {
    let status = view.environment.as_ref()?.status.as_ref()?;
    let newest = status.attempted_revision.as_ref();
    newest.filter(|newest| status.applied_revision.as_ref() != Some(newest))
}

fn render(row: &ModelRow, found: &ModelView<'_>, unapplied: Option<&Revision>) -> Vec<Line> {
    let said = row.standing.as_ref();
    let first = found.findings.iter().find(|one| is_said(said, one));
    let mut lines = headline(row, first.and_then(|one| one.location.as_deref()));
    lines.push(Line::default());
    lines.extend(tracks(row));
    lines.extend(unapplied.map(|newest| {
        Line::from(format!(
            "not all of the newest commit {} is applied",
            newest.short()
        ))
    }));
    let mut parts: Vec<Vec<Line>> = vec![lines];
    // What the first lines say is not said again.
    let others = found.findings.iter().filter(|one| !is_said(said, one));
    let mut wrong: Vec<Line> = others.flat_map(|one| finding(one)).collect();
    let told = |one: &&&WaitStatus| !said.is_some_and(|said| said.message.starts_with(one.of_subject()));
    wrong.extend(found.waits.iter().filter(told).map(|one| waits(one.of_subject())));
    parts.push(wrong);
    parts.push(
        found
            .trainings
            .iter()
            .filter_map(|training| run(training, &found.findings))
            .collect(),
    );
    let status = found.deployment.and_then(|deployment| deployment.status.as_ref());
    parts.push(status.map(transitions).unwrap_or_default());
    parts.retain(|part| !part.is_empty());
    super::apart(parts)
}

/// Says whether the word is what a finding makes it.
fn is_said(said: Option<&StandingRow>, finding: &FindingStatus) -> bool {
    said.is_some_and(|said| said.reason == finding.reason && said.message == finding.message)
}

/// Says the word, why, where in the repository, and what to do next.
fn headline(row: &ModelRow, location: Option<&str>) -> Vec<Line> {
    let Some(said) = &row.standing else {
        return vec![Line::from(format!(
            "{}: nothing serves it, and nothing is to serve it",
            row.model
        ))];
    };
    let since = said
        .since
        .map_or_else(String::new, |since| format!(", since {}", moment(since)));
    let mut lines = vec![
        Line::from(format!("{}: ", row.model))
            .followed_by(word(said.word))
            .and(format!("{since}: {}", said.message)),
    ];
    if said.reason != said.word.as_str() {
        let location = location.map_or_else(String::new, |location| format!(", {location}"));
        lines.push(Line::from(format!("  reason: {}{location}", said.reason)));
    }
    if !said.next.is_empty() {
        lines.push(Line::from(format!("  next: {}", said.next)));
    }
    lines
}

/// Shows what was applied last beside what serves.
fn tracks(row: &ModelRow) -> Vec<Line> {
    let live = |track: Option<&TrackStatus>| {
        track.map_or_else(
            || "nothing".to_owned(),
            |track| format!("{} {}", track.version, track.digest.short()),
        )
    };
    let pinned = |pin: Option<&PinRow>| match pin {
        None => "-".to_owned(),
        Some(PinRow {
            version,
            digest: Some(digest),
        }) => format!("{version} {}", digest.short()),
        Some(PinRow { version, .. }) => version.to_string(),
    };
    let declared = row.declared.as_ref();
    let by = row.revision.as_deref().map_or_else(
        || "in its object".to_owned(),
        |revision| format!("declared by {}", revision.get(..10).unwrap_or(revision)),
    );
    let weight = declared.map_or_else(|| "-".to_owned(), |declared| declared.weight.to_string());
    table(&[
        vec![String::new(), by, "serves".to_owned()],
        vec![
            "stable".to_owned(),
            pinned(declared.map(|declared| &declared.stable)),
            live(row.stable.as_ref()),
        ],
        vec![
            "canary".to_owned(),
            pinned(declared.and_then(|declared| declared.canary.as_ref())),
            live(row.canary.as_ref()),
        ],
        vec!["weight".to_owned(), weight, row.weight.to_string()],
    ])
}

fn run(training: &crds::MLTrainingJob, findings: &[&FindingStatus]) -> Option<Line> {
    let status = training.status.as_ref()?;
    let phase = status.phase?;
    let name = training.metadata.name.as_deref().unwrap_or_default();
    // A finding about the job says why and what to do.
    let job = format!("{}/{name}", Kind::Training.as_str());
    let is_told = findings.iter().any(|finding| finding.subject == job);
    let message = status.message.as_ref().filter(|_| !is_told);
    let mut said = vec![format!("training {name}: {phase:?}")];
    said.extend(status.version.as_ref().map(|version| format!(" {version}")));
    let percent = status.progress_percent.filter(|_| phase == PhaseName::Running);
    said.extend(percent.map(|percent| format!(", {percent}%")));
    said.extend(message.map(|message| format!(": {message}")));
    let metrics = status.metrics.iter();
    said.extend(metrics.map(|(metric, value)| format!(", {metric} {value:.3}")));
    said.extend(status.next_run.map(|next| format!("; next run {}", moment(next))));
    said.extend(status.last_skipped.as_ref().map(|skipped| {
        let at = skipped.slot.unwrap_or(skipped.at);
        format!("; skipped {}: {}", moment(at), skipped.reason)
    }));
    Some(Line::from(said.concat()))
}

fn transitions(status: &MLDeploymentStatus) -> Vec<Line> {
    let newest = status.history.iter().rev().take(TRANSITIONS_SHOWN);
    newest
        .map(|change| {
            let why = if change.message.is_empty() {
                String::new()
            } else {
                format!(": {}", change.message)
            };
            Line::from(format!(
                "{}  {:?} -> {:?}, canary {}{why}",
                moment(change.at),
                change.from,
                change.to,
                change.weight
            ))
        })
        .collect()
}

fn moment(at: Timestamp) -> String {
    at.format("%F %H:%M:%S UTC").to_string()
}

#[cfg(test)]
mod tests;
