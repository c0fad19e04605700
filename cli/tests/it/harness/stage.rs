//! A small disk in a mount namespace of its own: nobody else sees it, and it is gone with its last process.

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use rustix::process::getuid;
use tempfile::TempDir;

/// The namespace, kept by a process that waits for its standard input to be closed.
pub(crate) struct Stage {
    holder: Child,
    folder: TempDir,
}

impl Stage {
    /// Mounts a tmpfs of 8 MiB. An error says why this machine does not let us.
    pub(crate) fn new() -> Result<Self, String> {
        let folder = TempDir::new().map_err(|error| error.to_string())?;
        let mut command = Command::new("unshare");
        command.arg("--mount");
        if !getuid().is_root() {
            command.args(["--user", "--map-root-user"]);
        }
        command
            .args(["sh", "-c"])
            .arg("mount -t tmpfs -o size=8m none \"$DISK\" && echo mounted && exec cat")
            .env("DISK", folder.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut holder = command.spawn().map_err(|error| format!("unshare: {error}"))?;
        let mut line = String::new();
        let output = holder.stdout.take().ok_or("no standard output")?;
        let _read = BufReader::new(output).read_line(&mut line);
        if line.trim() == "mounted" {
            return Ok(Self { holder, folder });
        }
        drop(holder.stdin.take());
        let output = holder.wait_with_output().map_err(|error| error.to_string())?;
        Err(String::from_utf8_lossy(&output.stderr).trim().to_owned())
    }

    /// Returns where the disk is mounted.
    pub(crate) fn disk(&self) -> &Path {
        self.folder.path()
    }

    /// Returns a command as one that runs where the disk is; its process id stays that of `command`'s program.
    pub(crate) fn inside(&self, command: &Command) -> Command {
        let mut inside = Command::new("nsenter");
        inside
            .arg("--mount")
            .arg("--target")
            .arg(self.holder.id().to_string());
        if !getuid().is_root() {
            inside.args(["--user", "--preserve-credentials"]);
        }
        inside.arg(command.get_program()).args(command.get_args());
        for (name, value) in command.get_envs() {
            match value {
                Some(value) => inside.env(name, value),
                None => inside.env_remove(name),
            };
        }
        inside
    }

    /// Runs a line of shell where the disk is, as `$DISK`; it must succeed.
    #[track_caller]
    pub(crate) fn run(&self, line: &str) {
        let mut shell = Command::new("sh");
        shell.arg("-c").arg(line).env("DISK", self.disk());
        let output = self.inside(&shell).output().expect("nsenter starts");
        assert!(
            output.status.success(),
            "{line}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        let _ended = self.holder.kill();
        let _reaped = self.holder.wait();
    }
}
