//! The objects of one environment in a namespace: applied server-side, observed by watches.
//!
//! ```text
//! list, watch ──> cache (pure) ──> observe: what changed since a mark
//!                   │     ▲
//!      put ──> decide (pure) ──> apply with the version that was decided on ──> its answer counts at once
//! ```
//!
//! The inventory is the label `aurora.io/environment`, not a list. Every write goes through the client of a
//! [`crate::leadership::Fence`]. The trait is synchronous, since a pass is: it reads Git and files, and runs on a thread that
//! may block. What is asked of the API server meanwhile runs on the runtime whose handle this holds, so that no method may
//! be called on one of that runtime's own worker threads.

mod cache;
mod decision;
mod error;
mod news;
mod trust;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crds::MLEnvironmentStatus;
use futures_util::StreamExt as _;
use futures_util::stream;
use k8s_openapi::api::events::v1::Event;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use kube::api::{ApiResource, DeleteParams, DynamicObject, Patch, PatchParams, Preconditions};
use kube::{Api, Client};
use planner::finding::{Disposition, Reason};
use planner::names::EnvironmentName;
use planner::object::{Kind, ObjectId};
use planner::plan::is_stand_in;
use reconciler::objects::resource::Resource;
use reconciler::objects::{Changes, Mark, Object, ObjectStore, TargetError};
use serde_json::{Value, json};
use tokio::runtime::Handle;
use tokio::sync::Notify;
use tokio::task::JoinSet;

use crate::build::trust::TRUST;
use crate::events::tell;
use crate::leadership::wall_clock;
use crate::operator::FINALIZER;
use crate::watch::{Heard, follow};
use cache::Cache;
use decision::{Decision, Wanted, decide, foreign};
use error::{is_field_conflict, is_silence, target_error, unavailable};
use trust::Trusting;

pub(crate) use cache::{Published, REQUESTED_AT};

/// The field manager of the reconciler's writes.
pub const MANAGER: &str = "aurora-reconciler";
/// How often a write is decided anew because somebody else wrote meanwhile.
const ATTEMPTS: u32 = 5;
/// How many objects are written at a time: the API server answers each once it is stored.
const PUTS_AT_ONCE: usize = 8;
/// How long the first list may take before an observation says that there is none.
const LISTED_WITHIN: Duration = Duration::from_secs(10);
/// How long nothing may be heard of a kind before what is known is too old to decide on.
const UNHEARD_MAX: Duration = Duration::from_secs(15);
/// How long nothing is asked after a request got no answer: the next would get none either, each after its time-out.
const REST: Duration = Duration::from_secs(1);

/// The objects of one environment, in one namespace.
pub struct Objects {
    environment: EnvironmentName,
    apis: BTreeMap<Kind, Api<DynamicObject>>,
    events: Api<Event>,
    /// What Pods are told of signatures.
    trusting: Arc<Trusting>,
    runtime: Handle,
    shared: Arc<Shared>,
    /// Since when nothing is answered, and what is said then.
    silence: Mutex<Option<(Instant, TargetError)>>,
    /// The report that was written last, as it was answered.
    reported: Mutex<Option<MLEnvironmentStatus>>,
    /// Ended with this.
    watches: Mutex<JoinSet<()>>,
}

impl std::fmt::Debug for Objects {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Objects")
            .field("environment", &self.environment)
            .finish_non_exhaustive()
    }
}

/// What the watches and the pass share.
struct Shared {
    state: Mutex<State>,
    /// Something that is observed has changed.
    news: Notify,
    /// A kind was listed, or that failed.
    looked: Notify,
}

struct State {
    cache: Cache,
    hearing: BTreeMap<Kind, Hearing>,
}

/// How a kind is followed.
#[derive(Debug, Clone, Default)]
struct Hearing {
    is_listed: bool,
    /// Since when that fails, and why.
    failure: Option<(Instant, TargetError)>,
}

impl Objects {
    /// Begins to follow a namespace's objects. `client` is one of a [`crate::leadership::Fence`].
    ///
    /// Called on a runtime, which then carries all requests.
    pub fn follow(client: &Client, namespace: &str, environment: &EnvironmentName) -> Self {
        let shared = Arc::new(Shared {
            state: Mutex::new(State {
                cache: Cache::new(environment.clone()),
                hearing: BTreeMap::new(),
            }),
            news: Notify::new(),
            looked: Notify::new(),
        });
        let mut watches = JoinSet::new();
        let mut apis = BTreeMap::new();
        for kind in Kind::ALL {
            let api = Api::namespaced_with(client.clone(), namespace, &resource_type(kind));
            let (followed, hearing) = (api.clone(), shared.clone());
            drop(watches.spawn(async move {
                follow(followed, None, |heard| hearing.hear(kind, heard)).await;
            }));
            apis.insert(kind, api);
        }
        let trusting = Arc::new(Trusting::new(client, namespace));
        let (following, hearing) = (trusting.clone(), shared.clone());
        drop(watches.spawn(async move { following.follow(&hearing.news).await }));
        Self {
            environment: environment.clone(),
            apis,
            events: Api::namespaced(client.clone(), namespace),
            trusting,
            runtime: Handle::current(),
            shared,
            silence: Mutex::new(None),
            reported: Mutex::new(None),
            watches: Mutex::new(watches),
        }
    }

    /// Returns once something that is observed has changed since the last time.
    pub async fn changed(&self) {
        self.shared.news.notified().await;
    }

    /// Returns which installation this is, where the MLEnvironment knows it.
    pub fn installation(&self) -> Option<String> {
        self.shared.state().cache.installation().map(str::to_owned)
    }

    /// Says which installation this is: the MLEnvironment is written with it.
    pub fn set_installation(&self, installation: &str) {
        self.shared.state().cache.set_installation(installation);
    }

    /// Returns the request for a pass (`aurora.io/requestedAt`) that was not answered yet.
    pub fn requested(&self) -> Option<String> {
        let state = self.shared.state();
        let requested = state.cache.requested_at()?;
        let answered = state
            .cache
            .report()
            .and_then(|report| report.requested_at.as_deref());
        (answered != Some(requested)).then(|| requested.to_owned())
    }

    /// Answers a request for a pass: it has been run.
    ///
    /// # Errors
    ///
    /// The status cannot be written.
    pub fn answer(&self, requested: String) -> Result<(), TargetError> {
        let report = self.shared.state().cache.report().cloned().unwrap_or_default();
        self.report(&MLEnvironmentStatus {
            requested_at: Some(requested),
            ..report
        })
    }

    /// Writes the last report again where somebody else has changed or wiped it.
    ///
    /// # Errors
    ///
    /// The status cannot be written.
    pub fn keep_report(&self) -> Result<(), TargetError> {
        let reported = lock(&self.reported).clone();
        let Some(reported) = reported.filter(|reported| self.shared.state().cache.report() != Some(reported))
        else {
            return Ok(());
        };
        tracing::info!("the report is written again: somebody else has changed it");
        self.report(&reported)
    }

    /// Returns what runs published by the statuses that changed since a mark, or by all, and the mark of now.
    pub(crate) fn published(&self, since: Option<Mark>) -> (Mark, Vec<Published>) {
        self.shared.state().cache.published(since)
    }

    /// Tells Pods whose signature versions need, where that is not what they are told.
    ///
    /// # Errors
    ///
    /// It cannot be written.
    pub fn keep_trust(&self) -> Result<(), TargetError> {
        self.ask(self.tell_trust())
    }

    async fn tell_trust(&self) -> Result<(), TargetError> {
        let Some((version, trust)) = self.shared.state().cache.trust() else {
            return Ok(());
        };
        let kept = self
            .trusting
            .keep(&self.environment, (&version, trust.as_ref()))
            .await;
        kept.map_err(|error| {
            let failure = self.failed(&error);
            let why =
                format!("cannot tell Pods whose signature versions need (ConfigMap {TRUST}): {failure}");
            TargetError::new(failure.disposition(), failure.reason(), &why)
        })
    }

    /// Does what an API server is asked for, unless it was silent just now.
    fn ask<T>(&self, request: impl Future<Output = Result<T, TargetError>>) -> Result<T, TargetError> {
        self.runtime.block_on(self.unless_silent(request))
    }

    async fn unless_silent<T>(
        &self,
        request: impl Future<Output = Result<T, TargetError>>,
    ) -> Result<T, TargetError> {
        let silence = lock(&self.silence).clone();
        match silence.filter(|(since, _)| since.elapsed() < REST) {
            Some((_, error)) => Err(error),
            None => request.await,
        }
    }

    fn failed(&self, error: &kube::Error) -> TargetError {
        let failure = target_error(error);
        if is_silence(error) {
            *lock(&self.silence) = Some((Instant::now(), failure.clone()));
        }
        failure
    }

    async fn put(&self, object: &Object) -> Result<(), TargetError> {
        match object.id().kind {
            Kind::Environment => {
                self.write(object).await?;
                self.tell_trust().await
            }
            // Pods that come of it know whose signature was needed for it.
            Kind::Deployment => {
                self.tell_trust().await?;
                self.write(object).await
            }
            Kind::Training => self.write(object).await,
        }
    }

    async fn write(&self, object: &Object) -> Result<(), TargetError> {
        let id = object.id();
        let mut resource = resource_of(object, &self.environment);
        if id.kind == Kind::Environment
            && let Some(installation) = self.installation()
        {
            resource["metadata"]["annotations"][cache::INSTALLATION] = json!(installation);
        }
        // It is deleted as soon as it was made: the operator has to have served its model before it is gone.
        if id.kind == Kind::Deployment && is_stand_in(&id.name) {
            resource["metadata"]["finalizers"] = json!([FINALIZER]);
        }
        let wanted = Wanted {
            object,
            resource: &resource,
            environment: &self.environment,
        };
        let mut conflict = None;
        for _attempt in 0..ATTEMPTS {
            let decision = {
                let state = self.shared.state();
                decide(wanted, state.cache.known(&id), state.cache.drift())?
            };
            if decision == Decision::Leave {
                return Ok(());
            }
            match self.apply(&id, &resource, &decision).await {
                Ok(applied) => {
                    if let Decision::Apply {
                        corrects: Some(what), ..
                    } = &decision
                    {
                        tracing::info!(object = %id, what, "corrected what somebody else had changed");
                    }
                    self.shared.state().cache.take(id.kind, applied);
                    return Ok(());
                }
                Err(kube::Error::Api(status)) if status.code == 409 => conflict = Some(status),
                Err(error) => return Err(self.failed(&error)),
            }
            self.look_again(&id).await?;
        }
        Err(match conflict {
            Some(status) if is_field_conflict(&status) => {
                foreign(&format!("somebody else keeps fields of it: {}", status.message))
            }
            Some(status) => target_error(&kube::Error::Api(status)),
            None => unavailable("somebody else wrote at the same time"),
        })
    }

    async fn apply(
        &self,
        id: &ObjectId,
        resource: &Value,
        decision: &Decision,
    ) -> Result<DynamicObject, kube::Error> {
        let mut resource = resource.clone();
        let mut params = PatchParams::apply(MANAGER);
        if let Decision::Apply {
            uid,
            resource_version,
            force,
            corrects: _,
        } = decision
        {
            resource["metadata"]["uid"] = json!(uid);
            resource["metadata"]["resourceVersion"] = json!(resource_version);
            params.force = *force;
        }
        self.api(id.kind)
            .patch(id.name.as_str(), &params, &Patch::Apply(&resource))
            .await
    }

    async fn remove(&self, id: &ObjectId) -> Result<(), TargetError> {
        for _attempt in 0..ATTEMPTS {
            let Some(uid) = self.shared.state().cache.removable(id) else {
                return Ok(());
            };
            let params = DeleteParams::default().preconditions(Preconditions {
                uid: Some(uid.clone()),
                resource_version: None,
            });
            match self.api(id.kind).delete(id.name.as_str(), &params).await {
                Ok(answer) => {
                    let mut state = self.shared.state();
                    match answer.left() {
                        Some(terminating) => {
                            state.cache.take(id.kind, terminating);
                            state.cache.release(id);
                        }
                        None => state.cache.ended(id, &uid),
                    }
                    return Ok(());
                }
                Err(kube::Error::Api(status)) if matches!(status.code, 404 | 409) => {}
                Err(error) => return Err(self.failed(&error)),
            }
            self.look_again(id).await?;
        }
        Err(unavailable("it is made anew all the time by somebody else"))
    }

    /// Looks at one object, past the watch.
    async fn look_again(&self, id: &ObjectId) -> Result<(), TargetError> {
        let found = self.api(id.kind).get_opt(id.name.as_str()).await;
        let found = found.map_err(|error| self.failed(&error))?;
        let mut state = self.shared.state();
        match found {
            Some(object) => drop(state.cache.take(id.kind, object)),
            None => state.cache.absent(id),
        }
        Ok(())
    }

    async fn write_report(&self, status: &MLEnvironmentStatus) -> Result<(), TargetError> {
        let id = ObjectId::environment(&self.environment);
        let (generation, before) = {
            let state = self.shared.state();
            let Some(known) = state.cache.known(&id) else {
                return Err(TargetError::new(
                    Disposition::Waiting,
                    Reason::ClusterUnavailable,
                    "the MLEnvironment, whose status the report is, is not there yet",
                ));
            };
            (known.generation, state.cache.report().cloned())
        };
        let answered = before.as_ref().and_then(|before| before.requested_at.clone());
        let status = MLEnvironmentStatus {
            observed_generation: generation,
            requested_at: status.requested_at.clone().or(answered),
            ..status.clone()
        };
        let resource = json!({
            "apiVersion": crds::API_VERSION,
            "kind": id.kind.as_str(),
            "metadata": { "name": id.name },
            "status": status,
        });
        let params = PatchParams::apply(MANAGER).force();
        let written = self
            .api(id.kind)
            .patch_status(id.name.as_str(), &params, &Patch::Apply(&resource))
            .await;
        let written = written.map_err(|error| self.failed(&error))?;
        let metadata = written.metadata.clone();
        {
            let mut state = self.shared.state();
            state.cache.take(id.kind, written);
            *lock(&self.reported) = state.cache.report().cloned();
        }
        for said in news::between(before.as_ref(), &status) {
            let now = MicroTime(wall_clock());
            tell(&self.events, MANAGER, (id.kind.as_str(), &metadata), &said, now).await;
        }
        Ok(())
    }

    fn api(&self, kind: Kind) -> &Api<DynamicObject> {
        self.apis.get(&kind).expect("invariant: every kind is followed")
    }

    /// Waits for the first list of each kind.
    async fn listed(&self) -> Result<(), TargetError> {
        let all = async {
            loop {
                let looked = self.shared.looked.notified();
                let mut looked = std::pin::pin!(looked);
                looked.as_mut().enable();
                if let Some(known) = self.shared.is_listed() {
                    return known;
                }
                looked.await;
            }
        };
        tokio::time::timeout(LISTED_WITHIN, all)
            .await
            .unwrap_or_else(|_elapsed| Err(unavailable("the API server has not listed the objects yet")))
    }
}

impl ObjectStore for Objects {
    fn observe(&self, since: Option<Mark>) -> Result<Changes, TargetError> {
        let has_died = lock(&self.watches).try_join_next();
        assert!(has_died.is_none(), "invariant: a watch never ends: {has_died:?}");
        self.runtime.block_on(self.listed())?;
        let state = self.shared.state();
        let unheard = state
            .hearing
            .values()
            .filter_map(|hearing| hearing.failure.as_ref());
        match unheard
            .into_iter()
            .find(|(since, _)| since.elapsed() > UNHEARD_MAX)
        {
            Some((_, error)) => Err(error.clone()),
            None => Ok(state.cache.changes(since)),
        }
    }

    fn unreadable(&self) -> Vec<(ObjectId, String)> {
        let state = self.shared.state();
        let unreadable = state.cache.unreadable();
        unreadable.map(|(id, why)| (id.clone(), why.to_owned())).collect()
    }

    fn put(&self, object: &Object) -> Result<(), TargetError> {
        self.ask(self.put(object))
    }

    fn put_all(&self, objects: &[Object]) -> Vec<Result<(), TargetError>> {
        let puts = objects
            .iter()
            .map(|object| self.unless_silent(Self::put(self, object)));
        let puts = stream::iter(puts).buffered(PUTS_AT_ONCE);
        self.runtime.block_on(puts.collect())
    }

    /// An object that its operator has to drain first is there until that is done, and counts as gone from now on.
    fn delete(&self, id: &ObjectId) -> Result<(), TargetError> {
        self.ask(self.remove(id))
    }

    fn report(&self, status: &MLEnvironmentStatus) -> Result<(), TargetError> {
        self.ask(self.write_report(status))
    }
}

impl Shared {
    /// Held for memory only, never while something is asked.
    fn state(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }

    /// Says whether each kind was listed, or why not; `None` where that is not known yet.
    fn is_listed(&self) -> Option<Result<(), TargetError>> {
        let state = self.state();
        let mut is_listed = true;
        for kind in Kind::ALL {
            let hearing = state.hearing.get(&kind).cloned().unwrap_or_default();
            if !hearing.is_listed {
                if let Some((_, error)) = hearing.failure {
                    return Some(Err(error));
                }
                is_listed = false;
            }
        }
        is_listed.then_some(Ok(()))
    }

    fn hear(&self, kind: Kind, heard: Heard<'_, DynamicObject>) {
        match heard {
            Heard::Listed(objects, version) => self.listed(kind, objects, version),
            Heard::Followed => self.state().hearing.entry(kind).or_default().failure = None,
            Heard::Changed(object) => {
                let is_news = self.state().cache.take(kind, object);
                self.tell(is_news);
            }
            Heard::Gone(object) => {
                let is_news = self.state().cache.gone(kind, &object.metadata);
                self.tell(is_news);
            }
            Heard::Failed(error) => self.failed(kind, error),
        }
    }

    fn listed(&self, kind: Kind, objects: Vec<DynamicObject>, version: &str) {
        let mut state = self.state();
        let is_news = state.cache.listed(kind, objects, version);
        *state.hearing.entry(kind).or_default() = Hearing {
            is_listed: true,
            failure: None,
        };
        drop(state);
        self.looked.notify_waiters();
        self.tell(is_news);
    }

    fn failed(&self, kind: Kind, error: &kube::Error) {
        let failure = target_error(error);
        tracing::warn!(%kind, error = %failure, "cannot follow a kind; it is tried again");
        let mut state = self.state();
        let hearing = state.hearing.entry(kind).or_default();
        let since = hearing
            .failure
            .take()
            .map_or_else(Instant::now, |(since, _)| since);
        hearing.failure = Some((since, failure));
        drop(state);
        self.looked.notify_waiters();
    }

    fn tell(&self, is_news: bool) {
        if is_news {
            self.news.notify_one();
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Returns an object as the custom resource that is applied: labels, annotations and spec, each default written.
fn resource_of(object: &Object, environment: &EnvironmentName) -> Value {
    serde_json::to_value(Resource { object, environment })
        .expect("invariant: objects have text keys and cannot fail")
}

fn resource_type(kind: Kind) -> ApiResource {
    match kind {
        Kind::Environment => ApiResource::erase::<crds::MLEnvironment>(&()),
        Kind::Deployment => ApiResource::erase::<crds::MLDeployment>(&()),
        Kind::Training => ApiResource::erase::<crds::MLTrainingJob>(&()),
    }
}
