//! What the control plane shows of the environment: the data directory's files, so it needs no loop to be alive.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use planner::finding::{Finding, Reason};
use server::{Known, StatusSource};

use crate::life;
use crate::view::Reader;

/// The status kept in one data directory.
#[derive(Debug)]
pub(crate) struct StatusFiles {
    data_dir: PathBuf,
    reader: Mutex<Reader>,
    trouble: Trouble,
}

/// What keeps the files from being written, and so cannot stand in them; cheap to clone.
#[derive(Debug, Clone, Default)]
pub(crate) struct Trouble(Arc<Mutex<Vec<String>>>);

impl Trouble {
    /// Takes what a pass found wrong with the storage, and forgets what the pass before found.
    pub(crate) fn found(&self, findings: &[Finding]) {
        let storage = findings
            .iter()
            .filter(|finding| finding.reason == Reason::StorageUnavailable)
            .map(ToString::to_string)
            .collect();
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = storage;
    }

    fn told(&self) -> Vec<String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl StatusFiles {
    /// Shows what `data_dir` holds.
    pub(crate) fn new(data_dir: PathBuf) -> Self {
        Self {
            reader: Mutex::new(Reader::new(data_dir.clone())),
            data_dir,
            trouble: Trouble::default(),
        }
    }

    /// Returns where to tell what keeps the files from being written.
    pub(crate) fn trouble(&self) -> Trouble {
        self.trouble.clone()
    }
}

impl StatusSource for StatusFiles {
    fn known(&self) -> Known {
        let mut reader = self.reader.lock().unwrap_or_else(PoisonError::into_inner);
        match reader.read() {
            Ok(view) => Known::Objects(view),
            Err(error) => {
                tracing::warn!(%error, "the status files cannot be read");
                Known::Unreadable(format!("the status files cannot be read: {error}"))
            }
        }
    }

    fn trouble(&self) -> Vec<String> {
        self.trouble.told()
    }

    fn age_seconds(&self) -> Option<f64> {
        life::age(&self.data_dir).map(|age| age.as_secs_f64())
    }
}
