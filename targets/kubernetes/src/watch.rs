//! Follows one kind: a list, then a watch from there on, resumed where it ends, begun anew where the server has forgotten.

use std::fmt::Debug;
use std::pin::pin;
use std::time::{Duration, Instant};

use futures_util::StreamExt as _;
use kube::Api;
use kube::api::{ListParams, WatchParams};
use kube::core::{Status, WatchEvent};
use serde::de::DeserializeOwned;
use tokio::time::{sleep, timeout};

/// How many objects one answer of a list holds.
const PAGE: u32 = 500;
/// How long the server keeps a watch, in seconds; it says where to go on about once a minute.
const WATCH_SECONDS: u32 = 240;
/// A connection is dead that says nothing for longer than twice the time after which the server says where to go on.
const SILENCE_MAX: Duration = Duration::from_secs(130);
/// How long is waited after an end: doubled each time.
const WAIT_MIN: Duration = Duration::from_millis(100);
const WAIT_MAX: Duration = Duration::from_secs(5);

/// What is heard of a kind.
pub(crate) enum Heard<'a, K> {
    /// All that there are, as they were at a version.
    Listed(Vec<K>, &'a str),
    /// The server has begun to tell what changes.
    Followed,
    /// One was made or changed.
    Changed(K),
    /// One is gone.
    Gone(K),
    /// It cannot be followed; it is tried again.
    Failed(&'a kube::Error),
}

/// Why a watch is over.
enum Over {
    /// The server ended it in order, or the connection broke: it goes on from where it was.
    Closed,
    /// The server does not know any more what was since: all is listed anew.
    Forgotten,
    Failed(kube::Error),
}

/// Which objects of a kind are followed.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Selection<'a> {
    /// Those with these labels.
    pub(crate) labels: Option<&'a str>,
    /// Those with these fields.
    pub(crate) fields: Option<&'a str>,
}

/// Follows a kind for ever, as far as its objects have these labels.
pub(crate) async fn follow<K>(api: Api<K>, labels: Option<&str>, hear: impl Fn(Heard<'_, K>))
where
    K: kube::Resource + Clone + DeserializeOwned + Debug + Send + 'static,
{
    follow_selected(api, Selection { labels, fields: None }, hear).await;
}

/// Follows a kind for ever, as far as its objects are selected.
pub(crate) async fn follow_selected<K>(api: Api<K>, selection: Selection<'_>, hear: impl Fn(Heard<'_, K>))
where
    K: kube::Resource + Clone + DeserializeOwned + Debug + Send + 'static,
{
    let mut version = None;
    let mut wait = WAIT_MIN;
    loop {
        let began = Instant::now();
        let over = match &mut version {
            None => match list(&api, selection).await {
                Ok((objects, listed)) => {
                    hear(Heard::Listed(objects, &listed));
                    version = Some(listed);
                    continue;
                }
                Err(error) => Over::Failed(error),
            },
            Some(version) => watch(&api, selection, version, &hear).await,
        };
        match over {
            Over::Closed => {}
            Over::Forgotten => version = None,
            Over::Failed(error) => hear(Heard::Failed(&error)),
        }
        // Whatever ends at once is not begun again at once.
        if began.elapsed() > WAIT_MAX {
            wait = WAIT_MIN;
        }
        sleep(wait).await;
        wait = (wait * 2).min(WAIT_MAX);
    }
}

/// Lists everything, and returns the version that it is of.
async fn list<K>(api: &Api<K>, selection: Selection<'_>) -> Result<(Vec<K>, String), kube::Error>
where
    K: Clone + DeserializeOwned + Debug,
{
    let mut objects = Vec::new();
    let mut next = None;
    loop {
        let mut params = ListParams::default().limit(PAGE);
        params.label_selector = selection.labels.map(ToOwned::to_owned);
        params.field_selector = selection.fields.map(ToOwned::to_owned);
        params.continue_token = next;
        let page = api.list(&params).await?;
        objects.extend(page.items);
        next = page.metadata.continue_.filter(|token| !token.is_empty());
        if next.is_none() {
            return Ok((objects, page.metadata.resource_version.unwrap_or_default()));
        }
    }
}

/// Takes in what changes from a version on, and moves it on.
async fn watch<K>(
    api: &Api<K>,
    selection: Selection<'_>,
    version: &mut String,
    hear: &impl Fn(Heard<'_, K>),
) -> Over
where
    K: kube::Resource + Clone + DeserializeOwned + Debug + Send + 'static,
{
    let mut params = WatchParams::default().timeout(WATCH_SECONDS);
    params.label_selector = selection.labels.map(ToOwned::to_owned);
    params.field_selector = selection.fields.map(ToOwned::to_owned);
    let events = match api.watch(&params, version).await {
        Ok(events) => events,
        Err(kube::Error::Api(status)) if is_forgotten(&status) => return Over::Forgotten,
        Err(error) => return Over::Failed(error),
    };
    hear(Heard::Followed);
    let mut events = pin!(events);
    loop {
        let event = match timeout(SILENCE_MAX, events.next()).await {
            Ok(Some(Ok(event))) => event,
            Ok(Some(Err(kube::Error::Api(status)))) if is_forgotten(&status) => return Over::Forgotten,
            Ok(Some(Err(error))) => return Over::Failed(error),
            Ok(None) | Err(_) => return Over::Closed,
        };
        match event {
            WatchEvent::Added(object) | WatchEvent::Modified(object) => {
                move_on(version, &object);
                hear(Heard::Changed(object));
            }
            WatchEvent::Deleted(object) => {
                move_on(version, &object);
                hear(Heard::Gone(object));
            }
            WatchEvent::Bookmark(bookmark) => *version = bookmark.metadata.resource_version,
            WatchEvent::Error(status) if is_forgotten(&status) => return Over::Forgotten,
            WatchEvent::Error(status) => return Over::Failed(kube::Error::Api(status)),
        }
    }
}

fn move_on<K: kube::Resource>(version: &mut String, object: &K) {
    if let Some(newer) = &object.meta().resource_version {
        version.clone_from(newer);
    }
}

fn is_forgotten(status: &Status) -> bool {
    status.code == 410
}
