//! How a command fails: what went wrong, what to do about it, and the exit code.
//!
//! Owns the last line that a person reads. Must never hold a secret: errors of inner crates are printed as they are.

use std::error::Error;
use std::path::Path;
use std::process::ExitCode;

use reconciler::FirstError;
use registry::artifact::LoadError;
use registry::{Damage, Shortage, StoreError};
use standalone::StartError;

use crate::findings::marks;
use crate::terminal::{self, Line};

/// Exit code of a command that did what it was asked.
pub(crate) const DONE: u8 = 0;
/// Exit code of a command that worked and whose answer is "no": findings, damage, changes in a plan.
pub(crate) const NO: u8 = 1;
/// Exit code of a command that could not do what it was asked; also clap's for a wrong command line.
pub(crate) const ERROR: u8 = 2;
/// Exit code of a training run whose inputs are at fault.
pub(crate) const REFUSED: u8 = 3;

/// Why a command could not do what it was asked.
#[derive(Debug)]
pub(crate) struct Failure {
    message: String,
    /// What there is to say besides, a line each.
    details: Vec<Line>,
    hint: Option<String>,
}

impl Failure {
    /// Fails with `message`, a lower-case fragment.
    pub(crate) fn new(message: impl Into<String>) -> Self {
        Self {
            message: message.into(),
            details: Vec::new(),
            hint: None,
        }
    }

    /// Takes what an error says, with all that caused it.
    pub(crate) fn of(error: &dyn Error) -> Self {
        Self::new(chain(error))
    }

    /// Adds what to do about it.
    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Leaves word of it in a data directory, for whoever looks there while nothing runs.
    pub(crate) fn leave_in(self, data_dir: &Path) -> Self {
        let first = self
            .details
            .first()
            .map(|line| format!(" {}", line.render(false)));
        let left = crds::view::Failure {
            message: format!("{}{}", self.message, first.unwrap_or_default()),
            hint: self.hint.clone().unwrap_or_default(),
        };
        if let Err(error) = standalone::leave_failure(data_dir, &left) {
            tracing::debug!(%error, "no word of a failure is left in the data directory");
        }
        self
    }

    /// Returns what went wrong.
    pub(crate) fn message(&self) -> &str {
        &self.message
    }

    /// Returns what to do about it; empty where nothing is known.
    pub(crate) fn advice(&self) -> &str {
        self.hint.as_deref().unwrap_or_default()
    }

    /// Says on standard error what went wrong and returns the exit code.
    pub(crate) fn report(self) -> ExitCode {
        terminal::complain(&self.message, self.details, self.hint.as_deref());
        ExitCode::from(ERROR)
    }
}

/// Takes an inner crate's error with all that caused it.
impl<E: Error + 'static> From<E> for Failure {
    fn from(error: E) -> Self {
        let error_as: &dyn Error = &error;
        let first = match error_as.downcast_ref() {
            Some(StartError::First(first)) => Some(first),
            _ => error_as.downcast_ref::<FirstError>(),
        };
        match first {
            // The one error that brings findings.
            Some(FirstError::Environment {
                environment,
                revision,
                findings,
            }) => Self {
                details: marks(findings),
                ..Self::new(format!(
                    "environment {environment} cannot start at {}:",
                    revision.short()
                ))
            },
            _ => match unsaid(&error) {
                Some(shortage) => Self::new(chain(&error)).hint(shortage.to_string()),
                None => Self::new(chain(&error)),
            },
        }
    }
}

/// Returns the limit that an error of the operating system says is reached, where nothing in its words says so yet.
fn unsaid(error: &(dyn Error + 'static)) -> Option<Shortage> {
    let mut cause = Some(error);
    while let Some(error) = cause {
        if let Some(shortage) = error.downcast_ref().and_then(Shortage::of_start) {
            return Some(shortage);
        }
        cause = error.source();
    }
    None
}

/// Returns the limit that is reached, where an error of a registry is no more than that.
pub(crate) fn shortage(error: &(dyn Error + 'static)) -> Option<Shortage> {
    let of_damage = |damage: &Damage| match damage {
        Damage::Unreadable(error) => error.shortage(),
        _ => None,
    };
    let of_load = |error: &LoadError| match error {
        LoadError::Store(error) => error.shortage(),
        _ => None,
    };
    let of_store = error.downcast_ref().and_then(StoreError::shortage);
    of_store
        .or_else(|| error.downcast_ref().and_then(of_damage))
        .or_else(|| error.downcast_ref().and_then(of_load))
}

/// Adds words to a failure on its way up.
pub(crate) trait Context<T> {
    /// Puts `what` in front: what was being done.
    fn context(self, what: impl FnOnce() -> String) -> Result<T, Failure>;
    /// Adds what to do about it.
    fn hint(self, hint: impl FnOnce() -> String) -> Result<T, Failure>;
}

impl<T, E: Into<Failure>> Context<T> for Result<T, E> {
    fn context(self, what: impl FnOnce() -> String) -> Result<T, Failure> {
        self.map_err(|error| {
            let mut failure = error.into();
            failure.message = format!("{}: {}", what(), failure.message);
            failure
        })
    }

    fn hint(self, hint: impl FnOnce() -> String) -> Result<T, Failure> {
        self.map_err(|error| error.into().hint(hint()))
    }
}

/// Joins an error and its sources; a source whose words are already there is not said twice.
pub(crate) fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let words = error.to_string();
        if !text.contains(&words) {
            text.push_str(": ");
            text.push_str(&words);
        }
        cause = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("read {path}")]
    struct Outer {
        path: &'static str,
        #[source]
        source: io::Error,
    }

    #[test]
    fn a_failure_says_which_limit_is_reached() {
        let failed = |source| Failure::from(Outer { path: "here", source });
        let hint = failed(rustix::io::Errno::MFILE.into()).hint.unwrap();
        assert!(hint.contains("ulimit -n"), "{hint}");
        let hint = failed(rustix::io::Errno::AGAIN.into()).hint.unwrap();
        assert!(hint.contains("ulimit -u"), "{hint}");
        assert_eq!(failed(io::Error::other("no such luck")).hint, None);
    }

    #[test]
    fn a_failure_says_its_causes_once() {
        let outer = Outer {
            path: "here",
            source: io::Error::other("no such luck"),
        };
        assert_eq!(chain(&outer), "read here: no such luck");
        let failure: Result<(), Failure> = Err(outer).context(|| "open".to_owned());
        assert_eq!(
            failure.expect_err("it failed").message,
            "open: read here: no such luck"
        );
    }
}
