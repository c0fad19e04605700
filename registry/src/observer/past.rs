//! A model's history, of which only what was appended is read again.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;

use planner::names::Digest;

use super::Counters;
use crate::error::StoreError;
use crate::files::{Dir, Stamp};
use crate::history::{HISTORY, HistoryEntry, Junk, PART_BYTES_MAX, Resume, Says, Walked, walk};

/// How much before the end of what was read must be as it was, in bytes: more than one entry.
const GUARD_BYTES: u64 = 512;

/// How far a history was read.
#[derive(Debug, Default)]
pub(super) struct Past {
    /// The stamp of the file that was read.
    stamp: Option<Stamp>,
    /// Where the next reading goes on.
    resume: Resume,
    /// Of the bytes before it, as many as are guarded.
    guard: Option<Digest>,
    /// The junk that was told of last.
    told: Junk,
    /// How long it was when it was to be closed last, in bytes.
    closed_at: u64,
}

impl Past {
    /// Says whether the history has grown so that it is to be closed: once, until it has grown twice as long.
    pub(super) fn is_to_be_closed(&mut self) -> bool {
        let bytes = self.resume.at;
        let is_due = bytes > PART_BYTES_MAX && bytes / 2 >= self.closed_at;
        if is_due {
            self.closed_at = bytes;
        }
        is_due
    }

    /// Brings `says` up to date: reads the rest of a file that has grown, else the whole of it.
    pub(super) fn read(&mut self, dir: &Dir, counters: &Counters, says: &mut Says) -> Result<(), StoreError> {
        let Some(opened) = dir.file(HISTORY)? else {
            *self = Self::default();
            *says = Says::default();
            return Ok(());
        };
        let (file, stamp, path) = (&opened.file, &opened.stamp, &opened.path);
        let failed = |e| StoreError::io("read", path, e);
        // Every entry makes the file longer, but for one that takes the place of a torn line.
        if self.stamp.as_ref() == Some(stamp) && self.resume.at == stamp.bytes() {
            return Ok(());
        }
        let has_grown = self.has_grown(stamp);
        let is_same = has_grown && self.guard == self.guard_of(file).map_err(failed)?;
        let from = if is_same {
            self.resume
        } else {
            *says = Says::default();
            Resume::start_of(stamp.bytes())
        };
        let walked = walk(file, from, stamp.bytes(), &mut |entry: HistoryEntry| {
            entry.count(says);
        })
        .map_err(failed)?;
        counters.count_history(walked.read);
        self.tell(&walked, path, is_same);
        self.stamp = Some(stamp.clone());
        self.resume = walked.resume;
        self.guard = self.guard_of(file).map_err(failed)?;
        Ok(())
    }

    /// Says whether this may be the file that was read, with more in it. Of a very long one only the end counts, which
    /// must not depend on when it was read first.
    fn has_grown(&self, stamp: &Stamp) -> bool {
        self.stamp.as_ref().is_some_and(|known| {
            // What was torn may have been cut off, or have made place for an entry.
            let was_torn = self.resume.at < known.bytes();
            let least = if was_torn {
                self.resume.at
            } else {
                known.bytes() + 1
            };
            known.is_same_file(stamp)
                && stamp.bytes() >= least
                && Resume::start_of(known.bytes()) == Resume::start_of(stamp.bytes())
        })
    }

    fn guard_of(&self, file: &File) -> std::io::Result<Option<Digest>> {
        let length = self.resume.at.min(GUARD_BYTES);
        let mut guard = vec![0; usize::try_from(length).unwrap_or(0)];
        match file.read_exact_at(&mut guard, self.resume.at - length) {
            Ok(()) => Ok(Some(Digest::of(&guard))),
            // It was cut meanwhile.
            Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Tells of what is no entry once, however often it is looked at.
    fn tell(&mut self, walked: &Walked, path: &Path, is_appended: bool) {
        let Junk {
            lines,
            bytes,
            first_at,
        } = walked.junk;
        let is_new = if is_appended {
            bytes > 0
        } else {
            walked.junk != self.told
        };
        if bytes > 0 && is_new {
            tracing::warn!(
                path = %path.display(),
                lines,
                bytes,
                first_at,
                "passed over what is no entry of a history; `aurora model verify` says what to do"
            );
        }
        if is_appended {
            self.told.lines += lines;
            self.told.bytes += bytes;
        } else {
            self.told = walked.junk;
        }
    }
}
