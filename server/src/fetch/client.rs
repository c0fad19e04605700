//! One request to the control plane: a connection of its own, bounded in time and size, and no redirect is followed.

use std::future::{Future, poll_fn};
use std::path::Path;
use std::pin::Pin;
use std::time::Duration;

use bytes::Bytes;
use hyper::body::{Body as _, Incoming};
use hyper::client::conn::http1;
use hyper::header::{ACCEPT, HOST, HeaderValue, IF_RANGE, RANGE};
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::io::AsyncReadExt as _;
use tokio::net::TcpStream;
use tokio::task::AbortHandle;

use super::address::Address;
use super::error::FetchError;

/// The most of an error's text that is read and told.
const SAID_BYTES_MAX: u64 = 2048;
/// The most that a key's file has.
const KEY_BYTES_MAX: u64 = 4096;

/// What is asked for.
#[derive(Debug)]
pub(super) struct Asked<'a> {
    /// The path, from its slash on.
    pub(super) path: &'a str,
    /// From which byte on, where some are there, and the tag of what they are of.
    pub(super) rest: Option<(u64, String)>,
}

/// How long a request may take.
#[derive(Debug, Clone)]
pub(super) struct Bounds {
    /// Until there is a connection.
    pub(super) connect: Duration,
    /// Until an answer begins: the control plane may have to hash the artifact before.
    pub(super) begin: Duration,
    /// Between two parts of an answer.
    pub(super) stall: Duration,
}

impl Default for Bounds {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(5),
            begin: Duration::from_mins(1),
            stall: Duration::from_secs(30),
        }
    }
}

/// An answer whose body is still to come.
pub(super) struct Answer {
    pub(super) response: Response<Incoming>,
    stall: Duration,
    /// Ends the connection with the answer.
    _connection: Connection,
}

struct Connection(AbortHandle);

impl Drop for Connection {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Reads the key of a file: what stands in it, without the space around it.
pub(super) async fn key(file: &Path) -> Result<HeaderValue, FetchError> {
    let unusable = |why: &dyn std::fmt::Display| FetchError::Key(format!("{}: {why}", file.display()));
    let mut text = String::new();
    let opened = tokio::fs::File::open(file)
        .await
        .map_err(|error| unusable(&error))?;
    let mut bounded = opened.take(KEY_BYTES_MAX);
    bounded
        .read_to_string(&mut text)
        .await
        .map_err(|error| unusable(&error))?;
    let key = HeaderValue::from_str(text.trim())
        .ok()
        .filter(|key| !key.is_empty());
    let mut key = key.ok_or_else(|| unusable(&"it does not hold one key on one line"))?;
    key.set_sensitive(true);
    Ok(key)
}

/// Asks, and waits until the answer begins.
pub(super) async fn ask(
    address: &Address,
    key: Option<HeaderValue>,
    asked: &Asked<'_>,
    bounds: &Bounds,
) -> Result<Answer, FetchError> {
    let unreachable = |error: &dyn std::error::Error| FetchError::Unreachable(format!("{address}: {error}"));
    let connecting = TcpStream::connect((address.host.as_str(), address.port));
    let stream = within(bounds.connect, "take a connection", connecting)
        .await?
        .map_err(|error| unreachable(&error))?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream))
        .await
        .map_err(|error| unreachable(&error))?;
    let driven = tokio::spawn(async move {
        // What goes wrong with it, whoever reads the answer is told.
        let _ended = connection.await;
    });
    let connection = Connection(driven.abort_handle());
    let response = within(
        bounds.begin,
        "begin its answer",
        sender.send_request(request(address, key, asked)),
    )
    .await?
    .map_err(|error| FetchError::Broken(error.to_string()))?;
    Ok(Answer {
        response,
        stall: bounds.stall,
        _connection: connection,
    })
}

fn request(address: &Address, key: Option<HeaderValue>, asked: &Asked<'_>) -> Request<String> {
    let mut request = Request::new(String::new());
    let uri = address.target(asked.path).parse();
    *request.uri_mut() = uri.expect("invariant: an address's prefix and names are a path");
    let headers = request.headers_mut();
    let host = HeaderValue::from_str(&address.authority);
    headers.insert(HOST, host.expect("invariant: an authority is visible ASCII"));
    headers.insert(ACCEPT, HeaderValue::from_static("*/*"));
    if let Some(key) = key {
        headers.insert("x-api-key", key);
    }
    if let Some((first, tag)) = &asked.rest {
        let value = |text: &str| {
            HeaderValue::from_str(text).expect("invariant: a number or a digest is visible ASCII")
        };
        headers.insert(RANGE, value(&format!("bytes={first}-")));
        headers.insert(IF_RANGE, value(tag));
    }
    request
}

impl Answer {
    /// Returns the next bytes of the answer; `None` at its end.
    pub(super) async fn next(&mut self) -> Result<Option<Bytes>, FetchError> {
        loop {
            let stall = self.stall;
            let body = self.response.body_mut();
            let frame = poll_fn(|context| Pin::new(&mut *body).poll_frame(context));
            let frame = match within(stall, "send more of its answer", frame).await? {
                None => return Ok(None),
                Some(Err(error)) => return Err(FetchError::Broken(error.to_string())),
                Some(Ok(frame)) => frame,
            };
            // Trailers are nothing to us.
            if let Ok(bytes) = frame.into_data() {
                return Ok(Some(bytes));
            }
        }
    }

    /// Appends all of the answer to `content`, which is `what` and has at most `limit` bytes. What came before an error stays.
    pub(super) async fn read(
        &mut self,
        content: &mut Vec<u8>,
        what: &'static str,
        limit: u64,
    ) -> Result<(), FetchError> {
        while let Some(bytes) = self.next().await? {
            if content.len() as u64 + bytes.len() as u64 > limit {
                return Err(FetchError::TooLarge { what, limit });
            }
            content.extend_from_slice(&bytes);
        }
        Ok(())
    }

    /// Returns what an answer that is no success says: the `error` of its JSON, else its status.
    pub(super) async fn said(mut self) -> String {
        let mut content = Vec::new();
        // As much as came tells as well as nothing.
        let _partly = self.read(&mut content, "an error", SAID_BYTES_MAX).await;
        let json = serde_json::from_slice::<serde_json::Value>(&content).ok();
        let error = json.as_ref().and_then(|json| json["error"].as_str());
        let status = self.response.status();
        error.map_or_else(
            || status.canonical_reason().unwrap_or("no words").to_owned(),
            str::to_owned,
        )
    }

    /// Returns the status.
    pub(super) fn status(&self) -> StatusCode {
        self.response.status()
    }
}

async fn within<F: Future>(limit: Duration, what: &'static str, future: F) -> Result<F::Output, FetchError> {
    tokio::time::timeout(limit, future)
        .await
        .map_err(|_elapsed| FetchError::Slow { what, limit })
}
