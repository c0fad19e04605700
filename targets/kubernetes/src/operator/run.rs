//! The loops: what watches tell is stepped, so many objects at a time; they end when they are told to, with no step cut off.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use kube::Client;
use planner::Timestamp;
use planner::names::ObjectName;
use registry::{Observer, Store};
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio::time::sleep;

use super::Scope;
use super::cluster::StepError;
use super::deployments::{self, Deployments};
use super::queue::{Outcome, Queue};
use super::trainings::{self, Trainings};
use crate::leadership::{Moment, now};

/// How many objects of a kind are stepped at a time.
const CONCURRENCY: usize = 16;
/// How soon is looked at what was written.
const AGAIN: Duration = Duration::from_millis(200);
/// How often each object is stepped although nothing happens, whatever a watch missed.
const RESYNC: Duration = Duration::from_mins(10);
/// What the children of this operator are found by.
pub(super) const OURS: &str = "app.kubernetes.io/managed-by=aurora-operator";

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

/// Makes a namespace follow its objects until `stop` comes; the steps under way are let come to their end.
///
/// `client` writes only while this replica leads.
pub async fn run(
    client: Client,
    scope: impl Into<Scope>,
    clock: fn() -> Timestamp,
    health: Arc<Health>,
    stop: impl Future<Output = ()>,
) {
    let Scope {
        installation,
        registry,
        runs_max,
    } = scope.into();
    let registry = Observer::new(Store::at(&registry));
    let deployments = Deployments::new(client.clone(), installation.clone(), registry.clone(), clock);
    let deployments = Loop::new(deployments, clock, &health);
    let trainings = Trainings::new(client, installation, registry, runs_max, clock);
    let trainings = Loop::new(trainings, clock, &health);
    let (mut of_deployments, mut of_trainings) = (JoinSet::new(), JoinSet::new());
    let following = async {
        tokio::join!(
            Box::pin(deployments::follow(&deployments, &mut of_deployments)),
            Box::pin(trainings::follow(&trainings, &mut of_trainings)),
        );
    };
    tokio::select! {
        () = stop => {}
        () = following => {}
    }
    while of_deployments.join_next().await.is_some() {}
    while of_trainings.join_next().await.is_some() {}
}

/// What steps the objects of a kind.
pub(super) trait Steps: Send + Sync + 'static {
    /// The kind.
    const KIND: &'static str;

    /// Steps one object.
    fn step(&self, name: &ObjectName) -> impl Future<Output = Result<Stepped, StepError>> + Send;

    /// Takes the other objects that are to be stepped since a step of one.
    fn touched(&self) -> BTreeSet<ObjectName> {
        BTreeSet::new()
    }
}

/// What a step came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Stepped {
    /// Whether something was written, so that the next step looks at what came of it.
    pub(super) has_written: bool,
    /// When to step again although nothing happens.
    pub(super) wake: Option<Timestamp>,
}

/// The loop of one kind.
pub(super) struct Loop<S> {
    pub(super) steps: S,
    queue: Mutex<Queue<ObjectName>>,
    news: Notify,
    health: Arc<Health>,
    clock: fn() -> Timestamp,
}

impl<S: Steps> Loop<S> {
    fn new(steps: S, clock: fn() -> Timestamp, health: &Arc<Health>) -> Arc<Self> {
        Arc::new(Self {
            steps,
            queue: Mutex::new(Queue::new()),
            news: Notify::new(),
            health: Arc::clone(health),
            clock,
        })
    }

    fn queue(&self) -> MutexGuard<'_, Queue<ObjectName>> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lets objects be stepped.
    pub(super) fn touch(&self, names: impl IntoIterator<Item = ObjectName>) {
        let mut queue = self.queue();
        for name in names {
            queue.touch(&name, now());
        }
        drop(queue);
        self.news.notify_one();
    }

    /// Steps whatever is due, for ever.
    pub(super) async fn step_all(self: &Arc<Self>, steps: &mut JoinSet<()>) {
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
        let stepped = self.steps.step(&name).await;
        let outcome = match stepped {
            Ok(stepped) => {
                self.health.steps.fetch_add(1, Ordering::Relaxed);
                Outcome::Done(Some(self.again(stepped)))
            }
            Err(StepError::Conflict) => Outcome::Done(Some(now() + AGAIN)),
            Err(error) => {
                self.health.failures.fetch_add(1, Ordering::Relaxed);
                tracing::warn!(kind = S::KIND, %name, %error, "could not step an object");
                Outcome::Failed
            }
        };
        self.queue().ended(&name, outcome, now());
        self.touch(self.steps.touched());
    }

    /// When an object is stepped again although nothing happens to it.
    fn again(&self, stepped: Stepped) -> Moment {
        let wait = stepped
            .wake
            .map(|wake| (wake - (self.clock)()).to_std().unwrap_or_default());
        let soon = stepped.has_written.then_some(AGAIN);
        let wait = [wait, soon, Some(RESYNC)].into_iter().flatten().min();
        now() + wait.unwrap_or(RESYNC)
    }
}

/// Says that a kind cannot be followed.
pub(super) fn cannot_follow(kind: &str, error: &kube::Error) {
    tracing::warn!(kind, %error, "cannot follow a kind; it is tried again");
}
