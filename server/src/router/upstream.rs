//! One endpoint: its connections, what it has under way, and whether it failed a moment ago.

use std::future::poll_fn;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::{Body as _, Incoming};
use hyper::client::conn::http1::{Builder, SendRequest};
use hyper::header::{HeaderMap, HeaderValue};
use hyper::{Request, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::pick::Load;
use crate::http::budget::{Full as NoRoom, Held};
use crate::http::clock;

/// How long taking a connection may last: endpoints are near.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);
/// How long an answer that has begun may say nothing.
const STALL: Duration = Duration::from_secs(30);
/// For how long an endpoint that failed is asked only where all of its track failed.
const OUT: Duration = Duration::from_secs(2);
/// How long a connection is kept that nothing is asked on: less than an endpoint keeps it.
const IDLE_MAX: Duration = Duration::from_mins(1);
/// How many such connections are kept.
const IDLE_COUNT_MAX: usize = 256;
/// The most that the headers of an answer take.
const HEADER_BYTES_MAX: usize = 32 << 10;
/// What hyper may buffer of one connection in each direction.
const BUFFER_BYTES_MAX: usize = 64 << 10;

/// The requests of a connection.
type Sender = SendRequest<Full<Bytes>>;

/// One endpoint; the same as long as it is told.
#[derive(Debug)]
pub(crate) struct Endpoint {
    pub(crate) address: SocketAddr,
    under_way: AtomicUsize,
    out_until: AtomicU64,
    /// The one that was used last comes last.
    idle: Mutex<Vec<Idle>>,
}

#[derive(Debug)]
struct Idle {
    sender: Sender,
    since: Instant,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub(super) enum AskError {
    /// It got nothing.
    #[error("takes no connection: {0}")]
    Refused(String),
    /// What it got is not known, or it broke off.
    #[error("broke off: {0}")]
    Broken(String),
    /// It has had its time.
    #[error("did not answer in time")]
    Late,
    /// Its answer is larger than any may be.
    #[error("its answer is larger than {0} bytes")]
    TooLarge(usize),
    /// All answers together take too much already.
    #[error("there is no room for its answer")]
    NoRoom,
}

/// A whole answer.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
    /// What it holds until it is taken.
    pub(super) held: Held,
}

/// What an answer may take.
#[derive(Debug)]
pub(super) struct Bounds {
    /// Until it begins.
    pub(super) begin: Duration,
    pub(super) bytes: usize,
}

impl Endpoint {
    pub(super) fn new(address: SocketAddr) -> Self {
        Self {
            address,
            under_way: AtomicUsize::new(0),
            out_until: AtomicU64::new(0),
            idle: Mutex::default(),
        }
    }

    pub(super) fn load(&self) -> Load {
        Load {
            under_way: self.under_way.load(Ordering::Relaxed),
            is_out: self.out_until.load(Ordering::Relaxed) > clock::now(),
        }
    }

    /// Others are asked for a while.
    pub(super) fn put_out(&self) {
        let until = clock::now() + clock::microseconds(OUT);
        self.out_until.store(until, Ordering::Relaxed);
    }

    /// Returns what the header `Host` says where the client's said nothing.
    pub(super) fn host(&self) -> HeaderValue {
        HeaderValue::try_from(self.address.to_string())
            .expect("invariant: an address and a port are visible ASCII")
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
        let _under_way = UnderWay::new(&self.under_way);
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
            let (body, held) = collect(body, bounds.bytes, held).await?;
            self.keep(sender);
            return Ok(Answer {
                status: parts.status,
                headers: parts.headers,
                body,
                held,
            });
        }
    }

    async fn connect(&self) -> Result<Sender, AskError> {
        let refused = |error: &dyn std::error::Error| AskError::Refused(error.to_string());
        let stream = timeout(CONNECT_TIMEOUT, TcpStream::connect(self.address))
            .await
            .map_err(|elapsed| refused(&elapsed))?
            .map_err(|error| refused(&error))?;
        // Without it a request may wait for an acknowledgement; a socket that refuses is about to fail anyway.
        let _unsupported = stream.set_nodelay(true);
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

/// Reads a body to its end.
async fn collect(mut body: Incoming, max: usize, mut held: Held) -> Result<(Bytes, Held), AskError> {
    let announced = body
        .size_hint()
        .exact()
        .and_then(|bytes| usize::try_from(bytes).ok());
    if announced.is_some_and(|bytes| bytes > max) {
        return Err(AskError::TooLarge(max));
    }
    let mut parts = Vec::new();
    let mut bytes = 0;
    loop {
        let frame = poll_fn(|ctx| Pin::new(&mut body).poll_frame(ctx));
        let frame = timeout(STALL, frame).await.map_err(|_elapsed| AskError::Late)?;
        let Some(frame) = frame else { break };
        let frame = frame.map_err(|error| AskError::Broken(error.to_string()))?;
        // Trailers are nothing to us.
        let Ok(part) = frame.into_data() else { continue };
        bytes += part.len();
        if bytes > max {
            return Err(AskError::TooLarge(max));
        }
        held.grow_to(bytes).await.map_err(|NoRoom| AskError::NoRoom)?;
        parts.push(part);
    }
    Ok((whole(parts), held))
}

/// Puts parts together; most answers are one.
fn whole(mut parts: Vec<Bytes>) -> Bytes {
    match parts.len() {
        0 => Bytes::new(),
        1 => parts.remove(0),
        _ => parts.concat().into(),
    }
}

/// One request more, until it is dropped.
struct UnderWay<'a>(&'a AtomicUsize);

impl<'a> UnderWay<'a> {
    fn new(count: &'a AtomicUsize) -> Self {
        count.fetch_add(1, Ordering::Relaxed);
        Self(count)
    }
}

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}
