//! Lets what was written survive a power loss, behind the loops' backs: waiting for a disk must not hold up a rollout.
//!
//! A kill of the process loses nothing that was written. A power loss may take what was written in the last moment; then
//! a file is missing or empty, is left out at the next start, and what it said is made anew from Git and the registry's
//! history, which are synced as they are written.

use std::collections::BTreeSet;
use std::io;
use std::sync::mpsc::{self, Receiver, Sender};
use std::thread::JoinHandle;

use crate::data_dir::FilePath;

/// Above so many files at once, the file system is asked to sync all that it has.
const FILES_MAX: usize = 64;

/// Syncs files on a thread of its own; ends, with all done, when it is dropped.
#[derive(Debug)]
pub(crate) struct Syncer {
    due: Option<Sender<FilePath>>,
    thread: Option<JoinHandle<()>>,
}

impl Syncer {
    pub(crate) fn start() -> io::Result<Self> {
        let (due, asked) = mpsc::channel();
        let thread = std::thread::Builder::new()
            .name("sync".to_owned())
            .spawn(move || run(&asked))?;
        Ok(Self {
            due: Some(due),
            thread: Some(thread),
        })
    }

    pub(crate) fn sync_later(&self, path: FilePath) {
        if let Some(due) = &self.due {
            // The thread ends only with this value.
            let _asked = due.send(path);
        }
    }
}

impl Drop for Syncer {
    fn drop(&mut self) {
        self.due = None;
        if let Some(thread) = self.thread.take() {
            let _ended = thread.join();
        }
    }
}

fn run(asked: &Receiver<FilePath>) {
    while let Ok(first) = asked.recv() {
        let files: BTreeSet<FilePath> = std::iter::once(first).chain(asked.try_iter()).collect();
        if let Err(error) = sync(&files) {
            tracing::warn!(%error, "cannot sync the data directory; a power loss now may lose what was written");
        }
    }
}

fn sync(files: &BTreeSet<FilePath>) -> io::Result<()> {
    if files.len() > FILES_MAX
        && let Some(file) = files.first()
    {
        return file.sync_file_system();
    }
    files.iter().try_for_each(FilePath::sync)
}
