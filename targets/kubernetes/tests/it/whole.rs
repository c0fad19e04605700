//! A whole environment: a branch, a registry, a namespace, both controllers and a node whose pods are ready at once. Each
//! controller reaches the API server through a proxy of its own, so that one of them can be stopped dead.

mod carried;
mod watched;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use chrono::Utc;
use http::Method;
use kubernetes::build::Installation;
use kubernetes::leadership::Terms;
use kubernetes::operator::{Health, Scope, lead};
use kubernetes::reconcile::{self, Mode};
use kubernetes::{operator, reconcile::Options};
use planner::Timestamp;
use planner::names::{ModelName, Revision, Version};
use planner::route::Gateway;
use registry::Store;
use serde_json::{Value, json};
use testkit::{Containers, Kubelet, Machine, Namespace, Proxy, send};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::desired::{Desired, PATIENCE, file};
use crate::installed::{ask, get};
use crate::repository::deployment;
use crate::trainings::world::{Runs, train};
use crate::versions::draft;

pub(crate) use watched::{Objects, Watched};

/// The model of an environment that has one.
pub(crate) const MODEL: &str = "iris";
/// Who has written nothing for this long is at rest.
const LULL: Duration = Duration::from_millis(500);
/// A third version of each model.
pub(crate) const V3: &str = "v20261125-080000";

/// Which of the two controllers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Which {
    Reconciler,
    Operator,
}

impl Which {
    pub(crate) const BOTH: [Self; 2] = [Self::Reconciler, Self::Operator];

    const fn lease(self) -> &'static str {
        match self {
            Self::Reconciler => reconcile::LEASE,
            Self::Operator => "aurora-operator",
        }
    }
}

/// A whole environment.
pub(crate) struct Whole {
    pub(crate) desired: Desired,
    pub(crate) controllers: Controllers,
    _node: Kubelet,
}

/// Both controllers, while they run.
pub(crate) struct Controllers {
    config: kube::Config,
    namespace: String,
    pub(crate) options: Options,
    registry: PathBuf,
    running: [Option<Controller>; 2],
}

/// A controller that runs.
pub(crate) struct Controller {
    pub(crate) proxy: Arc<Proxy>,
    /// How often it has gone round.
    rounds: Arc<AtomicU64>,
    stop: watch::Sender<bool>,
    ended: JoinHandle<()>,
}

impl Whole {
    /// Returns one in the control plane that tests share, with each model on its first version; none where there is none.
    pub(crate) async fn new(models: &[&str]) -> Option<Self> {
        let desired = Desired::new(models).await?;
        Some(Self::of(desired, models).await)
    }

    /// Returns one over what is desired of these models.
    pub(crate) async fn of(desired: Desired, models: &[&str]) -> Self {
        publish(&desired, models, V3);
        let (control_plane, name) = (desired.namespace.control_plane(), desired.namespace.name());
        let (root, runs) = (desired.root(), Runs::default());
        let machine = Machine {
            containers: Containers::AtOnce(Arc::new(move |pod| {
                let labels = pod.metadata.labels.iter().flatten();
                let mut components = labels.filter(|(label, _)| *label == "app.kubernetes.io/component");
                match components.next() {
                    Some((_, component)) if component == "training" => train(pod, &root, &runs),
                    _ => (0, String::new()),
                }
            })),
            ..Machine::new(&format!("node-of-{name}"))
        };
        let node = Kubelet::start(control_plane, name, machine)
            .await
            .expect("a node");
        Self {
            controllers: Controllers {
                config: control_plane.config().await.expect("a configuration"),
                namespace: name.to_owned(),
                options: desired.options("nobody"),
                registry: desired.root(),
                running: [None, None],
            },
            desired,
            _node: node,
        }
    }
}

impl Desired {
    /// Commits a model's pins.
    pub(crate) fn declare(&mut self, model: &str, stable: &str, canary: Option<(&str, u8)>) -> Revision {
        self.declare_with("", model, stable, canary)
    }

    /// Commits a model's pins, and further lines of its spec.
    pub(crate) fn declare_with(
        &mut self,
        settings: &str,
        model: &str,
        stable: &str,
        canary: Option<(&str, u8)>,
    ) -> Revision {
        let manifest = deployment(model, stable, canary) + settings;
        let stable_of_two = format!("stable: {{ version: {stable}, replicas: 2 }}");
        let manifest = manifest.replace(&format!("stable: {{ version: {stable} }}"), &stable_of_two);
        self.repo.change(&format!("{model}.yaml"), &manifest)
    }

    /// Takes a manifest away.
    pub(crate) fn remove(&mut self, model: &str) -> Revision {
        self.repo.remove(&file(model));
        self.repo.commit("remove")
    }

    pub(crate) fn store(&self) -> Store {
        Store::open(&self.root()).expect("a registry")
    }

    /// Waits until an MLDeployment stands as expected.
    pub(crate) async fn until(&self, name: &str, expected: &str) {
        let began = Instant::now();
        loop {
            let found = get(&self.namespace, &format!("mldeployments/{name}")).await;
            let line = line(Some(&found.body).filter(|_| found.is_success()));
            if line == expected {
                return;
            }
            assert!(
                began.elapsed() < PATIENCE,
                "{}: {name}: {line}, not {expected}: {:#}",
                self.namespace.name(),
                found.body
            );
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    /// Aborts a model's canary, as a person does.
    pub(crate) async fn abort(&self, name: &str) {
        let path = format!("mldeployments/{name}");
        let digest = get(&self.namespace, &path).await.body["spec"]["canary"]["digest"].clone();
        let abort = json!({ "metadata": { "annotations": { "aurora.io/abort": digest } } });
        let answer = ask(&self.namespace, Method::PATCH, &path, &abort).await;
        assert!(answer.is_success(), "{answer:?}");
    }

    /// Takes the status of an object away.
    pub(crate) async fn wipe(&self, path: &str) {
        let wiped = json!({ "status": null });
        let answer = ask(&self.namespace, Method::PATCH, &format!("{path}/status"), &wiped).await;
        assert!(answer.is_success(), "{answer:?}");
    }

    /// Sets a Deployment's number of replicas, as an autoscaler does.
    pub(crate) async fn scale(&self, name: &str, replicas: u32) {
        let scale = json!({ "spec": { "replicas": replicas } });
        let name = format!("{name}/scale");
        let answer = self
            .ask(Method::PATCH, "apis/apps/v1/deployments", &name, &scale)
            .await;
        assert!(answer.is_success(), "{answer:?}");
    }

    /// Asks about something in the namespace that is no object of ours; a patch is a merge patch.
    pub(crate) async fn ask(
        &self,
        method: Method,
        collection: &str,
        name: &str,
        body: &Value,
    ) -> testkit::Answer {
        ask_in(&self.namespace, method, collection, name, body).await
    }
}

/// Says in one line how an MLDeployment stands: state, stable's version, the canary's, the live weight.
pub(crate) fn line(deployment: Option<&Value>) -> String {
    let Some(deployment) = deployment else {
        return "gone".to_owned();
    };
    let text = |pointer: &str| match deployment.pointer(pointer) {
        None | Some(Value::Null) => "-".to_owned(),
        Some(Value::String(text)) => text.clone(),
        Some(value) => value.to_string(),
    };
    let parts = [
        "/status/state",
        "/status/stable/version",
        "/status/canary/version",
        "/status/weight",
    ];
    parts.map(text).join(" ")
}

async fn ask_in(
    namespace: &Namespace,
    method: Method,
    collection: &str,
    name: &str,
    body: &Value,
) -> testkit::Answer {
    let kind = match method {
        Method::PATCH => "application/merge-patch+json",
        _ => "application/json",
    };
    let path = path(namespace.name(), collection, name);
    let answer = send(&namespace.client(), method, kind, &path, body).await;
    answer.expect("the server answers")
}

/// Returns the path of an object, e.g. of the collection `apis/apps/v1/deployments`.
pub(crate) fn path(namespace: &str, collection: &str, name: &str) -> String {
    let (prefix, plural) = collection.rsplit_once('/').expect("a collection");
    format!("/{prefix}/namespaces/{namespace}/{plural}/{name}")
}

impl Controllers {
    /// Starts both.
    pub(crate) fn start_all(&mut self) {
        for which in Which::BOTH {
            self.start(which, |_proxy| ());
        }
    }

    /// Starts one, behind a proxy in which that goes wrong which is said.
    pub(crate) fn start(&mut self, which: Which, goes_wrong: impl FnOnce(&Proxy)) {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let proxy = Proxy::start(self.config.clone()).expect("a proxy");
        goes_wrong(&proxy);
        let (stop, stopped) = watch::channel(false);
        let config = proxy.config();
        let (namespace, options) = (self.namespace.clone(), self.options.clone());
        let registry = self.registry.clone();
        let rounds = Arc::new(AtomicU64::new(0));
        let counting = rounds.clone();
        let ended = tokio::spawn(async move {
            // As a Pod is started again that ended.
            while !*stopped.borrow() {
                let identity = format!("{which:?}-{}", COUNT.fetch_add(1, Ordering::Relaxed));
                let mut stopped = stopped.clone();
                let stop = async move { drop(stopped.wait_for(|stopped| *stopped).await) };
                let told = counting.clone();
                let scope = scope(&namespace, &registry);
                run(which, config.clone(), scope, &options, (identity, told), stop).await;
            }
        });
        let proxy = Arc::new(proxy);
        self.running[which as usize] = Some(Controller {
            proxy,
            rounds,
            stop,
            ended,
        });
    }

    /// Runs an operator that knows nothing until it has stepped so many objects.
    pub(crate) async fn step_all(&self, objects: u64) {
        let client = kube::Client::try_from(self.config.clone()).expect("a client");
        let health = Arc::new(Health::default());
        let stepped = async {
            while health.steps() < objects {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        operator::run(
            client,
            scope(&self.namespace, &self.registry),
            clock,
            health.clone(),
            stepped,
        )
        .await;
        assert_eq!(health.failures(), 0, "no step fails");
    }

    pub(crate) fn proxy(&self, which: Which) -> Arc<Proxy> {
        let running = self.running[which as usize].as_ref();
        running.expect("it runs").proxy.clone()
    }

    /// Returns how much each has written.
    pub(crate) fn writes(&self) -> [u64; 2] {
        Which::BOTH.map(|which| self.proxy(which).writes())
    }

    /// Waits until each has gone round, and has written nothing for a while.
    pub(crate) async fn until_quiet(&self, patience: Duration) {
        let began = Instant::now();
        let (mut writes, mut since) = (self.writes(), Instant::now());
        while since.elapsed() < LULL {
            tokio::time::sleep(Duration::from_millis(50)).await;
            let now = self.writes();
            let mut running = self.running.iter().flatten();
            let have_gone_round = running.all(|running| running.rounds.load(Ordering::Relaxed) > 0);
            if now != writes || !have_gone_round {
                (writes, since) = (now, Instant::now());
            }
            assert!(began.elapsed() < patience, "{}: they write on", self.namespace);
        }
    }

    /// Ends one in order.
    pub(crate) async fn stop(&mut self, which: Which) {
        if let Some(Controller { stop, ended, .. }) = self.running[which as usize].take() {
            stop.send_replace(true);
            ended.await.expect("it does not panic");
        }
    }

    /// Ends both in order.
    pub(crate) async fn stop_all(&mut self) {
        for which in Which::BOTH {
            self.stop(which).await;
        }
    }

    /// Starts another in the place of one that was cut off: nobody waits for the end of the Lease.
    pub(crate) async fn replace(&mut self, which: Which) {
        self.stop(which).await;
        let client = kube::Client::try_from(self.config.clone()).expect("a client");
        let lease = path(
            &self.namespace,
            "apis/coordination.k8s.io/v1/leases",
            which.lease(),
        );
        let gone = send(&client, Method::DELETE, "application/json", &lease, &Value::Null).await;
        drop(gone.expect("the server answers"));
        self.start(which, |_proxy| ());
    }
}

/// Runs a controller until it is told to stop, or has to end.
async fn run(
    which: Which,
    config: kube::Config,
    scope: Scope,
    options: &Options,
    (identity, rounds): (String, Arc<AtomicU64>),
    stop: impl Future<Output = ()> + Send,
) {
    match which {
        Which::Reconciler => {
            let options = Options {
                identity,
                ..options.clone()
            };
            let told = Box::new(move |_told: reconcile::Told<'_>| {
                rounds.fetch_add(1, Ordering::Relaxed);
            });
            drop(reconcile::run(config, options, Mode::Follow, told, stop).await);
        }
        Which::Operator => {
            let options = operator::Options {
                scope,
                identity,
                terms: Terms::default(),
                clock,
            };
            let health = Arc::new(Health::default());
            let counting = async {
                loop {
                    rounds.store(health.steps(), Ordering::Relaxed);
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
            };
            tokio::select! {
                ended = lead(config, options, health.clone(), stop) => drop(ended),
                () = counting => {}
            }
        }
    }
}

/// Publishes one more version of models.
fn publish(desired: &Desired, models: &[&str], version: &str) {
    let store = desired.store();
    for model in models {
        let model: ModelName = model.parse().expect("a name");
        let version: Version = version.parse().expect("a version");
        store
            .publish(draft(&model, &version, None))
            .expect("it is published");
    }
}

fn scope(namespace: &str, registry: &Path) -> Scope {
    Scope {
        registry: registry.to_owned(),
        ..installation(namespace).into()
    }
}

fn installation(namespace: &str) -> Installation {
    Installation {
        environment: "dev".parse().expect("a name"),
        namespace: namespace.to_owned(),
        image: "example.org/aurora:1".to_owned(),
        onnx_runtime_image: None,
        import_sources: Vec::new(),
        import_ca: None,
        control_plane: "http://aurora-control-plane:8000".to_owned(),
        keys_secret: "aurora-keys".to_owned(),
        registry_claim: "aurora-model-pvc".to_owned(),
        dataset_claims: Vec::new(),
        gateway: Gateway {
            name: "aurora".to_owned(),
            namespace: None,
            section_name: None,
        },
    }
}

fn clock() -> Timestamp {
    Utc::now()
}
