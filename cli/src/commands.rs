//! The commands, one file each: they read flags, call the crate that does the work and say what came of it.

mod crds;
mod key;

use std::process::ExitCode;

use clap::Subcommand;

use crate::failure::Failure;

/// What to do.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Print the custom resource definitions as YAML
    Crds(crds::CrdsArguments),
    /// Make keys for the APIs
    Key(key::KeyArguments),
}

impl Command {
    /// Does it and returns the exit code.
    pub(crate) fn run(self) -> Result<ExitCode, Failure> {
        match self {
            Self::Crds(arguments) => crds::run(&arguments),
            Self::Key(arguments) => key::run(&arguments),
        }
    }
}
