//! The `aurora` binary: reads the command line, runs one command, says how it ended.

mod answers;
mod arguments;
mod clock;
mod cluster_view;
mod commands;
mod control_planes;
mod controller;
mod descriptors;
mod failure;
mod findings;
mod git_reader;
#[cfg(target_os = "linux")]
mod init;
mod job;
mod journal;
mod keys_of_models;
mod life;
mod limits;
mod listeners;
mod logging;
mod machine;
mod memory;
mod memory_limit;
mod meters;
mod news;
mod outward;
mod programs;
mod secret_file;
mod serving;
mod signals;
mod slots;
mod starter;
mod status_files;
mod supervisor;
mod terminal;
mod termination;
mod trainer;
mod view;

use std::process::ExitCode;

use commands::Command;
use failure::{Context as _, Failure};

fn main() -> ExitCode {
    signals::hold();
    #[cfg(target_os = "linux")]
    if let Some(code) = init::run_if_first() {
        return code;
    }
    memory::share_between_threads();
    descriptors::keep_to_ourselves();
    if let Some(code) = git_reader::run_if_asked().or_else(programs::run_if_asked) {
        return code;
    }
    logging::start();
    let code = match arguments::parse() {
        Ok(arguments) => run(arguments.command).unwrap_or_else(Failure::report),
        Err(answered) => answered,
    };
    logging::flush();
    code
}

fn run(command: Command) -> Result<ExitCode, Failure> {
    if !command.catches_signals() {
        signals::release();
    }
    match limits::take_files().context(|| "cannot start".to_owned()) {
        Ok(()) => command.run(),
        Err(failure) => command.cannot_start(failure),
    }
}
