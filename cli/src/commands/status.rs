//! `aurora status`: how an environment stands, read from its data directory, whether it runs or not, or from its namespace
//! in a cluster.

mod one;
pub(super) mod place;
pub(super) mod wait;

use std::path::Path;
use std::process::ExitCode;

use clap::{Args, ValueEnum};
use crds::status::{FindingStatus, StateName, TrackStatus};
use crds::view::{EnvironmentRow, ModelRow, View};
use crds::{MLDeployment, MLEnvironment};
use planner::Timestamp;
use planner::names::ModelName;
use planner::observed::Behind;
use planner::word::Word;
use registry::files::may_be_there;
use serde_json::json;

use crate::arguments::Format;
use crate::failure::{Context as _, Failure, NO};
use crate::journal::Authors;
use crate::life::Life;
use crate::terminal::{Colour, Line, Terminal, painted, table};
use crate::view;

/// Flags of `aurora status`.
#[derive(Debug, Args)]
pub(crate) struct StatusArguments {
    /// Only this model: what Git pins and what serves, why they differ, and what to do
    #[arg(value_name = "MODEL", conflicts_with_all = ["wait", "revision"])]
    model: Option<ModelName>,

    /// Show it again whenever it has changed, until Ctrl-C; as JSON, one document a line
    #[arg(long, short, conflicts_with_all = ["wait", "revision"])]
    watch: bool,

    #[command(flatten)]
    place: place::PlaceArguments,
    #[command(flatten)]
    wait: wait::WaitArguments,

    /// The form of the output
    #[arg(
        long,
        short,
        env = "AURORA_OUTPUT",
        value_name = "FORM",
        default_value = "text"
    )]
    output: StatusFormat,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum StatusFormat {
    /// For people.
    Text,
    /// For people, with digests, since when, and who made the commit, as far as the data directory has kept that.
    Wide,
    /// For programs.
    Json,
    /// What JSON says, as YAML.
    Yaml,
}

impl StatusFormat {
    fn terminal(self) -> Terminal {
        match self {
            Self::Text | Self::Wide => Terminal::new(Format::Text),
            Self::Json => Terminal::new(Format::Json),
            Self::Yaml => Terminal::new(Format::Json).yaml(),
        }
    }

    /// Returns who made which commit, where that is shown.
    fn authors(self, place: &place::Place) -> Result<Option<Authors>, Failure> {
        (self == Self::Wide).then(|| place.authors()).transpose()
    }
}

pub(crate) fn run(arguments: &StatusArguments) -> Result<ExitCode, Failure> {
    let place = arguments.place.find()?;
    let terminal = arguments.output.terminal();
    if arguments.watch {
        return watch(arguments, &place, terminal.lined());
    }
    let missed = arguments.wait.wait(&place)?;
    let (view, life) = place.state()?;
    if let Some(model) = &arguments.model {
        return one::say(model, &view, life, terminal);
    }
    let is_well = is_well(&view, life) && missed.is_none();
    if terminal.is_json() {
        let mut value = json!(view.objects());
        let mut add = |name: &str, to: serde_json::Value| value[name] = to;
        add("process", json!(life)["process"].clone());
        add("age_seconds", json!(life)["age_seconds"].clone());
        add("well", json!(is_well));
        add("missed", json!(missed));
        add("overview", json!(view.overview(life.unknown())));
        terminal.document(&value)?;
    } else {
        let authors = arguments.output.authors(&place)?;
        terminal.lines(render(&view, life, authors.as_ref()))?;
        if let Some(missed) = missed {
            terminal.lines([
                Line::default(),
                painted(Colour::Red, format!("not live: {missed}")),
            ])?;
        }
    }
    Ok(if is_well {
        ExitCode::SUCCESS
    } else {
        ExitCode::from(NO)
    })
}

/// Says how it stands, and again whenever that has changed.
fn watch(arguments: &StatusArguments, place: &place::Place, terminal: Terminal) -> Result<ExitCode, Failure> {
    let mut said: Option<(View, Option<&str>)> = None;
    loop {
        let (view, life) = place.state()?;
        let now = (view, life.unknown());
        if said.as_ref() != Some(&now) {
            let view = &now.0;
            let is_first = said.is_none();
            if !terminal.is_json() && !is_first {
                terminal.line(Line::default())?;
            }
            match &arguments.model {
                Some(model) => drop(one::say(model, view, life, terminal)?),
                None if terminal.is_json() => terminal.document(&view.overview(life.unknown()))?,
                None => {
                    let authors = arguments.output.authors(place)?;
                    terminal.lines(render(view, life, authors.as_ref()))?;
                }
            }
            said = Some(now);
        }
        std::thread::sleep(place.poll());
    }
}

/// Paints a word: only one is well.
fn word(word: Word) -> Line {
    let colour = match word {
        Word::Serving => Colour::Green,
        Word::Failed | Word::Degraded | Word::Unknown => Colour::Red,
        Word::Waiting | Word::RollingOut | Word::Training | Word::Held => Colour::Yellow,
    };
    painted(colour, word)
}

/// Reads a data directory that must be one, and whole.
pub(crate) fn read(data_dir: &Path) -> Result<View, Failure> {
    must_be_one(data_dir)?;
    view::read_whole(data_dir).context(|| format!("cannot read {}", data_dir.display()))
}

/// Reads what can be read of a data directory that must be one.
fn look(data_dir: &Path) -> Result<View, Failure> {
    must_be_one(data_dir)?;
    view::read(data_dir).context(|| format!("cannot read {}", data_dir.display()))
}

fn must_be_one(data_dir: &Path) -> Result<(), Failure> {
    // What else is wrong there, the view says.
    if may_be_there(&data_dir.join("objects")) {
        return Ok(());
    }
    Err(
        Failure::new(format!("{} is no data directory", data_dir.display()))
            .hint("`aurora up` makes one; give another one with --data-dir"),
    )
}

/// Says whether a live process serves all that Git declares: nothing is wrong, suspended, waits or is under way.
fn is_well(view: &View, life: Life) -> bool {
    let report = view
        .environment
        .as_ref()
        .and_then(|environment| environment.status.as_ref());
    let is_suspended = view
        .environment
        .as_ref()
        .is_some_and(|environment| suspension(environment).is_some());
    life.is_running()
        && !is_suspended
        && view.unreadable.is_empty()
        && report.is_some_and(|report| report.findings.is_empty() && report.waiting.is_empty())
        && view.deployments.values().all(|deployment| is_serving(deployment))
}

/// Says whether a model serves what its object declares.
pub(crate) fn is_serving(deployment: &MLDeployment) -> bool {
    let state = deployment.status.as_ref().and_then(|status| status.state);
    state == Some(StateName::Idle) && deployment.spec.suspend.is_none() && behind(deployment).is_none()
}

fn render(view: &View, life: Life, authors: Option<&Authors>) -> Vec<Line> {
    let environment = view.environment.as_ref();
    let status = environment.and_then(|environment| environment.status.as_ref());
    let mut parts: Vec<Vec<Line>> = environment
        .iter()
        .map(|environment| headline(environment, &view.overview(life.unknown()).environment, life))
        .collect();
    let models = models(view, life, authors);
    if models.len() > 1 {
        parts.push(models);
    }
    if !view.trainings.is_empty() {
        parts.push(trainings(view));
    }
    if !view.unreadable.is_empty() {
        let said = |(subject, why): (&String, &String)| {
            painted(Colour::Red, format!("cannot be read: {subject}: {why}"))
        };
        parts.push(view.unreadable.iter().map(said).collect());
    }
    if let Some(status) = status {
        let mut lines: Vec<Line> = status.findings.iter().flat_map(finding).collect();
        lines.extend(status.waiting.iter().map(|waiting| waits(waiting)));
        parts.extend((!lines.is_empty()).then_some(lines));
    }
    apart(parts)
}

/// Puts an empty line between parts.
pub(crate) fn apart(parts: Vec<Vec<Line>>) -> Vec<Line> {
    let mut all = Vec::new();
    for part in parts {
        if !all.is_empty() {
            all.push(Line::default());
        }
        all.extend(part);
    }
    all
}

fn headline(environment: &MLEnvironment, row: &EnvironmentRow, life: Life) -> Vec<Line> {
    let status = environment.status.as_ref();
    let applied = status.and_then(|status| status.applied_revision.as_ref());
    let attempted = status.and_then(|status| status.attempted_revision.as_ref());
    let attempted = attempted.filter(|attempted| applied != Some(attempted));
    let mut lines = vec![Line::from(format!(
        "environment {}, applied revision {}{}, {life}",
        environment.metadata.name.as_deref().unwrap_or_default(),
        applied.map_or("none", |revision| revision.short()),
        attempted.map_or_else(String::new, |revision| format!(
            " (not all of {} is applied)",
            revision.short()
        )),
    ))];
    let said = &row.standing;
    lines.push(word(said.word).and(format!(": {}", said.message)));
    if !said.next.is_empty() {
        lines.push(Line::from(format!("  next: {}", said.next)));
    }
    let untold = suspension(environment).filter(|_| said.word != Word::Held);
    lines.extend(
        untold.map(|reason| Line::from(format!("suspended: {reason}; nothing is changed while it stands"))),
    );
    let conditions = status.map(|status| status.conditions.as_slice());
    let doubted = conditions.unwrap_or_default().iter();
    let doubted = doubted.filter(|condition| condition.kind == "ClockDoubted");
    lines.extend(doubted.map(|condition| Line::from(format!("clock doubted: {}", condition.message))));
    lines
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
        Behind::Held(what) => format!("held: {what}"),
    })
}

/// Renders what waits.
pub(crate) fn waits(waiting: &str) -> Line {
    Line::from(format!("waiting: {waiting}"))
}

/// Renders a finding of a report, and what to do on a line of its own.
pub(crate) fn finding(finding: &FindingStatus) -> Vec<Line> {
    let FindingStatus {
        location,
        reason,
        subject,
        message,
        hint,
    } = finding;
    let place = [location.as_deref().unwrap_or_default(), reason, subject, message];
    let place: Vec<_> = place.into_iter().filter(|part| !part.is_empty()).collect();
    let mut lines = vec![painted(Colour::Red, place.join(": "))];
    if !hint.is_empty() {
        lines.push(Line::from(format!("  hint: {hint}")));
    }
    lines
}

fn served(track: Option<&TrackStatus>) -> String {
    track.map_or_else(|| "-".to_owned(), |track| track.version.to_string())
}

/// Draws a table of the models that are served, or are to be; with more columns where it is given who made which commit.
fn models(view: &View, life: Life, authors: Option<&Authors>) -> Vec<Line> {
    let names = [
        "model", "word", "stable", "canary", "weight", "declared", "revision", "state",
    ];
    let more = authors.map(|_| ["stable digest", "canary digest", "since", "by", "seen"]);
    let names = names.into_iter().chain(more.into_iter().flatten());
    let mut rows = vec![names.map(str::to_owned).collect::<Vec<_>>()];
    for (name, found) in view.models(life.unknown()) {
        let row = found.row(&name);
        let more = authors.map(|authors| wide(&row, authors));
        let Some(said) = row
            .standing
            .filter(|_| found.deployment.is_some() || !found.findings.is_empty() || !found.waits.is_empty())
        else {
            continue;
        };
        let status = found.deployment.and_then(|deployment| deployment.status.as_ref());
        let mut state = status
            .and_then(|status| status.state)
            .map_or_else(|| "-".to_owned(), |state| format!("{state:?}"));
        // What findings and waits say stands below the table.
        let is_told = |text: &str| {
            found.findings.iter().any(|one| text.contains(&one.message))
                || found.waits.iter().any(|one| one.message.contains(text))
        };
        let message = status.map(|status| &status.message);
        if let Some(message) = message.filter(|message| !message.is_empty() && !is_told(message)) {
            state = format!("{state} ({message})");
        }
        let behind = found.deployment.and_then(behind);
        let untold = |text: &String| !is_told(text.split_once(": ").map_or(text, |(_kind, what)| what));
        if let Some(behind) = behind.filter(untold) {
            state = format!("{state}, {behind}");
        }
        let declared = row.declared.filter(|declared| declared.canary.is_some());
        let mut cells = vec![
            name,
            said.word.to_string(),
            served(row.stable.as_ref()),
            served(row.canary.as_ref()),
            row.weight.to_string(),
            declared.map_or_else(|| "-".to_owned(), |declared| declared.weight.to_string()),
            row.revision.as_deref().map_or_else(
                || "-".to_owned(),
                |revision| revision.get(..10).unwrap_or(revision).to_owned(),
            ),
            state,
        ];
        cells.extend(more.into_iter().flatten());
        rows.push(cells);
    }
    table(&rows)
}

/// Returns what a wide table says of a model besides.
fn wide(row: &ModelRow, authors: &Authors) -> [String; 5] {
    let absent = || "-".to_owned();
    let digest = |track: Option<&TrackStatus>| track.map_or_else(absent, |track| track.digest.short());
    let moment = |at: Timestamp| at.format("%F %H:%M UTC");
    let since = row.standing.as_ref().and_then(|said| said.since);
    let commit = row.revision.as_deref().and_then(|revision| authors.get(revision));
    [
        digest(row.stable.as_ref()),
        digest(row.canary.as_ref()),
        since.map_or_else(absent, |since| moment(since).to_string()),
        commit.map_or_else(absent, |(author, _)| author.clone()),
        commit.map_or_else(absent, |(_, seen)| moment(*seen).to_string()),
    ]
}

fn trainings(view: &View) -> Vec<Line> {
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
