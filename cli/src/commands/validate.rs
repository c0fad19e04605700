//! `aurora validate`: what is wrong with the manifests of a commit, as `up` would say it. Exits 1 if something is.
//!
//! Where the data directory holds applied state of the environment, pins are checked against its registry too.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use planner::finding::Finding;
use planner::names::{EnvironmentName, Revision};
use reconciler::preview::{self, Known, Preview, PreviewError, Validated};
use serde_json::{Value, json};
use standalone::DataDirError;

use crate::arguments::{DataArguments, DatasetArguments, OutputArguments};
use crate::clock;
use crate::failure::{Failure, NO};
use crate::git_reader;
use crate::terminal::{Colour, Line, Terminal, painted};

/// What is checked unless something else is asked for.
const NEWEST: &str = "HEAD";

/// Flags of `aurora validate`.
#[derive(Debug, Args)]
pub(crate) struct ValidateArguments {
    /// The desired-state repository: a folder inside a Git work tree, or a bare repository
    #[arg(long, env = "AURORA_REPO", value_name = "PATH", default_value = ".")]
    repo: PathBuf,

    /// Only this environment: a folder below environments/ [default: all]
    #[arg(long, env = "AURORA_ENVIRONMENT", value_name = "NAME")]
    environment: Option<EnvironmentName>,

    /// The commit, tag or branch
    #[arg(long, env = "AURORA_REVISION", value_name = "REV", default_value = NEWEST)]
    revision: String,

    #[command(flatten)]
    data: DataArguments,
    #[command(flatten)]
    datasets: DatasetArguments,
    #[command(flatten)]
    output: OutputArguments,
}

/// One environment's findings at one commit.
struct Checked {
    environment: EnvironmentName,
    revision: Revision,
    findings: Vec<Finding>,
    /// Why nothing is changed, where the environment is suspended.
    suspended: Option<String>,
    /// Whether pins were checked against a registry.
    registry: bool,
    /// How many jobs name data outside the repository that nobody can say may be read.
    unjudged: usize,
}

pub(crate) fn run(arguments: &ValidateArguments) -> Result<ExitCode, Failure> {
    let all = match &arguments.environment {
        // An environment that was applied is known although the commit has lost its folder.
        Some(environment) => match applied(arguments, environment)? {
            Some(checked) => vec![checked],
            None => by_git_alone(arguments)?,
        },
        None => by_git_alone(arguments)?
            .into_iter()
            .map(|checked| Ok(applied(arguments, &checked.environment)?.unwrap_or(checked)))
            .collect::<Result<_, Failure>>()?,
    };
    let terminal = Terminal::new(arguments.output.output);
    if terminal.is_json() {
        terminal.document(&all.iter().map(to_json).collect::<Vec<_>>())?;
    } else {
        for checked in &all {
            say(terminal, checked)?;
        }
    }
    let sound = all.iter().all(|checked| checked.findings.is_empty());
    Ok(if sound {
        ExitCode::SUCCESS
    } else {
        ExitCode::from(NO)
    })
}

fn by_git_alone(arguments: &ValidateArguments) -> Result<Vec<Checked>, Failure> {
    let validated = preview::validate(
        &git_reader::repository(&arguments.repo),
        &arguments.revision,
        arguments.environment.as_ref(),
        &Known {
            roots: arguments.datasets.known_roots()?,
            ..Known::default()
        },
    )?;
    Ok(validated
        .into_iter()
        .map(|validated| {
            let Validated {
                environment,
                revision,
                manifests: _,
                findings,
                unjudged,
                suspended,
            } = validated;
            Checked {
                environment,
                revision,
                findings,
                suspended,
                registry: false,
                unjudged,
            }
        })
        .collect())
}

/// Checks the branch's newest commit against the data directory, if that is what is asked for and it holds the
/// environment's applied state: then the findings are those of a running `up`.
fn applied(arguments: &ValidateArguments, environment: &EnvironmentName) -> Result<Option<Checked>, Failure> {
    if arguments.revision != NEWEST {
        return Ok(None);
    }
    let data_dir = &arguments.data.data_dir;
    let roots = arguments.datasets.known_roots()?;
    let repository = git_reader::repository(&arguments.repo);
    match standalone::preview(&repository, None, environment, data_dir, roots, clock::now()) {
        Ok(Preview {
            revision,
            plan,
            unjudged,
            suspended,
            ..
        }) => Ok(Some(Checked {
            environment: environment.clone(),
            revision,
            suspended,
            findings: plan.findings.into_iter().collect(),
            registry: true,
            unjudged,
        })),
        // Nothing was applied there, it is another environment's, or there is no branch to follow: Git alone is checked.
        Err(
            standalone::PreviewError::NotApplied { .. }
            | standalone::PreviewError::DataDir(DataDirError::OtherEnvironment { .. })
            | standalone::PreviewError::Preview(PreviewError::NotApplied { .. } | PreviewError::Source(_)),
        ) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

fn to_json(checked: &Checked) -> Value {
    let Checked {
        environment,
        revision,
        findings,
        suspended,
        registry,
        unjudged,
    } = checked;
    json!({
        "environment": environment, "revision": revision, "suspended": suspended, "registry_checked": registry,
        "datasets_unchecked": unjudged, "findings": findings,
    })
}

fn say(terminal: Terminal, checked: &Checked) -> Result<(), Failure> {
    let Checked {
        environment,
        revision,
        findings,
        suspended,
        registry,
        unjudged,
    } = checked;
    for finding in findings {
        terminal.lines(mark(finding))?;
    }
    let verdict = match findings.len() {
        0 => painted(Colour::Green, "no finding"),
        1 => painted(Colour::Red, "1 finding"),
        count => painted(Colour::Red, format!("{count} findings")),
    };
    let note = if *registry {
        ""
    } else {
        " (pins were not checked against a registry)"
    };
    let data = match unjudged {
        0 => String::new(),
        count => format!(
            " ({count} with data outside the repository: whether `aurora up` may read it depends on its --dataset-root)"
        ),
    };
    let suspended = suspended.as_ref().map_or_else(String::new, |reason| {
        format!("; suspended, nothing is changed: {reason}")
    });
    let place = Line::from(format!("{environment} at {}: ", revision.short()));
    terminal.line(place.followed_by(verdict).and(note).and(data).and(suspended))?;
    Ok(())
}

/// Renders a finding, its reason coloured, and what to do on a line of its own.
pub(crate) fn mark(finding: &Finding) -> Vec<Line> {
    let Finding {
        location,
        reason,
        subject,
        message,
        hint,
    } = finding;
    let place = location.as_ref().map(|location| format!("{location}: "));
    let subject = if subject.is_empty() {
        String::new()
    } else {
        format!("{subject}: ")
    };
    let line = Line::from(place.unwrap_or_default())
        .painted(Colour::Red, reason)
        .and(format!(": {subject}{message}"));
    let hint = (!hint.is_empty()).then(|| Line::from(format!("  hint: {hint}")));
    std::iter::once(line).chain(hint).collect()
}
