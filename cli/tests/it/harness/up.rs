//! A running `aurora up` on free ports, its events, and its end.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::thread;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tempfile::TempDir;

use super::{Answer, Repository, aurora, eventually, get, post};

/// A running `aurora up`; dropping it kills it.
pub(crate) struct Up {
    child: Child,
    events: Arc<Mutex<Vec<Value>>>,
    /// Where it answers inference.
    pub(crate) inference: SocketAddr,
    /// Where its control plane answers.
    pub(crate) control_plane: SocketAddr,
}

/// Lets `up` listen where nobody else does.
pub(crate) const FREE_PORTS: [&str; 4] = ["--inference", "127.0.0.1:0", "--control-plane", "127.0.0.1:0"];

/// Returns `aurora up` on a repository and a data directory; its addresses are still to be given.
pub(crate) fn command(repository: &Path, data_dir: &Path) -> Command {
    let mut command = aurora();
    command
        .arg("up")
        .arg("--repo")
        .arg(repository)
        .arg("--data-dir")
        .arg(data_dir);
    command
}

impl Up {
    /// Starts it and waits until it listens.
    pub(crate) fn start(repository: &Path, data_dir: &Path) -> Self {
        let mut command = command(repository, data_dir);
        command.args(FREE_PORTS);
        Self::watch(command)
    }

    /// Starts a command that becomes `aurora up`, or another that listens, and waits until it does.
    pub(crate) fn watch(command: Command) -> Self {
        Self::watch_with(command, Stdio::null())
    }

    /// As [`Self::watch`], with a standard input.
    pub(crate) fn watch_with(mut command: Command, input: Stdio) -> Self {
        command
            .args(["--output", "json"])
            .stdout(Stdio::piped())
            .stdin(input);
        let mut child = command.spawn().expect("the binary starts");
        let lines = BufReader::new(child.stdout.take().expect("standard output is piped")).lines();
        let events: Arc<Mutex<Vec<Value>>> = Arc::default();
        let written = events.clone();
        thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                let event = serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line}"));
                written.lock().expect("no panic under the lock").push(event);
            }
        });
        let mut up = Self {
            child,
            events,
            inference: ([127, 0, 0, 1], 0).into(),
            control_plane: ([127, 0, 0, 1], 0).into(),
        };
        let listening = up.event("it listens", |event| event["event"] == "listening");
        // Other commands have one listener only.
        let address = |name: &str| Some(listening[name].as_str()?.parse().expect("an address"));
        up.inference = address("inference").unwrap_or(up.inference);
        up.control_plane = address("control_plane").unwrap_or(up.control_plane);
        up
    }

    /// Starts it and waits until it is ready.
    pub(crate) fn ready(repository: &Path, data_dir: &Path) -> Self {
        let mut up = Self::start(repository, data_dir);
        up.event("it is ready", |event| event["event"] == "ready");
        up
    }

    /// Returns the process id.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Returns all events so far.
    pub(crate) fn events(&self) -> Vec<Value> {
        self.events.lock().expect("no panic under the lock").clone()
    }

    /// Waits for an event, which may have come already.
    pub(crate) fn event(&mut self, what: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        let events = self.events.clone();
        let child = &mut self.child;
        eventually(what, || {
            let found = events
                .lock()
                .expect("no panic under the lock")
                .iter()
                .find(|event| wanted(event))
                .cloned();
            if found.is_none()
                && let Some(status) = child.try_wait().expect("a child")
            {
                panic!("{what}: aurora ended with {status}");
            }
            found
        })
    }

    /// Asks a model for a prediction, with further headers.
    pub(crate) fn predict(&self, model: &str, headers: &[(&str, &str)], body: &str) -> Answer {
        post(self.inference, &format!("/predict/{model}"), headers, body)
    }

    /// Returns the environment, the deployments and the trainings as they are, with their status.
    pub(crate) fn status(&self) -> Value {
        let answer = get(self.control_plane, "/status/objects");
        assert_eq!(answer.status, 200, "{answer:?}");
        answer.json()
    }

    /// Returns how it ended, if it has.
    pub(crate) fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().expect("a child")
    }

    /// Asks it to end and waits for that.
    pub(crate) fn stop(mut self) -> ExitStatus {
        self.signal(Signal::TERM);
        eventually("it ends after SIGTERM", || self.ended())
    }

    /// Sends it a signal.
    pub(crate) fn signal(&self, signal: Signal) {
        let id = Pid::from_child(&self.child);
        kill_process(id, signal).expect("it runs");
    }
}

impl Drop for Up {
    fn drop(&mut self) {
        let _ended = self.child.kill();
        let _reaped = self.child.wait();
    }
}

/// Returns the process that trains, once there is one.
pub(crate) fn trainer(up: &Up) -> Pid {
    trainer_of(up.id())
}

/// Returns the process that trains for a process, once there is one.
pub(crate) fn trainer_of(id: u32) -> Pid {
    eventually("a trainer is at work", || {
        let tasks = fs::read_dir(format!("/proc/{id}/task")).ok()?;
        let children = tasks
            .flatten()
            .filter_map(|task| fs::read_to_string(task.path().join("children")).ok());
        let trains = |id: &&str| {
            let command = fs::read(format!("/proc/{id}/cmdline")).unwrap_or_default();
            String::from_utf8_lossy(&command).contains("--request")
        };
        children
            .flat_map(|ids| ids.split_whitespace().map(str::to_owned).collect::<Vec<_>>())
            .find(|id| trains(&id.as_str()))
            .and_then(|id| Pid::from_raw(id.parse().ok()?))
    })
}

/// `environments/dev` in a repository of its own, and an empty data directory.
pub(crate) struct Ground {
    /// The repository.
    pub(crate) repository: Repository,
    data: TempDir,
}

impl Ground {
    /// Makes both.
    pub(crate) fn dev() -> Self {
        Self {
            repository: Repository::dev(),
            data: TempDir::new().expect("a temporary folder"),
        }
    }

    /// Returns the data directory, which `up` makes.
    pub(crate) fn data(&self) -> PathBuf {
        self.data.path().join("data")
    }

    /// Starts `aurora up` and waits until it is ready.
    pub(crate) fn up(&self) -> Up {
        Up::ready(self.repository.path(), &self.data())
    }
}
