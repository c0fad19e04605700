//! Structured logs on standard error, filtered by `AURORA_LOG`; by default only what a person must act on.
//!
//! They are written on a thread of their own: a standard error that nobody reads stops nothing. One event is one line,
//! whatever its fields hold.

use std::io::{self, IsTerminal as _, Write};
use std::panic::PanicHookInfo;
use std::sync::OnceLock;
use std::time::Duration;

use planner::shown::escape;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::MakeWriter;

use crate::terminal::{self, Colour, Heard, Line, Printer, Sink, painted};

/// The filter where `AURORA_LOG` is not set: what a person must act on. `info` tells each change.
const DEFAULT_FILTER: &str = "warn";
/// How long the end of the process waits for what is still to be written.
pub(crate) const END: Duration = Duration::from_secs(1);

/// Standard error, once something was said there; absent where there is no thread or descriptor left for it.
static STDERR: OnceLock<Option<Printer<String>>> = OnceLock::new();

/// Starts logging. An `AURORA_LOG` that is no filter counts as the default one, and that is said.
pub(crate) fn start() {
    std::panic::set_hook(Box::new(panicked));
    let (filter, wrong) = match std::env::var("AURORA_LOG") {
        Ok(text) if !text.is_empty() => match EnvFilter::try_new(&text) {
            Ok(filter) => (filter, None),
            Err(error) => (EnvFilter::new(DEFAULT_FILTER), Some(error)),
        },
        Ok(_) | Err(_) => (EnvFilter::new(DEFAULT_FILTER), None),
    };
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(false)
        .with_target(false)
        .with_writer(Lines {
            is_painted: terminal::colours(io::stderr().is_terminal()),
        })
        .init();
    if let Some(error) = wrong {
        tracing::warn!(%error, "AURORA_LOG is no filter such as `info` or `reconciler=debug`");
    }
}

/// Says whole lines on standard error, without waiting for that.
pub(crate) fn say(lines: String) {
    let printer = STDERR.get_or_init(|| {
        let mut sink = Sink::stderr().ok()?;
        let print = move |heard: Heard<String>| match heard {
            Heard::Said(lines) => write(&mut sink, &lines),
            Heard::Missed(lines) => write(&mut sink, &terminal::missed(false, lines)),
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

fn write(sink: &mut Sink, lines: &str) {
    sink.write(lines, |lost| terminal::missed(false, lost));
}

/// Says that our own invariant broke, where it did.
fn panicked(panic: &PanicHookInfo<'_>) {
    let thread = std::thread::current();
    let thread = thread.name().unwrap_or("unnamed");
    let text = format!("thread {thread} panicked: {panic}");
    let trace = std::backtrace::Backtrace::capture();
    let mut lines = format!("{}\n", escape(&text));
    if trace.status() == std::backtrace::BacktraceStatus::Captured {
        lines.push_str(&terminal::escape_lines(&format!("{trace}")));
        lines.push('\n');
    }
    say(lines);
    // The process may end with this.
    flush();
}

/// Makes one line of each event.
#[derive(Debug, Clone, Copy)]
struct Lines {
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
        say(paint(text).render(self.is_painted) + "\n");
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
    fn an_event_is_one_line_with_a_coloured_level() {
        let line = paint("2026-11-28T08:00:00Z  WARN it\nis \x1b[2K so file=\"x\u{202e}\"");
        assert_eq!(
            line.render(false),
            "2026-11-28T08:00:00Z  WARN it\\nis \\u{1b}[2K so file=\"x\\u{202e}\""
        );
        assert!(line.render(true).contains("\x1b[33m WARN\x1b[0m it"));
    }
}
