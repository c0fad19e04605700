//! Asks other machines: a forge, a receiver of news, another installation's control plane.
//!
//! ```text
//! url      where: https, or http where it may be; never with a password, never link-local
//! request  what is asked, with which limits
//! connect  addresses ── proxy ── TLS
//! answer   what comes back, whole or in parts, bounded
//! error    why nothing did, and what happens next
//! ```
//!
//! One connection per request. A redirect is followed within one origin and nowhere else. What identifies the asker stands
//! in headers that print nothing, and of an address only its origin is ever shown: the rest of it may be a secret.
#![forbid(unsafe_code)]
#![warn(missing_docs)]

mod answer;
mod connect;
mod error;
mod request;
mod trust;
mod url;

use std::path::PathBuf;
use std::time::Duration;

pub use answer::{Answer, Response};
pub use connect::Proxies;
pub use error::WebError;
pub use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
pub use request::{Limits, Request};
pub use url::{Plain, Url};

use connect::Connector;

/// How often a redirect within one origin is followed.
const REDIRECTS_MAX: usize = 3;

/// What a client is made with.
#[derive(Debug, Default)]
pub struct Settings {
    /// The certificates of authorities, in PEM, that are trusted beside the system's.
    pub ca_file: Option<PathBuf>,
    /// What HTTPS goes through.
    pub proxies: Proxies,
}

/// Asks; cheap to clone.
#[derive(Debug, Clone)]
pub struct Client {
    connector: Connector,
}

impl Client {
    /// Reads what is trusted.
    ///
    /// # Errors
    ///
    /// [`WebError::Trust`] where the file of authorities cannot be used.
    pub fn new(settings: Settings) -> Result<Self, WebError> {
        let Settings { ca_file, proxies } = settings;
        let trust = trust::configuration(ca_file.as_deref())?;
        Ok(Self {
            connector: Connector::new(trust, proxies),
        })
    }

    /// Asks, and returns the whole answer, whatever its status: [`Response::success`] judges that.
    ///
    /// # Errors
    ///
    /// Where no whole answer came within the request's limits.
    pub async fn send(&self, request: &Request) -> Result<Response, WebError> {
        let deadline = request.limits.deadline;
        let asked = async { self.open(request).await?.whole().await };
        within(&request.url, deadline, "answer", asked).await?
    }

    /// Asks, and returns when the answer begins. What follows is read in parts: [`Answer::chunk`].
    ///
    /// # Errors
    ///
    /// Where no answer began within the request's limits.
    pub async fn open(&self, request: &Request) -> Result<Answer, WebError> {
        let mut url = request.url.clone();
        for _hop in 0..=REDIRECTS_MAX {
            let answer = self.connector.ask(&url, request).await?;
            match answer.redirected(&request.method) {
                None => return Ok(answer),
                Some(location) => url = url.redirected(location)?,
            }
        }
        Err(WebError::Redirected {
            origin: url.origin(),
            to: format!("itself more than {REDIRECTS_MAX} times"),
        })
    }

    /// Asks once, and returns when the answer begins: a redirect is an answer too, and where it leads is for the caller
    /// to judge ([`Answer::location`]).
    ///
    /// # Errors
    ///
    /// Where no answer began within the request's limits.
    pub async fn open_once(&self, request: &Request) -> Result<Answer, WebError> {
        self.connector.ask(&request.url, request).await
    }
}

/// Lets what is asked of `url` take no longer than `limit`.
async fn within<F: Future>(
    url: &Url,
    limit: Duration,
    what: &'static str,
    future: F,
) -> Result<F::Output, WebError> {
    tokio::time::timeout(limit, future)
        .await
        .map_err(|_elapsed| WebError::Slow {
            origin: url.origin(),
            what,
            limit,
        })
}
