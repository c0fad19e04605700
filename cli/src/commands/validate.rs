//! `aurora validate`: what is wrong with the manifests of a commit, as `up` would say it. Exits 1 if something is.
//!
//! With `--worktree`: of the files as they lie there, committed or not. Where the data directory holds applied state of the environment, pins are checked against its registry too.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use planner::finding::{Finding, Reason};
use planner::names::{EnvironmentName, Revision};
use planner::object::ObjectId;
use reconciler::preview::{self, At, DataHead, Known, Preview, PreviewError, Validated};
use reconciler::source::Follow;
use standalone::DataDirError;
use trainer::MissingColumn;

use crate::answers::ValidateAnswer;
use crate::arguments::{DataArguments, DatasetArguments, OutputArguments};
use crate::clock;
use crate::failure::{Failure, NO};
use crate::findings::marks;
use crate::git_reader;
use crate::terminal::{Colour, Line, Terminal, painted};

/// What is checked unless something else is asked for.
const NEWEST: &str = "HEAD";
/// The longest name of a file or column that a finding repeats, in characters.
const NAME_MAX: usize = 40;

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

    /// Check the files of the work tree as they are, committed or not: what `git add --all` and a commit would make
    #[arg(long, conflicts_with = "revision")]
    worktree: bool,

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
    /// Absent for the work tree.
    revision: Option<Revision>,
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
    // Of a commit that was asked for by name nobody expects the work tree's files.
    let uncommitted = if arguments.worktree || arguments.revision != NEWEST {
        0
    } else {
        preview::uncommitted(&git_reader::repository(&arguments.repo))?
    };
    if terminal.is_json() {
        let all: Vec<_> = all.iter().map(|checked| answer(checked, uncommitted)).collect();
        terminal.document(&all)?;
    } else {
        for checked in &all {
            say(terminal, checked)?;
        }
        if uncommitted > 0 {
            let files = if uncommitted == 1 { "file" } else { "files" };
            let were = if uncommitted == 1 { "was" } else { "were" };
            terminal.line(painted(
                Colour::Yellow,
                format!("{uncommitted} uncommitted {files} below environments/ {were} not read; --worktree reads them"),
            ))?;
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
    Ok(validated(arguments, arguments.environment.as_ref())?
        .into_iter()
        .map(|validated| {
            let Validated {
                environment,
                revision,
                manifests: _,
                mut findings,
                unjudged,
                suspended,
                heads,
            } = validated;
            findings.extend(heads.iter().flat_map(columns));
            findings.sort();
            Checked {
                environment,
                revision: (!arguments.worktree).then_some(revision),
                findings,
                suspended,
                registry: false,
                unjudged,
            }
        })
        .collect())
}

fn validated(
    arguments: &ValidateArguments,
    environment: Option<&EnvironmentName>,
) -> Result<Vec<Validated>, Failure> {
    let at = if arguments.worktree {
        At::WorkTree
    } else {
        At::Commit(&arguments.revision)
    };
    let known = Known {
        roots: arguments.datasets.known_roots()?,
        ..Known::default()
    };
    Ok(preview::validate(
        &git_reader::repository(&arguments.repo),
        at,
        environment,
        &known,
    )?)
}

/// Says which columns a job names that its data file has not.
fn columns(head: &DataHead) -> Vec<Finding> {
    let DataHead {
        job,
        training,
        location,
        manifest,
        uri,
        line,
    } = head;
    let missing = trainer::missing_columns(line, training);
    missing
        .into_iter()
        .map(|missing| {
            let MissingColumn {
                field,
                column,
                near,
                columns,
            } = missing;
            let near: Vec<_> = near.iter().map(|name| cut(name)).collect();
            let more = if columns > near.len() { ", …" } else { "" };
            Finding {
                location: Some(crds::parse::locate(manifest, location, &field)),
                reason: Reason::DatasetUnusable,
                subject: ObjectId::training(job).into(),
                message: format!("{field}: {} has no column {:?}", cut(uri), cut(&column)),
                hint: format!("the nearest of its {columns} columns: {}{more}", near.join(", ")),
            }
        })
        .collect()
}

/// Cuts a name of a data file to what a line can carry.
fn cut(name: &str) -> String {
    match name.char_indices().nth(NAME_MAX) {
        Some((end, _)) => format!("{}…", &name[..end]),
        None => name.to_owned(),
    }
}

/// Checks the branch's newest commit against the data directory, if that is what is asked for and it holds the
/// environment's applied state: then the findings are those of a running `up`.
fn applied(arguments: &ValidateArguments, environment: &EnvironmentName) -> Result<Option<Checked>, Failure> {
    if arguments.worktree || arguments.revision != NEWEST {
        return Ok(None);
    }
    let data_dir = &arguments.data.data_dir;
    let roots = arguments.datasets.known_roots()?;
    let repository = git_reader::repository(&arguments.repo);
    match standalone::preview(
        &repository,
        Follow::CheckedOut,
        environment,
        data_dir,
        roots,
        None,
        clock::now(),
    ) {
        Ok(Preview {
            revision,
            plan,
            unjudged,
            suspended,
            ..
        }) => {
            let by_git = validated(arguments, Some(environment))?;
            let heads = by_git.iter().flat_map(|validated| &validated.heads);
            let mut findings: Vec<_> = plan.findings.into_iter().chain(heads.flat_map(columns)).collect();
            findings.sort();
            Ok(Some(Checked {
                environment: environment.clone(),
                revision: Some(revision),
                suspended,
                findings,
                registry: true,
                unjudged,
            }))
        }
        // Nothing was applied there, it is another environment's, or there is no branch to follow: Git alone is checked.
        Err(
            standalone::PreviewError::NotApplied { .. }
            | standalone::PreviewError::DataDir(DataDirError::OtherEnvironment { .. })
            | standalone::PreviewError::Preview(PreviewError::NotApplied { .. } | PreviewError::Source(_)),
        ) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

fn answer(checked: &Checked, uncommitted: usize) -> ValidateAnswer<'_> {
    let Checked {
        environment,
        revision,
        findings,
        suspended,
        registry,
        unjudged,
    } = checked;
    ValidateAnswer {
        environment,
        revision: revision.as_ref(),
        worktree: revision.is_none(),
        suspended: suspended.as_deref(),
        registry_checked: *registry,
        uncommitted_files: uncommitted,
        datasets_unchecked: *unjudged,
        findings,
    }
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
    terminal.lines(marks(findings))?;
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
    let place = match revision {
        Some(revision) => format!("{environment} at {}: ", revision.short()),
        None => format!("{environment} in the work tree: "),
    };
    let place = Line::from(place);
    terminal.line(place.followed_by(verdict).and(note).and(data).and(suspended))?;
    Ok(())
}
