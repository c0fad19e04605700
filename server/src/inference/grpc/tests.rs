//! Calls as clients make them, over HTTP/2.

mod connections;
mod faults;

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo};
use planner::names::{Track, Weight};
use prost::Message;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::frames::framed;
use super::oip::{ModelInferRequest, ModelInferResponse};
use super::testing::{Client, INFER, PATIENCE, Said, body_of, in_frame, in_numbers, said, wine_rows};
use crate::inference::{Doors, InferenceOptions, serve_inference};
use crate::runtime::Runtime;
use crate::testing::{V1, V2, add_iris, artifact, linear, model, series, wine};

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
