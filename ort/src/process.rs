//! One process: started, asked one thing at a time, ended.

use std::io::{self, Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::os::unix::process::ExitStatusExt as _;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use crate::protocol::{self, Answer, Ask, Question, Say};

/// How long a process is waited for that has closed its end or was told to end.
const END: Duration = Duration::from_secs(2);

/// Says why a process does not answer. It has ended by then.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Lost {
    /// It has not answered in time.
    #[error("it has not answered within {} s", .0.as_secs())]
    Late(Duration),
    /// It has ended by itself.
    #[error("its process ended: {0}")]
    Ended(String),
    /// What it says is no answer.
    #[error("what it answers makes no sense: {0}")]
    Garbled(String),
}

/// A process that evaluates one model. It ends with this.
#[derive(Debug)]
pub(crate) struct Process {
    child: Child,
    socket: UnixStream,
}

impl Process {
    /// Starts it. It inherits no variable, no file and no folder.
    pub(crate) fn start(mut command: Command) -> io::Result<Self> {
        let (ours, theirs) = UnixStream::pair()?;
        let child = command
            .env_clear()
            .current_dir("/")
            .stdin(Stdio::from(OwnedFd::from(theirs)))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()?;
        Ok(Self { child, socket: ours })
    }

    /// Lets it load its model, as [`Self::ask`] asks.
    pub(crate) fn load(&mut self, model: &[u8], limit: Duration) -> Result<Say, Lost> {
        self.exchange(limit, |socket| protocol::send_model(socket, model))
    }

    /// Asks it one thing, and waits for the answer until `limit` has passed. After an error it has ended.
    pub(crate) fn ask(&mut self, ask: Ask, limit: Duration) -> Result<Say, Lost> {
        let question = Question { ask: Some(ask) };
        self.exchange(limit, |socket| protocol::send(socket, &question))
    }

    fn exchange(
        &mut self,
        limit: Duration,
        ask: impl FnOnce(&mut Deadline<'_>) -> io::Result<()>,
    ) -> Result<Say, Lost> {
        let mut socket = Deadline {
            socket: &self.socket,
            until: Instant::now() + limit,
        };
        let answered = ask(&mut socket).and_then(|()| answer(&mut socket));
        match answered {
            Ok(Some(say)) => Ok(say),
            Ok(None) => Err(Lost::Ended(self.end())),
            Err(error) => Err(match error.kind() {
                io::ErrorKind::TimedOut | io::ErrorKind::WouldBlock => {
                    self.end();
                    Lost::Late(limit)
                }
                io::ErrorKind::InvalidData | io::ErrorKind::InvalidInput => {
                    self.end();
                    Lost::Garbled(error.to_string())
                }
                // It is gone, or goes: how it ended says more than that the socket is closed.
                _ => Lost::Ended(self.end()),
            }),
        }
    }

    /// Ends it, and says how it has ended.
    fn end(&mut self) -> String {
        let since = Instant::now();
        // A crash is a moment away, and its signal is what people look for.
        while since.elapsed() < END {
            match self.child.try_wait() {
                Ok(Some(status)) => return described(status),
                Ok(None) if self.socket_is_closed() => std::thread::sleep(Duration::from_millis(5)),
                Ok(None) | Err(_) => break,
            }
        }
        let _gone_already = self.child.kill();
        match self.child.wait() {
            Ok(_status) => "it was killed".to_owned(),
            Err(error) => error.to_string(),
        }
    }

    /// Says whether the other end is closed, so that the process ends by itself.
    fn socket_is_closed(&self) -> bool {
        let mut byte = [0];
        let closed = self.socket.set_nonblocking(true);
        let closed = closed.and_then(|()| (&self.socket).read(&mut byte));
        matches!(closed, Ok(0)) || closed.is_err_and(|error| error.kind() != io::ErrorKind::WouldBlock)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _gone_already = self.child.kill();
        // Without that it would stay in the table of processes.
        let _status = self.child.wait();
    }
}

/// Waits for an answer; [`None`] where the process has ended.
fn answer(socket: &mut Deadline<'_>) -> io::Result<Option<Say>> {
    let answer: Option<Answer> = protocol::receive(socket)?;
    let Some(Answer { say }) = answer else {
        return Ok(None);
    };
    say.map(Some)
        .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "nothing is said"))
}

/// A socket of which all that is done ends by a moment.
struct Deadline<'a> {
    socket: &'a UnixStream,
    until: Instant,
}

impl Deadline<'_> {
    fn left(&self) -> io::Result<Duration> {
        let left = self.until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(io::ErrorKind::TimedOut.into());
        }
        Ok(left)
    }
}

impl Read for Deadline<'_> {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        self.socket.set_read_timeout(Some(self.left()?))?;
        self.socket.read(bytes)
    }
}

impl Write for Deadline<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.socket.set_write_timeout(Some(self.left()?))?;
        self.socket.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Says how a process has ended, as people know it.
fn described(status: ExitStatus) -> String {
    match (status.signal(), status.code()) {
        (Some(signal), _) => format!("signal {signal}"),
        (None, Some(code)) => format!("exit code {code}"),
        (None, None) => "for no known reason".to_owned(),
    }
}
