//! Appending to a history, by its one writer.

use std::io::Write as _;
use std::os::unix::fs::MetadataExt as _;

use super::ledger::Ledger;
use super::{HISTORY, HistoryEntry, Line, Resume, Walked, parts, walk};
use crate::error::StoreError;
use crate::files::{Dir, sync_file};
use crate::lock::{Lock, Mode, PATIENCE};

/// How large a history gets before it is closed, in bytes, and at least twice what it began with: a hundred entries,
/// since whoever starts, or appends, reads it whole.
pub(crate) const PART_BYTES_MAX: u64 = 32 << 10;

/// How often another writer may close the history that a lock is waited for.
const LOCKS_MAX: usize = 100;

/// A history held open by its one writer.
pub(crate) struct Journal<'a> {
    dir: &'a Dir,
    lock: Lock,
    ledger: Ledger,
    bytes: u64,
    end: End,
    /// Whether the names in the model's folder have yet to be made durable.
    has_new_names: bool,
}

impl<'a> Journal<'a> {
    /// Opens the history of a model's folder, waiting for another writer.
    pub(crate) fn open(dir: &'a Dir) -> Result<Self, StoreError> {
        let path = dir.path().join(HISTORY);
        let lock = lock(dir)?;
        let failed = |e| StoreError::io("read", &path, e);
        let metadata = lock.file().metadata().map_err(failed)?;
        if !metadata.is_file() {
            return Err(StoreError::malformed(&path, "is no regular file"));
        }
        let bytes = metadata.len();
        let mut ledger = Ledger::default();
        let walked = walk(lock.file(), Resume::start_of(bytes), bytes, &mut |entry| {
            ledger.count(entry);
        })
        .map_err(failed)?;
        Ok(Self {
            dir,
            lock,
            ledger,
            bytes,
            end: walked.end(bytes),
            has_new_names: bytes == 0,
        })
    }

    /// Returns what of the history counts.
    pub(crate) fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    /// Lets the next append make the names in the model's folder durable too.
    pub(crate) fn sync_names(&mut self) {
        self.has_new_names = true;
    }

    /// Appends an entry unless the newest change of its alias is the same: then a crash came between entry and alias.
    pub(crate) fn append_change(self, entry: &HistoryEntry) -> Result<(), StoreError> {
        match self.ledger.last_change(entry.alias) {
            Some(last) if last.records_same(entry) => self.settle_names(),
            _ => self.append(entry),
        }
    }

    pub(super) fn append(self, entry: &HistoryEntry) -> Result<(), StoreError> {
        let path = self.dir.path().join(HISTORY);
        let line = Line::new(entry).bytes();
        self.cut_torn()?;
        if self.bytes > PART_BYTES_MAX {
            match self.close(&line) {
                Ok(true) => return Ok(()),
                Ok(false) => {}
                // As where a file cannot have two names: what is not closed goes on.
                Err(error) => tracing::debug!(%error, "a history that has grown cannot be closed"),
            }
        }
        let mut file = self.lock.file();
        // What is no line of ours that a crash has torn is left as it is, and the entry begins a line.
        let lead: &[u8] = if self.end == End::Junk { b"\n" } else { b"" };
        file.write_all(&[lead, &line].concat())
            .map_err(|e| StoreError::io("append to", &path, e))?;
        sync_file(file, &path)?;
        self.settle_names()
    }

    /// Closes the history as the next part and begins another one, with what still counts and a line more; `false`
    /// where that would not make it much shorter.
    ///
    /// At any moment there is a whole history under its name: the old one, or the new one.
    pub(super) fn close(&self, line: &[u8]) -> Result<bool, StoreError> {
        self.cut_torn()?;
        let carried = self.ledger.entries().map(|entry| Line::carried(entry).bytes());
        let mut begin: Vec<u8> = carried.flatten().collect();
        if self.bytes < 2 * begin.len() as u64 {
            return Ok(false);
        }
        begin.extend_from_slice(line);
        self.name_part()?;
        self.dir.replace(HISTORY, &begin)?;
        Ok(true)
    }

    /// Gives the history the name of a closed part besides its own.
    fn name_part(&self) -> Result<(), StoreError> {
        let newest = parts::closed(self.dir)?.into_iter().next().unwrap_or(0);
        let [current, part] = [HISTORY, &parts::name(newest)].map(|name| self.dir.stamp(name));
        // A crash may have come between this and what follows.
        if let (Some(current), Some(part)) = (current?, part?)
            && part.is_same_file(&current)
        {
            return Ok(());
        }
        self.dir.link(HISTORY, &parts::name(newest + 1))?;
        self.dir.sync()
    }

    /// Cuts off a last line that a crash has torn: it never happened.
    fn cut_torn(&self) -> Result<(), StoreError> {
        let End::Torn { whole } = self.end else {
            return Ok(());
        };
        let path = self.dir.path().join(HISTORY);
        tracing::warn!(path = %path.display(), "cut a torn last line off the history");
        let cut = self.lock.file().set_len(whole);
        cut.map_err(|e| StoreError::io("cut", path, e))
    }

    fn settle_names(&self) -> Result<(), StoreError> {
        if self.has_new_names {
            self.dir.sync()?;
        }
        Ok(())
    }
}

/// Takes the lock on a history. One that another writer has closed meanwhile is none any more.
fn lock(dir: &Dir) -> Result<Lock, StoreError> {
    let path = dir.path().join(HISTORY);
    for _ in 0..LOCKS_MAX {
        let lock = Lock::take(dir, HISTORY, Mode::Exclusive, PATIENCE)?;
        let locked = lock
            .file()
            .metadata()
            .map_err(|e| StoreError::io("examine", &path, e))?;
        if dir
            .stamp(HISTORY)?
            .is_some_and(|stamp| stamp.is_of(locked.dev(), locked.ino()))
        {
            return Ok(lock);
        }
    }
    Err(StoreError::Busy {
        path,
        seconds: PATIENCE.as_secs(),
    })
}

/// How a history ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    /// With a whole line.
    Whole,
    /// With a line that a crash has torn: it never happened.
    Torn {
        /// Where it begins.
        whole: u64,
    },
    /// With something longer than any line of ours.
    Junk,
}

impl Walked {
    fn end(&self, bytes: u64) -> End {
        match self.resume {
            Resume {
                at,
                is_in_junk: false,
            } if at == bytes => End::Whole,
            Resume {
                at,
                is_in_junk: false,
            } => End::Torn { whole: at },
            Resume { is_in_junk: true, .. } => End::Junk,
        }
    }
}
