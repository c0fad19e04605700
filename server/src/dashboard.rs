//! The dashboard: one page and what it loads, out of the binary. It is public and says nothing by itself: what it shows it
//! asks of the status API, with the reader's key, as anybody does; and of inference, where it was told where that is, what
//! it predicts for a row.
//!
//! Everything that the page loads is named after its content, so it may be kept for ever; the page is asked for anew each
//! time, and names what it was built with.

use std::collections::BTreeMap;

use bytes::Bytes;
use headers::{ETag, HeaderMapExt as _, IfNoneMatch};
use hyper::StatusCode;
use hyper::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue,
    REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS,
};
use sha2::{Digest as _, Sha256};
use warp::reply::Response;

use crate::http::Origin;
use crate::http::reply::Failure;

/// Nothing but what this listener serves, no inline script or style, in nobody's frame; after this comes what may be asked.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; base-uri 'none'; \
                      form-action 'none'; frame-ancestors 'none'; connect-src 'self'";
/// Where a browser keeps to its own origin.
const OPENER_POLICY: HeaderName = HeaderName::from_static("cross-origin-opener-policy");
const RESOURCE_POLICY: HeaderName = HeaderName::from_static("cross-origin-resource-policy");

const PAGE: &str = include_str!("dashboard/page.html");
/// Where the page says where inference is.
const INFERENCE: &str = "name=\"inference\" content=\"";

/// What the page loads. Each comes after those that it names.
const SOURCES: [(&str, &str); 14] = [
    ("icon.svg", include_str!("dashboard/icon.svg")),
    ("style.css", include_str!("dashboard/style.css")),
    ("views.css", include_str!("dashboard/views.css")),
    ("theme.js", include_str!("dashboard/theme.js")),
    ("dom.js", include_str!("dashboard/dom.js")),
    ("text.js", include_str!("dashboard/text.js")),
    ("link.js", include_str!("dashboard/link.js")),
    ("parts.js", include_str!("dashboard/parts.js")),
    ("charts.js", include_str!("dashboard/charts.js")),
    ("compare.js", include_str!("dashboard/compare.js")),
    ("overview.js", include_str!("dashboard/overview.js")),
    ("trial.js", include_str!("dashboard/trial.js")),
    ("model.js", include_str!("dashboard/model.js")),
    ("app.js", include_str!("dashboard/app.js")),
];

/// The page and what it loads, under the names that they are served by.
#[derive(Debug)]
pub(crate) struct Dashboard {
    page: Bytes,
    tag: ETag,
    policy: HeaderValue,
    assets: BTreeMap<String, Asset>,
}

#[derive(Debug)]
struct Asset {
    kind: HeaderValue,
    bytes: Bytes,
}

impl Dashboard {
    /// Makes a page that asks for predictions at `inference`, and at no other origin.
    pub(crate) fn new(inference: Option<&Origin>) -> Self {
        let mut named: Vec<(&str, String)> = Vec::new();
        let mut assets = BTreeMap::new();
        for (name, source) in SOURCES {
            let text = rename(source, &named);
            let (stem, extension) = name
                .split_once('.')
                .expect("invariant: a source has an extension");
            let served_as = format!("{stem}-{}.{extension}", fingerprint(&text));
            let asset = Asset {
                kind: kind(extension),
                bytes: text.into(),
            };
            assets.insert(served_as.clone(), asset);
            named.push((name, served_as));
        }
        let origin = inference.map(Origin::to_string).unwrap_or_default();
        let page = rename(PAGE, &named).replace(INFERENCE, &format!("{INFERENCE}{origin}"));
        let policy = format!("{POLICY} {origin}");
        let tag = format!("\"{}\"", fingerprint(&page));
        Self {
            page: page.into(),
            tag: tag.parse().expect("invariant: hex digits in quotes are an ETag"),
            policy: HeaderValue::from_str(policy.trim_end())
                .expect("invariant: an origin is letters, digits and their marks"),
            assets,
        }
    }

    /// Answers with the page, whose path is empty, or with one of what it loads.
    pub(crate) fn answer(&self, path: &str, headers: &HeaderMap) -> Result<Response, Failure> {
        match path.strip_prefix("assets/") {
            Some(name) => self.asset(name),
            None => Ok(self.page(headers)),
        }
    }

    fn page(&self, headers: &HeaderMap) -> Response {
        let is_known = headers
            .typed_get::<IfNoneMatch>()
            .is_some_and(|known| !known.precondition_passes(&self.tag));
        let mut response = if is_known {
            let mut response = Response::default();
            *response.status_mut() = StatusCode::NOT_MODIFIED;
            response
        } else {
            served(self.page.clone(), kind("html"))
        };
        let headers = response.headers_mut();
        headers.typed_insert(self.tag.clone());
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
        headers.insert(CONTENT_SECURITY_POLICY, self.policy.clone());
        headers.insert(OPENER_POLICY, HeaderValue::from_static("same-origin"));
        response
    }

    fn asset(&self, name: &str) -> Result<Response, Failure> {
        let asset = self.assets.get(name).ok_or_else(|| {
            Failure::not_found("no such asset: another build has it, load the page again".to_owned())
        })?;
        let mut response = served(asset.bytes.clone(), asset.kind.clone());
        let forever = HeaderValue::from_static("max-age=31536000, immutable");
        response.headers_mut().insert(CACHE_CONTROL, forever);
        Ok(response)
    }
}

fn served(bytes: Bytes, kind: HeaderValue) -> Response {
    let mut response = Response::new(bytes.into());
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, kind);
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    headers.insert(RESOURCE_POLICY, HeaderValue::from_static("same-origin"));
    response
}

fn kind(extension: &str) -> HeaderValue {
    HeaderValue::from_static(match extension {
        "html" => "text/html; charset=utf-8",
        "css" => "text/css; charset=utf-8",
        "js" => "text/javascript; charset=utf-8",
        "svg" => "image/svg+xml",
        _ => "application/octet-stream",
    })
}

/// Writes the names that assets are served by into a text that names them after a slash and before a quote.
fn rename(source: &str, named: &[(&str, String)]) -> String {
    named.iter().fold(source.to_owned(), |text, (name, served_as)| {
        text.replace(&format!("/{name}\""), &format!("/{served_as}\""))
    })
}

/// Returns 16 hex digits that no other text of ours has.
fn fingerprint(text: &str) -> String {
    hex::encode(&Sha256::digest(text)[..8])
}

#[cfg(test)]
mod tests;
