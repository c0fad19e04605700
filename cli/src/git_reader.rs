//! Reads Git in a child process: this same binary, asked with the words `git-reader`.
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
use reconciler::source::{Reader, Repository};
use rustix::process::{Resource, Rlimit, Signal, getpid, kill_process, nice, setrlimit};

use crate::signals;

/// What the process is asked with.
const WORDS: &str = "git-reader";
/// The binary of this process, also when another one has taken its place on the disk.
const THIS_BINARY: &str = "/proc/self/exe";

/// What the process may allocate, in bytes: a data file of 512 MiB that a pack holds is unpacked at once, from another one.
const MEMORY_MAX: u64 = 2 * 1024 * 1024 * 1024;
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
    }
}

/// Answers requests until whoever asks is gone, if that is what this process was started for.
pub(crate) fn run_if_asked() -> Option<ExitCode> {
    let mut words = env::args_os().skip(1);
    if words.next()? != WORDS || words.next().is_some() {
        return None;
    }
    signals::release();
    Some(match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(_nobody_asks) => ExitCode::FAILURE,
    })
}

fn run() -> io::Result<()> {
    let socket = io::stdin().as_fd().try_clone_to_owned()?;
    // Whatever else standard input is, its type is asked before anything is given away.
    let stream = UnixStream::from(socket);
    stream.peer_addr()?;
    confine();
    // A panic is an answer; nobody reads what it would print.
    std::panic::set_hook(Box::new(|_panic| {}));
    git::serve(stream, || {
        // Also in the middle of a loop that never ends.
        let _ended = kill_process(getpid(), Signal::KILL);
    })
}

/// Takes away what the process does not need. Where the system refuses, it goes on: whoever asks watches it too.
fn confine() {
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
    limit(Resource::Fsize, 0);
    let _is_nice = nice(NICENESS);
}
