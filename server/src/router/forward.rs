//! Asks endpoints until one answers.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use http_body_util::Full;
use hyper::header::{CONTENT_LENGTH, HOST, HeaderMap, HeaderName, HeaderValue, TE};
use hyper::{Method, Request, StatusCode, Uri};
use planner::names::Track;
use warp::reply::Response;

use super::course::{Course, Next, Tried};
use super::headers::strip;
use super::listener::Server;
use super::pick::pick;
use super::table::Table;
use super::upstream::{Answer, AskError, Bounds, By, Endpoint};
use crate::http::budget::{self, Counted};
use crate::http::http2::Trailers;
use crate::http::place::Place;
use crate::http::reply::Failure;
use crate::metrics::Routed;

/// What an answer carries that somebody with a model gave.
const BY_A_MODEL: HeaderName = HeaderName::from_static("aurora-model-version");

/// Where a request goes, and how it came to that.
#[derive(Debug, Clone, Copy)]
pub(super) struct Way {
    track: Track,
    /// Nothing where no prediction is asked for.
    routed: Option<Routed>,
}

impl Way {
    pub(super) fn routed(track: Track, routed: Routed) -> Self {
        Self {
            track,
            routed: Some(routed),
        }
    }

    pub(super) fn describing(track: Track) -> Self {
        Self { track, routed: None }
    }
}

/// What is passed on.
#[derive(Debug)]
pub(super) struct Outgoing {
    by: By,
    method: Method,
    path: String,
    headers: HeaderMap,
    body: Bytes,
    /// Whether a version is named, which an endpoint need not have while its track is replaced.
    is_versioned: bool,
}

impl Outgoing {
    pub(super) fn get(path: &str, headers: HeaderMap) -> Self {
        Self::by_http(Method::GET, path, headers, Bytes::new())
    }

    pub(super) fn post(path: &str, headers: HeaderMap, body: Bytes) -> Self {
        Self::by_http(Method::POST, path, headers, body)
    }

    fn by_http(method: Method, path: &str, headers: HeaderMap, body: Bytes) -> Self {
        Self {
            by: By::Http,
            method,
            path: path.to_owned(),
            headers,
            body,
            is_versioned: path.contains("/versions/"),
        }
    }

    /// Returns a call of gRPC; its body is a message in its frame.
    pub(super) fn call(path: &str, headers: HeaderMap, body: Bytes, is_versioned: bool) -> Self {
        let mut headers = headers;
        // The target says it.
        headers.remove(HOST);
        headers.insert(TE, HeaderValue::from_static("trailers"));
        Self {
            by: By::Grpc,
            method: Method::POST,
            path: path.to_owned(),
            headers,
            body,
            is_versioned,
        }
    }

    fn request(&self, endpoint: &Endpoint) -> Result<Request<Full<Bytes>>, Failure> {
        let uri = match self.by {
            By::Http => self.path.parse(),
            By::Grpc => format!("http://{}{}", endpoint.authority(self.by), self.path).parse(),
        };
        let uri: Uri = uri.map_err(|_no_uri| Failure::bad_request("the path is none".to_owned()))?;
        let mut request = Request::new(Full::new(self.body.clone()));
        *request.method_mut() = self.method.clone();
        *request.uri_mut() = uri;
        *request.headers_mut() = self.headers.clone();
        if self.by == By::Http {
            request
                .headers_mut()
                .entry(HOST)
                .or_insert_with(|| endpoint.host());
        }
        if self.method == Method::POST {
            request
                .headers_mut()
                .insert(CONTENT_LENGTH, self.body.len().into());
        }
        Ok(request)
    }
}

impl Server {
    /// Has a request answered by an endpoint of its track; where one fails, by another.
    pub(super) async fn forward(
        &self,
        table: &Table,
        way: Way,
        outgoing: &Outgoing,
        place: &Arc<Place>,
    ) -> Result<Answer, Failure> {
        let meters = &self.router.0.meters;
        let model = table.model.as_str();
        let mut passed = meters.begin(model, way.track, way.routed, Instant::now());
        let mut course = Course::new(way.track, way.routed);
        let mut asked = Vec::new();
        let mut last = None;
        // When it was sent and did not come back.
        let mut since = None;
        let result = loop {
            let track = course.track();
            let next = match self.next(table, track, outgoing.by, &asked) {
                None => course.nobody_left(),
                Some(endpoint) => match self.ask(endpoint, track, since, outgoing, place).await {
                    Ok(answer) => break Ok(answer),
                    Err(Failed::Final(failure)) => break Err(failure),
                    Err(Failed::Tried(tried, answer)) => {
                        meters.tried(model, track, tried.into());
                        asked.push(endpoint.address);
                        if tried == Tried::Broken {
                            since = Some(Instant::now());
                        }
                        last = Some((tried, answer));
                        course.after(tried)
                    }
                },
            };
            match next {
                Next::Another => {}
                Next::Divert => {
                    meters.diverted(model);
                    passed.track = course.track();
                    last = None;
                }
                Next::Stop => {
                    break match last {
                        Some((_, Some(answer))) => Ok(*answer),
                        Some((tried, None)) => Err(nobody(track, tried)),
                        None => Err(nobody_to_ask(table, track, outgoing.by)),
                    };
                }
            }
        };
        passed.answered(match &result {
            Ok(answer) => answer.status,
            Err(failure) => failure.status,
        });
        result
    }

    /// Chooses an endpoint of a track that was not asked yet.
    fn next<'a>(&self, table: &'a Table, track: Track, by: By, asked: &[SocketAddr]) -> Option<&'a Endpoint> {
        let left: Vec<_> = table
            .reached(track, by)
            .filter(|endpoint| !asked.contains(&endpoint.address))
            .collect();
        let loads: Vec<_> = left.iter().map(|endpoint| endpoint.load(by)).collect();
        pick(&loads, self.router.0.dice.roll()).and_then(|at| left.get(at).map(|endpoint| &***endpoint))
    }

    async fn ask(
        &self,
        endpoint: &Endpoint,
        track: Track,
        since: Option<Instant>,
        outgoing: &Outgoing,
        place: &Arc<Place>,
    ) -> Result<Answer, Failed> {
        let by = outgoing.by;
        let bounds = Bounds {
            begin: self.answer_timeout,
            bytes: self.limits.answer_bytes,
        };
        let request = outgoing.request(endpoint).map_err(Failed::Final)?;
        let held = self.answers.hold(place.clone());
        let answer = match endpoint.ask(by, request, since, &bounds, held).await {
            Ok(answer) => answer,
            Err(error) => return Err(failed(endpoint, track, by, &error)),
        };
        if !serves_nothing(&answer) {
            return Ok(answer);
        }
        let is_of_path = answer.status == StatusCode::NOT_FOUND && outgoing.is_versioned;
        if !is_of_path {
            endpoint.put_out(by);
        }
        // That it knows no such model would be no answer to whoever asks for one that there is.
        let is_told = is_of_path || answer.status == StatusCode::SERVICE_UNAVAILABLE;
        Err(Failed::Tried(Tried::NotReady, is_told.then(|| Box::new(answer))))
    }
}

/// Why an endpoint gave nothing to pass on.
enum Failed {
    /// Another one may. With what it said, if it did.
    Tried(Tried, Option<Box<Answer>>),
    /// No other is asked.
    Final(Failure),
}

fn failed(endpoint: &Endpoint, track: Track, by: By, error: &AskError) -> Failed {
    let of_pod = |status| {
        Failed::Final(Failure::new(
            status,
            format!("a pod of the {track} track {error}"),
        ))
    };
    tracing::debug!(
        endpoint = %endpoint.authority(by),
        error = error as &dyn std::error::Error,
        "an endpoint gave no answer"
    );
    let tried = match error {
        AskError::Refused(_) => Tried::Refused,
        AskError::Broken(_) => Tried::Broken,
        AskError::NoRoom => return Failed::Final(Failure::answers_full()),
        AskError::Late => {
            endpoint.put_out(by);
            return of_pod(StatusCode::GATEWAY_TIMEOUT);
        }
        // So does a proxy before a pod that is not there yet.
        AskError::NoCall(StatusCode::SERVICE_UNAVAILABLE) => Tried::NotReady,
        AskError::TooLarge(_) | AskError::NoCall(_) => return of_pod(StatusCode::BAD_GATEWAY),
    };
    endpoint.put_out(by);
    Failed::Tried(tried, None)
}

/// Says whether an answer is that of a process without a model: not yet, or not any more.
fn serves_nothing(answer: &Answer) -> bool {
    let is_without = [StatusCode::SERVICE_UNAVAILABLE, StatusCode::NOT_FOUND].contains(&answer.status);
    is_without && !answer.headers.contains_key(BY_A_MODEL)
}

/// Says that nobody answered, by who was asked last.
fn nobody(track: Track, tried: Tried) -> Failure {
    match tried {
        Tried::Refused => Failure::unavailable(format!(
            "no pod of the {track} track takes a connection, try again"
        )),
        Tried::NotReady => Failure::unavailable(format!(
            "no pod of the {track} track has its model yet, try again"
        )),
        Tried::Broken => Failure::new(
            StatusCode::BAD_GATEWAY,
            format!("a pod of the {track} track broke off before it had answered"),
        ),
    }
}

/// Says that there was nobody to ask.
fn nobody_to_ask(table: &Table, track: Track, by: By) -> Failure {
    Failure::unavailable(match by {
        By::Grpc if !table.endpoints(track).is_empty() => {
            format!("no pod of the {track} track answers by gRPC: its Service has no port of the name grpc")
        }
        By::Http | By::Grpc => format!("no pod of the {track} track is ready, try again"),
    })
}

impl Answer {
    /// Returns it as it is passed on by HTTP.
    pub(super) fn into_response(self, place: &Place) -> Response {
        let status = self.status;
        let mut response = self.into_call(place);
        *response.status_mut() = status;
        response
    }

    /// Returns it as it is passed on by gRPC.
    pub(super) fn into_call(self, place: &Place) -> Response {
        let Self {
            status: _,
            mut headers,
            body,
            trailers,
            held,
        } = self;
        strip(&mut headers);
        let is_large = body.len() > budget::free_bytes(place);
        let mut response = Response::new(body.into());
        *response.headers_mut() = headers;
        if is_large {
            response.extensions_mut().insert(Counted::from(held));
        }
        if !trailers.is_empty() {
            response.extensions_mut().insert(Trailers(trailers));
        }
        response
    }
}
