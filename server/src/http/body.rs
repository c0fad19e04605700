//! Reads a request's body: within its size, within its time, within what all bodies together may hold.

use std::time::Duration;

use bytes::Buf;
use futures_util::{Stream, StreamExt};
use hyper::header::{CONTENT_LENGTH, HeaderMap};

use super::budget::{Budget, Taken};
use super::reply::Failure;

/// What is reserved before a byte has come: a client that announces much and sends little holds little.
const RESERVED_BYTES_MAX: usize = 64 << 10;

/// What bodies may take.
#[derive(Debug, Clone)]
pub(crate) struct BodyLimits {
    /// Of one body.
    pub(crate) bytes: usize,
    /// For one body.
    pub(crate) timeout: Duration,
    /// Of all bodies together.
    pub(crate) held: Budget,
}

/// A whole body. Gives its share of the budget back when dropped.
#[derive(Debug)]
pub(crate) struct Body {
    bytes: Vec<u8>,
    _held: Option<Taken>,
}

impl std::ops::Deref for Body {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Body {
    /// Reads `stream` to its end: 413 where it is too large, 408 where it takes too long, 503 where all bodies
    /// together take too much.
    pub(crate) async fn read<S, B>(
        stream: S,
        headers: &HeaderMap,
        limits: &BodyLimits,
    ) -> Result<Self, Failure>
    where
        S: Stream<Item = Result<B, warp::Error>>,
        B: Buf,
    {
        let announced = headers
            .get(CONTENT_LENGTH)
            .and_then(|value| value.to_str().ok()?.parse::<usize>().ok());
        if announced.is_some_and(|announced| announced > limits.bytes) {
            return Err(Failure::too_large(limits.bytes));
        }
        // A body of unknown length may become as large as any.
        let held = match announced.unwrap_or(limits.bytes) {
            0 => None,
            amount => Some(limits.held.take(amount).ok_or_else(Failure::bodies_full)?),
        };
        let bytes = tokio::time::timeout(limits.timeout, collect(stream, announced, limits.bytes))
            .await
            .map_err(|_elapsed| Failure::body_timeout(limits.timeout))??;
        Ok(Self { bytes, _held: held })
    }
}

async fn collect<S, B>(stream: S, announced: Option<usize>, max: usize) -> Result<Vec<u8>, Failure>
where
    S: Stream<Item = Result<B, warp::Error>>,
    B: Buf,
{
    let mut stream = std::pin::pin!(stream);
    let mut bytes = Vec::with_capacity(announced.unwrap_or(0).min(RESERVED_BYTES_MAX));
    while let Some(chunk) = stream.next().await {
        let mut chunk = chunk.map_err(|_broken| Failure::bad_request("the body broke off".to_owned()))?;
        if bytes.len() + chunk.remaining() > max {
            return Err(Failure::too_large(max));
        }
        while chunk.has_remaining() {
            let part = chunk.chunk();
            bytes.extend_from_slice(part);
            let read = part.len();
            chunk.advance(read);
        }
    }
    Ok(bytes)
}
