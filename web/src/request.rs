//! What is asked, and how long and how large the answer may be.

use std::time::Duration;

use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_TYPE};
use http::{HeaderMap, HeaderName, HeaderValue, Method};

use crate::{Url, WebError};

/// What bounds one request.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Until there is a connection, over all addresses of a host.
    pub connect: Duration,
    /// Without anything coming: until an answer begins, and between two parts of it.
    pub stall: Duration,
    /// For all of [`Client::send`](crate::Client::send).
    pub deadline: Duration,
    /// The largest answer, in bytes.
    pub body_bytes_max: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(10),
            stall: Duration::from_secs(20),
            deadline: Duration::from_secs(30),
            body_bytes_max: 4 << 20,
        }
    }
}

/// One question.
#[derive(Debug, Clone)]
pub struct Request {
    /// How.
    pub method: Method,
    /// Where.
    pub url: Url,
    /// Beside `host`, `user-agent` and `content-length`, which are the client's own.
    pub headers: HeaderMap,
    /// What is handed over.
    pub body: Bytes,
    /// What bounds it.
    pub limits: Limits,
}

impl Request {
    /// Asks `url` something without a body.
    pub fn new(method: Method, url: Url) -> Self {
        Self {
            method,
            url,
            headers: HeaderMap::new(),
            body: Bytes::new(),
            limits: Limits::default(),
        }
    }

    /// Adds a header.
    ///
    /// # Panics
    ///
    /// Where `value` is not what a header may hold: it is the program's own.
    #[must_use]
    pub fn header(mut self, name: HeaderName, value: &str) -> Self {
        let value = HeaderValue::from_str(value).expect("invariant: a header of ours is visible ASCII");
        self.headers.insert(name, value);
        self
    }

    /// Adds a header that holds a secret, and prints as none.
    ///
    /// # Errors
    ///
    /// [`WebError::Secret`] where no header can hold it.
    pub fn secret(mut self, name: HeaderName, value: &str) -> Result<Self, WebError> {
        let mut value = HeaderValue::from_str(value).map_err(|_unprintable| WebError::Secret)?;
        value.set_sensitive(true);
        self.headers.insert(name, value);
        Ok(self)
    }

    /// Says by a token who asks.
    ///
    /// # Errors
    ///
    /// [`WebError::Secret`] where no header can hold it.
    pub fn bearer(self, token: &str) -> Result<Self, WebError> {
        self.secret(AUTHORIZATION, &format!("Bearer {token}"))
    }

    /// Hands a body over.
    #[must_use]
    pub fn body(self, content_type: &str, body: impl Into<Bytes>) -> Self {
        Self {
            body: body.into(),
            ..self.header(CONTENT_TYPE, content_type)
        }
    }

    /// Is bounded otherwise than most are.
    #[must_use]
    pub fn limits(self, limits: Limits) -> Self {
        Self { limits, ..self }
    }
}
