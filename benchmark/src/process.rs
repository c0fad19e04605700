//! `aurora up` as a process group of its own: started, watched, measured, stopped or killed with all its children.
//!
//! Dropping it kills the group.

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

use crate::processor;

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
}

/// A running `aurora up`.
#[derive(Debug)]
pub struct Aurora {
    child: Child,
    group: Pid,
    log: PathBuf,
    /// Just before the process was started.
    pub started: Instant,
    /// Where it answers inference.
    pub inference: SocketAddr,
    /// Where its control plane answers.
    pub control_plane: SocketAddr,
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
        command
            .arg("up")
            .arg("--repo")
            .arg(&options.repository)
            .arg("--environment")
            .arg(&options.environment)
            .arg("--data-dir")
            .arg(&options.data)
            .arg("--inference")
            .arg(inference.to_string())
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

    /// Returns the process group.
    pub fn group(&self) -> Pid {
        self.group
    }

    /// Fails with the last lines of its output if it has ended.
    pub fn check_running(&mut self) -> Result<()> {
        match self.child.try_wait()? {
            Some(status) => bail!("aurora up ended with {status}:\n{}", self.output_tail()),
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

    /// Returns what the group uses now.
    pub fn usage(&self) -> Result<Usage> {
        let mut usage = Usage::default();
        for process in processes()? {
            if process.group == self.group.as_raw_nonzero().get() {
                usage.processor += process.processor;
                usage.resident += resident(process.id);
                usage.processes += 1;
            }
        }
        Ok(usage)
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
            "aurora up did not end within {} s of SIGTERM:\n{}",
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
        while self.usage()?.processes > 0 {
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

/// One line of the process table.
#[derive(Debug, Clone, PartialEq)]
pub struct Process {
    /// Its id.
    pub id: u32,
    /// Its process group.
    pub group: i32,
    /// User and system time, its own and that of the children that it has waited for.
    pub processor: Duration,
    /// Its arguments; empty for one that has ended.
    pub arguments: Vec<String>,
}

/// Returns the processes that live, zombies left out.
pub fn processes() -> Result<Vec<Process>> {
    let mut processes = Vec::new();
    for entry in fs::read_dir("/proc")? {
        let entry = entry?;
        let Some(id) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else {
            continue;
        };
        // A process may end between the listing and the reads.
        let Ok(stat) = fs::read_to_string(entry.path().join("stat")) else {
            continue;
        };
        let arguments = fs::read(entry.path().join("cmdline")).unwrap_or_default();
        if let Some(process) = read_stat(id, &stat, &arguments) {
            processes.push(process);
        }
    }
    Ok(processes)
}

/// Reads `/proc/ID/stat`; `None` for a zombie.
fn read_stat(id: u32, stat: &str, arguments: &[u8]) -> Option<Process> {
    // The name in parentheses may hold spaces and parentheses: the fields start after the last one.
    let (_, fields) = stat.rsplit_once(')')?;
    let fields: Vec<&str> = fields.split_ascii_whitespace().collect();
    let ticks: u64 = fields
        .get(11..15)?
        .iter()
        .filter_map(|field| field.parse::<u64>().ok())
        .sum();
    let is_zombie = *fields.first()? == "Z";
    (!is_zombie).then_some(Process {
        id,
        group: fields.get(2)?.parse().ok()?,
        processor: Duration::from_millis(ticks * 1000 / rustix::param::clock_ticks_per_second()),
        arguments: String::from_utf8_lossy(arguments)
            .split_terminator('\0')
            .map(str::to_owned)
            .collect(),
    })
}

/// Returns `VmRSS` in bytes; 0 for a process that has ended.
fn resident(id: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{id}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kibibytes = line.and_then(|line| line.trim().strip_suffix(" kB")?.parse::<u64>().ok());
    kibibytes.unwrap_or(0) * 1024
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_parentheses_does_not_shift_the_fields() {
        let stat = "7 (a) b) S 1 42 42 0 -1 4194304 1 2 3 4 150 50 25 25 20 0 1 0 9";
        let process = read_stat(7, stat, b"aurora\0up\0").unwrap();
        assert_eq!(
            (process.group, process.processor),
            (42, Duration::from_millis(2500))
        );
        assert_eq!(process.arguments, ["aurora", "up"]);
        assert_eq!(read_stat(7, &stat.replace(") S", ") Z"), b""), None);
    }
}
