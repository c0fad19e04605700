//! A proxy before an API server, in which things go wrong when a test says so.
//!
//! A client of it is whom the proxy's own configuration says; where that is nobody, whom the client's token says. Writes are
//! counted from 1, but for those of Leases, which come by the clock. Addresses of endpoints are those on this machine (see
//! `kubelet::address`), so that a router can be a client.

mod body;
mod plan;

use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use http::header::{CONTENT_LENGTH, CONTENT_TYPE, HOST, RETRY_AFTER};
use http::{Method, Request, Response};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use kube::Client;
use kube::client::Body;
use kube::config::Config;
use serde_json::json;
use tokio::sync::watch;

use crate::background::Background;
use crate::control_plane::client;
use crate::listener::{self, Closed};
use crate::note;
use body::Answered;
pub use plan::Fault;
use plan::{Plan, Verdict};

/// A proxy that listens on loopback until it is dropped.
#[derive(Debug)]
pub struct Proxy {
    address: SocketAddr,
    shared: Arc<Shared>,
    namespace: String,
    _background: Background,
}

#[derive(Debug)]
struct Shared {
    plan: Mutex<Plan>,
    delay: Mutex<Duration>,
    /// Counted up when all watches are closed.
    closed: watch::Sender<u64>,
    is_cut: watch::Sender<bool>,
}

impl Proxy {
    /// Starts a proxy whose requests are made with this configuration.
    ///
    /// # Errors
    ///
    /// There is no port or no thread to be had.
    pub fn start(mut config: Config) -> io::Result<Self> {
        // What goes wrong is the client's to see.
        config.default_retry = false;
        let namespace = config.default_namespace.clone();
        let (listener, address) = listener::bind()?;
        let shared = Arc::new(Shared {
            plan: Mutex::default(),
            delay: Mutex::default(),
            closed: watch::Sender::new(0),
            is_cut: watch::Sender::new(false),
        });
        let answering = Arc::clone(&shared);
        let background = Background::start("proxy", move || async move {
            let client = match client(config) {
                Ok(client) => client,
                Err(error) => return note(&format!("proxy: {error}")),
            };
            let answer = move |request| answer(Arc::clone(&answering), client.clone(), request);
            let Err(error) = listener::serve(listener, answer).await;
            note(&format!("proxy: {error}"));
        })?;
        Ok(Self {
            address,
            shared,
            namespace,
            _background: background,
        })
    }

    /// Returns its URL.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Returns what a client of it is made of.
    ///
    /// # Panics
    ///
    /// Never: an address is part of a URL.
    pub fn config(&self) -> Config {
        let url = self
            .url()
            .parse()
            .expect("invariant: an address is part of a URL");
        let mut config = Config::new(url);
        config.default_namespace.clone_from(&self.namespace);
        config
    }

    /// Writes a kubeconfig for a process that is a client of it.
    ///
    /// # Errors
    ///
    /// The file cannot be written.
    pub fn write_kubeconfig(&self, path: &Path) -> io::Result<()> {
        let context = json!({ "cluster": "proxy", "user": "proxied", "namespace": self.namespace });
        let kubeconfig = json!({
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{ "name": "proxy", "cluster": { "server": self.url() } }],
            "users": [{ "name": "proxied", "user": {} }],
            "contexts": [{ "name": "proxy", "context": context }],
            "current-context": "proxy",
        });
        std::fs::write(path, kubeconfig.to_string())
    }

    /// Lets the n-th write fare so.
    pub fn fail_write(&self, n: u64, fault: Fault) {
        self.shared.plan().faults.insert(n, fault);
    }

    /// Lets each n-th write fare so.
    pub fn fail_each(&self, n: u64, fault: Fault) {
        self.shared.plan().every = Some((n, fault));
    }

    /// Lets n writes pass, counted from its start, and then nothing: the n-th is done and not answered, all connections are closed, none is answered
    /// any more.
    pub fn cut_after(&self, n: u64) {
        self.shared.plan().cut_after = Some(n);
    }

    /// Returns when it is cut.
    pub async fn until_cut(&self) {
        let mut is_cut = self.shared.is_cut.subscribe();
        // Invariant: the sender is ours.
        drop(is_cut.wait_for(|is_cut| *is_cut).await);
    }

    /// Says whether it is cut.
    pub fn is_cut(&self) -> bool {
        *self.shared.is_cut.borrow()
    }

    /// Returns how many writes came so far.
    pub fn writes(&self) -> u64 {
        self.shared.plan().writes
    }

    /// Lets everything pass that comes from now on.
    pub fn mend(&self) {
        let writes = self.writes();
        *self.shared.plan() = Plan {
            writes,
            ..Plan::default()
        };
        self.shared.is_cut.send_replace(false);
        self.delay(Duration::ZERO);
    }

    /// Lets each request wait before it is passed.
    pub fn delay(&self, delay: Duration) {
        *self.shared.delay.lock().unwrap_or_else(PoisonError::into_inner) = delay;
    }

    /// Ends all watches that are open, as an API server does after a while.
    pub fn close_watches(&self) {
        self.shared.closed.send_modify(|closed| *closed += 1);
    }
}

impl Shared {
    fn plan(&self) -> MutexGuard<'_, Plan> {
        self.plan.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn delay(&self) -> Duration {
        *self.delay.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn answer(
    shared: Arc<Shared>,
    client: Client,
    request: Request<Incoming>,
) -> Result<Response<Answered>, Closed> {
    let closed = shared.closed.subscribe();
    tokio::time::sleep(shared.delay()).await;
    let verdict = shared
        .plan()
        .judge(is_counted(request.method(), request.uri().path()));
    match verdict {
        Verdict::Answer(code) => return Ok(refusal(code)),
        Verdict::Close => {
            cut(&shared);
            return Err(Closed);
        }
        Verdict::Pass | Verdict::Lose => {}
    }
    let is_of_endpoints = request.uri().path().contains("/endpointslices");
    let query = request.uri().query().unwrap_or_default();
    let is_watch = query
        .split('&')
        .any(|part| matches!(part, "watch=true" | "watch=1"));
    let passed = pass(&client, request).await;
    if verdict == Verdict::Lose {
        if shared.plan().is_cut {
            cut(&shared);
        }
        return Err(Closed);
    }
    let (mut parts, body) = passed?.into_parts();
    if is_of_endpoints {
        parts.headers.remove(CONTENT_LENGTH);
    }
    let body = body::answered(body, is_of_endpoints, is_watch.then_some(closed));
    Ok(Response::from_parts(parts, body))
}

fn cut(shared: &Shared) {
    shared.closed.send_modify(|closed| *closed += 1);
    shared.is_cut.send_replace(true);
}

/// Says whether it is a write that has its place in the count.
fn is_counted(method: &Method, path: &str) -> bool {
    let is_write = matches!(
        *method,
        Method::POST | Method::PUT | Method::PATCH | Method::DELETE
    );
    is_write && !path.contains("/leases")
}

async fn pass(client: &Client, request: Request<Incoming>) -> Result<Response<Body>, Closed> {
    let (mut parts, body) = request.into_parts();
    let Ok(body) = body.collect().await else {
        return Err(Closed);
    };
    parts.headers.remove(HOST);
    let request = Request::from_parts(parts, Body::from(body.to_bytes().to_vec()));
    client.send(request).await.map_err(|_away| Closed)
}

/// Returns an answer as the API server gives it.
fn refusal(code: u16) -> Response<Answered> {
    let reason = match code {
        409 => "Conflict",
        429 => "TooManyRequests",
        _ => "InternalError",
    };
    let status = json!({
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Failure",
        "message": format!("the test kit answers {code}"),
        "reason": reason,
        "code": code,
    });
    let mut response = Response::new(body::text(status.to_string()));
    *response.status_mut() =
        http::StatusCode::from_u16(code).unwrap_or(http::StatusCode::INTERNAL_SERVER_ERROR);
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, http::HeaderValue::from_static("application/json"));
    if code == 429 {
        headers.insert(RETRY_AFTER, http::HeaderValue::from_static("1"));
    }
    response
}
