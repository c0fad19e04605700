//! Which headers of a request an endpoint gets, and which of its answer the client: those that are of the message, and not of
//! the connection that it came by.

use hyper::header::{
    AUTHORIZATION, CONNECTION, CONTENT_LENGTH, EXPECT, HeaderMap, HeaderName, HeaderValue,
    PROXY_AUTHENTICATE, PROXY_AUTHORIZATION, TE, TRAILER, TRANSFER_ENCODING, UPGRADE,
};

/// Those of a connection; a length is that of the body as it is sent.
const OF_CONNECTION: [HeaderName; 11] = [
    CONNECTION,
    CONTENT_LENGTH,
    EXPECT,
    HeaderName::from_static("keep-alive"),
    PROXY_AUTHENTICATE,
    PROXY_AUTHORIZATION,
    HeaderName::from_static("proxy-connection"),
    TE,
    TRAILER,
    TRANSFER_ENCODING,
    UPGRADE,
];
/// Those that carry a key of ours.
const KEYS: [HeaderName; 2] = [HeaderName::from_static("x-api-key"), AUTHORIZATION];

/// Returns what an endpoint gets of a request's headers; without keys where they were looked at here.
pub(super) fn passed(headers: &HeaderMap, has_keys: bool) -> HeaderMap {
    let mut passed = headers.clone();
    strip(&mut passed);
    if has_keys {
        for name in KEYS {
            passed.remove(name);
        }
    }
    passed
}

/// Takes away what is of a connection: what always is, and what its `Connection` names.
pub(super) fn strip(headers: &mut HeaderMap) {
    let named = |value: &HeaderValue| {
        let names = value.to_str().unwrap_or_default().split(',');
        names
            .filter_map(|name| name.trim().parse().ok())
            .collect::<Vec<HeaderName>>()
    };
    let named: Vec<_> = headers.get_all(CONNECTION).iter().flat_map(named).collect();
    for name in named.iter().chain(&OF_CONNECTION) {
        headers.remove(name);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(given: &[(&str, &str)], has_keys: bool, expected: &[&str]) {
        let mut headers = HeaderMap::new();
        for (name, value) in given {
            let name: HeaderName = name.parse().expect("a name");
            headers.append(name, value.parse().expect("a value"));
        }
        let passed = passed(&headers, has_keys);
        let mut names: Vec<_> = passed.keys().map(HeaderName::as_str).collect();
        names.sort_unstable();
        assert_eq!(names, expected, "{given:?}");
    }

    #[test]
    fn what_is_of_the_connection_stays_there() {
        check(
            &[
                ("host", "h"),
                ("content-type", "application/json"),
                ("aurora-track", "canary"),
                ("content-length", "5"),
                ("transfer-encoding", "chunked"),
                ("expect", "100-continue"),
                ("upgrade", "h2c"),
                ("te", "trailers"),
                ("keep-alive", "timeout=5"),
                ("proxy-authorization", "Basic x"),
                ("x-of-this", "1"),
                ("x-of-that", "1"),
                ("connection", "close, X-Of-This,, no name"),
                ("connection", "x-of-that"),
            ],
            false,
            &["aurora-track", "content-type", "host"],
        );
    }

    #[test]
    fn a_key_that_was_looked_at_goes_no_further() {
        let given = [("x-api-key", "k"), ("authorization", "Bearer k"), ("a", "1")];
        check(&given, true, &["a"]);
        check(&given, false, &["a", "authorization", "x-api-key"]);
    }
}
