//! The frame of every listener: a request's method, path, headers and body in, an answer with the request's name out.
//!
//! Whatever a listener answers, here the request gets its name, what nobody wanted of its body is read, and it is counted.

use std::convert::Infallible;
use std::pin::pin;
use std::sync::Arc;
use std::time::Instant;

use bytes::Buf;
use futures_util::Stream;
use hyper::body::Body as _;
use hyper::header::{HeaderMap, HeaderValue};
use hyper::{Method, StatusCode};
use warp::path::FullPath;
use warp::reply::Response;
use warp::{Filter, Rejection};

use super::Limits;
use super::body::{self, Body, BodyLimits};
use super::clock;
use super::gate::{Demands, Gate};
use super::place::Place;
use super::reply::Failure;
use super::request_id::{HEADER as REQUEST_ID, RequestIds};
use crate::keys::Access;
use crate::metrics::{ListenerMeters, RouteMeters};

/// What the log of requests is switched on by: `AURORA_LOG=warn,access=debug`.
const ACCESS_LOG: &str = "access";

/// What the frame of one listener keeps.
#[derive(Debug)]
pub(crate) struct Frame {
    pub(crate) bodies: BodyLimits,
    gate: Gate,
    ids: RequestIds,
    listener: &'static str,
}

impl Frame {
    /// Says whether those that are no probes need a key.
    pub(crate) fn asks_for_keys(&self) -> bool {
        self.gate.asks_for_keys()
    }

    /// Makes the frame of the listener that `meters` are of.
    pub(crate) fn new(limits: &Limits, access: &Access, meters: ListenerMeters) -> Self {
        Self {
            bodies: BodyLimits::of(limits),
            listener: meters.listener(),
            gate: Gate::new(limits, access, meters),
            ids: RequestIds::new(),
        }
    }

    /// Lets a request pass, refuses it, or answers it where it only asks for the methods.
    pub(crate) async fn admit(
        &self,
        request: Request<'_>,
        demands: Demands,
    ) -> Result<Option<Response>, Failure> {
        self.gate.admit(request, demands).await
    }
}

/// A request without its body.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Request<'a> {
    /// The place of its connection.
    pub(crate) place: &'a Arc<Place>,
    pub(crate) method: &'a Method,
    /// As it came: no escape is taken out.
    pub(crate) path: &'a str,
    /// What follows the `?`, as it came; may be empty.
    pub(crate) query: &'a str,
    pub(crate) headers: &'a HeaderMap,
    /// The request's name.
    pub(crate) id: &'a HeaderValue,
}

/// What a listener answers, and where that is counted.
#[derive(Debug)]
pub(crate) struct Answered<'a> {
    pub(crate) answer: Result<Response, Failure>,
    pub(crate) meters: &'a RouteMeters,
}

/// What answers the requests of one listener.
pub(crate) trait Answers: Send + Sync + 'static {
    fn frame(&self) -> &Frame;

    /// Answers one request, whatever it is. Of the body nothing is read before it is asked for.
    fn answer(
        &self,
        request: Request<'_>,
        body: impl Future<Output = Result<Body, Failure>> + Send,
    ) -> impl Future<Output = Answered<'_>> + Send;
}

/// Returns the filter that answers every request of a connection.
pub(crate) fn routes<A: Answers>(
    answers: Arc<A>,
    place: Arc<Place>,
) -> impl Filter<Extract = (Response,), Error = Rejection> + Clone + Send + Sync {
    warp::method()
        .and(warp::path::full())
        .and(query())
        .and(warp::header::headers_cloned())
        .and(warp::body::stream())
        .and_then(move |method, path: FullPath, query: String, headers, body| {
            let (answers, place) = (answers.clone(), place.clone());
            async move {
                Ok::<_, Rejection>(
                    answer(&*answers, &place, method, (path.as_str(), &query), headers, body).await,
                )
            }
        })
}

/// Returns the query; empty where there is none.
fn query() -> impl Filter<Extract = (String,), Error = Infallible> + Copy {
    warp::query::raw().or(warp::any().map(String::new)).unify()
}

/// Answers one request, whatever it is.
pub(crate) async fn answer<A, S, B>(
    answers: &A,
    place: &Arc<Place>,
    method: Method,
    (path, query): (&str, &str),
    headers: HeaderMap,
    body: S,
) -> Response
where
    A: Answers,
    S: Stream<Item = Result<B, warp::Error>> + Send,
    B: Buf + Send,
{
    let since = Instant::now();
    let frame = answers.frame();
    let id = frame.ids.of(&headers);
    let mut stream = pin!(body);
    let Answered { answer, meters } = {
        let request = Request {
            place,
            method: &method,
            path,
            query,
            headers: &headers,
            id: &id,
        };
        // Pinned here, it is not moved into what answers.
        let body = pin!(Body::read(stream.as_mut(), &headers, &frame.bodies, place));
        answers.answer(request, body).await
    };
    let mut response = answer.unwrap_or_else(|failure| failure.response());
    body::discard(stream, &headers).await;
    let took = since.elapsed();
    meters.answered(method.as_str(), response.status().as_u16(), took);
    tracing::debug!(
        target: ACCESS_LOG,
        listener = frame.listener,
        peer = %place.load.peer,
        method = method.as_str(),
        path = shown(path, meters.route(), response.status()),
        code = response.status().as_u16(),
        bytes = response.body().size_hint().exact(),
        microseconds = clock::microseconds(took),
        request = id.to_str().unwrap_or_default(),
        "answered"
    );
    response.headers_mut().insert(REQUEST_ID, id);
    frame.gate.show(&method, &headers, &mut response);
    response
}

/// Returns what the log shows of a path: that of what was not found, or not even looked for, may be anything, a key too.
fn shown<'a>(path: &'a str, route: &'a str, status: StatusCode) -> &'a str {
    if status.is_client_error() { route } else { path }
}
