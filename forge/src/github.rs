//! GitHub's REST API, as far as it is needed: one call after the other, writes at least a second apart.

mod comments;
mod deployments;
mod pace;
mod pulls;
mod statuses;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio::sync::Mutex;
use web::header::{ACCEPT, LINK};
use web::{Client, HeaderName, Method, Plain, Request, Response, Url, WebError};

use crate::error::ForgeError;
use crate::repository::ForgeRepository;
pub use comments::{Comment, Commented};
use pace::Pace;
pub use pulls::{Opened, Proposal};

/// The form of answers that is asked for.
const FORM: &str = "application/vnd.github+json";
const VERSION: HeaderName = HeaderName::from_static("x-github-api-version");
/// The version of the API that is spoken.
const API_VERSION: &str = "2022-11-28";
/// How many entries a page has, which is as many as there can be.
const PAGE: usize = 100;
/// How many pages of one list are read.
const PAGES_MAX: usize = 20;

/// Reads the token anew for each call: another one needs no restart.
pub type Token = Arc<dyn Fn() -> Result<String, String> + Send + Sync>;

/// What a client of GitHub is made with.
#[derive(Clone)]
pub struct Settings {
    /// Whom to ask through.
    pub client: Client,
    /// Which repository.
    pub repository: ForgeRepository,
    /// Who asks.
    pub token: Token,
    /// Returns the time, in seconds since 1970.
    pub now: Arc<dyn Fn() -> i64 + Send + Sync>,
    /// How far apart writes are, at least.
    pub between_writes: Duration,
}

impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Settings")
            .field("repository", &self.repository)
            .finish_non_exhaustive()
    }
}

/// One repository of GitHub; cheap to clone, and clones wait for each other.
#[derive(Debug, Clone)]
pub struct GitHub {
    settings: Settings,
    pace: Arc<Mutex<Pace>>,
}

impl GitHub {
    /// Makes a client; nothing is asked yet.
    pub fn new(settings: Settings) -> Self {
        Self {
            settings,
            pace: Arc::default(),
        }
    }

    /// Returns the repository.
    pub fn repository(&self) -> &ForgeRepository {
        &self.settings.repository
    }

    /// Reads what is below the repository, or of itself where that is nothing.
    async fn get<T: DeserializeOwned>(&self, what: &'static str, below: &str) -> Result<T, ForgeError> {
        let url = self.url(what, below)?;
        let answer = self.call(what, Request::new(Method::GET, url)).await?;
        read(what, &answer)
    }

    /// Reads a list, all pages of it.
    async fn list<T: DeserializeOwned>(&self, what: &'static str, below: &str) -> Result<Vec<T>, ForgeError> {
        let mark = if below.contains('?') { '&' } else { '?' };
        let mut next = Some(self.url(what, &format!("{below}{mark}per_page={PAGE}"))?);
        let mut all = Vec::new();
        for _page in 0..PAGES_MAX {
            let Some(url) = next else { return Ok(all) };
            let answer = self.call(what, Request::new(Method::GET, url)).await?;
            all.extend(read::<Vec<T>>(what, &answer)?);
            next = self.next(what, &answer)?;
        }
        let why = format!("the list has more than {PAGES_MAX} pages");
        next.map_or(Ok(all), |_more| Err(ForgeError::Unexpected { what, why }))
    }

    /// Writes below the repository.
    async fn write<T: DeserializeOwned>(
        &self,
        what: &'static str,
        method: Method,
        below: &str,
        body: &Value,
    ) -> Result<T, ForgeError> {
        let url = self.url(what, below)?;
        let request = Request::new(method, url).body("application/json", body.to_string());
        read(what, &self.call(what, request).await?)
    }

    fn url(&self, what: &'static str, below: &str) -> Result<Url, ForgeError> {
        self.settings
            .repository
            .url(below)
            .map_err(|source| ForgeError::Web { what, source })
    }

    /// Asks in turn, once the last call is over and its limits allow it.
    async fn call(&self, what: &'static str, request: Request) -> Result<Response, ForgeError> {
        let failed = |source: WebError| ForgeError::Web { what, source };
        let mut pace = self.pace.lock().await;
        let token = (self.settings.token)().map_err(ForgeError::Token)?;
        let is_write = request.method != Method::GET;
        let request = request
            .header(ACCEPT, FORM)
            .header(VERSION, API_VERSION)
            .bearer(&token)
            .map_err(failed)?;
        pace.turn(is_write, self.settings.between_writes).await;
        let answer = self.settings.client.send(&request).await;
        pace.asked(is_write);
        let answer = answer.map_err(failed)?;
        if let Some(wait) = pace::limited(&answer, (self.settings.now)()) {
            return Err(ForgeError::Limited { wait });
        }
        answer.success().map_err(failed)
    }

    /// Returns where a list goes on: `<URL>; rel="next"`, at the same API.
    fn next(&self, what: &'static str, answer: &Response) -> Result<Option<Url>, ForgeError> {
        let links = answer
            .headers
            .get(LINK)
            .and_then(|links| links.to_str().ok())
            .unwrap_or_default();
        let next = links.split(',').find_map(|link| {
            let (target, parameters) = link.split_once(';')?;
            let is_next = parameters
                .split(';')
                .any(|parameter| parameter.trim() == "rel=\"next\"");
            is_next.then(|| target.trim().trim_start_matches('<').trim_end_matches('>'))
        });
        let Some(next) = next else { return Ok(None) };
        let url = Url::parse(next, Plain::Loopback).map_err(|source| ForgeError::Web { what, source })?;
        if url.origin() != self.settings.repository.api().origin() {
            let why = format!("the list goes on at {url}");
            return Err(ForgeError::Unexpected { what, why });
        }
        Ok(Some(url))
    }
}

fn read<T: DeserializeOwned>(what: &'static str, answer: &Response) -> Result<T, ForgeError> {
    serde_json::from_slice(&answer.body).map_err(|error| ForgeError::Unexpected {
        what,
        why: error.to_string(),
    })
}
