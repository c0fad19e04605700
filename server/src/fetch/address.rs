//! Where a control plane is: `http://HOST[:PORT][/PREFIX]`.

use std::fmt;
use std::str::FromStr;

use web::{Plain, Url};

/// The address of a control plane.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Address(Url);

impl Address {
    /// Returns it to be asked: whoever gave it answers for the network between.
    pub(super) fn url(&self) -> Url {
        self.0.clone()
    }
}

impl FromStr for Address {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        const EXPECTED: &str = "http://HOST:PORT is expected, e.g. http://aurora-control-plane:8000";
        if text.starts_with("https://") {
            return Err(format!(
                "the control plane answers without TLS, and what it hands out is checked by digest: {EXPECTED}"
            ));
        }
        if text.contains('@') || text.contains('?') {
            return Err(format!("no key is taken from an address: {EXPECTED}"));
        }
        let url = Url::parse(text, Plain::Anywhere);
        Ok(Self(url.map_err(|error| format!("{error}: {EXPECTED}"))?))
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_says_host_and_port() {
        for (text, origin) in [
            ("http://control-plane:8000", "http://control-plane:8000"),
            ("http://control-plane", "http://control-plane"),
            ("http://proxy/aurora/", "http://proxy"),
            ("http://[::1]:8000", "http://[::1]:8000"),
        ] {
            let address: Address = text.parse().expect(text);
            assert_eq!(address.to_string(), origin, "{text}");
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
