//! Follows one kind: a list, then a watch from there on, resumed where it ends, begun anew where the server has forgotten.

use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::StreamExt as _;
use kube::Api;
use kube::api::{ListParams, WatchParams};
use kube::core::{DynamicObject, Status, WatchEvent};
use planner::object::Kind;
use tokio::time::{sleep, timeout};

use super::Shared;

/// How many objects one answer of a list holds.
const PAGE: u32 = 500;
/// How long the server keeps a watch, in seconds; it says where to go on about once a minute.
const WATCH_SECONDS: u32 = 240;
/// A connection that says nothing for longer than the server would is dead.
const SILENCE_MAX: Duration = Duration::from_secs(250);
/// How long is waited after a failure: doubled each time.
const WAIT_MIN: Duration = Duration::from_millis(100);
const WAIT_MAX: Duration = Duration::from_secs(5);

/// Why a watch is over.
enum Over {
    /// The server ended it in order, or the connection broke: it goes on from where it was.
    Closed,
    /// The server does not know any more what was since: all is listed anew.
    Forgotten,
    Failed(kube::Error),
}

/// Follows a kind for ever.
pub(super) async fn follow(api: Api<DynamicObject>, kind: Kind, shared: Arc<Shared>) {
    let mut version = None;
    let mut wait = WAIT_MIN;
    loop {
        let began = Instant::now();
        let over = match &mut version {
            None => match list(&api, kind, &shared).await {
                Ok(listed) => {
                    version = Some(listed);
                    shared.heard(kind);
                    continue;
                }
                Err(error) => Over::Failed(error),
            },
            Some(version) => watch(&api, kind, version, &shared).await,
        };
        match over {
            Over::Closed => {}
            Over::Forgotten => version = None,
            Over::Failed(error) => shared.failed(kind, &error),
        }
        // Whatever ends at once is not begun again at once.
        if began.elapsed() > WAIT_MAX {
            wait = WAIT_MIN;
        }
        sleep(wait).await;
        wait = (wait * 2).min(WAIT_MAX);
    }
}

/// Lists everything and returns the version that it is of.
async fn list(api: &Api<DynamicObject>, kind: Kind, shared: &Shared) -> Result<String, kube::Error> {
    let mut objects = Vec::new();
    let mut next = None;
    loop {
        let mut params = ListParams::default().limit(PAGE);
        params.continue_token = next;
        let page = api.list(&params).await?;
        objects.extend(page.items);
        next = page.metadata.continue_.filter(|token| !token.is_empty());
        if next.is_none() {
            let version = page.metadata.resource_version.unwrap_or_default();
            shared.listed(kind, objects, &version);
            return Ok(version);
        }
    }
}

/// Takes in what changes from a version on, and moves it on.
async fn watch(api: &Api<DynamicObject>, kind: Kind, version: &mut String, shared: &Shared) -> Over {
    let params = WatchParams::default().timeout(WATCH_SECONDS);
    let events = match api.watch(&params, version).await {
        Ok(events) => events,
        Err(kube::Error::Api(status)) if is_forgotten(&status) => return Over::Forgotten,
        Err(error) => return Over::Failed(error),
    };
    shared.heard(kind);
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
                move_on(version, object.metadata.resource_version.as_ref());
                shared.changed(kind, object);
            }
            WatchEvent::Deleted(object) => {
                move_on(version, object.metadata.resource_version.as_ref());
                shared.gone(kind, &object.metadata);
            }
            WatchEvent::Bookmark(bookmark) => *version = bookmark.metadata.resource_version,
            WatchEvent::Error(status) if is_forgotten(&status) => return Over::Forgotten,
            WatchEvent::Error(status) => return Over::Failed(kube::Error::Api(status)),
        }
    }
}

fn move_on(version: &mut String, newer: Option<&String>) {
    if let Some(newer) = newer {
        version.clone_from(newer);
    }
}

fn is_forgotten(status: &Status) -> bool {
    status.code == 410
}
