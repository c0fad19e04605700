//! Pages of which origins may ask from a browser and read the answers: those of the dashboard, named one by one.
//!
//! A browser asks first ([`Origins::preflight`]), without a key, and hands an answer to a page only where the answer names
//! the page's origin ([`Origins::show`]). Requests without an origin, or of another, are treated as if this were not here.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::str::FromStr;
use std::sync::Arc;

use hyper::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
    ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE, ACCESS_CONTROL_REQUEST_METHOD, HeaderMap,
    HeaderValue, ORIGIN, VARY,
};
use hyper::{Method, StatusCode};
use warp::reply::Response;

use super::gate::Methods;

/// The headers that a page may send. A cookie is none of them: no answer allows credentials.
const SENT: HeaderValue = HeaderValue::from_static("aurora-track, content-type, x-api-key");
/// The headers of an answer that a page may read.
const READ: HeaderValue = HeaderValue::from_static("aurora-model-version, aurora-request-id, aurora-track");
/// How long a browser may go by what it was told, in seconds.
const MAX_AGE: HeaderValue = HeaderValue::from_static("600");
/// The longest origin, in bytes: a name of DNS has 253 at most.
const BYTES_MAX: usize = 300;

/// A scheme, a host and a port, written as browsers write them: in lower case, and without the port that is usual.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin(String);

/// What is no origin.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "a scheme, a host, and a port where it is not the usual one are expected, e.g. https://aurora.example.org or http://127.0.0.1:8000"
)]
pub struct NoOrigin;

impl Origin {
    /// Returns the origin of an address.
    pub fn of_address(address: SocketAddr, is_tls: bool) -> Self {
        let host = match address.ip() {
            IpAddr::V4(ip) => ip.to_string(),
            IpAddr::V6(ip) => format!("[{ip}]"),
        };
        Self::new(is_tls, &host, address.port())
    }

    /// Returns the origin of `localhost`.
    pub fn of_localhost(port: u16, is_tls: bool) -> Self {
        Self::new(is_tls, "localhost", port)
    }

    fn new(is_tls: bool, host: &str, port: u16) -> Self {
        let (scheme, usual) = if is_tls { ("https", 443) } else { ("http", 80) };
        Self(if port == usual {
            format!("{scheme}://{host}")
        } else {
            format!("{scheme}://{host}:{port}")
        })
    }
}

impl FromStr for Origin {
    type Err = NoOrigin;

    fn from_str(text: &str) -> Result<Self, NoOrigin> {
        if text.len() > BYTES_MAX {
            return Err(NoOrigin);
        }
        let text = text.to_ascii_lowercase();
        let (is_tls, rest) = match (text.strip_prefix("https://"), text.strip_prefix("http://")) {
            (Some(rest), _) => (true, rest),
            (None, Some(rest)) => (false, rest),
            (None, None) => return Err(NoOrigin),
        };
        let authority = rest.strip_suffix('/').unwrap_or(rest);
        let end = match authority.find(']') {
            Some(bracket) => bracket + 1,
            None => authority.find(':').unwrap_or(authority.len()),
        };
        let (host, port) = authority.split_at(end);
        let host = match host.strip_prefix('[').and_then(|host| host.strip_suffix(']')) {
            Some(address) => format!("[{}]", address.parse::<Ipv6Addr>().map_err(|_other| NoOrigin)?),
            // It stands in a policy, where a semicolon or a quote would begin something else.
            None if is_name(host) => host.to_owned(),
            None => return Err(NoOrigin),
        };
        let port = match port.strip_prefix(':') {
            Some(port) if port.bytes().all(|byte| byte.is_ascii_digit()) => {
                port.parse().ok().filter(|port| *port != 0).ok_or(NoOrigin)?
            }
            None if port.is_empty() && is_tls => 443,
            None if port.is_empty() => 80,
            Some(_) | None => return Err(NoOrigin),
        };
        Ok(Self::new(is_tls, &host, port))
    }
}

fn is_name(host: &str) -> bool {
    let is_of_name = |byte: u8| byte.is_ascii_alphanumeric() || b"-._".contains(&byte);
    !host.is_empty() && host.bytes().all(is_of_name)
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Those whose pages may call; none unless they are named.
#[derive(Debug, Clone, Default)]
pub struct Origins(Arc<[Origin]>);

impl FromIterator<Origin> for Origins {
    fn from_iter<T: IntoIterator<Item = Origin>>(origins: T) -> Self {
        Self(origins.into_iter().collect())
    }
}

impl Origins {
    /// Returns these and others.
    #[must_use]
    pub fn and(&self, others: impl IntoIterator<Item = Origin>) -> Self {
        self.0.iter().cloned().chain(others).collect()
    }

    /// Returns the origin that a request names, if its pages may call.
    pub(super) fn of<'a>(&self, headers: &'a HeaderMap) -> Option<&'a HeaderValue> {
        if self.0.is_empty() {
            return None;
        }
        let mut named = headers.get_all(ORIGIN).iter();
        let origin = named.next()?;
        let is_one = named.next().is_none() && self.0.iter().any(|known| origin == known.0.as_str());
        is_one.then_some(origin)
    }

    /// Answers a browser that asks whether a page may call a path; nothing where that is not what is asked.
    pub(super) fn preflight(
        &self,
        method: &Method,
        headers: &HeaderMap,
        methods: Methods,
    ) -> Option<Response> {
        let asks = method == Method::OPTIONS && headers.contains_key(ACCESS_CONTROL_REQUEST_METHOD);
        if !asks || methods != Methods::Call {
            return None;
        }
        self.of(headers)?;
        let mut response = Response::default();
        *response.status_mut() = StatusCode::NO_CONTENT;
        let told = response.headers_mut();
        told.insert(ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static("POST"));
        told.insert(ACCESS_CONTROL_ALLOW_HEADERS, SENT);
        told.insert(ACCESS_CONTROL_MAX_AGE, MAX_AGE);
        self.name(headers, &mut response);
        Some(response)
    }

    /// Lets the page that called read the answer, an error too.
    pub(super) fn show(&self, method: &Method, headers: &HeaderMap, response: &mut Response) {
        if method == Method::POST && self.name(headers, response) {
            let told = response.headers_mut();
            told.insert(ACCESS_CONTROL_EXPOSE_HEADERS, READ);
        }
    }

    /// Says whose pages an answer is for, if it is any's.
    fn name(&self, headers: &HeaderMap, response: &mut Response) -> bool {
        let Some(origin) = self.of(headers) else {
            return false;
        };
        let told = response.headers_mut();
        told.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
        told.append(VARY, HeaderValue::from(ORIGIN));
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_origin_is_written_as_browsers_write_it() {
        for (text, origin) in [
            ("https://Aurora.Example.org", Some("https://aurora.example.org")),
            (
                "https://aurora.example.org:443/",
                Some("https://aurora.example.org"),
            ),
            (
                "http://aurora.example.org:443",
                Some("http://aurora.example.org:443"),
            ),
            ("HTTP://127.0.0.1:80", Some("http://127.0.0.1")),
            ("http://127.0.0.1:8000", Some("http://127.0.0.1:8000")),
            ("http://[0:0::1]:8000", Some("http://[::1]:8000")),
            ("http://my_host", Some("http://my_host")),
            ("", None),
            ("*", None),
            ("null", None),
            ("aurora.example.org", None),
            ("ftp://aurora.example.org", None),
            ("https://", None),
            ("https:///", None),
            ("https://aurora.example.org/path", None),
            ("https://aurora.example.org//", None),
            ("https://aurora.example.org?q", None),
            ("https://me:secret@aurora.example.org", None),
            ("https://a.example;script-src", None),
            ("https://a.example 'unsafe-inline'", None),
            ("https://*.example.org", None),
            ("https://aurora.example.org:", None),
            ("https://aurora.example.org:0", None),
            ("https://aurora.example.org:65536", None),
            ("https://aurora.example.org:+1", None),
            ("https://[::1", None),
            ("https://[::1]x", None),
            ("https://b\u{fc}cher.example", None),
        ] {
            let read: Option<Origin> = text.parse().ok();
            assert_eq!(
                read.as_ref().map(ToString::to_string).as_deref(),
                origin,
                "{text}"
            );
        }
    }
}
