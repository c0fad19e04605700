//! Signatures, of calls that are taken and of calls that are made.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest as _, Sha256};

/// Returns the `webhook-signature` of a call by Standard Webhooks, with `secret`'s bytes as the key.
pub fn sign(secret: &str, id: &str, timestamp: &str, body: &[u8]) -> String {
    let made = hmac(secret.as_bytes(), &content(id, timestamp, body));
    format!("v1,{}", STANDARD.encode(made))
}

/// Returns what is signed.
pub(super) fn content<'a>(id: &'a str, timestamp: &'a str, body: &'a [u8]) -> [&'a [u8]; 5] {
    [id.as_bytes(), b".", timestamp.as_bytes(), b".", body]
}

/// HMAC-SHA256 (RFC 2104).
pub(super) fn hmac(key: &[u8], content: &[&[u8]]) -> [u8; 32] {
    let mut block = [0; 64];
    if key.len() > block.len() {
        block[..32].copy_from_slice(&Sha256::digest(key));
    } else {
        block[..key.len()].copy_from_slice(key);
    }
    let mut inner = Sha256::new().chain_update(block.map(|byte| byte ^ 0x36));
    for part in content {
        inner.update(part);
    }
    let outer = Sha256::new()
        .chain_update(block.map(|byte| byte ^ 0x5c))
        .chain_update(inner.finalize());
    outer.finalize().into()
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
