//! The place that a connection takes: what it has to finish, whether its client keeps pace, and whether it must go.
//!
//! Shared by the connection's own task (socket, hyper, the request's future) and by whoever looks for a place to free.
//! A request that is answered at once touches a few atomics here and reads the clock once.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed, Release};
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, AtomicUsize};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::Bytes;
use futures_util::task::AtomicWaker;
use hyper::body::{Body, Frame, Incoming, SizeHint};

use super::budget::Counted;
use super::clock::{self, NEVER};

/// What a client must send of a body, or take of an answer, to keep what others wait for.
const PACE_BYTES_PER_SECOND: u64 = 32 << 10;
/// How long it may do nothing at all before it is behind.
const PACE_SLACK: u64 = clock::microseconds(Duration::from_secs(1));

/// Who connects: an address; of IPv6 the network of 64 bits that one client has to itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Peer(IpAddr);

impl Peer {
    pub(crate) fn of(address: IpAddr) -> Self {
        match address.to_canonical() {
            IpAddr::V6(address) if !address.is_loopback() => {
                Self(Ipv6Addr::from_bits(address.to_bits() & !u128::from(u64::MAX)).into())
            }
            address => Self(address),
        }
    }
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// What one peer has under way on one listener.
#[derive(Debug)]
pub(crate) struct PeerLoad {
    pub(crate) peer: Peer,
    /// Requests that were admitted and have no answer yet.
    pub(crate) admitted: AtomicUsize,
}

/// Why a connection must leave: somebody else needs what it holds, and it
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Leave {
    /// has nothing to finish,
    Idle,
    /// or its client sends or takes too slowly.
    Behind,
}

// What a connection is told. Only the first two let it go on.
const GO_ON: u8 = 0;
/// The listener shuts down: answer what comes, then close.
const DRAIN: u8 = 1;
const LEAVE_IDLE: u8 = 2;
const LEAVE_BEHIND: u8 = 3;

/// One connection's place.
#[derive(Debug)]
pub(crate) struct Place {
    pub(crate) load: Arc<PeerLoad>,
    /// Whether it is one of those kept for probes and metrics.
    pub(crate) reserved: bool,
    /// Whether it has several requests at a time.
    pub(crate) multiplexed: bool,
    /// Requests being answered, answers being sent, writes that wait.
    under_way: AtomicUsize,
    /// Since when there is none.
    idle_since: AtomicU64,
    /// Whether bytes of a request's head have come, and not all of it.
    head_begun: AtomicBool,
    /// Since when, once that was noticed; 0 before.
    head_since: AtomicU64,
    /// Whether a request has come.
    used: AtomicBool,
    /// Bodies that are being received.
    receiving: AtomicUsize,
    /// Pieces of answers that the client was given and has not taken; only where there are several at a time.
    handed_out: AtomicUsize,
    /// When it took one last, or was given the first.
    taken_at: AtomicU64,
    /// Whether a request was answered although more of it may come.
    unread: AtomicBool,
    /// Whether the client has said that it sends no more.
    ended: AtomicBool,
    /// Until when the client keeps pace if it does nothing from now on; [`NEVER`] while nothing is waited for from it.
    on_pace_until: AtomicU64,
    order: AtomicU8,
    stalled: AtomicBool,
    task: AtomicWaker,
}

impl Place {
    pub(crate) fn new(load: Arc<PeerLoad>, reserved: bool, multiplexed: bool) -> Self {
        Self {
            load,
            reserved,
            multiplexed,
            under_way: AtomicUsize::new(0),
            idle_since: AtomicU64::new(clock::now()),
            head_begun: AtomicBool::new(false),
            head_since: AtomicU64::new(0),
            used: AtomicBool::new(false),
            receiving: AtomicUsize::new(0),
            handed_out: AtomicUsize::new(0),
            taken_at: AtomicU64::new(0),
            unread: AtomicBool::new(false),
            ended: AtomicBool::new(false),
            on_pace_until: AtomicU64::new(NEVER),
            order: AtomicU8::new(GO_ON),
            stalled: AtomicBool::new(false),
            task: AtomicWaker::new(),
        }
    }

    /// Returns a place for a request that comes over no connection.
    #[cfg(test)]
    pub(crate) fn nowhere() -> Arc<Self> {
        let load = PeerLoad {
            peer: Peer::of(std::net::Ipv4Addr::LOCALHOST.into()),
            admitted: AtomicUsize::new(0),
        };
        Arc::new(Self::new(Arc::new(load), false, false))
    }

    /// Counts a request of the peer unless it has `max` under way already.
    pub(crate) fn admit(&self, max: usize) -> Option<Admitted<'_>> {
        let admitted = &self.load.admitted;
        if admitted.fetch_add(1, AcqRel) < max {
            return Some(Admitted(admitted));
        }
        admitted.fetch_sub(1, AcqRel);
        None
    }

    /// Begins one thing to finish.
    pub(super) fn begin(self: &Arc<Self>) -> UnderWay {
        self.under_way.fetch_add(1, AcqRel);
        UnderWay(self.clone())
    }

    /// Begins a request: its head is whole.
    pub(super) fn begin_request(self: &Arc<Self>) -> UnderWay {
        self.used.store(true, Relaxed);
        self.unread.store(false, Relaxed);
        self.head_begun.store(false, Relaxed);
        self.head_since.store(0, Relaxed);
        self.begin()
    }

    pub(super) fn is_busy(&self) -> bool {
        self.under_way.load(Acquire) > 0
    }

    /// Bytes have come from the socket; between requests they are the next one's, unless the protocol has other things to
    /// say.
    pub(super) fn read_some(&self) {
        if !self.multiplexed && !self.is_busy() {
            self.head_begun.store(true, Relaxed);
        }
    }

    /// The client sends no more.
    pub(super) fn read_end(&self) {
        self.ended.store(true, Relaxed);
    }

    pub(super) fn has_ended(&self) -> bool {
        self.ended.load(Relaxed)
    }

    /// Says whether the client may still be sending what nobody reads.
    pub(super) fn is_unread(&self) -> bool {
        !self.has_ended() && (self.unread.load(Relaxed) || self.head_begun.load(Relaxed))
    }

    /// Returns since when it idles, unless it has something to finish.
    pub(super) fn idle_since(&self) -> Option<u64> {
        (!self.is_busy()).then(|| self.idle_since.load(Acquire))
    }

    /// Returns since when its client is behind, if it is.
    pub(crate) fn behind_since(&self, now: u64) -> Option<u64> {
        Some(self.on_pace_until.load(Acquire)).filter(|until| *until < now)
    }

    /// Returns when it is to be closed if nothing more comes; `now` is asked for where a head has begun.
    pub(super) fn closes_at(&self, head: u64, idle: u64) -> Option<u64> {
        let idle_since = self.idle_since()?;
        if self.head_begun.load(Relaxed) {
            if self.head_since.load(Relaxed) == 0 {
                self.head_since.store(clock::now(), Relaxed);
            }
            return Some(self.head_since.load(Relaxed).saturating_add(head));
        }
        let patience = if self.used.load(Relaxed) {
            idle
        } else {
            head.min(idle)
        };
        Some(idle_since.saturating_add(patience))
    }

    /// The client is waited for from now on, unless it is already.
    pub(super) fn wait_for_client(&self) {
        if self.on_pace_until.load(Relaxed) == NEVER {
            let until = clock::now() + PACE_SLACK;
            self.on_pace_until.store(until, Release);
        }
    }

    /// The client sent or took `bytes`.
    pub(super) fn client_moved(&self, bytes: usize) {
        let before = self.on_pace_until.load(Relaxed);
        if before != NEVER {
            let earned = (bytes as u64).saturating_mul(1_000_000) / PACE_BYTES_PER_SECOND;
            let limit = clock::now() + PACE_SLACK;
            self.on_pace_until
                .store(before.saturating_add(earned).min(limit), Release);
        }
    }

    /// Nothing is waited for from the client.
    pub(crate) fn settle_pace(&self) {
        self.on_pace_until.store(NEVER, Release);
    }

    /// Asks the connection to end: somebody else needs what it holds.
    pub(crate) fn leave(&self, why: Leave) {
        let order = match why {
            Leave::Idle => LEAVE_IDLE,
            Leave::Behind => LEAVE_BEHIND,
        };
        self.order.store(order, Release);
        self.task.wake();
    }

    /// Returns why the connection was asked to leave, if it was.
    pub(super) fn leaves(&self) -> Option<Leave> {
        match self.order.load(Acquire) {
            LEAVE_IDLE => Some(Leave::Idle),
            LEAVE_BEHIND => Some(Leave::Behind),
            _ => None,
        }
    }

    pub(crate) fn is_leaving(&self) -> bool {
        self.order.load(Acquire) >= LEAVE_IDLE
    }

    /// Asks the connection to end once it has answered.
    pub(super) fn drain(&self) {
        // One that leaves already goes on doing so.
        let _leaving = self.order.compare_exchange(GO_ON, DRAIN, AcqRel, Acquire);
        self.task.wake();
    }

    pub(crate) fn is_draining(&self) -> bool {
        self.order.load(Acquire) == DRAIN
    }

    /// Says whether the next answer is the last of its connection.
    pub(super) fn closes(&self) -> bool {
        self.reserved || self.unread.load(Relaxed) || self.order.load(Acquire) != GO_ON
    }

    /// The client took nothing of its answer for too long.
    pub(super) fn stalled(&self) {
        self.stalled.store(true, Relaxed);
    }

    pub(super) fn has_stalled(&self) -> bool {
        self.stalled.load(Relaxed)
    }

    /// Says whether what comes next is the rest of a request, or a connection's first.
    pub(super) fn awaits_head(&self) -> bool {
        self.head_begun.load(Relaxed) || !self.used.load(Relaxed)
    }

    /// Returns when the client has taken nothing for `patience` of what it was given.
    pub(super) fn stalls_at(&self, patience: u64) -> Option<u64> {
        (self.handed_out.load(Acquire) > 0).then(|| self.taken_at.load(Acquire).saturating_add(patience))
    }

    /// Gives the client a piece of an answer, which is under way until all of it is in the socket.
    pub(super) fn hand_out(self: &Arc<Self>, bytes: Bytes) -> Bytes {
        if self.handed_out.fetch_add(1, AcqRel) == 0 {
            self.taken_at.store(clock::now(), Release);
        }
        self.wait_for_client();
        Bytes::from_owner(HandedOut {
            bytes,
            under_way: self.begin(),
        })
    }

    /// Stops looking at the client's pace where nothing else is waited for.
    fn settle_if_last(&self) {
        if self.receiving.load(Acquire) == 0 && self.handed_out.load(Acquire) == 0 {
            self.settle_pace();
        }
    }

    #[cfg(test)]
    pub(super) fn idle_from(&self, since: u64) {
        self.idle_since.store(since, Release);
    }

    /// Says whether the connection is to be dropped now: a body that is being received is refused with words instead, where
    /// it is the only one.
    pub(super) fn must_go(&self) -> bool {
        self.is_leaving() && (self.multiplexed || self.receiving.load(Acquire) == 0)
    }

    /// Tells who is to be woken when an order comes.
    pub(super) fn listen(&self, task: &Waker) {
        self.task.register(task);
    }
}

/// A request of a peer, until it is dropped.
#[derive(Debug)]
pub(crate) struct Admitted<'a>(&'a AtomicUsize);

impl Drop for Admitted<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, AcqRel);
    }
}

/// One thing to finish, until it is dropped.
#[derive(Debug)]
pub(super) struct UnderWay(Arc<Place>);

impl UnderWay {
    pub(super) fn place(&self) -> &Arc<Place> {
        &self.0
    }

    /// Keeps the request under way until its answer's body was handed to the socket, and what the answer holds until
    /// its bytes are gone.
    pub(super) fn until_sent<B>(self, body: B, counted: Option<Counted>) -> Sending<B> {
        Sending {
            body,
            counted,
            _under_way: self,
        }
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        if self.0.under_way.load(Acquire) == 1 {
            self.0.settle_pace();
            self.0.idle_since.store(clock::now(), Release);
        }
        self.0.under_way.fetch_sub(1, AcqRel);
    }
}

/// A piece of an answer until it is in the socket.
struct HandedOut {
    bytes: Bytes,
    under_way: UnderWay,
}

impl AsRef<[u8]> for HandedOut {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Drop for HandedOut {
    fn drop(&mut self) {
        let place = &self.under_way.0;
        place.taken_at.store(clock::now(), Release);
        place.client_moved(self.bytes.len());
        place.handed_out.fetch_sub(1, AcqRel);
        place.settle_if_last();
    }
}

/// A body on its way to the client.
#[derive(Debug)]
pub(super) struct Sending<B> {
    body: B,
    counted: Option<Counted>,
    _under_way: UnderWay,
}

impl<B: Body<Data = Bytes> + Unpin> Body for Sending<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        ctx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        let polled = Pin::new(&mut self.body).poll_frame(ctx);
        // An answer that counts is one piece: it counts until the socket has taken all of it.
        match (polled, &mut self.counted) {
            (Poll::Ready(Some(Ok(frame))), counted @ Some(_)) => {
                let frame = match counted.take() {
                    Some(held) => frame.map_data(|bytes| held.with(bytes)),
                    None => frame,
                };
                Poll::Ready(Some(Ok(frame)))
            }
            (polled, _) => polled,
        }
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// A request's body on its way in.
#[derive(Debug)]
pub(crate) struct Receiving {
    body: Incoming,
    place: Arc<Place>,
    ended: bool,
}

/// Why a body is read no further.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ReceiveError {
    #[error(transparent)]
    Broken(#[from] hyper::Error),
    #[error("the client ended before its request did")]
    Ended,
    #[error("the client sends too slowly while others wait")]
    Behind,
}

impl Receiving {
    pub(super) fn new(body: Incoming, place: Arc<Place>) -> Self {
        let ended = body.is_end_stream();
        if !ended {
            place.receiving.fetch_add(1, AcqRel);
        }
        Self { body, place, ended }
    }

    fn end(&mut self) {
        if !std::mem::replace(&mut self.ended, true) {
            self.place.receiving.fetch_sub(1, AcqRel);
            self.place.settle_if_last();
        }
    }
}

impl Body for Receiving {
    type Data = Bytes;
    type Error = ReceiveError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        ctx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, ReceiveError>>> {
        if !self.ended && self.place.is_leaving() {
            return Poll::Ready(Some(Err(ReceiveError::Behind)));
        }
        match Pin::new(&mut self.body).poll_frame(ctx) {
            // The end was read where bytes of the body were looked for.
            Poll::Pending if self.place.has_ended() => Poll::Ready(Some(Err(ReceiveError::Ended))),
            Poll::Pending => {
                self.place.wait_for_client();
                Poll::Pending
            }
            Poll::Ready(Some(Ok(frame))) => {
                if let Some(data) = frame.data_ref() {
                    self.place.client_moved(data.len());
                }
                if self.body.is_end_stream() {
                    self.end();
                }
                Poll::Ready(Some(Ok(frame)))
            }
            Poll::Ready(Some(Err(error))) => Poll::Ready(Some(Err(error.into()))),
            Poll::Ready(None) => {
                self.end();
                Poll::Ready(None)
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Drop for Receiving {
    fn drop(&mut self) {
        if !self.ended {
            self.place.unread.store(true, Relaxed);
            self.end();
        }
    }
}
