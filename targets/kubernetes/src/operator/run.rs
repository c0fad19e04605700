//! The loop: what watches tell is stepped, so many objects at a time; it ends when it is told to, with no step cut off.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crds::MLDeployment;
use futures_util::future::join_all;
use kube::api::DynamicObject;
use kube::{Api, Client};
use planner::Timestamp;
use planner::names::ObjectName;
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio::time::sleep;

use super::child::{ChildId, ChildKind};
use super::cluster::StepError;
use super::queue::{Outcome, Queue};
use super::{Operator, Stepped};
use crate::build::Installation;
use crate::leadership::{Moment, now};
use crate::watch::{Heard, follow};

/// How many objects are stepped at a time.
const CONCURRENCY: usize = 16;
/// How soon is looked at what was written.
const AGAIN: Duration = Duration::from_millis(200);
/// How often each object is stepped although nothing happens, whatever a watch missed.
const RESYNC: Duration = Duration::from_mins(10);
/// What the children of this operator are found by.
const OURS: &str = "app.kubernetes.io/managed-by=aurora-operator";

/// What is told of the loop, for metrics.
#[derive(Debug, Default)]
pub struct Health {
    steps: AtomicU64,
    failures: AtomicU64,
}

impl Health {
    /// Returns how many steps came to their end.
    pub fn steps(&self) -> u64 {
        self.steps.load(Ordering::Relaxed)
    }

    /// Returns how many steps failed.
    pub fn failures(&self) -> u64 {
        self.failures.load(Ordering::Relaxed)
    }
}

/// Makes a namespace follow its MLDeployments until `stop` comes; the steps under way are let come to their end.
///
/// `client` writes only while this replica leads.
pub async fn run(
    client: Client,
    installation: Installation,
    clock: fn() -> Timestamp,
    health: Arc<Health>,
    stop: impl Future<Output = ()>,
) {
    let namespace = installation.namespace.clone();
    let looping = Arc::new(Loop {
        operator: Operator::new(client.clone(), installation, clock),
        queue: Mutex::new(Queue::new()),
        news: Notify::new(),
        health,
    });
    let objects: Api<MLDeployment> = Api::namespaced(client.clone(), &namespace);
    let heard_objects = follow(objects, None, |heard| looping.hear_object(heard));
    let children = ChildKind::ALL.map(|kind| {
        let looping = Arc::clone(&looping);
        let api: Api<DynamicObject> = Api::namespaced_with(client.clone(), &namespace, &kind.resource());
        async move { follow(api, Some(OURS), |heard| looping.hear_child(kind, heard)).await }
    });
    let mut steps = JoinSet::new();
    tokio::select! {
        () = stop => {}
        () = heard_objects => {}
        _ = join_all(children) => {}
        () = looping.step_all(&mut steps) => {}
    }
    while steps.join_next().await.is_some() {}
}

struct Loop {
    operator: Operator,
    queue: Mutex<Queue<ObjectName>>,
    news: Notify,
    health: Arc<Health>,
}

impl Loop {
    fn queue(&self) -> MutexGuard<'_, Queue<ObjectName>> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn touch(&self, names: impl IntoIterator<Item = ObjectName>) {
        let mut queue = self.queue();
        for name in names {
            queue.touch(&name, now());
        }
        drop(queue);
        self.news.notify_one();
    }

    fn hear_object(&self, heard: Heard<'_, MLDeployment>) {
        let mut touched = BTreeSet::new();
        let mut index = self.operator.index();
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
        drop(index);
        self.touch(touched);
    }

    fn hear_child(&self, kind: ChildKind, heard: Heard<'_, DynamicObject>) {
        match heard {
            // The first look at an object applies all its children anyway; a later list follows a gap.
            Heard::Listed(children, _version) => {
                let owners: Vec<ObjectName> = children
                    .iter()
                    .filter_map(|child| self.saw(kind, child, true))
                    .collect();
                self.touch(owners);
            }
            Heard::Changed(child) => self.touch(self.saw(kind, &child, true)),
            Heard::Gone(child) => self.touch(self.saw(kind, &child, false)),
            Heard::Followed => {}
            // A cluster need not know the kind: steps say what that means.
            Heard::Failed(kube::Error::Api(status)) if status.code == 404 => {}
            Heard::Failed(error) => cannot_follow(&kind.resource().kind, error),
        }
    }

    /// Takes in a child, and returns whose it is.
    fn saw(&self, kind: ChildKind, child: &DynamicObject, is_there: bool) -> Option<ObjectName> {
        let owners = child.metadata.owner_references.as_ref()?;
        let owner = owners.iter().find(|owner| owner.kind == "MLDeployment")?;
        let owner: ObjectName = owner.name.parse().ok()?;
        let id = ChildId::new(kind, child.metadata.name.clone()?);
        let version = child.metadata.resource_version.as_deref().filter(|_| is_there);
        self.operator.cluster.saw(&owner, &id, version);
        Some(owner)
    }

    /// Steps whatever is due, for ever.
    async fn step_all(self: &Arc<Self>, steps: &mut JoinSet<()>) {
        loop {
            let free = CONCURRENCY.saturating_sub(steps.len());
            let due = self.queue().take(free, now());
            for name in due {
                let looping = Arc::clone(self);
                steps.spawn(async move { looping.step(name).await });
            }
            let next = self.queue().next().filter(|_| steps.len() < CONCURRENCY);
            let wait = next.map_or(RESYNC, |next| next.saturating_sub(now()));
            tokio::select! {
                () = sleep(wait) => {}
                () = self.news.notified() => {}
                Some(_) = steps.join_next() => {}
            }
        }
    }

    async fn step(&self, name: ObjectName) {
        let stepped = self.operator.step(&name).await;
        let outcome = match stepped {
            Ok(stepped) => {
                self.health.steps.fetch_add(1, Ordering::Relaxed);
                Outcome::Done(Some(self.again(stepped)))
            }
            Err(StepError::Conflict) => Outcome::Done(Some(now() + AGAIN)),
            Err(error) => {
                self.health.failures.fetch_add(1, Ordering::Relaxed);
                tracing::warn!(deployment = %name, %error, "could not step a deployment");
                Outcome::Failed
            }
        };
        self.queue().ended(&name, outcome, now());
        self.news.notify_one();
    }

    /// When an object is stepped again although nothing happens to it.
    fn again(&self, stepped: Stepped) -> Moment {
        let clock = self.operator.clock;
        let wait = stepped
            .wake
            .map(|wake| (wake - clock()).to_std().unwrap_or_default());
        let soon = stepped.has_written.then_some(AGAIN);
        let wait = [wait, soon, Some(RESYNC)].into_iter().flatten().min();
        now() + wait.unwrap_or(RESYNC)
    }
}

fn cannot_follow(kind: &str, error: &kube::Error) {
    tracing::warn!(kind, %error, "cannot follow a kind; it is tried again");
}

fn named(object: MLDeployment) -> Option<(ObjectName, MLDeployment)> {
    let name = object.metadata.name.as_ref()?.parse().ok()?;
    Some((name, object))
}
