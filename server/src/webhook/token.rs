//! A token that a forge's own job shows in the place of a signature: OpenID Connect, signed by the forge.
//!
//! What is taken is the form that GitHub gives to a job (RS256, RFC 7515 and 7519): a token of the named issuer, for the
//! named audience, of a job of the named repository, within its time, once.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::signature::{RSA_PKCS1_2048_8192_SHA256, RsaPublicKeyComponents};
use serde::Deserialize;
use tokio::sync::Notify;

/// The longest token that is looked at, in bytes.
const TOKEN_BYTES_MAX: usize = 16 << 10;
/// How far the clocks of the issuer and of this machine may be apart.
const CLOCKS_OFF_MAX: Duration = Duration::from_mins(1);
/// How long a token may last from now on: it is remembered for longer, so that it counts once.
const LASTS_MAX: Duration = Duration::from_hours(1);
/// The most keys of an issuer.
const KEYS_MAX: usize = 64;

/// Whose tokens are taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Issuer {
    /// Who issues them, as `iss` has it, e.g. `https://token.actions.githubusercontent.com`.
    pub issuer: String,
    /// Whom they are meant for, as `aud` has it.
    pub audience: String,
    /// The repository whose jobs may show them, as `repository` has it: `owner/name`.
    pub repository: String,
}

/// The public keys of an issuer.
#[derive(Default)]
pub struct IssuerKeys(BTreeMap<String, RsaPublicKeyComponents<Vec<u8>>>);

impl fmt::Debug for IssuerKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("IssuerKeys").field(&self.0.len()).finish()
    }
}

#[derive(Deserialize)]
struct KeySet {
    keys: Vec<Key>,
}

#[derive(Deserialize)]
struct Key {
    kty: String,
    kid: Option<String>,
    n: Option<String>,
    e: Option<String>,
    #[serde(rename = "use")]
    purpose: Option<String>,
}

impl IssuerKeys {
    /// Reads a set of keys (RFC 7517). Those of another kind or for another purpose are left out.
    ///
    /// # Errors
    ///
    /// It is none, or holds no key that is of use here: what is wrong, in words.
    pub fn parse(json: &[u8]) -> Result<Self, String> {
        let set: KeySet =
            serde_json::from_slice(json).map_err(|error| format!("it is no set of keys: {error}"))?;
        let decoded = |text: Option<String>| URL_SAFE_NO_PAD.decode(text?).ok();
        let keys = set.keys.into_iter().take(KEYS_MAX).filter_map(|key| {
            let is_of_use = key.kty == "RSA" && key.purpose.is_none_or(|purpose| purpose == "sig");
            let components = RsaPublicKeyComponents {
                n: decoded(key.n)?,
                e: decoded(key.e)?,
            };
            Some((key.kid?, components)).filter(|_| is_of_use)
        });
        let keys = Self(keys.collect());
        if keys.0.is_empty() {
            return Err("it holds no RSA key for signatures".to_owned());
        }
        Ok(keys)
    }
}

/// An issuer, and its keys as far as they are known.
#[derive(Debug)]
pub struct Issued {
    issuer: Issuer,
    keys: ArcSwap<IssuerKeys>,
    missed: Notify,
}

impl Issued {
    /// Knows no key yet.
    pub fn by(issuer: Issuer) -> Arc<Self> {
        Arc::new(Self {
            issuer,
            keys: ArcSwap::default(),
            missed: Notify::new(),
        })
    }

    /// Goes by these keys from now on.
    pub fn know(&self, keys: IssuerKeys) {
        self.keys.store(Arc::new(keys));
    }

    /// Waits until somebody showed a token whose key is not known.
    pub async fn missed(&self) {
        self.missed.notified().await;
    }

    /// Returns the id of a token that counts at `now`, the time since 1970.
    pub(super) fn judge(&self, token: &str, now: Duration) -> Result<String, Refusal> {
        let judged = judge(token, &self.issuer, &self.keys.load(), now);
        if judged == Err(Refusal::UnknownKey) {
            self.missed.notify_one();
        }
        judged
    }
}

/// Why a token does not count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Refusal {
    /// It is no token of this issuer for this listener by a job of this repository.
    Forged,
    /// Its key is not known here.
    UnknownKey,
    /// It does not say which it is.
    Unidentified,
    /// It is not valid yet, or not any more.
    Stale,
}

#[derive(Deserialize)]
struct Header {
    alg: String,
    kid: String,
    /// What has to be understood for it to count.
    crit: Option<serde_json::Value>,
}

#[derive(Deserialize)]
struct Claims {
    iss: String,
    aud: Audience,
    repository: String,
    jti: Option<String>,
    /// Seconds since 1970, like the others.
    exp: u32,
    nbf: Option<u32>,
    iat: Option<u32>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Audience {
    One(String),
    Many(Vec<String>),
}

impl Audience {
    fn is(&self, wanted: &str) -> bool {
        match self {
            Self::One(one) => one == wanted,
            Self::Many(many) => many.iter().any(|one| one == wanted),
        }
    }
}

fn judge(token: &str, wanted: &Issuer, keys: &IssuerKeys, now: Duration) -> Result<String, Refusal> {
    if token.len() > TOKEN_BYTES_MAX {
        return Err(Refusal::Forged);
    }
    let (signed, signature) = token.rsplit_once('.').ok_or(Refusal::Forged)?;
    let (header, claims) = signed.split_once('.').ok_or(Refusal::Forged)?;
    let header: Header = read(header)?;
    // Whatever the token says of how it is signed, it is this.
    if header.alg != "RS256" || header.crit.is_some() {
        return Err(Refusal::Forged);
    }
    let signature = URL_SAFE_NO_PAD.decode(signature);
    let signature = signature.map_err(|_malformed| Refusal::Forged)?;
    let key = keys.0.get(&header.kid).ok_or(Refusal::UnknownKey)?;
    key.verify(&RSA_PKCS1_2048_8192_SHA256, signed.as_bytes(), &signature)
        .map_err(|_forged| Refusal::Forged)?;
    let claims: Claims = read(claims)?;
    let is_ours = claims.iss == wanted.issuer
        && claims.aud.is(&wanted.audience)
        && claims.repository == wanted.repository;
    if !is_ours {
        return Err(Refusal::Forged);
    }
    let begins = Duration::from_secs(claims.nbf.or(claims.iat).unwrap_or(0).into());
    let ends = Duration::from_secs(claims.exp.into());
    let is_in_time = begins <= now + CLOCKS_OFF_MAX && ends + CLOCKS_OFF_MAX > now;
    if !is_in_time || ends > now + LASTS_MAX {
        return Err(Refusal::Stale);
    }
    claims
        .jti
        .filter(|id| !id.is_empty())
        .ok_or(Refusal::Unidentified)
}

fn read<T: serde::de::DeserializeOwned>(part: &str) -> Result<T, Refusal> {
    let json = URL_SAFE_NO_PAD
        .decode(part)
        .map_err(|_malformed| Refusal::Forged)?;
    serde_json::from_slice(&json).map_err(|_malformed| Refusal::Forged)
}

#[cfg(test)]
mod tests;
