//! The objects of a namespace as watches keep them: who looks costs the API server nothing, and what changes costs what it
//! is. An object that makes no sense costs itself alone.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crds::view::View;
use crds::{MLDeployment, MLEnvironment, MLTrainingJob};
use kube::api::{ApiResource, DynamicObject};
use kube::{Api, Client, Resource};
use serde::de::DeserializeOwned;
use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio::task::AbortHandle;

use super::{PATIENCE, words};
use crate::watch::{Heard, follow};

/// How long what was known counts while it cannot be followed: connections break, and are made anew.
const FAILS_MAX: Duration = Duration::from_secs(5);

/// The objects of a namespace, followed until this is dropped.
pub(super) struct Followed {
    known: watch::Sender<Known>,
    task: AbortHandle,
}

impl Drop for Followed {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Followed {
    /// Begins to follow the default namespace of a client.
    pub(super) fn begin(client: &Client, runtime: &Handle) -> Self {
        let known = watch::Sender::new(Known::default());
        let (client, followed) = (client.clone(), known.clone());
        let task = runtime.spawn(async move {
            tokio::join!(
                follow_kind(&client, &followed, |known| &mut known.environments),
                follow_kind(&client, &followed, |known| &mut known.deployments),
                follow_kind(&client, &followed, |known| &mut known.trainings),
            );
        });
        let task = task.abort_handle();
        Self { known, task }
    }

    /// Returns the objects as they are now, or why they are not known. What is unchanged is shared with what was returned
    /// before.
    pub(super) async fn view(&self) -> Result<Arc<View>, String> {
        let mut known = self.known.subscribe();
        let until_known = async {
            // Invariant: the sender is ours. What is returned would keep others from writing.
            drop(known.wait_for(Known::is_known).await);
        };
        if tokio::time::timeout(PATIENCE, until_known).await.is_err() {
            return Err(format!("the API server takes more than {PATIENCE:?}"));
        }
        let mut view = Err(String::new());
        self.known.send_if_modified(|known| {
            view = known.view(Instant::now());
            // Nobody waits for what is only put together.
            false
        });
        view
    }
}

async fn follow_kind<K>(client: &Client, known: &watch::Sender<Known>, kind: fn(&mut Known) -> &mut OfKind<K>)
where
    K: Resource<DynamicType = ()> + DeserializeOwned + PartialEq,
{
    let api: Api<DynamicObject> = Api::default_namespaced_with(client.clone(), &ApiResource::erase::<K>(&()));
    follow(api, None, |heard| {
        known.send_modify(|known| {
            if kind(known).hear(heard, Instant::now()) {
                known.view = None;
            }
        });
    })
    .await;
}

/// What is known of the three kinds.
#[derive(Default)]
struct Known {
    environments: OfKind<MLEnvironment>,
    deployments: OfKind<MLDeployment>,
    trainings: OfKind<MLTrainingJob>,
    /// As it is shown, until something changes.
    view: Option<Arc<View>>,
}

impl Known {
    /// Says whether each kind has been listed, or could not be.
    fn is_known(&self) -> bool {
        self.environments.is_known() && self.deployments.is_known() && self.trainings.is_known()
    }

    fn view(&mut self, now: Instant) -> Result<Arc<View>, String> {
        let troubles = [
            self.environments.trouble(now),
            self.deployments.trouble(now),
            self.trainings.trouble(now),
        ];
        if let Some(why) = troubles.into_iter().flatten().next() {
            return Err(why.to_owned());
        }
        let view = self.view.take().unwrap_or_else(|| Arc::new(self.shown()));
        Ok(self.view.insert(view).clone())
    }

    fn shown(&self) -> View {
        let unreadable = [
            &self.environments.unreadable,
            &self.deployments.unreadable,
            &self.trainings.unreadable,
        ];
        View {
            environment: self
                .environments
                .objects
                .values()
                .next()
                .map(|environment| MLEnvironment::clone(environment)),
            deployments: self.deployments.objects.clone(),
            trainings: self.trainings.objects.clone(),
            unreadable: unreadable
                .into_iter()
                .flatten()
                .map(|(name, why)| (name.clone(), why.clone()))
                .collect(),
            failure: None,
        }
    }
}

/// What is known of one kind.
struct OfKind<K> {
    objects: BTreeMap<String, Arc<K>>,
    /// By kind and name, e.g. `MLDeployment/wine`, with why.
    unreadable: BTreeMap<String, String>,
    is_listed: bool,
    /// Since when it cannot be followed, and why.
    fails: Option<(Instant, String)>,
}

impl<K> Default for OfKind<K> {
    fn default() -> Self {
        Self {
            objects: BTreeMap::new(),
            unreadable: BTreeMap::new(),
            is_listed: false,
            fails: None,
        }
    }
}

impl<K> OfKind<K> {
    const fn is_known(&self) -> bool {
        self.is_listed || self.fails.is_some()
    }

    /// Returns why what is known is worth nothing.
    fn trouble(&self, now: Instant) -> Option<&str> {
        let (since, why) = self.fails.as_ref()?;
        let counts = self.is_listed && now.duration_since(*since) < FAILS_MAX;
        (!counts).then_some(why)
    }
}

impl<K: Resource<DynamicType = ()> + DeserializeOwned + PartialEq> OfKind<K> {
    /// Takes in what is heard, and says whether something else is shown then.
    fn hear(&mut self, heard: Heard<'_, DynamicObject>, now: Instant) -> bool {
        match heard {
            Heard::Failed(error) => {
                let since = self.fails.take().map_or(now, |(since, _)| since);
                self.fails = Some((since, words(error)));
                return false;
            }
            Heard::Listed(objects, _version) => {
                let before = std::mem::take(&mut self.objects);
                self.unreadable.clear();
                for object in objects {
                    let known = object.metadata.name.as_ref().and_then(|name| before.get(name));
                    self.take_in(object, known);
                }
                self.is_listed = true;
            }
            Heard::Changed(object) => self.take_in(object, None),
            Heard::Gone(object) => {
                let name = object.metadata.name.unwrap_or_default();
                self.unreadable.remove(&key::<K>(&name));
                self.objects.remove(&name);
            }
            Heard::Followed => {
                self.fails = None;
                return false;
            }
        }
        self.fails = None;
        true
    }

    /// `known` is what was known of the object: it stays where it is the same.
    fn take_in(&mut self, object: DynamicObject, known: Option<&Arc<K>>) {
        let name = object.metadata.name.clone().unwrap_or_default();
        let read = serde_json::to_value(object).and_then(serde_json::from_value::<K>);
        match read {
            Ok(read) => {
                self.unreadable.remove(&key::<K>(&name));
                let known = known.filter(|known| ***known == read).cloned();
                self.objects.insert(name, known.unwrap_or_else(|| Arc::new(read)));
            }
            Err(error) => {
                self.objects.remove(&name);
                self.unreadable.insert(key::<K>(&name), error.to_string());
            }
        }
    }
}

fn key<K: Resource<DynamicType = ()>>(name: &str) -> String {
    format!("{}/{name}", K::kind(&()))
}

#[cfg(test)]
mod tests {
    use kube::core::Status;
    use serde_json::json;

    use super::*;

    fn object(name: &str, version: &str, weight: u64) -> DynamicObject {
        let object = json!({
            "apiVersion": crds::API_VERSION, "kind": "MLDeployment",
            "metadata": { "name": name, "resourceVersion": version },
            "spec": { "modelName": name, "stable": { "version": "v20261101-120000" } },
            "status": { "weight": weight },
        });
        serde_json::from_value(object).unwrap()
    }

    fn failure() -> kube::Error {
        kube::Error::Api(Box::new(Status {
            code: 503,
            message: "away".to_owned(),
            ..Status::default()
        }))
    }

    fn listed(objects: Vec<DynamicObject>) -> Known {
        let mut known = Known::default();
        let now = Instant::now();
        known.environments.hear(Heard::Listed(Vec::new(), "1"), now);
        known.trainings.hear(Heard::Listed(Vec::new(), "1"), now);
        known.deployments.hear(Heard::Listed(objects, "1"), now);
        known
    }

    #[test]
    fn what_is_unchanged_is_shared_and_what_makes_no_sense_costs_itself() {
        let now = Instant::now();
        let mut known = listed(vec![object("iris", "1", 0), object("wine", "1", 0)]);
        let before = known.view(now).unwrap();
        assert!(Arc::ptr_eq(&before, &known.view(now).unwrap()));
        assert!(
            known
                .deployments
                .hear(Heard::Changed(object("wine", "2", 10)), now)
        );
        known.view = None;
        let after = known.view(now).unwrap();
        let is_shared =
            |name: &str, view: &View| Arc::ptr_eq(&before.deployments[name], &view.deployments[name]);
        assert!(is_shared("iris", &after) && !is_shared("wine", &after));
        // A list after a gap.
        let again = vec![object("iris", "1", 0), object("wine", "3", 101)];
        assert!(known.deployments.hear(Heard::Listed(again, "4"), now));
        known.view = None;
        let after = known.view(now).unwrap();
        assert!(is_shared("iris", &after));
        assert_eq!(after.deployments.len(), 1);
        let unreadable: Vec<&str> = after.unreadable.keys().map(String::as_str).collect();
        assert_eq!(unreadable, ["MLDeployment/wine"]);
        assert!(known.deployments.hear(Heard::Gone(object("wine", "5", 101)), now));
        assert_eq!(known.shown().unreadable.len(), 0);
    }

    #[test]
    fn what_cannot_be_followed_counts_for_some_seconds_and_never_if_it_was_not_known() {
        let now = Instant::now();
        let mut known = Known::default();
        assert!(!known.is_known());
        known.environments.hear(Heard::Failed(&failure()), now);
        assert_eq!(
            known.view(now),
            Err("the API server answers 503: away".to_owned())
        );

        let mut known = listed(vec![object("iris", "1", 0)]);
        assert!(known.is_known());
        for seconds in [0, 4] {
            let at = now + Duration::from_secs(seconds);
            known.deployments.hear(Heard::Failed(&failure()), at);
            assert!(known.view(at).is_ok());
        }
        let late = now + FAILS_MAX;
        assert_eq!(
            known.view(late),
            Err("the API server answers 503: away".to_owned())
        );
        known.deployments.hear(Heard::Followed, late);
        assert!(known.view(late).is_ok());
    }
}
