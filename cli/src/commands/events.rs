//! `aurora events`: what happened in an environment, who did it and by which commit, from the data directory, whether it
//! runs or not, or from what the objects of a namespace remember.

use std::collections::BTreeSet;
use std::process::ExitCode;
use std::time::{Duration, SystemTime};

use clap::Args;
use crds::view::View;
use planner::names::{ModelName, Revision};
use planner::{DateTime, Timestamp};

use super::status::place::{Place, PlaceArguments};
use super::status::wait::time;
use crate::answers::EventsAnswer;
use crate::arguments::OutputArguments;
use crate::failure::{Context as _, Failure};
use crate::journal::{self, Record};
use crate::terminal::{Colour, Line, Terminal, painted};

/// How many of the newest are shown where nothing says since when.
const SHOWN: usize = 100;

/// Flags of `aurora events`.
#[derive(Debug, Args)]
pub(crate) struct EventsArguments {
    /// Only what is about this model, its deployment and its training jobs
    #[arg(value_name = "MODEL")]
    model: Option<ModelName>,

    /// Only what happened since then: a time like 2026-11-29T12:00:00Z, or so long ago: 90s, 5m, 1h, 2d [default: the newest 100]
    #[arg(long, value_name = "TIME", value_parser = since)]
    since: Option<Timestamp>,

    /// Show what comes too, until Ctrl-C; as JSON, one document a line
    #[arg(long, short)]
    watch: bool,

    #[command(flatten)]
    place: PlaceArguments,
    #[command(flatten)]
    output: OutputArguments,
}

pub(crate) fn run(arguments: &EventsArguments) -> Result<ExitCode, Failure> {
    let place = arguments.place.find()?;
    let terminal = Terminal::new(arguments.output.output);
    let all = arguments.find(&place)?;
    let hidden = match arguments.since {
        Some(_) => 0,
        None => all.len().saturating_sub(SHOWN),
    };
    let (earlier, shown) = all.split_at(hidden);
    if arguments.watch {
        let mut known: BTreeSet<Record> = earlier.iter().cloned().collect();
        let mut all = all;
        loop {
            let new: Vec<Record> = all
                .iter()
                .filter(|record| !known.contains(record))
                .cloned()
                .collect();
            say_each(&new, terminal.lined())?;
            known = all.into_iter().collect();
            std::thread::sleep(place.poll());
            all = arguments.find(&place)?;
        }
    }
    if terminal.is_json() {
        terminal.document(&EventsAnswer {
            events: shown,
            earlier: earlier.len(),
        })?;
    } else if shown.is_empty() {
        terminal.line("nothing is kept of what happened here, or nothing of what is asked for")?;
    } else {
        if hidden > 0 {
            terminal.line(format!("{hidden} earlier ones are not shown: --since shows them"))?;
        }
        say_each(shown, terminal)?;
    }
    Ok(ExitCode::SUCCESS)
}

impl EventsArguments {
    /// Returns what is kept and asked for, oldest first.
    fn find(&self, place: &Place) -> Result<Vec<Record>, Failure> {
        let (view, _life) = place.state()?;
        let kept = match place {
            Place::DataDir(data_dir) => {
                journal::read(data_dir).context(|| "cannot read what happened".to_owned())?
            }
            Place::Namespace { .. } => None,
        };
        let mut records = kept.unwrap_or_else(|| journal::of_view(&view));
        if let Some(since) = self.since {
            records.retain(|record| record.at >= since);
        }
        if let Some(model) = &self.model {
            let subjects = subjects(model, &view);
            records.retain(|record| record.is_about(&subjects));
        }
        Ok(records)
    }
}

/// Returns what a model is called as a subject: itself, and the objects that are about it.
fn subjects(model: &ModelName, view: &View) -> BTreeSet<String> {
    let deployments = view.deployments.iter();
    let deployments = deployments.filter(|(_, object)| object.spec.model_name == *model);
    let trainings = view.trainings.iter();
    let trainings = trainings.filter(|(_, object)| object.spec.model_name == *model);
    // An object that is gone was most likely called as its model is.
    let likely = ["MLDeployment", "MLTrainingJob"].map(|kind| format!("{kind}/{model}"));
    deployments
        .map(|(name, _)| format!("MLDeployment/{name}"))
        .chain(trainings.map(|(name, _)| format!("MLTrainingJob/{name}")))
        .chain([format!("model {model}")])
        .chain(likely)
        .collect()
}

fn say_each(records: &[Record], terminal: Terminal) -> Result<(), Failure> {
    for record in records {
        if terminal.is_json() {
            terminal.document(record)?;
        } else {
            terminal.lines(render(record))?;
        }
    }
    Ok(())
}

fn render(record: &Record) -> Vec<Line> {
    let Record {
        at,
        event: _,
        subject: _,
        message,
        attention,
        revision,
        author,
    } = record;
    let (colour, mark) = if *attention {
        (Colour::Red, "!")
    } else {
        (Colour::Green, "*")
    };
    // The address is for programs.
    let name = author
        .as_deref()
        .map(|author| author.split(" <").next().unwrap_or(author));
    let commit = match (revision.as_ref().map(Revision::short), name) {
        (Some(revision), Some(name)) => format!("  ({revision} by {name})"),
        (Some(revision), None) => format!("  ({revision})"),
        (None, _) => String::new(),
    };
    let mut lines = message.lines();
    let first = Line::from(format!("{} ", at.format("%F %H:%M:%S UTC")))
        .followed_by(painted(colour, mark))
        .and(format!(" {}{commit}", lines.next().unwrap_or_default()));
    std::iter::once(first).chain(lines.map(Line::from)).collect()
}

/// Reads since when: a moment, or how long ago.
fn since(text: &str) -> Result<Timestamp, String> {
    if let Ok(at) = DateTime::parse_from_rfc3339(text) {
        return Ok(at.into());
    }
    let days = text.strip_suffix('d').and_then(|days| days.parse::<u64>().ok());
    let days = days
        .and_then(|days| days.checked_mul(24 * 60 * 60))
        .map(Duration::from_secs);
    let ago = days.map_or_else(|| time(text).ok(), Some);
    ago.and_then(|ago| SystemTime::now().checked_sub(ago))
        .map(Timestamp::from)
        .ok_or_else(|| "expected a time, e.g. 2026-11-29T12:00:00Z, 90s, 5m, 1h or 2d".to_owned())
}
