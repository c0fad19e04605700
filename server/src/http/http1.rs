//! HTTP/1 on a connection: one request at a time, answered by warp.

use std::sync::Arc;

use futures_util::TryFutureExt as _;
use hyper::Uri;
use hyper::body::Incoming;
use hyper::header::{CONNECTION, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tower_service::Service as _;
use warp::reply::Response;
use warp::{Filter, Rejection};

use super::connection::Protocol;
use super::guard::Names;
use super::place::{Place, Receiving};
use super::socket::Socket;

/// Headers of a request, the first line included.
pub(super) const HEADER_BYTES_MAX: usize = 32 << 10;

/// What hyper may buffer of one connection in each direction.
const BUFFER_BYTES_MAX: usize = 64 << 10;

/// What a filter answers.
pub(crate) struct Http1<F>(pub(crate) F);

impl<F> Protocol for Http1<F>
where
    F: Filter<Extract = (Response,), Error = Rejection> + Clone + Send + Sync + 'static,
    F::Future: Send,
{
    const MULTIPLEXED: bool = false;

    async fn answer(self, socket: Socket, place: Arc<Place>, names: Names) -> Result<(), hyper::Error> {
        let warp = warp::service(self.0);
        let place = &place;
        let service = service_fn(|mut request: hyper::Request<Incoming>| {
            let under_way = place.begin_request();
            if let Err(failure) = names.check(&request) {
                request.extensions_mut().insert(failure);
            }
            if request.uri().path_and_query().is_none() {
                // CONNECT names no path, and warp panics for want of one: no route is at `/`.
                *request.uri_mut() = Uri::from_static("/");
            }
            // It is always ready: asked directly, its future is not moved about.
            let answer = warp
                .clone()
                .call(request.map(|body| Receiving::new(body, place.clone())));
            // A block that awaits it would hold it twice.
            answer.map_ok(move |mut answer: Response| {
                if place.closes() {
                    answer
                        .headers_mut()
                        .insert(CONNECTION, HeaderValue::from_static("close"));
                }
                let counted = answer.extensions_mut().remove();
                answer.map(|body| under_way.until_sent(body, counted))
            })
        });
        // hyper's own header time-out starts a timer for each request and knows no idling.
        http1::Builder::new()
            .header_read_timeout(None)
            .max_header_size(HEADER_BYTES_MAX)
            .max_buf_size(BUFFER_BYTES_MAX)
            .serve_connection(TokioIo::new(socket), service)
            .await
    }
}
