//! Lets what was written survive a power loss, behind the loops' backs: waiting for a disk must not hold up a rollout.
//!
//! A kill of the process loses nothing that was written. A power loss may take what was written in the last moment; then
//! a file is missing or empty, is left out at the next start, and what it said is made anew from Git and the registry's
//! history, which are synced as they are written.

use std::collections::BTreeSet;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{self, Receiver, Sender};
use std::thread::JoinHandle;

/// Above so many files at once, the file system is asked to sync all that it has.
const FILES_MAX: usize = 64;

/// Syncs files on a thread of its own; ends, with all done, when it is dropped.
#[derive(Debug)]
pub(crate) struct Syncer {
    due: Option<Sender<PathBuf>>,
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

    pub(crate) fn sync_later(&self, path: PathBuf) {
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

fn run(asked: &Receiver<PathBuf>) {
    while let Ok(first) = asked.recv() {
        let files: BTreeSet<PathBuf> = std::iter::once(first).chain(asked.try_iter()).collect();
        if let Err(error) = sync(&files) {
            tracing::warn!(%error, "cannot sync the data directory; a power loss now may lose what was written");
        }
    }
}

fn sync(files: &BTreeSet<PathBuf>) -> io::Result<()> {
    let folders: BTreeSet<&Path> = files.iter().filter_map(|file| file.parent()).collect();
    if files.len() > FILES_MAX
        && let Some(folder) = folders.first()
    {
        let Some(folder) = there(File::open(folder))? else {
            return Ok(());
        };
        return rustix::fs::syncfs(&folder).map_err(io::Error::from);
    }
    for path in files.iter().map(PathBuf::as_path).chain(folders) {
        if let Some(file) = there(File::open(path))? {
            file.sync_all()?;
        }
    }
    Ok(())
}

/// What was removed meanwhile needs no sync.
fn there(opened: io::Result<File>) -> io::Result<Option<File>> {
    match opened {
        Ok(file) => Ok(Some(file)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}
