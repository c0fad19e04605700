//! A client between a test and the API server that answers some requests itself, badly.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};

use http::{Method, Request, Response};
use kube::Client;
use kube::client::Body;
use serde_json::json;
use tower::{BoxError, Service};

/// Which requests are answered badly: every third write, and two watches of three.
#[derive(Clone)]
pub(crate) struct Faults {
    inner: Client,
    counts: Arc<Counts>,
}

#[derive(Debug, Default)]
struct Counts {
    writes: AtomicUsize,
    refused: AtomicUsize,
    watches: AtomicUsize,
    closed: AtomicUsize,
}

impl std::fmt::Debug for Faults {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.counts.fmt(f)
    }
}

impl Faults {
    pub(crate) fn new(inner: Client) -> Self {
        Self {
            inner,
            counts: Arc::default(),
        }
    }

    /// Returns a client that meets them.
    pub(crate) fn client(&self) -> Client {
        Client::new(self.clone(), "default")
    }

    /// Returns how many writes were refused.
    pub(crate) fn refused(&self) -> usize {
        self.counts.refused.load(Ordering::Relaxed)
    }

    /// Returns how many watches were ended at once.
    pub(crate) fn closed(&self) -> usize {
        self.counts.closed.load(Ordering::Relaxed)
    }

    /// Returns the answer of this client itself, if it is its turn.
    fn answer(&self, request: &Request<Body>) -> Option<Response<Body>> {
        let Counts {
            writes,
            refused,
            watches,
            closed,
        } = &*self.counts;
        let is_watch = request
            .uri()
            .query()
            .is_some_and(|query| query.contains("watch=true"));
        if is_watch {
            let turn = watches.fetch_add(1, Ordering::Relaxed) % 3;
            let event = match turn {
                0 => String::new(),
                1 => format!("{}\n", json!({ "type": "ERROR", "object": status(410) })),
                _ => return None,
            };
            closed.fetch_add(1, Ordering::Relaxed);
            return response(200, event);
        }
        if request.method() == Method::GET || writes.fetch_add(1, Ordering::Relaxed) % 3 != 0 {
            return None;
        }
        let code = [409, 429, 500][refused.fetch_add(1, Ordering::Relaxed) % 3];
        response(code, status(code).to_string())
    }
}

fn status(code: u16) -> serde_json::Value {
    json!({
        "apiVersion": "v1", "kind": "Status", "status": "Failure", "code": code,
        "message": "a fault of the test", "reason": "Fault", "metadata": {},
    })
}

fn response(code: u16, body: String) -> Option<Response<Body>> {
    Response::builder()
        .status(code)
        .body(Body::from(body.into_bytes()))
        .ok()
}

impl Service<Request<Body>> for Faults {
    type Response = Response<Body>;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, BoxError>> + Send>>;

    fn poll_ready(&mut self, _context: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        if let Some(answer) = self.answer(&request) {
            return Box::pin(async { Ok(answer) });
        }
        let inner = self.inner.clone();
        Box::pin(async move { Ok(inner.send(request).await?) })
    }
}
