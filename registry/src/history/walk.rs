//! Reading a history whatever became of it: line by line, in bounded memory, junk passed over and counted.

use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::os::unix::fs::FileExt;

use serde::de::DeserializeOwned;

use super::LINE_BYTES_MAX;

/// How much of the end of a history counts: at least half of it, so that a file that grows is not read anew for each line.
const WINDOW_BYTES: u64 = 128 << 20;
const CHUNK_BYTES: usize = 256 << 10;

/// Shorter than any entry: it is not looked at, should there be millions of them.
const LINE_BYTES_MIN: usize = 60;

/// What in a history is no entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Junk {
    /// How many lines.
    pub lines: u64,
    /// How many bytes.
    pub bytes: u64,
    /// Where the first of them begins in the file, in bytes.
    pub first_at: u64,
}

/// Where reading goes on: all before it was taken in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Resume {
    pub(crate) at: u64,
    /// Whether what comes next belongs to a line that is longer than any of ours.
    pub(crate) is_in_junk: bool,
}

impl Resume {
    /// Returns where a file of `end` bytes is read from: its start, but for one longer than the window.
    ///
    /// Depends on nothing but the size, in steps: who follows a file and who reads it anew count the same lines.
    pub(crate) fn start_of(end: u64) -> Self {
        const STEP: u64 = WINDOW_BYTES / 2;
        let at = if end <= WINDOW_BYTES {
            0
        } else {
            (end - STEP) / STEP * STEP
        };
        Self {
            at,
            // A line that begins before the window is not counted.
            is_in_junk: at > 0,
        }
    }
}

/// What a walk found besides entries.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Walked {
    /// Where the next walk of a file that has grown goes on.
    pub(crate) resume: Resume,
    pub(crate) junk: Junk,
    /// How many bytes were read.
    pub(crate) read: u64,
}

/// Walks the lines from `from` to `end`, and hands the entries among them, or what `T` takes of one, to `sink`, oldest
/// first.
///
/// What is after the last newline was torn off by a crash and never happened, unless it is too long for that. A writer
/// may cut a torn line off meanwhile: then there is less.
pub(crate) fn walk<T: DeserializeOwned>(
    file: &File,
    from: Resume,
    end: u64,
    sink: &mut dyn FnMut(T),
) -> std::io::Result<Walked> {
    let length = usize::try_from(end.saturating_sub(from.at)).unwrap_or(usize::MAX);
    let part = Part {
        file,
        at: from.at,
        end,
    };
    let mut lines = BufReader::with_capacity(length.clamp(1, CHUNK_BYTES), part);
    let mut walked = Walked {
        resume: from,
        junk: Junk::default(),
        read: 0,
    };
    let mut line = Vec::new();
    if from.is_in_junk {
        // Counted by whoever found where it begins.
        let (read, is_whole) = skip_line(&mut lines, &mut line)?;
        walked.read += read;
        walked.resume = Resume {
            at: from.at + read,
            is_in_junk: !is_whole,
        };
    }
    loop {
        line.clear();
        let begin = from.at + walked.read;
        let read = (&mut lines)
            .take(LINE_BYTES_MAX as u64 + 1)
            .read_until(b'\n', &mut line)?;
        walked.read += read as u64;
        let is_whole = line.pop_if(|byte| *byte == b'\n').is_some();
        if is_whole {
            match (line.len() >= LINE_BYTES_MIN).then(|| serde_json::from_slice(&line)) {
                Some(Ok(entry)) => sink(entry),
                None if line.is_empty() => {}
                Some(Err(_)) | None => walked.junk.count(begin, read as u64),
            }
        } else if read > LINE_BYTES_MAX {
            let (skipped, is_whole) = skip_line(&mut lines, &mut line)?;
            walked.read += skipped;
            walked.junk.count(begin, read as u64 + skipped);
            walked.resume.is_in_junk = !is_whole;
        } else {
            // The end, or a torn line before it.
            return Ok(walked);
        }
        walked.resume.at = from.at + walked.read;
    }
}

/// Reads to the end of a line without keeping it; says how many bytes it had, and whether it has an end.
fn skip_line(lines: &mut BufReader<Part<'_>>, piece: &mut Vec<u8>) -> std::io::Result<(u64, bool)> {
    let mut skipped = 0;
    loop {
        piece.clear();
        let read = lines.take(CHUNK_BYTES as u64).read_until(b'\n', piece)?;
        skipped += read as u64;
        if read == 0 || piece.ends_with(b"\n") {
            return Ok((skipped, read > 0));
        }
    }
}

impl Junk {
    fn count(&mut self, begin: u64, bytes: u64) {
        if self.lines == 0 {
            self.first_at = begin;
        }
        self.lines += 1;
        self.bytes += bytes;
    }
}

/// What lies between two places of a file.
struct Part<'a> {
    file: &'a File,
    at: u64,
    end: u64,
}

impl Read for Part<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let left = usize::try_from(self.end.saturating_sub(self.at)).unwrap_or(usize::MAX);
        let wanted = left.min(buffer.len());
        let read = self.file.read_at(&mut buffer[..wanted], self.at)?;
        self.at += read as u64;
        Ok(read)
    }
}
