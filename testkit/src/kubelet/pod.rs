//! The life of one Pod on the node, from its binding to its removal.

use std::sync::Arc;
use std::time::Duration;

use http::Method;
use k8s_openapi::api::core::v1::{Container, Pod};
use k8s_openapi::jiff::Timestamp;
use kube::{Client, ResourceExt as _};
use serde_json::json;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::sync::watch;
use tokio::task::AbortHandle;
use tokio::time::{Instant, sleep, sleep_until};

use super::address::{Address, in_api};
use super::container::{self, Order};
use super::prepare::Preparation;
use super::report::Reporter;
use super::status::{ContainerStatus, Ended, Fate, PodState, RestartPolicy, State};
use super::{Ask, Containers, Ending, Node, PAUSE, is_over};
use crate::note;
use crate::request::send;

/// How a node ends what is out of time, in seconds.
const GRACE_SECONDS: i64 = 30;
/// Later than any test.
const NEVER: Duration = Duration::from_hours(24);

/// Runs a Pod until it is removed.
pub(super) async fn run(
    node: Arc<Node>,
    client: Client,
    mut pod: watch::Receiver<Pod>,
    mut asks: UnboundedReceiver<Ask>,
) {
    let first = pod.borrow().clone();
    let mut reporter = Reporter::new(client.clone(), &first);
    // What was over before this node began stays as it is.
    if !is_over(&first) {
        match Address::take() {
            Ok(address) => {
                let mut life = Life::new(node, client, first, &address);
                life.run(&mut pod, &mut asks, &mut reporter).await;
            }
            Err(error) => note(&format!("play-kubelet: {error}")),
        }
    }
    // Invariant: the sender lives as long as the Pod does.
    drop(
        pod.wait_for(|pod| pod.metadata.deletion_timestamp.is_some())
            .await,
    );
    reporter.remove().await;
}

/// A Pod whose containers are not all over.
struct Life {
    node: Arc<Node>,
    client: Client,
    pod: Pod,
    state: PodState,
    preparation: Option<Preparation>,
    running: Vec<Running>,
    told: UnboundedSender<ContainerStatus>,
    heard: UnboundedReceiver<ContainerStatus>,
    address: std::net::Ipv4Addr,
    deadline: Instant,
}

/// A container that is not over.
struct Running {
    name: String,
    orders: UnboundedSender<Order>,
    task: AbortHandle,
}

impl Running {
    /// One that is over just now needs none.
    fn give(&self, order: Order) {
        self.orders.send(order).unwrap_or_default();
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Life {
    fn new(node: Arc<Node>, client: Client, pod: Pod, address: &Address) -> Self {
        let spec = pod.spec.clone().unwrap_or_default();
        let new = |container: &Container| {
            let image = container.image.as_deref().unwrap_or_default();
            ContainerStatus::waiting(&container.name, image, "ContainerCreating")
        };
        let deadline = spec
            .active_deadline_seconds
            .and_then(|seconds| u64::try_from(seconds).ok());
        let (told, heard) = unbounded_channel();
        Self {
            state: PodState {
                policy: RestartPolicy::of(spec.restart_policy.as_deref()),
                init: spec.init_containers.iter().flatten().map(new).collect(),
                containers: spec.containers.iter().map(new).collect(),
                fate: None,
                is_ending: false,
                address: in_api(address.local()).to_string(),
                started: Timestamp::now(),
            },
            node,
            client,
            pod,
            preparation: None,
            running: Vec::new(),
            told,
            heard,
            address: address.local(),
            deadline: Instant::now() + deadline.map_or(NEVER, Duration::from_secs),
        }
    }

    async fn run(
        &mut self,
        pod: &mut watch::Receiver<Pod>,
        asks: &mut UnboundedReceiver<Ask>,
        reporter: &mut Reporter,
    ) {
        if let Containers::AtOnce(ending) = &self.node.machine.containers {
            let ending = ending(&self.pod);
            self.be_at_once(&ending);
        }
        loop {
            let is_complete = self.start_what_is_due().await;
            reporter.report(&self.state).await;
            if self.state.is_over() || (self.state.is_ending && self.running.is_empty()) {
                return;
            }
            tokio::select! {
                Some(status) = self.heard.recv() => {
                    self.note(status);
                    while let Ok(status) = self.heard.try_recv() {
                        self.note(status);
                    }
                }
                Ok(()) = pod.changed() => self.look_at(pod.borrow_and_update().clone()),
                Some(ask) = asks.recv() => self.answer(ask),
                () = sleep_until(self.deadline), if !self.state.is_ending => self.fail(Fate::DeadlineExceeded),
                () = sleep(PAUSE), if !is_complete => {}
            }
        }
    }

    /// Comes to where processes would have come to.
    fn be_at_once(&mut self, (exit_code, message): &Ending) {
        let now = Timestamp::now();
        let ended = |exit_code, message: &str| Ended {
            exit_code,
            reason: if exit_code == 0 { "Completed" } else { "Error" },
            message: message.to_owned(),
            started: now,
            finished: now,
        };
        for status in &mut self.state.init {
            status.state = State::Terminated(ended(0, ""));
        }
        for status in &mut self.state.containers {
            if self.state.policy == RestartPolicy::Always {
                status.state = State::Running { since: now };
                status.is_started = true;
                status.is_ready = true;
            } else {
                status.state = State::Terminated(ended(*exit_code, message));
            }
        }
    }

    /// Starts the init container whose turn it is, or all others; says whether nothing is missing for that.
    async fn start_what_is_due(&mut self) -> bool {
        if self.state.is_ending || matches!(self.node.machine.containers, Containers::AtOnce(_)) {
            return true;
        }
        let due = self.due();
        if due.is_empty() {
            return true;
        }
        match self.start(&due).await {
            Ok(()) => true,
            Err((reason, missing)) => {
                for status in self.state.init.iter_mut().chain(&mut self.state.containers) {
                    if due.iter().any(|(container, _)| container.name == status.name) {
                        status.state = State::Waiting {
                            reason,
                            message: missing.clone(),
                        };
                    }
                }
                false
            }
        }
    }

    /// Returns the containers that are to start now, and what becomes of them when they end.
    fn due(&self) -> Vec<(Container, RestartPolicy)> {
        let spec = self.pod.spec.clone().unwrap_or_default();
        let is_new = |container: &Container, of: &[ContainerStatus]| {
            let status = of.iter().find(|status| status.name == container.name);
            let waits = status.is_some_and(|status| matches!(status.state, State::Waiting { .. }));
            waits && !self.running.iter().any(|running| running.name == container.name)
        };
        if self.state.is_initialized() {
            let new = spec
                .containers
                .into_iter()
                .filter(|container| is_new(container, &self.state.containers));
            return new.map(|container| (container, self.state.policy)).collect();
        }
        let init = spec.init_containers.unwrap_or_default();
        let next = self.state.init.iter().position(|status| !status.has_succeeded());
        let next = next.and_then(|next| init.into_iter().nth(next));
        let next = next.filter(|container| is_new(container, &self.state.init));
        next.map(|container| (container, self.state.policy.of_init()))
            .into_iter()
            .collect()
    }

    async fn start(&mut self, due: &[(Container, RestartPolicy)]) -> Result<(), (&'static str, String)> {
        if self.preparation.is_none() {
            let made = Preparation::of_pod(&self.node, &self.client, &self.pod, self.address).await;
            self.preparation = Some(made.map_err(|missing| ("ContainerCreating", missing))?);
        }
        let Some(preparation) = &self.preparation else {
            return Ok(());
        };
        for (container, policy) in due {
            let prepared = preparation
                .container(&self.node, &self.client, &self.pod, container, *policy)
                .await?;
            let of = self.state.init.iter().chain(&self.state.containers);
            let Some(status) = of
                .into_iter()
                .find(|status| status.name == container.name)
                .cloned()
            else {
                continue;
            };
            let (orders, ordered) = unbounded_channel();
            let task = tokio::spawn(container::run(prepared, status, ordered, self.told.clone()));
            self.running.push(Running {
                name: container.name.clone(),
                orders,
                task: task.abort_handle(),
            });
        }
        Ok(())
    }

    fn note(&mut self, status: ContainerStatus) {
        if matches!(status.state, State::Terminated(_)) {
            self.running.retain(|running| running.name != status.name);
        }
        let mut all = self.state.init.iter_mut().chain(&mut self.state.containers);
        if let Some(noted) = all.find(|noted| noted.name == status.name) {
            *noted = status;
        }
    }

    /// Takes note of what the Pod is now: it may be deleted.
    fn look_at(&mut self, pod: Pod) {
        if pod.metadata.deletion_timestamp.is_some() {
            self.stop(pod.metadata.deletion_grace_period_seconds);
        }
        self.pod = pod;
    }

    fn answer(&mut self, ask: Ask) {
        match ask {
            Ask::OutOfMemory { container } => {
                let running = self.running.iter().find(|running| running.name == container);
                if let Some(running) = running {
                    running.give(Order::OutOfMemory);
                }
            }
            Ask::Evict => self.fail(Fate::Evicted),
        }
    }

    fn fail(&mut self, fate: Fate) {
        self.state.fate = Some(fate);
        let spec = self.pod.spec.as_ref();
        self.stop(spec.and_then(|spec| spec.termination_grace_period_seconds));
    }

    fn stop(&mut self, grace_seconds: Option<i64>) {
        self.state.is_ending = true;
        let grace = grace_seconds.unwrap_or(GRACE_SECONDS);
        let by = Instant::now() + Duration::from_secs(u64::try_from(grace).unwrap_or_default());
        for running in &self.running {
            running.give(Order::Stop { by });
        }
        if matches!(self.node.machine.containers, Containers::AtOnce(_)) {
            self.be_ended();
        }
    }

    /// Ends what never ran.
    fn be_ended(&mut self) {
        let now = Timestamp::now();
        for status in &mut self.state.containers {
            status.is_ready = false;
            if let State::Running { since } = status.state {
                status.state = State::Terminated(Ended {
                    exit_code: 0,
                    reason: "Completed",
                    message: String::new(),
                    started: since,
                    finished: now,
                });
            }
        }
    }
}

/// Says of a Pod that it has no room anywhere.
pub(super) async fn unschedulable(client: &Client, path: &str, pod: &Pod, obstacle: &str) {
    let mut conditions = pod
        .status
        .iter()
        .flat_map(|status| status.conditions.iter().flatten());
    if conditions.any(|condition| condition.message.as_deref() == Some(obstacle)) {
        return;
    }
    let condition = json!({
        "type": "PodScheduled",
        "status": "False",
        "reason": "Unschedulable",
        "message": obstacle,
        "lastTransitionTime": Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string(),
    });
    let status = json!({ "metadata": { "uid": pod.uid() }, "status": { "conditions": [condition] } });
    // It is said again when a Pod changes.
    drop(
        send(
            client,
            Method::PATCH,
            super::report::STRATEGIC,
            &format!("{path}/status"),
            &status,
        )
        .await,
    );
}
