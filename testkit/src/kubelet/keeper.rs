//! Which Pods are on the node: one task for each. What is told of a Pod costs what that Pod does, however many there are.

use std::collections::BTreeMap;
use std::sync::Arc;

use futures_util::{StreamExt as _, stream};
use http::Method;
use k8s_openapi::api::core::v1::Pod;
use kube::config::Config;
use kube::{Api, Client};
use serde_json::json;
use tokio::sync::{mpsc, watch};
use tokio::task::AbortHandle;

use super::capacity::{Load, obstacle};
use super::{Ask, Node, PAUSE, is_over, node, node_of, pod, uid};
use crate::control_plane::client;
use crate::mirror::{self, Change};
use crate::note;
use crate::request::send;

/// How many Pods are bound at a time.
const BINDINGS_MAX: usize = 16;

/// One Pod that is on the node.
#[derive(Debug)]
struct Worker {
    uid: String,
    pod: watch::Sender<Pod>,
    asks: mpsc::UnboundedSender<Ask>,
    task: AbortHandle,
}

impl Drop for Worker {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// The Pods of a node, by `namespace/name`.
struct Keeper {
    node: Arc<Node>,
    client: Client,
    workers: BTreeMap<String, Worker>,
    /// Those that are on no node.
    waiting: BTreeMap<String, Pod>,
    load: Load,
}

/// Keeps a node, for ever.
pub(super) async fn keep(
    node: Arc<Node>,
    mut config: Config,
    mut asks: mpsc::UnboundedReceiver<(String, Ask)>,
) {
    config.headers.push((
        http::header::USER_AGENT,
        http::HeaderValue::from_static("play-kubelet"),
    ));
    let client = match client(config) {
        Ok(client) => client,
        Err(error) => return note(&format!("play-kubelet: {error}")),
    };
    tokio::spawn(node::keep(client.clone(), node.machine.clone()));
    let pods: Api<Pod> = Api::namespaced(client.clone(), &node.namespace);
    let (told, mut changes) = mpsc::unbounded_channel();
    tokio::spawn(mirror::tell(pods, move |change| {
        told.send(change).unwrap_or_default();
    }));
    let mut keeper = Keeper {
        node,
        client,
        workers: BTreeMap::new(),
        waiting: BTreeMap::new(),
        load: Load::default(),
    };
    let mut all_bound = true;
    loop {
        tokio::select! {
            Some(change) = changes.recv() => {
                keeper.hear(change);
                while let Ok(change) = changes.try_recv() {
                    keeper.hear(change);
                }
                all_bound = keeper.bind().await;
            }
            () = tokio::time::sleep(PAUSE), if !all_bound => all_bound = keeper.bind().await,
            Some((pod, ask)) = asks.recv() => {
                if let Some(worker) = keeper.workers.get(&format!("{}/{pod}", keeper.node.namespace)) {
                    drop(worker.asks.send(ask));
                }
            }
        }
    }
}

impl Keeper {
    fn hear(&mut self, change: Change<Pod>) {
        match change {
            Change::All(pods) => {
                self.workers.retain(|key, _| pods.contains_key(key));
                self.waiting.clear();
                self.load = Load::default();
                for (key, pod) in pods {
                    self.take_in(key, pod);
                }
            }
            Change::Is(key, pod) => self.take_in(key, *pod),
            Change::Gone(key) => {
                self.workers.remove(&key);
                self.waiting.remove(&key);
                self.load.remove(&key);
            }
        }
    }

    fn take_in(&mut self, key: String, pod: Pod) {
        // Whoever had the name before is gone.
        if self
            .workers
            .get(&key)
            .is_some_and(|worker| worker.uid != uid(&pod))
        {
            self.workers.remove(&key);
        }
        self.waiting.remove(&key);
        self.load.remove(&key);
        match node_of(&pod) {
            Some(name) if name == self.node.machine.name => {
                if !is_over(&pod) {
                    self.load.put(&key, &pod);
                }
                self.run(key, pod);
            }
            None if !is_over(&pod) && pod.metadata.deletion_timestamp.is_none() => {
                self.waiting.insert(key, pod);
            }
            Some(_) | None => {}
        }
    }

    /// Tells a Pod's task what the Pod is now, or starts one.
    fn run(&mut self, key: String, pod: Pod) {
        if let Some(worker) = self.workers.get(&key) {
            worker.pod.send_replace(pod);
            return;
        }
        let uid = uid(&pod).to_owned();
        let (sender, receiver) = watch::channel(pod);
        let (asks, asked) = mpsc::unbounded_channel();
        let task = tokio::spawn(pod::run(
            Arc::clone(&self.node),
            self.client.clone(),
            receiver,
            asked,
        ));
        let worker = Worker {
            uid,
            pod: sender,
            asks,
            task: task.abort_handle(),
        };
        self.workers.insert(key, worker);
    }

    /// Binds what has room, and tells what has none why; says whether all of that was answered.
    async fn bind(&mut self) -> bool {
        let machine = &self.node.machine;
        let mut due = Vec::new();
        for (key, pod) in &self.waiting {
            match obstacle(pod, &self.load, &machine.capacity, &machine.labels) {
                None => {
                    self.load.put(key, pod);
                    due.push(key.clone());
                }
                Some(obstacle) => pod::unschedulable(&self.client, &self.path(pod), pod, &obstacle).await,
            }
        }
        let bindings = due.into_iter().map(|key| async {
            let is_answered = self.bind_one(&self.waiting[&key]).await;
            (key, is_answered)
        });
        let bindings = stream::iter(bindings).buffer_unordered(BINDINGS_MAX);
        let answered: Vec<(String, bool)> = bindings.collect().await;
        for (key, is_answered) in &answered {
            if *is_answered {
                self.waiting.remove(key);
            } else {
                self.load.remove(key);
            }
        }
        answered.iter().all(|(_, is_answered)| *is_answered)
    }

    async fn bind_one(&self, pod: &Pod) -> bool {
        let binding = json!({
            "apiVersion": "v1",
            "kind": "Binding",
            "metadata": { "name": pod.metadata.name },
            "target": { "kind": "Node", "name": self.node.machine.name },
        });
        let path = format!("{}/binding", self.path(pod));
        let answer = send(&self.client, Method::POST, "application/json", &path, &binding).await;
        // Gone, or another node has it: the watch says so.
        answer.is_ok_and(|answer| answer.is_success() || matches!(answer.code, 404 | 409))
    }

    fn path(&self, pod: &Pod) -> String {
        let name = pod.metadata.name.as_deref().unwrap_or_default();
        format!("/api/v1/namespaces/{}/pods/{name}", self.node.namespace)
    }
}
