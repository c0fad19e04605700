//! `aurora up`, or what runs in a cluster, as a process group of its own: started, watched, measured, stopped or killed with all its children.
//!
//! Dropping it kills the group.

mod table;

use std::fs::{self, File};
use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, kill_process_group};

use self::table::{resident, status_bytes};
use crate::processor;

pub use self::table::{Process, family, processes};

/// How long a stopped process may drain.
const DRAIN_WAIT_MAX: Duration = Duration::from_secs(40);

/// What to start.
#[derive(Debug, Clone)]
pub struct Options {
    /// The `aurora` binary.
    pub aurora: PathBuf,
    /// The repository that it follows.
    pub repository: PathBuf,
    /// The environment.
    pub environment: String,
    /// The data directory.
    pub data: PathBuf,
    /// The core that it is kept on.
    pub core: Option<usize>,
    /// A program that starts it, with its arguments, such as `strace`; empty: none.
    pub wrapper: Vec<String>,
    /// What it does.
    pub role: Role,
}

/// What a process does.
#[derive(Debug, Clone)]
pub enum Role {
    /// It is `aurora up`.
    Up,
    /// It is `aurora reconcile` of a namespace.
    Reconcile(Cluster),
    /// It is `aurora operator` of one, beside this registry.
    Operate(Cluster, PathBuf),
    /// It is `aurora control-plane` over a data directory.
    Show,
}

/// A namespace of a cluster.
#[derive(Debug, Clone)]
pub struct Cluster {
    /// Says how the API server is reached.
    pub kubeconfig: PathBuf,
    /// The namespace.
    pub namespace: String,
}

/// A running `aurora`.
#[derive(Debug)]
pub struct Aurora {
    child: Child,
    group: Pid,
    log: PathBuf,
    /// Just before the process was started.
    pub started: Instant,
    /// Where it answers inference, if it does.
    pub inference: SocketAddr,
    /// Where its control plane answers.
    pub control_plane: SocketAddr,
}

/// What the one process holds in memory, without its children, in bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Memory {
    /// Resident now.
    pub resident: u64,
    /// The most that was ever resident.
    pub peak: u64,
}

/// What a process group uses.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Usage {
    /// User and system time of its processes and of the children that they have waited for.
    pub processor: Duration,
    /// Resident memory of its processes, in bytes.
    pub resident: u64,
    /// How many processes it has.
    pub processes: usize,
}

impl Aurora {
    /// Starts it on two free ports of the loopback interface.
    pub fn start(options: &Options) -> Result<Self> {
        let log = options.data.with_extension("log");
        let output = File::options().create(true).append(true).open(&log)?;
        let (inference, control_plane) = free_addresses()?;
        let mut command = match options.wrapper.split_first() {
            Some((program, arguments)) => {
                let mut command = Command::new(program);
                command.args(arguments).arg(&options.aurora);
                command
            }
            None => Command::new(&options.aurora),
        };
        for (name, _value) in std::env::vars_os() {
            if name.as_encoded_bytes().starts_with(b"AURORA_") {
                command.env_remove(name);
            }
        }
        match &options.role {
            Role::Up => command.arg("up").arg("--inference").arg(inference.to_string()),
            Role::Reconcile(cluster) => command.env("KUBECONFIG", &cluster.kubeconfig).args([
                "reconcile",
                "--namespace",
                &cluster.namespace,
            ]),
            Role::Operate(cluster, registry) => command
                .env("KUBECONFIG", &cluster.kubeconfig)
                .args(["operator", "--namespace", &cluster.namespace])
                .args(["--image", "example.org/aurora:1"])
                .arg("--registry")
                .arg(registry),
            Role::Show => command.args(["control-plane", "--max-control-plane-request-rate", "100000"]),
        };
        if matches!(options.role, Role::Up | Role::Reconcile(_)) {
            command.arg("--repo").arg(&options.repository);
        }
        if !matches!(options.role, Role::Operate(..)) {
            command.arg("--data-dir").arg(&options.data);
        }
        if !matches!(options.role, Role::Show) {
            command.arg("--environment").arg(&options.environment);
        }
        command
            .arg("--control-plane")
            .arg(control_plane.to_string())
            .stdin(Stdio::null())
            .stdout(output.try_clone()?)
            .stderr(output)
            .process_group(0);
        let started = Instant::now();
        let child = processor::on_core(options.core, || command.spawn())
            .with_context(|| format!("failed to start {}", options.aurora.display()))?;
        Ok(Self {
            group: Pid::from_child(&child),
            child,
            log,
            started,
            inference,
            control_plane,
        })
    }

    /// Returns the id of the process that was started.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Returns the process group.
    pub fn group(&self) -> Pid {
        self.group
    }

    /// Fails with the last lines of its output if it has ended.
    pub fn check_running(&mut self) -> Result<()> {
        match self.child.try_wait()? {
            Some(status) => bail!("aurora ended with {status}:\n{}", self.output_tail()),
            None => Ok(()),
        }
    }

    /// Returns the last 20 lines of what it wrote.
    pub fn output_tail(&self) -> String {
        let output = fs::read(&self.log).unwrap_or_default();
        let text = String::from_utf8_lossy(&output);
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(20)..].join("\n")
    }

    /// Returns what it and its children use now. Pages that they share are counted for each.
    pub fn usage(&self) -> Result<Usage> {
        let mut usage = Usage::default();
        for process in family(self.id())? {
            usage.processor += process.processor;
            usage.resident += resident(process.id);
            usage.processes += 1;
        }
        Ok(usage)
    }

    /// Returns what the process that was started holds now.
    pub fn memory(&self) -> Memory {
        let status = fs::read_to_string(format!("/proc/{}/status", self.id())).unwrap_or_default();
        Memory {
            resident: status_bytes(&status, "VmRSS:"),
            peak: status_bytes(&status, "VmHWM:"),
        }
    }

    /// Asks it to end and waits for it.
    pub fn stop(mut self) -> Result<ExitStatus> {
        kill_process_group(self.group, Signal::TERM)?;
        let asked = Instant::now();
        while asked.elapsed() < DRAIN_WAIT_MAX {
            if let Some(status) = self.child.try_wait()? {
                return Ok(status);
            }
            thread::sleep(Duration::from_millis(5));
        }
        bail!(
            "aurora did not end within {} s of SIGTERM:\n{}",
            DRAIN_WAIT_MAX.as_secs(),
            self.output_tail()
        )
    }

    /// Kills the whole group with SIGKILL and waits until none of it is left.
    pub fn kill(mut self) -> Result<()> {
        self.kill_group()
    }

    fn kill_group(&mut self) -> Result<()> {
        // A group that has ended by itself is what we want too.
        let _ended = kill_process_group(self.group, Signal::KILL);
        self.child.wait()?;
        let asked = Instant::now();
        let group = self.group.as_raw_nonzero().get();
        while processes()?.iter().any(|process| process.group == group) {
            if asked.elapsed() > DRAIN_WAIT_MAX {
                bail!(
                    "processes of group {} outlive SIGKILL",
                    self.group.as_raw_nonzero()
                );
            }
            thread::sleep(Duration::from_millis(1));
        }
        Ok(())
    }
}

impl Drop for Aurora {
    fn drop(&mut self) {
        if !matches!(self.child.try_wait(), Ok(Some(_))) {
            // Nobody is left to tell.
            let _killed = self.kill_group();
        }
    }
}

/// Returns two addresses that nobody listens on.
fn free_addresses() -> io::Result<(SocketAddr, SocketAddr)> {
    // Both are held until both are known, so that they differ.
    let listeners = [
        TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?,
        TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?,
    ];
    Ok((listeners[0].local_addr()?, listeners[1].local_addr()?))
}

/// Returns the `aurora` binary that lies beside this program.
pub fn aurora_beside_us() -> PathBuf {
    let here = std::env::current_exe().unwrap_or_default();
    here.parent().unwrap_or(Path::new(".")).join("aurora")
}
