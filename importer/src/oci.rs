//! A registry of images and other artifacts, by the OCI distribution specification 1.1: a blob is what its digest says, whichever
//! manifest names it.
//!
//! ```text
//! blob ── 401, Bearer realm ──> token, from the registry itself or below a prefix ──> blob ── redirect: below a prefix?
//! ```

use planner::names::Digest;
use planner::training::{Address, Scheme};
use serde::Deserialize;
use web::header::WWW_AUTHENTICATE;
use web::{Answer, Plain, StatusCode, Url};

use crate::{Asked, Asker, ImportError, Importer, Source, read, server};

/// The most that is said of a token, in bytes.
const WORDS_BYTES_MAX: u64 = 1 << 20;

/// Who hands out tokens for a registry.
#[derive(Debug, PartialEq, Eq)]
struct Challenge {
    realm: String,
    service: String,
}

/// A token, as registries call it.
#[derive(Deserialize)]
struct Token {
    #[serde(alias = "access_token")]
    token: String,
}

/// Returns the blob that the digest names.
pub(crate) async fn fetch(
    importer: &Importer,
    address: &Address,
    source: &Source,
    digest: &Digest,
) -> Result<Vec<u8>, ImportError> {
    let registry = server(address, address.scheme() == Scheme::OciPlain)?;
    let repository = address.path().join("/");
    let url = registry.join(&format!("v2/{repository}/blobs/{digest}"))?;
    let mut asked = Asked::of(url, Asker::Source(source));
    let answer = importer
        .ask(&asked.url, &asked.asker, importer.limits.bytes_max)
        .await?;
    match challenged(&answer) {
        Some(challenge) => {
            let token = token(importer, address, source, &registry, &challenge, &repository).await?;
            asked.asker = Asker::Token(token);
        }
        None => asked.answer = Some(answer),
    }
    importer.follow(address, asked).await
}

/// Says who hands out the token that an answer asks for.
fn challenged(answer: &Answer) -> Option<Challenge> {
    if answer.status != StatusCode::UNAUTHORIZED {
        return None;
    }
    let told = answer.headers.get(WWW_AUTHENTICATE)?.to_str().ok()?;
    Challenge::parse(told)
}

impl Challenge {
    /// Reads `Bearer realm="…",service="…",scope="…"` (RFC 6750, section 3).
    fn parse(told: &str) -> Option<Self> {
        let (scheme, mut rest) = told.split_once(' ')?;
        if !scheme.eq_ignore_ascii_case("bearer") {
            return None;
        }
        let (mut realm, mut service) = (None, String::new());
        while let Some((name, after)) = rest.split_once("=\"") {
            let (value, after) = after.split_once('"')?;
            match name.trim_matches([' ', ',']) {
                "realm" => realm = Some(value.to_owned()),
                "service" => value.clone_into(&mut service),
                _ => {}
            }
            rest = after;
        }
        Some(Self {
            realm: realm?,
            service,
        })
    }
}

/// Asks for a token that may read a repository. Who hands it out is the registry, or lies below a prefix, whose credential
/// goes there.
async fn token(
    importer: &Importer,
    address: &Address,
    source: &Source,
    registry: &Url,
    challenge: &Challenge,
    repository: &str,
) -> Result<String, ImportError> {
    let unfit = |why: &str| ImportError::Unfit {
        address: address.clone(),
        why: why.to_owned(),
    };
    let is_word = |c: char| c.is_ascii_alphanumeric() || "-._~:/".contains(c);
    if !challenge.service.chars().all(is_word) || challenge.realm.contains('?') {
        return Err(unfit(
            "the registry asks for a token in a way that is not understood",
        ));
    }
    let url = format!(
        "{}?service={}&scope=repository:{repository}:pull",
        challenge.realm, challenge.service
    );
    let url = Url::parse(&url, Plain::Anywhere)?;
    let asker = if url.origin() == registry.origin() {
        source
    } else {
        importer
            .sources
            .of_url(&url)
            .ok_or_else(|| ImportError::Redirected {
                address: address.clone(),
                to: url.origin(),
            })?
    };
    let mut answer = importer.ask(&url, &Asker::Source(asker), WORDS_BYTES_MAX).await?;
    let said = read(address, &mut answer).await?;
    let Token { token } =
        serde_json::from_slice(&said).map_err(|_theirs| unfit("the registry hands out no token"))?;
    Ok(token)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_challenge_says_who_hands_out_tokens() {
        let challenge = |realm: &str, service: &str| {
            Some(Challenge {
                realm: realm.to_owned(),
                service: service.to_owned(),
            })
        };
        for (told, expected) in [
            (
                r#"Bearer realm="https://auth.docker.io/token",service="registry.docker.io",scope="repository:a/b:pull,push""#,
                challenge("https://auth.docker.io/token", "registry.docker.io"),
            ),
            (
                r#"bearer scope="repository:a:pull", realm="https://ghcr.io/token""#,
                challenge("https://ghcr.io/token", ""),
            ),
            (r#"Basic realm="registry""#, None),
            (r#"Bearer realm="https://h"#, None),
            ("Bearer", None),
        ] {
            assert_eq!(Challenge::parse(told), expected, "{told}");
        }
    }
}
