//! Makes a namespace follow its MLDeployments: watches say whom to step, and a step does what the planner decides.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};

use crds::MLDeployment;
use crds::convert::read_deployment_object;
use futures_util::future::join_all;
use kube::Client;
use kube::api::DynamicObject;
use planner::Timestamp;
use planner::names::{Digest, ModelName, ObjectName};
use planner::object::Kind;
use planner::rollout::TrackAction;
use reconciler::conditions::Facts;
use registry::Observer;
use tokio::task::JoinSet;

use super::child::{ChildId, ChildKind};
use super::cluster::{Cluster, Mark, StepError};
use super::decide::{self, Decided, Other, Seen, decide};
use super::index::Index;
use super::observe::Observed;
use super::run::{Loop, OURS, Stepped, Steps, cannot_follow};
use super::{acts, events};
use crate::build::serving::Model;
use crate::build::{Installation, Owner};
use crate::events::Said;
use crate::watch::{Heard, follow as follow_kind};

/// Where an abort is asked for, and remembered.
const ABORT: &str = "aurora.io/abort";

/// What steps the MLDeployments of a namespace.
pub(super) struct Deployments {
    cluster: Cluster,
    installation: Installation,
    registry: Observer,
    index: Mutex<Index>,
    /// Since when objects are asked to leave their model.
    leaving: Mutex<BTreeMap<ObjectName, Timestamp>>,
    clock: fn() -> Timestamp,
    /// Since when this process steps: what was done before was done by then.
    began: Timestamp,
}

impl Steps for Deployments {
    const KIND: &'static str = "MLDeployment";

    /// Steps one MLDeployment.
    async fn step(&self, name: &ObjectName) -> Result<Stepped, StepError> {
        let Some(object) = self.cluster.objects().get_opt(name.as_str()).await? else {
            self.cluster.forget(name);
            self.leaves_since(name, false);
            return Ok(Stepped::default());
        };
        match self.step_object(name, &object).await {
            Err(error) => {
                if let Some(facts) = error.told() {
                    self.tell_trouble(&object, facts).await?;
                }
                Err(error)
            }
            stepped => stepped,
        }
    }
}

impl Deployments {
    pub(super) fn new(
        client: Client,
        installation: Installation,
        registry: Observer,
        clock: fn() -> Timestamp,
    ) -> Self {
        Self {
            cluster: Cluster::new(client, &installation.namespace),
            installation,
            registry,
            index: Mutex::new(Index::default()),
            leaving: Mutex::new(BTreeMap::new()),
            clock,
            began: clock(),
        }
    }

    fn index(&self) -> std::sync::MutexGuard<'_, Index> {
        self.index.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn step_object(&self, name: &ObjectName, object: &MLDeployment) -> Result<Stepped, StepError> {
        let read = read_deployment_object(object);
        let declared = read.as_ref().ok().and_then(|read| read.spec.route.as_deref());
        let observed = self.cluster.observe(object, declared).await?;
        let model = decide::turned_from(object, &observed).unwrap_or(&object.spec.model_name);
        let is_turned = *model != object.spec.model_name;
        let others = self.others(name, model).await?;
        let seen = Seen {
            name,
            object,
            observed: &observed,
            others: &others,
            kept_abort: self.kept_abort(object, &observed).await?,
            leaves_since: self.leaves_since(name, is_turned),
        };
        let decided = decide(&seen, (self.clock)());
        let mut object = object.clone();
        let is_finalized = decide::is_finalized(&object);
        let is_deleted = object.metadata.deletion_timestamp.is_some();
        let mut has_written = false;
        if decided.is_kept && !is_finalized && !is_deleted {
            object = self.cluster.finalize(&object, true).await?;
            has_written = true;
        }
        if let Some(step) = &decided.step {
            let owner = Owner {
                kind: Kind::Deployment,
                name: name.clone(),
                uid: object.metadata.uid.clone().unwrap_or_default(),
            };
            let target = decided.object.as_ref().map(|object| {
                let model = Model {
                    installation: &self.installation,
                    owner: &owner,
                    spec: &object.spec,
                };
                (model, object)
            });
            let target = target.as_ref().map(|(model, object)| (model, *object));
            let acts = acts::acts(name, target, &observed, &decided.tracks, step);
            let moves_requests = decide::moves_requests(&decided.tracks, step);
            has_written |= self
                .cluster
                .carry_out(&object, name, acts, moves_requests, self.clock)
                .await?;
            if step.actions.contains(&TrackAction::ClearAbort) {
                object = self.cluster.clear(&object, ABORT).await?;
            }
        }
        self.report(&object, &decided).await?;
        if !decided.is_kept && is_finalized {
            self.let_go(name, &decided).await?;
        }
        Ok(Stepped {
            has_written,
            wake: decided.wake,
        })
    }

    /// Looks into the registry's history for an abort that an object may have lost. Where the registry cannot be read, the
    /// object is left as it is: to go on might expose a canary that somebody aborted.
    async fn kept_abort(
        &self,
        object: &MLDeployment,
        observed: &Observed,
    ) -> Result<Option<Digest>, StepError> {
        let Some(canary) = decide::forgotten(object, observed) else {
            return Ok(None);
        };
        let (registry, model) = (self.registry.clone(), object.spec.model_name.clone());
        let registered = tokio::task::spawn_blocking(move || registry.observe(&model)).await?;
        let registered = registered.map_err(Box::new)?;
        Ok(registered.aborted.contains(&canary).then_some(canary))
    }

    /// Writes the status, and an event where it is news.
    async fn report(&self, object: &MLDeployment, decided: &Decided) -> Result<(), StepError> {
        if self.cluster.report(object, &decided.status).await? {
            let events = events::between(object.status.as_ref(), &decided.status);
            self.tell(object, events).await;
        }
        Ok(())
    }

    /// Takes the finalizer away: what there was to drain is drained, or was given up.
    async fn let_go(&self, name: &ObjectName, decided: &Decided) -> Result<(), StepError> {
        let Some(object) = self.cluster.objects().get_opt(name.as_str()).await? else {
            return Ok(());
        };
        if decided.is_given_up {
            self.tell(&object, vec![events::given_up()]).await;
        }
        if decide::is_finalized(&object) {
            self.cluster.finalize(&object, false).await?;
        }
        Ok(())
    }

    /// Says in the status, and by an event where it is news, why a step came to nothing.
    async fn tell_trouble(&self, object: &MLDeployment, facts: Facts) -> Result<(), StepError> {
        let old = object.status.clone().unwrap_or_default();
        let status = crds::MLDeploymentStatus {
            observed_generation: object.metadata.generation,
            conditions: facts.conditions(&old.conditions, (self.clock)()),
            ..old
        };
        if self.cluster.report(object, &status).await? {
            let events = events::between(object.status.as_ref(), &status);
            self.tell(object, events).await;
        }
        Ok(())
    }

    async fn tell(&self, object: &MLDeployment, events: Vec<Said>) {
        for said in events {
            events::tell(&self.cluster.client(), object, &said, (self.clock)()).await;
        }
    }

    /// Looks at the other objects that are about a model.
    async fn others(&self, name: &ObjectName, model: &ModelName) -> Result<Vec<Other>, StepError> {
        let names = self.index().of(model);
        let mut others = Vec::new();
        for other in names.into_iter().filter(|other| other != name) {
            let Some(found) = self.cluster.objects().get_opt(other.as_str()).await? else {
                continue;
            };
            if found.spec.model_name != *model {
                continue;
            }
            // One that has turned to the model may still serve another, which is what its memory is about until it has pods
            // of this one.
            let served = self.cluster.served_model(&found).await?;
            let status = found.status.filter(|_| served.as_ref() == Some(model));
            others.push(Other {
                routed_at: self.cluster.routed_at(&other).unwrap_or(self.began),
                name: other,
                is_leaving: found.metadata.deletion_timestamp.is_some(),
                status: status.and_then(|status| status.memory),
            });
        }
        Ok(others)
    }

    /// Remembers since when an object leaves its model.
    fn leaves_since(&self, name: &ObjectName, leaves: bool) -> Option<Timestamp> {
        let mut leaving = self.leaving.lock().unwrap_or_else(PoisonError::into_inner);
        if !leaves {
            leaving.remove(name);
            return None;
        }
        Some(*leaving.entry(name.clone()).or_insert_with(self.clock))
    }

    /// Takes in what a watch tells of the objects, and returns whom to step.
    fn hear_object(&self, heard: Heard<'_, MLDeployment>) -> BTreeSet<ObjectName> {
        let mut touched = BTreeSet::new();
        let mut index = self.index();
        match heard {
            Heard::Listed(objects, _version) => {
                let listed: BTreeMap<ObjectName, MLDeployment> =
                    objects.into_iter().filter_map(named).collect();
                for gone in index.all().iter().filter(|known| !listed.contains_key(*known)) {
                    touched.extend(index.set(gone, None));
                }
                for (name, object) in &listed {
                    touched.extend(index.set(name, Some(&object.spec.model_name)));
                }
            }
            Heard::Changed(object) => {
                if let Some((name, object)) = named(object) {
                    touched.extend(index.set(&name, Some(&object.spec.model_name)));
                }
            }
            Heard::Gone(object) => {
                if let Some((name, _)) = named(object) {
                    touched.extend(index.set(&name, None));
                }
            }
            Heard::Followed => {}
            Heard::Failed(error) => cannot_follow("MLDeployment", error),
        }
        touched
    }

    /// Takes in what a watch tells of children, and returns whom to step.
    fn hear_child(&self, kind: ChildKind, heard: Heard<'_, DynamicObject>) -> Vec<ObjectName> {
        match heard {
            // The first look at an object applies all its children anyway; a later list follows a gap.
            Heard::Listed(children, _version) => {
                let owners = children.iter().filter_map(|child| self.saw(kind, child, true));
                owners.collect()
            }
            Heard::Changed(child) => self.saw(kind, &child, true).into_iter().collect(),
            Heard::Gone(child) => self.saw(kind, &child, false).into_iter().collect(),
            Heard::Followed => Vec::new(),
            // A cluster need not know the kind: steps say what that means.
            Heard::Failed(kube::Error::Api(status)) if status.code == 404 => Vec::new(),
            Heard::Failed(error) => {
                cannot_follow(&kind.resource().kind, error);
                Vec::new()
            }
        }
    }

    /// Takes in a child, and returns whose it is.
    fn saw(&self, kind: ChildKind, child: &DynamicObject, is_there: bool) -> Option<ObjectName> {
        let owners = child.metadata.owner_references.as_ref()?;
        let owner = owners.iter().find(|owner| owner.kind == "MLDeployment")?;
        let owner: ObjectName = owner.name.parse().ok()?;
        let id = ChildId::new(kind, child.metadata.name.clone()?);
        let seen = is_there.then(|| Mark::of(child));
        self.cluster.saw(&owner, &id, seen.as_ref());
        Some(owner)
    }
}

/// Follows them and their children for ever.
pub(super) async fn follow(looping: &Arc<Loop<Deployments>>, steps: &mut JoinSet<()>) {
    let cluster = &looping.steps.cluster;
    let objects = follow_kind(cluster.objects(), None, |heard| {
        looping.touch(looping.steps.hear_object(heard));
    });
    let children = ChildKind::ALL.map(|kind| {
        let hear =
            move |heard: Heard<'_, DynamicObject>| looping.touch(looping.steps.hear_child(kind, heard));
        follow_kind(cluster.children(kind), Some(OURS), hear)
    });
    tokio::join!(objects, join_all(children), looping.step_all(steps));
}

fn named(object: MLDeployment) -> Option<(ObjectName, MLDeployment)> {
    let name = object.metadata.name.as_ref()?.parse().ok()?;
    Some((name, object))
}
