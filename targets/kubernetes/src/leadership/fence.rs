//! What stands between a controller and the API server: no write begins unless this replica leads and was renewed
//! lately, and none goes on for long.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};

use http::{Method, Request};
use kube::Client;
use kube::client::ClientBuilder;
use kube::config::Config;
use tower::{BoxError, Layer, Service};

use super::decision::Terms;
use super::{Moment, now};

/// Nothing is renewed yet.
const NEVER: u64 = 0;
/// The lead was lost: nothing opens it again.
const CLOSED: u64 = u64::MAX;

/// Says whether a write may begin. Shared by all that this replica writes with.
#[derive(Debug, Clone)]
pub struct Fence {
    /// When the last renewal began, in milliseconds since the machine was started, or one of the two words above.
    renewed_at: Arc<AtomicU64>,
    terms: Terms,
}

/// A write was refused before it began: this replica does not lead, or was not renewed lately.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("this replica does not lead: nothing is written")]
pub struct NotLeading;

/// A write was given up: it took so long that another might lead before its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a write took longer than a leader may take")]
struct TookTooLong;

impl Fence {
    /// Returns one that lets nothing through.
    pub(crate) fn closed(terms: Terms) -> Self {
        Self {
            renewed_at: Arc::new(AtomicU64::new(NEVER)),
            terms,
        }
    }

    pub(crate) fn renewed(&self, began_at: Moment) {
        let millis = u64::try_from(began_at.as_millis()).unwrap_or(CLOSED - 1);
        let newer = |before: u64| (before != CLOSED).then_some(millis.clamp(NEVER + 1, CLOSED - 1));
        let _closed_stays_closed = self
            .renewed_at
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, newer);
    }

    pub(crate) fn close(&self) {
        self.renewed_at.store(CLOSED, Ordering::Release);
    }

    /// Says whether a write may begin at a moment.
    pub fn permits(&self, at: Moment) -> bool {
        match self.renewed_at.load(Ordering::Acquire) {
            NEVER | CLOSED => false,
            millis => at.saturating_sub(Moment::from_millis(millis)) < self.terms.renewed_within,
        }
    }

    /// Returns a client whose writes begin only while this lets them.
    ///
    /// It does not try again by itself: a second try would begin when nobody asks the fence.
    ///
    /// # Errors
    ///
    /// The configuration makes no client.
    pub fn client(&self, mut config: Config) -> Result<Client, kube::Error> {
        config.default_retry = false;
        let builder = ClientBuilder::try_from(config)?;
        Ok(builder.with_layer(&FenceLayer(self.clone())).build())
    }
}

/// Puts a [`Fence`] before a service.
#[derive(Debug, Clone)]
pub struct FenceLayer(pub Fence);

impl<S> Layer<S> for FenceLayer {
    type Service = Fenced<S>;

    fn layer(&self, inner: S) -> Fenced<S> {
        Fenced {
            fence: self.0.clone(),
            inner,
        }
    }
}

/// A service behind a [`Fence`].
#[derive(Debug, Clone)]
pub struct Fenced<S> {
    fence: Fence,
    inner: S,
}

impl<S, B> Service<Request<B>> for Fenced<S>
where
    S: Service<Request<B>>,
    S::Error: Into<BoxError>,
    S::Future: Send + 'static,
    S::Response: Send + 'static,
{
    type Response = S::Response;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<S::Response, BoxError>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.inner.poll_ready(context).map_err(Into::into)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let is_read = matches!(*request.method(), Method::GET | Method::HEAD | Method::OPTIONS);
        if is_read {
            let answer = self.inner.call(request);
            return Box::pin(async { answer.await.map_err(Into::into) });
        }
        if !self.fence.permits(now()) {
            return Box::pin(async { Err(NotLeading.into()) });
        }
        let within = self.fence.terms.written_within;
        let answer = self.inner.call(request);
        Box::pin(async move {
            match tokio::time::timeout(within, answer).await {
                Ok(answer) => answer.map_err(Into::into),
                Err(_elapsed) => Err(TookTooLong.into()),
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;
    use std::time::Duration;

    use super::*;

    /// Answers what it was asked, if ever, and remembers it.
    #[derive(Clone, Default)]
    struct Server {
        asked: Arc<Mutex<Vec<Method>>>,
        is_silent: bool,
    }

    impl Service<Request<()>> for Server {
        type Response = ();
        type Error = BoxError;
        type Future = Pin<Box<dyn Future<Output = Result<(), BoxError>> + Send>>;

        fn poll_ready(&mut self, _context: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
            Poll::Ready(Ok(()))
        }

        fn call(&mut self, request: Request<()>) -> Self::Future {
            self.asked.lock().unwrap().push(request.method().clone());
            if self.is_silent {
                Box::pin(std::future::pending())
            } else {
                Box::pin(async { Ok(()) })
            }
        }
    }

    async fn ask(fence: &Fence, server: &Server, method: Method) -> Result<(), String> {
        let request = Request::builder().method(method).body(()).unwrap();
        let mut fenced = FenceLayer(fence.clone()).layer(server.clone());
        fenced.call(request).await.map_err(|error| error.to_string())
    }

    #[tokio::test]
    async fn writes_begin_while_it_leads_and_reads_always() {
        let fence = Fence::closed(Terms::default());
        let server = Server::default();
        let writes = [Method::POST, Method::PUT, Method::PATCH, Method::DELETE];
        for method in &writes {
            let refused = ask(&fence, &server, method.clone()).await;
            assert_eq!(refused, Err(NotLeading.to_string()), "{method}");
        }
        assert!(server.asked.lock().unwrap().is_empty());
        ask(&fence, &server, Method::GET).await.unwrap();
        fence.renewed(now());
        for method in &writes {
            ask(&fence, &server, method.clone()).await.unwrap();
        }
        fence.close();
        fence.renewed(now());
        let refused = ask(&fence, &server, Method::PATCH).await;
        assert_eq!(refused, Err(NotLeading.to_string()), "what was lost stays lost");
        assert_eq!(server.asked.lock().unwrap().len(), 1 + writes.len());
    }

    #[test]
    fn ten_seconds_after_the_last_renewal_began_nothing_begins() {
        let fence = Fence::closed(Terms::default());
        let began = Duration::from_secs(100);
        assert!(!fence.permits(began));
        fence.renewed(began);
        assert!(fence.permits(began));
        assert!(fence.permits(began + Duration::from_millis(9_999)));
        assert!(!fence.permits(began + Duration::from_secs(10)));
        fence.renewed(began + Duration::from_secs(9));
        assert!(fence.permits(began + Duration::from_secs(10)));
    }

    #[tokio::test]
    async fn a_write_that_takes_too_long_is_given_up() {
        let fence = Fence::closed(Terms {
            written_within: Duration::from_millis(1),
            ..Terms::default()
        });
        fence.renewed(now());
        let server = Server {
            is_silent: true,
            ..Server::default()
        };
        let given_up = ask(&fence, &server, Method::PUT).await;
        assert_eq!(given_up, Err(TookTooLong.to_string()));
    }
}
