//! Calls by gRPC, of real clients, through a router to real pods.

use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::task::JoinHandle;

use super::*;
use crate::inference::grpc::oip::{
    ModelInferRequest, ModelInferResponse, ModelMetadataRequest, ModelMetadataResponse, ModelReadyRequest,
    ModelReadyResponse, ModelStatisticsRequest, ModelStatisticsResponse, RepositoryIndexRequest,
    RepositoryIndexResponse, ServerMetadataResponse, ServerReadyResponse,
};
use crate::inference::grpc::testing::{
    Client, INFER, PATIENCE, Said, body_of, compressed, health_of, in_frame, wine_rows,
};
use crate::keys::Keys;

pub(super) const SERVICE: &str = "/inference.GRPCInferenceService";
const HEALTH: &str = "/grpc.health.v1.Health/Check";

/// A router that listens at both doors.
pub(super) struct Listening {
    pub(super) router: Router,
    http: SocketAddr,
    pub(super) grpc: SocketAddr,
    pub(super) shutdown: oneshot::Sender<()>,
    pub(super) ended: JoinHandle<()>,
}

pub(super) fn options() -> RouterOptions {
    RouterOptions {
        access: Access::default(),
        limits: Limits::default(),
        answer_timeout: PATIENCE,
    }
}

impl Listening {
    pub(super) async fn with(options: RouterOptions, told: &Backends) -> Self {
        let router = Router::new(Metrics::new(), 1);
        router.follow(told);
        Self::of(router, options).await
    }

    async fn of(router: Router, options: RouterOptions) -> Self {
        let (http, grpc) = (port().await, port().await);
        let at = |listener: &TcpListener| listener.local_addr().expect("bound");
        let (at_http, at_grpc) = (at(&http), at(&grpc));
        let (shutdown, signal) = oneshot::channel::<()>();
        let doors = Doors {
            http: http.into(),
            grpc: Some(grpc.into()),
        };
        let serving = serve_router(router.clone(), doors, options, async {
            let _dropped = signal.await;
        });
        Self {
            router,
            http: at_http,
            grpc: at_grpc,
            shutdown,
            ended: tokio::spawn(serving),
        }
    }

    pub(super) async fn before(told: &Backends) -> Self {
        Self::with(options(), told).await
    }

    pub(super) async fn client(&self) -> Client {
        Client::connect(self.grpc, |_builder| {}).await
    }

    pub(super) fn counted(&self, name_and_labels: &str) -> u64 {
        series(&self.router.0.metrics, name_and_labels)
    }

    /// Returns how many calls of a path were answered so.
    pub(super) fn answered(&self, path: &str, code: u16) -> u64 {
        self.counted(&format!(
            "aurora_requests_total{{code=\"{code}\",method=\"POST\",route=\"{path}\"}}"
        ))
    }
}

/// Asks by HTTP, on a connection of its own, and returns the status and who answered.
async fn by_http(address: SocketAddr) -> String {
    let stream = TcpStream::connect(address).await.expect("connected");
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.expect("open");
    drop(tokio::spawn(connection));
    let request = hyper::Request::post("/predict/wine").header("host", "localhost");
    let request = request.body(body_of(ROW.into())).expect("a request");
    let (head, _body) = sender.send_request(request).await.expect("answered").into_parts();
    let track = head
        .headers
        .get("aurora-track")
        .map_or("", |track| track.to_str().expect("ASCII"));
    format!("{} {track}", head.status.as_u16())
}

/// Shows an answer's code, who gave it, and what it says against it.
fn shown(said: &Said) -> String {
    assert!(!said.header("aurora-request-id").is_empty(), "{said:?}");
    let track = said.header("aurora-track");
    format!("{} {track} {}", said.code, said.reason)
}

async fn both_tracks(weight: u64) -> Backends {
    let (stable, canary) = (
        listen(loaded(Track::Stable)).await,
        listen(loaded(Track::Canary)).await,
    );
    told(weight, &[stable], Some(&[canary]))
}

#[tokio::test]
async fn one_split_is_for_what_comes_by_both_doors() {
    let listening = Listening::before(&both_tracks(10).await).await;
    let client = listening.client().await;
    let request = wine_rows(1);
    let mut canarys = [0, 0];
    let mut by_door = [0, 0];
    let dice = Dice::new(3);
    for _ in 0..1_000 {
        let door = usize::from(dice.roll().is_multiple_of(2));
        by_door[door] += 1;
        let is_canarys = if door == 0 {
            let answer = by_http(listening.http).await;
            assert!(answer.starts_with("200"), "{answer}");
            answer.ends_with("canary")
        } else {
            let said = client.infer(&[], &request).await;
            let read: ModelInferResponse = said.message();
            let is_canarys = said.header("aurora-track") == "canary";
            let expected: f64 = if is_canarys { 1007.0 } else { 7.0 };
            assert_eq!(read.raw_output_contents, [expected.to_le_bytes()]);
            assert_eq!(said.header("aurora-model-version"), read.model_version);
            is_canarys
        };
        canarys[door] += usize::from(is_canarys);
    }
    assert!((canarys[0] + canarys[1]).abs_diff(100) <= 2, "{canarys:?}");
    assert!(by_door.iter().all(|count| *count > 400), "{by_door:?}");
    assert!(canarys.iter().all(|count| *count > 0), "{canarys:?}");
    let counted = |track| {
        listening.counted(&format!(
            "aurora_router_requests_total{{code=\"200\",model=\"wine\",routed=\"split\",track=\"{track}\"}}"
        ))
    };
    assert_eq!(counted("stable") + counted("canary"), 1_000);
}

#[tokio::test]
async fn a_call_may_name_its_track_or_version_as_over_http() {
    let listening = Listening::before(&both_tracks(0).await).await;
    let client = listening.client().await;
    for (name, version, track, expected) in [
        ("wine", "", None, "0 stable "),
        ("wine", "", Some("canary"), "0 canary "),
        ("wine", "", Some("stable"), "0 stable "),
        (
            "wine",
            "",
            Some("blue"),
            "3  aurora-track is neither stable nor canary",
        ),
        ("wine", V1, None, "0 stable "),
        ("wine", V2, None, "0 canary "),
        ("wine", V2, Some("canary"), "0 canary "),
        (
            "wine",
            V2,
            Some("stable"),
            "3  aurora-track is stable, but version v20260202-000000 is loaded on canary",
        ),
        ("wine", "1", None, "5  version 1 is not loaded"),
        ("iris", "", None, "5  no such model; served: wine"),
        ("", "", None, "5  no such model; served: wine"),
    ] {
        let headers: Vec<_> = track.map(|track| ("aurora-track", track)).into_iter().collect();
        let request = ModelInferRequest {
            model_name: name.to_owned(),
            model_version: version.to_owned(),
            ..wine_rows(1)
        };
        let said = client.infer(&headers, &request).await;
        assert_eq!(shown(&said), expected, "{name} {version} {track:?}");
    }
    let named = client
        .infer(&[("aurora-request-id", "call-1")], &wine_rows(1))
        .await;
    assert_eq!(named.header("aurora-request-id"), "call-1");
    let explicit = |track| {
        listening.counted(&format!(
            "aurora_router_requests_total{{code=\"200\",model=\"wine\",routed=\"explicit\",track=\"{track}\"}}"
        ))
    };
    assert_eq!((explicit("stable"), explicit("canary")), (2, 3));
}

/// What pods refuse comes through as they say it, and counts as what it is.
#[tokio::test]
async fn a_refusal_of_a_pod_is_passed_on() {
    let listening = Listening::before(&both_tracks(0).await).await;
    let client = listening.client().await;
    let mut request = wine_rows(1);
    request.inputs[0].shape = vec![1, 3];
    let said = client.infer(&[], &request).await;
    assert!(
        shown(&said).starts_with("3 stable input `input`: got shape [1, 3]"),
        "{said:?}"
    );
    assert_eq!(said.header("aurora-model-version"), V1);
    assert_eq!(listening.answered(INFER, 400), 1);
    let counted =
        "aurora_router_requests_total{code=\"400\",model=\"wine\",routed=\"split\",track=\"stable\"}";
    assert_eq!(listening.counted(counted), 1);
    // What can be seen here costs no pod anything, and is no step of the split.
    for (body, expected) in [
        (Vec::new(), "3  the call has no message"),
        (
            vec![0, 0, 0, 0, 9],
            "3  the message is announced with 9 bytes, 0 came",
        ),
        (vec![0, 0, 0, 0, 1, 0xff], "3  failed to read the message"),
        (
            vec![1, 0, 0, 0, 1, 0],
            "12  grpc-encoding: the message is compressed by no coding",
        ),
    ] {
        let said = client.ask(INFER, &[], body).await;
        assert!(shown(&said).starts_with(expected), "{said:?}");
    }
    assert_eq!(listening.router.0.routed.load(Ordering::Relaxed), 1);
    let json =
        hyper::Request::post(format!("http://{}{INFER}", client.address)).body(body_of(b"{}".to_vec()));
    assert_eq!(client.call(json.expect("a call")).await.code, 12);
}

#[tokio::test]
async fn what_a_router_knows_it_says_and_what_describes_a_model_its_pods_do() {
    let listening = Listening::before(&both_tracks(0).await).await;
    let client = listening.client().await;
    let ask = async |call: &str, track: Option<&str>, message: Vec<u8>| {
        let headers: Vec<_> = track.map(|track| ("aurora-track", track)).into_iter().collect();
        client.ask(&format!("{SERVICE}/{call}"), &headers, message).await
    };
    let empty = || in_frame(&ModelMetadataRequest::default());
    let ready: ServerReadyResponse = ask("ServerReady", None, empty()).await.message();
    assert!(ready.ready);
    let server: ServerMetadataResponse = ask("ServerMetadata", None, empty()).await.message();
    assert_eq!(server.name, "aurora");
    assert_eq!(ask("ServerLive", None, empty()).await.code, 0);
    let index: RepositoryIndexResponse = ask("RepositoryIndex", None, empty()).await.message();
    let models: Vec<_> = index
        .models
        .iter()
        .map(|model| (&*model.name, &*model.version, &*model.state))
        .collect();
    assert_eq!(models, [("wine", V1, "READY"), ("wine", V2, "READY")]);

    let of = |name: &str, version: &str| {
        in_frame(&ModelMetadataRequest {
            name: name.to_owned(),
            version: version.to_owned(),
        })
    };
    for (version, track, expected) in [
        ("", None, V1),
        ("", Some("canary"), V2),
        (V2, None, V2),
        (V1, Some("stable"), V1),
    ] {
        let said = ask("ModelMetadata", track, of("wine", version)).await;
        let read: ModelMetadataResponse = said.message();
        assert_eq!(read.versions, [expected], "{version} {track:?}");
        assert_eq!(ask("ModelConfig", track, of("wine", version)).await.code, 0);
    }
    // A message of the same shape asks for statistics; where it names no model, of the one that there is.
    for (name, version) in [("wine", ""), ("", ""), ("", V2)] {
        let asked = in_frame(&ModelStatisticsRequest {
            name: name.to_owned(),
            version: version.to_owned(),
        });
        let read: ModelStatisticsResponse = ask("ModelStatistics", None, asked).await.message();
        assert_eq!(read.model_stats[0].version, V1, "{name} {version}");
    }
    for (call, message, expected) in [
        ("ModelMetadata", of("iris", ""), "5  no such model; served: wine"),
        ("ModelMetadata", of("wine", "1"), "5  version 1 is not loaded"),
        ("ModelConfig", of("iris", ""), "5  no such model; served: wine"),
        (
            "ModelStatistics",
            of("iris", ""),
            "5  no such model; served: wine",
        ),
        (
            "ModelMetadata",
            vec![0, 0, 0, 0, 1, 0xff],
            "3  failed to read the message",
        ),
        ("RepositoryModelLoad", empty(), "7  models change by commit"),
        ("RepositoryModelUnload", empty(), "7  models change by commit"),
        ("ModelStreamInfer", empty(), "12  no such call"),
    ] {
        let said = ask(call, None, message).await;
        assert!(shown(&said).starts_with(expected), "{call}: {said:?}");
    }
    for (name, version, track, expected) in [
        ("wine", "", None, true),
        ("wine", V2, None, true),
        ("wine", "", Some("canary"), true),
        ("wine", "1", None, false),
        ("iris", "", None, false),
    ] {
        let asked = in_frame(&ModelReadyRequest {
            name: name.to_owned(),
            version: version.to_owned(),
        });
        let read: ModelReadyResponse = ask("ModelReady", track, asked).await.message();
        assert_eq!(read.ready, expected, "{name} {version}");
    }
    let reflection = "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo";
    assert_eq!(client.ask(reflection, &[], Vec::new()).await.code, 0);
    // Nothing of this is a prediction.
    assert_eq!(listening.router.0.routed.load(Ordering::Relaxed), 0);
}

#[tokio::test]
async fn without_pods_that_speak_grpc_a_call_is_told_so_and_http_goes_on() {
    let (stable, canary) = (
        listen(loaded(Track::Stable)).await,
        listen(loaded(Track::Canary)).await,
    );
    let by_http_alone = |endpoint: Endpoint| Endpoint::by_http(endpoint.http);
    let listening = Listening::before(&told(50, &[by_http_alone(stable)], None)).await;
    let client = listening.client().await;
    let health = async |service: &str| {
        let asked = health_of(service);
        client.ask(HEALTH, &[], asked).await
    };
    let without = "14  no pod of the stable track answers by gRPC: its Service has no port of the name grpc";
    assert_eq!(shown(&client.infer(&[], &wine_rows(1)).await), without);
    assert_eq!(by_http(listening.http).await, "200 stable");
    assert!(listening.router.ready());
    // Serving is 1, and not serving 2.
    for service in ["", "inference.GRPCInferenceService", "wine"] {
        assert_eq!(health(service).await.body[5..], [8, 2], "{service}");
    }
    assert_eq!(health("iris").await.code, 5);
    let index = RepositoryIndexRequest {
        ready: true,
        ..RepositoryIndexRequest::default()
    };
    let index = client
        .ask(&format!("{SERVICE}/RepositoryIndex"), &[], in_frame(&index))
        .await;
    assert_eq!(index.message::<RepositoryIndexResponse>().models, []);

    // Where the canary's pods speak none, its share of the calls is stable's; not that of the requests by HTTP.
    listening
        .router
        .follow(&told(100, &[stable], Some(&[by_http_alone(canary)])));
    assert_eq!(shown(&client.infer(&[], &wine_rows(1)).await), "0 stable ");
    assert_eq!(by_http(listening.http).await, "200 canary");
    assert_eq!(
        listening.counted("aurora_router_diverted_total{model=\"wine\"}"),
        1
    );
    let said = client.infer(&[("aurora-track", "canary")], &wine_rows(1)).await;
    assert!(
        shown(&said).starts_with("14  no pod of the canary track answers by gRPC"),
        "{said:?}"
    );
    assert_eq!(health("").await.body[5..], [8, 1]);

    listening.router.follow(&told(0, &[], None));
    let nobody = "14  no pod of the stable track is ready, try again";
    assert_eq!(shown(&client.infer(&[], &wine_rows(1)).await), nobody);
    assert_eq!(listening.answered(INFER, 503), 3);
}

#[tokio::test]
async fn before_it_is_told_a_call_is_told_to_wait() {
    let listening = Listening::of(Router::new(Metrics::new(), 1), options()).await;
    let client = listening.client().await;
    let said = client.infer(&[], &wine_rows(1)).await;
    assert_eq!(shown(&said), "14  it is not known yet whom to ask, try again");
    assert_eq!(said.header("retry-after"), "1");
    let asked = in_frame(&ModelMetadataRequest::default());
    let ready = client.ask(&format!("{SERVICE}/ServerReady"), &[], asked).await;
    assert!(!ready.message::<ServerReadyResponse>().ready);
}

/// What is compressed goes on as it came; what says where it goes is read all the same, within the bounds of all bodies.
#[tokio::test]
async fn messages_may_come_compressed_and_large_answers_go_whole() {
    let mut options = options();
    options.limits.body_bytes = 1 << 20;
    let listening = Listening::with(options, &both_tracks(0).await).await;
    let client = listening.client().await;
    for coding in ["gzip", "deflate"] {
        let headers = [("grpc-encoding", coding)];
        let said = client
            .ask(INFER, &headers, compressed(&wine_rows(100), coding))
            .await;
        let read: ModelInferResponse = said.message();
        assert_eq!(read.raw_output_contents, [7.0_f64.to_le_bytes().repeat(100)]);
        let bomb = ModelInferRequest {
            raw_input_contents: vec![vec![0; 64 << 20]],
            ..wine_rows(1)
        };
        let said = client.ask(INFER, &headers, compressed(&bomb, coding)).await;
        assert_eq!(said.code, 8, "{said:?}");
    }
    // Several windows of an answer.
    let read: ModelInferResponse = client.infer(&[], &wine_rows(60_000)).await.message();
    assert_eq!(read.raw_output_contents[0].len(), 480_000);
    assert_eq!(client.infer(&[], &wine_rows(1 << 17)).await.code, 8);
    assert_eq!(listening.answered(INFER, 413), 3);
}

#[tokio::test]
async fn an_answer_larger_than_any_may_be_is_not_passed_on() {
    let mut options = options();
    options.limits.answer_bytes = 10_000;
    let listening = Listening::with(options, &both_tracks(0).await).await;
    let client = listening.client().await;
    let said = client.infer(&[], &wine_rows(2_000)).await;
    assert!(
        shown(&said).starts_with("14  a pod of the stable track gave an answer that is larger"),
        "{said:?}"
    );
    assert_eq!(listening.answered(INFER, 502), 1);
    assert_eq!(client.infer(&[], &wine_rows(1)).await.code, 0);
}

#[tokio::test]
async fn keys_are_asked_for_and_go_no_further() {
    let (key, line) = crate::keys::generate("test").expect("randomness");
    let file = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(file.path(), line).expect("written");
    let mut options = options();
    options.access.keys = Keys::from_file(file.path()).expect("read");
    let listening = Listening::with(options, &both_tracks(0).await).await;
    let client = listening.client().await;
    assert_eq!(client.infer(&[], &wine_rows(1)).await.code, 16);
    assert_eq!(client.infer(&[("x-api-key", &key)], &wine_rows(1)).await.code, 0);
    let probe = health_of("");
    assert_eq!(client.ask(HEALTH, &[], probe).await.code, 0);
    assert_eq!(listening.router.0.routed.load(Ordering::Relaxed), 1);
}

/// Without keys, what protects a listener is that only this machine asks it, by one of its own names.
#[tokio::test]
async fn without_keys_another_name_is_refused() {
    let listening = Listening::before(&both_tracks(0).await).await;
    let client = listening.client().await;
    let call = hyper::Request::post(format!("http://evil.example{INFER}"))
        .header("content-type", "application/grpc")
        .body(body_of(in_frame(&wine_rows(1))));
    let said = client.call(call.expect("a call")).await;
    assert_eq!(said.code, 7, "{said:?}");
}

/// The share that one address has of the requests is one for both doors.
#[tokio::test]
async fn calls_wait_for_no_turn_of_their_own() {
    let mut options = options();
    options.limits.requests = 1;
    let silent = port().await;
    let endpoint = Endpoint {
        http: silent.local_addr().expect("bound"),
        grpc: Some(silent.local_addr().expect("bound")),
    };
    let listening = Listening::with(options, &told(0, &[endpoint], None)).await;
    let waiting = tokio::spawn(by_http(listening.http));
    let (_held, _) = silent.accept().await.expect("a connection");
    let said = listening.client().await.infer(&[], &wine_rows(1)).await;
    assert_eq!(said.code, 8, "{said:?}");
    assert_eq!(listening.answered(INFER, 429), 1);
    waiting.abort();
}
