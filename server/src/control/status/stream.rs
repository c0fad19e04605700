//! `/status/events`: the changes as server-sent events. Each reader is sent what has changed since what it was last sent,
//! however slowly it reads, so that nobody misses anything and nothing piles up.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::stream;
use hyper::Method;
use hyper::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use tokio::sync::watch;
use warp::Reply as _;
use warp::reply::Response;

use super::snapshot::aged;
use super::{Snapshot, Snapshots, StatusSource};
use crate::http::reply::Failure;

/// How many read at a time; whoever is refused asks for `/status` again and again.
const STREAMS_MAX: usize = 64;
/// How often changes are looked for.
const LOOK: Duration = Duration::from_millis(250);
/// How long nothing is said at most: proxies cut what is silent, the first of them after ten seconds.
const SILENCE: Duration = Duration::from_secs(5);
/// How long a browser waits before it comes back, in milliseconds.
const RETRY: u32 = 2_000;

/// Those who read, and whether that is over.
#[derive(Debug)]
pub(in super::super) struct Streams {
    count: AtomicUsize,
    is_over: watch::Sender<bool>,
}

impl Default for Streams {
    fn default() -> Self {
        Self {
            count: AtomicUsize::new(0),
            is_over: watch::channel(false).0,
        }
    }
}

impl Streams {
    /// Ends all, so that no drain waits for them.
    pub(in super::super) fn end(&self) {
        self.is_over.send_replace(true);
    }

    fn place(self: &Arc<Self>) -> Option<Reader> {
        let taken = self
            .count
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |count| {
                (count < STREAMS_MAX).then_some(count + 1)
            });
        taken.ok().map(|_before| Reader(self.clone()))
    }
}

/// One place, given back when its stream ends.
#[derive(Debug)]
struct Reader(Arc<Streams>);

impl Drop for Reader {
    fn drop(&mut self) {
        self.0.count.fetch_sub(1, Ordering::Relaxed);
    }
}

/// One reader's state.
struct Reading {
    source: Arc<dyn StatusSource>,
    snapshots: Arc<Snapshots>,
    is_over: watch::Receiver<bool>,
    _place: Reader,
    /// The state that the client says it has.
    known: Option<String>,
    /// Whether it wants no more than what is now.
    is_once: bool,
    sent: Option<Arc<Snapshot>>,
    said_at: Instant,
}

pub(super) fn answer(
    source: &Arc<dyn StatusSource>,
    snapshots: &Arc<Snapshots>,
    streams: &Arc<Streams>,
    method: &Method,
    is_once: bool,
    headers: &HeaderMap,
) -> Result<Response, Failure> {
    let reader = streams.place().ok_or_else(|| {
        Failure::unavailable(format!(
            "{STREAMS_MAX} streams are read already: ask for /status from time to time"
        ))
    })?;
    let mut response = if method == Method::HEAD {
        Response::default()
    } else {
        // Whatever a client sends: a state that is not ours is one that we do not know.
        let known = headers.get("last-event-id").and_then(|id| id.to_str().ok());
        let reading = Reading {
            source: source.clone(),
            snapshots: snapshots.clone(),
            is_over: streams.is_over.subscribe(),
            _place: reader,
            known: known.map(str::to_owned),
            is_once,
            sent: None,
            said_at: Instant::now(),
        };
        let frames = stream::unfold(reading, |mut reading| async move {
            let frame = reading.next().await?;
            Some((Ok::<_, Infallible>(Bytes::from(frame)), reading))
        });
        warp::reply::stream(frames).into_response()
    };
    let named = response.headers_mut();
    for (name, value) in [
        (CONTENT_TYPE, "text/event-stream"),
        (CACHE_CONTROL, "no-cache, no-transform"),
        // nginx collects an answer before it passes it on, whatever its type.
        (HeaderName::from_static("x-accel-buffering"), "no"),
    ] {
        named.insert(name, HeaderValue::from_static(value));
    }
    Ok(response)
}

impl Reading {
    /// Returns what is said next; `None` at the end.
    async fn next(&mut self) -> Option<String> {
        loop {
            if *self.is_over.borrow() || (self.is_once && self.sent.is_some()) {
                return None;
            }
            let seen = self.look().await;
            if let Some((frame, snapshot)) =
                seen.and_then(|snapshot| Some((self.frame(&snapshot)?, snapshot)))
            {
                self.said_at = Instant::now();
                self.sent = Some(snapshot);
                return Some(frame);
            }
            tokio::select! {
                () = tokio::time::sleep(LOOK) => {}
                // The one who tells is gone with the server.
                _ = self.is_over.changed() => {}
            }
        }
    }

    /// Looks, unless somebody else does: what reads files may hang, and holds one thread then.
    async fn look(&self) -> Option<Arc<Snapshot>> {
        if let Some(recent) = self.snapshots.recent() {
            return Some(recent);
        }
        if self.snapshots.is_looked_at() {
            return None;
        }
        let (source, snapshots) = (self.source.clone(), self.snapshots.clone());
        let looked = tokio::task::spawn_blocking(move || snapshots.look(&*source));
        looked.await.ok()
    }

    fn frame(&mut self, snapshot: &Arc<Snapshot>) -> Option<String> {
        let age = self.source.age_seconds();
        // JSON on one line holds no end of a line.
        let event = |name: &str, object: &str| {
            let (id, data) = (&snapshot.id, aged(age, object));
            format!("event: {name}\nid: {id}\ndata: {data}\n\n")
        };
        let Some(sent) = &self.sent else {
            let is_known = self.known.take().as_deref() == Some(snapshot.id.as_str());
            let first = if is_known {
                event("current", "{}")
            } else {
                event("snapshot", snapshot.json())
            };
            return Some(format!("retry: {RETRY}\n{first}"));
        };
        if sent.id != snapshot.id {
            return Some(event("change", &snapshot.since(sent)));
        }
        let is_silent = self.said_at.elapsed() >= SILENCE;
        is_silent.then(|| event("beat", "{}"))
    }
}
