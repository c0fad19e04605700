//! `aurora crds`: prints the custom resource definitions, ready for `kubectl apply -f -`.

use std::process::ExitCode;

use clap::Args;

use crate::arguments::Format;
use crate::failure::Failure;
use crate::terminal::Terminal;

/// Flags of `aurora crds`: none.
#[derive(Debug, Args)]
pub(crate) struct CrdsArguments {}

pub(crate) fn run(_arguments: &CrdsArguments) -> Result<ExitCode, Failure> {
    let documents: Vec<String> = crds::crd_yaml().into_iter().map(|(_file, text)| text).collect();
    Terminal::new(Format::Text).text(documents.join("---\n").trim_end())?;
    Ok(ExitCode::SUCCESS)
}
