//! Keys of the curves P-256, P-384 and P-521, each with its own SHA-2.

use std::fmt;

use p256::ecdsa::signature::{Signer as _, Verifier as _};
use p256::pkcs8::{DecodePrivateKey as _, DecodePublicKey as _, EncodePublicKey as _, LineEnding};
use sha2::{Digest as _, Sha256};

/// Where a key in PEM begins, whatever key it is.
const BEGIN: &str = "-----BEGIN ";
/// The most keys that a file may hold.
const KEYS_MAX: usize = 100;

/// Says why a key cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadKey {
    /// It is no key of these kinds.
    #[error("it is no {0} in PEM of the curve P-256, P-384 or P-521 (a password is not asked for)")]
    Other(&'static str),
    /// One of several is not.
    #[error(
        "its key {at}, which begins in line {line}, is no public key in PEM of the curve P-256, P-384 or P-521"
    )]
    OneOf {
        /// Which, from 1 on.
        at: usize,
        /// Where.
        line: usize,
    },
    /// There is none, or there are too many.
    #[error("it holds {0} keys (-----BEGIN PUBLIC KEY-----), and 1 to {KEYS_MAX} are read")]
    Count(usize),
}

/// A private key. It shows itself to nobody.
pub struct SigningKey {
    private: Private,
    verifying: VerifyingKey,
}

enum Private {
    P256(p256::ecdsa::SigningKey),
    P384(p384::ecdsa::SigningKey),
    P521(p521::ecdsa::SigningKey),
}

/// A public key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerifyingKey {
    public: Public,
    id: KeyId,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Public {
    P256(p256::ecdsa::VerifyingKey),
    P384(p384::ecdsa::VerifyingKey),
    P521(p521::ecdsa::VerifyingKey),
}

/// What a bundle calls a key: the SHA-256 of its PEM, 64 digits in hex.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyId(String);

impl KeyId {
    /// Returns all its digits.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Returns the first twelve, for people.
    pub fn short(&self) -> &str {
        &self.0[..12]
    }
}

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SigningKey({})", self.verifying.id)
    }
}

impl SigningKey {
    /// Reads a key: PKCS #8 (`BEGIN PRIVATE KEY`), or SEC 1 (`BEGIN EC PRIVATE KEY`) as openssl writes it.
    ///
    /// # Errors
    ///
    /// It is no such key.
    pub fn from_pem(pem: &str) -> Result<Self, BadKey> {
        // openssl writes the curve's name before the key.
        let pem = pem.find("-----BEGIN EC PRIVATE KEY").map_or(pem, |at| &pem[at..]);
        let p256 = || p256::SecretKey::from_pkcs8_pem(pem).or_else(|_| p256::SecretKey::from_sec1_pem(pem));
        let p384 = || p384::SecretKey::from_pkcs8_pem(pem).or_else(|_| p384::SecretKey::from_sec1_pem(pem));
        let p521 = || p521::SecretKey::from_pkcs8_pem(pem).or_else(|_| p521::SecretKey::from_sec1_pem(pem));
        let private = if let Ok(key) = p256() {
            Private::P256(key.into())
        } else if let Ok(key) = p384() {
            Private::P384(key.into())
        } else if let Ok(key) = p521() {
            Private::P521(key.into())
        } else {
            return Err(BadKey::Other("private key"));
        };
        let verifying = VerifyingKey::of(match &private {
            Private::P256(key) => Public::P256(*key.verifying_key()),
            Private::P384(key) => Public::P384(*key.verifying_key()),
            Private::P521(key) => Public::P521(*key.verifying_key()),
        });
        Ok(Self { private, verifying })
    }

    /// Returns the key that verifies what this one signs.
    pub fn verifying(&self) -> &VerifyingKey {
        &self.verifying
    }

    pub(crate) fn sign(&self, message: &[u8]) -> Vec<u8> {
        match &self.private {
            Private::P256(key) => {
                let signature: p256::ecdsa::DerSignature = key.sign(message);
                signature.as_bytes().to_vec()
            }
            Private::P384(key) => {
                let signature: p384::ecdsa::DerSignature = key.sign(message);
                signature.as_bytes().to_vec()
            }
            Private::P521(key) => {
                let signature: p521::ecdsa::DerSignature = key.sign(message);
                signature.as_bytes().to_vec()
            }
        }
    }
}

impl VerifyingKey {
    /// Reads a key: `BEGIN PUBLIC KEY`.
    ///
    /// # Errors
    ///
    /// It is no such key.
    pub fn from_pem(pem: &str) -> Result<Self, BadKey> {
        let public = if let Ok(key) = p256::ecdsa::VerifyingKey::from_public_key_pem(pem) {
            Public::P256(key)
        } else if let Ok(key) = p384::ecdsa::VerifyingKey::from_public_key_pem(pem) {
            Public::P384(key)
        } else if let Ok(key) = p521::ecdsa::VerifyingKey::from_public_key_pem(pem) {
            Public::P521(key)
        } else {
            return Err(BadKey::Other("public key"));
        };
        Ok(Self::of(public))
    }

    /// Reads all keys of a text, one after the other, with whatever is written between them.
    ///
    /// # Errors
    ///
    /// There is none, there are more than a hundred, or one of them is no such key.
    pub fn all_from_pem(text: &str) -> Result<Vec<Self>, BadKey> {
        let begins: Vec<usize> = text.match_indices(BEGIN).map(|(at, _)| at).collect();
        if !(1..=KEYS_MAX).contains(&begins.len()) {
            return Err(BadKey::Count(begins.len()));
        }
        let ends = begins.iter().skip(1).copied().chain([text.len()]);
        let read = |(at, (begin, end)): (usize, (&usize, usize))| {
            let pem = &text[*begin..end];
            // What follows a key's last line is not part of it.
            let last = pem.find("-----END ").and_then(|at| {
                let line = pem[at..].find('\n');
                line.map(|length| at + length + 1)
            });
            Self::from_pem(&pem[..last.unwrap_or(pem.len())]).map_err(|_bad| BadKey::OneOf {
                at: at + 1,
                line: text[..*begin].matches('\n').count() + 1,
            })
        };
        begins.iter().zip(ends).enumerate().map(read).collect()
    }

    /// Returns those of these texts that are such keys: one that is not lets nobody in.
    pub fn usable<'a>(pems: impl IntoIterator<Item = &'a String>) -> Vec<Self> {
        let keys = pems.into_iter();
        keys.filter_map(|pem| Self::from_pem(pem).ok()).collect()
    }

    fn of(public: Public) -> Self {
        let key = Self {
            public,
            id: KeyId(String::new()),
        };
        Self {
            id: KeyId(hex::encode(Sha256::digest(key.to_pem()))),
            ..key
        }
    }

    /// Writes the key: `BEGIN PUBLIC KEY`.
    ///
    /// # Panics
    ///
    /// Never: a key that was read can be written.
    pub fn to_pem(&self) -> String {
        let pem = match &self.public {
            Public::P256(key) => p256::PublicKey::from(key).to_public_key_pem(LineEnding::LF),
            Public::P384(key) => p384::PublicKey::from(key).to_public_key_pem(LineEnding::LF),
            Public::P521(key) => p521::PublicKey::from(key).to_public_key_pem(LineEnding::LF),
        };
        pem.expect("invariant: a key that was read can be written")
    }

    /// Returns what a bundle calls it.
    pub fn id(&self) -> &KeyId {
        &self.id
    }

    pub(crate) fn verifies(&self, message: &[u8], signature: &[u8]) -> bool {
        match &self.public {
            Public::P256(key) => p256::ecdsa::DerSignature::from_bytes(signature)
                .is_ok_and(|signature| key.verify(message, &signature).is_ok()),
            Public::P384(key) => p384::ecdsa::DerSignature::from_bytes(signature)
                .is_ok_and(|signature| key.verify(message, &signature).is_ok()),
            Public::P521(key) => p521::ecdsa::DerSignature::from_bytes(signature)
                .is_ok_and(|signature| key.verify(message, &signature).is_ok()),
        }
    }
}
