//! Accepts connections and drives them: bounded in number, in waiting and, on shutdown, in time.

use std::convert::Infallible;
use std::io;
use std::pin::pin;
use std::time::Duration;

use futures_util::FutureExt as _;
use hyper::Uri;
use hyper::body::Incoming;
use hyper::header::{CONNECTION, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::{Service as _, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use warp::reply::Response;
use warp::{Filter, Rejection};

use super::Limits;
use super::busy::Busy;
use super::stall::StallLimited;

/// What a client is told that comes when all connections are taken.
const FULL: &[u8] =
    b"HTTP/1.1 503 Service Unavailable\r\ncontent-type: application/json\r\nretry-after: 1\r\n\
connection: close\r\ncontent-length: 48\r\n\r\n{\"error\":\"too many connections, try again soon\"}";

/// Headers of a request, the first line included.
const HEADER_BYTES_MAX: usize = 32 << 10;

/// How long a draining listener still waits for a request on a connection that idles: one may be on its way.
const DRAIN_IDLE: Duration = Duration::from_millis(250);

/// How long to pause when the process is out of sockets.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Serves `routes` until `shutdown`, then stops accepting, lets requests under way finish within
/// [`Limits::drain_timeout`], closes the rest and returns. `draining` runs as soon as `shutdown` has come.
///
/// A request that still comes on a connection it holds is answered; that answer closes the connection.
pub(crate) async fn serve<F>(
    routes: F,
    listener: TcpListener,
    limits: &Limits,
    shutdown: impl Future<Output = ()>,
    draining: impl FnOnce(),
) where
    F: Filter<Extract = (Response,), Error = Rejection> + Clone + Send + Sync + 'static,
    F::Future: Send,
{
    let closing = CancellationToken::new();
    let mut connections = JoinSet::new();
    let mut shutdown = pin!(shutdown);
    let take = |stream: TcpStream, connections: &mut JoinSet<()>| {
        if connections.len() >= limits.connections {
            refuse(&stream);
        } else {
            connections.spawn(drive(routes.clone(), stream, limits.clone(), closing.clone()));
        }
    };
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            Some(_ended) = connections.join_next(), if !connections.is_empty() => continue,
            () = &mut shutdown => break,
        };
        match accepted {
            Ok((stream, _address)) => take(stream, &mut connections),
            Err(error) if concerns_one_client(&error) => {}
            Err(error) => {
                tracing::warn!(
                    error = &error as &dyn std::error::Error,
                    "failed to accept a connection"
                );
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
    draining();
    // To their clients these are open already: they would be reset, not refused.
    for _ in 0..limits.connections {
        match listener.accept().now_or_never() {
            Some(Ok((stream, _address))) => take(stream, &mut connections),
            Some(Err(_)) | None => break,
        }
    }
    drop(listener);
    closing.cancel();
    let drained = async { while connections.join_next().await.is_some() {} };
    if tokio::time::timeout(limits.drain_timeout, drained).await.is_err() {
        tracing::warn!(
            requests = connections.len(),
            "closed connections whose requests did not finish in time"
        );
    }
}

/// Drives one connection to its end.
async fn drive<F>(routes: F, stream: TcpStream, limits: Limits, closing: CancellationToken)
where
    F: Filter<Extract = (Response,), Error = Rejection> + Clone + Send + Sync + 'static,
    F::Future: Send,
{
    // Without it small answers may wait for an acknowledgement; a socket that refuses is about to fail anyway.
    let _unsupported = stream.set_nodelay(true);
    let busy = Busy::default();
    let warp = TowerToHyperService::new(warp::service(routes));
    let service = service_fn(|mut request: hyper::Request<Incoming>| {
        if request.uri().path_and_query().is_none() {
            // CONNECT names no path, and warp panics for want of one: no route is at `/`.
            *request.uri_mut() = Uri::from_static("/");
        }
        let under_way = busy.begin();
        let answer = warp.call(request);
        let closing = &closing;
        async move {
            let mut answer = answer.await?;
            if closing.is_cancelled() {
                answer
                    .headers_mut()
                    .insert(CONNECTION, HeaderValue::from_static("close"));
            }
            Ok::<_, Infallible>(answer.map(|body| under_way.until_sent(body)))
        }
    });
    let io = TokioIo::new(StallLimited::new(stream, limits.write_timeout, busy.clone()));
    let mut connection = pin!(
        http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(limits.header_timeout)
            .max_header_size(HEADER_BYTES_MAX)
            .serve_connection(io, service)
    );
    tokio::select! {
        ended = &mut connection => return log(ended),
        () = closing.cancelled() => {}
    }
    // No `graceful_shutdown`: it closes what idles at once, on a request that is on its way.
    loop {
        match tokio::time::timeout(DRAIN_IDLE, &mut connection).await {
            Ok(ended) => return log(ended),
            Err(_elapsed) if !busy.any() => return,
            Err(_elapsed) => {}
        }
    }
}

fn refuse(stream: &TcpStream) {
    // The client may have gone: it loses nothing then.
    let _unsent = stream.try_write(FULL);
}

fn log(ended: hyper::Result<()>) {
    if let Err(error) = ended {
        tracing::debug!(
            error = &error as &dyn std::error::Error,
            "a connection ended early"
        );
    }
}

fn concerns_one_client(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    matches!(
        error.kind(),
        ConnectionAborted | ConnectionRefused | ConnectionReset
    )
}
