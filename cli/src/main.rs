//! The `aurora` binary: reads the command line, runs one command, says how it ended.

mod arguments;
mod clock;
mod commands;
mod descriptors;
mod failure;
mod findings;
mod git_reader;
#[cfg(target_os = "linux")]
mod init;
mod life;
mod listeners;
mod logging;
mod memory;
mod memory_limit;
mod meters;
mod news;
mod serving;
mod signals;
mod slots;
mod status_files;
mod supervisor;
mod terminal;
mod trainer;
mod view;

use std::process::ExitCode;

fn main() -> ExitCode {
    signals::hold();
    #[cfg(target_os = "linux")]
    if let Some(code) = init::run_if_first() {
        return code;
    }
    memory::share_between_threads();
    descriptors::keep_to_ourselves();
    if let Some(code) = git_reader::run_if_asked() {
        return code;
    }
    logging::start();
    let code = match arguments::parse() {
        Ok(arguments) => {
            if !arguments.command.catches_signals() {
                signals::release();
            }
            match arguments.command.run() {
                Ok(code) => code,
                Err(failure) => failure.report(),
            }
        }
        Err(answered) => answered,
    };
    logging::flush();
    code
}
