//! The one place that asks the cluster, and writes to it: an object's children, its finalizer and its status.

mod applied;

use std::sync::{Mutex, PoisonError};

use crds::{MLDeployment, MLDeploymentStatus};
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::Pod;
use kube::api::{DeleteParams, DynamicObject, ListParams, Patch, PatchParams, Preconditions};
use kube::core::{ObjectMeta, Status};
use kube::{Api, Client};
use planner::Timestamp;
use planner::memory::UnknownFormat;
use planner::names::{ModelName, ObjectName, Track};
use planner::per_track::PerTrack;
use planner::route::{Provider, Route as Declared};
use reconciler::conditions::Facts;
use registry::StoreError;
use serde_json::json;
use tokio::task::JoinError;

use super::acts::{Act, carriers};
use super::carried;
use super::child::{Child, ChildId, ChildKind};
use super::decide::FINALIZER;
use super::observe::{Deployed, Observed, Route, Unreadable};
use super::status::conflict;
use super::way::{Router, Way, refusal};
use super::{HANDOVER_MANAGER, MANAGER};
use crate::build::{TRACK, asks_for_router};
use crate::pods::stuck;

pub(crate) use applied::{Applied, Mark};

/// At how many pods of a track is looked for why it does not run.
const PODS_MAX: u32 = 50;

/// Why a step did not come to its end.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StepError {
    /// Somebody else wrote the object meanwhile: the step is decided anew.
    #[error("the object was written meanwhile")]
    Conflict,
    /// A child's name is taken.
    #[error("{child} is there and not of this object: rename one of the two, or delete it")]
    Foreign {
        /// Which.
        child: String,
    },
    /// A Deployment of the object says nothing.
    #[error(transparent)]
    Unreadable(#[from] Unreadable),
    /// The cluster refuses what is applied.
    #[error("the cluster refuses {child}: {message}")]
    Refused {
        /// Which.
        child: String,
        /// Why.
        message: String,
    },
    /// The cluster fails to make a child what it is to be.
    #[error("the cluster cannot make {child}, which is tried again: {message}")]
    Unmade {
        /// Which.
        child: String,
        /// Why.
        message: String,
    },
    /// A child's name is taken by one whose object is gone: it goes, too.
    #[error("{child} is there, of an object of the same name that is gone")]
    Leaving {
        /// Which.
        child: String,
    },
    /// No Job can be made of a run.
    #[error("no run can start: {0}")]
    Unstartable(String),
    /// A later program has written the object's memory.
    #[error("its memory {0}")]
    Later(#[from] UnknownFormat),
    /// The registry cannot be read.
    #[error("the registry cannot be read; until it can, all stays as it is: {0}")]
    Registry(#[from] Box<StoreError>),
    /// What looks into the registry died, which is a bug.
    #[error("a look into the registry died: {0}")]
    Died(#[from] JoinError),
    /// The cluster does not answer, or not now.
    #[error("the cluster cannot be asked: {0}")]
    Ask(#[source] Box<kube::Error>),
}

impl From<kube::Error> for StepError {
    fn from(error: kube::Error) -> Self {
        Self::Ask(Box::new(error))
    }
}

impl StepError {
    /// Returns what is told of the object, where the step cannot be left to be tried again in silence.
    pub(crate) fn told(&self) -> Option<Facts> {
        let stalled = |reason| Some(Facts::stalled(reason, self.to_string()));
        match self {
            Self::Foreign { .. } => stalled("ForeignChild"),
            Self::Unreadable(_) => stalled("UnreadableChild"),
            Self::Refused { .. } => stalled("ChildRefused"),
            Self::Unstartable(_) => stalled("Unstartable"),
            Self::Unmade { .. } => Some(Facts::Reconciling("ChildNotMade", self.to_string())),
            Self::Registry(_) => Some(Facts::Reconciling("RegistryUnreadable", self.to_string())),
            Self::Conflict | Self::Leaving { .. } | Self::Later(_) | Self::Died(_) | Self::Ask(_) => None,
        }
    }
}

/// A namespace of a cluster.
pub(crate) struct Cluster {
    client: Client,
    namespace: String,
    applied: Mutex<Applied>,
}

impl Cluster {
    pub(crate) fn new(client: Client, namespace: &str) -> Self {
        Self {
            client,
            namespace: namespace.to_owned(),
            applied: Mutex::new(Applied::default()),
        }
    }

    pub(crate) fn client(&self) -> Client {
        self.client.clone()
    }

    pub(crate) fn objects(&self) -> Api<MLDeployment> {
        Api::namespaced(self.client.clone(), &self.namespace)
    }

    pub(crate) fn children(&self, kind: ChildKind) -> Api<DynamicObject> {
        Api::namespaced_with(self.client.clone(), &self.namespace, &kind.resource())
    }

    fn applied(&self) -> std::sync::MutexGuard<'_, Applied> {
        self.applied.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes in what a child was seen to hold, or that it is gone: what somebody else did is done over.
    pub(crate) fn saw(&self, object: &ObjectName, child: &ChildId, seen: Option<&Mark>) {
        self.applied().saw(object, child, seen);
    }

    /// Returns when this process gave requests of an object another way last.
    pub(crate) fn routed_at(&self, object: &ObjectName) -> Option<Timestamp> {
        self.applied().routed_at(object)
    }

    /// Forgets what was applied for an object that is gone.
    pub(crate) fn forget(&self, object: &ObjectName) {
        self.applied().forget(object);
    }

    /// Looks at the children that decisions depend on.
    pub(crate) async fn observe(
        &self,
        object: &MLDeployment,
        declared: Option<&Declared>,
    ) -> Result<Observed, StepError> {
        let name = object.metadata.name.clone().unwrap_or_default();
        let deployed = PerTrack {
            stable: self.deployed(object, &name, Track::Stable).await?,
            canary: self.deployed(object, &name, Track::Canary).await?,
        };
        let stuck = PerTrack {
            stable: self.stuck(&name, Track::Stable, deployed.stable.as_ref()).await?,
            canary: self.stuck(&name, Track::Canary, deployed.canary.as_ref()).await?,
        };
        let (route, calls, way) = self.routes(object, &name, declared).await?;
        Ok(Observed {
            deployed,
            stuck,
            route,
            calls,
            way,
            routed_at: name.parse().ok().and_then(|name| self.routed_at(&name)),
        })
    }

    /// Returns the model of the pods of an object, where it has any.
    pub(crate) async fn served_model(&self, object: &MLDeployment) -> Result<Option<ModelName>, StepError> {
        let name = object.metadata.name.clone().unwrap_or_default();
        let stable = self.deployed(object, &name, Track::Stable).await?;
        Ok(stable.map(|stable| stable.model))
    }

    async fn deployed(
        &self,
        object: &MLDeployment,
        name: &str,
        track: Track,
    ) -> Result<Option<Deployed>, StepError> {
        let deployments: Api<Deployment> = Api::namespaced(self.client.clone(), &self.namespace);
        let name = format!("{name}-{track}");
        let Some(found) = deployments.get_opt(&name).await? else {
            return Ok(None);
        };
        if !is_owned(&found.metadata, object) {
            let child = format!("Deployment {name}");
            return Err(StepError::Foreign { child });
        }
        // What goes is gone for what is decided: its pods end by themselves.
        if found.metadata.deletion_timestamp.is_some() {
            return Ok(None);
        }
        Ok(Some(Deployed::read(&found)?))
    }

    /// Looks why a track's newest pod does not run, where the track is not as it is wanted.
    async fn stuck(
        &self,
        name: &str,
        track: Track,
        deployed: Option<&Deployed>,
    ) -> Result<Option<String>, StepError> {
        if deployed.is_none_or(Deployed::is_complete) {
            return Ok(None);
        }
        self.stuck_pod(&format!("app={name},{TRACK}={track}")).await
    }

    /// Looks why the newest of the pods with these labels does not run.
    async fn stuck_pod(&self, labels: &str) -> Result<Option<String>, StepError> {
        let pods: Api<Pod> = Api::namespaced(self.client.clone(), &self.namespace);
        let params = ListParams::default().labels(labels).limit(PODS_MAX);
        let pods = pods.list(&params).await?.items;
        let stuck = pods.iter().filter_map(|pod| {
            let made = pod.metadata.creation_timestamp.as_ref().map(|time| time.0);
            Some((made, pod.metadata.name.as_deref(), stuck(pod)?))
        });
        Ok(stuck.max().map(|(_, _, why)| why))
    }

    /// Looks at what carries requests, at what carries calls by gRPC where these have a route of their own, and at whether
    /// either comes through.
    async fn routes(
        &self,
        object: &MLDeployment,
        name: &str,
        declared: Option<&Declared>,
    ) -> Result<(Route, Option<Route>, Way), StepError> {
        let provider = declared.map(|route| route.provider).unwrap_or_default();
        let mut way = Way::default();
        let Some(place) = carried::place(provider, name) else {
            return Ok((Route::None, None, way));
        };
        if provider == Provider::Aurora {
            way.router = self.router(&place.name, name).await?;
        }
        let route = self.route(object, name, &place, &mut way).await?;
        let takes_calls = declared.is_some_and(|route| route.grpc.is_some());
        let calls = match carried::place_of_calls(provider, name).filter(|_| takes_calls) {
            Some(place) => Some(self.route(object, name, &place, &mut way).await?),
            None => None,
        };
        Ok((route, calls, way))
    }

    /// Looks at one route, and adds to the way what is seen there.
    async fn route(
        &self,
        object: &MLDeployment,
        name: &str,
        place: &ChildId,
        way: &mut Way,
    ) -> Result<Route, StepError> {
        let found = match self.children(place.kind).get(&place.name).await {
            Ok(found) => found,
            Err(kube::Error::Api(status)) if is_unknown_kind(&status) => return Ok(Route::Unknown),
            Err(kube::Error::Api(status)) if status.code == 404 => return Ok(Route::None),
            Err(error) => return Err(error.into()),
        };
        if !is_owned(&found.metadata, object) {
            let child = place.to_string();
            return Err(StepError::Foreign { child });
        }
        let created = found.metadata.creation_timestamp.as_ref();
        let created = created.and_then(|at| Timestamp::from_timestamp(at.0.as_second(), 0));
        way.since = way.since.max(created);
        if let ChildKind::HttpRoute | ChildKind::GrpcRoute = place.kind {
            let refused = serde_json::to_value(&found).ok().as_ref().and_then(refusal);
            way.refusal = way.refusal.take().or(refused);
        }
        // The canary's share stands in an Ingress of its own.
        let of_canary = match place.kind {
            ChildKind::Ingress => {
                let canary = format!("{}-canary", place.name);
                self.children(place.kind).get_opt(&canary).await?
            }
            _ => Some(found),
        };
        let document = of_canary.map(serde_json::to_value).transpose();
        let document = document.ok().flatten().unwrap_or_default();
        Ok(Route::At(carried::weight(place.kind, name, &document)))
    }

    /// Looks at a model's own router.
    async fn router(&self, deployment: &str, name: &str) -> Result<Router, StepError> {
        let deployments: Api<Deployment> = Api::namespaced(self.client.clone(), &self.namespace);
        let found = deployments.get_opt(deployment).await?;
        let ready = found
            .as_ref()
            .and_then(|found| found.status.as_ref()?.ready_replicas);
        if ready.unwrap_or_default() > 0 {
            return Ok(Router::Ready);
        }
        let why = match found {
            Some(_) => self.stuck_pod(&asks_for_router(name)).await?,
            None => None,
        };
        Ok(Router::Starting(why))
    }

    /// Does what was decided, in its order. Returns whether anything was written. `moves_requests` says whether another
    /// share of them is the canary's then.
    pub(crate) async fn carry_out(
        &self,
        object: &MLDeployment,
        name: &ObjectName,
        acts: Vec<Act>,
        moves_requests: bool,
        clock: fn() -> Timestamp,
    ) -> Result<bool, StepError> {
        let carriers = carriers(name);
        let mut has_written = false;
        for act in acts {
            let is_carrier = act.child().is_some_and(|child| carriers.contains(child));
            let is_written = match act {
                Act::Apply(child) => self.apply(object, name, child, clock).await?,
                Act::HandOver { deployment, replicas } => self.hand_over(&deployment, replicas).await?,
                Act::Delete(child) => self.delete(object, name, child).await?,
            };
            if is_written && is_carrier && moves_requests {
                self.applied().routed(name, clock());
            }
            has_written |= is_written;
        }
        Ok(has_written)
    }

    async fn apply(
        &self,
        object: &MLDeployment,
        name: &ObjectName,
        child: Child,
        clock: fn() -> Timestamp,
    ) -> Result<bool, StepError> {
        if self.applied().is_applied(name, &child, clock()) {
            return Ok(false);
        }
        let children = self.children(child.id.kind);
        let before = children.get_metadata_opt(&child.id.name).await?;
        if let Some(before) = &before
            && !is_owned(&before.metadata, object)
        {
            let child = child.id.to_string();
            return Err(StepError::Foreign { child });
        }
        let params = PatchParams::apply(MANAGER).force();
        let patched = children
            .patch(&child.id.name, &params, &Patch::Apply(&child.document))
            .await;
        let patched = patched.map_err(|error| refused(&child.id, error))?;
        let mark = Mark::of(&patched);
        let version = patched.metadata.resource_version;
        let is_changed = before.and_then(|before| before.metadata.resource_version) != version;
        self.applied().applied(name, &child, Some(mark), clock());
        Ok(is_changed)
    }

    /// Lets the number of replicas be another manager's, so that it stays what it is once the operator does not name it.
    async fn hand_over(&self, deployment: &str, replicas: u32) -> Result<bool, StepError> {
        let resource = ChildKind::Deployment.resource();
        let document = json!({
            "apiVersion": resource.api_version, "kind": resource.kind,
            "metadata": { "name": deployment }, "spec": { "replicas": replicas },
        });
        let params = PatchParams::apply(HANDOVER_MANAGER).force();
        let children = self.children(ChildKind::Deployment);
        children
            .patch(deployment, &params, &Patch::Apply(&document))
            .await?;
        Ok(true)
    }

    async fn delete(
        &self,
        object: &MLDeployment,
        name: &ObjectName,
        child: ChildId,
    ) -> Result<bool, StepError> {
        if self.applied().is_absent(name, &child) {
            return Ok(false);
        }
        let children = self.children(child.kind);
        let found = match children.get_metadata_opt(&child.name).await {
            Err(kube::Error::Api(status)) if is_unknown_kind(&status) => None,
            found => found?,
        };
        let found = found.filter(|found| is_owned(&found.metadata, object));
        let is_there = found.is_some();
        if let Some(found) = found {
            let params = DeleteParams {
                preconditions: Some(Preconditions {
                    uid: found.metadata.uid,
                    resource_version: None,
                }),
                ..DeleteParams::background()
            };
            match children.delete(&child.name, &params).await {
                Err(kube::Error::Api(status)) if status.code == 404 || status.code == 409 => {}
                deleted => drop(deleted?),
            }
        }
        self.applied().absent(name, &child);
        Ok(is_there)
    }

    /// Sets or takes away the finalizer. Returns the object as it is then.
    pub(crate) async fn finalize(
        &self,
        object: &MLDeployment,
        is_kept: bool,
    ) -> Result<MLDeployment, StepError> {
        let mut finalizers = object.metadata.finalizers.clone().unwrap_or_default();
        finalizers.retain(|finalizer| finalizer != FINALIZER);
        if is_kept {
            finalizers.push(FINALIZER.to_owned());
        }
        let patch = json!({ "metadata": {
            "resourceVersion": object.metadata.resource_version, "finalizers": finalizers,
        } });
        let name = object.metadata.name.as_deref().unwrap_or_default();
        let params = PatchParams {
            field_manager: Some(MANAGER.to_owned()),
            ..PatchParams::default()
        };
        let patched = self.objects().patch(name, &params, &Patch::Merge(&patch)).await;
        patched.map_err(conflict)
    }

    /// Takes an annotation away.
    pub(crate) async fn clear(
        &self,
        object: &MLDeployment,
        annotation: &str,
    ) -> Result<MLDeployment, StepError> {
        let patch = json!({ "metadata": {
            "resourceVersion": object.metadata.resource_version, "annotations": { annotation: null },
        } });
        let name = object.metadata.name.as_deref().unwrap_or_default();
        let patched = self
            .objects()
            .patch(name, &PatchParams::default(), &Patch::Merge(&patch))
            .await;
        patched.map_err(conflict)
    }

    /// Writes an object's status, unless it says so already or somebody else has written the object.
    pub(crate) async fn report(
        &self,
        object: &MLDeployment,
        status: &MLDeploymentStatus,
    ) -> Result<bool, StepError> {
        let statuses = (object.status.as_ref(), status);
        super::status::report(&self.objects(), &object.metadata, statuses).await
    }
}

/// Sorts out why a child is not as it is to be. A quota, somebody who admits, a server that has no address left: what they
/// say is for a person. One that is busy or away says nothing of the child.
fn refused(child: &ChildId, error: kube::Error) -> StepError {
    let child = child.to_string();
    match error {
        kube::Error::Api(status) if matches!(status.code, 400 | 403 | 422) => StepError::Refused {
            child,
            message: status.message.clone(),
        },
        kube::Error::Api(status) if status.code == 500 => StepError::Unmade {
            child,
            message: status.message.clone(),
        },
        error => error.into(),
    }
}

/// Says whether the server does not know the kind at all.
fn is_unknown_kind(status: &Status) -> bool {
    status.code == 404
        && status
            .details
            .as_ref()
            .is_none_or(|details| details.name.is_empty())
}

fn is_owned(metadata: &ObjectMeta, object: &MLDeployment) -> bool {
    let owners = metadata.owner_references.iter().flatten();
    owners
        .into_iter()
        .any(|owner| Some(&owner.uid) == object.metadata.uid.as_ref())
}

#[cfg(test)]
mod tests {
    use crds::status::ConditionStatus;

    use super::*;

    fn check(code: u16, expected: Option<&str>) {
        let status = Status {
            code,
            message: "its words".to_owned(),
            ..Status::default()
        };
        let child = ChildId::new(ChildKind::Service, "iris-stable");
        let error = refused(&child, kube::Error::Api(Box::new(status)));
        let told = error.told().and_then(|facts| {
            let conditions = facts.conditions(&[], Timestamp::UNIX_EPOCH);
            let held = conditions
                .iter()
                .find(|held| held.status == ConditionStatus::True)?;
            Some(format!("{}/{}: {}", held.kind, held.reason, held.message))
        });
        assert_eq!(told.as_deref(), expected, "{code}");
    }

    #[test]
    fn what_a_server_says_of_a_child_is_told_and_that_it_is_busy_is_not() {
        let refused = "Stalled/ChildRefused: the cluster refuses Service iris-stable: its words";
        for code in [400, 403, 422] {
            check(code, Some(refused));
        }
        let unmade = "Reconciling/ChildNotMade: the cluster cannot make Service iris-stable, which is tried again: its words";
        check(500, Some(unmade));
        for code in [404, 409, 429, 503, 504] {
            check(code, None);
        }
    }
}
