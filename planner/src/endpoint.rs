//! Where another environment's control plane is, as a manifest says it.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::names::Malformed;

/// The longest URL, in characters.
const URL_LENGTH_MAX: usize = 512;
/// What is expected, in words.
const EXPECTED: &str = "a control plane's URL: https://HOST[:PORT][/PREFIX], without user, query or fragment; http:// on loopback only";

/// Another environment's control plane, and who is asking.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Endpoint {
    /// Where it is.
    pub url: Url,
    /// The file that holds the key; absent where it asks for none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key_file: Option<String>,
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.url.fmt(f)
    }
}

/// A URL that a key may be sent to: TLS, or loopback. Nothing secret stands in it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Url(String);

impl Url {
    /// Returns it, without a slash at its end.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for Url {
    type Err = Malformed;

    fn from_str(text: &str) -> Result<Self, Malformed> {
        // Whoever wrote a password into it does not find it in a status.
        let open = text.split(['?', '#']).next().unwrap_or_default();
        let open = open.rsplit('@').next().unwrap_or_default();
        let refused = || Malformed::new(open, EXPECTED);
        let text = text.trim_end_matches('/');
        let (scheme, rest) = text.split_once("://").ok_or_else(refused)?;
        let (authority, path) = match rest.split_once('/') {
            Some((authority, path)) => (authority, Some(path)),
            None => (rest, None),
        };
        let host = host(authority).ok_or_else(refused)?;
        let is_allowed = match scheme {
            "https" => !host.is_link_local(),
            "http" => host.is_loopback(),
            _ => false,
        };
        let is_path = path.is_none_or(|path| path.split('/').all(is_part_of_path));
        if !is_allowed || !is_path || text.len() > URL_LENGTH_MAX {
            return Err(refused());
        }
        Ok(Self(text.to_owned()))
    }
}

impl TryFrom<String> for Url {
    type Error = Malformed;

    fn try_from(text: String) -> Result<Self, Malformed> {
        text.parse()
    }
}

impl From<Url> for String {
    fn from(url: Url) -> Self {
        url.0
    }
}

/// The host of a URL.
enum Host<'a> {
    Name(&'a str),
    Address(IpAddr),
}

impl Host<'_> {
    fn is_loopback(&self) -> bool {
        match self {
            Self::Name(name) => *name == "localhost",
            Self::Address(address) => address.is_loopback(),
        }
    }

    /// Says whether it is where clouds hand out credentials.
    fn is_link_local(&self) -> bool {
        match self {
            Self::Name(_) => false,
            Self::Address(IpAddr::V4(address)) => address.is_link_local(),
            Self::Address(IpAddr::V6(address)) => address.is_unicast_link_local(),
        }
    }
}

/// Takes `HOST[:PORT]` apart; `None` where it is neither.
fn host(authority: &str) -> Option<Host<'_>> {
    let (host, port) = if let Some(rest) = authority.strip_prefix('[') {
        let (address, port) = rest.split_once(']')?;
        let address: Ipv6Addr = address.parse().ok()?;
        (
            Host::Address(address.into()),
            port.strip_prefix(':').or_else(|| port.is_empty().then_some("1")),
        )
    } else {
        let (name, port) = authority.split_once(':').unwrap_or((authority, "1"));
        let host = match name.parse::<Ipv4Addr>() {
            Ok(address) => Host::Address(address.into()),
            Err(_) if name.split('.').all(is_label) => Host::Name(name),
            Err(_) => return None,
        };
        (host, Some(port))
    };
    let is_port = |port: &str| {
        port.bytes().all(|b| b.is_ascii_digit()) && port.parse::<u16>().is_ok_and(|port| port > 0)
    };
    port.filter(|port| is_port(port)).map(|_| host)
}

fn is_label(label: &str) -> bool {
    !label.is_empty()
        && !label.starts_with('-')
        && !label.ends_with('-')
        && label
            .bytes()
            .all(|b| b == b'-' || b.is_ascii_lowercase() || b.is_ascii_digit())
}

fn is_part_of_path(part: &str) -> bool {
    !part.is_empty()
        && !part.starts_with('.')
        && part
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b"-._~".contains(&b))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_one_that_a_key_may_be_sent_to() {
        for (text, expected) in [
            ("https://staging.example.org", Some("https://staging.example.org")),
            (
                "https://staging.example.org:8443/aurora/",
                Some("https://staging.example.org:8443/aurora"),
            ),
            ("https://10.0.0.7", Some("https://10.0.0.7")),
            ("https://[fd00::7]:8000", Some("https://[fd00::7]:8000")),
            ("http://127.0.0.1:8000", Some("http://127.0.0.1:8000")),
            ("http://localhost", Some("http://localhost")),
            ("http://[::1]:8000/", Some("http://[::1]:8000")),
            ("http://staging.example.org", None),
            ("http://127.0.0.1.example.org", None),
            ("https://169.254.169.254/latest", None),
            ("https://[fe80::1]", None),
            ("https://user:secret@example.org", None),
            ("https://example.org?key=secret", None),
            ("https://example.org/a?key=secret", None),
            ("https://example.org/#a", None),
            ("https://example.org/../a", None),
            ("https://example.org//a", None),
            ("https://example.org:0", None),
            ("https://example.org:+80", None),
            ("https://example.org:", None),
            ("https://[::1]x", None),
            ("https://", None),
            ("HTTPS://example.org", None),
            ("ftp://example.org", None),
            ("example.org", None),
            ("", None),
        ] {
            let parsed = text.parse::<Url>();
            assert_eq!(parsed.as_ref().map(Url::as_str).ok(), expected, "{text}");
            if let Err(error) = parsed {
                assert!(!error.got.contains("secret"), "{error}");
            }
        }
        assert!(format!("https://{}.org", "a".repeat(600)).parse::<Url>().is_err());
    }
}
