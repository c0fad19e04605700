//! HTTP/2 on a connection: calls, many at a time.
//!
//! Nothing of a body or an answer is free here: a connection bounds how many calls there are, not what they hold. An answer
//! goes out in pieces, so that it shows whether the client takes them; a connection is told that it ends before it does.

use std::convert::Infallible;
use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body_util::BodyDataStream;
use hyper::Response;
use hyper::body::{Body, Frame, Incoming, SizeHint};
use hyper::header::HeaderMap;
use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};

use super::budget::Counted;
use super::connection::Protocol;
use super::frame::{self, Answers};
use super::guard::Names;
use super::http1::HEADER_BYTES_MAX;
use super::place::{Place, Receiving, UnderWay};
use super::reply::Failure;
use super::socket::Socket;

/// How many calls of one connection are under way at once; its client keeps others back.
const CALLS_MAX: u32 = 128;
/// What may come of one body before somebody reads it, and of all bodies of a connection.
const BODY_WINDOW_BYTES: u32 = 128 << 10;
const CONNECTION_WINDOW_BYTES: u32 = 256 << 10;
/// How much of an answer is handed out at once.
const PIECE_BYTES: usize = 64 << 10;

/// What follows an answer's body.
#[derive(Debug, Clone)]
pub(crate) struct Trailers(pub(crate) HeaderMap);

/// What answers the calls of one listener.
pub(crate) trait Calls: Answers {
    /// Says whether a call to this path takes and sends messages as they come.
    fn is_stream(path: &str) -> bool;

    /// Answers such a call.
    fn stream(
        &self,
        place: &Arc<Place>,
        call: hyper::Request<Receiving>,
        refused: Option<&Failure>,
    ) -> impl Future<Output = Response<tonic::body::Body>> + Send;
}

/// What answers calls.
pub(crate) struct Http2<A>(pub(crate) Arc<A>);

impl<A: Calls> Protocol for Http2<A> {
    const MULTIPLEXED: bool = true;

    async fn answer(self, socket: Socket, place: Arc<Place>, names: Names) -> Result<(), hyper::Error> {
        let answers = self.0;
        let of_call = place.clone();
        let service = service_fn(move |request: hyper::Request<Incoming>| {
            // From here on: a call that waits for its thread is under way too.
            let under_way = of_call.begin_request();
            let refused = names.check(&request).err();
            let request = request.map(|body| Receiving::new(body, of_call.clone()));
            answer(answers.clone(), of_call.clone(), request, refused, under_way)
        });
        let mut builder = http2::Builder::new(TokioExecutor::new());
        builder
            .max_concurrent_streams(CALLS_MAX)
            .max_header_list_size(u32::try_from(HEADER_BYTES_MAX).unwrap_or(u32::MAX))
            .initial_stream_window_size(BODY_WINDOW_BYTES)
            .initial_connection_window_size(CONNECTION_WINDOW_BYTES);
        let mut connection = pin!(builder.serve_connection(TokioIo::new(socket), service));
        let mut is_told = false;
        poll_fn(|ctx| {
            if place.is_draining() && !is_told {
                is_told = true;
                connection.as_mut().graceful_shutdown();
            }
            connection.as_mut().poll(ctx)
        })
        .await
    }
}

/// Answers one call.
async fn answer<A: Calls>(
    answers: Arc<A>,
    place: Arc<Place>,
    request: hyper::Request<Receiving>,
    refused: Option<Failure>,
    under_way: UnderWay,
) -> Result<Response<impl Body<Data = Bytes, Error = Broken> + Send + 'static>, Infallible> {
    let refused = refused.as_ref();
    if A::is_stream(request.uri().path()) {
        let response = answers.stream(&place, request, refused).await;
        return Ok(response.map(|body| Pieces::new(Source::Stream(body), under_way)));
    }
    let (head, body) = request.into_parts();
    let target = (head.uri.path(), head.uri.query().unwrap_or_default());
    let body = BodyDataStream::new(body);
    let answer = frame::answer(
        &*answers,
        &place,
        head.method,
        target,
        (&head.headers, refused),
        body,
    );
    let mut response = answer.await;
    let told = response.extensions_mut();
    let (counted, trailers) = (told.remove(), told.remove::<Trailers>());
    Ok(response.map(|body| Pieces {
        counted,
        trailers: trailers.map(|Trailers(headers)| headers),
        ..Pieces::new(Source::Whole(body), under_way)
    }))
}

type Broken = Box<dyn std::error::Error + Send + Sync>;

/// What an answer is made of.
enum Source<B> {
    /// One piece.
    Whole(B),
    /// Messages as they come, and their own trailers.
    Stream(tonic::body::Body),
}

/// An answer on its way to the client.
struct Pieces<B> {
    source: Source<B>,
    /// What of it has been taken from the source and not been handed out.
    rest: Bytes,
    counted: Option<Counted>,
    trailers: Option<HeaderMap>,
    under_way: UnderWay,
}

impl<B> Pieces<B> {
    fn new(source: Source<B>, under_way: UnderWay) -> Self {
        Self {
            source,
            rest: Bytes::new(),
            counted: None,
            trailers: None,
            under_way,
        }
    }
}

impl<B> Body for Pieces<B>
where
    B: Body<Data = Bytes> + Unpin,
    B::Error: Into<Broken>,
{
    type Data = Bytes;
    type Error = Broken;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        ctx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Broken>>> {
        loop {
            if !self.rest.is_empty() {
                let length = self.rest.len().min(PIECE_BYTES);
                let piece = self.rest.split_to(length);
                let piece = self.under_way.place().hand_out(piece);
                return Poll::Ready(Some(Ok(Frame::data(piece))));
            }
            let frame = match &mut self.source {
                Source::Whole(body) => Pin::new(body)
                    .poll_frame(ctx)
                    .map(|polled| polled.map(|frame| frame.map_err(Into::into))),
                Source::Stream(body) => Pin::new(body)
                    .poll_frame(ctx)
                    .map(|polled| polled.map(|frame| frame.map_err(Into::into))),
            };
            match frame {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Some(Err(error))) => return Poll::Ready(Some(Err(error))),
                Poll::Ready(None) => return Poll::Ready(self.trailers.take().map(Frame::trailers).map(Ok)),
                Poll::Ready(Some(Ok(frame))) => match frame.into_data() {
                    // What counts does so until all of it is in the socket.
                    Ok(data) => {
                        self.rest = match self.counted.take() {
                            Some(counted) => counted.with(data),
                            None => data,
                        };
                    }
                    Err(trailers) => return Poll::Ready(Some(Ok(trailers))),
                },
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        let has_ended = match &self.source {
            Source::Whole(body) => body.is_end_stream(),
            Source::Stream(body) => body.is_end_stream(),
        };
        has_ended && self.rest.is_empty() && self.trailers.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::default()
    }
}
