//! One endpoint: how it is reached, what it has under way, and whether it failed a moment ago.

mod http1;
mod http2;

use std::future::poll_fn;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::{Body as _, Incoming};
use hyper::header::{HeaderMap, HeaderValue};
use hyper::{Request, StatusCode};
use planner::backends;
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
/// The most that the headers of an answer take.
const HEADER_BYTES_MAX: usize = 32 << 10;

/// By which of its doors an endpoint is asked: the one that the request came in by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum By {
    Http,
    Grpc,
}

/// One endpoint; the same as long as it is told.
#[derive(Debug)]
pub(crate) struct Endpoint {
    /// Where it answers by HTTP: what it is known by.
    pub(crate) address: SocketAddr,
    /// By both doors.
    under_way: Arc<AtomicUsize>,
    http: Arc<Reached<http1::Connections>>,
    grpc: Option<Arc<Reached<http2::Connections>>>,
}

/// One door of an endpoint. That nobody answers at one says nothing of the other.
#[derive(Debug)]
struct Reached<C> {
    address: SocketAddr,
    out_until: AtomicU64,
    connections: C,
}

impl<C> Reached<C> {
    fn new(address: SocketAddr, connections: C) -> Arc<Self> {
        Arc::new(Self {
            address,
            out_until: AtomicU64::new(0),
            connections,
        })
    }
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub(super) enum AskError {
    /// It got nothing, or has said that it does nothing with what it got.
    #[error("takes no connection: {0}")]
    Refused(String),
    /// What it got is not known, or it broke off.
    #[error("broke off: {0}")]
    Broken(String),
    /// It has had its time.
    #[error("did not answer in time")]
    Late,
    /// Its answer is larger than any may be.
    #[error("gave an answer that is larger than {0} bytes")]
    TooLarge(usize),
    /// All answers together take too much already.
    #[error("there is no room for its answer")]
    NoRoom,
    /// What answered a call is no server of gRPC.
    #[error("answered as no server of gRPC does, with HTTP status {0}")]
    NoCall(StatusCode),
}

/// A whole answer.
#[derive(Debug)]
pub(super) struct Answer {
    /// That of a call is the one that HTTP has for its code.
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
    /// Those of a call.
    pub(super) trailers: HeaderMap,
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
    /// Returns the endpoint that is told; of what was `known` of it before, all that still holds is kept.
    pub(super) fn new(told: &backends::Endpoint, known: Option<&Arc<Self>>) -> Arc<Self> {
        let backends::Endpoint { http, grpc } = *told;
        let known = known.filter(|known| known.address == http);
        let known_grpc = known.and_then(|known| known.grpc.as_ref());
        match known {
            Some(known) if known_grpc.map(|known| known.address) == grpc => known.clone(),
            _ => Arc::new(Self {
                address: http,
                under_way: known.map_or_else(Arc::default, |known| known.under_way.clone()),
                http: known.map_or_else(
                    || Reached::new(http, http1::Connections::new(http)),
                    |known| known.http.clone(),
                ),
                grpc: grpc.map(|grpc| Reached::new(grpc, http2::Connections::new(grpc))),
            }),
        }
    }

    /// Says whether it has this door.
    pub(super) fn has(&self, by: By) -> bool {
        by == By::Http || self.grpc.is_some()
    }

    pub(super) fn load(&self, by: By) -> Load {
        let is_out = |out_until: &AtomicU64| out_until.load(Ordering::Relaxed) > clock::now();
        Load {
            under_way: self.under_way.load(Ordering::Relaxed),
            is_out: self.out_until(by).is_some_and(is_out),
        }
    }

    /// Others are asked for a while.
    pub(super) fn put_out(&self, by: By) {
        let until = clock::now() + clock::microseconds(OUT);
        if let Some(out_until) = self.out_until(by) {
            out_until.store(until, Ordering::Relaxed);
        }
    }

    fn out_until(&self, by: By) -> Option<&AtomicU64> {
        match by {
            By::Http => Some(&self.http.out_until),
            By::Grpc => self.grpc.as_ref().map(|grpc| &grpc.out_until),
        }
    }

    /// Returns where it is asked.
    pub(super) fn authority(&self, by: By) -> SocketAddr {
        match (by, &self.grpc) {
            (By::Grpc, Some(grpc)) => grpc.address,
            (By::Http, _) | (By::Grpc, None) => self.address,
        }
    }

    /// Returns what the header `Host` says where the client's said nothing.
    pub(super) fn host(&self) -> HeaderValue {
        HeaderValue::try_from(self.address.to_string())
            .expect("invariant: an address and a port are visible ASCII")
    }

    /// Asks, and waits for all of the answer. Where this is dropped the endpoint sees that nobody waits.
    ///
    /// `since`: on no connection that is older, for what failed then may be closed by now.
    pub(super) async fn ask(
        &self,
        by: By,
        request: Request<Full<Bytes>>,
        since: Option<Instant>,
        bounds: &Bounds,
        held: Held,
    ) -> Result<Answer, AskError> {
        let _under_way = UnderWay::new(&self.under_way);
        match (by, &self.grpc) {
            (By::Http, _) => {
                let connections = &self.http.connections;
                connections.ask(request, since.is_some(), bounds, held).await
            }
            // Boxed: a request by HTTP is no larger for it.
            (By::Grpc, Some(grpc)) => Box::pin(grpc.connections.ask(&request, since, bounds, held)).await,
            (By::Grpc, None) => Err(AskError::Refused("it has no port of gRPC".to_owned())),
        }
    }
}

/// Takes a connection to an endpoint.
async fn connect(address: SocketAddr) -> Result<TcpStream, AskError> {
    let stream = timeout(CONNECT_TIMEOUT, TcpStream::connect(address))
        .await
        .map_err(|elapsed| refused(&elapsed))?
        .map_err(|error| refused(&error))?;
    // Without it a request may wait for an acknowledgement; a socket that refuses is about to fail anyway.
    let _unsupported = stream.set_nodelay(true);
    Ok(stream)
}

fn refused(error: &dyn std::error::Error) -> AskError {
    AskError::Refused(error.to_string())
}

/// Reads a body to its end, and the trailers behind it.
async fn collect(
    mut body: Incoming,
    max: usize,
    mut held: Held,
) -> Result<(Bytes, HeaderMap, Held), AskError> {
    let announced = body
        .size_hint()
        .exact()
        .and_then(|bytes| usize::try_from(bytes).ok());
    if announced.is_some_and(|bytes| bytes > max) {
        return Err(AskError::TooLarge(max));
    }
    let mut parts = Vec::new();
    let mut trailers = HeaderMap::new();
    let mut bytes = 0;
    loop {
        let frame = poll_fn(|ctx| Pin::new(&mut body).poll_frame(ctx));
        let frame = timeout(STALL, frame).await.map_err(|_elapsed| AskError::Late)?;
        let Some(frame) = frame else { break };
        let frame = frame.map_err(|error| AskError::Broken(error.to_string()))?;
        let part = match frame.into_data() {
            Ok(part) => part,
            Err(frame) => {
                trailers = frame.into_trailers().unwrap_or_default();
                continue;
            }
        };
        bytes += part.len();
        if bytes > max {
            return Err(AskError::TooLarge(max));
        }
        held.grow_to(bytes).await.map_err(|NoRoom| AskError::NoRoom)?;
        parts.push(part);
    }
    Ok((whole(parts), trailers, held))
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
