//! What would stall an async worker: it is done on threads that may block, one per core at a time.

use std::sync::Arc;
use std::time::Duration;

use bytes::{Buf as _, Bytes};
use hyper::StatusCode;
use tokio::sync::Semaphore;

use super::Limits;
use super::body::Body;
use super::budget::{FREE_BYTES, Held};
use super::coding::{Coding, Inflated, Inflating};
use super::reply::Failure;

/// The turns on such threads that the requests of a process share.
#[derive(Debug)]
pub(crate) struct Aside {
    turns: Arc<Semaphore>,
    /// How long a request waits for its turn.
    patience: Duration,
    /// What a body may have, as it came and decompressed together.
    bytes_max: usize,
}

impl Aside {
    pub(crate) fn new(limits: &Limits) -> Self {
        let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        Self {
            turns: Arc::new(Semaphore::new(cores)),
            patience: limits.queue_timeout,
            bytes_max: limits.body_bytes,
        }
    }

    #[cfg(test)]
    pub(crate) fn turns(&self) -> Arc<Semaphore> {
        self.turns.clone()
    }

    /// Runs `work` there; 503 when its turn does not come in time.
    pub(crate) async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Failure> {
        let turn = tokio::time::timeout(self.patience, self.turns.clone().acquire_owned())
            .await
            .map_err(|_elapsed| Failure::unavailable("too much to evaluate at once, try again".to_owned()))?
            .expect("invariant: the semaphore is never closed");
        tokio::task::spawn_blocking(move || {
            let done = work();
            drop(turn);
            done
        })
        .await
        .map_err(|_panicked| {
            Failure::internal("failed to evaluate the request: a fault of the server".to_owned())
        })
    }

    /// Decompresses what a body has from `at` on; what came of it is freed.
    pub(crate) async fn inflate(&self, coding: Coding, body: Body, at: usize) -> Result<Body, Failure> {
        let (mut compressed, mut held) = body.into_parts();
        compressed.advance(at);
        let whole = self.inflate_beside(coding, compressed, &mut held).await?;
        held.shrink_to(whole.len());
        Ok(Body::of(whole, held))
    }

    /// Decompresses bytes that stay, as far as there is room for it; with what came it may have as many bytes as a body that is
    /// not compressed. What is `held` counts for both.
    pub(crate) async fn inflate_beside(
        &self,
        coding: Coding,
        compressed: Bytes,
        held: &mut Held,
    ) -> Result<Vec<u8>, Failure> {
        let max = self.bytes_max;
        let compressed_bytes = compressed.len();
        // One more than it may have shows that it has more.
        let most = max.saturating_sub(compressed_bytes) + 1;
        let mut inflating = Inflating::new(coding, compressed);
        // A small one stays within what counts for nothing.
        let free = FREE_BYTES.saturating_sub(compressed_bytes);
        let mut bytes = if free > compressed_bytes {
            free
        } else {
            compressed_bytes * 4
        };
        loop {
            bytes = bytes.min(most);
            let is_full = held.grow_to(compressed_bytes + bytes).await.is_err();
            if is_full {
                return Err(Failure::bodies_full());
            }
            match self.run(move || inflating.up_to(bytes)).await?? {
                Inflated::Whole(whole) => return Ok(whole),
                Inflated::Part(_) if bytes == most => {
                    return Err(Failure::new(
                        StatusCode::PAYLOAD_TOO_LARGE,
                        format!(
                            "the body has more than {max} bytes, those that came and those that they decompress to: send \
                             fewer rows per request"
                        ),
                    ));
                }
                Inflated::Part(part) => inflating = part,
            }
            bytes *= 4;
        }
    }
}
