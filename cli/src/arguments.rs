//! What can be typed: the words that several commands share. Each command's own flags stand in its file.
//!
//! Every flag can also be given as `AURORA_…`, where an empty one counts as absent; none of them holds a secret.

mod forge;
mod imports;
mod onnx_runtime;
mod remote;
mod upstream;
mod variables;

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::LazyLock;

use clap::error::{ContextKind, ContextValue};
use clap::{Args, CommandFactory as _, FromArgMatches as _, Parser, ValueEnum};
use planner::names::EnvironmentName;
use planner::shown::escape;
use reconciler::source::Follow;
use reconciler::zones::Zones;
use registry::{DatasetRoots, RootError};
use standalone::DataDirError;

pub(crate) use self::forge::{ForgeArguments, GitHubArguments};
use crate::commands::Command;
use crate::failure::{ERROR, Failure};
use crate::terminal::{self, Terminal};
use crate::view;
pub(crate) use imports::ImportArguments;
pub(crate) use onnx_runtime::OnnxRuntimeArguments;
pub(crate) use remote::{First, RemoteArguments};
pub(crate) use upstream::UpstreamArguments;

const EXIT_CODES: &str = "\
Exit codes (docs/cli.md lists them by command):
  0  done, and the answer is yes; for plan: nothing to change
  1  done, and the answer is no: findings, damage, not all serves as declared; for plan: changes; for train: failed,
     may be tried again
  2  not done, or not known to be done: a wrong command line, or an error that is printed with what to do
  3  train only: the inputs are at fault, nothing was published

AURORA_LOG sets the log filter (default warn; e.g. info, reconciler=debug), AURORA_LOG_FORMAT its form (text, json;
default text on a terminal, json elsewhere), NO_COLOR switches colours off.";

/// Keeps the models that are served equal to what a Git repository says.
#[derive(Debug, Parser)]
#[command(name = "aurora", version = version(), after_help = EXIT_CODES, max_term_width = 110)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// Says which aurora this is, and which time zones it reads schedules by.
fn version() -> &'static str {
    static TEXT: LazyLock<String> = LazyLock::new(|| {
        let version = env!("CARGO_PKG_VERSION");
        format!("{version}\ntime zones: {}", Zones::default().in_use())
    });
    &TEXT
}

/// Reads the command line. What is answered at once, help or what is wrong with it, is written, and its exit code
/// returned.
pub(crate) fn parse() -> Result<Arguments, ExitCode> {
    let command = variables::read(Arguments::command());
    let parsed = command.clone().try_get_matches();
    parsed
        .and_then(|matches| Arguments::from_arg_matches(&matches))
        .map_err(|mut error| {
            // What is written here may have to wait for its reader.
            crate::signals::release();
            let sources = variables::sources(&command, &error);
            // A value may be another's: the name of a branch, say.
            let strange: Vec<_> = error
                .context()
                .filter_map(|(kind, value)| match value {
                    ContextValue::String(text) => Some((kind, escape(text).into_owned())),
                    _ => None,
                })
                .collect();
            for (kind, text) in strange {
                if kind != ContextKind::Usage {
                    error.insert(kind, ContextValue::String(text));
                }
            }
            let text = error.render().to_string();
            if error.use_stderr() {
                let text = format!("{text}{sources}");
                if terminal::logs_json() {
                    terminal::complain(text.trim_start_matches("error: ").trim_end(), Vec::new(), None);
                } else {
                    terminal::answer_error(text.trim_start_matches("error: ").trim_end(), Vec::new(), None);
                    crate::logging::say(terminal::escape_lines(&text));
                }
                return ExitCode::from(ERROR);
            }
            match Terminal::new(Format::Text).text(&text) {
                Ok(()) => ExitCode::SUCCESS,
                Err(full) => Failure::from(full).report(),
            }
        })
}

/// Which environment of which repository.
#[derive(Debug, Clone, Args)]
pub(crate) struct RepositoryArguments {
    /// The desired-state repository: a folder inside a Git work tree, a bare repository, or, for up, reconcile and plan,
    /// https://…, ssh://… or git@host:path
    #[arg(long, env = "AURORA_REPO", value_name = "PLACE", default_value = ".")]
    pub(crate) repo: PathBuf,

    /// The environment: a folder below environments/
    #[arg(long, env = "AURORA_ENVIRONMENT", value_name = "NAME", default_value = "dev")]
    pub(crate) environment: EnvironmentName,
}

/// Which branch is followed.
#[derive(Debug, Clone, Args)]
pub(crate) struct BranchArguments {
    /// The branch that is followed, fixed at start [default: the checked-out one]
    #[arg(long, env = "AURORA_BRANCH", value_name = "NAME")]
    branch: Option<String>,

    /// The tag that is followed; where it is moved, it is followed like a branch
    #[arg(long, env = "AURORA_TAG", value_name = "NAME", conflicts_with = "branch")]
    tag: Option<String>,

    /// Follow whatever is checked out, branch or commit, with each link on the path: what git-sync leaves
    #[arg(long, env = "AURORA_FOLLOW_HEAD", conflicts_with_all = ["branch", "tag"])]
    follow_head: bool,
}

impl BranchArguments {
    /// Returns what of the repository is followed.
    pub(crate) fn follow(&self) -> Follow {
        if self.follow_head {
            return Follow::Head;
        }
        if let Some(tag) = &self.tag {
            return Follow::Tag(tag.clone());
        }
        self.branch.as_deref().into()
    }
}

/// Where a standalone environment keeps its state.
#[derive(Debug, Clone, Args)]
pub(crate) struct DataArguments {
    /// The data directory of the standalone environment
    #[arg(long, env = "AURORA_DATA_DIR", value_name = "PATH", default_value = ".aurora")]
    pub(crate) data_dir: PathBuf,
}

impl DataArguments {
    /// Returns where the data directory lies, if it may be looked at; nothing of it need be there.
    pub(crate) fn settled(&self) -> Result<PathBuf, DataDirError> {
        standalone::inspect(&self.data_dir)
    }

    /// Returns where the data directory lies, if this user may write in it; nothing of it need be there.
    pub(crate) fn writable(&self) -> Result<PathBuf, DataDirError> {
        standalone::inspect_to_write(&self.data_dir)
    }

    /// Returns where the environment's registry lies.
    pub(crate) fn registry_root(&self) -> Result<PathBuf, Failure> {
        let data_dir = self.settled()?;
        let declared = view::read_whole(&data_dir)?
            .environment
            .and_then(|environment| environment.spec.registry)
            .and_then(|registry| registry.path);
        Ok(standalone::registry_in_use(&data_dir, declared.as_deref()))
    }
}

/// Which files outside the repository may be read.
#[derive(Debug, Clone, Args)]
pub(crate) struct DatasetArguments {
    /// A folder below which a job's dataset may lie as an absolute path; may be given several times [default: none]
    #[arg(
        long = "dataset-root",
        env = "AURORA_DATASET_ROOT",
        value_name = "PATH",
        value_delimiter = ':'
    )]
    roots: Vec<PathBuf>,
}

impl DatasetArguments {
    /// Returns the folders that were named.
    pub(crate) fn roots(&self) -> Result<DatasetRoots, RootError> {
        let named = self.roots.iter().filter(|root| !root.as_os_str().is_empty());
        DatasetRoots::new(&named.cloned().collect::<Vec<_>>())
    }

    /// Returns the folders that were named, if any were: without, what another process may read is not known.
    pub(crate) fn known_roots(&self) -> Result<Option<DatasetRoots>, RootError> {
        Ok(Some(self.roots()?).filter(|roots| !roots.is_empty()))
    }
}

/// In which form the result is written.
#[derive(Debug, Clone, Args)]
pub(crate) struct OutputArguments {
    /// The form of the output
    #[arg(
        long,
        short,
        env = "AURORA_OUTPUT",
        value_name = "FORM",
        default_value = "text"
    )]
    pub(crate) output: Format,
}

/// A form of output.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// For people.
    Text,
    /// For programs.
    Json,
}
