//! Answers: JSON, text, and failures as `{"error": …}` with the status that the protocol gives them.

use std::sync::Arc;
use std::time::Duration;

use hyper::StatusCode;
use hyper::body::Body as _;
use hyper::header::{
    ACCEPT_ENCODING, ALLOW, CONTENT_ENCODING, CONTENT_TYPE, HeaderMap, HeaderValue, RETRY_AFTER, VARY,
    WWW_AUTHENTICATE,
};
use schemars::JsonSchema;
use serde::Serialize;
use warp::reply::Response;

use super::budget::{self, Budget, Counted};
use super::coding::Coding;
use super::place::Place;
use crate::keys::Refused;
use crate::metrics::{Metrics, Page};

/// Clients compare the header as text: exactly this.
pub(crate) const JSON: HeaderValue = HeaderValue::from_static("application/json");

/// What is told instead of an answer.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Error")]
pub(crate) struct ErrorBody<'a> {
    /// What is wrong, and what to do.
    error: &'a str,
}

/// A request that gets no answer but a reason.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub(crate) struct Failure {
    pub(crate) status: StatusCode,
    pub(crate) message: String,
    /// The methods that the path knows, with 405.
    allow: Option<&'static str>,
    /// In how many seconds to come back, with 429 and 503.
    retry: Option<u64>,
}

impl Failure {
    pub(crate) fn new(status: StatusCode, message: String) -> Self {
        Self {
            status,
            message,
            allow: None,
            retry: matches!(
                status,
                StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE
            )
            .then_some(1),
        }
    }

    pub(crate) fn bad_request(message: String) -> Self {
        Self::new(StatusCode::BAD_REQUEST, message)
    }

    pub(crate) fn not_found(message: String) -> Self {
        Self::new(StatusCode::NOT_FOUND, message)
    }

    pub(crate) fn internal(message: String) -> Self {
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, message)
    }

    pub(crate) fn unavailable(message: String) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, message)
    }

    pub(crate) fn method_not_allowed(allow: &'static str) -> Self {
        Self {
            allow: Some(allow),
            ..Self::new(
                StatusCode::METHOD_NOT_ALLOWED,
                format!("this path takes {allow} only"),
            )
        }
    }

    pub(crate) fn too_large(max: usize) -> Self {
        Self::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            format!("the body is larger than {max} bytes: send fewer rows per request"),
        )
    }

    pub(crate) fn body_timeout(timeout: Duration) -> Self {
        Self::new(
            StatusCode::REQUEST_TIMEOUT,
            format!("the body did not arrive within {} s", timeout.as_secs_f64()),
        )
    }

    pub(crate) fn body_behind() -> Self {
        Self::new(
            StatusCode::REQUEST_TIMEOUT,
            "the body comes too slowly while others wait for room, try again".to_owned(),
        )
    }

    pub(crate) fn bodies_full() -> Self {
        Self::unavailable("too many large requests at once, try again".to_owned())
    }

    pub(crate) fn answers_full() -> Self {
        Self::unavailable("too many large answers are being taken at once, try again".to_owned())
    }

    pub(crate) fn only_probes() -> Self {
        Self::unavailable(
            "too many connections, try again soon: this one is kept for health and metrics".to_owned(),
        )
    }

    pub(crate) fn too_many_requests(max: usize) -> Self {
        Self::new(
            StatusCode::TOO_MANY_REQUESTS,
            format!("{max} requests are under way already, try again"),
        )
    }

    pub(crate) fn too_many_of_yours(max: usize) -> Self {
        Self::new(
            StatusCode::TOO_MANY_REQUESTS,
            format!("{max} requests of your address are under way already, try again"),
        )
    }

    pub(crate) fn too_often(wait: Duration) -> Self {
        Self::later(
            wait,
            "your address asks more often than it may: the operator sets how often",
        )
    }

    pub(crate) fn too_many_wrong_keys(wait: Duration) -> Self {
        Self::later(wait, "your address sent too many keys that are not known")
    }

    fn later(wait: Duration, why: &str) -> Self {
        // Rounded up: whoever comes back then has waited long enough.
        let seconds = wait.as_secs() + 1;
        Self {
            retry: Some(seconds),
            ..Self::new(
                StatusCode::TOO_MANY_REQUESTS,
                format!("{why}; come back in {seconds} s"),
            )
        }
    }

    /// Returns in how many seconds to come back, where that helps.
    pub(crate) fn retry(&self) -> Option<u64> {
        self.retry
    }

    /// Returns the answer that says so.
    pub(crate) fn response(&self) -> Response {
        let mut response = json(self.status, &ErrorBody { error: &self.message });
        let headers = response.headers_mut();
        if let Some(allow) = self.allow {
            headers.insert(ALLOW, HeaderValue::from_static(allow));
        }
        if self.status == StatusCode::UNAUTHORIZED {
            headers.insert(
                WWW_AUTHENTICATE,
                HeaderValue::from_static("Bearer realm=\"aurora\""),
            );
        }
        if let Some(seconds) = self.retry {
            headers.insert(RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }
}

impl From<Refused> for Failure {
    fn from(refused: Refused) -> Self {
        Self::new(StatusCode::UNAUTHORIZED, refused.to_string())
    }
}

/// Returns `body` as JSON.
pub(crate) fn json<T: Serialize>(status: StatusCode, body: &T) -> Response {
    json_bytes(status, written(body))
}

/// Writes an answer's body.
pub(crate) fn written<T: Serialize>(body: &T) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(256);
    serde_json::to_writer(&mut bytes, body)
        .expect("invariant: our answers have text keys and writing to memory works");
    bytes
}

/// Returns bytes that are JSON already, compressed where they are many and the client with these headers takes that. It
/// takes a while: called where no other request waits for it.
pub(crate) fn json_for(headers: &HeaderMap, bytes: Vec<u8>) -> Response {
    let coded = Coding::of_answer(headers).and_then(|coding| Some((coding, coding.compress(&bytes)?)));
    let (coding, bytes) = match coded {
        Some((coding, bytes)) => (Some(coding), bytes),
        None => (None, bytes),
    };
    let mut response = json_bytes(StatusCode::OK, bytes);
    let named = response.headers_mut();
    named.insert(VARY, HeaderValue::from(ACCEPT_ENCODING));
    if let Some(coding) = coding {
        named.insert(CONTENT_ENCODING, coding.header());
    }
    response
}

/// Counts a large answer whose bytes do not count yet until the client has taken them. One that is larger than all may be
/// together, with many models and little memory, is given alone: it is there already.
pub(crate) async fn counted(
    mut response: Response,
    answers: &Budget,
    place: &Arc<Place>,
) -> Result<Response, Failure> {
    let bytes = response.body().size_hint().exact().unwrap_or_default();
    let bytes = usize::try_from(bytes).unwrap_or(usize::MAX);
    if bytes > budget::free_bytes(place) {
        let mut held = answers.hold(place.clone());
        held.grow_to(bytes.min(answers.most()))
            .await
            .map_err(|_full| Failure::answers_full())?;
        response.extensions_mut().insert(Counted::from(held));
    }
    Ok(response)
}

/// Returns bytes that are JSON already.
pub(crate) fn json_bytes(status: StatusCode, bytes: Vec<u8>) -> Response {
    let mut response = Response::new(bytes.into());
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, JSON);
    response
}

/// Returns a page of metrics in Prometheus's text format.
pub(crate) async fn metrics(metrics: &Metrics, page: Page) -> Result<Response, Failure> {
    let text = metrics.scrape(page).await.map_err(|_panicked| {
        Failure::internal("failed to render the metrics: a fault of the server".to_owned())
    })?;
    let mut response = Response::new(text.into());
    let kind = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
    response.headers_mut().insert(CONTENT_TYPE, kind);
    Ok(response)
}
