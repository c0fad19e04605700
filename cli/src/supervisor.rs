//! What systemd is told of a service of `Type=notify`: that the listeners answer, how the environment stands, that the
//! process ends, and, where it asks for it, that requests are still answered.
//!
//! A message is one datagram that is sent or lost: a supervisor that hangs stops nothing.

mod word;

use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::sync::Arc;
use std::time::Duration;
use std::{env, io, process};

use planner::shown::escape;

pub(crate) use word::Word;

/// The most characters of a status.
const STATUS_CHARS_MAX: usize = 240;

/// Who started this process, if it wants to be told anything.
#[derive(Debug, Clone, Default)]
pub(crate) struct Supervisor(Option<Arc<Told>>);

#[derive(Debug)]
struct Told {
    socket: UnixDatagram,
    address: SocketAddr,
    /// How often it wants to hear that requests are answered.
    watchdog: Option<Duration>,
}

impl Supervisor {
    /// Finds it by `NOTIFY_SOCKET`, `WATCHDOG_USEC` and `WATCHDOG_PID`. One that cannot be reached is told nothing.
    pub(crate) fn from_environment() -> Self {
        let Some(path) = env::var_os("NOTIFY_SOCKET").filter(|path| !path.is_empty()) else {
            return Self::default();
        };
        let watchdog = number("WATCHDOG_USEC").filter(|_| {
            let of = number("WATCHDOG_PID");
            of.is_none_or(|of| of == u64::from(process::id()))
        });
        let address = match path.as_bytes().strip_prefix(b"@") {
            Some(name) => SocketAddr::from_abstract_name(name),
            None => SocketAddr::from_pathname(&path),
        };
        let supervisor = address.and_then(|address| Self::at(address, watchdog.map(Duration::from_micros)));
        supervisor.unwrap_or_else(|error| {
            tracing::warn!(%error, "cannot tell the supervisor of NOTIFY_SOCKET anything");
            Self::default()
        })
    }

    fn at(address: SocketAddr, watchdog: Option<Duration>) -> io::Result<Self> {
        let socket = UnixDatagram::unbound()?;
        socket.set_nonblocking(true)?;
        Ok(Self(Some(Arc::new(Told {
            socket,
            address,
            watchdog,
        }))))
    }

    /// Tells that the listeners answer, models or not.
    pub(crate) fn ready(&self) {
        self.tell("READY=1");
    }

    /// Tells how the environment stands.
    pub(crate) fn status(&self, status: &str) {
        let short: String = escape(status).chars().take(STATUS_CHARS_MAX).collect();
        self.tell(&format!("STATUS={short}"));
    }

    /// Tells that a signal came and the process ends.
    pub(crate) fn stopping(&self) {
        self.tell("STOPPING=1");
    }

    /// Tells for ever that this is still run, twice as often as it is asked. It belongs on the threads that answer
    /// requests, and nowhere else: where they hang, the silence is the message.
    pub(crate) async fn watch(self) {
        let Some(interval) = self.0.as_ref().and_then(|told| told.watchdog) else {
            return;
        };
        let mut beat = tokio::time::interval((interval / 2).max(Duration::from_millis(1)));
        beat.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            let _now = beat.tick().await;
            self.tell("WATCHDOG=1");
        }
    }

    fn tell(&self, message: &str) {
        if let Some(told) = &self.0
            && let Err(error) = told.socket.send_to_addr(message.as_bytes(), &told.address)
        {
            tracing::debug!(%error, message, "the supervisor was not told");
        }
    }
}

fn number(name: &str) -> Option<u64> {
    env::var(name).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    /// Waits for the next message, if one comes within a moment.
    fn heard(socket: &UnixDatagram, patience: Duration) -> Option<String> {
        let mut bytes = [0; 1024];
        socket.set_read_timeout(Some(patience)).unwrap();
        let read = socket.recv(&mut bytes).ok()?;
        Some(String::from_utf8_lossy(&bytes[..read]).into_owned())
    }

    #[test]
    fn threads_that_hang_feed_no_watchdog() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("notify");
        let socket = UnixDatagram::bind(&path).unwrap();
        let address = SocketAddr::from_pathname(&path).unwrap();
        let supervisor = Supervisor::at(address, Some(Duration::from_millis(20))).unwrap();
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        drop(runtime.spawn(supervisor.clone().watch()));
        let patience = Duration::from_secs(30);
        assert_eq!(heard(&socket, patience).as_deref(), Some("WATCHDOG=1"));

        // The only thread is held, as by a request that never ends.
        let (release, released) = mpsc::channel::<()>();
        let (sender, is_held) = mpsc::channel();
        drop(runtime.spawn(async move {
            sender.send(()).unwrap();
            let _end = released.recv();
        }));
        is_held.recv().unwrap();
        supervisor.tell("HELD=1");
        while heard(&socket, patience).as_deref() != Some("HELD=1") {}
        assert_eq!(heard(&socket, Duration::from_millis(200)), None);
        drop(release);
        assert_eq!(heard(&socket, patience).as_deref(), Some("WATCHDOG=1"));
    }

    #[test]
    fn a_status_is_one_short_line() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("notify");
        let socket = UnixDatagram::bind(&path).unwrap();
        let address = SocketAddr::from_pathname(&path).unwrap();
        let supervisor = Supervisor::at(address, None).unwrap();
        supervisor.status("two\nlines\nREADY=1");
        supervisor.status(&"x".repeat(1000));
        let patience = Duration::from_secs(30);
        assert_eq!(
            heard(&socket, patience).as_deref(),
            Some("STATUS=two\\nlines\\nREADY=1")
        );
        assert_eq!(
            heard(&socket, patience).unwrap().len(),
            "STATUS=".len() + STATUS_CHARS_MAX
        );
    }
}
