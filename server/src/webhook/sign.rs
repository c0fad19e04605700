//! Signatures, of calls that are taken and of calls that are made.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::hmac::{Context, HMAC_SHA256, Key, Tag};

/// Returns the `webhook-signature` of a call by Standard Webhooks, with `secret`'s bytes as the key.
pub fn sign(secret: &str, id: &str, timestamp: &str, body: &[u8]) -> String {
    let made = hmac(secret.as_bytes(), &content(id, timestamp, body));
    format!("v1,{}", STANDARD.encode(made))
}

/// Returns what is signed.
pub(super) fn content<'a>(id: &'a str, timestamp: &'a str, body: &'a [u8]) -> [&'a [u8]; 5] {
    [id.as_bytes(), b".", timestamp.as_bytes(), b".", body]
}

/// HMAC-SHA256 (RFC 2104) over parts, one after the other.
pub(super) fn hmac(key: &[u8], content: &[&[u8]]) -> Tag {
    let mut signing = Context::with_key(&Key::new(HMAC_SHA256, key));
    for part in content {
        signing.update(part);
    }
    signing.sign()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The vector of the standard's own documentation.
    #[test]
    fn a_call_is_signed_as_the_standard_has_it() {
        let key = STANDARD.decode("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").unwrap();
        let body = br#"{"test": 2432232314}"#;
        let made = hmac(&key, &content("msg_p5jXN8AQM9LWM0D4loKWxJek", "1614265330", body));
        assert_eq!(
            STANDARD.encode(made),
            "g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
        );
    }
}
