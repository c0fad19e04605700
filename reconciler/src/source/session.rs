//! One process that reads Git, from its start to its end.
//!
//! It is given no terminal and only the variables that Git needs. Whatever it does, it is waited for no longer than a
//! request may take: in time, and in work, so that a machine that is busy with other things is not taken for a hang.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, BufReader, Read, Write as _};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use super::Reader;
use super::protocol::{Kind, Request, read_answer, write_request};

/// What the process keeps of the environment: where Git's configuration lies, and the objects of a push under way.
const VARIABLES: [&str; 6] = [
    "HOME",
    "XDG_CONFIG_HOME",
    "GIT_QUARANTINE_PATH",
    "SUDO_UID",
    "TZ",
    "RUST_BACKTRACE",
];

/// Of these, where the user's own configuration lies.
const USERS: [&str; 2] = ["HOME", "XDG_CONFIG_HOME"];

/// How often it is looked whether the process still may go on.
const TICK: Duration = Duration::from_millis(50);
/// How long the process may take to take in a request.
const WRITE_PATIENCE: Duration = Duration::from_secs(10);
/// How long it is waited for a process that was killed; a disk that hangs may hold it longer.
const REAP_PATIENCE: Duration = Duration::from_millis(500);
/// The clock ticks of `/proc/PID/stat`, on all of Linux.
const TICKS_PER_SECOND: u64 = 100;

/// What a request may take until more of its answer is there.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Patience {
    /// Processor time: what hangs in a loop has used it up soon.
    pub(crate) work: Duration,
    /// Time: what waits for a disk or a pipe uses none.
    pub(crate) time: Duration,
}

/// Which of Git's configuration counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Configuration {
    Whole,
    /// The user's own is left out: it cannot be read.
    WithoutUser,
}

/// Where a process that fetches lives.
#[derive(Debug)]
pub(crate) struct Fetching<'a> {
    /// Its home, with nothing of the user's in it.
    pub(crate) home: &'a Path,
    /// The certificates that it trusts, instead of the system's.
    pub(crate) authorities: Option<&'a Path>,
    /// Where an SSH agent listens.
    pub(crate) agent: Option<&'a OsStr>,
}

impl Fetching<'_> {
    fn variables(&self) -> Vec<(&'static str, OsString)> {
        let mut variables = vec![("HOME", self.home.into()), ("XDG_CONFIG_HOME", self.home.into())];
        if let Some(authorities) = self.authorities {
            // The folder holds no certificate, so that the system's count no more.
            variables.push(("SSL_CERT_FILE", authorities.into()));
            variables.push(("SSL_CERT_DIR", self.home.into()));
        }
        variables.extend(self.agent.map(|agent| ("SSH_AUTH_SOCK", agent.to_owned())));
        variables
    }
}

/// What a process that fetches is told besides on its command line: it may write.
pub const FETCHING: &str = "fetch";

/// Says whether there is a home from which Git reads this user's configuration, or would if there were any.
pub(crate) fn has_home() -> bool {
    let home = std::env::var_os("HOME").filter(|home| !home.is_empty());
    home.is_some_and(|home| {
        let opened = File::open(Path::new(&home).join(".gitconfig"));
        let is_missing = |error: &io::Error| error.kind() == io::ErrorKind::NotFound;
        Path::new(&home).is_dir() && opened.as_ref().err().is_none_or(is_missing)
    })
}

/// Why there is no answer.
#[derive(Debug)]
pub(crate) enum Lost {
    /// It took too long.
    Stuck(Duration),
    /// The process ended; how, if that is known.
    Ended(Option<ExitStatus>),
    /// It could not be started or asked.
    Io(io::Error),
}

/// A process that reads Git, or a thread that stands for one.
#[derive(Debug)]
pub(crate) struct Session {
    input: BufReader<UnixStream>,
    output: UnixStream,
    child: Option<Child>,
}

impl Session {
    /// Starts the process, with the user's own configuration of Git or without it.
    pub(crate) fn start(reader: &Reader, configuration: Configuration) -> io::Result<Self> {
        let is_kept = |name: &&str| configuration == Configuration::Whole || !USERS.contains(name);
        let variables = VARIABLES.into_iter().filter(is_kept);
        let variables = variables.filter_map(|name| Some((name, std::env::var_os(name)?)));
        Self::start_with(reader, None, variables.collect())
    }

    /// Starts a process that may fetch: in a home of its own, without the user's configuration of Git.
    pub(crate) fn start_fetching(reader: &Reader, fetching: &Fetching<'_>) -> io::Result<Self> {
        Self::start_with(reader, Some(FETCHING), fetching.variables())
    }

    fn start_with(reader: &Reader, word: Option<&str>, variables: Vec<(&str, OsString)>) -> io::Result<Self> {
        let (ours, theirs) = UnixStream::pair()?;
        ours.set_read_timeout(Some(TICK))?;
        ours.set_write_timeout(Some(WRITE_PATIENCE))?;
        let child = match reader {
            Reader::Process { program, arguments } => {
                let mut command = Command::new(program);
                command
                    .args(arguments)
                    .args(word)
                    .env_clear()
                    .envs(variables)
                    .stdin(Stdio::from(OwnedFd::from(theirs)))
                    .stdout(Stdio::null())
                    .stderr(Stdio::null())
                    // Ctrl-C on the terminal is for whoever started us, not for it.
                    .process_group(0);
                Some(command.spawn()?)
            }
            Reader::Thread => {
                std::thread::Builder::new()
                    .name("git".to_owned())
                    .spawn(move || crate::git::serve(theirs, || {}))?;
                None
            }
        };
        Ok(Self {
            input: BufReader::with_capacity(64 * 1024, ours.try_clone()?),
            output: ours,
            child,
        })
    }

    /// Returns the stream, for ending it from another thread.
    pub(crate) fn stream(&self) -> io::Result<UnixStream> {
        self.output.try_clone()
    }

    pub(crate) fn ask(&mut self, request: &Request) -> Result<(), Lost> {
        let mut bytes = Vec::new();
        write_request(&mut bytes, request).map_err(Lost::Io)?;
        match self.output.write_all(&bytes) {
            Ok(()) => Ok(()),
            Err(error) if is_a_tick(&error) => Err(Lost::Stuck(WRITE_PATIENCE)),
            Err(_closed) => Err(Lost::Ended(self.ended())),
        }
    }

    pub(crate) fn answer(&mut self, patience: Patience) -> Result<(Kind, Vec<u8>), Lost> {
        let mut patient = Patient {
            input: &mut self.input,
            process: self.child.as_ref().map(Child::id),
            patience,
            since: None,
            exceeded: None,
        };
        match read_answer(&mut patient) {
            Ok(answer) => Ok(answer),
            Err(_) if patient.exceeded.is_some() => Err(Lost::Stuck(patient.exceeded.unwrap_or_default())),
            Err(error) if error.kind() == io::ErrorKind::InvalidData => Err(Lost::Io(error)),
            Err(_closed) => Err(Lost::Ended(self.ended())),
        }
    }

    /// Returns how the process ended, which closed the stream.
    fn ended(&mut self) -> Option<ExitStatus> {
        let child = self.child.as_mut()?;
        let until = Instant::now() + REAP_PATIENCE;
        loop {
            match child.try_wait() {
                Ok(Some(status)) => return Some(status),
                Ok(None) if Instant::now() < until => std::thread::sleep(Duration::from_millis(5)),
                Ok(None) | Err(_) => return None,
            }
        }
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        // It ends itself then, unless it cannot.
        drop(self.output.shutdown(std::net::Shutdown::Both));
        let Some(mut child) = self.child.take() else {
            return;
        };
        drop(child.kill());
        let until = Instant::now() + REAP_PATIENCE;
        while Instant::now() < until {
            match child.try_wait() {
                Ok(None) => std::thread::sleep(Duration::from_millis(1)),
                Ok(Some(_)) | Err(_) => return,
            }
        }
        // In the middle of a system call that a signal does not end.
        let reaped = std::thread::Builder::new().spawn(move || child.wait());
        if let Err(error) = reaped {
            tracing::warn!(%error, "a process that read Git is left behind");
        }
    }
}

/// Reads what comes as long as the patience lasts; it begins anew with each piece.
struct Patient<'a> {
    input: &'a mut BufReader<UnixStream>,
    process: Option<u32>,
    patience: Patience,
    /// Since when nothing has come, and the process's work until then.
    since: Option<(Instant, Option<Duration>)>,
    exceeded: Option<Duration>,
}

impl Read for Patient<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            let error = match self.input.read(buffer) {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(bytes) => {
                    self.since = None;
                    return Ok(bytes);
                }
                Err(error) => error,
            };
            if error.kind() == io::ErrorKind::Interrupted {
                continue;
            }
            if !is_a_tick(&error) {
                return Err(error);
            }
            let work = self.process.and_then(work_of);
            let (since, work_before) = *self.since.get_or_insert_with(|| (Instant::now(), work));
            let worked = work
                .zip(work_before)
                .map(|(now, before)| now.saturating_sub(before));
            if since.elapsed() + TICK >= self.patience.time {
                self.exceeded = Some(self.patience.time);
            } else if worked.is_some_and(|worked| worked + TICK >= self.patience.work) {
                self.exceeded = Some(self.patience.work);
            }
            if self.exceeded.is_some() {
                return Err(error);
            }
        }
    }
}

fn is_a_tick(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut)
}

/// Returns the processor time that a process has used; nothing where the system does not tell.
fn work_of(process: u32) -> Option<Duration> {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
    // The name may hold anything; what follows its last bracket is numbers.
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace().skip(11);
    let user: u64 = fields.next()?.parse().ok()?;
    let system: u64 = fields.next()?.parse().ok()?;
    Some(Duration::from_millis((user + system) * 1000 / TICKS_PER_SECOND))
}

/// SIGKILL.
const KILL: i32 = 9;

/// Says whether a process was killed from outside: nothing that it reads does that.
pub(crate) fn is_killed(status: Option<ExitStatus>) -> bool {
    status.and_then(|status| status.signal()) == Some(KILL)
}

/// SIGXFSZ.
const FILE_TOO_LARGE: i32 = 25;

/// Says whether a process ended over a file that grew larger than it may.
pub(crate) fn is_too_large(status: Option<ExitStatus>) -> bool {
    status.and_then(|status| status.signal()) == Some(FILE_TOO_LARGE)
}

/// Says how a process ended.
pub(crate) fn said(status: Option<ExitStatus>) -> String {
    match status {
        Some(status) => match status.signal() {
            Some(KILL) => {
                "the process that reads Git was killed (signal 9), by the kernel if memory ran out".to_owned()
            }
            Some(signal) => format!("the process that reads Git was ended by signal {signal}"),
            None => format!(
                "the process that reads Git ended with code {}",
                status.code().unwrap_or_default()
            ),
        },
        None => "the process that reads Git closed its stream".to_owned(),
    }
}
