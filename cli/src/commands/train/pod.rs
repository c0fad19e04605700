//! A training run in a Pod of a Job: the request comes as `AURORA_REQUEST`, the result goes to the run's folder and to the
//! container's termination log. Where a container of somebody else fits, one before it prepares its rows (`--prepare`), and
//! one after it publishes what it left (`--publish`).
//!
//! The exit code says what the Job does: 0 it is published, or was there; 2 and 3 the request or the data is at fault, and
//! would be again; 1 it may be tried again. SIGTERM ends it at once with 143: a version appears whole or not at all.

use std::env;
use std::path::Path;
use std::process::ExitCode;

use registry::run::{Ending, RunRequest, RunResult};
use registry::{METADATA_BYTES_MAX, Store};

use super::TrainArguments;
use super::code;
use crate::clock;
use crate::failure::{Failure, NO};
use crate::termination::{BYTES_MAX, TerminationArguments, start};

/// The variable that holds what is asked, as JSON: the content of a run's `request.json`.
const REQUEST: &str = "AURORA_REQUEST";

/// Returns what the variable asks; `None` where there is none.
pub(super) fn asked() -> Option<Result<RunRequest, Failure>> {
    let given = env::var_os(REQUEST).filter(|given| !given.is_empty())?;
    Some(read(given.as_encoded_bytes()))
}

fn read(json: &[u8]) -> Result<RunRequest, Failure> {
    if json.len() as u64 > METADATA_BYTES_MAX {
        return Err(Failure::new(format!(
            "{REQUEST} has more than {METADATA_BYTES_MAX} bytes"
        )));
    }
    serde_json::from_slice(json).map_err(|error| Failure::new(format!("{REQUEST} asks for no run: {error}")))
}

/// What of a run is done here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Part<'a> {
    /// All of it.
    Whole,
    /// The rows of a fit by somebody else are written into this folder.
    Prepare(&'a Path),
    /// What such a fit left in this folder is published.
    Publish(&'a Path),
}

/// Trains what is asked, and says how that ended.
pub(super) fn run(
    request: Result<RunRequest, Failure>,
    part: Part<'_>,
    arguments: &TrainArguments,
) -> Result<ExitCode, Failure> {
    let termination = &arguments.termination;
    let request = request.inspect_err(|failure| say(termination, refused(failure)))?;
    match part.run(&request, arguments) {
        Ok(Some(ending)) => {
            let code = code(&ending);
            say(termination, ending);
            Ok(code)
        }
        // The rows are handed over: how the run ends, the last container says.
        Ok(None) => Ok(ExitCode::SUCCESS),
        // The volume, not the request: another Pod may find it in order.
        Err(failure) => Ok(broke_off(failure, termination)),
    }
}

/// Says what another Pod may be spared.
pub(super) fn broke_off(failure: Failure, termination: &TerminationArguments) -> ExitCode {
    let message = failure.message().to_owned();
    say(termination, Ending::Transient { message });
    let _reported = failure.report();
    ExitCode::from(NO)
}

/// Says in words of a run what a failure is that no other Pod would be spared.
fn refused(failure: &Failure) -> Ending {
    Ending::Refused {
        message: failure.message().to_owned(),
    }
}

impl Part<'_> {
    /// Does it; returns how the run ended, if it has.
    fn run(self, request: &RunRequest, arguments: &TrainArguments) -> Result<Option<Ending>, Failure> {
        let folder = Store::open(&request.registry)?.ensure_run(&request.model, &request.version)?;
        // Nothing of an attempt before is found beside this one.
        folder.begin(request)?;
        let path = folder.request_path();
        match self {
            Self::Whole => {
                let means = arguments.means(&[])?;
                let ending = trainer::run_file(&path, &means, &mut |_progress| {}, &clock::now)?;
                Ok(Some(ending))
            }
            Self::Publish(made) => {
                let ending = trainer::publish_file(
                    &path,
                    made,
                    &arguments.onnx_runtime.engines(),
                    &mut |_progress| {},
                    &clock::now,
                )?;
                Ok(Some(ending))
            }
            Self::Prepare(rows) => match trainer::prepare(request, rows) {
                Ok(()) => Ok(None),
                Err(ending) => {
                    folder.write_result(&RunResult {
                        at: clock::now(),
                        ending: ending.clone(),
                    })?;
                    Ok(Some(ending))
                }
            },
        }
    }
}

fn say(termination: &TerminationArguments, ending: Ending) {
    let result = RunResult {
        at: clock::now(),
        ending,
    };
    termination.write(&last_words(result));
}

/// Renders a result as one line of JSON that a Pod's status takes: a message that is too long is cut, and metrics that are too
/// many are left to `result.json`.
fn last_words(mut result: RunResult) -> String {
    loop {
        let words =
            serde_json::to_string(&result).expect("invariant: a result has text keys and cannot fail");
        if words.len() <= BYTES_MAX {
            return words;
        }
        match &mut result.ending {
            Ending::Refused { message } | Ending::Transient { message } => {
                let shorter = start(message, message.len() / 2).len();
                message.truncate(shorter);
            }
            Ending::Published { metrics, .. } => metrics.clear(),
            Ending::SameInputs => return words,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn last_words_are_a_whole_result_that_fits() {
        let at = clock::now();
        let many = (0..200).map(|n| (format!("metric-{n}-{}", "x".repeat(30)), 0.5));
        let digest = planner::names::Digest::of(b"");
        for ending in [
            Ending::SameInputs,
            Ending::Refused {
                message: "short".to_owned(),
            },
            Ending::Refused {
                message: "\u{1}\"é".repeat(3000),
            },
            Ending::Published {
                digest,
                metrics: many.collect(),
            },
            Ending::Published {
                digest,
                metrics: [("r2".to_owned(), 0.5)].into(),
            },
        ] {
            let words = last_words(RunResult {
                at,
                ending: ending.clone(),
            });
            assert!(words.len() <= BYTES_MAX, "{} bytes", words.len());
            let read: RunResult = serde_json::from_str(&words).unwrap();
            match (read.ending, ending) {
                (Ending::Refused { message: read }, Ending::Refused { message }) => {
                    assert!(message.starts_with(&read) && !read.is_empty());
                    assert!(message.len() > 100 || message == read);
                }
                (Ending::Published { metrics: read, .. }, Ending::Published { metrics, .. }) => {
                    assert!(read == metrics || metrics.len() > 100);
                }
                (read, ending) => assert_eq!(read, ending),
            }
        }
    }

    #[test]
    fn what_is_no_request_is_refused() {
        let long = " ".repeat(usize::try_from(METADATA_BYTES_MAX).unwrap() + 1);
        for (json, told) in [
            ("{}", "missing field"),
            ("", "EOF"),
            ("[1]", "asks for no run"),
            (long.as_str(), "more than 1048576 bytes"),
        ] {
            let refused = read(json.as_bytes()).expect_err("refused");
            assert!(refused.message().contains(told), "{}", refused.message());
        }
    }
}
