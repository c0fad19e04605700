//! `aurora status`: how an environment stands, read from its data directory, whether it runs or not.

use std::path::Path;
use std::process::ExitCode;
use std::time::{Duration, SystemTime};

use clap::Args;
use crds::status::{FindingStatus, TrackStatus};
use crds::{MLDeployment, MLEnvironment};
use registry::files::may_be_there;
use planner::Timestamp;
use planner::observed::Behind;
use serde_json::json;

use crate::arguments::{DataArguments, OutputArguments};
use crate::failure::{Context as _, Failure};
use crate::terminal::{Colour, Terminal, table};
use crate::view::View;

/// How long the heartbeat of a process that is well may be still: three beats.
const SILENCE_MAX: Duration = Duration::from_secs(15);

/// Flags of `aurora status`.
#[derive(Debug, Args)]
pub(crate) struct StatusArguments {
    #[command(flatten)]
    data: DataArguments,
    #[command(flatten)]
    output: OutputArguments,
}

pub(crate) fn run(arguments: &StatusArguments) -> Result<ExitCode, Failure> {
    let data_dir = arguments.data.settled()?;
    let view = read(&data_dir)?;
    let age = age(&data_dir);
    let terminal = Terminal::new(arguments.output.output);
    if terminal.is_json() {
        let mut value = view.to_json();
        value["age_seconds"] = json!(age.map(|age| age.as_secs()));
        terminal.document(&value)?;
    } else {
        terminal.line(render(terminal, &view, age))?;
    }
    Ok(ExitCode::SUCCESS)
}

/// Reads a data directory that must be one.
pub(crate) fn read(data_dir: &Path) -> Result<View, Failure> {
    // What else is wrong there, the view says.
    if !may_be_there(&data_dir.join("objects")) {
        return Err(
            Failure::new(format!("{} is no data directory", data_dir.display()))
                .hint("`aurora up` makes one; give another one with --data-dir"),
        );
    }
    View::read(data_dir).context(|| format!("cannot read {}", data_dir.display()))
}

/// Returns how long ago the process that owns the data directory was last alive.
pub(crate) fn age(data_dir: &Path) -> Option<Duration> {
    let beat = standalone::last_beat(data_dir)?;
    Some(SystemTime::now().duration_since(beat).unwrap_or_default())
}

fn render(terminal: Terminal, view: &View, age: Option<Duration>) -> String {
    let environment = view.environment.as_ref();
    let status = environment.and_then(|environment| environment.status.as_ref());
    let mut parts: Vec<String> = environment
        .iter()
        .map(|environment| headline(environment, age))
        .collect();
    if !view.deployments.is_empty() {
        parts.push(deployments(view));
    }
    if !view.trainings.is_empty() {
        parts.push(trainings(view));
    }
    if let Some(status) = status {
        let (findings, waiting) = (&status.findings, &status.waiting);
        let findings = findings
            .iter()
            .map(|finding| terminal.paint(Colour::Red, finding_text(finding)));
        let waiting = waiting.iter().map(|waiting| format!("waiting: {waiting}"));
        let lines: Vec<_> = findings.chain(waiting).collect();
        parts.extend((!lines.is_empty()).then(|| lines.join("\n")));
    }
    parts.join("\n\n")
}

fn headline(environment: &MLEnvironment, age: Option<Duration>) -> String {
    let status = environment.status.as_ref();
    let applied = status.and_then(|status| status.applied_revision.as_ref());
    let attempted = status.and_then(|status| status.attempted_revision.as_ref());
    let attempted = attempted.filter(|attempted| applied != Some(attempted));
    format!(
        "environment {}, applied revision {}{}, {}{}",
        environment.metadata.name.as_deref().unwrap_or_default(),
        applied.map_or("none", |revision| revision.short()),
        attempted.map_or_else(String::new, |revision| format!(
            " (not all of {} is applied)",
            revision.short()
        )),
        age.map_or_else(
            || "never run".to_owned(),
            |age| {
                let seconds = age.as_secs();
                if age > SILENCE_MAX {
                    format!("not running, or unable to write here: last seen alive {seconds} s ago")
                } else {
                    format!("seen alive {seconds} s ago")
                }
            }
        ),
        suspension(environment).map_or_else(String::new, |reason| format!(
            "\nsuspended: {reason}; nothing is changed while it stands, and what serves stays"
        )),
    )
}

/// Returns why an environment is suspended.
pub(crate) fn suspension(environment: &MLEnvironment) -> Option<&str> {
    environment.spec.suspend.as_deref()
}

/// Says what keeps an object from what Git says.
pub(crate) fn behind(deployment: &MLDeployment) -> Option<String> {
    Some(match crds::convert::behind(&deployment.metadata)? {
        Behind::Stopped(what) => format!("stopped: {what}"),
        Behind::Waits(what) => format!("waits: {what}"),
    })
}

fn finding_text(finding: &FindingStatus) -> String {
    let FindingStatus {
        location,
        reason,
        subject,
        message,
        hint,
    } = finding;
    let place = [location.as_deref().unwrap_or_default(), reason, subject, message];
    let place: Vec<_> = place.into_iter().filter(|part| !part.is_empty()).collect();
    let hint = if hint.is_empty() {
        String::new()
    } else {
        format!("\n  hint: {hint}")
    };
    format!("{}{hint}", place.join(": "))
}

fn served(track: Option<&TrackStatus>) -> String {
    track.map_or_else(|| "-".to_owned(), |track| track.version.to_string())
}

fn deployments(view: &View) -> String {
    let mut rows = vec![
        ["model", "stable", "canary", "weight", "declared", "state"]
            .map(str::to_owned)
            .to_vec(),
    ];
    for deployment in view.deployments.values() {
        let MLDeployment { spec, status, .. } = deployment;
        let status = status.clone().unwrap_or_default();
        let declared = spec.canary.as_ref().map(|canary| canary.weight.to_string());
        let mut state = status
            .state
            .map_or_else(|| "-".to_owned(), |state| format!("{state:?}"));
        if !status.message.is_empty() {
            state = format!("{state} ({})", status.message);
        }
        if let Some(behind) = behind(deployment) {
            state = format!("{state}, {behind}");
        }
        rows.push(vec![
            spec.model_name.to_string(),
            served(status.stable.as_ref()),
            served(status.canary.as_ref()),
            status.weight.to_string(),
            declared.unwrap_or_else(|| "-".to_owned()),
            state,
        ]);
    }
    table(&rows)
}

fn trainings(view: &View) -> String {
    let mut rows = vec![
        ["job", "model", "version", "phase", "note"]
            .map(str::to_owned)
            .to_vec(),
    ];
    for (name, training) in &view.trainings {
        let status = training.status.clone().unwrap_or_default();
        let note = match (&status.message, status.progress_percent) {
            (Some(message), _) => message.clone(),
            (None, Some(percent)) if status.finished_at.is_none() => format!("{percent}%"),
            _ => status
                .metrics
                .iter()
                .map(|(name, value)| format!("{name} {value:.3}"))
                .collect::<Vec<_>>()
                .join(", "),
        };
        let slot = |at: Timestamp| at.format("%F %H:%M UTC");
        let next = status.next_run.map(|next| format!("next run {}", slot(next)));
        let skipped = status.last_skipped.as_ref().map(|skipped| {
            let at = slot(skipped.slot.unwrap_or(skipped.at));
            format!("skipped {at}: {}", skipped.reason)
        });
        let note: Vec<String> = Some(note)
            .filter(|note| !note.is_empty())
            .into_iter()
            .chain(next)
            .chain(skipped)
            .collect();
        let note = note.join("; ");
        rows.push(vec![
            name.clone(),
            training.spec.model_name.to_string(),
            status
                .version
                .as_ref()
                .map_or_else(|| "-".to_owned(), ToString::to_string),
            status
                .phase
                .map_or_else(|| "-".to_owned(), |phase| format!("{phase:?}")),
            note,
        ]);
    }
    table(&rows)
}
