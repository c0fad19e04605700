//! Connections by HTTP/1: each has one request at a time.

use std::net::SocketAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use bytes::Bytes;
use http_body_util::Full;
use hyper::Request;
use hyper::client::conn::http1::{Builder, SendRequest};
use hyper::header::HeaderMap;
use hyper_util::rt::TokioIo;
use tokio::time::timeout;

use super::{
    Answer, AskError, Bounds, CONNECT_TIMEOUT, HEADER_BYTES_MAX, IDLE_MAX, collect, connect, refused,
};
use crate::http::budget::Held;

/// How many connections are kept that nothing is asked on.
const IDLE_COUNT_MAX: usize = 256;
/// What hyper may buffer of one connection in each direction.
const BUFFER_BYTES_MAX: usize = 64 << 10;

/// The requests of a connection.
type Sender = SendRequest<Full<Bytes>>;

/// The connections to one address.
#[derive(Debug)]
pub(super) struct Connections {
    address: SocketAddr,
    /// The one that was used last comes last.
    idle: Mutex<Vec<Idle>>,
}

#[derive(Debug)]
struct Idle {
    sender: Sender,
    since: Instant,
}

impl Connections {
    pub(super) fn new(address: SocketAddr) -> Self {
        Self {
            address,
            idle: Mutex::default(),
        }
    }

    /// Asks, and waits for all of the answer. Where this is dropped, so is the connection: the endpoint sees that nobody waits.
    ///
    /// `anew`: on no connection that was used before, for the endpoint may have closed that meanwhile.
    pub(super) async fn ask(
        &self,
        mut request: Request<Full<Bytes>>,
        anew: bool,
        bounds: &Bounds,
        held: Held,
    ) -> Result<Answer, AskError> {
        let mut kept = if anew { None } else { self.take_idle().await };
        loop {
            let is_kept = kept.is_some();
            let mut sender = match kept.take() {
                Some(sender) => sender,
                None => self.connect().await?,
            };
            let answered = timeout(bounds.begin, sender.try_send_request(request));
            let response = match answered.await.map_err(|_elapsed| AskError::Late)? {
                Ok(response) => response,
                Err(mut error) => match error.take_message() {
                    // It was closed before anything was sent.
                    Some(unsent) if is_kept => {
                        request = unsent;
                        continue;
                    }
                    _ => return Err(AskError::Broken(error.into_error().to_string())),
                },
            };
            let (parts, body) = response.into_parts();
            // Trailers are nothing to us.
            let (body, _trailers, held) = collect(body, bounds.bytes, held).await?;
            self.keep(sender);
            return Ok(Answer {
                status: parts.status,
                headers: parts.headers,
                body,
                trailers: HeaderMap::new(),
                held,
            });
        }
    }

    async fn connect(&self) -> Result<Sender, AskError> {
        let stream = connect(self.address).await?;
        let (sender, connection) = Builder::new()
            .max_header_size(HEADER_BYTES_MAX)
            .max_buf_size(BUFFER_BYTES_MAX)
            .handshake(TokioIo::new(stream))
            .await
            .map_err(|error| refused(&error))?;
        // It ends with its sender; what goes wrong with it, whoever waits for an answer is told.
        drop(tokio::spawn(async move { connection.await.unwrap_or_default() }));
        Ok(sender)
    }

    /// Returns a connection that is open as far as is known.
    async fn take_idle(&self) -> Option<Sender> {
        loop {
            let Idle { mut sender, since } = self.idle().pop()?;
            // It may still be on its way from one answer to the next request.
            let ready = timeout(CONNECT_TIMEOUT, sender.ready());
            if since.elapsed() < IDLE_MAX && matches!(ready.await, Ok(Ok(()))) {
                return Some(sender);
            }
        }
    }

    fn keep(&self, sender: Sender) {
        if sender.is_closed() {
            return;
        }
        let since = Instant::now();
        let mut idle = self.idle();
        // The oldest come first.
        let old = idle.partition_point(|kept| kept.since.elapsed() >= IDLE_MAX);
        let over = (idle.len() + 1).saturating_sub(IDLE_COUNT_MAX);
        let closed: Vec<_> = idle.drain(..old.max(over)).collect();
        idle.push(Idle { sender, since });
        drop(idle);
        drop(closed);
    }

    fn idle(&self) -> MutexGuard<'_, Vec<Idle>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
