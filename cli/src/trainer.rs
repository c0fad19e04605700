//! Trains in a child process: this same binary with `train --request`.
//!
//! The child outlives no parent: it ends itself when the process that started it is gone, however that ended. It gets a
//! closed list of environment variables and no descriptor but its standard ones.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;
use std::{env, io, thread};

use rustix::process::{Pid, getpid, getppid};
use standalone::Trainer;
use tokio::process::Command;

/// Tells the child whose child it is.
const PARENT: &str = "AURORA_TRAIN_PARENT";
/// All that a training run gets of this process's environment variables.
const HANDED_ON: [&str; 13] = [
    "PATH",
    "HOME",
    "LANG",
    "LC_ALL",
    "TZ",
    "TMPDIR",
    "LD_LIBRARY_PATH",
    "MALLOC_ARENA_MAX",
    "RAYON_NUM_THREADS",
    "RUST_BACKTRACE",
    "NO_COLOR",
    "AURORA_LOG",
    "LLVM_PROFILE_FILE",
];
/// How often the child looks whether its parent is there.
const PARENT_POLL: Duration = Duration::from_millis(250);

/// Starts training runs as children of this process.
#[derive(Debug)]
pub(crate) struct ChildTrainer {
    program: PathBuf,
}

impl ChildTrainer {
    /// Finds this binary.
    pub(crate) fn new() -> io::Result<Self> {
        Ok(Self {
            program: env::current_exe()?,
        })
    }
}

impl Trainer for ChildTrainer {
    fn command(&self, request: &Path) -> Command {
        let mut command = Command::new(&self.program);
        // What this process was given for other ends is none of a training run's business.
        command
            .env_clear()
            .envs(
                HANDED_ON
                    .iter()
                    .filter_map(|name| Some((name, env::var_os(name)?))),
            )
            .arg("train")
            .arg("--request")
            .arg(request)
            .env(PARENT, getpid().to_string())
            .stdin(Stdio::null())
            .stdout(Stdio::null());
        command
    }
}

/// Ends this process once the one that started it as a training run is gone. Does nothing in any other process.
pub(crate) fn end_with_parent() {
    let Some(parent) = env::var(PARENT)
        .ok()
        .and_then(|id| id.parse().ok())
        .and_then(Pid::from_raw)
    else {
        return;
    };
    thread::spawn(move || {
        while getppid() == Some(parent) {
            thread::sleep(PARENT_POLL);
        }
        #[expect(
            clippy::exit,
            reason = "nobody waits for this run any more, and a publish is atomic"
        )]
        std::process::exit(1);
    });
}
