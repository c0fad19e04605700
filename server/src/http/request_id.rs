//! A name for each request: the client's, or one of ours that costs no randomness.

use std::sync::atomic::{AtomicU64, Ordering};

use hyper::header::{HeaderMap, HeaderName, HeaderValue};

/// Where a request may bring its name and where each answer carries it.
pub(crate) const HEADER: HeaderName = HeaderName::from_static("aurora-request-id");
/// What proxies call it.
const PROXY_HEADER: HeaderName = HeaderName::from_static("x-request-id");
/// The longest name that is taken over.
const LENGTH_MAX: usize = 128;
/// The random bytes of a process.
const RANDOM_BYTES: usize = 4;
/// What stands before the counter.
const PREFIX_BYTES: usize = 2 * RANDOM_BYTES + 1;
/// The digits of the largest counter.
const DIGITS_MAX: usize = 16;

/// Names requests: a random prefix of the process and a counter.
#[derive(Debug)]
pub(crate) struct RequestIds {
    prefix: [u8; PREFIX_BYTES],
    next: AtomicU64,
}

impl RequestIds {
    pub(crate) fn new() -> Self {
        let mut random = [0; RANDOM_BYTES];
        if getrandom::fill(&mut random).is_err() {
            // Only tells processes apart in a log: the process id does too.
            random = std::process::id().to_be_bytes();
        }
        let mut prefix = [b'-'; PREFIX_BYTES];
        hex::encode_to_slice(random, &mut prefix[..2 * RANDOM_BYTES]).expect("invariant: two digits a byte");
        Self {
            prefix,
            next: AtomicU64::new(1),
        }
    }

    /// Returns the client's name for its request where it is sane, else the next of ours.
    pub(crate) fn of(&self, headers: &HeaderMap) -> HeaderValue {
        let given = headers.get(HEADER).or_else(|| headers.get(PROXY_HEADER));
        match given {
            Some(value) if sane(value.as_bytes()) => value.clone(),
            _ => self.name(self.next.fetch_add(1, Ordering::Relaxed)),
        }
    }

    /// Returns the name of the `n`th request. Each answer has one, so that it is written without formatting.
    fn name(&self, n: u64) -> HeaderValue {
        let mut name = [0; PREFIX_BYTES + DIGITS_MAX];
        name[..PREFIX_BYTES].copy_from_slice(&self.prefix);
        let digits = (u64::BITS - n.leading_zeros()).div_ceil(4).max(1);
        let mut length = PREFIX_BYTES;
        for place in (0..digits).rev() {
            let digit = (n >> (4 * place)) & 0xf;
            name[length] = b"0123456789abcdef"[usize::try_from(digit).unwrap_or_default()];
            length += 1;
        }
        HeaderValue::from_bytes(&name[..length]).expect("invariant: hex digits and '-' are visible ASCII")
    }
}

fn sane(id: &[u8]) -> bool {
    let plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"-_.:/=+".contains(byte);
    (1..=LENGTH_MAX).contains(&id.len()) && id.iter().all(plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_counted_in_hexadecimal() {
        let ids = RequestIds::new();
        let prefix = String::from_utf8_lossy(&ids.prefix).into_owned();
        for n in [0, 1, 9, 10, 15, 16, 255, 0x1_0000, u64::MAX - 1, u64::MAX] {
            assert_eq!(ids.name(n), format!("{prefix}{n:x}").as_str());
        }
        assert!(prefix.ends_with('-') && prefix.len() == PREFIX_BYTES, "{prefix}");
    }
}
