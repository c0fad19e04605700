//! Reads a request's body: within its size, within its time, within what all bodies together may hold.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Buf;
use futures_util::{FutureExt as _, Stream, StreamExt as _};
use hyper::header::{CONTENT_LENGTH, EXPECT, HeaderMap};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::reply::Failure;

/// What is allocated before a byte has come.
const RESERVED_BYTES_MAX: usize = 64 << 10;

/// What is read of a body that nobody wants.
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
    pub(crate) held: Arc<Semaphore>,
}

/// A whole body. Gives its share of the budget back when dropped.
#[derive(Debug)]
pub(crate) struct Body {
    bytes: Vec<u8>,
    _held: OwnedSemaphorePermit,
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
        tokio::time::timeout(limits.timeout, Self::collect(stream, announced, limits))
            .await
            .map_err(|_elapsed| Failure::body_timeout(limits.timeout))?
    }

    async fn collect<S, B>(stream: S, announced: Option<usize>, limits: &BodyLimits) -> Result<Self, Failure>
    where
        S: Stream<Item = Result<B, warp::Error>>,
        B: Buf,
    {
        let mut stream = std::pin::pin!(stream);
        let mut bytes = Vec::with_capacity(announced.unwrap_or(0).min(RESERVED_BYTES_MAX));
        let mut held = take(&limits.held, 0).ok_or_else(Failure::bodies_full)?;
        while let Some(chunk) = stream.next().await {
            let mut chunk = chunk.map_err(|_broken| Failure::bad_request("the body broke off".to_owned()))?;
            let size = chunk.remaining();
            if bytes.len() + size > limits.bytes {
                return Err(Failure::too_large(limits.bytes));
            }
            // Only what has come: a client that announces much and sends little keeps nobody out.
            held.merge(take(&limits.held, size).ok_or_else(Failure::bodies_full)?);
            while chunk.has_remaining() {
                let part = chunk.chunk();
                bytes.extend_from_slice(part);
                let read = part.len();
                chunk.advance(read);
            }
        }
        Ok(Self { bytes, _held: held })
    }
}

/// Takes `bytes` of what all bodies may hold, or nothing where that would exceed it.
fn take(held: &Arc<Semaphore>, bytes: usize) -> Option<OwnedSemaphorePermit> {
    held.clone()
        .try_acquire_many_owned(u32::try_from(bytes).ok()?)
        .ok()
}

/// Reads what is left of a body that was not wanted, a little of it, before its request is answered.
///
/// An answer that overtakes the body ends the connection: a client that is still sending sees a broken pipe instead
/// of the reason. One that waits to be asked for its body has sent none.
pub(crate) async fn discard<S, B>(mut stream: Pin<&mut S>, headers: &HeaderMap)
where
    S: Stream<Item = Result<B, warp::Error>>,
    B: Buf,
{
    if headers.contains_key(EXPECT) || matches!(stream.next().now_or_never(), Some(None)) {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_dropped_can_be_taken_again() {
        let budget = Arc::new(Semaphore::new(10));
        let seven = take(&budget, 7).expect("7 of 10");
        assert!(take(&budget, 4).is_none());
        let mut three = take(&budget, 2).expect("2 of the other 3");
        assert!(take(&budget, 2).is_none());
        three.merge(take(&budget, 1).expect("the last"));
        assert!(take(&budget, 0).is_some());
        drop(seven);
        assert!(take(&budget, usize::MAX).is_none());
        assert!(take(&budget, 7).is_some());
        drop(three);
        assert_eq!(budget.available_permits(), 10);
    }
}
