//! Calls as clients make them, over HTTP/2.

mod connections;
mod faults;

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::client::conn::http2::{self, SendRequest};
use hyper::header::HeaderMap;
use hyper_util::rt::{TokioExecutor, TokioIo};
use planner::names::{Track, Weight};
use prost::Message;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::frames::framed;
use super::oip::model_infer_request::InferInputTensor;
use super::oip::{InferTensorContents, ModelInferRequest, ModelInferResponse};
use crate::inference::{Doors, InferenceOptions, serve_inference};
use crate::runtime::Runtime;
use crate::testing::{V1, V2, add_iris, artifact, linear, model, series, wine};

/// Long enough for a busy machine; only waited for when a test fails.
const PATIENCE: Duration = Duration::from_mins(1);

const INFER: &str = "/inference.GRPCInferenceService/ModelInfer";

/// A listener with both doors.
struct Listening {
    grpc: SocketAddr,
    runtime: Runtime,
    shutdown: oneshot::Sender<()>,
    ended: JoinHandle<()>,
}

impl Listening {
    async fn with(options: InferenceOptions) -> Self {
        let http = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let grpc = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = grpc.local_addr().expect("bound");
        let (shutdown, signal) = oneshot::channel::<()>();
        let runtime = wine();
        add_iris(&runtime);
        let doors = Doors {
            http: http.into(),
            grpc: Some(grpc.into()),
        };
        let serving = serve_inference(runtime.clone(), doors, options, async {
            // A dropped sender is a shutdown too.
            let _dropped = signal.await;
        });
        Self {
            grpc: address,
            runtime,
            shutdown,
            ended: tokio::spawn(serving),
        }
    }

    async fn start() -> Self {
        Self::with(InferenceOptions::default()).await
    }

    async fn client(&self) -> Client {
        Client::connect(self.grpc, |_builder| {}).await
    }

    /// Returns how many connections it closed for a reason.
    fn closed(&self, reason: &str) -> u64 {
        let name = format!("aurora_connections_closed_total{{listener=\"grpc\",reason=\"{reason}\"}}");
        series(self.runtime.metrics(), &name)
    }

    /// Returns how many calls of a path were answered so.
    fn answered(&self, path: &str, code: u16) -> u64 {
        let name = format!("aurora_requests_total{{code=\"{code}\",method=\"POST\",route=\"{path}\"}}");
        series(self.runtime.metrics(), &name)
    }
}

/// One connection.
struct Client {
    sender: SendRequest<Full<Bytes>>,
    address: SocketAddr,
    /// Ends when the connection has.
    ended: JoinHandle<hyper::Result<()>>,
}

/// What a call was answered.
#[derive(Debug)]
struct Said {
    code: i32,
    reason: String,
    headers: HeaderMap,
    body: Bytes,
}

impl Client {
    async fn connect(address: SocketAddr, set: impl FnOnce(&mut http2::Builder<TokioExecutor>)) -> Self {
        let stream = TcpStream::connect(address).await.expect("connected");
        let mut builder = http2::Builder::new(TokioExecutor::new());
        set(&mut builder);
        let (sender, connection) = builder
            .handshake(TokioIo::new(stream))
            .await
            .expect("it speaks HTTP/2");
        Self {
            sender,
            address,
            ended: tokio::spawn(connection),
        }
    }

    /// Returns a call with what every one has.
    fn head(&self, path: &str) -> hyper::http::request::Builder {
        hyper::Request::post(format!("http://{}{path}", self.address))
            .header("content-type", "application/grpc")
            .header("te", "trailers")
    }

    async fn call(&self, call: hyper::Request<Full<Bytes>>) -> Said {
        timeout(PATIENCE, said(self.sender.clone().send_request(call)))
            .await
            .expect("an answer")
    }

    async fn ask(&self, path: &str, headers: &[(&str, &str)], body: Vec<u8>) -> Said {
        let head = headers
            .iter()
            .fold(self.head(path), |head, (name, value)| head.header(*name, *value));
        self.call(head.body(body_of(body)).expect("a call")).await
    }

    async fn infer(&self, headers: &[(&str, &str)], request: &ModelInferRequest) -> Said {
        self.ask(INFER, headers, in_frame(request)).await
    }
}

fn body_of(bytes: Vec<u8>) -> Full<Bytes> {
    Full::new(bytes.into())
}

fn in_frame(message: &impl Message) -> Vec<u8> {
    framed(message.encoded_len(), |bytes| {
        message.encode(bytes).expect("memory takes all bytes");
    })
}

/// Waits for all of an answer; its status is in the trailers, or among the headers where there is nothing else.
async fn said(answer: impl Future<Output = hyper::Result<hyper::Response<hyper::body::Incoming>>>) -> Said {
    let (head, body) = answer.await.expect("answered").into_parts();
    assert_eq!(head.status, 200);
    assert_eq!(head.headers["content-type"], "application/grpc");
    let collected = body.collect().await.expect("a whole answer");
    let trailers = collected.trailers().cloned().unwrap_or_default();
    let status = tonic::Status::from_header_map(&trailers)
        .or_else(|| tonic::Status::from_header_map(&head.headers))
        .expect("a status");
    Said {
        code: status.code().into(),
        reason: status.message().to_owned(),
        headers: head.headers,
        body: collected.to_bytes(),
    }
}

impl Said {
    fn message<M: Message + Default>(&self) -> M {
        assert_eq!((self.code, &*self.reason), (0, ""));
        M::decode(&self.body[super::frames::HEAD_BYTES..]).expect("a message")
    }

    fn header(&self, name: &str) -> &str {
        self.headers
            .get(name)
            .map_or("", |value| value.to_str().expect("ASCII"))
    }
}

/// Asks `wine` for so many rows of `a = 2` and `b_per_c = 0.5`, of which stable makes 7.
fn wine_rows(rows: usize) -> ModelInferRequest {
    ModelInferRequest {
        model_name: "wine".to_owned(),
        inputs: vec![InferInputTensor {
            name: "input".to_owned(),
            datatype: "FP64".to_owned(),
            shape: vec![i64::try_from(rows).expect("few"), 2],
            ..InferInputTensor::default()
        }],
        raw_input_contents: vec![
            [2.0_f64, 0.5]
                .repeat(rows)
                .iter()
                .flat_map(|number| number.to_le_bytes())
                .collect(),
        ],
        ..ModelInferRequest::default()
    }
}

/// The same with its numbers as numbers.
fn in_numbers(request: ModelInferRequest) -> ModelInferRequest {
    let mut request = request;
    let bytes = request.raw_input_contents.pop().expect("one input");
    let (numbers, _rest) = bytes.as_chunks();
    request.inputs[0].contents = Some(InferTensorContents {
        fp64_contents: numbers.iter().map(|number| f64::from_le_bytes(*number)).collect(),
        ..InferTensorContents::default()
    });
    request
}

#[tokio::test]
async fn predictions_come_in_the_form_that_the_rows_had() {
    let listening = Listening::start().await;
    let client = listening.client().await;
    let of_iris = || ModelInferRequest {
        model_name: "iris".to_owned(),
        ..wine_rows(2)
    };
    let read: ModelInferResponse = client.infer(&[], &wine_rows(2)).await.message();
    assert_eq!(read.raw_output_contents, [7.0_f64.to_le_bytes().repeat(2)]);
    assert_eq!(
        (read.model_name.as_str(), read.model_version.as_str()),
        ("wine", V1)
    );
    assert_eq!(read.outputs[0].shape, [2, 1]);
    let read: ModelInferResponse = client.infer(&[], &in_numbers(wine_rows(2))).await.message();
    let numbers = read.outputs[0].contents.as_ref().expect("numbers");
    assert_eq!(numbers.fp64_contents, [7.0, 7.0]);
    let read: ModelInferResponse = client.infer(&[], &in_numbers(of_iris())).await.message();
    let labels = read.outputs[0].contents.as_ref().expect("labels");
    assert_eq!(labels.bytes_contents, [b"setosa", b"setosa"]);
    let read: ModelInferResponse = client.infer(&[], &of_iris()).await.message();
    assert_eq!(read.raw_output_contents[0], b"\x06\0\0\0setosa".repeat(2));
}

/// The same slots as over HTTP, by version, by track and by the split, and the same headers that say who answered.
#[tokio::test]
async fn slots_are_chosen_as_over_http() {
    let listening = Listening::start().await;
    let client = listening.client().await;
    let first = |said: &Said| {
        let read: ModelInferResponse = said.message();
        read.raw_output_contents[0].clone()
    };
    let thousand_more = 1007.0_f64.to_le_bytes();
    let canary = client.infer(&[("aurora-track", "canary")], &wine_rows(1)).await;
    assert_eq!(first(&canary), thousand_more);
    assert_eq!(canary.header("aurora-model-version"), V2);
    assert_eq!(canary.header("aurora-track"), "canary");
    assert!(canary.header("aurora-model-digest").starts_with("sha256:"));
    assert!(!canary.header("aurora-request-id").is_empty());
    let by_version = ModelInferRequest {
        model_version: V2.to_owned(),
        ..wine_rows(1)
    };
    assert_eq!(first(&client.infer(&[], &by_version).await), thousand_more);
    listening.runtime.set_weight(&model("wine"), Weight::FULL);
    assert_eq!(first(&client.infer(&[], &wine_rows(1)).await), thousand_more);
    let named = ModelInferRequest {
        id: "mine".to_owned(),
        ..wine_rows(1)
    };
    let said = client.infer(&[("aurora-request-id", "call-1")], &named).await;
    assert_eq!(said.message::<ModelInferResponse>().id, "mine");
    assert_eq!(said.header("aurora-request-id"), "call-1");
}

/// What a deployment changes under load, no call sees: each has an answer, whole and of one version.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_swaps_lose_no_call() {
    const SWAPS: usize = 1000;
    let listening = Listening::start().await;
    let stop = tokio::sync::watch::channel(false);
    let mut asking = Vec::new();
    for _ in 0..2 {
        let client = std::sync::Arc::new(listening.client().await);
        for _ in 0..4 {
            let (client, stop) = (client.clone(), stop.1.clone());
            asking.push(tokio::spawn(async move {
                let mut answered = 0_usize;
                while !*stop.borrow() {
                    let said = client.infer(&[("aurora-track", "stable")], &wine_rows(1)).await;
                    let read: ModelInferResponse = said.message();
                    let expected = match &*read.model_version {
                        V1 => 7.0,
                        V2 => 107.0_f64,
                        other => panic!("{other}"),
                    };
                    assert_eq!(read.raw_output_contents, [expected.to_le_bytes()]);
                    assert_eq!(said.header("aurora-model-version"), read.model_version);
                    answered += 1;
                }
                answered
            }));
        }
    }
    let runtime = listening.runtime.clone();
    tokio::task::spawn_blocking(move || {
        for swap in 0..SWAPS {
            let (number, intercept) = if swap % 2 == 0 { (V2, 100.0) } else { (V1, 0.0) };
            runtime.load(artifact("wine", number, Track::Stable, &linear(intercept)));
        }
    })
    .await
    .expect("swapped");
    stop.0.send_replace(true);
    let mut answered = 0;
    for asking in asking {
        answered += asking.await.expect("no call was lost");
    }
    assert!(answered > 0);
}
