//! Trains in a child process: this same binary with `train --request`.
//!
//! The child outlives no parent: it ends itself when the process that started it is gone, however that ended. It gets a
//! closed list of environment variables and no descriptor but its standard ones. Requests come before it: it takes its turn
//! on processor and disk last, and is the first that the kernel ends where memory runs out.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;
use std::{env, fs, io, thread};

use rustix::process::{Pid, getpid, getppid, nice};
use standalone::Trainer;
use tokio::process::Command;

use crate::arguments::ImportArguments;
use crate::failure::Failure;
use crate::limits;

/// Tells the child whose child it is.
const PARENT: &str = "AURORA_TRAIN_PARENT";
/// Tells the child how many files it may have open, where its parent may have more.
const OPEN_FILES: &str = "AURORA_TRAIN_OPEN_FILES";
/// All that a training run gets of this process's environment variables.
const HANDED_ON: [&str; 14] = [
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
    "AURORA_LOG_FORMAT",
    "LLVM_PROFILE_FILE",
];
/// How much later than the others the child has its turn: as late as may be.
const NICENESS: i32 = 19;
/// How soon the system ends it where memory is short: before all others.
const OOM_SCORE: &str = "1000";
/// How often the child looks whether its parent is there.
const PARENT_POLL: Duration = Duration::from_millis(250);

/// Starts training runs as children of this process.
#[derive(Debug)]
pub(crate) struct ChildTrainer {
    program: PathBuf,
    imports: ImportArguments,
    /// The flags of what else a run may do.
    flags: Vec<OsString>,
}

impl ChildTrainer {
    /// Finds this binary; its runs may import from where this process may, and run programs as `flags` say.
    pub(crate) fn new(imports: ImportArguments, flags: Vec<OsString>) -> Result<Self, Failure> {
        imports.check()?;
        Ok(Self {
            program: env::current_exe()?,
            imports,
            flags,
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
            .args(self.imports.flags())
            .args(&self.flags)
            .envs(self.imports.variables())
            .env(PARENT, getpid().to_string())
            .envs(limits::files_at_start().map(|limit| (OPEN_FILES, limit.to_string())))
            .stdin(Stdio::null())
            .stdout(Stdio::null());
        command
    }
}

/// Makes this process the child that it was started as: it gives way, and ends with its parent. Does nothing in a process
/// that no other started as a training run. Called before there are threads, which take their turns as the first one does.
pub(crate) fn be_a_child() -> io::Result<()> {
    let parent = env::var(PARENT).ok().and_then(|id| id.parse().ok());
    if let Some(parent) = parent.and_then(Pid::from_raw) {
        if let Some(limit) = env::var(OPEN_FILES).ok().and_then(|limit| limit.parse().ok()) {
            limits::lower_files(limit);
        }
        give_way();
        end_with(parent)?;
    }
    Ok(())
}

/// Lets what serves go first. Where the system refuses, it goes on as it is.
fn give_way() {
    drop(fs::write("/proc/self/oom_score_adj", OOM_SCORE));
    let _is_nice = nice(NICENESS);
    #[cfg(target_os = "linux")]
    disk::use_when_idle();
}

/// Ends this process once its parent is gone.
fn end_with(parent: Pid) -> io::Result<()> {
    let watching = thread::Builder::new().name("parent".to_owned()).spawn(move || {
        while getppid() == Some(parent) {
            thread::sleep(PARENT_POLL);
        }
        #[expect(
            clippy::exit,
            reason = "nobody waits for this run any more, and a publish is atomic"
        )]
        std::process::exit(1);
    });
    watching.map(drop)
}

/// This process's turn on the disk.
#[cfg(target_os = "linux")]
mod disk {
    /// `IOPRIO_WHO_PROCESS`: by process id, 0 being the caller.
    const OF_PROCESS: libc::c_int = 1;
    /// `IOPRIO_CLASS_IDLE`, above the bits of the priority, of which it has none.
    const IDLE: libc::c_int = 3 << 13;

    /// Reads and writes only while nobody else does, where the disk's scheduler knows that.
    #[expect(unsafe_code, reason = "no safe crate sets the priority on the disk")]
    pub(super) fn use_when_idle() {
        // SAFETY: the call takes three numbers and touches no memory of ours.
        let _refused = unsafe { libc::syscall(libc::SYS_ioprio_set, OF_PROCESS, 0, IDLE) };
    }
}
