//! Reading and writing a run's files; each is small, and reading any of them is bounded.
//!
//! None of what they hold is synced: a run that a power loss takes, or whose result it tears, is begun again, and
//! publishing what is published already changes nothing.

use std::io::Write;
use std::path::{Path, PathBuf};

use planner::names::{ModelName, Version};
use serde::de::DeserializeOwned;

use super::{Progress, RunRequest, RunResult};
use crate::error::{StoreError, why};
use crate::files::Dir;
use crate::store::{METADATA_BYTES_MAX, RUNS, Store, to_json};

const REQUEST: &str = "request.json";
const PROGRESS: &str = "progress.jsonl";
const RESULT: &str = "result.json";
/// What a program of the run works in.
const WORK: &str = "work";

/// How large `progress.jsonl` gets; what comes after is not written.
const PROGRESS_BYTES_MAX: u64 = 1 << 20;

/// The folder of one training run, held open.
#[derive(Debug)]
pub struct RunFolder {
    dir: Dir,
}

impl Store {
    /// Opens the folder of a training run and makes it where it is missing.
    pub fn ensure_run(&self, model: &ModelName, version: &Version) -> Result<RunFolder, StoreError> {
        let runs = self.ensure_model_dir(model)?.make_dir(RUNS)?;
        let dir = runs.make_dir(&version.to_string())?;
        Ok(RunFolder { dir })
    }

    /// Opens the folder of a training run; `None` where there was no such run.
    pub fn run(&self, model: &ModelName, version: &Version) -> Result<Option<RunFolder>, StoreError> {
        let runs = match self.model_dir(model)? {
            Some(dir) => dir.dir(RUNS)?,
            None => None,
        };
        match runs {
            Some(runs) => Ok(runs.dir(&version.to_string())?.map(|dir| RunFolder { dir })),
            None => Ok(None),
        }
    }
}

impl RunFolder {
    /// Opens the folder in which the request `request` lies: the trainer's way in.
    pub fn of_request(request: &Path) -> Result<Self, StoreError> {
        let parent = request.parent().filter(|parent| !parent.as_os_str().is_empty());
        Ok(Self {
            dir: Dir::open(parent.unwrap_or(Path::new(".")))?,
        })
    }

    /// Returns where `request.json` lies.
    pub fn request_path(&self) -> PathBuf {
        self.dir.path().join(REQUEST)
    }

    /// Begins an attempt: forgets the last one's progress and result, then writes what is asked.
    pub fn begin(&self, request: &RunRequest) -> Result<(), StoreError> {
        let is_repeated = self.dir.kind(RESULT)?.is_some();
        // Result first: a request must never be found beside the result of another one.
        for name in [RESULT, PROGRESS] {
            self.dir.remove(name)?;
        }
        self.dir.replace_unsynced(REQUEST, &to_json(request))?;
        // Nor after a power loss, on a filesystem that keeps no order.
        if is_repeated { self.dir.sync() } else { Ok(()) }
    }

    /// Makes the folder that a program of this run works in: empty, whatever one before has left.
    pub fn begin_work(&self) -> Result<PathBuf, StoreError> {
        self.end_work()?;
        Ok(self.dir.make_dir(WORK)?.path().to_owned())
    }

    /// Removes that folder, with all that is in it.
    pub fn end_work(&self) -> Result<(), StoreError> {
        self.dir.remove(WORK)
    }

    /// Reads what was asked; `None` where nothing was.
    pub fn request(&self) -> Result<Option<RunRequest>, StoreError> {
        self.read(REQUEST)
    }

    /// Appends how far the run is.
    pub fn append_progress(&self, progress: &Progress) -> Result<(), StoreError> {
        let path = self.dir.path().join(PROGRESS);
        let mut file = self.dir.open_append(PROGRESS)?;
        let mut line =
            serde_json::to_vec(progress).expect("invariant: a progress line has text keys and cannot fail");
        line.push(b'\n');
        let written = file.metadata().and_then(|metadata| {
            if metadata.len() + line.len() as u64 <= PROGRESS_BYTES_MAX {
                file.write_all(&line)?;
            }
            Ok(())
        });
        written.map_err(|e| StoreError::io("append to", path, e))
    }

    /// Returns the newest progress that can be read; `None` before the first.
    pub fn progress(&self) -> Result<Option<Progress>, StoreError> {
        let bytes = self.dir.read(PROGRESS, "progress", PROGRESS_BYTES_MAX)?;
        Ok(bytes.and_then(|bytes| {
            bytes
                .split(|b| *b == b'\n')
                .rev()
                .find_map(|line| serde_json::from_slice(line).ok())
        }))
    }

    /// Writes how the run ended.
    pub fn write_result(&self, result: &RunResult) -> Result<(), StoreError> {
        self.dir.replace_unsynced(RESULT, &to_json(result))
    }

    /// Reads how the run ended; `None` while it has not.
    pub fn result(&self) -> Result<Option<RunResult>, StoreError> {
        self.read(RESULT)
    }

    fn read<T: DeserializeOwned>(&self, name: &str) -> Result<Option<T>, StoreError> {
        let Some(bytes) = self.dir.read(name, "a run's record", METADATA_BYTES_MAX)? else {
            return Ok(None);
        };
        serde_json::from_slice(&bytes).map(Some).map_err(|e| {
            StoreError::malformed(
                &self.dir.path().join(name),
                format!("cannot be read: {}", why(&e)),
            )
        })
    }
}
