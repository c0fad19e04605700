//! Calls to pods that fail, each in its way.

use std::convert::Infallible;
use std::sync::Mutex;

use bytes::Bytes;
use futures_util::StreamExt as _;
use futures_util::future::join_all;
use futures_util::stream::{self, BoxStream};
use h2::Reason;
use h2::server::SendResponse;
use http_body_util::StreamBody;
use hyper::body::Frame;
use hyper::client::conn::http2;
use hyper::header::{HeaderMap, HeaderValue};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::time::timeout;

use super::calls::{Listening, options};
use super::*;
use crate::inference::grpc::testing::{INFER, PATIENCE, compressed, in_frame, said, wine_rows};

/// What a pod does with a call.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Does {
    /// It answers, with words of its own in the headers and behind.
    Answers,
    /// It answers, and takes no other call on that connection.
    AnswersOnce,
    /// It refuses by this code, and has a model or has none.
    Says(&'static str, bool),
    /// It resets the call.
    Resets(Reason),
    /// It ends its connection, and says that it took no call.
    GoesAway,
    /// It ends its connection without a word.
    Ends,
    /// It begins an answer and resets it.
    BreaksOff,
    /// It answers as no server of gRPC does.
    NoCall(u16),
    /// It takes the call and says nothing.
    Silent,
    /// Nobody is there.
    Away,
}
use Does::{Answers, AnswersOnce, Away, BreaksOff, Ends, GoesAway, NoCall, Resets, Says, Silent};

/// What came to a pod.
#[derive(Debug, Default)]
struct Came {
    connections: usize,
    calls: usize,
    /// Of the last call.
    headers: HeaderMap,
    body: Bytes,
    /// Whether its client has gone.
    is_reset: bool,
}

/// A pod that does so with each call.
struct Pod {
    grpc: SocketAddr,
    came: Arc<Mutex<Came>>,
}

impl Pod {
    async fn that(does: Does) -> Self {
        let listener = port().await;
        let pod = Self {
            grpc: listener.local_addr().expect("bound"),
            came: Arc::default(),
        };
        let came = pod.came.clone();
        if does != Away {
            drop(tokio::spawn(async move {
                while let Ok((stream, _)) = listener.accept().await {
                    came.lock().expect("no panic").connections += 1;
                    drop(tokio::spawn(serve(stream, does, came.clone())));
                }
            }));
        }
        pod
    }

    fn endpoint(&self) -> Endpoint {
        Endpoint {
            // By HTTP nobody is asked here.
            http: self.grpc,
            grpc: Some(self.grpc),
        }
    }

    fn came(&self) -> std::sync::MutexGuard<'_, Came> {
        self.came.lock().expect("no panic")
    }

    async fn until(&self, what: &str, holds: impl Fn(&Came) -> bool) {
        let holding = async {
            while !holds(&self.came()) {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        timeout(PATIENCE, holding).await.expect(what);
    }
}

async fn serve(mut stream: TcpStream, does: Does, came: Arc<Mutex<Came>>) {
    if does == GoesAway {
        // By hand: the last call that it took is none, whatever came.
        let mut head = [0; 24];
        stream.read_exact(&mut head).await.expect("the preface");
        let settings = [0, 0, 0, 4, 0, 0, 0, 0, 0];
        let go_away = [0, 0, 8, 7, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
        stream.write_all(&settings).await.expect("sent");
        stream.write_all(&go_away).await.expect("sent");
        let mut rest = Vec::new();
        let _reset = stream.read_to_end(&mut rest).await;
        return;
    }
    let mut connection = h2::server::handshake(stream).await.expect("HTTP/2");
    while let Some(accepted) = connection.accept().await {
        let Ok((call, respond)) = accepted else { return };
        came.lock().expect("no panic").calls += 1;
        match does {
            Ends => return,
            AnswersOnce => connection.graceful_shutdown(),
            _ => {}
        }
        drop(tokio::spawn(answer(call, respond, does, came.clone())));
    }
}

async fn answer(
    call: hyper::Request<h2::RecvStream>,
    mut respond: SendResponse<Bytes>,
    does: Does,
    came: Arc<Mutex<Came>>,
) {
    let (head, mut receiving) = call.into_parts();
    let mut body = Vec::new();
    while let Some(Ok(part)) = receiving.data().await {
        body.extend(&part);
        receiving
            .flow_control()
            .release_capacity(part.len())
            .expect("room");
    }
    {
        let mut came = came.lock().expect("no panic");
        came.headers = head.headers;
        came.body = body.into();
    }
    let response = |status: u16, headers: &[(&'static str, &'static str)]| {
        let mut response = hyper::Response::new(());
        *response.status_mut() = hyper::StatusCode::from_u16(status).expect("a status");
        for (name, value) in headers {
            response
                .headers_mut()
                .insert(*name, HeaderValue::from_static(value));
        }
        response
    };
    let grpc = ("content-type", "application/grpc");
    match does {
        Answers | AnswersOnce => {
            let headers = [grpc, ("aurora-model-version", V1), ("aurora-revision", "abc")];
            let mut sending = respond
                .send_response(response(200, &headers), false)
                .expect("sent");
            sending
                .send_data(Bytes::from_static(&[0, 0, 0, 0, 0]), false)
                .expect("sent");
            let mut trailers = HeaderMap::new();
            trailers.insert("grpc-status", HeaderValue::from_static("0"));
            trailers.insert("checked-bin", HeaderValue::from_static("AAA"));
            sending.send_trailers(trailers).expect("sent");
        }
        Says(code, has_model) => {
            let headers = [
                grpc,
                ("grpc-status", code),
                ("grpc-message", "no%20luck"),
                ("aurora-model-version", V1),
            ];
            let count = if has_model { 4 } else { 3 };
            respond
                .send_response(response(200, &headers[..count]), true)
                .expect("sent");
        }
        Resets(reason) => respond.send_reset(reason),
        BreaksOff => {
            let mut sending = respond
                .send_response(response(200, &[grpc]), false)
                .expect("sent");
            sending
                .send_data(Bytes::from_static(&[0, 0, 0, 0, 9]), false)
                .expect("sent");
            // What was sent is on its way first.
            tokio::time::sleep(Duration::from_millis(5)).await;
            sending.send_reset(Reason::INTERNAL_ERROR);
        }
        NoCall(status) => {
            respond.send_response(response(status, &[]), true).expect("sent");
        }
        Silent => {
            let _reason = std::future::poll_fn(|ctx| respond.poll_reset(ctx)).await;
            came.lock().expect("no panic").is_reset = true;
        }
        GoesAway | Ends | Away => unreachable!("it ends earlier"),
    }
}

async fn pods(does: &[Does]) -> Vec<Pod> {
    join_all(does.iter().map(|does| Pod::that(*does))).await
}

fn endpoints(pods: &[Pod]) -> Vec<Endpoint> {
    pods.iter().map(Pod::endpoint).collect()
}

/// Checks what a call is answered where stable has pods that do so: the code and its words, and how often a pod took the call.
async fn check(does: &[Does], expected: &str, sent: usize) {
    let pods = pods(does).await;
    let mut options = options();
    if does.contains(&Silent) {
        options.answer_timeout = Duration::from_millis(50);
    }
    let listening = Listening::with(options, &told(0, &endpoints(&pods), None)).await;
    let said = listening.client().await.infer(&[], &wine_rows(1)).await;
    let shown = format!("{} {}", said.code, said.reason);
    assert!(shown.starts_with(expected), "{does:?}: {said:?}");
    let calls: usize = pods.iter().map(|pod| pod.came().calls).sum();
    assert_eq!(calls, sent, "{does:?}");
}

#[tokio::test]
async fn how_often_a_call_is_sent_follows_from_what_became_of_it() {
    let internal = Resets(Reason::INTERNAL_ERROR);
    let untaken = Resets(Reason::REFUSED_STREAM);
    let broke_off = "14 a pod of the stable track broke off before it had answered";
    let refused = "14 no pod of the stable track takes a connection, try again";
    for (does, expected, sent) in [
        (&[Answers][..], "0 ", 1),
        // What was sent is sent once more at most: it may be what ends them.
        (&[internal; 3], broke_off, 2),
        (&[Ends; 3], broke_off, 2),
        (&[BreaksOff; 3], broke_off, 2),
        (&[internal], broke_off, 1),
        // What was certainly not taken is not sent: three pods are asked, each on a connection that is new in the end.
        (&[untaken; 4], refused, 6),
        (&[GoesAway; 4], refused, 0),
        (&[Away; 4], refused, 0),
        // Who has no model has done nothing; the last of them says why.
        (&[Says("14", false); 4], "14 no luck", 3),
        (
            &[Says("5", false); 4],
            "14 no pod of the stable track has its model yet",
            3,
        ),
        (
            &[NoCall(503); 4],
            "14 no pod of the stable track has its model yet",
            3,
        ),
        // Who has one answers, whatever it says.
        (&[Says("14", true); 2], "14 no luck", 1),
        (&[Says("5", true); 2], "5 no luck", 1),
        (&[Says("3", false); 2], "3 no luck", 1),
        (&[Says("8", false); 2], "8 no luck", 1),
        (
            &[NoCall(404); 2],
            "14 a pod of the stable track answered as no server of gRPC does, with HTTP status 404",
            1,
        ),
        (
            &[NoCall(200); 2],
            "14 a pod of the stable track answered as no server of gRPC does",
            1,
        ),
        (
            &[Silent; 2],
            "4 a pod of the stable track did not answer in time",
            1,
        ),
        (&[], "14 no pod of the stable track is ready", 0),
    ] {
        check(does, expected, sent).await;
    }
}

#[tokio::test]
async fn beside_a_pod_that_answers_no_call_is_lost() {
    for does in [
        Resets(Reason::INTERNAL_ERROR),
        Resets(Reason::REFUSED_STREAM),
        GoesAway,
        Ends,
        BreaksOff,
        NoCall(503),
        Says("14", false),
        Away,
    ] {
        let pods = pods(&[does, Answers]).await;
        let listening = Listening::before(&told(0, &endpoints(&pods), None)).await;
        let client = listening.client().await;
        for _ in 0..20 {
            let said = client.infer(&[], &wine_rows(1)).await;
            assert_eq!(said.code, 0, "{does:?}: {said:?}");
        }
        let failures: u64 = ["refused", "broken", "not_ready"]
            .map(|reason| {
                listening.counted(&format!(
                    "aurora_router_endpoint_failures_total{{model=\"wine\",reason=\"{reason}\",track=\"stable\"}}"
                ))
            })
            .iter()
            .sum();
        // After the first failure it is left alone for a while.
        assert!(failures <= 2, "{does:?}: {failures}");
        assert_eq!(listening.answered(INFER, 200), 20);
    }
}

#[tokio::test]
async fn the_canarys_calls_go_to_stable_where_no_canary_answers_and_never_the_other_way() {
    for does in [Away, Says("14", false), Resets(Reason::REFUSED_STREAM)] {
        let (stable, canary) = (pods(&[Answers]).await, pods(&[does]).await);
        let listening = Listening::before(&told(50, &endpoints(&stable), Some(&endpoints(&canary)))).await;
        let client = listening.client().await;
        for _ in 0..20 {
            let said = client.infer(&[], &wine_rows(1)).await;
            assert_eq!(said.code, 0, "{does:?}: {said:?}");
        }
        let diverted = listening.counted("aurora_router_diverted_total{model=\"wine\"}");
        assert!(diverted.abs_diff(10) <= 2, "{does:?}: {diverted}");
        let asked = client.infer(&[("aurora-track", "canary")], &wine_rows(1)).await;
        assert_eq!(asked.code, 14, "{does:?}: {asked:?}");
    }
    let (stable, canary) = (pods(&[Away]).await, pods(&[Answers]).await);
    let listening = Listening::before(&told(0, &endpoints(&stable), Some(&endpoints(&canary)))).await;
    let said = listening.client().await.infer(&[], &wine_rows(1)).await;
    assert_eq!(said.code, 14, "{said:?}");
}

#[tokio::test]
async fn what_a_call_says_besides_goes_both_ways() {
    let pods = pods(&[Answers]).await;
    let listening = Listening::before(&told(0, &endpoints(&pods), None)).await;
    let client = listening.client().await;
    let frame = compressed(&wine_rows(3), "gzip");
    let headers = [
        ("grpc-encoding", "gzip"),
        ("grpc-timeout", "5S"),
        ("aurora-request-id", "mine"),
        ("trace-bin", "AAEC"),
        ("authorization", "Bearer of-the-mesh"),
    ];
    let said = client.ask(INFER, &headers, frame.clone()).await;
    assert_eq!(said.code, 0, "{said:?}");
    for (name, value) in [
        ("aurora-model-version", V1),
        ("aurora-revision", "abc"),
        ("aurora-request-id", "mine"),
    ] {
        assert_eq!(said.header(name), value, "{said:?}");
    }
    assert_eq!(said.trailers["checked-bin"], "AAA");
    let came = pods[0].came();
    assert_eq!(came.body, frame);
    assert_eq!(came.headers["te"], "trailers");
    for (name, value) in headers {
        assert_eq!(came.headers[name], value);
    }
}

/// A pod that ends a connection says so: the next call goes on another one, to the same pod, and is sent once.
#[tokio::test]
async fn a_connection_that_its_pod_ended_costs_no_call() {
    let pods = pods(&[AnswersOnce]).await;
    let listening = Listening::before(&told(0, &endpoints(&pods), None)).await;
    let client = listening.client().await;
    for call in 1..=20 {
        let said = client.infer(&[], &wine_rows(1)).await;
        assert_eq!(said.code, 0, "{call}: {said:?}");
        assert_eq!(pods[0].came().calls, call);
    }
    for reason in ["refused", "broken", "not_ready"] {
        let failures = format!(
            "aurora_router_endpoint_failures_total{{model=\"wine\",reason=\"{reason}\",track=\"stable\"}}"
        );
        assert_eq!(listening.counted(&failures), 0, "{reason}");
    }
}

/// Many calls share few connections.
#[tokio::test]
async fn as_many_connections_are_opened_as_the_calls_under_way_need() {
    let pods = pods(&[Silent]).await;
    let listening = Listening::before(&told(0, &endpoints(&pods), None)).await;
    let clients = [listening.client().await, listening.client().await];
    let request = wine_rows(1);
    let calls = (0..200).map(|at| clients[at % 2].infer(&[], &request));
    {
        let mut calls = pin!(join_all(calls));
        tokio::select! {
            _ = &mut calls => unreachable!("nobody answers"),
            () = pods[0].until("all of them come", |came| came.calls == 200) => {}
        }
    }
    assert_eq!(pods[0].came().connections, 4);
}

#[tokio::test]
async fn a_client_that_goes_takes_its_call_with_it() {
    let pods = pods(&[Silent]).await;
    let listening = Listening::before(&told(0, &endpoints(&pods), None)).await;
    let client = listening.client().await;
    let request = wine_rows(1);
    {
        let mut calling = pin!(client.infer(&[], &request));
        tokio::select! {
            said = &mut calling => unreachable!("nobody answers: {said:?}"),
            () = pods[0].until("it comes", |came| came.calls == 1) => {}
        }
    }
    pods[0]
        .until("the pod sees that nobody waits", |came| came.is_reset)
        .await;
    let gone = "aurora_router_requests_total{code=\"499\",model=\"wine\",routed=\"split\",track=\"stable\"}";
    assert_eq!(listening.counted(gone), 1);
    // The connection is still there for others.
    let other = pin!(client.infer(&[], &request));
    tokio::select! {
        said = other => unreachable!("nobody answers: {said:?}"),
        () = pods[0].until("it comes", |came| came.calls == 2) => {}
    }
    assert_eq!(pods[0].came().connections, 1);
}

/// A call that has begun is answered, and its connection ends in order: its client was told to open another.
#[tokio::test]
async fn a_call_under_way_is_answered_after_the_signal() {
    let pods = pods(&[Answers]).await;
    let listening = Listening::before(&told(0, &endpoints(&pods), None)).await;
    let stream = TcpStream::connect(listening.grpc).await.expect("connected");
    let (mut sender, connection) = http2::handshake(TokioExecutor::new(), TokioIo::new(stream))
        .await
        .expect("it speaks HTTP/2");
    let ended = tokio::spawn(connection);
    let (body, receiver) = mpsc::unbounded_channel::<Bytes>();
    let parts: BoxStream<'static, Result<Frame<Bytes>, Infallible>> =
        stream::unfold(receiver, async |mut receiver| {
            let bytes = receiver.recv().await?;
            Some((Ok(Frame::data(bytes)), receiver))
        })
        .boxed();
    let call = hyper::Request::post(format!("http://{}{INFER}", listening.grpc))
        .header("content-type", "application/grpc")
        .body(StreamBody::new(parts))
        .expect("a call");
    let answer = tokio::spawn(sender.send_request(call));
    let bytes = in_frame(&wine_rows(1));
    body.send(bytes[..7].to_vec().into()).expect("sent");
    let idle = listening.client().await;
    assert_eq!(idle.infer(&[], &wine_rows(1)).await.code, 0);
    let Listening {
        router,
        shutdown,
        ended: all,
        ..
    } = listening;
    drop(shutdown);
    let of_idle = timeout(PATIENCE, idle.ended).await.expect("in time");
    of_idle.expect("no panic").expect("in order");
    assert!(!router.ready() && !all.is_finished());
    body.send(bytes[7..].to_vec().into()).expect("sent");
    drop(body);
    let said = timeout(PATIENCE, said(async { answer.await.expect("no panic") }));
    assert_eq!(said.await.expect("in time").code, 0);
    let of_call = timeout(PATIENCE, ended).await.expect("in time");
    of_call.expect("no panic").expect("in order");
    timeout(PATIENCE, all).await.expect("in time").expect("no panic");
}
