//! Connections: how they end, and what one may hold.

use std::convert::Infallible;

use futures_util::StreamExt as _;
use futures_util::stream::{self, BoxStream};
use http_body_util::{BodyExt as _, StreamBody};
use hyper::body::Frame;
use tokio::sync::mpsc;
use tonic_reflection::pb::v1::server_reflection_request::MessageRequest;
use tonic_reflection::pb::v1::server_reflection_response::MessageResponse;
use tonic_reflection::pb::v1::{ServerReflectionRequest, ServerReflectionResponse};

use super::*;
use crate::http::Limits;
use crate::inference::grpc::frames::HEAD_BYTES;

/// A body that is sent as a test goes on; it ends when what sends it is dropped.
type Parts = StreamBody<BoxStream<'static, Result<Frame<Bytes>, Infallible>>>;

fn parts() -> (mpsc::UnboundedSender<Bytes>, Parts) {
    let (sender, receiver) = mpsc::unbounded_channel();
    let parts = stream::unfold(receiver, async |mut receiver| {
        let bytes = receiver.recv().await?;
        Some((Ok(Frame::data(bytes)), receiver))
    });
    (sender, StreamBody::new(parts.boxed()))
}

/// Opens a call whose body is sent in parts.
async fn open(
    listening: &Listening,
    path: &str,
) -> (
    mpsc::UnboundedSender<Bytes>,
    JoinHandle<hyper::Result<hyper::Response<hyper::body::Incoming>>>,
    JoinHandle<hyper::Result<()>>,
) {
    let stream = TcpStream::connect(listening.grpc).await.expect("connected");
    let (mut sender, connection) = http2::handshake(TokioExecutor::new(), TokioIo::new(stream))
        .await
        .expect("it speaks HTTP/2");
    let ended = tokio::spawn(connection);
    let (body, parts) = parts();
    let call = hyper::Request::post(format!("http://{}{path}", listening.grpc))
        .header("content-type", "application/grpc")
        .body(parts)
        .expect("a call");
    (body, tokio::spawn(sender.send_request(call)), ended)
}

async fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let holding = async {
        while !holds() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(PATIENCE, holding)
        .await
        .unwrap_or_else(|_elapsed| panic!("{what}"));
}

fn options(limits: Limits) -> InferenceOptions {
    InferenceOptions {
        limits,
        ..InferenceOptions::default()
    }
}

/// A call that has begun is answered, and its connection ends in order: its client was told to open another.
#[tokio::test]
async fn a_call_under_way_is_answered_at_the_end() {
    let listening = Listening::start().await;
    let (body, answer, ended) = open(&listening, INFER).await;
    let bytes = in_frame(&wine_rows(1));
    body.send(bytes[..7].to_vec().into()).expect("sent");
    let idle = listening.client().await;
    assert_eq!(idle.infer(&[], &wine_rows(1)).await.code, 0);
    let Listening {
        shutdown, ended: all, ..
    } = listening;
    drop(shutdown);
    // What idles goes first.
    let of_idle = timeout(PATIENCE, idle.ended)
        .await
        .expect("in time")
        .expect("no panic");
    of_idle.expect("in order");
    assert!(!all.is_finished());
    body.send(bytes[7..].to_vec().into()).expect("sent");
    drop(body);
    let said = timeout(PATIENCE, said(async { answer.await.expect("no panic") }))
        .await
        .expect("in time");
    assert_eq!(said.code, 0, "{said:?}");
    timeout(PATIENCE, ended)
        .await
        .expect("in time")
        .expect("no panic")
        .expect("in order");
    timeout(PATIENCE, all).await.expect("in time").expect("no panic");
}

#[tokio::test]
async fn who_asks_what_can_be_called_is_told_and_does_not_hold_up_the_end() {
    let listening = Listening::start().await;
    let (body, answer, _ended) = open(
        &listening,
        "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
    )
    .await;
    let answer = timeout(PATIENCE, answer)
        .await
        .expect("in time")
        .expect("no panic")
        .expect("opened");
    let mut messages = answer.into_body();
    let mut ask = async |asked| {
        let request = ServerReflectionRequest {
            host: String::new(),
            message_request: Some(asked),
        };
        body.send(in_frame(&request).into()).expect("sent");
        let frame = timeout(PATIENCE, messages.frame()).await.expect("in time");
        let bytes = frame
            .expect("an answer")
            .expect("whole")
            .into_data()
            .expect("a message");
        let read = ServerReflectionResponse::decode(&bytes[HEAD_BYTES..]).expect("a message");
        read.message_response.expect("what was asked")
    };
    let MessageResponse::ListServicesResponse(listed) =
        ask(MessageRequest::ListServices(String::new())).await
    else {
        panic!("no list");
    };
    let names: Vec<_> = listed.service.iter().map(|service| &*service.name).collect();
    assert!(names.contains(&"inference.GRPCInferenceService"), "{names:?}");
    let symbol = "inference.GRPCInferenceService.ModelInfer".to_owned();
    let found = ask(MessageRequest::FileContainingSymbol(symbol)).await;
    assert!(
        matches!(found, MessageResponse::FileDescriptorResponse(_)),
        "{found:?}"
    );
    let Listening { shutdown, ended, .. } = listening;
    drop(shutdown);
    let ending = async { while messages.frame().await.is_some() {} };
    timeout(PATIENCE, ending)
        .await
        .expect("it ends though nobody closed it");
    timeout(PATIENCE, ended)
        .await
        .expect("in time")
        .expect("no panic");
}

/// Its client is told before a connection ends that idles: a call that is on its way then is not lost.
#[tokio::test]
async fn a_connection_that_idles_ends_in_order() {
    let limits = Limits {
        idle_timeout: Duration::from_millis(50),
        ..Limits::default()
    };
    let listening = Listening::with(options(limits)).await;
    let client = listening.client().await;
    assert_eq!(client.infer(&[], &wine_rows(1)).await.code, 0);
    let ended = timeout(PATIENCE, client.ended)
        .await
        .expect("in time")
        .expect("no panic");
    ended.expect("in order");
    until("it is counted", || listening.closed("idle") == 1).await;
}

/// A client whose window takes nothing of its answer holds it for a while only.
#[tokio::test]
async fn a_client_that_takes_nothing_is_given_up() {
    let limits = Limits {
        write_timeout: Duration::from_millis(100),
        ..Limits::default()
    };
    let listening = Listening::with(options(limits)).await;
    let client = Client::connect(listening.grpc, |builder| {
        builder
            .initial_stream_window_size(1)
            .initial_connection_window_size(1 << 20);
    })
    .await;
    let call = client.head(INFER).body(body_of(in_frame(&wine_rows(50_000))));
    let answer = client.sender.clone().send_request(call.expect("a call"));
    let _unread = timeout(PATIENCE, answer)
        .await
        .expect("in time")
        .expect("its head");
    until("it is given up", || listening.closed("stalled") == 1).await;
    let held = series(
        listening.runtime.metrics(),
        "aurora_connections{listener=\"grpc\"}",
    );
    assert_eq!(held, 0);
}

#[tokio::test]
async fn more_calls_than_a_connection_has_at_once_wait_and_are_answered() {
    let listening = Listening::start().await;
    let client = listening.client().await;
    let request = wine_rows(1);
    let calls = (0..300).map(|_| client.infer(&[], &request));
    let said = futures_util::future::join_all(calls).await;
    assert!(said.iter().all(|said| said.code == 0));
    assert_eq!(listening.answered(INFER, 200), 300);
}

/// Calls of one connection are many: there is nothing of a body that does not count. Who sends no more gives way.
#[tokio::test]
async fn every_byte_of_a_body_counts() {
    let limits = Limits {
        body_bytes: 100,
        bodies_bytes: 100,
        body_timeout: PATIENCE,
        ..Limits::default()
    };
    let listening = Listening::with(options(limits)).await;
    let (body, _answer, ended) = open(&listening, INFER).await;
    body.send(vec![0; 90].into()).expect("sent");
    // Its bytes may still be on their way: until they are there, others have room beside it.
    let others = listening.client().await;
    let asking = async {
        while listening.closed("slow") == 0 {
            let said = others.infer(&[], &wine_rows(1)).await;
            assert_eq!(said.code, 0, "{said:?}");
        }
    };
    timeout(PATIENCE, asking).await.expect("it gives way");
    // In order, or not: it was told, by its call or by the end.
    let _ended = timeout(PATIENCE, ended)
        .await
        .expect("in time")
        .expect("no panic");
}
