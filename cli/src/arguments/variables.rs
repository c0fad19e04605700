//! Flags that are given as `AURORA_…` variables: an empty one counts as absent, and a value that is refused names the
//! variable that it came from.

use std::env;
use std::ffi::OsString;

use clap::builder::{BoolishValueParser, Resettable};
use clap::error::ContextValue;
use clap::{Arg, ArgAction, Command};

/// Lets flags that are on or off take `1` and `yes` too, and forgets empty variables: a unit or a compose file writes
/// one for what is not set.
pub(super) fn read(command: Command) -> Command {
    command
        .mut_args(|argument| match variable(&argument) {
            Some((_, value)) if value.is_empty() => argument.env(Resettable::Reset),
            Some(_) if matches!(argument.get_action(), ArgAction::SetTrue) => {
                argument.value_parser(BoolishValueParser::new())
            }
            Some(_) | None => argument,
        })
        .mut_subcommands(read)
}

/// Returns an argument's variable and its value, where it has one.
fn variable(argument: &Arg) -> Option<(OsString, OsString)> {
    let name = argument.get_env()?.to_owned();
    let value = env::var_os(&name)?;
    Some((name, value))
}

/// Says which variables the values came from that an error is about: `AURORA_… gives --…`, a line each.
pub(super) fn sources(command: &Command, error: &clap::Error) -> String {
    let texts: Vec<&str> = error
        .context()
        .flat_map(|(_, value)| match value {
            ContextValue::String(text) => vec![text.as_str()],
            ContextValue::Strings(texts) => texts.iter().map(String::as_str).collect(),
            _ => Vec::new(),
        })
        .collect();
    let mut lines = Vec::new();
    add_sources(command, &texts, &mut lines);
    lines.sort();
    lines.dedup();
    lines.concat()
}

fn add_sources(command: &Command, texts: &[&str], lines: &mut Vec<String>) {
    for argument in command.get_arguments() {
        let (Some(long), Some((name, _))) = (argument.get_long(), variable(argument)) else {
            continue;
        };
        let flag = format!("--{long}");
        let is_this = |text: &str| {
            text.strip_prefix(&flag)
                .is_some_and(|rest| rest.is_empty() || rest.starts_with([' ', '=']))
        };
        // What is typed counts before the variable.
        let is_typed = env::args_os().any(|word| word.to_str().is_some_and(is_this));
        if !is_typed && texts.iter().any(|text| is_this(text)) {
            lines.push(format!("{} gives {flag}\n", name.display()));
        }
    }
    for subcommand in command.get_subcommands() {
        add_sources(subcommand, texts, lines);
    }
}
