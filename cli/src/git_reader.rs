//! Reads Git in a child process: this same binary, asked with the words `git-reader`.
//!
//! A process that fetches from another machine is told so by one more word, and may write: a mirror, in files of bounded
//! size.
//!
//! The words are no command that people type: its standard input is a socket. The process takes away from itself what it
//! does not need before it opens anything: memory, files, its turn on the processor.

use std::ffi::OsString;
use std::os::fd::AsFd as _;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::{env, fs, io};

use reconciler::git;
use reconciler::source::{FETCHING, Reader, Repository};
use rustix::process::{Resource, Rlimit, Signal, getpid, kill_process, nice, setrlimit};

use crate::signals;

/// What the process is asked with.
const WORDS: &str = "git-reader";
/// The binary of this process, also when another one has taken its place on the disk.
const THIS_BINARY: &str = "/proc/self/exe";

/// What the process may allocate, in bytes: a data file of 512 MiB that a pack holds is unpacked at once, from another one.
const MEMORY_MAX: u64 = 2 * 1024 * 1024 * 1024;
/// The largest file that it may write where it fetches, in bytes: a pack a little larger than it takes.
const PACK_BYTES_MAX: u64 = 4 * 1024 * 1024 * 1024 + 64 * 1024 * 1024;
/// How many files it may have open.
const FILES_MAX: u64 = 512;
/// How much later than the others it has its turn.
const NICENESS: i32 = 5;
/// How much sooner the system ends it than the process that serves, where memory is short.
const OOM_SCORE: &str = "500";

/// Returns the repository at a path, to be read by such a process.
pub(crate) fn repository(path: &Path) -> Repository {
    let this = Path::new(THIS_BINARY);
    let program = if this.exists() {
        this.to_owned()
    } else {
        env::current_exe().unwrap_or_else(|_unknown| PathBuf::from("aurora"))
    };
    Repository {
        path: path.to_owned(),
        reader: Reader::Process {
            program,
            arguments: vec![OsString::from(WORDS)],
        },
        remote: None,
    }
}

/// Answers requests until whoever asks is gone, if that is what this process was started for.
pub(crate) fn run_if_asked() -> Option<ExitCode> {
    let mut words = env::args_os().skip(1);
    if words.next()? != WORDS {
        return None;
    }
    let files = match words.next() {
        None => Files::Read,
        Some(word) if word == FETCHING && words.next().is_none() => Files::Written,
        Some(_) => return None,
    };
    signals::release();
    Some(match run(files) {
        Ok(()) => ExitCode::SUCCESS,
        Err(_nobody_asks) => ExitCode::FAILURE,
    })
}

/// What the process does with files.
#[derive(Debug, Clone, Copy)]
enum Files {
    Read,
    /// It fetches into a mirror.
    Written,
}

fn run(files: Files) -> io::Result<()> {
    let socket = io::stdin().as_fd().try_clone_to_owned()?;
    // Whatever else standard input is, its type is asked before anything is given away.
    let stream = UnixStream::from(socket);
    stream.peer_addr()?;
    confine(files);
    // A panic is an answer; nobody reads what it would print.
    std::panic::set_hook(Box::new(|_panic| {}));
    git::serve(stream, || {
        // Also in the middle of a loop that never ends.
        let _ended = kill_process(getpid(), Signal::KILL);
    })
}

/// Takes away what the process does not need. Where the system refuses, it goes on: whoever asks watches it too.
fn confine(files: Files) {
    drop(fs::write("/proc/self/oom_score_adj", OOM_SCORE));
    let limit = |resource, most| {
        let limit = Rlimit {
            current: Some(most),
            maximum: Some(most),
        };
        let _limited = setrlimit(resource, limit);
    };
    limit(Resource::Data, MEMORY_MAX);
    limit(Resource::Nofile, FILES_MAX);
    limit(Resource::Core, 0);
    limit(
        Resource::Fsize,
        match files {
            Files::Read => 0,
            Files::Written => PACK_BYTES_MAX,
        },
    );
    let _is_nice = nice(NICENESS);
}
