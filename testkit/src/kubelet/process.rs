//! Processes that stand for containers: each in a group of its own, known to the supervisor before its program begins.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io;
use std::os::unix::process::ExitStatusExt as _;
use std::path::PathBuf;
use std::process::{ExitStatus, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

use rustix::process::{Pid, Signal, kill_process, kill_process_group};
use tokio::process::{Child, Command};

use super::image::Image;
use super::rewrite::Translation;

/// Notes its pid where the supervisor looks, and begins only if the supervisor is still there to look.
const WRAPPER: &str = r#"echo $$ >"$0.new" && mv "$0.new" "$0" && [ -e "$1" ] && shift && exec "$@""#;

/// A command in a container, ready to be run any number of times.
#[derive(Debug, Clone)]
pub(crate) struct Program {
    pub(crate) image: Image,
    /// As in the container: the program and its arguments.
    pub(crate) words: Vec<String>,
    pub(crate) variables: BTreeMap<String, String>,
    pub(crate) translation: Translation,
    /// Where it runs.
    pub(crate) folder: PathBuf,
    /// Where its output goes.
    pub(crate) log: PathBuf,
    /// The supervisor's folder.
    pub(crate) supervised: PathBuf,
}

/// A process, and all that it starts. It ends when it is dropped.
#[derive(Debug)]
pub(crate) struct Process {
    child: Child,
    group: Group,
    pid_file: PathBuf,
}

/// Whom signals go to, as long as the process is there.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Group(Option<Pid>);

impl Group {
    /// Sends the first process a signal, as that of a container gets it. One that has just ended needs none.
    pub(crate) fn signal(self, signal: Signal) {
        if let Some(pid) = self.0 {
            kill_process(pid, signal).unwrap_or_default();
        }
    }

    /// Ends all processes at once.
    pub(crate) fn kill(self) {
        if let Some(pid) = self.0 {
            kill_process_group(pid, Signal::KILL).unwrap_or_default();
        }
    }
}

impl Program {
    /// Returns another command in the same container.
    pub(crate) fn with_words(&self, words: &[String]) -> Self {
        Self {
            words: words.to_vec(),
            ..self.clone()
        }
    }

    pub(crate) fn start(&self) -> io::Result<Process> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let Some((first, arguments)) = self.words.split_first() else {
            return Err(io::Error::other("the container has no command"));
        };
        let pid_file = self
            .supervised
            .join(format!("{}.pid", COUNT.fetch_add(1, Ordering::Relaxed)));
        let log = File::options().create(true).append(true).open(&self.log)?;
        let translated = |(name, value): (&String, &String)| (name.clone(), self.translation.text(value));
        let child = Command::new("sh")
            .args(["-c", WRAPPER])
            .arg(&pid_file)
            .arg(self.supervised.join(crate::supervisor::ALIVE))
            .arg(self.image.program(first))
            .args(arguments.iter().map(|argument| self.translation.text(argument)))
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("HOME", &self.folder)
            .envs(self.variables.iter().map(translated))
            .current_dir(&self.folder)
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .process_group(0)
            .spawn()?;
        let group = Group(child.id().and_then(|id| Pid::from_raw(i32::try_from(id).ok()?)));
        Ok(Process {
            child,
            group,
            pid_file,
        })
    }

    /// Runs it and says whether it succeeded.
    pub(crate) async fn succeeds(&self) -> bool {
        match self.start() {
            Ok(mut process) => process.wait().await == 0,
            Err(_) => false,
        }
    }
}

impl Process {
    pub(crate) fn group(&self) -> Group {
        self.group
    }

    /// Returns the exit code of its first process: 128 and the signal where one ended it.
    pub(crate) async fn wait(&mut self) -> i32 {
        match self.child.wait().await {
            Ok(status) => exit_code(status),
            Err(_) => -1,
        }
    }
}

fn exit_code(status: ExitStatus) -> i32 {
    let by_signal = status.signal().map(|signal| 128 + signal);
    status.code().or(by_signal).unwrap_or(-1)
}

impl Drop for Process {
    fn drop(&mut self) {
        self.group.kill();
        drop(fs::remove_file(&self.pid_file));
    }
}
