//! Reads a request's body: within its size, within its time, within what all bodies together may hold.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Buf, Bytes};
use futures_util::{FutureExt as _, Stream, StreamExt as _};
use hyper::header::{CONTENT_LENGTH, EXPECT, HeaderMap};

use super::Limits;
use super::budget::{Budget, FREE_BYTES, Held};
use super::place::Place;
use super::reply::Failure;
use super::socket::BYTES_AT_ONCE;

/// What is read of a body that nobody wants before its request is answered.
const DISCARDED_BYTES_MAX: usize = 1 << 20;
/// For how long.
const DISCARD_TIMEOUT: Duration = Duration::from_secs(1);

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

impl BodyLimits {
    pub(crate) fn of(limits: &Limits) -> Self {
        Self {
            bytes: limits.body_bytes,
            timeout: limits.body_timeout,
            held: Budget::new(limits.bodies_bytes, limits.body_bytes),
        }
    }
}

/// A whole body. Gives its share of the budget back when dropped.
#[derive(Debug)]
pub(crate) struct Body {
    bytes: Vec<u8>,
    held: Held,
}

impl std::ops::Deref for Body {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Body {
    /// Returns a body of these bytes, which are what is held.
    pub(crate) fn of(bytes: Vec<u8>, held: Held) -> Self {
        Self { bytes, held }
    }

    /// Reads `stream` to its end: 413 where it is too large, 408 where it takes too long, 503 where all bodies
    /// together take too much.
    pub(crate) async fn read<S, B, E>(
        stream: S,
        headers: &HeaderMap,
        limits: &BodyLimits,
        place: &Arc<Place>,
    ) -> Result<Self, Failure>
    where
        S: Stream<Item = Result<B, E>>,
        B: Buf,
    {
        let announced = announced(headers);
        if announced.is_some_and(|announced| announced > limits.bytes) {
            return Err(Failure::too_large(limits.bytes));
        }
        tokio::time::timeout(limits.timeout, Self::collect(stream, announced, limits, place))
            .await
            .map_err(|_elapsed| Failure::body_timeout(limits.timeout))?
    }

    async fn collect<S, B, E>(
        stream: S,
        announced: Option<usize>,
        limits: &BodyLimits,
        place: &Arc<Place>,
    ) -> Result<Self, Failure>
    where
        S: Stream<Item = Result<B, E>>,
        B: Buf,
    {
        let mut stream = std::pin::pin!(stream);
        let mut bytes = Vec::with_capacity(announced.unwrap_or(0).min(FREE_BYTES));
        let mut held = limits.held.hold(place.clone());
        let mut since_turn = 0;
        while let Some(chunk) = stream.next().await {
            let mut chunk = chunk.map_err(|_broken| {
                if place.is_leaving() {
                    Failure::body_behind()
                } else {
                    Failure::bad_request("the body broke off".to_owned())
                }
            })?;
            let size = bytes.len() + chunk.remaining();
            if size > limits.bytes {
                return Err(Failure::too_large(limits.bytes));
            }
            // Only what has come: a client that announces much and sends little keeps nobody out.
            held.grow_to(size).await.map_err(|_full| Failure::bodies_full())?;
            if size > bytes.capacity() {
                let wanted = announced.unwrap_or(limits.bytes).min(size * 2).max(size);
                bytes.reserve_exact(wanted - bytes.len());
            }
            since_turn += chunk.remaining();
            while chunk.has_remaining() {
                let part = chunk.chunk();
                bytes.extend_from_slice(part);
                let read = part.len();
                chunk.advance(read);
            }
            if since_turn >= BYTES_AT_ONCE {
                since_turn = 0;
                // Others have theirs, however fast a large body comes.
                tokio::task::yield_now().await;
            }
        }
        Ok(Self { bytes, held })
    }

    /// Returns the bytes, and what they count for until that is dropped.
    pub(crate) fn into_parts(self) -> (Bytes, Held) {
        (self.bytes.into(), self.held)
    }

    /// Frees the bytes; what is made of them counts as they did until it is dropped.
    pub(crate) fn into_held(self) -> Held {
        self.held
    }
}

/// Returns the length that the headers announce.
fn announced(headers: &HeaderMap) -> Option<usize> {
    headers.get(CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

/// Reads what is left of a body that was not wanted, a little of it, before its request is answered.
///
/// An answer that overtakes the body ends the connection: a client that is still sending sees a broken pipe instead
/// of the reason. One that waits to be asked for its body has sent none.
pub(crate) async fn discard<S, B, E>(mut stream: Pin<&mut S>, headers: &HeaderMap)
where
    S: Stream<Item = Result<B, E>>,
    B: Buf,
{
    // Much of it is told first, and read after the answer.
    let much = announced(headers).is_some_and(|announced| announced > DISCARDED_BYTES_MAX);
    if much || headers.contains_key(EXPECT) || matches!(stream.next().now_or_never(), Some(None)) {
        return;
    }
    let mut left = DISCARDED_BYTES_MAX;
    let all = async {
        while let Some(Ok(chunk)) = stream.next().await {
            let Some(less) = left.checked_sub(chunk.remaining()) else {
                return;
            };
            left = less;
        }
    };
    // What is late is not waited for: the connection is closed, as without this.
    let _late = tokio::time::timeout(DISCARD_TIMEOUT, all).await;
}
