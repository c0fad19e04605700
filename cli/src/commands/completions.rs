//! `aurora completions`: what a shell completes the command line by.

use std::process::ExitCode;

use clap::{Args, CommandFactory as _};
use clap_complete::Shell;

use crate::arguments::{Arguments, Format};
use crate::failure::Failure;
use crate::terminal::Terminal;

/// Flags of `aurora completions`.
#[derive(Debug, Args)]
pub(crate) struct CompletionsArguments {
    /// The shell
    #[arg(value_name = "SHELL")]
    shell: Shell,
}

pub(crate) fn run(arguments: &CompletionsArguments) -> Result<ExitCode, Failure> {
    let mut script = Vec::new();
    clap_complete::generate(arguments.shell, &mut Arguments::command(), "aurora", &mut script);
    Terminal::new(Format::Text).verbatim(&String::from_utf8_lossy(&script))?;
    Ok(ExitCode::SUCCESS)
}
