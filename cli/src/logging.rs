//! Structured logs on standard error, filtered by `AURORA_LOG`; by default only what a person must act on. Text where a
//! person reads them, which is on a terminal, and JSON elsewhere, unless `AURORA_LOG_FORMAT` says otherwise.
//!
//! They are written on a thread of their own: a standard error that nobody reads stops nothing. One event is one line,
//! whatever its fields hold.

mod json;

use std::backtrace::BacktraceStatus;
use std::io::{self, IsTerminal as _, Write};
use std::panic::PanicHookInfo;
use std::sync::OnceLock;
use std::time::Duration;

use planner::shown::escape;
use tracing::Level;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::MakeWriter;

use crate::clock;
use crate::terminal::{self, Colour, Heard, Line, Printer, Sink, painted};

/// The filter where `AURORA_LOG` is not set: what a person must act on. `info` tells each change.
const DEFAULT_FILTER: &str = "warn";
/// How long the end of the process waits for what is still to be written.
pub(crate) const END: Duration = Duration::from_secs(1);

/// Standard error, once something was said there; absent where there is no thread or descriptor left for it.
static STDERR: OnceLock<Option<Printer<String>>> = OnceLock::new();

/// How events are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    Text,
    Json,
}

impl Form {
    /// Returns the form that is asked for, or where that is none the one of a stream that is a terminal or not.
    fn of(asked: Option<&str>, is_terminal: bool) -> Result<Self, Self> {
        let default = if is_terminal { Self::Text } else { Self::Json };
        match asked {
            None | Some("") => Ok(default),
            Some("text") => Ok(Self::Text),
            Some("json") => Ok(Self::Json),
            Some(_) => Err(default),
        }
    }

    fn in_use() -> Result<Self, Self> {
        let asked = std::env::var_os("AURORA_LOG_FORMAT");
        let asked = asked.as_ref().map(|asked| asked.to_string_lossy());
        Self::of(asked.as_deref(), io::stderr().is_terminal())
    }
}

/// Starts logging. An `AURORA_LOG` that is no filter, and an `AURORA_LOG_FORMAT` that is none, count as the default, and that
/// is said.
pub(crate) fn start() {
    std::panic::set_hook(Box::new(panicked));
    let form = Form::in_use();
    let (filter, wrong) = match std::env::var("AURORA_LOG") {
        Ok(text) if !text.is_empty() => match EnvFilter::try_new(&text) {
            Ok(filter) => (filter, None),
            Err(error) => (EnvFilter::new(DEFAULT_FILTER), Some(error)),
        },
        Ok(_) | Err(_) => (EnvFilter::new(DEFAULT_FILTER), None),
    };
    let lines = Lines {
        form: form.unwrap_or_else(|default| default),
        is_painted: terminal::colours(io::stderr().is_terminal()),
    };
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(false)
        .with_target(false)
        .with_writer(lines);
    match lines.form {
        Form::Text => builder.init(),
        Form::Json => builder.event_format(json::Json).init(),
    }
    if form.is_err() {
        tracing::warn!("AURORA_LOG_FORMAT is neither `text` nor `json`");
    }
    if let Some(error) = wrong {
        tracing::warn!(%error, "AURORA_LOG is no filter such as `info` or `reconciler=debug`");
    }
}

/// Says whole lines on standard error, without waiting for that.
pub(crate) fn say(lines: String) {
    let printer = STDERR.get_or_init(|| {
        let mut sink = Sink::stderr().ok()?;
        let is_json = Form::in_use().unwrap_or_else(|default| default) == Form::Json;
        let missed = move |lines| terminal::missed(is_json, lines);
        let print = move |heard: Heard<String>| match heard {
            Heard::Said(lines) => sink.write(&lines, missed),
            Heard::Missed(lines) => sink.write(&missed(lines), missed),
        };
        Printer::start("log", print).ok()
    });
    match printer {
        Some(printer) => {
            let (bytes, count) = (lines.len(), lines.lines().count());
            printer.say(lines, bytes, u64::try_from(count).unwrap_or(u64::MAX));
        }
        // Without a thread, or a descriptor for it, it is said here, as well as it goes.
        None => drop(io::stderr().write_all(lines.as_bytes())),
    }
}

/// Waits until standard error has everything, for a moment.
pub(crate) fn flush() {
    if let Some(Some(printer)) = STDERR.get() {
        let _is_written = printer.flush(END);
    }
}

/// Says that our own invariant broke, where it did.
fn panicked(panic: &PanicHookInfo<'_>) {
    let thread = std::thread::current();
    let thread = thread.name().unwrap_or("unnamed");
    let text = format!("thread {thread} panicked: {panic}");
    let trace = std::backtrace::Backtrace::capture();
    let trace = (trace.status() == BacktraceStatus::Captured).then(|| trace.to_string());
    match Form::in_use().unwrap_or_else(|default| default) {
        Form::Text => {
            let mut lines = format!("{}\n", escape(&text));
            if let Some(trace) = trace {
                lines.push_str(&terminal::escape_lines(&trace));
                lines.push('\n');
            }
            say(lines);
        }
        Form::Json => {
            let fields = [("message", Some(text)), ("backtrace", trace)];
            let fields = fields.map(|(name, value)| (name.to_owned(), value.into()));
            let document = json::document(clock::now(), Level::ERROR, fields.into_iter().collect());
            say(terminal::plain_json(document) + "\n");
        }
    }
    // The process may end with this.
    flush();
}

/// Makes one line of each event.
#[derive(Debug, Clone, Copy)]
struct Lines {
    form: Form,
    is_painted: bool,
}

impl<'w> MakeWriter<'w> for Lines {
    type Writer = Self;

    fn make_writer(&'w self) -> Self {
        *self
    }
}

impl Write for Lines {
    /// Takes a whole event, which is how the subscriber writes.
    fn write(&mut self, event: &[u8]) -> io::Result<usize> {
        let text = String::from_utf8_lossy(event);
        let text = text.strip_suffix('\n').unwrap_or(&text);
        say(match self.form {
            Form::Text => paint(text).render(self.is_painted),
            Form::Json => terminal::plain_json(text.to_owned()),
        } + "\n");
        Ok(event.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Colours the level, which comes after the time.
fn paint(text: &str) -> Line {
    let Some((time, rest)) = text.split_once(' ') else {
        return Line::from(text);
    };
    let level = rest.trim_start().split(' ').next().unwrap_or_default();
    let colour = match level {
        "ERROR" => Colour::Red,
        "WARN" => Colour::Yellow,
        "INFO" => Colour::Green,
        _ => Colour::Dim,
    };
    let (level, rest) = rest.split_at(rest.len() - rest.trim_start().len() + level.len());
    painted(Colour::Dim, time)
        .and(" ")
        .painted(colour, level)
        .and(rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn people_get_text_and_programs_json_unless_told_otherwise() {
        for (asked, on_terminal, elsewhere) in [
            (None, Ok(Form::Text), Ok(Form::Json)),
            (Some(""), Ok(Form::Text), Ok(Form::Json)),
            (Some("text"), Ok(Form::Text), Ok(Form::Text)),
            (Some("json"), Ok(Form::Json), Ok(Form::Json)),
            (Some("JSON"), Err(Form::Text), Err(Form::Json)),
        ] {
            let formed = [Form::of(asked, true), Form::of(asked, false)];
            assert_eq!(formed, [on_terminal, elsewhere], "{asked:?}");
        }
    }

    #[test]
    fn an_event_is_one_line_with_a_coloured_level() {
        let line = paint("2026-11-28T08:00:00Z  WARN it\nis \x1b[2K so file=\"x\u{202e}\"");
        assert_eq!(
            line.render(false),
            "2026-11-28T08:00:00Z  WARN it\\nis \\u{1b}[2K so file=\"x\\u{202e}\""
        );
        assert!(line.render(true).contains("\x1b[33m WARN\x1b[0m it"));
    }
}
