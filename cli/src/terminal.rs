//! The one place that writes to standard output and standard error.
//!
//! Owns colours (only on a terminal, never with `NO_COLOR`) and the two output forms. A closed pipe comes back as an
//! error, never as a panic.

use std::fmt::Display;
use std::io::{self, IsTerminal as _, Write as _};

use serde::Serialize;

use crate::arguments::Format;

/// A colour of the 8 that each terminal has.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Colour {
    /// What is wrong.
    Red,
    /// What is well.
    Green,
    /// What needs a look.
    Yellow,
    /// What is only context.
    Dim,
}

/// Says whether colours are wanted on a stream that is a terminal or not.
pub(crate) fn colours(is_terminal: bool) -> bool {
    is_terminal && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}

/// Writes a failure to standard error.
pub(crate) fn complain(message: &str, hint: Option<&str>) {
    let painted = colours(io::stderr().is_terminal());
    let mut text = format!("{} {message}\n", paint(painted, Colour::Red, "error:"));
    if let Some(hint) = hint {
        text = format!("{text}{} {hint}\n", paint(painted, Colour::Yellow, "hint:"));
    }
    // Where standard error is closed nobody listens.
    let _closed = io::stderr().write_all(text.as_bytes());
}

fn paint(painted: bool, colour: Colour, text: &str) -> String {
    let code = match colour {
        Colour::Red => 31,
        Colour::Green => 32,
        Colour::Yellow => 33,
        Colour::Dim => 2,
    };
    if painted {
        format!("\x1b[{code}m{text}\x1b[0m")
    } else {
        text.to_owned()
    }
}

/// Standard output in the form that the command line asks for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Terminal {
    format: Format,
    painted: bool,
}

#[expect(
    clippy::unused_self,
    reason = "whoever writes holds the terminal: its form is settled before the first line"
)]
impl Terminal {
    /// Writes in `format` from here on.
    pub(crate) fn new(format: Format) -> Self {
        Self {
            format,
            painted: format == Format::Text && colours(io::stdout().is_terminal()),
        }
    }

    /// Says whether a program reads the output.
    pub(crate) fn is_json(self) -> bool {
        self.format == Format::Json
    }

    /// Says whether a progress bar would be seen: standard error is a terminal and a person reads.
    pub(crate) fn has_bars(self) -> bool {
        !self.is_json() && io::stderr().is_terminal()
    }

    /// Colours `text` where colours are wanted.
    pub(crate) fn paint(self, colour: Colour, text: impl Display) -> String {
        paint(self.painted, colour, &text.to_string())
    }

    /// Writes a line for a person.
    pub(crate) fn line(self, text: impl Display) -> io::Result<()> {
        let mut out = io::stdout().lock();
        writeln!(out, "{text}")?;
        out.flush()
    }

    /// Writes one JSON document: indented, for a command that ends with it.
    pub(crate) fn document(self, value: &impl Serialize) -> io::Result<()> {
        let mut out = io::stdout().lock();
        serde_json::to_writer_pretty(&mut out, value)?;
        writeln!(out)?;
        out.flush()
    }

    /// Writes one JSON document on one line, for a command that goes on.
    pub(crate) fn event(self, value: &impl Serialize) -> io::Result<()> {
        let mut out = io::stdout().lock();
        serde_json::to_writer(&mut out, value)?;
        writeln!(out)?;
        out.flush()
    }
}

/// Lays `rows` out in columns as wide as their widest cell, two spaces apart; the first row is the heading.
pub(crate) fn table(rows: &[Vec<String>]) -> String {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let widths: Vec<usize> = (0..columns)
        .map(|column| {
            rows.iter()
                .filter_map(|row| row.get(column))
                .map(|cell| cell.chars().count())
                .max()
                .unwrap_or(0)
        })
        .collect();
    let lines: Vec<String> = rows
        .iter()
        .map(|row| {
            let cells: Vec<String> = row
                .iter()
                .zip(&widths)
                .map(|(cell, width)| format!("{cell:<width$}"))
                .collect();
            cells.join("  ").trim_end().to_owned()
        })
        .collect();
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_aligns_its_columns() {
        let rows = [["model", "w"], ["iris", "-"], ["wine-quality", "10%"]]
            .map(|row| row.map(str::to_owned).to_vec());
        expect_test::expect![[r"
            model         w
            iris          -
            wine-quality  10%"]]
        .assert_eq(&table(&rows));
    }
}
