//! `aurora man`: the pages for `man`, or the whole reference as Markdown, of the definition that the command line is read by.

mod markdown;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, Command, CommandFactory as _};

use crate::arguments::{Arguments, Format};
use crate::failure::{Context as _, Failure};
use crate::terminal::Terminal;

/// Flags of `aurora man`.
#[derive(Debug, Args)]
pub(crate) struct ManArguments {
    /// The folder that the pages are written into, one for each command, e.g. /usr/local/share/man/man1
    #[arg(value_name = "FOLDER", required_unless_present = "markdown")]
    folder: Option<PathBuf>,

    /// Print the reference of all commands as Markdown instead
    #[arg(long, conflicts_with = "folder")]
    markdown: bool,
}

pub(crate) fn run(arguments: &ManArguments) -> Result<ExitCode, Failure> {
    // What is looked up on this machine belongs on no page.
    let mut command = Arguments::command().version(env!("CARGO_PKG_VERSION"));
    command.build();
    let terminal = Terminal::new(Format::Text);
    match &arguments.folder {
        Some(folder) => {
            let pages = write(&command, folder)?;
            terminal.line(format!("{pages} pages written into {}", folder.display()))?;
        }
        None => terminal.verbatim(&markdown::of(&command))?,
    }
    Ok(ExitCode::SUCCESS)
}

/// Writes the page of a command and those below it; returns how many.
fn write(command: &Command, folder: &Path) -> Result<usize, Failure> {
    let page = clap_mangen::Man::new(command.clone());
    let path = folder.join(page.get_filename());
    let mut text = Vec::new();
    page.render(&mut text)?;
    fs::write(&path, text)
        .context(|| format!("cannot write {}", path.display()))
        .hint(|| "name a folder that is there and that this user may write in".to_owned())?;
    let mut pages = 1;
    for subcommand in command
        .get_subcommands()
        .filter(|subcommand| subcommand.get_name() != "help")
    {
        pages += write(subcommand, folder)?;
    }
    Ok(pages)
}
