//! Calls by gRPC, as a client makes them: one message there and one back.

use std::io;
use std::net::SocketAddr;

use http::{HeaderMap, Method, Request};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Bytes;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use tokio::runtime::Runtime;

/// The flag and the length before a message.
const PREFIX_LENGTH: usize = 5;

/// What came back.
#[derive(Debug)]
pub struct Called {
    /// The status; 0 is success.
    pub status: u32,
    /// What the server says of a status that is none.
    pub words: String,
    /// The metadata that came before the message, or with the status alone.
    pub metadata: HeaderMap,
    /// The message; empty where there is none.
    pub message: Bytes,
}

/// Calls over HTTP/2 without TLS, on connections that it keeps.
#[derive(Debug)]
pub struct Caller {
    runtime: Runtime,
    http: Client<HttpConnector, Full<Bytes>>,
}

impl Caller {
    /// Returns one that has called nobody yet.
    ///
    /// # Errors
    ///
    /// There is no thread to be had.
    pub fn new() -> io::Result<Self> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()?;
        let mut connector = HttpConnector::new();
        connector.set_nodelay(true);
        let http = Client::builder(TokioExecutor::new())
            .http2_only(true)
            .build(connector);
        Ok(Self { runtime, http })
    }

    /// Calls a method (`/package.Service/Method`), with this metadata, and waits for all of the answer. Not for a thread of a
    /// runtime.
    ///
    /// # Errors
    ///
    /// What came is no answer of gRPC, or nothing came.
    pub fn call(
        &self,
        address: SocketAddr,
        method: &str,
        metadata: &[(&str, &str)],
        message: &[u8],
    ) -> Result<Called, String> {
        let length = u32::try_from(message.len()).map_err(|error| error.to_string())?;
        let framed = [&[0], length.to_be_bytes().as_slice(), message].concat();
        let mut request = Request::builder()
            .method(Method::POST)
            .uri(format!("http://{address}{method}"))
            .header("content-type", "application/grpc")
            .header("te", "trailers");
        for (name, value) in metadata {
            request = request.header(*name, *value);
        }
        let request = request
            .body(Full::new(framed.into()))
            .map_err(|error| error.to_string())?;
        self.runtime.block_on(async {
            let answer = self.http.request(request).await;
            let (parts, body) = answer.map_err(|error| format!("{error:?}"))?.into_parts();
            if !parts.status.is_success() {
                return Err(format!("HTTP {}", parts.status));
            }
            let body = body.collect().await.map_err(|error| format!("{error:?}"))?;
            let trailers = body.trailers().cloned().unwrap_or_default();
            let said = |name: &str| {
                let value = trailers.get(name).or(parts.headers.get(name));
                value.and_then(|value| value.to_str().ok()).unwrap_or_default()
            };
            let status = said("grpc-status");
            Ok(Called {
                status: status.parse().map_err(|_none| format!("no status: {status:?}"))?,
                words: said("grpc-message").to_owned(),
                message: without_prefix(&body.to_bytes()),
                metadata: parts.headers,
            })
        })
    }
}

/// Returns the message that follows its prefix.
fn without_prefix(framed: &Bytes) -> Bytes {
    framed.slice(PREFIX_LENGTH.min(framed.len())..)
}
