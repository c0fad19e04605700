//! A desired-state repository, a running `aurora up`, and requests to it.

mod forge;
mod http;
mod issuing;
mod repository;
mod stage;
mod up;

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::thread;
use std::time::{Duration, Instant};

pub(crate) use forge::{Forge, VALID, free_port, up_at};
pub(crate) use http::{Answer, ask, get, post};
pub(crate) use issuing::Issuing;
pub(crate) use repository::{Repository, copy};
pub(crate) use stage::Stage;
pub(crate) use up::{FREE_PORTS, Ground, Up, command as up_command, trainer, trainer_of};

/// How long a condition may take to come true: generous, since tests share their machine, and training takes its turn last. Of
/// two processors that others keep busy it gets a hundredth.
pub(crate) const PATIENCE: Duration = Duration::from_mins(15);

/// Returns a command of the built binary, in an environment without settings of its own.
pub(crate) fn aurora() -> Command {
    without_settings(Command::new(env!("CARGO_BIN_EXE_aurora")))
}

/// Takes out of a command's environment what would be settings of the built binary.
pub(crate) fn without_settings(mut command: Command) -> Command {
    for (name, _value) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("AURORA_") {
            command.env_remove(name);
        }
    }
    command
}

/// Writes a file that nobody else may read.
pub(crate) fn private(file: &Path, content: &str) {
    fs::write(file, content).expect("a file");
    fs::set_permissions(file, fs::Permissions::from_mode(0o600)).expect("a mode");
}

/// Runs a command to its end.
pub(crate) fn run(command: &mut Command) -> Output {
    command.output().expect("the binary starts")
}

/// Returns what a command wrote to both streams, standard output first.
pub(crate) fn text(output: &Output) -> String {
    format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    )
}

/// Returns the root of this repository.
pub(crate) fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("a crate lies in the workspace")
        .to_owned()
}

/// Says how a test came to its fault, past the test harness, which would keep it to itself.
pub(crate) fn note(what: &str) {
    let line = format!("{what}\n");
    std::io::Write::write_all(&mut std::io::stderr(), line.as_bytes()).expect("standard error is open");
}

/// Says, past the test harness, why a test, or a part of it, is not run here; `.ci/run` lists these lines.
pub(crate) fn skipped(why: &str) {
    note(&format!("skipped: {why}"));
}

/// Says whether there is a `git` to ask; without one, that a test is skipped.
pub(crate) fn has_git() -> bool {
    let is_there = Command::new("git").arg("--version").output().is_ok();
    if !is_there {
        skipped("a test of what Git itself does; it needs the command git");
    }
    is_there
}

/// Waits until `condition` gives a value.
pub(crate) fn eventually<T>(what: &str, mut condition: impl FnMut() -> Option<T>) -> T {
    let started = Instant::now();
    loop {
        if let Some(value) = condition() {
            return value;
        }
        assert!(started.elapsed() < PATIENCE, "not within {PATIENCE:?}: {what}");
        thread::sleep(Duration::from_millis(20));
    }
}
