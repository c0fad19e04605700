//! Asks endpoints until one answers.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use http_body_util::Full;
use hyper::header::{CONTENT_LENGTH, HOST, HeaderMap, HeaderName};
use hyper::{Method, Request, StatusCode, Uri};
use planner::names::Track;
use warp::reply::Response;

use super::course::{Course, Next, Tried};
use super::headers::strip;
use super::listener::Server;
use super::pick::pick;
use super::table::Table;
use super::upstream::{Answer, AskError, Bounds, Endpoint};
use crate::http::budget::{Counted, FREE_BYTES};
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
    method: Method,
    path: String,
    headers: HeaderMap,
    body: Bytes,
}

impl Outgoing {
    pub(super) fn get(path: &str, headers: HeaderMap) -> Self {
        Self {
            method: Method::GET,
            path: path.to_owned(),
            headers,
            body: Bytes::new(),
        }
    }

    pub(super) fn post(path: &str, headers: HeaderMap, body: Bytes) -> Self {
        Self {
            method: Method::POST,
            path: path.to_owned(),
            headers,
            body,
        }
    }

    fn request(&self, endpoint: &Endpoint) -> Result<Request<Full<Bytes>>, Failure> {
        let uri: Uri = self
            .path
            .parse()
            .map_err(|_no_uri| Failure::bad_request("the path is none".to_owned()))?;
        let mut request = Request::new(Full::new(self.body.clone()));
        *request.method_mut() = self.method.clone();
        *request.uri_mut() = uri;
        *request.headers_mut() = self.headers.clone();
        request
            .headers_mut()
            .entry(HOST)
            .or_insert_with(|| endpoint.host());
        if self.method == Method::POST {
            request
                .headers_mut()
                .insert(CONTENT_LENGTH, self.body.len().into());
        }
        Ok(request)
    }

    /// Says whether the path names a version, which an endpoint need not have while its track is replaced.
    fn is_versioned(&self) -> bool {
        self.path.contains("/versions/")
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
    ) -> Result<Response, Failure> {
        let meters = &self.router.0.meters;
        let model = table.model.as_str();
        let mut passed = meters.begin(model, way.track, way.routed, Instant::now());
        let mut course = Course::new(way.track, way.routed);
        let mut asked = Vec::new();
        let mut last = None;
        let result = loop {
            let track = course.track();
            let next = match self.next(table, track, &asked) {
                None => course.nobody_left(),
                Some(endpoint) => match self.ask(endpoint, &course, outgoing, place).await {
                    Ok(answer) => break Ok(answer),
                    Err(Failed::Final(failure)) => break Err(failure),
                    Err(Failed::Tried(tried, answer)) => {
                        meters.tried(model, track, tried.into());
                        asked.push(endpoint.address);
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
                        Some((_, Some(answer))) => Ok(answer),
                        last => Err(nobody(track, last.map(|(tried, _none)| tried))),
                    };
                }
            }
        };
        passed.answered(match &result {
            Ok(answer) => answer.status,
            Err(failure) => failure.status,
        });
        result.map(response)
    }

    /// Chooses an endpoint of a track that was not asked yet.
    fn next<'a>(&self, table: &'a Table, track: Track, asked: &[SocketAddr]) -> Option<&'a Endpoint> {
        let left = table.endpoints(track).iter();
        let left: Vec<_> = left
            .filter(|endpoint| !asked.contains(&endpoint.address))
            .collect();
        let loads: Vec<_> = left.iter().map(|endpoint| endpoint.load()).collect();
        pick(&loads, self.router.0.dice.roll()).and_then(|at| left.get(at).map(|endpoint| &***endpoint))
    }

    async fn ask(
        &self,
        endpoint: &Endpoint,
        course: &Course,
        outgoing: &Outgoing,
        place: &Arc<Place>,
    ) -> Result<Answer, Failed> {
        let bounds = Bounds {
            begin: self.answer_timeout,
            bytes: self.limits.answer_bytes,
        };
        let request = outgoing.request(endpoint).map_err(Failed::Final)?;
        let held = self.answers.hold(place.clone());
        let answer = match endpoint.ask(request, course.is_sent(), &bounds, held).await {
            Ok(answer) => answer,
            Err(error) => return Err(failed(endpoint, course.track(), &error)),
        };
        if !serves_nothing(&answer) {
            return Ok(answer);
        }
        let is_of_path = answer.status == StatusCode::NOT_FOUND && outgoing.is_versioned();
        if !is_of_path {
            endpoint.put_out();
        }
        // That it knows no such model would be no answer to whoever asks for one that there is.
        let is_told = is_of_path || answer.status == StatusCode::SERVICE_UNAVAILABLE;
        Err(Failed::Tried(Tried::NotReady, is_told.then_some(answer)))
    }
}

/// Why an endpoint gave nothing to pass on.
enum Failed {
    /// Another one may. With what it said, if it did.
    Tried(Tried, Option<Answer>),
    /// No other is asked.
    Final(Failure),
}

fn failed(endpoint: &Endpoint, track: Track, error: &AskError) -> Failed {
    let of_pod = |status| {
        Failed::Final(Failure::new(
            status,
            format!("a pod of the {track} track {error}"),
        ))
    };
    tracing::debug!(
        endpoint = %endpoint.address,
        error = error as &dyn std::error::Error,
        "an endpoint gave no answer"
    );
    let tried = match error {
        AskError::Refused(_) => Tried::Refused,
        AskError::Broken(_) => Tried::Broken,
        AskError::NoRoom => return Failed::Final(Failure::answers_full()),
        AskError::Late => {
            endpoint.put_out();
            return of_pod(StatusCode::GATEWAY_TIMEOUT);
        }
        AskError::TooLarge(_) => return of_pod(StatusCode::BAD_GATEWAY),
    };
    endpoint.put_out();
    Failed::Tried(tried, None)
}

/// Says whether an answer is that of a process without a model: not yet, or not any more.
fn serves_nothing(answer: &Answer) -> bool {
    let is_without = [StatusCode::SERVICE_UNAVAILABLE, StatusCode::NOT_FOUND].contains(&answer.status);
    is_without && !answer.headers.contains_key(BY_A_MODEL)
}

/// Says that nobody answered.
fn nobody(track: Track, tried: Option<Tried>) -> Failure {
    match tried {
        None => Failure::unavailable(format!("no pod of the {track} track is ready, try again")),
        Some(Tried::Refused) => Failure::unavailable(format!(
            "no pod of the {track} track takes a connection, try again"
        )),
        Some(Tried::NotReady) => Failure::unavailable(format!(
            "no pod of the {track} track has its model yet, try again"
        )),
        Some(Tried::Broken) => Failure::new(
            StatusCode::BAD_GATEWAY,
            format!("a pod of the {track} track broke off before it had answered"),
        ),
    }
}

fn response(answer: Answer) -> Response {
    let Answer {
        status,
        mut headers,
        body,
        held,
    } = answer;
    strip(&mut headers);
    let is_large = body.len() > FREE_BYTES;
    let mut response = Response::new(body.into());
    *response.status_mut() = status;
    *response.headers_mut() = headers;
    if is_large {
        response.extensions_mut().insert(Counted::from(held));
    }
    response
}
