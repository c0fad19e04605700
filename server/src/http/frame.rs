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

    /// Lets bodies share the memory that those of `other` have.
    pub(crate) fn sharing_with(self, other: &Self) -> Self {
        Self {
            bodies: other.bodies.clone(),
            ..self
        }
    }

    /// Lets a call begin that takes messages as they come, or refuses it; it is counted now. Returns its name too.
    pub(crate) async fn open(
        &self,
        place: &Arc<Place>,
        head: &hyper::http::request::Parts,
        refused: Option<&Failure>,
        demands: Demands,
        meters: &RouteMeters,
    ) -> (HeaderValue, Result<(), Failure>) {
        let since = Instant::now();
        let id = self.ids.of(&head.headers);
        let request = Request {
            place,
            method: &head.method,
            path: head.uri.path(),
            query: head.uri.query().unwrap_or_default(),
            headers: &head.headers,
            id: &id,
            refused,
        };
        let admitted = match self.admit(request, demands).await {
            Ok(None) => Ok(()),
            Ok(Some(_asks_for_methods)) => Err(Failure::method_not_allowed("POST")),
            Err(failure) => Err(failure),
        };
        let code = admitted
            .as_ref()
            .err()
            .map_or(StatusCode::OK, |failure| failure.status);
        meters.answered(head.method.as_str(), code.as_u16(), since.elapsed());
        (id, admitted)
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
    /// Why it is to be refused, whatever it asks.
    pub(crate) refused: Option<&'a Failure>,
}

/// What a listener answers, and where that is counted.
#[derive(Debug)]
pub(crate) struct Answered<'a> {
    pub(crate) response: Response,
    /// The status that it counts under: a call's response says 200 whatever became of it.
    pub(crate) code: StatusCode,
    pub(crate) meters: &'a RouteMeters,
}

impl<'a> Answered<'a> {
    /// Tells a failure by its status and as JSON.
    pub(crate) fn of(answer: Result<Response, Failure>, meters: &'a RouteMeters) -> Self {
        let response = answer.unwrap_or_else(|failure| failure.response());
        Self {
            code: response.status(),
            response,
            meters,
        }
    }
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
        .and(warp::ext::optional())
        .and(warp::body::stream())
        .and_then(
            move |method, path: FullPath, query: String, headers, refused: Option<Failure>, body| {
                let (answers, place) = (answers.clone(), place.clone());
                async move {
                    let target = (path.as_str(), query.as_str());
                    let refused = refused.as_ref();
                    Ok::<_, Rejection>(
                        answer(&*answers, &place, method, target, (&headers, refused), body).await,
                    )
                }
            },
        )
}

/// Returns the query; empty where there is none.
fn query() -> impl Filter<Extract = (String,), Error = Infallible> + Copy {
    warp::query::raw().or(warp::any().map(String::new)).unify()
}

/// Answers one request, whatever it is; `refused` says why it is refused unseen.
pub(crate) async fn answer<A, S, B, E>(
    answers: &A,
    place: &Arc<Place>,
    method: Method,
    (path, query): (&str, &str),
    (headers, refused): (&HeaderMap, Option<&Failure>),
    body: S,
) -> Response
where
    A: Answers,
    S: Stream<Item = Result<B, E>> + Send,
    B: Buf + Send,
    E: Send,
{
    let since = Instant::now();
    let frame = answers.frame();
    let id = frame.ids.of(headers);
    let mut stream = pin!(body);
    let Answered {
        mut response,
        code,
        meters,
    } = {
        let request = Request {
            place,
            method: &method,
            path,
            query,
            headers,
            id: &id,
            refused,
        };
        // Pinned here, it is not moved into what answers.
        let body = pin!(Body::read(stream.as_mut(), headers, &frame.bodies, place));
        answers.answer(request, body).await
    };
    // Of several at a time each ends by itself.
    if !place.multiplexed {
        body::discard(stream, headers).await;
    }
    let took = since.elapsed();
    meters.answered(method.as_str(), code.as_u16(), took);
    tracing::debug!(
        target: ACCESS_LOG,
        listener = frame.listener,
        peer = %place.load.peer,
        method = method.as_str(),
        path = shown(path, meters.route(), code),
        code = code.as_u16(),
        bytes = response.body().size_hint().exact(),
        microseconds = clock::microseconds(took),
        request = id.to_str().unwrap_or_default(),
        "answered"
    );
    response.headers_mut().insert(REQUEST_ID, id);
    frame.gate.show(&method, headers, &mut response);
    response
}

/// Returns what the log shows of a path: that of what was not found, or not even looked for, may be anything, a key too.
fn shown<'a>(path: &'a str, route: &'a str, status: StatusCode) -> &'a str {
    if status.is_client_error() { route } else { path }
}
