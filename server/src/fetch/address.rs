//! Where a control plane is: `http://HOST[:PORT][/PREFIX]`.

use std::fmt;
use std::str::FromStr;

use hyper::Uri;

/// The port of a URL that names none.
const PORT: u16 = 80;

/// The address of a control plane.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Address {
    /// A name or an IP address, IPv6 without brackets.
    pub(super) host: String,
    /// The port.
    pub(super) port: u16,
    /// What the header `Host` says.
    pub(super) authority: String,
    /// What stands before each path, without a slash at its end.
    prefix: String,
}

impl Address {
    /// Returns the target of a request for a path that begins with a slash.
    pub(super) fn target(&self, path: &str) -> String {
        format!("{}{path}", self.prefix)
    }
}

impl FromStr for Address {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        const EXPECTED: &str = "http://HOST:PORT is expected, e.g. http://aurora-control-plane:8000";
        let uri: Uri = text.parse().map_err(|_no_uri| EXPECTED.to_owned())?;
        if uri.scheme_str() == Some("https") {
            return Err(format!(
                "the control plane answers without TLS, and what it hands out is checked by digest: {EXPECTED}"
            ));
        }
        let authority = uri.authority().filter(|_| uri.scheme_str() == Some("http"));
        let authority = authority.ok_or_else(|| EXPECTED.to_owned())?;
        if authority.as_str().contains('@') || uri.query().is_some() {
            return Err(format!("no key is taken from an address: {EXPECTED}"));
        }
        Ok(Self {
            host: authority.host().trim_matches(['[', ']']).to_owned(),
            port: authority.port_u16().unwrap_or(PORT),
            authority: authority.to_string(),
            prefix: uri.path().trim_end_matches('/').to_owned(),
        })
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "http://{}{}", self.authority, self.prefix)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_says_host_port_and_prefix() {
        for (text, host, port, target) in [
            ("http://control-plane:8000", "control-plane", 8000, "/models"),
            ("http://control-plane", "control-plane", 80, "/models"),
            ("http://control-plane:8000/", "control-plane", 8000, "/models"),
            ("http://proxy/aurora/", "proxy", 80, "/aurora/models"),
            ("http://[::1]:8000", "::1", 8000, "/models"),
        ] {
            let address: Address = text.parse().expect(text);
            assert_eq!((address.host.as_str(), address.port), (host, port), "{text}");
            assert_eq!(address.target("/models"), target, "{text}");
        }
    }

    #[test]
    fn what_is_no_address_is_refused_with_what_to_write() {
        for (text, told) in [
            ("control-plane:8000", "http://HOST:PORT"),
            ("/models", "http://HOST:PORT"),
            ("ftp://control-plane", "http://HOST:PORT"),
            ("https://control-plane", "without TLS"),
            ("http://key@control-plane", "no key is taken"),
            ("http://control-plane/?key=1", "no key is taken"),
            ("", "http://HOST:PORT"),
        ] {
            let refused = text.parse::<Address>().expect_err(text);
            assert!(refused.contains(told), "{text}: {refused}");
        }
    }
}
