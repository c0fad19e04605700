//! Connections by HTTP/2, which both ends know they speak: each has many calls at a time.
//!
//! There are as many as the calls under way need, and no more: whoever finds none with room waits for whoever opens one.

use std::net::SocketAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body_util::Full;
use hyper::client::conn::http2::{Builder, SendRequest};
use hyper::{Request, StatusCode};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::time::timeout;

use super::{
    Answer, AskError, Bounds, CONNECT_TIMEOUT, HEADER_BYTES_MAX, IDLE_MAX, collect, connect, refused,
};
use crate::http::budget::Held;
use crate::inference::grpc::status;

/// How many calls a connection has at a time: fewer than an endpoint takes, so that none waits there for its turn to begin.
const CALLS_MAX: u32 = 64;
/// What may come of an answer before somebody reads it, and of all answers of a connection: one that waits for room keeps no
/// other back.
const ANSWER_WINDOW_BYTES: u32 = 64 << 10;
const CONNECTION_WINDOW_BYTES: u32 = CALLS_MAX * ANSWER_WINDOW_BYTES;
/// How many calls are remembered for a second that were cancelled: what still comes of their answers is passed over then, and is
/// no fault of the endpoint for which the connection would end in time.
const CANCELLED_MAX: usize = 1 << 10;
/// How often an endpoint that owes an answer is asked whether it is there, and how long it may take to say so: else all calls
/// of a connection whose other end is gone would wait as long as an answer may take.
const SIGN_OF_LIFE: Duration = Duration::from_secs(10);

/// The calls of a connection; cheap to clone.
type Sender = SendRequest<Full<Bytes>>;

/// The connections to one address.
#[derive(Debug)]
pub(super) struct Connections {
    address: SocketAddr,
    open: Mutex<Open>,
    /// Held while one is opened; with the last that could not be.
    opening: tokio::sync::Mutex<Option<Refused>>,
}

#[derive(Debug, Default)]
struct Open {
    connections: Vec<Connection>,
    next: u64,
}

#[derive(Debug)]
struct Connection {
    id: u64,
    sender: Sender,
    opened: Instant,
    calls: u32,
    /// Since when it has no call, where it has none.
    idle_since: Instant,
}

#[derive(Debug)]
struct Refused {
    at: Instant,
    why: String,
}

impl Connections {
    pub(super) fn new(address: SocketAddr) -> Self {
        Self {
            address,
            open: Mutex::default(),
            opening: tokio::sync::Mutex::default(),
        }
    }

    /// Calls, and waits for all of the answer. Where this is dropped the call is cancelled: the endpoint sees that nobody waits.
    ///
    /// `since`: on no connection that was opened before.
    pub(super) async fn ask(
        &self,
        request: &Request<Full<Bytes>>,
        since: Option<Instant>,
        bounds: &Bounds,
        held: Held,
    ) -> Result<Answer, AskError> {
        let mut since = since;
        loop {
            let (turn, mut sender) = self.turn(since).await?;
            let answered = timeout(bounds.begin, sender.try_send_request(request.clone()));
            let response = match answered.await.map_err(|_elapsed| AskError::Late)? {
                Ok(response) => response,
                Err(mut error) => {
                    let is_unsent = error.take_message().is_some();
                    let error = error.into_error();
                    match (is_unsent || is_untaken(&error), since) {
                        // A connection that was kept may have ended meanwhile; a new one tells.
                        (true, None) => {
                            since = Some(Instant::now());
                            continue;
                        }
                        (true, Some(_)) => return Err(refused(&error)),
                        (false, _) => return Err(AskError::Broken(error.to_string())),
                    }
                }
            };
            let (parts, body) = response.into_parts();
            let (body, trailers, held) = collect(body, bounds.bytes, held).await?;
            drop(turn);
            let status = Some(parts.status)
                .filter(|status| *status == StatusCode::OK)
                .and_then(|_ok| status::counted(&parts.headers, &trailers))
                .ok_or(AskError::NoCall(parts.status))?;
            return Ok(Answer {
                status,
                headers: parts.headers,
                body,
                trailers,
                held,
            });
        }
    }

    /// Returns a turn on a connection that has room, opening one where there is none.
    async fn turn(&self, since: Option<Instant>) -> Result<(Turn<'_>, Sender), AskError> {
        if let Some(taken) = self.take(since) {
            return Ok(taken);
        }
        let arrived = Instant::now();
        let mut last = self.opening.lock().await;
        if let Some(taken) = self.take(since) {
            return Ok(taken);
        }
        // Many that wait are refused at once, and not one after the other.
        if let Some(refused) = last.as_ref().filter(|refused| refused.at >= arrived) {
            return Err(AskError::Refused(refused.why.clone()));
        }
        let opened = timeout(CONNECT_TIMEOUT, self.connect()).await;
        match opened.unwrap_or_else(|elapsed| Err(refused(&elapsed))) {
            Ok(sender) => Ok(self.opened(sender)),
            Err(AskError::Refused(why)) => {
                *last = Some(Refused {
                    at: Instant::now(),
                    why: why.clone(),
                });
                Err(AskError::Refused(why))
            }
            Err(error) => Err(error),
        }
    }

    async fn connect(&self) -> Result<Sender, AskError> {
        let stream = connect(self.address).await?;
        let (sender, connection) = Builder::new(TokioExecutor::new())
            .timer(TokioTimer::new())
            .keep_alive_interval(SIGN_OF_LIFE)
            .keep_alive_timeout(SIGN_OF_LIFE)
            .max_header_list_size(u32::try_from(HEADER_BYTES_MAX).unwrap_or(u32::MAX))
            .max_concurrent_reset_streams(CANCELLED_MAX)
            .initial_stream_window_size(ANSWER_WINDOW_BYTES)
            .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
            .handshake(TokioIo::new(stream))
            .await
            .map_err(|error| refused(&error))?;
        // It ends with its senders; what goes wrong with it, whoever waits for an answer is told.
        drop(tokio::spawn(async move { connection.await.unwrap_or_default() }));
        Ok(sender)
    }

    /// Takes a turn on the connection that has most room, and lets go of those that have ended or idled for long.
    fn take(&self, since: Option<Instant>) -> Option<(Turn<'_>, Sender)> {
        let mut open = self.open();
        let is_over = |connection: &mut Connection| {
            let idles = connection.calls == 0 && connection.idle_since.elapsed() >= IDLE_MAX;
            idles || connection.sender.is_closed()
        };
        let closed: Vec<_> = open.connections.extract_if(.., is_over).collect();
        let has_room = |connection: &&mut Connection| {
            connection.calls < CALLS_MAX && since.is_none_or(|since| connection.opened >= since)
        };
        let with_room = open.connections.iter_mut().filter(has_room);
        let taken = with_room
            .min_by_key(|connection| connection.calls)
            .map(|connection| {
                connection.calls += 1;
                (connection.id, connection.sender.clone())
            });
        drop(open);
        drop(closed);
        taken.map(|(id, sender)| (self.turn_of(id), sender))
    }

    fn opened(&self, sender: Sender) -> (Turn<'_>, Sender) {
        let mut open = self.open();
        let id = open.next;
        open.next += 1;
        let opened = Instant::now();
        open.connections.push(Connection {
            id,
            sender: sender.clone(),
            opened,
            calls: 1,
            idle_since: opened,
        });
        drop(open);
        (self.turn_of(id), sender)
    }

    fn turn_of(&self, id: u64) -> Turn<'_> {
        Turn {
            connections: self,
            id,
        }
    }

    fn open(&self) -> MutexGuard<'_, Open> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A call's turn on a connection, until it is dropped.
struct Turn<'a> {
    connections: &'a Connections,
    id: u64,
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        let mut open = self.connections.open();
        let connection = open
            .connections
            .iter_mut()
            .find(|connection| connection.id == self.id);
        // One that has ended is not among them any more.
        if let Some(connection) = connection {
            connection.calls -= 1;
            if connection.calls == 0 {
                connection.idle_since = Instant::now();
            }
        }
    }
}

/// Says whether the other end has told that it does nothing with a call: it has refused it, or ended the connection before it
/// (<https://www.rfc-editor.org/rfc/rfc9113#section-8.7>).
fn is_untaken(error: &hyper::Error) -> bool {
    let source = std::error::Error::source(error);
    let Some(error) = source.and_then(|source| source.downcast_ref::<h2::Error>()) else {
        return false;
    };
    // Of a connection that ends, those calls alone are told so that it does not take.
    error.is_remote() && (error.is_go_away() || error.reason() == Some(h2::Reason::REFUSED_STREAM))
}
