//! Windows: when a commit may raise what a version is exposed to.
//!
//! A window begins at each slot of its schedule and lasts a span of elapsed time, whatever the wall clock does meanwhile:
//! eight hours from midnight end at 07:00 or 09:00 on the nights when clocks change. The next slots and ends are instants,
//! so that who waits for one needs no clock of its own zone.

#[cfg(test)]
mod tests;

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::Timestamp;
use crate::schedule::Schedule;
use crate::span::Span;

/// How many edges are looked at for the moment from which on raises are allowed again. Windows that overlap for longer
/// are told without it.
const EDGES_MAX: usize = 200;

/// What an environment says of a time of the week or the year.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Window {
    /// Whether raises are allowed in it, and at no time outside such windows, or refused.
    pub kind: WindowKind,
    /// When it begins.
    pub schedule: Schedule,
    /// How long it lasts.
    pub duration: Span,
    /// Why it is there, for people.
    pub reason: Option<String>,
}

/// What a window does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum WindowKind {
    /// Raises are allowed in it. Where an environment has such windows, they are allowed at no other time.
    Allow,
    /// Raises are refused in it, also inside a window that allows them.
    Deny,
}

impl WindowKind {
    /// Returns the name that a manifest gives it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Allow => "Allow",
            Self::Deny => "Deny",
        }
    }
}

/// Why no raise is allowed at an instant.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Closed {
    /// In words, for a person: the window that refuses, or that none of those that allow is open.
    pub why: String,
    /// The first instant at which raises are allowed again, as far as that is known.
    pub until: Option<Timestamp>,
}

impl Window {
    /// Says whether an instant lies in it: from a beginning on, up to and without the end.
    pub fn is_open(&self, at: Timestamp) -> bool {
        self.end(at).is_some_and(|end| at < end)
    }

    /// Returns the end of the newest slot at or before an instant.
    fn end(&self, at: Timestamp) -> Option<Timestamp> {
        // An older slot ends before the newest does: all last equally long.
        Some(self.schedule.newest_until(at)? + self.duration.duration())
    }

    /// Returns the first instant after `at` at which it may open or close.
    fn edge_after(&self, at: Timestamp) -> Option<Timestamp> {
        let end = self.end(at).filter(|end| *end > at);
        self.schedule.next_after(at).into_iter().chain(end).min()
    }
}

/// Returns why no raise is allowed at an instant; `None` where it is.
pub fn closed(windows: &[Window], at: Timestamp) -> Option<Closed> {
    let why = refused(windows, at)?;
    let mut until = at;
    for _ in 0..EDGES_MAX {
        let Some(edge) = next_edge(windows, until) else {
            break;
        };
        until = edge;
        if refused(windows, until).is_none() {
            let until = Some(until);
            return Some(Closed { why, until });
        }
    }
    Some(Closed { why, until: None })
}

/// Returns the first instant after `at` at which one of them may open or close.
pub fn next_edge(windows: &[Window], at: Timestamp) -> Option<Timestamp> {
    windows.iter().filter_map(|window| window.edge_after(at)).min()
}

/// Says why no raise is allowed at an instant: a window that refuses wins over one that allows.
fn refused(windows: &[Window], at: Timestamp) -> Option<String> {
    let of = |kind| windows.iter().filter(move |window| window.kind == kind);
    if let Some(window) = of(WindowKind::Deny).find(|window| window.is_open(at)) {
        return Some(format!("window {window} is open"));
    }
    let mut allowing = of(WindowKind::Allow);
    let first = allowing.next()?;
    if first.is_open(at) || allowing.any(|window| window.is_open(at)) {
        return None;
    }
    Some(match of(WindowKind::Allow).count() {
        1 => format!("window {first} is not open"),
        count => format!("none of {count} windows that allow raises is open, the first being {first}"),
    })
}

impl fmt::Display for Window {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = self.schedule.text();
        write!(
            f,
            "{} `{}` {} for {}",
            self.kind.as_str(),
            text.cron,
            text.time_zone,
            self.duration
        )?;
        match &self.reason {
            Some(reason) => write!(f, " ({reason})"),
            None => Ok(()),
        }
    }
}

impl fmt::Display for Closed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.why)?;
        match self.until {
            Some(until) => write!(f, "; raises are allowed from {} UTC on", until.format("%F %R")),
            None => Ok(()),
        }
    }
}
