//! Where something is asked.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use http::Uri;
use http::uri::{PathAndQuery, Scheme};

use crate::WebError;

/// The longest address, in bytes.
const BYTES_MAX: usize = 4096;
/// Where a cloud answers a machine's own questions over IPv6; its IPv4 address is link-local.
const METADATA_V6: Ipv6Addr = Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254);

/// Where plain HTTP may be spoken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Plain {
    /// With this machine alone.
    Loopback,
    /// With any machine: who calls answers for the network between.
    Anywhere,
}

/// An address: `https`, or `http` where that may be. Shown is its origin alone, for a path can be a secret.
#[derive(Clone, PartialEq, Eq)]
pub struct Url {
    pub(crate) is_tls: bool,
    /// Without brackets.
    pub(crate) host: String,
    pub(crate) port: u16,
    pub(crate) target: PathAndQuery,
}

impl Url {
    /// Reads an absolute address.
    ///
    /// # Errors
    ///
    /// [`WebError::Address`] says what is wrong without repeating the address.
    pub fn parse(text: &str, plain: Plain) -> Result<Self, WebError> {
        let refused = |why: &str| WebError::Address(why.to_owned());
        if text.len() > BYTES_MAX {
            return Err(refused("it is longer than 4096 bytes"));
        }
        if text.contains('#') {
            return Err(refused(
                "it has a fragment, which no server is sent: leave out # and what follows",
            ));
        }
        let uri: Uri = text
            .parse()
            .map_err(|error: http::uri::InvalidUri| refused(&format!("it is no address: {error}")))?;
        let (Some(scheme), Some(authority)) = (uri.scheme(), uri.authority()) else {
            return Err(refused("it is not of the form https://HOST/…"));
        };
        if authority.as_str().contains('@') {
            return Err(refused("it holds a user or a password: give them in a file"));
        }
        let is_tls = *scheme == Scheme::HTTPS;
        if !is_tls && *scheme != Scheme::HTTP {
            return Err(refused("it begins with neither https:// nor http://"));
        }
        let host = authority.host().trim_start_matches('[').trim_end_matches(']');
        if host.is_empty() {
            return Err(refused("it names no host"));
        }
        let port = match &authority.as_str()[authority.host().len()..] {
            "" if is_tls => 443,
            "" => 80,
            port => port
                .strip_prefix(':')
                .and_then(|port| port.parse().ok())
                .filter(|port| *port != 0)
                .ok_or_else(|| refused("its port is no number from 1 to 65535"))?,
        };
        let literal = host.parse::<IpAddr>().ok();
        if literal.is_some_and(is_forbidden) {
            return Err(refused("it is link-local, which is never asked"));
        }
        let is_loopback = literal.map_or(host.eq_ignore_ascii_case("localhost"), |address| {
            address.is_loopback()
        });
        if !is_tls && plain == Plain::Loopback && !is_loopback {
            return Err(refused(
                "it is plain http to another machine: give its https address",
            ));
        }
        Ok(Self {
            is_tls,
            host: host.to_ascii_lowercase(),
            port,
            target: uri
                .path_and_query()
                .cloned()
                .unwrap_or(PathAndQuery::from_static("/")),
        })
    }

    /// Returns the address of something below this one: `path` follows its own path, and its query is dropped.
    ///
    /// # Errors
    ///
    /// [`WebError::Address`] where `path` holds what no path may.
    pub fn join(&self, path: &str) -> Result<Self, WebError> {
        let below = format!(
            "{}/{}",
            self.target.path().trim_end_matches('/'),
            path.trim_start_matches('/')
        );
        let target = PathAndQuery::try_from(below);
        let target =
            target.map_err(|error| WebError::Address(format!("a path below it is none: {error}")))?;
        Ok(Self {
            target,
            ..self.clone()
        })
    }

    /// Returns `scheme://host:port`, which tells two servers apart and holds no secret.
    pub fn origin(&self) -> String {
        let scheme = if self.is_tls { "https" } else { "http" };
        format!("{scheme}://{}", self.authority())
    }

    /// Returns the host's name or address.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// Returns the path, without the query.
    pub fn path(&self) -> &str {
        self.target.path()
    }

    pub(crate) fn authority(&self) -> String {
        let usual = if self.is_tls { 443 } else { 80 };
        if self.port == usual {
            self.bracketed()
        } else {
            format!("{}:{}", self.bracketed(), self.port)
        }
    }

    pub(crate) fn bracketed(&self) -> String {
        if self.host.contains(':') {
            format!("[{}]", self.host)
        } else {
            self.host.clone()
        }
    }

    /// Returns where a redirect leads, which is another path of one origin or an error.
    pub(crate) fn redirected(&self, location: &str) -> Result<Self, WebError> {
        let url = self.followed(location)?;
        if url.origin() == self.origin() {
            return Ok(url);
        }
        Err(WebError::Redirected {
            origin: self.origin(),
            to: url.origin(),
        })
    }

    /// Returns where a redirect leads, which is any address that may be asked.
    pub(crate) fn followed(&self, location: &str) -> Result<Self, WebError> {
        let elsewhere = |to: &str| WebError::Redirected {
            origin: self.origin(),
            to: to.to_owned(),
        };
        if location.starts_with('/') && !location.starts_with("//") {
            let location = location.split('#').next().unwrap_or_default();
            let target = PathAndQuery::try_from(location).map_err(|_malformed| elsewhere("no address"))?;
            return Ok(Self {
                target,
                ..self.clone()
            });
        }
        let location = location.split('#').next().unwrap_or_default();
        Self::parse(location, Plain::Anywhere).map_err(|_malformed| elsewhere("no address that may be asked"))
    }
}

impl fmt::Display for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.origin())
    }
}

impl fmt::Debug for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Url({}/…)", self.origin())
    }
}

/// Whether an address is the network's own or a cloud's: what answers there trusts whoever asks.
pub(crate) fn is_forbidden(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => {
            address.is_link_local() || address == Ipv4Addr::UNSPECIFIED || address.is_broadcast()
        }
        IpAddr::V6(address) => {
            address
                .to_ipv4_mapped()
                .is_some_and(|mapped| is_forbidden(IpAddr::V4(mapped)))
                || address.is_unicast_link_local()
                || address.is_unspecified()
                || address == METADATA_V6
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: Result<&str, &str>) {
        let parsed = Url::parse(text, Plain::Loopback);
        let shown = parsed.map(|url| format!("{} {}", url.origin(), url.target));
        let shown = shown.map_err(|error| error.to_string());
        match expected {
            Ok(expected) => assert_eq!(shown.as_deref(), Ok(expected), "{text}"),
            Err(words) => {
                let error = shown.expect_err(text);
                assert!(error.contains(words), "{text}: {error}");
                assert!(!error.contains("s3cret"), "{text}: {error}");
            }
        }
    }

    #[test]
    fn an_address_is_one_that_may_be_asked() {
        check("https://API.example.org", Ok("https://api.example.org /"));
        check(
            "https://api.example.org:443/v3?x=1",
            Ok("https://api.example.org /v3?x=1"),
        );
        check(
            "https://api.example.org:8443/v3/",
            Ok("https://api.example.org:8443 /v3/"),
        );
        check("https://[2001:db8::1]:8443/", Ok("https://[2001:db8::1]:8443 /"));
        check(
            "http://127.0.0.1:8000/models",
            Ok("http://127.0.0.1:8000 /models"),
        );
        check("http://[::1]/", Ok("http://[::1] /"));
        check("http://localhost:1/", Ok("http://localhost:1 /"));
        check("http://api.example.org/s3cret", Err("plain http"));
        check("http://localhost.example.org/", Err("plain http"));
        check("https://me:s3cret@api.example.org/", Err("give them in a file"));
        check("https://s3cret@api.example.org/", Err("give them in a file"));
        check("https://169.254.169.254/latest", Err("link-local"));
        check("https://[fe80::1]/", Err("link-local"));
        check("https://[::ffff:169.254.169.254]/", Err("link-local"));
        check("https://[fd00:ec2::254]/", Err("link-local"));
        check("http://0.0.0.0/", Err("link-local"));
        check("https://api.example.org/#s3cret", Err("fragment"));
        check("https://api.example.org:0/", Err("port"));
        check("https://api.example.org:/", Err("port"));
        check("https://api.example.org:99999/", Err("port"));
        check("https:///path", Err("no address"));
        check("/path", Err("https://HOST"));
        check("ftp://api.example.org/", Err("neither https"));
        check("https://api.example.org/a b?s3cret", Err("no address"));
        check("", Err("no address"));
        check(&format!("https://h/{}", "x".repeat(BYTES_MAX)), Err("longer"));
    }

    #[test]
    fn a_redirect_stays_within_one_origin() {
        let url = Url::parse("https://api.example.org/a?q=1", Plain::Loopback).unwrap();
        let check = |location: &str, expected: Result<&str, &str>| {
            let led = url.redirected(location);
            let shown = led
                .map(|url| url.target.to_string())
                .map_err(|error| error.to_string());
            match expected {
                Ok(expected) => assert_eq!(shown.as_deref(), Ok(expected), "{location}"),
                Err(words) => assert!(
                    shown.as_ref().is_err_and(|error| error.contains(words)),
                    "{location}: {shown:?}"
                ),
            }
        };
        check("/b", Ok("/b"));
        check("/b#c", Ok("/b"));
        check("https://api.example.org/b?c=2", Ok("/b?c=2"));
        check("https://API.example.org:443/b", Ok("/b"));
        check("//evil.example.org/b", Err("no address"));
        check(
            "https://evil.example.org/token",
            Err("to https://evil.example.org"),
        );
        check("http://api.example.org/b", Err("to http://api.example.org"));
        check(
            "https://api.example.org:8443/b",
            Err("to https://api.example.org:8443"),
        );
        check("b", Err("no address"));
    }

    #[test]
    fn what_is_below_follows_its_path() {
        for (base, below) in [
            ("https://h/api/v3", "/api/v3/repos/o/r"),
            ("https://h/api/v3/?x", "/api/v3/repos/o/r"),
            ("https://h", "/repos/o/r"),
        ] {
            let url = Url::parse(base, Plain::Loopback).unwrap();
            assert_eq!(url.join("/repos/o/r").unwrap().target, below);
        }
    }
}
