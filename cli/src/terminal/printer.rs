//! Writing on a thread of its own, for processes that must go on whatever becomes of their output.
//!
//! A pipe that nobody reads, a terminal after Ctrl-S, a full disk: the thread waits or fails, whoever says something does
//! not. What the thread is behind with is bounded; beyond that lines are dropped, counted, and the count is told where
//! they would have stood.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, Write as _};
use std::os::fd::AsFd as _;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, poll};

/// The most that waits to be written, in bytes.
const BYTES_MAX: usize = 1 << 20;
/// The most things that wait to be written.
const WAITING_MAX: usize = 4_096;

/// What the thread is given.
#[derive(Debug)]
pub(crate) enum Heard<T> {
    /// Something that was said.
    Said(T),
    /// So many lines were dropped here.
    Missed(u64),
}

/// Where things are said; cheap to clone, and saying never waits.
#[derive(Debug)]
pub(crate) struct Printer<T>(Arc<Shared<T>>);

#[derive(Debug)]
struct Shared<T> {
    queue: Mutex<Queue<T>>,
    /// Something is to be written.
    said: Condvar,
    /// Something was written.
    written: Condvar,
}

#[derive(Debug)]
struct Queue<T> {
    waiting: VecDeque<(usize, Heard<T>)>,
    bytes: usize,
    /// Lines that were dropped since the last thing that waits.
    missed: u64,
    is_writing: bool,
}

impl<T> Clone for Printer<T> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<T: Send + 'static> Printer<T> {
    /// Starts a thread that writes with `write`.
    pub(crate) fn start(name: &str, mut write: impl FnMut(Heard<T>) + Send + 'static) -> io::Result<Self> {
        let printer = Self(Arc::new(Shared {
            queue: Mutex::new(Queue {
                waiting: VecDeque::new(),
                bytes: 0,
                missed: 0,
                is_writing: false,
            }),
            said: Condvar::new(),
            written: Condvar::new(),
        }));
        let shared = printer.0.clone();
        thread::Builder::new().name(name.to_owned()).spawn(move || {
            loop {
                write(shared.next());
            }
        })?;
        Ok(printer)
    }

    /// Says something that takes `bytes` bytes and `lines` lines. Never waits; drops it where too much is waiting, what
    /// has no line last.
    pub(crate) fn say(&self, thing: T, bytes: usize, lines: u64) {
        let mut queue = self.0.lock();
        // Once something was dropped, more is dropped until there is room again: one count, not one after each line.
        let room = if queue.missed > 0 { 2 } else { 1 };
        let is_full = if lines == 0 {
            queue.waiting.len() >= 2 * WAITING_MAX
        } else {
            queue.waiting.len() >= WAITING_MAX / room
                || (queue.bytes > 0 && queue.bytes.saturating_add(bytes) > BYTES_MAX / room)
        };
        if is_full {
            queue.missed += lines;
            return;
        }
        queue.tell_missed();
        queue.bytes += bytes;
        queue.waiting.push_back((bytes, Heard::Said(thing)));
        drop(queue);
        self.0.said.notify_one();
    }

    /// Waits until everything is written, at most so long; says whether it is.
    pub(crate) fn flush(&self, patience: Duration) -> bool {
        let started = Instant::now();
        let mut queue = self.0.lock();
        while !queue.is_written() {
            let Some(left) = patience.checked_sub(started.elapsed()) else {
                return false;
            };
            let waited = self.0.written.wait_timeout(queue, left);
            queue = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        true
    }
}

impl<T> Queue<T> {
    fn is_written(&self) -> bool {
        self.waiting.is_empty() && self.missed == 0 && !self.is_writing
    }

    fn tell_missed(&mut self) {
        let missed = std::mem::take(&mut self.missed);
        if missed > 0 {
            self.waiting.push_back((0, Heard::Missed(missed)));
        }
    }
}

impl<T> Shared<T> {
    fn lock(&self) -> MutexGuard<'_, Queue<T>> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for the next thing to write; what was taken before counts as written.
    fn next(&self) -> Heard<T> {
        let mut queue = self.lock();
        queue.is_writing = false;
        self.written.notify_all();
        loop {
            if queue.waiting.is_empty() {
                queue.tell_missed();
            }
            if let Some((bytes, heard)) = queue.waiting.pop_front() {
                queue.bytes -= bytes;
                queue.is_writing = true;
                return heard;
            }
            queue = self.said.wait(queue).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

/// A stream that may fail, and be well again.
#[derive(Debug)]
pub(crate) struct Sink {
    /// Absent once nobody can read it any more.
    file: Option<File>,
    /// Lines that could not be written since the last one that was.
    lost: u64,
    /// A line was written in part.
    is_torn: bool,
}

impl Sink {
    /// Writes to what standard output is now.
    pub(crate) fn stdout() -> Self {
        Self::of(io::stdout().as_fd().try_clone_to_owned())
    }

    /// Writes to what standard error is now. An error says that there is no descriptor left for it.
    pub(crate) fn stderr() -> io::Result<Self> {
        let stream = io::stderr().as_fd().try_clone_to_owned()?;
        Ok(Self::of(Ok(stream)))
    }

    fn of(stream: io::Result<std::os::fd::OwnedFd>) -> Self {
        Self {
            file: stream.ok().map(File::from),
            lost: 0,
            is_torn: false,
        }
    }

    /// Writes whole lines, waiting as long as that takes. Lines that a full disk or a closed terminal does not take are
    /// counted, and `missed` renders their number in front of the next that is written.
    pub(crate) fn write(&mut self, text: &str, missed: impl FnOnce(u64) -> String) {
        let mut before = if self.is_torn { "\n" } else { "" }.to_owned();
        if self.lost > 0 {
            before.push_str(&missed(self.lost));
        }
        if self.attempt(&before) {
            self.lost = 0;
            if self.attempt(text) {
                return;
            }
        }
        self.lost += u64::try_from(text.lines().count()).unwrap_or(u64::MAX);
    }

    /// Writes a text, and says whether all of it is written.
    fn attempt(&mut self, text: &str) -> bool {
        let Some(file) = &mut self.file else { return true };
        let (written, ended) = write_all(file, text.as_bytes());
        if let Some(last) = text.as_bytes()[..written].last() {
            self.is_torn = *last != b'\n';
        }
        match ended {
            Ok(()) => true,
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {
                self.file = None;
                true
            }
            // Full, or a terminal that is gone: it may be well again.
            Err(_) => false,
        }
    }
}

/// Writes all of it, also to a stream that another process made non-blocking; returns how much was written.
fn write_all(file: &mut File, bytes: &[u8]) -> (usize, io::Result<()>) {
    let mut written = 0;
    while written < bytes.len() {
        match file.write(&bytes[written..]) {
            Ok(0) => return (written, Err(io::ErrorKind::WriteZero.into())),
            Ok(n) => written += n,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                let mut awaited = [PollFd::new(&*file, PollFlags::OUT)];
                if let Err(error) = poll(&mut awaited, None)
                    && error != rustix::io::Errno::INTR
                {
                    return (written, Err(error.into()));
                }
            }
            Err(error) => return (written, Err(error)),
        }
    }
    (written, Ok(()))
}

#[cfg(test)]
mod tests;
