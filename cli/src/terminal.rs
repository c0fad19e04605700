//! The one place that writes what a command says to standard output and standard error.
//!
//! Owns colours (only on a terminal, never with `NO_COLOR`), the two output forms, and the escape of what others wrote:
//! a [`Line`] is one line whatever its texts hold. A reader that is gone is no error and stops nothing; that the output
//! cannot be written for another reason, a full disk, comes back as one.

mod line;
mod printer;

use std::env;
use std::fmt::Write as _;
use std::io::{self, IsTerminal as _, Write as _};
use std::sync::atomic::{AtomicBool, Ordering};

use planner::Timestamp;
use planner::shown::{escape, is_plain};
use serde::Serialize;

use crate::answers::{ErrorAnswer, ErrorMembers};
use crate::arguments::Format;
use crate::clock;
use crate::failure::ERROR;
use crate::logging;

pub(crate) use line::{Colour, Line, painted, table};
pub(crate) use printer::{Heard, Printer, Sink};

/// Whether the reader of standard output is gone: then nothing more is written to it.
static IS_UNREAD: AtomicBool = AtomicBool::new(false);

/// Says whether colours are wanted on a stream that is a terminal or not.
pub(crate) fn colours(is_terminal: bool) -> bool {
    is_terminal && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}

/// Writes a failure to standard error: as an event where the output is a log in JSON. A program that asked for a document gets
/// one on standard output besides.
pub(crate) fn complain(message: &str, details: Vec<Line>, hint: Option<&str>) {
    let plain = |details: &[Line]| -> Vec<String> { details.iter().map(|line| line.render(false)).collect() };
    if logs_json() {
        let details = plain(&details);
        let value =
            serde_json::json!({ "event": "error", "message": message, "details": details, "hint": hint });
        logging::say(event(&at(clock::now(), value)));
        return;
    }
    answer_error(message, plain(&details), hint);
    let is_painted = colours(io::stderr().is_terminal());
    let first = painted(Colour::Red, "error:").and(format!(" {message}"));
    let hint = hint.map(|hint| painted(Colour::Yellow, "hint:").and(format!(" {hint}")));
    let text: String = std::iter::once(first)
        .chain(details)
        .chain(hint)
        .map(|line| line.render(is_painted) + "\n")
        .collect();
    logging::say(text);
}

/// Answers with an error where a document was asked for. That it cannot be written is no news beside it.
pub(crate) fn answer_error(message: &str, details: Vec<String>, hint: Option<&str>) {
    if !asks_json() {
        return;
    }
    let error = ErrorMembers {
        message,
        details,
        hint,
        code: ERROR,
    };
    let _written = Terminal::new(Format::Json)
        .lined()
        .document(&ErrorAnswer { error });
}

/// Standard output in the form that the command line asks for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Terminal {
    format: Format,
    is_painted: bool,
    is_lined: bool,
    is_yaml: bool,
}

impl Terminal {
    /// Writes in `format` from here on.
    pub(crate) fn new(format: Format) -> Self {
        Self {
            format,
            is_painted: format == Format::Text && colours(io::stdout().is_terminal()),
            is_lined: false,
            is_yaml: false,
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

    /// Renders a line for a person, with its line end.
    pub(crate) fn render(self, line: impl Into<Line>) -> String {
        line.into().render(self.is_painted) + "\n"
    }

    /// Writes a line for a person.
    pub(crate) fn line(self, line: impl Into<Line>) -> io::Result<()> {
        write(&self.render(line))
    }

    /// Writes lines for a person.
    pub(crate) fn lines(self, lines: impl IntoIterator<Item = Line>) -> io::Result<()> {
        let lines: String = lines.into_iter().map(|line| self.render(line)).collect();
        write(&lines)
    }

    /// Writes a text of several lines, each of which is escaped. Whoever made it let no value bring a line of its own.
    pub(crate) fn text(self, text: &str) -> io::Result<()> {
        self.lines(text.lines().map(Line::from))
    }

    /// Writes a text of our own, which no value of anybody else's is in, as it is.
    #[expect(
        clippy::unused_self,
        reason = "whoever writes holds the terminal: its form is settled before the first line"
    )]
    pub(crate) fn verbatim(self, text: &str) -> io::Result<()> {
        write(text)
    }

    /// Writes lines of a file's own values: as they are for whoever reads a file, escaped for a person's terminal.
    #[expect(
        clippy::unused_self,
        reason = "whoever writes holds the terminal: its form is settled before the first line"
    )]
    pub(crate) fn records(self, text: &str) -> io::Result<()> {
        if io::stdout().is_terminal() {
            write(&escape_lines(text))
        } else {
            write(text)
        }
    }

    /// Writes one document: indented, for a command that ends with it, else on a line of its own; of several in YAML each
    /// has its mark before it.
    pub(crate) fn document(self, value: &impl Serialize) -> io::Result<()> {
        if self.is_yaml {
            let mark = if self.is_lined { "---\n" } else { "" };
            return write(&format!("{mark}{}", yaml(&serde_json::to_value(value)?)));
        }
        if self.is_lined {
            return write(&event(&serde_json::to_value(value)?));
        }
        write(&(plain_json(serde_json::to_string_pretty(value)?) + "\n"))
    }

    /// Returns it for documents in YAML.
    pub(crate) fn yaml(self) -> Self {
        Self {
            is_yaml: true,
            ..self
        }
    }

    /// Returns it for a command that goes on: each document on a line of its own.
    pub(crate) fn lined(self) -> Self {
        Self {
            is_lined: true,
            ..self
        }
    }
}

/// Says lines on standard output without waiting for that: for processes that serve, whose output stops nothing.
#[derive(Debug, Clone)]
pub(crate) struct Announcer {
    terminal: Terminal,
    out: Printer<String>,
}

impl Announcer {
    /// Starts the thread that writes.
    pub(crate) fn new(terminal: Terminal) -> io::Result<Self> {
        let is_json = terminal.is_json();
        let mut sink = Sink::stdout();
        let out = Printer::start("output", move |heard| {
            let text = match heard {
                Heard::Said(text) => text,
                Heard::Missed(lines) => missed(is_json, lines),
            };
            sink.write(&text, |lines| missed(is_json, lines));
        })?;
        Ok(Self { terminal, out })
    }

    /// Says lines for a person, or an event for a program.
    pub(crate) fn say(
        &self,
        lines: impl IntoIterator<Item = String>,
        event: impl FnOnce() -> serde_json::Value,
    ) {
        let text = if self.terminal.is_json() {
            self::event(&event())
        } else {
            lines.into_iter().map(|line| self.terminal.render(line)).collect()
        };
        let (bytes, count) = (text.len(), text.lines().count());
        self.out
            .say(text, bytes, u64::try_from(count).unwrap_or(u64::MAX));
    }

    /// Waits until all of it is written, for a moment.
    pub(crate) fn flush(&self) {
        let _is_written = self.out.flush(logging::END);
    }
}

/// Renders the count of lines that were dropped.
pub(crate) fn missed(is_json: bool, lines: u64) -> String {
    if is_json {
        event(&serde_json::json!({ "event": "missed", "lines": lines }))
    } else {
        format!("… {lines} lines not shown\n")
    }
}

/// The commands that go on, whose output is a log.
const LOGGING: [&str; 3] = ["up", "serve", "control-plane"];

/// Says whether this process's output is a log in JSON.
pub(crate) fn logs_json() -> bool {
    let command = env::args_os().nth(1);
    let goes_on = command.is_some_and(|command| LOGGING.iter().any(|logging| command == *logging));
    goes_on && asks_json()
}

/// Says whether the output is to be documents: known also where the rest of the command line is wrong.
fn asks_json() -> bool {
    let mut words = env::args_os()
        .skip(1)
        .map(|word| word.to_string_lossy().into_owned());
    let mut form = env::var("AURORA_OUTPUT").ok();
    while let Some(word) = words.next() {
        let given = word.strip_prefix("--output").or_else(|| word.strip_prefix("-o"));
        match given {
            Some("") => form = words.next(),
            Some(given) if word.starts_with("--") => {
                form = given.strip_prefix('=').map(str::to_owned).or(form);
            }
            Some(given) => form = Some(given.trim_start_matches('=').to_owned()),
            None => {}
        }
    }
    // An error in JSON is one in YAML too.
    matches!(form.as_deref(), Some("json" | "yaml"))
}

/// Adds when it happened to an event.
pub(crate) fn at(now: Timestamp, mut event: serde_json::Value) -> serde_json::Value {
    if let Some(event) = event.as_object_mut() {
        event.insert("at".to_owned(), time(now).into());
    }
    event
}

/// Returns a time as logs have it: with date and zone.
pub(crate) fn time(now: Timestamp) -> String {
    now.format("%FT%TZ").to_string()
}

/// Renders one JSON document on one line, with its line end, for a command that goes on.
pub(crate) fn event(value: &serde_json::Value) -> String {
    plain_json(value.to_string()) + "\n"
}

/// Writes what JSON leaves as it is and a terminal may obey as JSON's own escapes: the data stay the same.
pub(crate) fn plain_json(text: String) -> String {
    let is_kept = |character: char| character == '\n' || is_plain(character);
    if text.chars().all(is_kept) {
        return text;
    }
    let mut out = String::with_capacity(text.len() + 16);
    for character in text.chars() {
        if is_kept(character) {
            out.push(character);
        } else {
            let mut units = [0; 2];
            for unit in character.encode_utf16(&mut units) {
                // Writing into a string cannot fail.
                let _written = write!(out, "\\u{unit:04x}");
            }
        }
    }
    out
}

/// Renders a value as YAML. What a terminal may obey can stand there only escaped, which YAML allows in quotes alone: then all of
/// it is written as JSON is, which YAML reads too.
fn yaml(value: &serde_json::Value) -> String {
    let is_kept = |character: char| character == '\n' || is_plain(character);
    let text = serde_yaml::to_string(value).expect("invariant: a JSON value is YAML");
    if text.chars().all(is_kept) {
        return text;
    }
    let mut out = String::with_capacity(text.len());
    for character in format!("{value:#}\n").chars() {
        if is_kept(character) {
            out.push(character);
        } else {
            // Writing into a string cannot fail.
            let _written = write!(out, "\\U{:08x}", u32::from(character));
        }
    }
    out
}

/// Writes to standard output, unless its reader is gone.
fn write(text: &str) -> io::Result<()> {
    if IS_UNREAD.load(Ordering::Relaxed) {
        return Ok(());
    }
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {
            IS_UNREAD.store(true, Ordering::Relaxed);
            Ok(())
        }
        Err(error) => Err(io::Error::new(
            error.kind(),
            format!("cannot write the output: {error}"),
        )),
        Ok(()) => Ok(()),
    }
}

/// Escapes a text of several lines, each for itself.
pub(crate) fn escape_lines(text: &str) -> String {
    let lines: Vec<_> = text.split('\n').map(escape).collect();
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn json_keeps_its_data_and_nothing_that_a_terminal_obeys() {
        let value = json!({ "message": "a\u{9b}31m\u{202e}b\n\u{1b}[0m \u{e0041} Zürich" });
        let text = event(&value);
        assert_eq!(
            text,
            "{\"message\":\"a\\u009b31m\\u202eb\\n\\u001b[0m \\udb40\\udc41 Zürich\"}\n"
        );
        assert_eq!(serde_json::from_str::<serde_json::Value>(&text).unwrap(), value);
    }

    #[test]
    fn yaml_keeps_its_data_and_nothing_that_a_terminal_obeys() {
        for (message, expected) in [
            ("a: b", "message: \"a: b\"\n"),
            ("yes", "message: \"yes\"\n"),
            ("Zürich", "message: Zürich\n"),
            ("a\u{1b}[31m", "message: \"a\\e[31m\"\n"),
            (
                "a\u{202e}b\u{9b}\u{e0041} Zürich",
                "{\n  \"message\": \"a\\U0000202eb\\U0000009b\\U000e0041 Zürich\"\n}\n",
            ),
        ] {
            let value = json!({ "message": message });
            let text = yaml(&value);
            assert_eq!(text, expected);
            assert_eq!(serde_yaml::from_str::<serde_json::Value>(&text).unwrap(), value);
        }
    }
}
