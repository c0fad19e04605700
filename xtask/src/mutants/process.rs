//! Commands that end: by themselves, by their time limit or by an interrupt, and whatever they started with them.

use std::fs::{self, File};
use std::io::{Read as _, Seek as _, SeekFrom};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::FileExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use rustix::process::{Pid, Signal, kill_process, kill_process_group};

use super::verdict::End;

/// How often a command is asked whether it has ended.
const POLL: Duration = Duration::from_millis(20);
/// How much of the end of an output is kept, in bytes.
const TAIL_MAX: u64 = 4000;

/// Becomes true with the first signal that asks for the end.
static IS_INTERRUPTED: AtomicBool = AtomicBool::new(false);

/// Says whether the end was asked for.
pub(super) fn is_interrupted() -> bool {
    IS_INTERRUPTED.load(Ordering::Relaxed)
}

/// Takes SIGINT, SIGTERM and SIGHUP from now on; commands that run are killed, and no new ones start.
pub(super) fn catch_interrupts() -> Result<()> {
    use tokio::signal::unix::{SignalKind, signal};
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_io()
        .build()?;
    let (mut interrupt, mut terminate, mut hang_up) = {
        let _inside = runtime.enter();
        (
            signal(SignalKind::interrupt())?,
            signal(SignalKind::terminate())?,
            signal(SignalKind::hangup())?,
        )
    };
    thread::spawn(move || {
        runtime.block_on(async {
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
                _ = hang_up.recv() => {}
            }
        });
        IS_INTERRUPTED.store(true, Ordering::Relaxed);
    });
    Ok(())
}

/// How a command ended, and the end of what it said.
#[derive(Debug)]
pub(super) struct Ended {
    pub(super) end: End,
    pub(super) took: Duration,
    pub(super) tail: String,
}

/// Runs a command for at most `limit`; [`None`] where the end was asked for. It has failed, and is ended, as soon as a line
/// of its output ends with `failure`, where there is one.
///
/// Nothing that it started outlives it: neither its process group, nor any process that runs a program of `home` or was
/// started with `home` in its environment.
pub(super) fn run(
    mut command: Command,
    home: &Path,
    limit: Duration,
    failure: Option<&str>,
) -> Result<Option<Ended>> {
    if is_interrupted() {
        return Ok(None);
    }
    let mut output = tempfile::tempfile_in(home).context("make a file for the output")?;
    let mut child = command
        .stdin(Stdio::null())
        .stdout(output.try_clone()?)
        .stderr(output.try_clone()?)
        .process_group(0)
        .spawn()
        .with_context(|| format!("start {command:?}"))?;
    let started = Instant::now();
    let mut lines = failure.map(|failure| Lines::new(&output, failure));
    let status = wait(&mut child, limit, || {
        lines.as_mut().is_some_and(Lines::tell_failure)
    });
    let took = started.elapsed();
    if let Some(group) = i32::try_from(child.id()).ok().and_then(Pid::from_raw) {
        // A group that has ended is none.
        let _none = kill_process_group(group, Signal::KILL);
    }
    let _reaped = child.wait();
    sweep(home);
    let end = match status? {
        Waited::Ended(status) if status.success() => End::Passed,
        Waited::Ended(_) | Waited::Told => End::Failed,
        Waited::TimedOut => End::TimedOut,
        Waited::Interrupted => return Ok(None),
    };
    Ok(Some(Ended {
        end,
        took,
        tail: tail(&mut output)?,
    }))
}

enum Waited {
    Ended(ExitStatus),
    /// What it said is enough.
    Told,
    TimedOut,
    Interrupted,
}

fn wait(child: &mut Child, limit: Duration, mut is_told: impl FnMut() -> bool) -> Result<Waited> {
    let started = Instant::now();
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(Waited::Ended(status));
        }
        if is_interrupted() {
            return Ok(Waited::Interrupted);
        }
        if is_told() {
            return Ok(Waited::Told);
        }
        if started.elapsed() > limit {
            return Ok(Waited::TimedOut);
        }
        thread::sleep(POLL);
    }
}

/// The lines that a command writes, looked for one with a given end while it goes on.
struct Lines<'a> {
    output: &'a File,
    end: &'a str,
    /// Up to where the output was read, in bytes, and the line that has no end yet.
    read: u64,
    open: Vec<u8>,
}

impl<'a> Lines<'a> {
    fn new(output: &'a File, end: &'a str) -> Self {
        Self {
            output,
            end,
            read: 0,
            open: Vec::new(),
        }
    }

    /// Reads what is new, and says whether a whole line of it ends so.
    fn tell_failure(&mut self) -> bool {
        let mut buffer = [0; 8192];
        // What cannot be read now is read later, or its exit code tells.
        while let Ok(count @ 1..) = self.output.read_at(&mut buffer, self.read) {
            self.read += count as u64;
            for byte in &buffer[..count] {
                if *byte != b'\n' {
                    self.open.push(*byte);
                    continue;
                }
                if self.open.ends_with(self.end.as_bytes()) {
                    return true;
                }
                self.open.clear();
            }
        }
        false
    }
}

/// Kills what runs a program of `home`, or was started with it in its environment.
pub(super) fn sweep(home: &Path) {
    let own = std::process::id();
    for entry in fs::read_dir("/proc").into_iter().flatten().flatten() {
        let id = entry.file_name().to_string_lossy().parse::<u32>();
        let Some(id) = id.ok().filter(|id| *id != own) else {
            continue;
        };
        let runs_ours = fs::read_link(entry.path().join("exe")).is_ok_and(|exe| exe.starts_with(home));
        let environment = fs::read(entry.path().join("environ")).unwrap_or_default();
        let names_ours = contains(&environment, home.as_os_str().as_bytes());
        if let (true, Some(id)) = (
            runs_ours || names_ours,
            i32::try_from(id).ok().and_then(Pid::from_raw),
        ) {
            // One that has ended by itself meanwhile is as good.
            let _gone = kill_process(id, Signal::KILL);
        }
    }
}

fn contains(bytes: &[u8], part: &[u8]) -> bool {
    bytes.windows(part.len()).any(|window| window == part)
}

fn tail(output: &mut File) -> Result<String> {
    let length = output.metadata()?.len();
    output.seek(SeekFrom::Start(length.saturating_sub(TAIL_MAX)))?;
    let mut bytes = Vec::new();
    output.take(TAIL_MAX).read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str, home: &Path) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", script]).env("MUTANTS_HOME", home);
        command
    }

    #[test]
    fn a_command_ends_with_the_line_that_tells_its_failure() {
        let home = tempfile::tempdir().unwrap();
        for (script, end) in [
            (
                "echo 'test a ... ok'; echo 'test b ... FAILED'; sleep 1000",
                End::Failed,
            ),
            (
                "printf 'test a ... FAI'; sleep 0.1; echo 'LED'; sleep 1000",
                End::Failed,
            ),
            ("echo '... FAILED is what it said'", End::Passed),
        ] {
            let ended = run(
                shell(script, home.path()),
                home.path(),
                Duration::from_mins(5),
                Some("... FAILED"),
            );
            assert_eq!(ended.unwrap().unwrap().end, end, "{script}");
        }
    }

    #[test]
    fn a_command_passes_fails_or_runs_out_of_time() {
        let home = tempfile::tempdir().unwrap();
        let long = Duration::from_mins(1);
        for (script, limit, end, tail) in [
            ("echo good", long, End::Passed, "good"),
            ("echo bad >&2; exit 3", long, End::Failed, "bad"),
            (
                "echo stuck; sleep 1000",
                Duration::from_millis(300),
                End::TimedOut,
                "stuck",
            ),
        ] {
            let ended = run(shell(script, home.path()), home.path(), limit, None)
                .unwrap()
                .unwrap();
            assert_eq!((ended.end, ended.tail.as_str()), (end, tail), "{script}");
        }
    }

    #[test]
    fn who_left_the_group_is_swept_too() {
        let home = tempfile::tempdir().unwrap();
        let script = "setsid sleep 1000 & echo $!";
        let ended = run(
            shell(script, home.path()),
            home.path(),
            Duration::from_mins(1),
            None,
        )
        .unwrap()
        .unwrap();
        let status = Path::new("/proc").join(&ended.tail).join("cmdline");
        // A process that was killed keeps its entry until its parent reads it; its command line is gone at once.
        let deadline = Instant::now() + Duration::from_mins(1);
        while fs::read(&status).is_ok_and(|line| !line.is_empty()) {
            assert!(Instant::now() < deadline, "{} lives", ended.tail);
            thread::sleep(POLL);
        }
    }
}
