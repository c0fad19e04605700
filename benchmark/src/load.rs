//! The load generator: keep-alive connections driven by one thread over epoll, in a closed loop or an open one.
//!
//! In an open loop a request is due at a time that does not depend on earlier answers. When no connection is free it
//! waits, and its latency still counts from when it was due. Both spin: they want a core of their own, and to wake whoever sleeps
//! would count as the server's work, more of it the slower the server is.

use std::collections::VecDeque;
use std::io::{self, Read, Write};
use std::mem::MaybeUninit;
use std::net::{SocketAddr, TcpStream};
use std::ops::ControlFlow;
use std::time::{Duration, Instant};

use rustix::event::{Timespec, epoll};
use rustix::fd::OwnedFd;

use crate::http;
use crate::replies::{Outcome, Replies, Reply};

/// A request without an answer for this long has failed.
const ANSWER_WAIT_MAX: Duration = Duration::from_secs(5);

/// One turn of the open loop takes microseconds; where it took longer than this, the core did something else.
const TURN_MAX: Duration = Duration::from_millis(1);

/// What sends requests over a fixed number of connections.
#[derive(Debug)]
pub struct Load {
    address: SocketAddr,
    epoll: OwnedFd,
    connections: Vec<Connection>,
    idle: Vec<usize>,
    /// Times count from here.
    origin: Instant,
}

#[derive(Debug)]
struct Connection {
    stream: TcpStream,
    received: Vec<u8>,
    in_flight: Option<InFlight>,
}

#[derive(Debug, Clone, Copy)]
struct InFlight {
    due: Duration,
    sent: Duration,
}

/// When a closed loop ends.
#[derive(Debug, Clone, Copy)]
pub enum Until {
    /// After so many requests.
    Requests(usize),
    /// After so long.
    Elapsed(Duration),
}

impl Load {
    /// Connects to `address`. The times of replies count from `origin`.
    pub fn connect(address: SocketAddr, connections: usize, origin: Instant) -> io::Result<Self> {
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        let mut load = Self {
            address,
            epoll,
            connections: Vec::with_capacity(connections),
            idle: (0..connections).rev().collect(),
            origin,
        };
        for index in 0..connections {
            let connection = load.dial(index)?;
            load.connections.push(connection);
        }
        Ok(load)
    }

    /// Keeps a request in flight on each connection: the next is due when the answer is in.
    pub fn closed(&mut self, request: &[u8], until: Until) -> io::Result<Replies> {
        let mut replies = Replies::default();
        let start = self.now();
        let mut sent = 0;
        loop {
            let now = self.now();
            let more = match until {
                Until::Requests(count) => sent < count,
                Until::Elapsed(duration) => now < start + duration,
            };
            if more {
                let idle = match until {
                    Until::Requests(count) => self.idle.len().min(count - sent),
                    Until::Elapsed(_) => self.idle.len(),
                };
                for _ in 0..idle {
                    self.send(request, now, &mut replies)?;
                    sent += 1;
                }
            } else if self.idle.len() == self.connections.len() {
                return Ok(replies);
            }
            self.receive(Duration::ZERO, &mut replies)?;
        }
    }

    /// Sends `rate` requests a second, each when it is due and on whichever connection is free, until `tick` says that
    /// no more become due.
    ///
    /// `tick` is called between requests with the time since the origin; it must be short, for it delays what is due.
    pub fn open(
        &mut self,
        request: &[u8],
        rate: f64,
        tick: &mut dyn FnMut(Duration) -> ControlFlow<()>,
    ) -> io::Result<Replies> {
        let mut replies = Replies::default();
        let mut waiting = VecDeque::new();
        let start = self.now();
        let mut end = None;
        let mut count: u32 = 0;
        let mut before = start;
        loop {
            let now = self.now();
            if now > before + TURN_MAX {
                replies.away += now.saturating_sub(before);
            }
            before = now;
            loop {
                let due = start + Duration::from_secs_f64(f64::from(count) / rate);
                if due > end.unwrap_or(now) {
                    break;
                }
                waiting.push_back(due);
                count += 1;
            }
            while !self.idle.is_empty() {
                let Some(due) = waiting.pop_front() else { break };
                self.send(request, due, &mut replies)?;
            }
            if end.is_some() && waiting.is_empty() && self.idle.len() == self.connections.len() {
                return Ok(replies);
            }
            self.receive(Duration::ZERO, &mut replies)?;
            if end.is_none() && tick(self.now()).is_break() {
                end = Some(self.now());
            }
        }
    }

    /// Returns the time since the origin.
    pub fn now(&self) -> Duration {
        self.origin.elapsed()
    }

    fn dial(&self, index: usize) -> io::Result<Connection> {
        let stream = TcpStream::connect_timeout(&self.address, ANSWER_WAIT_MAX)?;
        stream.set_nodelay(true)?;
        stream.set_nonblocking(true)?;
        let data = epoll::EventData::new_u64(index as u64);
        epoll::add(&self.epoll, &stream, data, epoll::EventFlags::IN)?;
        Ok(Connection {
            stream,
            received: Vec::with_capacity(4 << 10),
            in_flight: None,
        })
    }

    /// Sends on an idle connection, of which there is one.
    fn send(&mut self, request: &[u8], due: Duration, replies: &mut Replies) -> io::Result<()> {
        let index = self
            .idle
            .pop()
            .expect("invariant: the caller saw an idle connection");
        let sent = self.now();
        let connection = &mut self.connections[index];
        connection.in_flight = Some(InFlight { due, sent });
        // Invariant: with one small request in flight the socket's buffer never fills, so this never would block.
        if let Err(error) = connection.stream.write_all(request) {
            self.fail(index, &error.to_string(), replies)?;
        }
        Ok(())
    }

    /// Takes in the answers that have come, waiting at most `wait` for the first.
    fn receive(&mut self, wait: Duration, replies: &mut Replies) -> io::Result<()> {
        let mut events = [const { MaybeUninit::uninit() }; 64];
        let timeout = Timespec {
            tv_sec: 0,
            tv_nsec: i64::from(wait.subsec_nanos()),
        };
        let (events, _unused) = epoll::wait(&self.epoll, &mut events, Some(&timeout))?;
        for event in &*events {
            let index = usize::try_from(event.data.u64()).expect("invariant: we registered an index");
            self.read(index, replies)?;
        }
        if events.is_empty() {
            self.fail_overdue(replies)?;
        }
        Ok(())
    }

    fn read(&mut self, index: usize, replies: &mut Replies) -> io::Result<()> {
        let now = self.origin.elapsed();
        let connection = &mut self.connections[index];
        let mut chunk = [0; 8 << 10];
        let ended = match connection.stream.read(&mut chunk) {
            Ok(0) => Some("connection closed by the server".to_owned()),
            Ok(bytes) => {
                connection.received.extend_from_slice(&chunk[..bytes]);
                None
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
            Err(error) => Some(error.to_string()),
        };
        if let Some(reason) = ended {
            return self.fail(index, &reason, replies);
        }
        let answer = match http::parse(&connection.received) {
            Ok(None) => return Ok(()),
            Ok(Some(answer)) => answer,
            Err(error) => return self.fail(index, error.0, replies),
        };
        let Some(InFlight { due, sent }) = connection.in_flight.take() else {
            return self.fail(index, "an answer that nobody asked for", replies);
        };
        let outcome = replies.intern(&answer);
        let closes = answer.closes;
        let bytes = answer.bytes;
        connection.received.drain(..bytes);
        replies.push(Reply {
            due,
            sent,
            received: now,
            outcome,
        });
        if closes {
            self.connections[index] = self.dial(index)?;
        }
        self.idle.push(index);
        Ok(())
    }

    /// Records what was in flight as failed, and connects anew.
    fn fail(&mut self, index: usize, reason: &str, replies: &mut Replies) -> io::Result<()> {
        let now = self.now();
        if let Some(InFlight { due, sent }) = self.connections[index].in_flight {
            let outcome = replies.intern_outcome(Outcome::failed(reason));
            replies.push(Reply {
                due,
                sent,
                received: now,
                outcome,
            });
            self.idle.push(index);
        }
        self.connections[index] = self.dial(index)?;
        Ok(())
    }

    fn fail_overdue(&mut self, replies: &mut Replies) -> io::Result<()> {
        let now = self.now();
        for index in 0..self.connections.len() {
            let in_flight = self.connections[index].in_flight;
            if in_flight.is_some_and(|request| now > request.sent + ANSWER_WAIT_MAX) {
                self.fail(index, "no answer within 5 s", replies)?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
