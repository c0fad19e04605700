//! `aurora operator` as a process, behind a real API server and its controllers: Pods are processes that run `aurora serve`,
//! fed by `aurora control-plane`, and requests come through a gateway that follows the route late.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use http::Method;
use kubernetes::build::trust::{TRUST, TRUST_KEY};
use serde_json::{Value, json};
use testkit::{
    Applied, Caller, Component, Gateway, Image, Kubelet, Machine, Namespace, apply, gateway_api, install,
    namespace, send,
};

use crate::cluster::definitions;
use crate::harness::{Ground, Up, aurora, eventually, get, note, post, private, root, run, text};

const IMAGE: &str = "example.org/aurora:1";
pub(crate) const MODEL: &str = "wine-quality";
const ROW: &str = r#"{"inputs":[[10.0,0.35,0.47,2.0,0.061,6.0,11.0,0.99585,3.23,0.52,12.0]]}"#;
/// The same row.
const FEATURES: [f64; 11] = [10.0, 0.35, 0.47, 2.0, 0.061, 6.0, 11.0, 0.99585, 3.23, 0.52, 12.0];
const INFER: &str = "/inference.GRPCInferenceService/ModelInfer";
/// How late requests follow a write of the route.
const LAG: Duration = Duration::from_millis(800);
/// How long anything may take.
const PATIENCE: Duration = Duration::from_mins(4);

/// A version and its digest.
#[derive(Debug, Clone)]
pub(crate) struct Pin {
    pub(crate) version: String,
    digest: String,
}

/// Everything that an installation has but the reconciler, whose part the test plays.
pub(crate) struct Installation {
    pub(crate) namespace: Namespace,
    /// What manifests say of their route; null where they leave it out.
    route: Value,
    _node: Kubelet,
    pub(crate) gateway: Gateway,
    _control_plane: Up,
    artifacts: SocketAddr,
    operator: Up,
    pub(crate) stable: Pin,
    pub(crate) canary: Pin,
    ground: Ground,
}

impl Installation {
    pub(crate) async fn begin() -> Option<Self> {
        Some(Self::begin_in(namespace().await?, image(), Value::Null).await)
    }

    /// Begins in a namespace whose pods are of this image.
    pub(crate) async fn begin_in(namespace: Namespace, image: Image, route: Value) -> Self {
        let client = namespace.client();
        install(&client, &definitions())
            .await
            .expect("the kinds are served");
        gateway_api(&client).await.expect("HTTPRoutes are served");
        let secret = json!({
            "apiVersion": "v1", "kind": "Secret", "metadata": { "name": "aurora-keys" },
            "stringData": { "inference": "none-is-asked-for-on-loopback" },
        });
        let secrets = format!("/api/v1/namespaces/{}/secrets", namespace.name());
        let made = send(&client, Method::POST, "application/json", &secrets, &secret).await;
        assert!(made.expect("the server answers").is_success());

        let ground = Ground::dev();
        let (stable, canary) = trained(&ground);
        let artifacts = testkit::free_address().expect("a port");
        let mut serving = aurora();
        serving
            .args([
                "control-plane",
                "--control-plane",
                &artifacts.to_string(),
                "--data-dir",
            ])
            .arg(ground.data());
        let machine = Machine::new("node-of-operated").with_image(IMAGE, image);
        let node = Kubelet::start(namespace.control_plane(), namespace.name(), machine).await;
        let gateway = Gateway::start(namespace.control_plane(), namespace.name(), LAG).await;
        let kubeconfig = namespace.kubeconfig_of(Component::Operator).await;
        let kubeconfig = kubeconfig.expect("the operator's account has a token");
        Self {
            route,
            _node: node.expect("a node"),
            gateway: gateway.expect("a gateway"),
            _control_plane: Up::watch(serving),
            operator: operator(&namespace, artifacts, &kubeconfig),
            artifacts,
            namespace,
            stable,
            canary,
            ground,
        }
    }

    /// Kills the operator, and starts another that reaches the API server as a kubeconfig says.
    pub(crate) fn operate(&mut self, kubeconfig: &Path) {
        self.operator = operator(&self.namespace, self.artifacts, kubeconfig);
    }

    /// Ends the operator in order; it has counted its steps.
    pub(crate) fn end(self) {
        let metrics = get(self.operator.control_plane, "/metrics").body;
        let steps = "aurora_operator_steps_total{result=\"ok\"} ";
        let steps = metrics.lines().find_map(|line| line.strip_prefix(steps));
        assert!(steps.is_some_and(|steps| steps != "0"), "{metrics}");
        assert!(self.operator.stop().success(), "it ends in order");
    }

    /// Writes the MLDeployment as the reconciler does after a commit.
    pub(crate) async fn commit(&self, stable: &Pin, canary: Option<(&Pin, u64)>) {
        let revision = "0123456789012345678901234567890123456789";
        let mut annotations =
            json!({ "aurora.io/revision": revision, "aurora.io/stable-revision": revision });
        let mut spec = json!({
            "modelName": MODEL,
            "stable": { "version": stable.version, "digest": stable.digest, "replicas": 2 },
        });
        if !self.route.is_null() {
            spec["route"] = self.route.clone();
        }
        if let Some((canary, weight)) = canary {
            annotations["aurora.io/canary-revision"] = revision.into();
            spec["canary"] = json!({
                "version": canary.version, "digest": canary.digest, "weight": weight, "replicas": 1,
            });
        }
        let object = json!({
            "apiVersion": crds::API_VERSION, "kind": "MLDeployment",
            "metadata": {
                "name": MODEL, "labels": { "aurora.io/environment": "dev" }, "annotations": annotations,
            },
            "spec": spec,
        });
        let collection = self.objects();
        let how = Applied {
            collection: &collection,
            subresource: "",
            manager: "aurora-reconciler",
            is_dry_run: false,
        };
        let applied = apply(&self.namespace.client(), how, &object)
            .await
            .expect("the server answers");
        assert!(applied.is_success(), "{applied:?}");
    }

    /// Tells Pods whose signatures count, as the reconciler does.
    async fn demand(&self, keys: &str) {
        let told = json!({ "verify": "Require", "keys": [keys] }).to_string();
        let map = json!({
            "apiVersion": "v1", "kind": "ConfigMap", "metadata": { "name": TRUST },
            "data": { TRUST_KEY: told },
        });
        let maps = format!("/api/v1/namespaces/{}/configmaps", self.namespace.name());
        let made = send(
            &self.namespace.client(),
            Method::POST,
            "application/json",
            &maps,
            &map,
        )
        .await;
        assert!(made.expect("the server answers").is_success());
    }

    /// Waits until the status says so.
    async fn until_said(&self, words: &str) {
        let began = std::time::Instant::now();
        let path = format!("{}/{MODEL}", self.objects());
        loop {
            let found = send(&self.namespace.client(), Method::GET, "", &path, &Value::Null).await;
            let status = found.expect("the server answers").body["status"].to_string();
            if status.contains(words) {
                return;
            }
            assert!(began.elapsed() < PATIENCE, "{words}: {status}");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    fn objects(&self) -> String {
        format!(
            "/apis/aurora.io/v1alpha1/namespaces/{}/mldeployments",
            self.namespace.name()
        )
    }

    /// Waits until the status says what each track serves, and the weight.
    pub(crate) async fn until(&mut self, stable: &Pin, canary: Option<&Pin>, weight: u64) {
        let began = std::time::Instant::now();
        let path = format!("{}/{MODEL}", self.objects());
        let wanted = json!([
            stable.version,
            canary.map(|canary| &canary.version),
            weight,
            "Idle"
        ]);
        loop {
            let found = send(&self.namespace.client(), Method::GET, "", &path, &Value::Null).await;
            let status = found.expect("the server answers").body["status"].clone();
            let version = |track: &str| status[track]["version"].clone();
            let seen = json!([
                version("stable"),
                version("canary"),
                status["weight"],
                status["state"]
            ]);
            if seen == wanted {
                return;
            }
            assert!(
                self.operator.ended().is_none(),
                "the operator ended: {:?}",
                self.operator.events()
            );
            assert!(began.elapsed() < PATIENCE, "{wanted}: {status}");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }
}

/// What pods are of.
pub(crate) fn image() -> Image {
    Image::of_program("/aurora", env!("CARGO_BIN_EXE_aurora"))
        .with_variable("AURORA_TERMINATION_LOG", "/dev/termination-log")
}

/// Starts an operator over a namespace.
fn operator(namespace: &Namespace, artifacts: SocketAddr, kubeconfig: &Path) -> Up {
    let mut operating = aurora();
    operating
        .args(["operator", "--namespace", namespace.name(), "--image", IMAGE])
        .args(["--control-plane", "127.0.0.1:0"])
        .args(["--artifacts", &format!("http://{artifacts}")])
        .env("KUBECONFIG", kubeconfig);
    Up::watch(operating)
}

/// Trains what the example declares, and returns its two versions of the model.
fn trained(ground: &Ground) -> (Pin, Pin) {
    let up = ground.up();
    let pin = |alias: &str| {
        eventually("both versions are there", || {
            let found = get(up.control_plane, &format!("/models/{MODEL}/{alias}"));
            let found = (found.status == 200).then(|| found.json())?;
            Some(Pin {
                version: found["version"].as_str()?.to_owned(),
                digest: found.pointer("/artifact/digest")?.as_str()?.to_owned(),
            })
        })
    };
    let pins = (pin("stable"), pin("canary"));
    assert!(up.stop().success());
    pins
}

/// Asks once, and returns the version that answered, or what went wrong.
type Ask = Box<dyn Fn(SocketAddr) -> String + Send>;

/// Asks all the time, and counts what was answered: by version, or by the code of a failure.
pub(crate) struct Load {
    counts: Arc<Mutex<BTreeMap<String, usize>>>,
    is_over: Arc<AtomicBool>,
    asking: JoinHandle<()>,
}

impl Load {
    pub(crate) fn begin(gateway: SocketAddr) -> Self {
        Self::of(gateway, Box::new(ask))
    }

    fn of(gateway: SocketAddr, ask: Ask) -> Self {
        let counts: Arc<Mutex<BTreeMap<String, usize>>> = Arc::default();
        let is_over = Arc::new(AtomicBool::new(false));
        let (counting, ends) = (counts.clone(), is_over.clone());
        let asking = std::thread::spawn(move || {
            while !ends.load(Ordering::Relaxed) {
                let told = ask(gateway);
                *counting
                    .lock()
                    .expect("no panic under the lock")
                    .entry(told)
                    .or_default() += 1;
            }
        });
        Self {
            counts,
            is_over,
            asking,
        }
    }

    fn counted(&self) -> BTreeMap<String, usize> {
        self.counts.lock().expect("no panic under the lock").clone()
    }

    pub(crate) fn end(self) -> BTreeMap<String, usize> {
        self.is_over.store(true, Ordering::Relaxed);
        self.asking.join().expect("it only asks");
        std::mem::take(&mut *self.counts.lock().expect("no panic under the lock"))
    }
}

pub(crate) fn ask(gateway: SocketAddr) -> String {
    let answer = post(
        gateway,
        &format!("/predict/{MODEL}"),
        &[("content-type", "application/json")],
        ROW,
    );
    match answer.status {
        200 => answer.version().to_owned(),
        code => format!("{code} {}", answer.body),
    }
}

/// Returns what calls by gRPC, as [`ask`] asks by HTTP.
fn caller() -> Ask {
    let caller = Caller::new().expect("threads");
    let message = infer(MODEL, &FEATURES);
    Box::new(move |gateway| {
        let metadata = [("aurora-model", MODEL)];
        match caller.call(gateway, INFER, &metadata, &message) {
            Ok(answer) if answer.status == 0 => {
                let version = answer.metadata.get("aurora-model-version");
                let version = version.and_then(|version| version.to_str().ok());
                version.unwrap_or("no version").to_owned()
            }
            Ok(answer) => format!("status {} {}", answer.status, answer.words),
            Err(why) => why,
        }
    })
}

/// Encodes a ModelInferRequest of one row.
fn infer(model: &str, row: &[f64]) -> Vec<u8> {
    let field = |number: u8, bytes: &[u8]| {
        let length = u8::try_from(bytes.len()).expect("a short one");
        assert!(length < 128, "one byte of a varint");
        [&[number << 3 | 2, length], bytes].concat()
    };
    let shape = [1, u8::try_from(row.len()).expect("a short row")];
    let numbers: Vec<u8> = row.iter().flat_map(|number| number.to_le_bytes()).collect();
    let input = [field(1, b"input"), field(2, b"FP64"), field(3, &shape)].concat();
    [field(1, model.as_bytes()), field(5, &input), field(7, &numbers)].concat()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_canary_comes_takes_half_and_is_promoted_and_no_request_is_lost() {
    if let Some(installation) = Installation::begin().await {
        carry_a_canary_to_its_promotion(installation, async |_installation| ()).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_call_by_grpc_is_lost_either() {
    let Some(namespace) = namespace().await else {
        return;
    };
    let route = json!({ "grpc": { "gateway": { "name": "calls" } } });
    let installation = Installation::begin_in(namespace, image(), route).await;
    carry_a_canary_to_its_promotion(installation, async |_installation| ()).await;
}

/// Lets a canary come, take half and be promoted, under load; `meanwhile` happens while both tracks answer.
pub(crate) async fn carry_a_canary_to_its_promotion(
    mut installation: Installation,
    meanwhile: impl AsyncFnOnce(&Installation),
) {
    let (stable, canary) = (installation.stable.clone(), installation.canary.clone());
    let gateway = installation.gateway.address();
    installation.commit(&stable, None).await;
    installation.until(&stable, None, 0).await;
    let is_called = !installation.route["grpc"].is_null();
    let asks = || -> Vec<Ask> {
        let calls = is_called.then(caller);
        [Box::new(ask) as Ask].into_iter().chain(calls).collect()
    };
    off_the_runtime(|| {
        for ask in asks() {
            eventually("the gateway follows", || {
                (ask(gateway) == stable.version).then_some(())
            });
        }
    });

    let loads: Vec<_> = asks().into_iter().map(|ask| Load::of(gateway, ask)).collect();
    installation.commit(&stable, Some((&canary, 50))).await;
    installation.until(&stable, Some(&canary), 50).await;
    for load in &loads {
        eventually("both versions answer", || {
            let counted = load.counted();
            [&stable, &canary]
                .iter()
                .all(|pin| counted.get(&pin.version).is_some_and(|count| *count > 50))
                .then_some(())
        });
    }
    meanwhile(&installation).await;

    installation.commit(&canary, None).await;
    installation.until(&canary, None, 0).await;
    // Nobody is sent back: from the promotion's end on the old version answers nobody.
    off_the_runtime(|| {
        for ask in asks() {
            for _ in 0..100 {
                assert_eq!(ask(gateway), canary.version);
            }
        }
    });
    for load in loads {
        let counted = load.end();
        note(&format!("operated: answers under load, by version: {counted:?}"));
        let versions: Vec<&String> = counted.keys().collect();
        let mut expected = [&stable.version, &canary.version];
        expected.sort();
        assert_eq!(versions, expected, "{counted:?}");
    }
    installation.end();
}

/// Does what may have a runtime of its own.
fn off_the_runtime(does: impl FnOnce() + Send) {
    std::thread::scope(|scope| {
        if let Err(failed) = scope.spawn(does).join() {
            std::panic::resume_unwind(failed);
        }
    });
}

/// Pods have the keys from the cluster, and take nothing from the control plane that none of them has signed; once one has, the
/// same Pod goes on.
#[tokio::test(flavor = "multi_thread")]
async fn pods_load_nothing_that_nobody_who_is_trusted_has_signed() {
    let Some(mut installation) = Installation::begin().await else {
        return;
    };
    let vector = |file: &str| {
        let path = root().join("signing/src/vectors").join(file);
        std::fs::read_to_string(path).expect("a key")
    };
    installation.demand(&vector("p256.pub")).await;
    let stable = installation.stable.clone();
    installation.commit(&stable, None).await;
    let unsigned = format!(
        "{MODEL} {} is not to be trusted: nobody has signed it",
        stable.version
    );
    installation.until_said(&unsigned).await;
    let key = installation.ground.data().join("signing.key");
    private(&key, &vector("p256.key"));
    let signed = run(aurora()
        .args(["model", "sign", MODEL, &stable.version, "--key"])
        .arg(&key)
        .arg("--data-dir")
        .arg(installation.ground.data()));
    assert!(signed.status.success(), "{}", text(&signed));
    installation.until(&stable, None, 0).await;
    installation.end();
}
