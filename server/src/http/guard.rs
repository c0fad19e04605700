//! Under which name a listener may be asked.
//!
//! Without keys, what protects a listener on loopback is that only this machine reaches it. A browser on this machine
//! would lend that to any page: one that rebinds its own name to this machine shows in `Host`, one that sends to
//! another site in `Origin`.

use std::net::{Ipv4Addr, Ipv6Addr};

use hyper::header::{HOST, HeaderValue, ORIGIN};
use hyper::{Request, StatusCode, Version};

use super::origins::Origins;
use super::reply::Failure;

/// Under which names a listener may be asked.
#[derive(Debug, Clone, Default)]
pub(crate) enum Names {
    /// Any: whoever asks has a key, or it was said that none is needed.
    #[default]
    Any,
    /// `localhost` and loopback addresses, and no page of another site may ask but of these.
    Loopback(Origins),
}

impl Names {
    /// Refuses a request that does not say whom it asks (400), or asks another than this one (403).
    pub(crate) fn check<B>(&self, request: &Request<B>) -> Result<(), Failure> {
        let headers = request.headers();
        let mut hosts = headers.get_all(HOST).iter();
        let target = request.uri().authority();
        // HTTP/2 says it with the target.
        let is_said = request.version() >= Version::HTTP_2 && target.is_some();
        let host = match (hosts.next(), hosts.next()) {
            (None, _) if request.version() >= Version::HTTP_11 && !is_said => {
                return Err(Failure::bad_request("the header Host is missing".to_owned()));
            }
            (_, Some(_second)) => {
                return Err(Failure::bad_request("the header Host is given twice".to_owned()));
            }
            (host, None) => host.map(text).transpose()?.map(Authority::parse).transpose()?,
        };
        // A target in absolute form says more than the header, which then does not count.
        let target = target
            .map(|target| Authority::parse(target.as_str()))
            .transpose()?;
        let Self::Loopback(origins) = self else {
            return Ok(());
        };
        if let Some(asked) = target.or(host)
            && !asked.is_loopback()
        {
            return Err(forbidden(
                "Host names another machine: ask for localhost or 127.0.0.1, or configure keys",
            ));
        }
        if origins.of(headers).is_some() || headers.get_all(ORIGIN).iter().all(is_local) {
            Ok(())
        } else {
            Err(forbidden(
                "Origin names another site: pages of other sites may not ask; configure keys to let them",
            ))
        }
    }
}

fn forbidden(message: &str) -> Failure {
    Failure::new(StatusCode::FORBIDDEN, message.to_owned())
}

fn text(value: &HeaderValue) -> Result<&str, Failure> {
    value.to_str().map_err(|_other_bytes| malformed())
}

fn malformed() -> Failure {
    Failure::bad_request("the header Host is no name or address with a port".to_owned())
}

/// Says whether a page may ask: one that this machine serves.
fn is_local(origin: &HeaderValue) -> bool {
    let Ok(origin) = origin.to_str() else {
        return false;
    };
    let authority = origin
        .strip_prefix("http://")
        .or_else(|| origin.strip_prefix("https://"));
    authority
        .and_then(|authority| Authority::parse(authority).ok())
        .is_some_and(Authority::is_loopback)
}

/// Whom a request asks, without the port.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Authority<'a> {
    /// An address in brackets.
    V6(Ipv6Addr),
    /// A name, or an IPv4 address; may be empty.
    Name(&'a str),
}

impl<'a> Authority<'a> {
    fn parse(text: &'a str) -> Result<Self, Failure> {
        let (asked, port) = if let Some(rest) = text.strip_prefix('[') {
            let (address, port) = rest.split_once(']').ok_or_else(malformed)?;
            (Self::V6(address.parse().map_err(|_wrong| malformed())?), port)
        } else {
            let end = text.find(':').unwrap_or(text.len());
            (Self::Name(&text[..end]), &text[end..])
        };
        let is_port = port.is_empty()
            || port
                .strip_prefix(':')
                .is_some_and(|port| port.len() <= 5 && port.bytes().all(|byte| byte.is_ascii_digit()));
        let is_sign = |byte| {
            matches!(
                byte,
                b'-' | b'.'
                    | b'_'
                    | b'~'
                    | b'%'
                    | b'!'
                    | b'$'
                    | b'&'
                    | b'\''
                    | b'('
                    | b')'
                    | b'*'
                    | b'+'
                    | b';'
                    | b'='
            )
        };
        let is_name = |name: &str| {
            name.bytes()
                .all(|byte: u8| byte.is_ascii_alphanumeric() || is_sign(byte))
        };
        match asked {
            Self::Name(name) if !is_name(name) => Err(malformed()),
            _ if !is_port => Err(malformed()),
            asked => Ok(asked),
        }
    }

    fn is_loopback(self) -> bool {
        match self {
            Self::V6(address) => address.to_canonical().is_loopback(),
            Self::Name(name) => {
                name.strip_suffix('.')
                    .unwrap_or(name)
                    .eq_ignore_ascii_case("localhost")
                    || name
                        .parse::<Ipv4Addr>()
                        .is_ok_and(|address| address.is_loopback())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn loopback_only() -> Names {
        Names::Loopback(Origins::default())
    }

    /// Returns the status that a request's target and headers get.
    fn status(names: &Names, version: Version, target: &str, headers: &[(&'static str, &str)]) -> u16 {
        let mut request = Request::builder().uri(target).version(version);
        for (name, value) in headers {
            request = request.header(*name, HeaderValue::from_bytes(value.as_bytes()).expect("a value"));
        }
        let checked = names.check(&request.body(()).expect("a request"));
        checked.map_or_else(|failure| failure.status.as_u16(), |()| 200)
    }

    #[test]
    fn without_keys_only_loopback_names_are_answered() {
        for (host, loopback, any) in [
            ("localhost", 200, 200),
            ("LocalHost:8080", 200, 200),
            ("localhost.", 200, 200),
            ("127.0.0.1:1", 200, 200),
            ("127.9.8.7", 200, 200),
            ("[::1]", 200, 200),
            ("[::1]:65535", 200, 200),
            ("[::ffff:127.0.0.1]:80", 200, 200),
            ("", 403, 200),
            (":80", 403, 200),
            ("evil.example", 403, 200),
            ("evil.example:8080", 403, 200),
            ("localhost.evil.example", 403, 200),
            ("evil-localhost", 403, 200),
            ("127.0.0.1.evil.example", 403, 200),
            ("10.0.0.1", 403, 200),
            ("0.0.0.0", 403, 200),
            ("2130706433", 403, 200),
            ("[::2]", 403, 200),
            ("localhost:80:80", 400, 400),
            ("localhost:x", 400, 400),
            ("localhost:123456", 400, 400),
            ("localhost, evil.example", 400, 400),
            ("evil.example@localhost", 400, 400),
            ("localhost/", 400, 400),
            ("a b", 400, 400),
            ("[::1", 400, 400),
            ("[localhost]", 400, 400),
            ("l\u{f6}calhost", 400, 400),
        ] {
            for (names, expected) in [(loopback_only(), loopback), (Names::Any, any)] {
                let got = status(&names, Version::HTTP_11, "/", &[("host", host)]);
                assert_eq!(got, expected, "{host:?} {names:?}");
            }
        }
    }

    #[test]
    fn a_request_says_once_whom_it_asks() {
        let twice = [("host", "localhost"), ("host", "localhost")];
        let other = [("host", "localhost"), ("host", "evil.example")];
        for names in &[loopback_only(), Names::Any] {
            assert_eq!(status(names, Version::HTTP_11, "/", &[]), 400);
            // Before 1.1 the header was not needed.
            assert_eq!(status(names, Version::HTTP_10, "/", &[]), 200);
            for version in [Version::HTTP_10, Version::HTTP_11] {
                assert_eq!(status(names, version, "/", &twice), 400);
                assert_eq!(status(names, version, "/", &other), 400);
            }
        }
    }

    #[test]
    fn a_target_in_absolute_form_decides() {
        let local = [("host", "localhost")];
        let evil = [("host", "evil.example")];
        for (target, headers, expected) in [
            ("http://localhost:8080/health", &local, 200),
            ("http://127.0.0.1/health", &evil, 200),
            ("http://evil.example/health", &local, 403),
            ("http://a@localhost/health", &local, 400),
        ] {
            let got = status(&loopback_only(), Version::HTTP_11, target, headers);
            assert_eq!(got, expected, "{target}");
        }
        let without = status(&loopback_only(), Version::HTTP_11, "http://localhost/", &[]);
        assert_eq!(without, 400);
    }

    #[test]
    fn pages_of_other_sites_may_not_ask() {
        for (origins, expected) in [
            (&["http://localhost:3000"][..], 200),
            (&["https://127.0.0.1"], 200),
            (&["http://[::1]:5173"], 200),
            (&["http://evil.example"], 403),
            (&["https://localhost.evil.example"], 403),
            (&["null"], 403),
            (&[""], 403),
            (&["localhost"], 403),
            (&["file://"], 403),
            (&["http://localhost@evil.example"], 403),
            (&["http://localhost", "http://evil.example"], 403),
        ] {
            let mut headers = vec![("host", "localhost")];
            headers.extend(origins.iter().map(|origin| ("origin", *origin)));
            let got = status(&loopback_only(), Version::HTTP_11, "/", &headers);
            assert_eq!(got, expected, "{origins:?}");
            assert_eq!(status(&Names::Any, Version::HTTP_11, "/", &headers), 200);
        }
    }

    #[test]
    fn pages_of_an_origin_that_was_named_may_ask_this_machine() {
        let dashboard = ["https://aurora.example".parse().expect("an origin")];
        let names = Names::Loopback(dashboard.into_iter().collect());
        for (host, origin, expected) in [
            ("localhost", "https://aurora.example", 200),
            ("localhost", "http://aurora.example", 403),
            ("localhost", "https://aurora.example:8443", 403),
            ("localhost", "https://evil.example", 403),
            ("localhost", "http://localhost:3000", 200),
            ("aurora.example", "https://aurora.example", 403),
        ] {
            let headers = [("host", host), ("origin", origin)];
            let got = status(&names, Version::HTTP_11, "/", &headers);
            assert_eq!(got, expected, "{host} {origin}");
        }
    }
}
