//! What the control plane shows of the environment: the data directory's files, so it needs no loop to be alive.

use std::path::PathBuf;

use serde_json::{Value, json};
use server::StatusSource;

use crate::commands::status;
use crate::view::View;

/// The status kept in one data directory.
#[derive(Debug)]
pub(crate) struct StatusFiles {
    data_dir: PathBuf,
}

impl StatusFiles {
    /// Shows what `data_dir` holds.
    pub(crate) fn new(data_dir: PathBuf) -> Self {
        Self { data_dir }
    }
}

impl StatusSource for StatusFiles {
    fn status(&self) -> Value {
        View::read(&self.data_dir).map_or_else(
            |error| {
                tracing::warn!(%error, "the status files cannot be read");
                let mut empty = View::default().to_json();
                empty["error"] = json!(format!("the status files cannot be read: {error}"));
                empty
            },
            |view| view.to_json(),
        )
    }

    fn age_seconds(&self) -> Option<f64> {
        status::age(&self.data_dir).map(|age| age.as_secs_f64())
    }
}
