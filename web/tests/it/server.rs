//! A server on loopback, and a proxy, for one test.

use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use rustls::ServerConfig;
use rustls::pki_types::PrivateKeyDer;
use tempfile::TempDir;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::AbortHandle;
use tokio_rustls::TlsAcceptor;

/// Listens until it is dropped.
pub(crate) struct Server {
    scheme: &'static str,
    port: u16,
    asked: Arc<Mutex<Vec<String>>>,
    folder: TempDir,
    task: AbortHandle,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// What is written, byte by byte, and when.
#[derive(Clone)]
pub(crate) struct Reply {
    parts: Vec<(Duration, String)>,
    ends: bool,
}

impl Reply {
    pub(crate) fn of(status: &str, body: &str) -> Self {
        Self::raw(&format!(
            "HTTP/1.1 {status}\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        ))
    }

    /// What is no answer, or not a whole one; the connection stays open after it.
    pub(crate) fn raw(text: &str) -> Self {
        Self {
            parts: vec![(Duration::ZERO, text.to_owned())],
            ends: false,
        }
    }

    pub(crate) fn header(mut self, header: &str) -> Self {
        let text = &mut self.parts[0].1;
        *text = text.replacen("\r\n", &format!("\r\n{header}\r\n"), 1);
        self
    }

    pub(crate) fn then(mut self, text: &str) -> Self {
        self.parts.push((Duration::ZERO, text.to_owned()));
        self
    }

    pub(crate) fn pause(mut self, pause: Duration) -> Self {
        self.parts.push((pause, String::new()));
        self
    }

    pub(crate) fn end(mut self) -> Self {
        self.ends = true;
        self
    }
}

impl Server {
    pub(crate) async fn tls(answers: impl Fn(&str) -> Reply + Send + Sync + 'static) -> Self {
        Self::start("https", Arc::new(answers)).await
    }

    pub(crate) async fn plain(answers: impl Fn(&str) -> Reply + Send + Sync + 'static) -> Self {
        Self::start("http", Arc::new(answers)).await
    }

    async fn start(scheme: &'static str, answers: Arc<dyn Fn(&str) -> Reply + Send + Sync>) -> Self {
        let folder = TempDir::new().expect("a temporary folder");
        let acceptor = (scheme == "https").then(|| certify(&folder));
        let asked = Arc::new(Mutex::new(Vec::new()));
        let (listener, heard) = (
            TcpListener::bind("127.0.0.1:0").await.expect("a port"),
            asked.clone(),
        );
        let port = listener.local_addr().expect("its address").port();
        let task = tokio::spawn(async move {
            while let Ok((stream, _peer)) = listener.accept().await {
                let (acceptor, heard, answers) = (acceptor.clone(), heard.clone(), answers.clone());
                tokio::spawn(async move {
                    match acceptor {
                        None => answer(stream, &heard, &*answers).await,
                        // Who does not trust the certificate leaves here.
                        Some(acceptor) => {
                            if let Ok(stream) = acceptor.accept(stream).await {
                                answer(stream, &heard, &*answers).await;
                            }
                        }
                    }
                });
            }
        });
        Self {
            scheme,
            port,
            asked,
            folder,
            task: task.abort_handle(),
        }
    }

    /// Connects whoever brings this Basic authorization.
    pub(crate) async fn proxy(authorization: &'static str) -> Self {
        let asked = Arc::new(Mutex::new(Vec::new()));
        let (listener, heard) = (
            TcpListener::bind("127.0.0.1:0").await.expect("a port"),
            asked.clone(),
        );
        let port = listener.local_addr().expect("its address").port();
        let task = tokio::spawn(async move {
            while let Ok((mut stream, _peer)) = listener.accept().await {
                let heard = heard.clone();
                tokio::spawn(async move {
                    let request = read(&mut stream).await;
                    if !request.contains(&format!("proxy-authorization: Basic {authorization}\r\n")) {
                        let refusal =
                            b"HTTP/1.1 407 Proxy Authentication Required\r\ncontent-length: 0\r\n\r\n";
                        stream.write_all(refusal).await.expect("whoever asked listens");
                        return;
                    }
                    let target = request.split(' ').nth(1).expect("a target").to_owned();
                    heard.lock().expect("no test panicked").push(request);
                    let mut other = TcpStream::connect(target).await.expect("the target listens");
                    stream
                        .write_all(b"HTTP/1.1 200 OK\r\n\r\n")
                        .await
                        .expect("whoever asked listens");
                    // Either side may end it as it likes.
                    drop(tokio::io::copy_bidirectional(&mut stream, &mut other).await);
                });
            }
        });
        Self {
            scheme: "http",
            port,
            asked,
            folder: TempDir::new().expect("a temporary folder"),
            task: task.abort_handle(),
        }
    }

    pub(crate) fn address(&self, path: &str) -> String {
        format!("{}://127.0.0.1:{}{path}", self.scheme, self.port)
    }

    pub(crate) fn ca_file(&self) -> PathBuf {
        let file = self.folder.path().join("ca.pem");
        if !file.exists() {
            certify(&self.folder);
        }
        file
    }

    /// Returns each request, head and body.
    pub(crate) fn asked(&self) -> Vec<String> {
        self.asked.lock().expect("no test panicked").clone()
    }
}

fn certify(folder: &TempDir) -> TlsAcceptor {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params
        .distinguished_name
        .push(DnType::CommonName, "authority of a test");
    let authority =
        CertifiedIssuer::self_signed(params, KeyPair::generate().expect("a key")).expect("a certificate");
    std::fs::write(folder.path().join("ca.pem"), authority.pem()).expect("a file");
    let key = KeyPair::generate().expect("a key");
    let params = CertificateParams::new(["127.0.0.1".to_owned()]).expect("a name");
    let certificate = params.signed_by(&key, &authority).expect("a certificate");
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let configuration = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("versions of TLS")
        .with_no_client_auth()
        .with_single_cert(
            vec![certificate.der().clone()],
            PrivateKeyDer::try_from(key.serialize_der()).expect("a key"),
        )
        .expect("a certificate and its key");
    TlsAcceptor::from(Arc::new(configuration))
}

async fn answer<S: AsyncRead + AsyncWrite + Unpin>(
    mut stream: S,
    heard: &Mutex<Vec<String>>,
    answers: &(dyn Fn(&str) -> Reply + Send + Sync),
) {
    let asked = read(&mut stream).await;
    let reply = answers(&asked);
    heard.lock().expect("no test panicked").push(asked);
    for (pause, part) in reply.parts {
        tokio::time::sleep(pause).await;
        // Who has read enough is gone.
        if stream.write_all(part.as_bytes()).await.is_err() || stream.flush().await.is_err() {
            return;
        }
    }
    if reply.ends {
        drop(stream.shutdown().await);
    } else {
        // Until whoever asked leaves.
        drop(stream.read(&mut [0]).await);
    }
}

/// Reads one request.
async fn read(stream: &mut (impl AsyncRead + Unpin)) -> String {
    let mut bytes = Vec::new();
    loop {
        let text = String::from_utf8_lossy(&bytes);
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head
                .lines()
                .find_map(|line| line.strip_prefix("content-length: "));
            if body.len() >= length.map_or(0, |length| length.parse().expect("a length")) {
                return text.into_owned();
            }
        }
        if stream.read_buf(&mut bytes).await.unwrap_or(0) == 0 {
            return String::from_utf8_lossy(&bytes).into_owned();
        }
    }
}
