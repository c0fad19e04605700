//! Structured logs on standard error, filtered by `AURORA_LOG`; by default only what a person must act on.

use std::io::{self, IsTerminal as _};

use tracing_subscriber::EnvFilter;

use crate::terminal;

/// The filter where `AURORA_LOG` is not set: what a person must act on. `info` tells each change.
const DEFAULT_FILTER: &str = "warn";

/// Starts logging. An `AURORA_LOG` that is no filter counts as the default one, and that is said.
pub(crate) fn start() {
    let (filter, wrong) = match std::env::var("AURORA_LOG") {
        Ok(text) => match EnvFilter::try_new(&text) {
            Ok(filter) => (filter, None),
            Err(error) => (EnvFilter::new(DEFAULT_FILTER), Some(error)),
        },
        Err(_absent) => (EnvFilter::new(DEFAULT_FILTER), None),
    };
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(terminal::colours(io::stderr().is_terminal()))
        .with_target(false)
        .with_writer(io::stderr)
        .init();
    if let Some(error) = wrong {
        tracing::warn!(%error, "AURORA_LOG is no filter such as `info` or `reconciler=debug`");
    }
}
