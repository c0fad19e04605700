//! `aurora schema`: prints the JSON schema of what commands write with `--output json`.

use std::process::ExitCode;

use clap::Args;

use crate::answers;
use crate::arguments::Format;
use crate::failure::Failure;
use crate::terminal::Terminal;

/// Flags of `aurora schema`: none.
#[derive(Debug, Args)]
pub(crate) struct SchemaArguments {}

pub(crate) fn run(_arguments: &SchemaArguments) -> Result<ExitCode, Failure> {
    Terminal::new(Format::Json).document(&answers::schema())?;
    Ok(ExitCode::SUCCESS)
}
