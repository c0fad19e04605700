//! Whether a call is one: a decision over its headers and its raw bytes.
//!
//! | form | signature | over | id |
//! |---|---|---|---|
//! | GitHub | `x-hub-signature-256: sha256=HEX` | body | `x-github-delivery` |
//! | Gitea, Forgejo | `x-gitea-signature: HEX` | body | `x-gitea-delivery` |
//! | Standard Webhooks | `webhook-signature: v1,BASE64 …` | `ID.TIMESTAMP.BODY` | `webhook-id` |
//! | a job's token | `authorization: Bearer JWT` | the token itself | its `jti` |
//!
//! GitHub's signature covers no id, so a captured call may come again under another one: its body counts too.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hyper::StatusCode;
use hyper::header::HeaderMap;
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;

use super::seen::{Mark, Seen};
use super::sign::{content, hmac};
use super::token::{Issued, Refusal};

/// How far a timestamp may be from the time of this machine.
const TIMESTAMP_OFF_MAX: Duration = Duration::from_mins(5);
/// The longest id, in bytes.
const ID_BYTES_MAX: usize = 256;
/// How many signatures of one call are looked at.
const SIGNATURES_MAX: usize = 4;

/// What came of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It asks for a fetch.
    Accepted,
    /// It was accepted before.
    Duplicate,
    /// It is no push: a forge tries out the address, or tells of something else.
    Ignored,
    /// It has no signature of ours.
    Forged,
    /// Its token is signed with a key that is not known here yet.
    UnknownKey,
    /// It has no id.
    Unidentified,
    /// Its time is too far off.
    Stale,
    TooLarge,
    /// Too many came.
    Limited,
    /// Its body did not come whole.
    Broken,
    /// The secrets cannot be read.
    Unavailable,
}

impl Verdict {
    /// Returns the word for metrics and answers.
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Accepted => "accepted",
            Self::Duplicate => "duplicate",
            Self::Ignored => "ignored",
            Self::Forged => "forged",
            Self::UnknownKey => "unknown_key",
            Self::Unidentified => "unidentified",
            Self::Stale => "stale",
            Self::TooLarge => "too_large",
            Self::Limited => "limited",
            Self::Broken => "broken",
            Self::Unavailable => "unavailable",
        }
    }

    pub(super) fn status(self) -> StatusCode {
        match self {
            Self::Accepted => StatusCode::ACCEPTED,
            // Else a forge shows a failure, of what was well.
            Self::Duplicate | Self::Ignored => StatusCode::OK,
            Self::Forged => StatusCode::FORBIDDEN,
            Self::Unidentified | Self::Stale | Self::Broken => StatusCode::BAD_REQUEST,
            Self::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::Limited => StatusCode::TOO_MANY_REQUESTS,
            Self::Unavailable | Self::UnknownKey => StatusCode::SERVICE_UNAVAILABLE,
        }
    }

    /// Says why it was refused, to whoever may have sent it.
    pub(super) fn why(self) -> &'static str {
        match self {
            Self::Accepted | Self::Duplicate | Self::Ignored => "",
            Self::Forged => "no signature by a secret of this listener, nor a token that it takes",
            Self::UnknownKey => "the issuer's keys are being fetched; ask again in some seconds",
            Self::Unidentified => "no id of the delivery",
            Self::Stale => "its timestamp is more than 5 minutes off, or the time of its token is not now",
            Self::TooLarge => "the body is larger than 8 MiB; nothing is missed, the branch is polled too",
            Self::Limited => "too many calls; nothing is missed, the branch is polled too",
            Self::Broken => "the body did not come whole",
            Self::Unavailable => "the secrets of this listener cannot be read",
        }
    }
}

/// What counts of a call.
#[derive(Debug)]
pub(super) struct Call<'a> {
    headers: &'a HeaderMap,
    body: &'a [u8],
}

impl<'a> Call<'a> {
    pub(super) fn of(headers: &'a HeaderMap, body: &'a [u8]) -> Self {
        Self { headers, body }
    }

    /// Returns a header, if it is there once.
    fn header(&self, name: &str) -> Option<&'a str> {
        let mut values = self.headers.get_all(name).iter();
        let value = values.next()?.to_str().ok()?;
        values.next().is_none().then_some(value)
    }

    /// Returns the token that a job shows.
    fn token(&self) -> Option<&'a str> {
        let (scheme, token) = self.header("authorization")?.split_once(' ')?;
        scheme.eq_ignore_ascii_case("bearer").then_some(token)
    }

    fn id(&self, name: &str) -> Option<&'a str> {
        self.header(name)
            .filter(|id| !id.is_empty() && id.len() <= ID_BYTES_MAX)
    }
}

impl From<Refusal> for Verdict {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::Forged => Self::Forged,
            Refusal::UnknownKey => Self::UnknownKey,
            Refusal::Unidentified => Self::Unidentified,
            Refusal::Stale => Self::Stale,
        }
    }
}

/// By what calls are judged.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Known<'a> {
    /// Up to two secrets.
    pub(super) secrets: &'a [String],
    /// Whose tokens count.
    pub(super) issued: Option<&'a Issued>,
}

/// Judges a call, and remembers it where it is accepted. `now` is the time since 1970.
pub(super) fn judge(call: &Call<'_>, known: Known<'_>, now: Duration, seen: &mut Seen) -> Verdict {
    if let (Some(issued), Some(token)) = (known.issued, call.token()) {
        let id = match issued.judge(token, now) {
            Ok(id) => id,
            Err(refusal) => return refusal.into(),
        };
        // What a job says besides is signed by nobody.
        let mark = mark(b"token", id.as_bytes());
        return accept([mark, mark], now, seen);
    }
    let (id, is_push) = match signed(call, known.secrets, now) {
        Ok(signed) => signed,
        Err(verdict) => return verdict,
    };
    if !is_push {
        return Verdict::Ignored;
    }
    let marks = [mark(b"id", id.as_bytes()), mark(b"body", call.body)];
    accept(marks, now, seen)
}

fn accept(marks: [Mark; 2], now: Duration, seen: &mut Seen) -> Verdict {
    if seen.has(&marks, now) {
        return Verdict::Duplicate;
    }
    seen.accept(marks, now);
    Verdict::Accepted
}

/// Returns the id of a call that is signed, and whether it tells of a push.
fn signed<'a>(call: &Call<'a>, secrets: &[String], now: Duration) -> Result<(&'a str, bool), Verdict> {
    let hex_forms = [
        (
            "x-hub-signature-256",
            "sha256=",
            "x-github-delivery",
            "x-github-event",
        ),
        ("x-gitea-signature", "", "x-gitea-delivery", "x-gitea-event"),
    ];
    for (signature, prefix, id, event) in hex_forms {
        let Some(signature) = call.header(signature) else {
            continue;
        };
        let given = signature
            .strip_prefix(prefix)
            .and_then(|digits| hex::decode(digits).ok());
        if !given.is_some_and(|given| is_by(secrets, &[call.body], &given)) {
            return Err(Verdict::Forged);
        }
        let id = call.id(id).ok_or(Verdict::Unidentified)?;
        return Ok((id, call.header(event) == Some("push")));
    }
    let signatures = call.header("webhook-signature").ok_or(Verdict::Forged)?;
    let id = call.id("webhook-id").ok_or(Verdict::Unidentified)?;
    let timestamp = call.header("webhook-timestamp").ok_or(Verdict::Stale)?;
    let content = content(id, timestamp, call.body);
    let is_signed = signatures.split(' ').take(SIGNATURES_MAX).any(|signature| {
        let given = signature
            .strip_prefix("v1,")
            .and_then(|text| STANDARD.decode(text).ok());
        given.is_some_and(|given| is_by(secrets, &content, &given))
    });
    if !is_signed {
        return Err(Verdict::Forged);
    }
    let at = Duration::from_secs(timestamp.parse().map_err(|_no_number| Verdict::Stale)?);
    if now.abs_diff(at) > TIMESTAMP_OFF_MAX {
        return Err(Verdict::Stale);
    }
    Ok((id, true))
}

/// Says whether a signature was made by one of the secrets; takes as long whichever it is.
fn is_by(secrets: &[String], content: &[&[u8]], given: &[u8]) -> bool {
    let made = secrets
        .iter()
        .map(|secret| hmac(secret.as_bytes(), content).as_ref().ct_eq(given));
    made.fold(subtle::Choice::from(0), |any, this| any | this).into()
}

fn mark(kind: &[u8], bytes: &[u8]) -> Mark {
    let hash = Sha256::new().chain_update(kind).chain_update(bytes).finalize();
    hash.into()
}

#[cfg(test)]
mod tests;
