//! From an address to an answer that begins: names, proxy, TLS, one exchange.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{HOST, PROXY_AUTHORIZATION, USER_AGENT};
use http::{HeaderValue, Method, Uri};
use http_body_util::{Empty, Full};
use hyper::client::conn::http1;
use hyper_util::client::proxy::matcher::{Intercept, Matcher};
use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::task::AbortHandle;
use tokio_rustls::TlsConnector;

use crate::url::is_forbidden;
use crate::{Answer, Plain, Request, Url, WebError, within};

/// The most that the head of an answer may have, in bytes.
const HEAD_BYTES_MAX: usize = 64 << 10;
/// The most headers of an answer.
const HEADERS_MAX: usize = 100;
/// How many of a host's addresses are tried.
const ADDRESSES_MAX: usize = 4;
const AGENT: &str = concat!("aurora/", env!("CARGO_PKG_VERSION"));

/// What HTTPS goes through, as curl reads `https_proxy` and `no_proxy`; plain HTTP goes straight.
#[derive(Clone, Default)]
pub struct Proxies(Option<Arc<Matcher>>);

impl Proxies {
    /// Takes `https_proxy`, `all_proxy` and `no_proxy` of the environment, in small letters or capitals.
    pub fn from_environment() -> Self {
        Self(Some(Arc::new(Matcher::from_env())))
    }

    /// Goes through `proxy`, as `http://[USER:PASSWORD@]HOST:PORT`, but for the names, addresses and networks of `no`,
    /// which commas part.
    pub fn new(proxy: &str, no: &str) -> Self {
        let matcher = Matcher::builder()
            .https(proxy.to_owned())
            .no(no.to_owned())
            .build();
        Self(Some(Arc::new(matcher)))
    }

    fn of(&self, url: &Url) -> Option<Intercept> {
        let matcher = self.0.as_ref().filter(|_matcher| url.is_tls)?;
        matcher.intercept(&url.origin().parse::<Uri>().ok()?)
    }
}

impl fmt::Debug for Proxies {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Proxies")
    }
}

/// Makes connections.
#[derive(Clone)]
pub(crate) struct Connector {
    tls: TlsConnector,
    proxies: Proxies,
}

impl fmt::Debug for Connector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connector").finish_non_exhaustive()
    }
}

/// A connection's task, which ends with this.
#[derive(Debug)]
pub(crate) struct Driven(AbortHandle);

impl Drop for Driven {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Connector {
    pub(crate) fn new(tls: Arc<ClientConfig>, proxies: Proxies) -> Self {
        Self {
            tls: TlsConnector::from(tls),
            proxies,
        }
    }

    /// Asks `url` what the request says.
    pub(crate) async fn ask(&self, url: &Url, request: &Request) -> Result<Answer, WebError> {
        let limit = request.limits.connect;
        let stream = within(url, limit, "take a connection", self.connect(url, limit)).await??;
        exchange(stream, url, request).await
    }

    async fn connect(&self, url: &Url, limit: Duration) -> Result<Box<dyn Stream>, WebError> {
        if !url.is_tls {
            return Ok(Box::new(reach(url, limit).await?));
        }
        let stream = match self.proxies.of(url) {
            Some(proxy) => tunnel(url, &proxy, limit).await?,
            None => Box::new(reach(url, limit).await?),
        };
        let name = ServerName::try_from(url.host.clone())
            .map_err(|error| WebError::Address(format!("its host is no name: {error}")))?;
        let handshake = self.tls.connect(name, stream).await;
        Ok(Box::new(handshake.map_err(|error| refused(url, &error))?))
    }
}

/// What bytes go through.
trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<S: AsyncRead + AsyncWrite + Send + Unpin> Stream for S {}

/// Connects to one of a host's addresses. No address takes all of the time: the next may answer.
async fn reach(url: &Url, limit: Duration) -> Result<TcpStream, WebError> {
    let found = tokio::net::lookup_host((url.host.as_str(), url.port)).await;
    let found: Vec<SocketAddr> = found
        .map_err(|error| WebError::unreachable(url, &error))?
        .collect();
    let addresses = found.iter().filter(|address| !is_forbidden(address.ip()));
    let addresses: Vec<SocketAddr> = addresses.take(ADDRESSES_MAX).copied().collect();
    if addresses.is_empty() && !found.is_empty() {
        return Err(WebError::Forbidden { origin: url.origin() });
    }
    let each = limit / u32::try_from(addresses.len().max(1)).expect("invariant: they are few");
    let mut last = io::Error::new(io::ErrorKind::NotFound, "its name has no address");
    for address in addresses {
        match tokio::time::timeout(each, TcpStream::connect(address)).await {
            Ok(Ok(stream)) => return Ok(stream),
            Ok(Err(error)) => last = error,
            Err(_elapsed) => last = io::ErrorKind::TimedOut.into(),
        }
    }
    Err(WebError::unreachable(url, &last))
}

/// Asks a proxy for a connection to a host.
async fn tunnel(url: &Url, proxy: &Intercept, limit: Duration) -> Result<Box<dyn Stream>, WebError> {
    let uri = proxy.uri();
    let (host, port) = (uri.host().unwrap_or_default(), uri.port_u16().unwrap_or(80));
    if uri.scheme_str() != Some("http") {
        return Err(WebError::Address("a proxy's begins with http://".to_owned()));
    }
    let proxy_url = Url::parse(&format!("http://{host}:{port}"), Plain::Anywhere)?;
    let stream = reach(&proxy_url, limit).await?;
    let broken = |error: &hyper::Error| WebError::broken(&proxy_url, error);
    let (mut sender, connection) = http1::handshake::<_, Empty<Bytes>>(TokioIo::new(stream))
        .await
        .map_err(|error| broken(&error))?;
    // It ends with the tunnel.
    tokio::spawn(connection.with_upgrades());
    let target = format!("{}:{}", url.bracketed(), url.port);
    let mut request = http::Request::new(Empty::new());
    *request.method_mut() = Method::CONNECT;
    *request.uri_mut() = target
        .parse()
        .expect("invariant: a host and a port are an authority");
    request.headers_mut().insert(HOST, visible(&target));
    if let Some(authorization) = proxy.basic_auth() {
        request
            .headers_mut()
            .insert(PROXY_AUTHORIZATION, authorization.clone());
    }
    let response = sender
        .send_request(request)
        .await
        .map_err(|error| broken(&error))?;
    if !response.status().is_success() {
        return Err(WebError::Proxy {
            origin: url.origin(),
            status: response.status(),
        });
    }
    let upgraded = hyper::upgrade::on(response)
        .await
        .map_err(|error| broken(&error))?;
    Ok(Box::new(TokioIo::new(upgraded)))
}

/// Sends the request over a connection, and waits until its answer begins.
async fn exchange(stream: Box<dyn Stream>, url: &Url, request: &Request) -> Result<Answer, WebError> {
    let handshake = http1::Builder::new()
        .max_headers(HEADERS_MAX)
        .max_buf_size(HEAD_BYTES_MAX)
        .handshake(TokioIo::new(stream));
    let (mut sender, connection) = handshake.await.map_err(|error| WebError::broken(url, &error))?;
    let task = tokio::spawn(async move {
        // What goes wrong with it, whoever reads the answer is told.
        let _ended = connection.await;
    });
    let driven = Driven(task.abort_handle());
    let asked = sender.send_request(message(url, request));
    let response = within(url, request.limits.stall, "begin its answer", asked).await?;
    let response = response.map_err(|error| WebError::broken(url, &error))?;
    Answer::new(response, url.clone(), &request.limits, driven)
}

fn message(url: &Url, request: &Request) -> http::Request<Full<Bytes>> {
    let mut message = http::Request::new(Full::new(request.body.clone()));
    *message.method_mut() = request.method.clone();
    *message.uri_mut() = Uri::from(url.target.clone());
    let headers = message.headers_mut();
    headers.clone_from(&request.headers);
    headers.insert(HOST, visible(&url.authority()));
    headers.insert(USER_AGENT, HeaderValue::from_static(AGENT));
    message
}

fn visible(text: &str) -> HeaderValue {
    HeaderValue::from_str(text).expect("invariant: an authority is visible ASCII")
}

/// Tells a certificate that is refused from a connection that is lost.
fn refused(url: &Url, error: &io::Error) -> WebError {
    let of_tls = error
        .get_ref()
        .and_then(|inner| inner.downcast_ref::<rustls::Error>());
    match of_tls {
        Some(rustls::Error::InvalidCertificate(why)) => WebError::Untrusted {
            origin: url.origin(),
            why: why.to_string(),
        },
        _ => WebError::unreachable(url, error),
    }
}
