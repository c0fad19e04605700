//! The list that cargo-mutants makes, and how one of it changes a file.

use std::fmt;
use std::io::ErrorKind;
use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result, bail};
use serde::Deserialize;

/// What to do where the program is missing.
const INSTALL: &str = "no cargo-mutants: install it with `cargo install cargo-mutants --locked`";

/// One small change of the code.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
pub(super) struct Mutant {
    /// File, line, column and what is changed, in words.
    pub(super) name: String,
    /// The crate that it lies in.
    pub(super) package: String,
    /// Path of the file from the root.
    pub(super) file: String,
    span: Span,
    replacement: String,
}

/// Where the replaced text begins and where it has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
struct Span {
    start: Position,
    end: Position,
}

/// Both count from 1, the column in characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
struct Position {
    line: usize,
    column: usize,
}

impl Mutant {
    /// Returns the file's text with the change; [`None`] where the text is not the one that was listed.
    pub(super) fn apply(&self, text: &str) -> Option<String> {
        let before = text.get(..self.span.start.offset(text)?)?;
        let after = text.get(self.span.end.offset(text)?..)?;
        Some(format!("{before}{}{after}", self.replacement))
    }
}

impl fmt::Display for Mutant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)
    }
}

impl Position {
    /// Returns the place in bytes.
    fn offset(self, text: &str) -> Option<usize> {
        let line = text.split_inclusive('\n').nth(self.line.checked_sub(1)?)?;
        let begin = line.as_ptr() as usize - text.as_ptr() as usize;
        let before = self.column.checked_sub(1)?;
        let mut places = line.char_indices().map(|(place, _)| place).chain([line.len()]);
        Some(begin + places.nth(before)?)
    }
}

/// Lists the mutants of `crates`, of the files that match `files` if any are given, in the order of their names.
///
/// What only tests use is left out, and so is what `is_left_out` says of a path.
pub(super) fn list(
    root: &Path,
    crates: &[&str],
    files: &[String],
    is_left_out: impl Fn(&str) -> bool,
) -> Result<Vec<Mutant>> {
    let mut command = Command::new("cargo-mutants");
    command.args(["mutants", "--list", "--json", "--no-config"]);
    for name in crates {
        command.args(["--package", name]);
    }
    for file in files {
        command.args(["--file", file]);
    }
    let listed = match command.current_dir(root).output() {
        Err(error) if error.kind() == ErrorKind::NotFound => bail!(INSTALL),
        listed => listed.context("start cargo-mutants")?,
    };
    if !listed.status.success() {
        bail!(
            "cargo-mutants: {}",
            String::from_utf8_lossy(&listed.stderr).trim()
        );
    }
    let mut mutants: Vec<Mutant> =
        serde_json::from_slice(&listed.stdout).context("read the list of cargo-mutants")?;
    mutants.retain(|mutant| !mutant.file.contains("/tests/") && !is_left_out(&mutant.file));
    mutants.sort();
    Ok(mutants)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mutant(start: (usize, usize), end: (usize, usize), replacement: &str) -> Mutant {
        let position = |(line, column)| Position { line, column };
        Mutant {
            name: "a".to_owned(),
            package: "a".to_owned(),
            file: "a/src/lib.rs".to_owned(),
            span: Span {
                start: position(start),
                end: position(end),
            },
            replacement: replacement.to_owned(),
        }
    }

    #[test]
    fn a_span_of_characters_is_replaced() {
        let text = "fn é() -> u8 {\n    1 + 2\n}\n";
        let cases = [
            ((2, 7), (2, 8), "-", Some("fn é() -> u8 {\n    1 - 2\n}\n")),
            ((1, 4), (1, 5), "e", Some("fn e() -> u8 {\n    1 + 2\n}\n")),
            ((1, 14), (3, 2), "{ 0 }", Some("fn é() -> u8 { 0 }\n")),
            ((2, 5), (2, 10), "", Some("fn é() -> u8 {\n    \n}\n")),
            ((9, 1), (9, 2), "", None),
            ((2, 5), (2, 40), "", None),
            ((0, 1), (1, 1), "", None),
        ];
        for (start, end, replacement, expected) in cases {
            let changed = mutant(start, end, replacement).apply(text);
            assert_eq!(changed.as_deref(), expected, "{start:?} {end:?}");
        }
    }
}
