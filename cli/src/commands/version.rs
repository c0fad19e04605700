//! `aurora version`: which aurora this is.

use std::env::consts::{ARCH, OS};
use std::process::ExitCode;

use clap::Args;
use reconciler::zones::Zones;

use crate::answers::VersionAnswer;
use crate::arguments::OutputArguments;
use crate::failure::Failure;
use crate::terminal::Terminal;

/// The commit that this was built from, where the build was told.
const COMMIT: Option<&str> = option_env!("AURORA_COMMIT");

/// Flags of `aurora version`.
#[derive(Debug, Args)]
pub(crate) struct VersionArguments {
    #[command(flatten)]
    output: OutputArguments,
}

pub(crate) fn run(arguments: &VersionArguments) -> Result<ExitCode, Failure> {
    let libc = if cfg!(target_env = "musl") { "-musl" } else { "" };
    let answer = VersionAnswer {
        version: env!("CARGO_PKG_VERSION"),
        commit: COMMIT,
        target: format!("{ARCH}-{OS}{libc}"),
        time_zones: Zones::default().in_use().to_string(),
    };
    let terminal = Terminal::new(arguments.output.output);
    if terminal.is_json() {
        terminal.document(&answer)?;
        return Ok(ExitCode::SUCCESS);
    }
    let VersionAnswer {
        version,
        commit,
        target,
        time_zones,
    } = answer;
    let commit = commit.map_or_else(String::new, |commit| format!(", built from {commit}"));
    terminal.line(format!("aurora {version} for {target}{commit}"))?;
    terminal.line(format!("time zones: {time_zones}"))?;
    Ok(ExitCode::SUCCESS)
}
