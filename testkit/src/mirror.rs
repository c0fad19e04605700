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

/// Keeps `objects` equal to what the API server has, for ever. What a reader misses between two looks, it need not see.
pub(crate) async fn follow<K>(api: Api<K>, objects: watch::Sender<Objects<K>>)
where
    K: Resource + Clone + DeserializeOwned + Debug,
{
    loop {
        // A server that is away, or a watch that it closed, is no fault of a test.
        if once(&api, &objects).await.is_err() {
            tokio::time::sleep(PAUSE).await;
        }
    }
}

async fn once<K>(api: &Api<K>, objects: &watch::Sender<Objects<K>>) -> Result<(), kube::Error>
where
    K: Resource + Clone + DeserializeOwned + Debug,
{
    let list = api.list(&ListParams::default()).await?;
    let version = list.metadata.resource_version.unwrap_or_default();
    let listed = list.items.into_iter().map(|object| (key(&object), object));
    drop(objects.send_replace(listed.collect()));
    let mut events = api.watch(&WatchParams::default(), &version).await?.boxed();
    while let Some(event) = events.try_next().await? {
        match event {
            WatchEvent::Added(object) | WatchEvent::Modified(object) => {
                objects.send_modify(|all| drop(all.insert(key(&object), object)));
            }
            WatchEvent::Deleted(object) => objects.send_modify(|all| drop(all.remove(&key(&object)))),
            WatchEvent::Bookmark(_) => {}
            WatchEvent::Error(_) => return Ok(()),
        }
    }
    Ok(())
}

pub(crate) fn key<K: Resource>(object: &K) -> String {
    format!("{}/{}", object.namespace().unwrap_or_default(), object.name_any())
}
