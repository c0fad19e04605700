//! A name for each request: the client's, or one of ours that costs no randomness.

use std::sync::atomic::{AtomicU64, Ordering};

use hyper::header::{HeaderMap, HeaderName, HeaderValue};

/// Where a request may bring its name and where each answer carries it.
pub(crate) const HEADER: HeaderName = HeaderName::from_static("aurora-request-id");
/// What proxies call it.
const PROXY_HEADER: HeaderName = HeaderName::from_static("x-request-id");
/// The longest name that is taken over.
const LENGTH_MAX: usize = 128;

/// Names requests: a random prefix of the process and a counter.
#[derive(Debug)]
pub(crate) struct RequestIds {
    prefix: String,
    next: AtomicU64,
}

impl RequestIds {
    pub(crate) fn new() -> Self {
        let mut random = [0; 4];
        if getrandom::fill(&mut random).is_err() {
            // Only tells processes apart in a log: the process id does too.
            random = std::process::id().to_be_bytes();
        }
        Self {
            prefix: hex::encode(random),
            next: AtomicU64::new(1),
        }
    }

    /// Returns the client's name for its request where it is sane, else the next of ours.
    pub(crate) fn of(&self, headers: &HeaderMap) -> HeaderValue {
        let given = headers.get(HEADER).or_else(|| headers.get(PROXY_HEADER));
        match given {
            Some(value) if sane(value.as_bytes()) => value.clone(),
            _ => {
                let n = self.next.fetch_add(1, Ordering::Relaxed);
                HeaderValue::try_from(format!("{}-{n:x}", self.prefix))
                    .expect("invariant: hex digits and '-' are visible ASCII")
            }
        }
    }
}

fn sane(id: &[u8]) -> bool {
    let plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"-_.:/=+".contains(byte);
    (1..=LENGTH_MAX).contains(&id.len()) && id.iter().all(plain)
}
