//! A router before real listeners of inference, and before some that fail.

mod calls;
mod faults;

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::sync::atomic::AtomicUsize;
use std::time::Instant;

use planner::backends::{Backend, Endpoint};
use planner::names::{Track, Weight};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio::sync::oneshot;

use super::*;
use crate::http::frame::routes;
use crate::http::place::Place;
use crate::testing::{V1, V2, artifact, linear, model, series, version};
use crate::{Awaited, Health, InferenceOptions, Runtime, serve_inference};

const ROW: &str = r#"{"inputs":[[1,0.5]]}"#;

/// What a pod of a track has: a version of `wine`.
fn loaded(track: Track) -> Runtime {
    let runtime = Runtime::new(Metrics::new());
    let (number, intercept) = match track {
        Track::Stable => (V1, 0.0),
        Track::Canary => (V2, 1000.0),
    };
    runtime.load_alone(artifact("wine", number, track, &linear(intercept)));
    runtime
}

/// What a pod has that has no model yet, and knows which it will have.
fn empty() -> Runtime {
    let runtime = Runtime::new(Metrics::new());
    let awaited = Awaited {
        model: model("wine"),
        track: Track::Stable,
        version: version(V1),
        training: false,
    };
    runtime.expect(&model("wine"), vec![awaited]);
    runtime.expected(Instant::now());
    runtime
}

/// What answers as one pod does.
async fn pod(track: Track) -> SocketAddr {
    listen(loaded(track)).await.http
}

async fn empty_pod() -> SocketAddr {
    listen(empty()).await.http
}

/// A pod that answers at both doors.
async fn listen(runtime: Runtime) -> Endpoint {
    let (http, grpc) = (port().await, port().await);
    let endpoint = Endpoint {
        http: http.local_addr().expect("bound"),
        grpc: Some(grpc.local_addr().expect("bound")),
    };
    let options = InferenceOptions {
        access: Access {
            open_names: true,
            ..Access::default()
        },
        health: Health::Alive,
        ..InferenceOptions::default()
    };
    let doors = Doors {
        http: http.into(),
        grpc: Some(grpc.into()),
    };
    drop(tokio::spawn(serve_inference(
        runtime,
        doors,
        options,
        std::future::pending(),
    )));
    endpoint
}

async fn port() -> TcpListener {
    TcpListener::bind("127.0.0.1:0").await.expect("a port")
}

/// Where nobody listens.
async fn nobody() -> SocketAddr {
    port().await.local_addr().expect("bound")
}

/// Takes requests and closes their connections; counts them.
async fn broken() -> (SocketAddr, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("bound");
    let count = Arc::new(AtomicUsize::new(0));
    let counting = count.clone();
    drop(tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut request = [0; 4096];
            if stream.read(&mut request).await.is_ok_and(|size| size > 0) {
                counting.fetch_add(1, Ordering::Relaxed);
                // The beginning of an answer is none.
                let _gone = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-le").await;
            }
        }
    }));
    (address, count)
}

/// What a router is told of pods that answer by HTTP alone.
fn backends(weight: u64, stable: &[SocketAddr], canary: Option<&[SocketAddr]>) -> Backends {
    let by_http = |addresses: &[SocketAddr]| -> Vec<_> {
        addresses
            .iter()
            .map(|address| Endpoint::by_http(*address))
            .collect()
    };
    told(weight, &by_http(stable), canary.map(by_http).as_deref())
}

fn told(weight: u64, stable: &[Endpoint], canary: Option<&[Endpoint]>) -> Backends {
    let backend = |number: &str, endpoints: &[Endpoint]| Backend {
        version: version(number),
        endpoints: endpoints.iter().copied().collect(),
    };
    Backends {
        model: model("wine"),
        weight: Weight::try_from(weight).expect("a percent"),
        stable: backend(V1, stable),
        canary: canary.map(|canary| backend(V2, canary)),
    }
}

struct Front {
    router: Router,
    server: Arc<Server>,
}

impl Front {
    fn new() -> Self {
        Self::with(Duration::from_mins(1))
    }

    fn with(answer_timeout: Duration) -> Self {
        let router = Router::new(Metrics::new(), 1);
        let options = RouterOptions {
            access: Access::default(),
            limits: Limits::default(),
            answer_timeout,
        };
        Self {
            server: Arc::new(Server::new(router.clone(), options)),
            router,
        }
    }

    fn before(backends: &Backends) -> Self {
        let front = Self::new();
        front.router.follow(backends);
        front
    }

    async fn send(
        &self,
        ask: &str,
        headers: &[(&str, &str)],
        body: impl AsRef<[u8]>,
    ) -> hyper::Response<bytes::Bytes> {
        let (method, path) = ask.split_once(' ').expect("a method and a path");
        let mut request = warp::test::request().method(method).path(path).body(body);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        request
            .reply(&routes(self.server.clone(), Place::nowhere()))
            .await
    }

    async fn predict(&self) -> hyper::Response<bytes::Bytes> {
        self.send("POST /predict/wine", &[], ROW).await
    }

    /// Returns the tracks that answered so many requests, and fails with the first that nobody did.
    async fn split(&self, requests: usize) -> [usize; 2] {
        let mut tracks = [0, 0];
        for _ in 0..requests {
            let answer = self.predict().await;
            assert_eq!(answer.status(), 200, "{answer:?}");
            tracks[usize::from(answer.headers()["aurora-track"] == "canary")] += 1;
        }
        tracks
    }

    fn counted(&self, name_and_labels: &str) -> u64 {
        series(&self.router.0.metrics, name_and_labels)
    }
}

fn shown(answer: &hyper::Response<bytes::Bytes>) -> String {
    let mut text = answer.status().as_u16().to_string();
    if let Some(track) = answer.headers().get("aurora-track") {
        write!(text, " {}", track.to_str().expect("ASCII")).expect("text grows");
    }
    assert!(answer.headers().contains_key("aurora-request-id"));
    text
}

#[tokio::test]
async fn the_weight_decides_exactly_and_a_new_one_from_the_next_request_on() {
    let (stable, canary) = (pod(Track::Stable).await, pod(Track::Canary).await);
    let told = |weight| backends(weight, &[stable], Some(&[canary]));
    let front = Front::before(&told(10));
    let [_, canarys] = front.split(500).await;
    assert!(canarys.abs_diff(50) <= 2, "{canarys}");
    front.router.follow(&told(100));
    assert_eq!(front.split(100).await, [0, 100]);
    front.router.follow(&told(0));
    assert_eq!(front.split(100).await, [100, 0]);
    let counted = |track| {
        front.counted(&format!(
            "aurora_router_requests_total{{code=\"200\",model=\"wine\",routed=\"split\",track=\"{track}\"}}"
        ))
    };
    assert_eq!(counted("canary"), canarys as u64 + 100);
    assert_eq!(counted("stable") + counted("canary"), 700);
    assert_eq!(front.counted("aurora_router_weight{model=\"wine\"}"), 0);
}

#[tokio::test]
async fn a_request_may_name_its_track_or_version_as_on_one_machine() {
    let (stable, canary) = (pod(Track::Stable).await, pod(Track::Canary).await);
    let front = Front::before(&backends(0, &[stable], Some(&[canary])));
    let body = r#"{"inputs":[{"name":"input","shape":[1,2],"datatype":"FP64","data":[1,0.5]}]}"#;
    for (ask, track, expected) in [
        ("POST /v2/models/wine/infer", None, "200 stable"),
        ("POST /v2/models/wine/infer", Some("canary"), "200 canary"),
        ("POST /v2/models/wine/infer", Some("stable"), "200 stable"),
        ("POST /v2/models/wine/infer", Some("blue"), "400"),
        ("POST /v2/models/wine/versions/V1/infer", None, "200 stable"),
        ("POST /v2/models/wine/versions/V2/infer", None, "200 canary"),
        (
            "POST /v2/models/wine/versions/V2/infer",
            Some("canary"),
            "200 canary",
        ),
        ("POST /v2/models/wine/versions/V2/infer", Some("stable"), "400"),
        (
            "POST /v2/models/wine/versions/v20200101-000000/infer",
            None,
            "404",
        ),
        ("POST /v2/models/iris/infer", None, "404"),
        ("GET /v2/models/wine/infer", None, "405"),
        ("GET /v2/models/wine", None, "200 stable"),
        ("GET /v2/models/wine", Some("canary"), "200 canary"),
        ("GET /v2/models/wine/ready", None, "200"),
        ("GET /v2/models/wine/versions/V2/ready", None, "200"),
        ("GET /v2", None, "200"),
        ("GET /v2/models", None, "200"),
        ("POST /v2/repository/index", None, "200"),
        ("POST /v2/repository/models/wine/load", None, "403"),
        ("GET /v2/health/ready", None, "200"),
        ("GET /nothing", None, "404"),
    ] {
        let path = ask.replace("V1", V1).replace("V2", V2);
        let headers: Vec<_> = track.map(|track| ("aurora-track", track)).into_iter().collect();
        let answer = front.send(&path, &headers, body).await;
        assert_eq!(shown(&answer), expected, "{ask} {track:?}: {answer:?}");
    }
    assert_eq!(shown(&front.send("POST /predict", &[], ROW).await), "200 stable");
    // The pod's own refusals come through.
    let refused = front.send("POST /predict/wine", &[], "{").await;
    assert_eq!(refused.status(), 400);
    assert!(
        String::from_utf8_lossy(refused.body()).contains("failed to read the body"),
        "{refused:?}"
    );
    let named = front
        .send("POST /predict/wine", &[("aurora-request-id", "mine")], ROW)
        .await;
    assert_eq!(named.headers()["aurora-request-id"], "mine");
}

#[tokio::test]
async fn other_clients_shapes_and_tensors_pass_as_they_are() {
    let (stable, canary) = (pod(Track::Stable).await, pod(Track::Canary).await);
    let front = Front::before(&backends(0, &[stable], Some(&[canary])));
    let instances = r#"{"instances":[[1,0.5]]}"#;
    for (ask, body, expected) in [
        ("POST /v1/models/wine:predict", instances, "200 stable"),
        ("POST /v1/models/other:predict", instances, "404"),
        ("POST /invocations", instances, "200 stable"),
        ("GET /v1/models", "", "200"),
        ("GET /v1/models/wine", "", "200"),
        ("GET /v1/models/other", "", "404"),
        ("GET /", "", "200"),
        ("GET /ping", "", "200"),
        ("GET /version", "", "200"),
        ("GET /v2/models/wine/config", "", "200 stable"),
        ("GET /v2/models/wine/stats", "", "200"),
        ("GET /v2/models/stats", "", "200"),
        ("GET /v2/models/stats/config", "", "404"),
        ("GET /predict/wine/openapi.json", "", "200 stable"),
        ("GET /predict/other/openapi.json", "", "404"),
        ("POST /v2/repository/models/wine/load", "", "403"),
        ("PUT /invocations", "", "405"),
    ] {
        assert_eq!(shown(&front.send(ask, &[], body).await), expected, "{ask}");
    }
    let json = r#"{"parameters":{"binary_data_output":true},"inputs":[{"name":"input","shape":[1,2],"datatype":"FP64","parameters":{"binary_data_size":16}}]}"#;
    let body = [json.as_bytes(), &1_f64.to_le_bytes(), &0.5_f64.to_le_bytes()].concat();
    let length = json.len().to_string();
    let headers = [
        ("inference-header-content-length", length.as_str()),
        ("content-type", "application/octet-stream"),
    ];
    let answer = front.send("POST /v2/models/wine/infer", &headers, &body).await;
    assert_eq!(shown(&answer), "200 stable");
    assert_eq!(answer.headers()["content-type"], "application/octet-stream");
    assert!(answer.headers().contains_key("inference-header-content-length"));
    assert!(answer.body().ends_with(&6_f64.to_le_bytes()), "{answer:?}");
    // What can be seen from the headers is refused here, and costs no pod anything.
    for (ask, headers, expected) in [
        (
            "POST /predict/wine",
            [("inference-header-content-length", "5")],
            "400",
        ),
        ("POST /v2/models/wine/infer", [("content-encoding", "br")], "415"),
        ("POST /invocations", [("content-type", "text/csv")], "415"),
    ] {
        assert_eq!(shown(&front.send(ask, &headers, ROW).await), expected, "{ask}");
    }
    assert_eq!(
        front.counted(
            "aurora_router_requests_total{code=\"415\",model=\"wine\",routed=\"split\",track=\"stable\"}"
        ),
        0
    );
}

#[tokio::test]
async fn an_endpoint_that_takes_no_connection_costs_no_request() {
    let (one, two, none) = (pod(Track::Stable).await, pod(Track::Stable).await, nobody().await);
    let front = Front::before(&backends(0, &[one, two, none], None));
    assert_eq!(front.split(300).await, [300, 0]);
    let refused = front
        .counted("aurora_router_endpoint_failures_total{model=\"wine\",reason=\"refused\",track=\"stable\"}");
    // After the first failure it is left alone for a while.
    assert!((1..30).contains(&refused), "{refused}");
}

#[tokio::test]
async fn a_pod_without_a_model_is_passed_over() {
    let (one, empty) = (pod(Track::Stable).await, empty_pod().await);
    let front = Front::before(&backends(0, &[one, empty], None));
    assert_eq!(front.split(100).await, [100, 0]);
    let alone = Front::before(&backends(0, &[empty], None));
    let answer = alone.predict().await;
    assert_eq!(answer.status(), 503);
    assert!(
        String::from_utf8_lossy(answer.body()).contains("is being loaded"),
        "{answer:?}"
    );
}

#[tokio::test]
async fn the_canarys_share_goes_to_stable_where_no_canary_answers_and_never_the_other_way() {
    let (stable, canary, none) = (pod(Track::Stable).await, pod(Track::Canary).await, nobody().await);
    for canarys in [&[][..], &[none]] {
        let front = Front::before(&backends(50, &[stable], Some(canarys)));
        assert_eq!(front.split(100).await, [100, 0]);
        let diverted = front.counted("aurora_router_diverted_total{model=\"wine\"}");
        assert!(diverted.abs_diff(50) <= 2, "{diverted}");
        // Whoever asks for the canary wants no other.
        let asked = front
            .send("POST /predict/wine", &[("aurora-track", "canary")], ROW)
            .await;
        assert_eq!(shown(&asked), "503");
    }
    for (stables, told) in [
        (&[][..], "no pod of the stable track is ready"),
        (&[none], "no pod of the stable track takes a connection"),
    ] {
        let front = Front::before(&backends(0, stables, Some(&[canary])));
        for _ in 0..20 {
            let answer = front.predict().await;
            assert_eq!(answer.status(), 503);
            assert_eq!(answer.headers()["retry-after"], "1");
            assert!(
                String::from_utf8_lossy(answer.body()).contains(told),
                "{answer:?}"
            );
        }
    }
}

#[tokio::test]
async fn what_breaks_off_is_asked_once_more_and_not_again_and_again() {
    let ((one, counted), (two, counted_too)) = (broken().await, broken().await);
    let (three, counted_three) = broken().await;
    let front = Front::before(&backends(0, &[one, two, three], None));
    let answer = front.predict().await;
    assert_eq!(answer.status(), 502, "{answer:?}");
    let sent = [&counted, &counted_too, &counted_three];
    assert_eq!(
        sent.map(|count| count.load(Ordering::Relaxed))
            .iter()
            .sum::<usize>(),
        2
    );
    let beside = Front::before(&backends(0, &[one, pod(Track::Stable).await], None));
    assert_eq!(beside.split(50).await, [50, 0]);
}

#[tokio::test]
async fn a_pod_that_says_nothing_is_waited_for_no_longer_than_was_said() {
    let silent = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let front = Front::with(Duration::from_millis(50));
    front
        .router
        .follow(&backends(0, &[silent.local_addr().expect("bound")], None));
    let answer = front.predict().await;
    assert_eq!(answer.status(), 504, "{answer:?}");
}

#[tokio::test]
async fn a_client_that_goes_takes_its_request_with_it() {
    let silent = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let front = Front::before(&backends(0, &[silent.local_addr().expect("bound")], None));
    let mut stream = {
        let mut asking = pin!(front.predict());
        let (mut stream, _) = tokio::select! {
            answer = &mut asking => unreachable!("nobody answers: {answer:?}"),
            accepted = silent.accept() => accepted.expect("a connection"),
        };
        let mut request = vec![0; 4096];
        tokio::select! {
            answer = &mut asking => unreachable!("nobody answers: {answer:?}"),
            read = stream.read(&mut request) => assert!(read.expect("a request") > 0),
        }
        stream
    };
    let mut rest = Vec::new();
    // Ended or reset: the pod sees that nobody waits.
    let _reset = stream.read_to_end(&mut rest).await;
    let gone = "aurora_router_requests_total{code=\"499\",model=\"wine\",routed=\"split\",track=\"stable\"}";
    assert_eq!(front.counted(gone), 1);
}

#[tokio::test]
async fn before_it_is_told_it_is_alive_and_not_ready_and_a_refusal_changes_nothing() {
    let front = Front::new();
    let health = async |front: &Front| {
        let answer = front.send("GET /health", &[], "").await;
        assert_eq!(answer.status(), 200);
        serde_json::from_slice::<serde_json::Value>(answer.body()).expect("JSON")
    };
    let ready = async |front: &Front| {
        front
            .send("GET /v2/health/ready", &[], "")
            .await
            .status()
            .as_u16()
    };
    assert_eq!(ready(&front).await, 503);
    assert_eq!(front.predict().await.status(), 503);
    front.router.refuse("ConfigMap r: it is not there".to_owned());
    assert_eq!(ready(&front).await, 503);
    assert_eq!(health(&front).await["refused"], "ConfigMap r: it is not there");

    let stable = pod(Track::Stable).await;
    front.router.follow(&backends(0, &[stable], None));
    assert_eq!(ready(&front).await, 200);
    let told = health(&front).await;
    assert_eq!(told["refused"], serde_json::Value::Null);
    assert_eq!(
        told["stable"],
        serde_json::json!({ "version": V1, "endpoints": 1 })
    );
    front.router.refuse("unreadable".to_owned());
    assert_eq!(front.split(10).await, [10, 0]);
    assert_eq!(ready(&front).await, 200);
    assert_eq!(front.counted("aurora_router_refused_total"), 2);

    front.router.follow(&backends(0, &[], None));
    assert_eq!(ready(&front).await, 503);
}

#[tokio::test]
async fn a_request_under_way_is_answered_after_the_signal() {
    let slow = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let front = Front::before(&backends(0, &[slow.local_addr().expect("bound")], None));
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("bound");
    let (shutdown, signal) = oneshot::channel::<()>();
    let options = RouterOptions {
        access: Access::default(),
        limits: Limits::default(),
        answer_timeout: Duration::from_mins(1),
    };
    let ended = tokio::spawn(serve_router(front.router.clone(), listener, options, async {
        let _dropped = signal.await;
    }));
    let mut client = tokio::net::TcpStream::connect(address).await.expect("connected");
    let request = format!(
        "POST /predict/wine HTTP/1.1\r\nhost: localhost\r\ncontent-length: {}\r\n\r\n{ROW}",
        ROW.len()
    );
    client.write_all(request.as_bytes()).await.expect("sent");
    let (mut stream, _) = slow.accept().await.expect("a connection");
    let mut head = [0; 4096];
    assert!(stream.read(&mut head).await.expect("a request") > 0);
    shutdown.send(()).expect("it listens");
    while front.router.ready() {
        tokio::task::yield_now().await;
    }
    stream
        .write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}")
        .await
        .expect("answered");
    let mut answer = String::new();
    client.read_to_string(&mut answer).await.expect("an answer");
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    assert!(answer.contains("connection: close"), "{answer}");
    ended.await.expect("it ends");
}
