//! What comes back: whole, or in parts, never more than was said.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::header::{CONTENT_LENGTH, LOCATION, RETRY_AFTER};
use http::{HeaderMap, Method, StatusCode};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;

use crate::connect::Driven;
use crate::error::said;
use crate::{Url, WebError, within};

/// The longest wait that a server may ask for.
const RETRY_AFTER_MAX: Duration = Duration::from_hours(1);

/// A whole answer, of whatever status.
#[derive(Debug, Clone)]
pub struct Response {
    /// Its status.
    pub status: StatusCode,
    /// Its headers.
    pub headers: HeaderMap,
    /// What it holds.
    pub body: Bytes,
    origin: String,
}

impl Response {
    /// Returns an answer that says yes (2xx).
    ///
    /// # Errors
    ///
    /// [`WebError::Refused`] with what it says, for every other status.
    pub fn success(self) -> Result<Self, WebError> {
        if self.status.is_success() {
            return Ok(self);
        }
        Err(WebError::Refused {
            origin: self.origin,
            status: self.status,
            said: said(&self.body),
            retry_after: retry_after(&self.headers),
        })
    }

    /// Returns how long a server asks to be left alone, at most an hour.
    pub fn retry_after(&self) -> Option<Duration> {
        retry_after(&self.headers)
    }
}

/// An answer whose body is still to come. Dropped, it ends its connection.
#[derive(Debug)]
pub struct Answer {
    /// Its status.
    pub status: StatusCode,
    /// Its headers.
    pub headers: HeaderMap,
    body: Incoming,
    url: Url,
    stall: Duration,
    bytes_max: u64,
    bytes: u64,
    _connection: Driven,
}

impl Answer {
    pub(crate) fn new(
        response: http::Response<Incoming>,
        url: Url,
        limits: &crate::Limits,
        connection: Driven,
    ) -> Result<Self, WebError> {
        let (parts, body) = response.into_parts();
        let length = parts
            .headers
            .get(CONTENT_LENGTH)
            .and_then(|length| length.to_str().ok()?.parse().ok());
        if length.is_some_and(|length: u64| length > limits.body_bytes_max) {
            return Err(WebError::TooLarge {
                origin: url.origin(),
                bytes_max: limits.body_bytes_max,
            });
        }
        Ok(Self {
            status: parts.status,
            headers: parts.headers,
            body,
            url,
            stall: limits.stall,
            bytes_max: limits.body_bytes_max,
            bytes: 0,
            _connection: connection,
        })
    }

    /// Returns the next bytes of the body; `None` at its end.
    ///
    /// # Errors
    ///
    /// Where it stalls, breaks off or is too large.
    pub async fn chunk(&mut self) -> Result<Option<Bytes>, WebError> {
        loop {
            let frame = match within(&self.url, self.stall, "send more", self.body.frame()).await? {
                None => return Ok(None),
                Some(Err(error)) => return Err(WebError::broken(&self.url, &error)),
                Some(Ok(frame)) => frame,
            };
            // Trailers are nothing to us.
            let Ok(bytes) = frame.into_data() else { continue };
            self.bytes += bytes.len() as u64;
            if self.bytes > self.bytes_max {
                return Err(WebError::TooLarge {
                    origin: self.url.origin(),
                    bytes_max: self.bytes_max,
                });
            }
            return Ok(Some(bytes));
        }
    }

    /// Returns the answer with all that is still to come.
    ///
    /// # Errors
    ///
    /// Those of [`chunk`](Self::chunk).
    pub async fn whole(mut self) -> Result<Response, WebError> {
        let mut body = BytesMut::new();
        while let Some(bytes) = self.chunk().await? {
            body.extend_from_slice(&bytes);
        }
        Ok(Response {
            status: self.status,
            headers: self.headers,
            body: body.freeze(),
            origin: self.url.origin(),
        })
    }

    /// Returns how long a server asks to be left alone, at most an hour.
    pub fn retry_after(&self) -> Option<Duration> {
        retry_after(&self.headers)
    }

    /// Returns where the answer redirects a question without a body, to whichever server; `None` where it is no redirect.
    ///
    /// # Errors
    ///
    /// [`WebError::Redirected`] where that is no address that may be asked.
    pub fn location(&self) -> Option<Result<Url, WebError>> {
        let location = self.redirected(&Method::GET)?;
        Some(self.url.followed(location))
    }

    /// Returns where a redirect leads that asks for the same question again.
    pub(crate) fn redirected(&self, method: &Method) -> Option<&str> {
        let is_again = match self.status {
            // A forge says so of a repository with a new name, whatever is asked of it.
            StatusCode::MOVED_PERMANENTLY
            | StatusCode::TEMPORARY_REDIRECT
            | StatusCode::PERMANENT_REDIRECT => true,
            StatusCode::FOUND | StatusCode::SEE_OTHER => *method == Method::GET || *method == Method::HEAD,
            _ => false,
        };
        let location = is_again.then(|| self.headers.get(LOCATION)).flatten()?;
        Some(location.to_str().unwrap_or_default())
    }
}

/// Dates are not read: those who send news back are told in seconds.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let seconds = headers.get(RETRY_AFTER)?.to_str().ok()?.trim().parse().ok()?;
    Some(Duration::from_secs(seconds).min(RETRY_AFTER_MAX))
}
