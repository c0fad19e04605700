//! The `aurora` binary: reads the command line, runs one command, says how it ended.

mod arguments;
mod commands;
mod failure;
mod logging;
mod terminal;

use std::process::ExitCode;

use clap::Parser as _;

fn main() -> ExitCode {
    logging::start();
    let arguments = arguments::Arguments::parse();
    match arguments.command.run() {
        Ok(code) => code,
        Err(failure) => failure.report(),
    }
}
