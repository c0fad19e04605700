//! A listener on loopback whose connections are kept, on a thread of its own.

use std::convert::Infallible;
use std::error::Error;
use std::future::Future;
use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};

use http::{Request, Response};
use hyper::body::{Body, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;

/// A request whose connection is closed instead of an answer.
#[derive(Debug, thiserror::Error)]
#[error("the connection is closed")]
pub(crate) struct Closed;

/// Takes a free port.
pub(crate) fn bind() -> io::Result<(TcpListener, SocketAddr)> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    listener.set_nonblocking(true)?;
    let address = listener.local_addr()?;
    Ok((listener, address))
}

/// Answers what comes, by HTTP/1.1 or, to whoever begins with it, HTTP/2; for ever.
pub(crate) async fn serve<A, F, B>(listener: TcpListener, answer: A) -> io::Result<Infallible>
where
    A: Fn(Request<Incoming>) -> F + Clone + Send + 'static,
    F: Future<Output = Result<Response<B>, Closed>> + Send + 'static,
    B: Body + Send + 'static,
    B::Data: Send,
    B::Error: Into<Box<dyn Error + Send + Sync>>,
{
    let listener = tokio::net::TcpListener::from_std(listener)?;
    loop {
        // A client that is gone already is no fault.
        let Ok((stream, _)) = listener.accept().await else {
            continue;
        };
        stream.set_nodelay(true).unwrap_or_default();
        let service = service_fn(answer.clone());
        // Without a timer no connection is closed because its client was slow: a test process may be stopped for a while.
        let builder = auto::Builder::new(TokioExecutor::new());
        tokio::spawn(async move {
            let connection = builder.serve_connection(TokioIo::new(stream), service);
            // Clients go away, and connections are closed on purpose.
            connection.await.unwrap_or_default();
        });
    }
}
