//! Calls as clients make them.

use std::io::Write as _;
use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use flate2::Compression;
use flate2::write::{GzEncoder, ZlibEncoder};
use http_body_util::{BodyExt as _, Full};
use hyper::client::conn::http2::{self, SendRequest};
use hyper::header::HeaderMap;
use hyper_util::rt::{TokioExecutor, TokioIo};
use prost::Message;
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::frames::{HEAD_BYTES, framed};
use super::health::HealthCheckRequest;
use super::oip::model_infer_request::InferInputTensor;
use super::oip::{InferTensorContents, ModelInferRequest};

/// Long enough for a busy machine; only waited for when a test fails.
pub(crate) const PATIENCE: Duration = Duration::from_mins(1);

pub(crate) const INFER: &str = "/inference.GRPCInferenceService/ModelInfer";

/// One connection.
pub(crate) struct Client {
    pub(crate) sender: SendRequest<Full<Bytes>>,
    pub(crate) address: SocketAddr,
    /// Ends when the connection has.
    pub(crate) ended: JoinHandle<hyper::Result<()>>,
}

/// What a call was answered.
#[derive(Debug)]
pub(crate) struct Said {
    pub(crate) code: i32,
    pub(crate) reason: String,
    pub(crate) headers: HeaderMap,
    pub(crate) trailers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Client {
    pub(crate) async fn connect(
        address: SocketAddr,
        set: impl FnOnce(&mut http2::Builder<TokioExecutor>),
    ) -> Self {
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
    pub(crate) fn head(&self, path: &str) -> hyper::http::request::Builder {
        hyper::Request::post(format!("http://{}{path}", self.address))
            .header("content-type", "application/grpc")
            .header("te", "trailers")
    }

    pub(crate) async fn call(&self, call: hyper::Request<Full<Bytes>>) -> Said {
        timeout(PATIENCE, said(self.sender.clone().send_request(call)))
            .await
            .expect("an answer")
    }

    pub(crate) async fn ask(&self, path: &str, headers: &[(&str, &str)], body: Vec<u8>) -> Said {
        let head = headers
            .iter()
            .fold(self.head(path), |head, (name, value)| head.header(*name, *value));
        self.call(head.body(body_of(body)).expect("a call")).await
    }

    pub(crate) async fn infer(&self, headers: &[(&str, &str)], request: &ModelInferRequest) -> Said {
        self.ask(INFER, headers, in_frame(request)).await
    }
}

pub(crate) fn body_of(bytes: Vec<u8>) -> Full<Bytes> {
    Full::new(bytes.into())
}

pub(crate) fn in_frame(message: &impl Message) -> Vec<u8> {
    framed(message.encoded_len(), |bytes| {
        message.encode(bytes).expect("memory takes all bytes");
    })
}

/// Returns a probe of a service, in its frame.
pub(crate) fn health_of(service: &str) -> Vec<u8> {
    in_frame(&HealthCheckRequest {
        service: service.to_owned(),
    })
}

/// Compresses a message by `gzip` or `deflate` into its frame.
pub(crate) fn compressed(message: &impl Message, coding: &str) -> Vec<u8> {
    let bytes = message.encode_to_vec();
    let packed = if coding == "gzip" {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(&bytes).and_then(|()| encoder.finish())
    } else {
        let mut encoder = ZlibEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(&bytes).and_then(|()| encoder.finish())
    };
    let packed = packed.expect("memory");
    let mut frame = framed(packed.len(), |frame| frame.extend(&packed));
    frame[0] = 1;
    frame
}

/// Waits for all of an answer; its status is in the trailers, or among the headers where there is nothing else.
pub(crate) async fn said(
    answer: impl Future<Output = hyper::Result<hyper::Response<hyper::body::Incoming>>>,
) -> Said {
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
        trailers,
        body: collected.to_bytes(),
    }
}

impl Said {
    pub(crate) fn message<M: Message + Default>(&self) -> M {
        assert_eq!((self.code, &*self.reason), (0, ""));
        M::decode(&self.body[HEAD_BYTES..]).expect("a message")
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers
            .get(name)
            .map_or("", |value| value.to_str().expect("ASCII"))
    }
}

/// Asks `wine` for so many rows of `a = 2` and `b_per_c = 0.5`, of which stable makes 7.
pub(crate) fn wine_rows(rows: usize) -> ModelInferRequest {
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
pub(crate) fn in_numbers(request: ModelInferRequest) -> ModelInferRequest {
    let mut request = request;
    let bytes = request.raw_input_contents.pop().expect("one input");
    let (numbers, _rest) = bytes.as_chunks();
    request.inputs[0].contents = Some(InferTensorContents {
        fp64_contents: numbers.iter().map(|number| f64::from_le_bytes(*number)).collect(),
        ..InferTensorContents::default()
    });
    request
}
