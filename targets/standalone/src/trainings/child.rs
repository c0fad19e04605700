//! The child processes of training runs: started, watched, stopped.

use std::collections::BTreeMap;
use std::io;
use std::os::unix::process::ExitStatusExt;
use std::process::{ExitStatus, Stdio};
use std::time::{Duration, Instant};

use planner::Timestamp;
use planner::names::{ObjectName, Version};
use registry::run::{Progress, RunFolder, RunRequest};
use registry::{Shortage, Store};
use tokio::sync::{mpsc, oneshot};

use crate::{Trainer, Wake};

/// Names one run of one job.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct RunKey {
    pub(super) job: ObjectName,
    pub(super) version: Version,
}

/// A run whose process is gone.
#[derive(Debug)]
pub(super) struct Ended {
    pub(super) key: RunKey,
    pub(super) end: End,
}

/// How a run's process came to its end, in words: what is told where the run left no result.
#[derive(Debug)]
pub(super) enum End {
    /// There was no process: a limit of this process or its user is reached. The run was never tried.
    Unstarted(String),
    /// It ended, or could not be started for another reason.
    Ended(String),
}

/// The processes under way.
pub(super) struct Children {
    running: BTreeMap<RunKey, Child>,
    ended: mpsc::UnboundedReceiver<Ended>,
    ends: mpsc::UnboundedSender<Ended>,
    wake: Wake,
}

struct Child {
    started: Instant,
    folder: RunFolder,
    /// Dropped or used, it kills the process.
    stop: Option<oneshot::Sender<()>>,
    told: Option<Progress>,
    written_at: Option<Timestamp>,
}

impl Children {
    pub(super) fn new(wake: Wake) -> Self {
        let (ends, ended) = mpsc::unbounded_channel();
        Self {
            running: BTreeMap::new(),
            ended,
            ends,
            wake,
        }
    }

    /// Starts the trainer on the request in `folder`; that it could not be started is told by [`Self::ended`].
    pub(super) fn start(&mut self, key: &RunKey, folder: RunFolder, trainer: &dyn Trainer) {
        let mut command = trainer.command(&folder.request_path());
        command.stdin(Stdio::null()).kill_on_drop(true);
        let (stop, stopped) = oneshot::channel();
        let ends = self.ends.clone();
        let wake = self.wake.clone();
        let ended = key.clone();
        // Started by a worker of the runtime, which lives as long as the process: a trainer that asks to be killed with
        // its parent is killed when the *thread* that started it ends, and threads for blocking work come and go.
        tokio::spawn(async move {
            let end = match command.spawn() {
                Ok(process) => End::Ended(watch(process, stopped).await),
                Err(error) => unstarted(&error),
            };
            // The receiver is gone only when the process ends.
            let _receiver = ends.send(Ended { key: ended, end });
            wake.operator();
        });
        self.running.insert(
            key.clone(),
            Child {
                started: Instant::now(),
                folder,
                stop: Some(stop),
                told: None,
                written_at: None,
            },
        );
    }

    /// Takes the runs whose process ended since the last call.
    pub(super) fn ended(&mut self) -> Vec<Ended> {
        let mut all = Vec::new();
        while let Ok(ended) = self.ended.try_recv() {
            self.running.remove(&ended.key);
            all.push(ended);
        }
        all
    }

    /// Kills a run's process; its end is told by [`Self::ended`]. Nothing happens where there is none.
    pub(super) fn stop(&mut self, key: &RunKey) {
        if let Some(stop) = self.running.get_mut(key).and_then(|child| child.stop.take()) {
            // The process may have ended by itself.
            let _receiver = stop.send(());
        }
    }

    pub(super) fn stop_all(&mut self) {
        let keys: Vec<RunKey> = self.running.keys().cloned().collect();
        for key in keys {
            self.stop(&key);
        }
    }

    pub(super) fn keys(&self) -> impl Iterator<Item = &RunKey> {
        self.running.keys()
    }

    /// Returns how long each run of a job has been under way, by a clock that nobody sets.
    pub(super) fn elapsed(&self, job: &ObjectName) -> BTreeMap<Version, Duration> {
        let of_job = self.running.iter().filter(|(key, _)| key.job == *job);
        of_job
            .map(|(key, child)| (key.version.clone(), child.started.elapsed()))
            .collect()
    }

    /// Returns the runs that got further since the last call, and whether a status may be written for it: once a second.
    pub(super) fn progress(&mut self, now: Timestamp) -> Vec<(RunKey, Progress, bool)> {
        let mut news = Vec::new();
        for (key, child) in &mut self.running {
            let Ok(Some(progress)) = child.folder.progress() else {
                continue;
            };
            if child.told.as_ref() == Some(&progress) {
                continue;
            }
            let is_due = child
                .written_at
                .is_none_or(|at| (now - at).num_milliseconds().abs() >= 1_000);
            if is_due {
                child.written_at = Some(now);
            }
            child.told = Some(progress.clone());
            news.push((key.clone(), progress, is_due));
        }
        news
    }
}

fn unstarted(error: &io::Error) -> End {
    let why = format!("cannot start the trainer: {error}");
    match Shortage::of_start(error) {
        Some(shortage) => End::Unstarted(format!("{why}; {shortage}")),
        None => End::Ended(why),
    }
}

/// Waits for the process, or kills it when it is to stop; says how it ended.
async fn watch(mut process: tokio::process::Child, stopped: oneshot::Receiver<()>) -> String {
    let status = tokio::select! {
        status = process.wait() => status,
        _stop = stopped => match process.start_kill() {
            Ok(()) => process.wait().await,
            Err(error) => Err(error),
        },
    };
    match status {
        Ok(status) => describe(status),
        Err(error) => format!("the trainer cannot be waited for: {error}"),
    }
}

/// Writes a run's request into its folder. An error says why it could not.
pub(super) fn prepare(request: &RunRequest, store: &Store) -> Result<RunFolder, String> {
    store
        .ensure_run(&request.model, &request.version)
        .and_then(|folder| folder.begin(request).map(|()| folder))
        .map_err(|error| format!("cannot write its request: {error}"))
}

fn describe(status: ExitStatus) -> String {
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("the trainer ended with code {code} and left no result"),
        (None, Some(9)) => {
            "the trainer was killed (signal 9), by the kernel if memory ran out, and left no result"
                .to_owned()
        }
        (None, Some(signal)) => format!("the trainer was ended by signal {signal} and left no result"),
        (None, None) => "the trainer ended and left no result".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use rustix::io::Errno;

    use super::*;

    #[test]
    fn a_run_that_a_limit_keeps_from_starting_was_never_tried() {
        let end = |errno: Errno| unstarted(&errno.into());
        let End::Unstarted(why) = end(Errno::AGAIN) else {
            panic!("a limit counts as an attempt");
        };
        assert!(why.contains("ulimit -u"), "{why}");
        assert!(matches!(end(Errno::MFILE), End::Unstarted(_)));
        // A binary that is gone does not come back by itself.
        assert!(matches!(end(Errno::NOENT), End::Ended(_)));
    }
}
