//! What can be typed: the words that several commands share. Each command's own flags stand in its file.
//!
//! Every flag can also be given as `AURORA_…`; none of them holds a secret.

use std::io;
use std::path::PathBuf;

use clap::{Args, Parser, ValueEnum};
use planner::names::EnvironmentName;

use crate::commands::Command;
use crate::view::View;

const EXIT_CODES: &str = "\
Exit codes:
  0  done; for plan: nothing to change
  1  done, and the answer is no: findings, damage, for plan: changes; for train: failed, may be tried again
  2  not done: a wrong command line, or an error that is printed with what to do
  3  train only: the inputs are at fault, nothing was published

AURORA_LOG sets the log filter (default warn; e.g. info, reconciler=debug), NO_COLOR switches colours off.";

/// Keeps the models that are served equal to what a Git repository says.
#[derive(Debug, Parser)]
#[command(name = "aurora", version, after_help = EXIT_CODES, max_term_width = 110)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// Which environment of which repository.
#[derive(Debug, Clone, Args)]
pub(crate) struct RepositoryArguments {
    /// The desired-state repository: a folder inside a Git work tree, or a bare repository
    #[arg(long, env = "AURORA_REPO", value_name = "PATH", default_value = ".")]
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
    pub(crate) branch: Option<String>,
}

/// Where a standalone environment keeps its state.
#[derive(Debug, Clone, Args)]
pub(crate) struct DataArguments {
    /// The data directory of the standalone environment
    #[arg(long, env = "AURORA_DATA_DIR", value_name = "PATH", default_value = ".aurora")]
    pub(crate) data_dir: PathBuf,
}

impl DataArguments {
    /// Returns where the environment's registry lies.
    pub(crate) fn registry_root(&self) -> io::Result<PathBuf> {
        let path = View::read(&self.data_dir)?
            .environment
            .and_then(|environment| environment.spec.registry)
            .and_then(|registry| registry.path);
        Ok(self.data_dir.join(path.as_deref().unwrap_or("registry")))
    }
}

/// In which form the result is written.
#[derive(Debug, Clone, Args)]
pub(crate) struct OutputArguments {
    /// The form of the output
    #[arg(long, env = "AURORA_OUTPUT", value_name = "FORM", default_value = "text")]
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
