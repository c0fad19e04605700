//! `aurora key new`: makes a key for the APIs. It is printed once and stored nowhere; a keys file holds its hash.

use std::process::ExitCode;

use clap::{Args, Subcommand};
use planner::names::ObjectName;

use crate::answers::KeyAnswer;
use crate::arguments::OutputArguments;
use crate::failure::Failure;
use crate::terminal::Terminal;

/// Flags of `aurora key`.
#[derive(Debug, Args)]
pub(crate) struct KeyArguments {
    #[command(subcommand)]
    command: KeyCommand,
}

#[derive(Debug, Subcommand)]
enum KeyCommand {
    /// Make a key: it is shown once; add the printed line to --api-keys-file or --inference-keys-file
    New {
        /// Whose key it is
        #[arg(value_name = "NAME")]
        name: ObjectName,
        #[command(flatten)]
        output: OutputArguments,
    },
}

pub(crate) fn run(arguments: &KeyArguments) -> Result<ExitCode, Failure> {
    let KeyCommand::New { name, output } = &arguments.command;
    let (key, line) = server::keys::generate(name.as_str())?;
    let terminal = Terminal::new(output.output);
    if terminal.is_json() {
        terminal.document(&KeyAnswer {
            name: name.as_str(),
            key: &key,
            line: &line,
        })?;
    } else {
        terminal.line(format!("key   {key}"))?;
        terminal.line(format!("line  {line}"))?;
        terminal.line(
            "The key is not shown again: clients send it as x-api-key, or as Authorization: Bearer. The line goes into the \
             keys file, which others must not read (chmod 600).",
        )?;
    }
    Ok(ExitCode::SUCCESS)
}
