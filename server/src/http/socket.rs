//! The socket of one connection, as hyper sees it.
//!
//! - A client that takes no byte of its answer for too long is given up, and what it takes counts for its pace.
//! - A large answer is written piece by piece, and so is what nobody wants read: others get their turn in between.
//! - A client that has said all that it has to say (half-closed) still gets its answer: the end is shown to hyper when
//!   nothing is under way any more. A connection that breaks is shown at once.
//! - After an answer that did not wait for the whole request, what still comes is read and thrown away for a while:
//!   closing with bytes unread would reset the connection, and the client would not see why.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep};

use super::place::{Place, UnderWay};
use super::stream::Stream;

/// How long what nobody wants is read in all.
const LINGER_TIMEOUT: Duration = Duration::from_secs(30);
/// How long the next of it may take to come.
const LINGER_PAUSE: Duration = Duration::from_secs(5);
/// How much is read.
const LINGER_BYTES_MAX: usize = 1 << 30;
/// How much is read or written before others get their turn: a small part of a millisecond.
pub(super) const BYTES_AT_ONCE: usize = 256 << 10;

/// A stream that knows its place.
#[derive(Debug)]
pub(crate) struct Socket {
    stream: Stream,
    place: Arc<Place>,
    timeout: Duration,
    /// Runs while a write or the end waits; kept so that waiting allocates once per connection.
    timer: Option<Pin<Box<Sleep>>>,
    /// Given while a write waits: the connection is not idle then.
    waiting: Option<UnderWay>,
    lingering: Option<Lingering>,
    /// How much was written since others had their turn.
    written: usize,
    /// Pending while others have it.
    turn_of_others: Option<TurnOfOthers>,
}

/// Ends once all that waits, on sockets too, had its turn; to wake oneself would come before what sockets have to tell.
struct TurnOfOthers(Pin<Box<dyn Future<Output = ()> + Send + Sync>>);

impl std::fmt::Debug for TurnOfOthers {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("TurnOfOthers")
    }
}

#[derive(Debug)]
struct Lingering {
    until: Instant,
    bytes: usize,
}

impl Socket {
    pub(super) fn new(stream: Stream, place: Arc<Place>, timeout: Duration) -> Self {
        Self {
            stream,
            place,
            timeout,
            timer: None,
            waiting: None,
            lingering: None,
            written: 0,
            turn_of_others: None,
        }
    }

    /// Writes a part of a buffer, if it is not the others' turn.
    fn poll_write_part(&mut self, ctx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        if self.written >= BYTES_AT_ONCE {
            let turn = self
                .turn_of_others
                .get_or_insert_with(|| TurnOfOthers(Box::pin(tokio::task::yield_now())));
            ready!(turn.0.as_mut().poll(ctx));
            self.turn_of_others = None;
            self.written = 0;
        }
        let part = &buf[..buf.len().min(BYTES_AT_ONCE - self.written)];
        let written = Pin::new(&mut self.stream).poll_write(ctx, part);
        match &written {
            Poll::Ready(Ok(bytes)) => self.written += bytes,
            // What waits for the client leaves the others their turn.
            Poll::Ready(Err(_)) | Poll::Pending => self.written = 0,
        }
        self.limited(ctx, written, |bytes| *bytes)
    }

    /// Waits until `deadline` where the timer is to be set anew; returns whether it is over.
    fn poll_timer(&mut self, ctx: &mut Context<'_>, deadline: Option<Instant>) -> bool {
        let timer = self.timer.get_or_insert_with(|| {
            let first = deadline.unwrap_or_else(Instant::now);
            Box::pin(tokio::time::sleep_until(first))
        });
        if let Some(deadline) = deadline {
            timer.as_mut().reset(deadline);
        }
        timer.as_mut().poll(ctx).is_ready()
    }

    /// Counts what was written; fails once nothing could be for too long.
    fn limited<T>(
        &mut self,
        ctx: &mut Context<'_>,
        written: Poll<io::Result<T>>,
        bytes: impl FnOnce(&T) -> usize,
    ) -> Poll<io::Result<T>> {
        if let Poll::Ready(result) = &written {
            if self.waiting.take().is_some()
                && let Ok(count) = result
            {
                self.place.client_moved(bytes(count));
            }
            return written;
        }
        let deadline = if self.waiting.is_none() {
            self.waiting = Some(self.place.begin());
            self.place.wait_for_client();
            Some(Instant::now() + self.timeout)
        } else {
            None
        };
        if self.poll_timer(ctx, deadline) {
            self.place.stalled();
            return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
        }
        Poll::Pending
    }

    /// Reads what still comes, until the client ends or it is enough.
    fn poll_linger(&mut self, ctx: &mut Context<'_>) -> Poll<()> {
        let now = Instant::now();
        if self.lingering.is_none() {
            self.lingering = Some(Lingering {
                until: now + LINGER_TIMEOUT,
                bytes: 0,
            });
            if self.poll_timer(ctx, Some(now + LINGER_PAUSE)) {
                return Poll::Ready(());
            }
        }
        let mut bytes = [0; 16 << 10];
        let mut read = 0;
        loop {
            let mut buf = ReadBuf::new(&mut bytes);
            match Pin::new(&mut self.stream).poll_read(ctx, &mut buf) {
                Poll::Pending => break,
                Poll::Ready(Err(_broken)) => return Poll::Ready(()),
                Poll::Ready(Ok(())) if buf.filled().is_empty() => return Poll::Ready(()),
                Poll::Ready(Ok(())) => read += buf.filled().len(),
            }
            if read >= BYTES_AT_ONCE {
                ctx.waker().wake_by_ref();
                break;
            }
        }
        let Some(lingering) = &mut self.lingering else {
            return Poll::Ready(());
        };
        lingering.bytes += read;
        let until = lingering.until;
        if lingering.bytes >= LINGER_BYTES_MAX || now >= until {
            return Poll::Ready(());
        }
        let deadline = (read > 0).then(|| (now + LINGER_PAUSE).min(until));
        if self.poll_timer(ctx, deadline) {
            return Poll::Ready(());
        }
        Poll::Pending
    }
}

impl AsyncRead for Socket {
    fn poll_read(
        mut self: Pin<&mut Self>,
        ctx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if !self.place.has_ended() {
            let before = buf.filled().len();
            match Pin::new(&mut self.stream).poll_read(ctx, buf) {
                Poll::Ready(Ok(())) if buf.filled().len() > before => {
                    self.place.read_some();
                    return Poll::Ready(Ok(()));
                }
                Poll::Ready(Ok(())) => self.place.read_end(),
                other => return other,
            }
        }
        if self.place.is_busy() {
            // Whoever drives the connection asks again once the answer is sent; a body that lacks something sees that
            // for itself.
            Poll::Pending
        } else {
            Poll::Ready(Ok(()))
        }
    }
}

impl AsyncWrite for Socket {
    fn poll_write(mut self: Pin<&mut Self>, ctx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.poll_write_part(ctx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        ctx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let all: usize = bufs.iter().map(|buf| buf.len()).sum();
        if self.written + all > BYTES_AT_ONCE {
            let first = bufs.iter().find(|buf| !buf.is_empty());
            return self.poll_write_part(ctx, first.map_or(&[], |first| first));
        }
        let written = Pin::new(&mut self.stream).poll_write_vectored(ctx, bufs);
        match &written {
            Poll::Ready(Ok(bytes)) => self.written += bytes,
            Poll::Ready(Err(_)) | Poll::Pending => self.written = 0,
        }
        self.limited(ctx, written, |bytes| *bytes)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, ctx: &mut Context<'_>) -> Poll<io::Result<()>> {
        // TCP has nothing to flush; TLS has what it sealed and the client does not take.
        let flushed = Pin::new(&mut self.stream).poll_flush(ctx);
        self.limited(ctx, flushed, |()| 0)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, ctx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.lingering.is_none() {
            match Pin::new(&mut self.stream).poll_shutdown(ctx) {
                Poll::Ready(Ok(())) if self.place.is_unread() && !self.place.is_leaving() => {}
                other => return other,
            }
        }
        self.poll_linger(ctx).map(Ok)
    }
}
