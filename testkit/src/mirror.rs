//! All objects of a kind as they are now: listed, watched, listed again where a watch ends.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::time::Duration;

use futures_util::{StreamExt as _, TryStreamExt as _};
use kube::api::{ListParams, WatchEvent, WatchParams};
use kube::{Api, Resource, ResourceExt as _};
use serde::de::DeserializeOwned;
use tokio::sync::watch;

/// How long after an error it is asked again.
const PAUSE: Duration = Duration::from_millis(100);

/// Objects by `namespace/name`.
pub(crate) type Objects<K> = BTreeMap<String, K>;

/// What became of objects.
#[derive(Debug)]
pub(crate) enum Change<K> {
    /// All that there are.
    All(Objects<K>),
    /// One was made or changed.
    Is(String, Box<K>),
    /// One is gone.
    Gone(String),
}

/// Keeps `objects` equal to what the API server has, for ever. What a reader misses between two looks, it need not see.
pub(crate) async fn follow<K>(api: Api<K>, objects: watch::Sender<Objects<K>>)
where
    K: Resource + Clone + DeserializeOwned + Debug,
{
    tell(api, |change| match change {
        Change::All(all) => drop(objects.send_replace(all)),
        Change::Is(key, object) => objects.send_modify(|all| drop(all.insert(key, *object))),
        Change::Gone(key) => objects.send_modify(|all| drop(all.remove(&key))),
    })
    .await;
}

/// Tells all changes, for ever: what there is first, and again after a gap.
pub(crate) async fn tell<K>(api: Api<K>, tell: impl Fn(Change<K>))
where
    K: Resource + Clone + DeserializeOwned + Debug,
{
    loop {
        // A server that is away, or a watch that it closed, is no fault of a test.
        if once(&api, &tell).await.is_err() {
            tokio::time::sleep(PAUSE).await;
        }
    }
}

async fn once<K>(api: &Api<K>, tell: &impl Fn(Change<K>)) -> Result<(), kube::Error>
where
    K: Resource + Clone + DeserializeOwned + Debug,
{
    let list = api.list(&ListParams::default()).await?;
    let version = list.metadata.resource_version.unwrap_or_default();
    let listed = list.items.into_iter().map(|object| (key(&object), object));
    tell(Change::All(listed.collect()));
    let mut events = api.watch(&WatchParams::default(), &version).await?.boxed();
    while let Some(event) = events.try_next().await? {
        match event {
            WatchEvent::Added(object) | WatchEvent::Modified(object) => {
                tell(Change::Is(key(&object), Box::new(object)));
            }
            WatchEvent::Deleted(object) => tell(Change::Gone(key(&object))),
            WatchEvent::Bookmark(_) => {}
            WatchEvent::Error(_) => return Ok(()),
        }
    }
    Ok(())
}

pub(crate) fn key<K: Resource>(object: &K) -> String {
    format!("{}/{}", object.namespace().unwrap_or_default(), object.name_any())
}
