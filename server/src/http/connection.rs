//! Accepts connections and drives them: bounded in number, in waiting and, on shutdown, in time.

use std::future::poll_fn;
use std::io;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::task::JoinSet;

use super::clock;
use super::guard::Names;
use super::place::{Leave, Place};
use super::places::{Found, Places};
use super::socket::Socket;
use super::stream::Stream;
use super::tls::Tls;
use super::{Limits, Listener, Sockets};
use crate::metrics::{Closed, ListenerMeters};

/// What a client is told that comes when all connections are taken.
const FULL: &[u8] =
    b"HTTP/1.1 503 Service Unavailable\r\ncontent-type: application/json\r\nretry-after: 1\r\n\
connection: close\r\ncontent-length: 48\r\n\r\n{\"error\":\"too many connections, try again soon\"}";

/// How long a draining listener still waits for a request on a connection that idles: one may be on its way.
const DRAIN_IDLE: Duration = Duration::from_millis(250);

/// How long a place that is kept for probes waits for one.
const RESERVED_PATIENCE: Duration = Duration::from_secs(5);

/// How long to pause when the process is out of sockets.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// What ends a listener.
pub(crate) type Shutdown<'a> = Pin<&'a mut (dyn Future<Output = ()> + Send)>;

/// How the requests of a connection are read and answered.
pub(crate) trait Protocol: Send + 'static {
    /// Whether a connection has several requests at a time.
    const MULTIPLEXED: bool;

    /// Answers what comes on a connection until it ends.
    fn answer(
        self,
        socket: Socket,
        place: Arc<Place>,
        names: Names,
    ) -> impl Future<Output = Result<(), hyper::Error>> + Send;
}

/// Serves until `shutdown`, then stops accepting, lets requests under way finish within [`Limits::drain_timeout`], closes
/// the rest and returns. `draining` runs as soon as `shutdown` has come.
///
/// What `protocol` returns answers one connection, whose place it is told. A request that still comes on a connection that
/// is held is answered; that answer closes the connection.
pub(crate) async fn serve<P: Protocol>(
    protocol: impl Fn(Arc<Place>) -> P,
    sockets: Sockets,
    listener: Listener,
    mut shutdown: Shutdown<'_>,
    draining: impl FnOnce(),
) {
    let tls = sockets.tls.clone();
    let _watching = tls.as_ref().map(|tls| tls.watched(&listener.meters));
    let mut accepting = Accepting {
        places: Places::new(listener.limits.connections, P::MULTIPLEXED),
        running: JoinSet::new(),
        protocol,
        listener,
        tls,
    };
    loop {
        let accepted = tokio::select! {
            accepted = sockets.accept() => accepted,
            Some(ended) = accepting.running.join_next_with_id(), if !accepting.running.is_empty() => {
                accepting.ended(&ended);
                continue;
            }
            () = &mut shutdown => break,
        };
        match accepted {
            Ok((stream, address)) => accepting.take(stream, address.ip()),
            Err(error) if concerns_one_client(&error) => {}
            Err(error) => {
                tracing::warn!(
                    error = &error as &dyn std::error::Error,
                    "failed to accept a connection"
                );
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
    draining();
    // To their clients these are open already: they would be reset, not refused. The system is asked itself: what it
    // has told the runtime so far may be less.
    for socket in sockets.into_std() {
        for _ in 0..accepting.listener.limits.connections {
            let Ok((stream, address)) = socket.accept() else {
                break;
            };
            let stream = stream
                .set_nonblocking(true)
                .and_then(|()| TcpStream::from_std(stream));
            if let Ok(stream) = stream {
                accepting.take(stream, address.ip());
            }
        }
    }
    accepting.places.drain();
    let timeout = accepting.listener.limits.drain_timeout;
    let running = &mut accepting.running;
    let drained = async { while running.join_next().await.is_some() {} };
    if tokio::time::timeout(timeout, drained).await.is_err() {
        tracing::warn!(
            requests = accepting.running.len(),
            "closed connections whose requests did not finish in time"
        );
    }
}

/// The connections of one listener.
struct Accepting<F> {
    places: Places,
    running: JoinSet<()>,
    protocol: F,
    listener: Listener,
    tls: Option<Tls>,
}

impl<F, P> Accepting<F>
where
    F: Fn(Arc<Place>) -> P,
    P: Protocol,
{
    /// Gives a connection a place, or refuses it.
    fn take(&mut self, stream: TcpStream, address: std::net::IpAddr) {
        while let Some(ended) = self.running.try_join_next_with_id() {
            self.ended(&ended);
        }
        let place = match self.places.find(address, clock::now()) {
            Found::Free(place) | Found::Of(place) => place,
            Found::None => {
                self.listener.meters.refused();
                // Whoever expects TLS, or another protocol, can read no words of this one.
                if self.tls.is_none() && !P::MULTIPLEXED {
                    refuse(&stream);
                }
                return;
            }
        };
        let driving = drive(
            (self.protocol)(place.clone()),
            (stream, self.tls.clone()),
            place.clone(),
            self.listener.limits.clone(),
            self.listener.names.clone(),
            self.listener.meters.clone(),
        );
        let task = self.running.spawn(driving).id();
        self.places.taken(task, place);
    }

    fn ended(&mut self, ended: &Result<(tokio::task::Id, ()), tokio::task::JoinError>) {
        let task = match ended {
            Ok((task, ())) => *task,
            Err(panicked) => panicked.id(),
        };
        self.places.left(task);
    }
}

/// Drives one connection to its end.
async fn drive<P: Protocol>(
    protocol: P,
    (stream, tls): (TcpStream, Option<Tls>),
    place: Arc<Place>,
    limits: Limits,
    names: Names,
    meters: ListenerMeters,
) {
    let _open = meters.opened();
    // Without it small answers may wait for an acknowledgement; a socket that refuses is about to fail anyway.
    let _unsupported = stream.set_nodelay(true);
    let connection = async {
        // A place whose client has not shaken hands is one that idles: it is the first to give way.
        let stream = match tls {
            Some(tls) => Stream::Tls(Box::new(tls.accept(stream).await.map_err(Broken::Handshake)?)),
            None => Stream::Plain(stream),
        };
        let socket = Socket::new(stream, place.clone(), limits.write_timeout);
        protocol
            .answer(socket, place.clone(), names)
            .await
            .map_err(Broken::Request)
    };
    let ended = until_closed(connection, &place, &limits).await;
    if let Ended::Closed(Err(error)) = &ended {
        tracing::debug!(
            error = error as &dyn std::error::Error,
            "a connection ended early"
        );
    }
    let why = match (place.leaves(), ended) {
        (Some(Leave::Idle), _) => Closed::Evicted,
        (Some(Leave::Behind), _) => Closed::Slow,
        (None, _) if place.has_stalled() => Closed::Stalled,
        (None, Ended::Closed(Err(Broken::Handshake(_)))) => Closed::Handshake,
        (None, Ended::Late) if place.awaits_head() => Closed::Header,
        (None, Ended::Late) => Closed::Idle,
        (None, Ended::Closed(_) | Ended::Evicted) => return,
    };
    meters.closed(why);
}

/// What broke a connection.
#[derive(Debug, thiserror::Error)]
enum Broken {
    #[error("the handshake failed")]
    Handshake(#[source] io::Error),
    #[error(transparent)]
    Request(hyper::Error),
}

/// How a connection ended.
enum Ended {
    /// By itself.
    Closed(Result<(), Broken>),
    /// Nothing came in time.
    Late,
    /// Somebody else needed its place, or what it held.
    Evicted,
}

/// Polls a connection until it ends, is late, or must go.
async fn until_closed(
    connection: impl Future<Output = Result<(), Broken>>,
    place: &Place,
    limits: &Limits,
) -> Ended {
    // A place that is kept for probes is not kept for long.
    let longest = if place.reserved {
        RESERVED_PATIENCE
    } else {
        Duration::MAX
    };
    let head = clock::microseconds(limits.header_timeout.min(longest));
    let idle = clock::microseconds(limits.idle_timeout.min(longest));
    let write = clock::microseconds(limits.write_timeout);
    let drain_idle = clock::microseconds(DRAIN_IDLE);
    let mut connection = pin!(connection);
    let mut timer = pin!(tokio::time::sleep_until(clock::instant(clock::now() + head)));
    // For when the timer is set. It is left alone while its moment only moves away: a request costs no timer.
    let mut set_for = clock::now() + head;
    let mut drained_at = None;
    let mut is_late = false;
    poll_fn(|ctx| {
        place.listen(ctx.waker());
        if place.must_go() {
            return Poll::Ready(Ended::Evicted);
        }
        let mut ended = connection.as_mut().poll(ctx);
        if ended.is_pending() && place.has_ended() && !place.is_busy() {
            // The end was kept from hyper while it answered.
            ended = connection.as_mut().poll(ctx);
        }
        if let Poll::Ready(result) = ended {
            return Poll::Ready(match result {
                Ok(()) if is_late => Ended::Late,
                result => Ended::Closed(result),
            });
        }
        if place.must_go() {
            return Poll::Ready(Ended::Evicted);
        }
        let mut closes_at = place.closes_at(head, idle);
        if place.is_draining() {
            let drained_at = *drained_at.get_or_insert_with(clock::now);
            closes_at = place.idle_since().map(|since| since.max(drained_at) + drain_idle);
        }
        let stalls_at = place.stalls_at(write);
        if let Some(at) = closes_at.or(stalls_at)
            && at < set_for
        {
            timer.as_mut().reset(clock::instant(at));
            set_for = at;
        }
        while timer.as_mut().poll(ctx).is_ready() {
            let now = clock::now();
            match closes_at {
                // Whose requests are many may be sending one: it is told first.
                Some(at) if at <= now && place.multiplexed && !place.is_draining() => {
                    is_late = true;
                    place.drain();
                    set_for = now + drain_idle;
                }
                Some(at) if at <= now => return Poll::Ready(Ended::Late),
                Some(at) => set_for = at,
                None if stalls_at.is_some_and(|at| at <= now) => {
                    place.stalled();
                    return Poll::Ready(Ended::Late);
                }
                // While something is under way its own time-outs count.
                None => set_for = stalls_at.unwrap_or_else(|| now + idle.max(1)),
            }
            timer.as_mut().reset(clock::instant(set_for));
        }
        Poll::Pending
    })
    .await
}

fn refuse(stream: &TcpStream) {
    // The client may have gone: it loses nothing then.
    let _unsent = stream.try_write(FULL);
}

fn concerns_one_client(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    matches!(
        error.kind(),
        ConnectionAborted | ConnectionRefused | ConnectionReset
    )
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncReadExt as _;
    use tokio::net::TcpListener;

    use super::*;

    #[tokio::test]
    async fn a_connection_beyond_all_places_is_told_so() {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("bound");
        let mut client = TcpStream::connect(address).await.expect("connected");
        let (stream, _) = listener.accept().await.expect("accepted");
        refuse(&stream);
        drop(stream);
        let mut answer = String::new();
        client.read_to_string(&mut answer).await.expect("read");
        let (head, body) = answer.split_once("\r\n\r\n").expect("a body");
        assert!(head.starts_with("HTTP/1.1 503"), "{head}");
        assert!(
            head.contains(&format!("content-length: {}", body.len())),
            "{head}"
        );
        assert!(serde_json::from_str::<serde_json::Value>(body).is_ok(), "{body}");
    }
}
