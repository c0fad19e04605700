//! Makes a namespace follow its MLDeployments: what the planner decides, done to Deployments, Services and routes.
//!
//! ```text
//! watch ──> queue ──> GET object ──> observe children ──> decide (pure) ──> acts (pure) ──> apply ──> status
//!             ▲                                                                              │
//!             └──────────────────────────── wake, again soon, back-off ◄─────────────────────┘
//! ```
//!
//! A step begins with the object as it is now and ends with its status at the version that it began with: where somebody
//! else wrote meanwhile, the step is dropped and decided anew. Its whole memory is that status. Nothing waits inside a step;
//! an object that fails is tried again after a back-off of its own and delays no other.

mod acts;
mod carried;
mod child;
mod cluster;
mod decide;
mod events;
mod index;
mod lead;
mod observe;
mod queue;
pub mod release;
mod run;

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use crds::MLDeployment;
use crds::convert::read_deployment_object;
use kube::Client;
use planner::Timestamp;
use planner::names::ObjectName;
use planner::object::Kind;
use planner::rollout::TrackAction;
use reconciler::conditions::Facts;

use crate::build::serving::Model;
use crate::build::{Installation, Owner};
use cluster::{Cluster, StepError};
use decide::{Decided, Other, Seen, decide};
use index::Index;

pub(crate) use decide::FINALIZER;
pub use lead::{Ended, Options, lead};
pub use run::{Health, run};

/// The field manager of children and statuses.
pub const MANAGER: &str = "aurora-operator";
/// The field manager that holds a Deployment's number of replicas until an autoscaler does.
const HANDOVER_MANAGER: &str = "aurora-operator-handover";
/// Where an abort is asked for, and remembered.
const ABORT: &str = "aurora.io/abort";

/// What steps one namespace.
struct Operator {
    cluster: Cluster,
    installation: Installation,
    index: Mutex<Index>,
    /// Since when objects are asked to leave their model.
    leaving: Mutex<BTreeMap<ObjectName, Timestamp>>,
    clock: fn() -> Timestamp,
    /// Since when this process steps: what was done before was done by then.
    began: Timestamp,
}

/// What a step came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Stepped {
    /// Whether something was written, so that the next step looks at what came of it.
    has_written: bool,
    /// When to step again although nothing happens.
    wake: Option<Timestamp>,
}

impl Operator {
    fn new(client: Client, installation: Installation, clock: fn() -> Timestamp) -> Self {
        Self {
            cluster: Cluster::new(client, &installation.namespace),
            installation,
            index: Mutex::new(Index::default()),
            leaving: Mutex::new(BTreeMap::new()),
            clock,
            began: clock(),
        }
    }

    fn index(&self) -> std::sync::MutexGuard<'_, Index> {
        self.index.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Steps one MLDeployment.
    async fn step(&self, name: &ObjectName) -> Result<Stepped, StepError> {
        let Some(object) = self.cluster.objects().get_opt(name.as_str()).await? else {
            self.cluster.forget(name);
            self.leaves_since(name, false);
            return Ok(Stepped::default());
        };
        match self.step_object(name, &object).await {
            Err(error) if error.stalls().is_some() => {
                self.stall(&object, &error).await?;
                Err(error)
            }
            stepped => stepped,
        }
    }

    async fn step_object(&self, name: &ObjectName, object: &MLDeployment) -> Result<Stepped, StepError> {
        let read = read_deployment_object(object);
        let route = read.as_ref().ok().and_then(|read| read.spec.route.as_ref());
        let provider = route.map(|route| route.provider).unwrap_or_default();
        let observed = self.cluster.observe(object, provider).await?;
        let model = decide::turned_from(object, &observed).unwrap_or(&object.spec.model_name);
        let is_turned = *model != object.spec.model_name;
        let others = self.others(name, model).await?;
        let seen = Seen {
            name,
            object,
            observed: &observed,
            others: &others,
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

    /// Says in the status what a person must mend.
    async fn stall(&self, object: &MLDeployment, error: &StepError) -> Result<(), StepError> {
        let old = object.status.clone().unwrap_or_default();
        let facts = Facts::stalled(error.stalls().unwrap_or_default(), error.to_string());
        let status = crds::MLDeploymentStatus {
            observed_generation: object.metadata.generation,
            conditions: facts.conditions(&old.conditions, (self.clock)()),
            ..old
        };
        self.cluster.report(object, &status).await.map(drop)
    }

    async fn tell(&self, object: &MLDeployment, events: Vec<events::Said>) {
        for said in events {
            events::tell(&self.cluster.client(), object, &said, (self.clock)()).await;
        }
    }

    /// Looks at the other objects that are about a model.
    async fn others(
        &self,
        name: &ObjectName,
        model: &planner::names::ModelName,
    ) -> Result<Vec<Other>, StepError> {
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
}
