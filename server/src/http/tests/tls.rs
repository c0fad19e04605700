//! The listener by TLS: what is promised of connections holds there too.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use expect_test::{Expect, expect};
use http_body_util::{BodyExt as _, Full};
use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tempfile::TempDir;
use tokio::io::AsyncRead;
use tokio::net::TcpSocket;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::*;
use crate::inference::Doors;

/// A certificate and its key, in files as a Secret has them: by a link that is swapped.
struct Pair {
    folder: TempDir,
    /// What a client trusts.
    trusted: Vec<CertificateDer<'static>>,
}

/// Makes a certificate for `localhost`.
fn made() -> (CertificateDer<'static>, String, String) {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("a certificate");
    let (chain, key) = (made.cert.pem(), made.signing_key.serialize_pem());
    (made.cert.der().clone(), chain, key)
}

impl Pair {
    fn new() -> Self {
        let mut pair = Self {
            folder: TempDir::new().expect("a folder"),
            trusted: Vec::new(),
        };
        let (certificate, chain, key) = made();
        pair.trusted.push(certificate);
        pair.swap("first", &chain, &key);
        pair
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join("now").join(name)
    }

    /// Lets other files be those that the paths name.
    fn swap(&self, name: &str, chain: &str, key: &str) {
        let folder = self.folder.path().join(name);
        std::fs::create_dir(&folder).expect("a folder");
        std::fs::write(folder.join("tls.crt"), chain).expect("written");
        write_private(&folder.join("tls.key"), key);
        let link = self.folder.path().join("next");
        std::os::unix::fs::symlink(name, &link).expect("linked");
        std::fs::rename(&link, self.folder.path().join("now")).expect("swapped");
    }

    fn tls(&self) -> Tls {
        let (certificate, key) = (self.path("tls.crt"), self.path("tls.key"));
        Tls::looked_at(&certificate, &key, Duration::from_millis(10)).expect("they fit")
    }

    /// Shakes hands, trusting these certificates alone.
    async fn shake(&self, stream: TcpStream) -> std::io::Result<TlsStream<TcpStream>> {
        let mut roots = RootCertStore::empty();
        for certificate in &self.trusted {
            roots.add(certificate.clone()).expect("a root");
        }
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("versions")
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        let name = ServerName::try_from("localhost").expect("a name");
        TlsConnector::from(Arc::new(config)).connect(name, stream).await
    }

    async fn connect(&self, listening: &Listening) -> TlsStream<TcpStream> {
        self.shake(listening.connect().await).await.expect("hands shaken")
    }
}

fn write_private(path: &Path, text: &str) {
    std::fs::write(path, text).expect("written");
    std::fs::set_permissions(path, PermissionsExt::from_mode(0o600)).expect("set");
}

const PROBE: &str = "GET /v2/health/live HTTP/1.1\r\nhost: localhost\r\n\r\n";

/// Sends and returns what comes until there is a whole body of JSON.
async fn ask(stream: &mut TlsStream<TcpStream>, request: &str) -> String {
    stream.write_all(request.as_bytes()).await.expect("sent");
    stream.flush().await.expect("sent");
    until(stream, |answer| answer.ends_with('}')).await
}

async fn until(stream: &mut (impl AsyncRead + Unpin), enough: impl Fn(&str) -> bool) -> String {
    let mut answer = String::new();
    let read = async {
        let mut bytes = [0; 4096];
        while !enough(&answer) {
            match stream.read(&mut bytes).await {
                Ok(0) | Err(_) => break,
                Ok(size) => answer.push_str(&String::from_utf8_lossy(&bytes[..size])),
            }
        }
    };
    timeout(PATIENCE, read).await.expect("in time");
    answer
}

async fn eventually(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let waiting = async {
        while !holds().await {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    assert!(timeout(PATIENCE, waiting).await.is_ok(), "{what}");
}

#[tokio::test]
async fn answers_come_by_tls_and_only_by_it() {
    let pair = Pair::new();
    let listening = listen_on(Limits::default(), Some(pair.tls())).await;
    let mut stream = pair.connect(&listening).await;
    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"http/1.1"[..]));
    for _ in 0..2 {
        assert!(ask(&mut stream, PROBE).await.starts_with("HTTP/1.1 200"));
    }
    let mut plain = listening.connect().await;
    send(&mut plain, PROBE).await;
    assert!(!closed(&mut plain).await.contains("HTTP"));
    assert_eq!(listening.closed("handshake"), 1);
    let expiry = "aurora_certificate_expiry_timestamp_seconds{listener=\"inference\"}";
    // The year 4096 is what rcgen says where nothing else is said.
    assert_eq!(series(listening.runtime.metrics(), expiry), 67_090_118_400);
}

/// Clients of gRPC insist on HTTP/2, said in the handshake, and get it.
#[tokio::test]
async fn calls_come_by_tls_too() {
    let pair = Pair::new();
    let [http, grpc] = [listener().await, listener().await];
    let address = grpc.local_addr().expect("bound");
    let doors = Doors {
        http: http.into(),
        grpc: Some(grpc.into()),
    };
    let doors = doors.over(Some(&pair.tls()));
    let serving = serve_inference(wine(), doors, InferenceOptions::default(), std::future::pending());
    let serving = tokio::spawn(serving);
    let stream = TcpStream::connect(address).await.expect("connected");
    let stream = pair.shake(stream).await.expect("hands shaken");
    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
    let (mut sender, connection) = http2::handshake(TokioExecutor::new(), TokioIo::new(stream))
        .await
        .expect("it speaks HTTP/2");
    let connection = tokio::spawn(connection);
    // An empty message in its frame.
    let call = hyper::Request::post("https://localhost/inference.GRPCInferenceService/ServerLive")
        .header("content-type", "application/grpc")
        .body(Full::new(bytes::Bytes::from_static(&[0; 5])));
    let answer = timeout(PATIENCE, sender.send_request(call.expect("a call")));
    let answer = answer.await.expect("in time").expect("answered");
    let answer = answer.into_body().collect().await.expect("whole");
    assert_eq!(answer.trailers().expect("a status")["grpc-status"], "0");
    drop((serving, connection));
}

async fn listener() -> TcpListener {
    TcpListener::bind("127.0.0.1:0").await.expect("a port")
}

#[tokio::test]
async fn a_certificate_is_read_again_and_one_that_does_not_fit_is_not_taken() {
    let mut pair = Pair::new();
    let listening = listen_on(Limits::default(), Some(pair.tls())).await;
    let mut kept = pair.connect(&listening).await;
    let (_, chain, _) = made();
    let (_, _, key) = made();
    pair.swap("unfit", &chain, &key);
    pair.swap("nothing", "", "");
    // Looked at many times meanwhile.
    tokio::time::sleep(Duration::from_millis(100)).await;
    pair.connect(&listening).await;
    let first = std::mem::take(&mut pair.trusted);
    let (certificate, chain, key) = made();
    pair.trusted.push(certificate);
    pair.swap("second", &chain, &key);
    eventually("the second certificate is shown", async || {
        pair.shake(listening.connect().await).await.is_ok()
    })
    .await;
    let trusts_first = Pair {
        trusted: first,
        folder: TempDir::new().expect("a folder"),
    };
    assert!(trusts_first.shake(listening.connect().await).await.is_err());
    // A connection of before goes on.
    assert!(ask(&mut kept, PROBE).await.starts_with("HTTP/1.1 200"));
}

#[tokio::test]
async fn who_does_not_shake_hands_is_closed_and_gives_way() {
    let pair = Pair::new();
    let limits = Limits {
        connections: 2,
        header_timeout: Duration::from_secs(2),
        ..Limits::default()
    };
    let listening = listen_on(limits, Some(pair.tls())).await;
    let mut silent = listening.connect().await;
    let mut begun = listening.connect().await;
    begun.write_all(&[0x16, 0x03, 0x01]).await.expect("sent");
    let mut stream = pair.connect(&listening).await;
    assert!(ask(&mut stream, PROBE).await.starts_with("HTTP/1.1 200"));
    assert_eq!(closed(&mut silent).await, "");
    assert_eq!(closed(&mut begun).await, "");
    eventually("both are counted", async || {
        listening.closed("evicted") == 1 && listening.closed("header") == 1
    })
    .await;
}

#[tokio::test]
async fn a_drain_by_tls_finishes_what_is_under_way() {
    let pair = Pair::new();
    let listening = listen_on(Limits::default(), Some(pair.tls())).await;
    let mut idle = pair.connect(&listening).await;
    let mut under_way = pair.connect(&listening).await;
    assert!(ask(&mut idle, PROBE).await.starts_with("HTTP/1.1 200"));
    let request = predict(r#"{"inputs":[[5,0]]}"#);
    let (first, rest) = request.split_at(request.len() - 5);
    under_way.write_all(first.as_bytes()).await.expect("sent");
    under_way.flush().await.expect("sent");
    // Its headers are read once the listener has counted it; until then it would be a connection that idles.
    tokio::time::sleep(Duration::from_millis(50)).await;
    listening.shutdown.send(()).expect("listening");
    assert_eq!(until(&mut idle, |_| false).await, "");
    under_way.write_all(rest.as_bytes()).await.expect("sent");
    let answer = until(&mut under_way, |_| false).await;
    assert!(answer.contains("connection: close"), "{answer}");
    assert!(answer.ends_with("[5.0]}"), "{answer}");
    timeout(PATIENCE, listening.ended)
        .await
        .expect("ended")
        .expect("no panic");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_takes_nothing_by_tls_is_given_up() {
    let pair = Pair::new();
    let limits = Limits {
        write_timeout: Duration::from_millis(300),
        rows: 1_000_000,
        ..Limits::default()
    };
    let listening = listen_on(limits, Some(pair.tls())).await;
    let long = linear(0.123_456_789_123_456_7);
    listening.runtime.load(artifact("wine", V1, Track::Stable, &long));
    let socket = TcpSocket::new_v4().expect("a socket");
    socket.set_recv_buffer_size(4096).expect("set");
    let stream = socket.connect(listening.address).await.expect("connected");
    let mut stream = pair.shake(stream).await.expect("hands shaken");
    let rows = vec!["[0.1,0.2]"; 400_000].join(",");
    let request = predict(&format!(r#"{{"inputs":[{rows}]}}"#));
    stream.write_all(request.as_bytes()).await.expect("sent");
    stream.flush().await.expect("sent");
    eventually("it is given up", async || listening.closed("stalled") == 1).await;
}

#[test]
fn what_cannot_be_used_is_refused_and_never_shown() {
    let pair = Pair::new();
    let (_, chain, key) = made();
    let (_, _, other) = made();
    let check = |chain: &str, key: &str, mode: u32, expected: Expect| {
        let folder = TempDir::new().expect("a folder");
        let (certificate, path) = (folder.path().join("tls.crt"), folder.path().join("tls.key"));
        std::fs::write(&certificate, chain).expect("written");
        std::fs::write(&path, key).expect("written");
        std::fs::set_permissions(&path, PermissionsExt::from_mode(mode)).expect("set");
        let error = Tls::from_files(&certificate, &path)
            .expect_err("refused")
            .to_string();
        expected.assert_eq(&error.replace(&folder.path().display().to_string(), "FOLDER"));
    };
    check(
        &chain,
        &other,
        0o600,
        expect!["certificate FOLDER/tls.crt and key FOLDER/tls.key: keys may not be consistent: KeyMismatch"],
    );
    check(
        &chain,
        &key,
        0o644,
        expect![
            "key FOLDER/tls.key has mode 0644: others must not read or write it; chmod 600, or 640 where it belongs to root"
        ],
    );
    check(
        "",
        &key,
        0o600,
        expect!["certificate FOLDER/tls.crt: holds no certificate in PEM"],
    );
    check(
        &chain,
        "secret",
        0o600,
        expect!["key FOLDER/tls.key: holds no private key in PEM"],
    );
    check(
        &chain.replace('M', "!"),
        &key,
        0o600,
        expect!["certificate FOLDER/tls.crt: base64 decode error: InvalidCharacter(33)"],
    );
    check(
        &chain.repeat(17),
        &key,
        0o600,
        expect!["certificate FOLDER/tls.crt: holds more than 16 certificates"],
    );
    check(
        &"-".repeat(2 << 20),
        &key,
        0o600,
        expect!["certificate FOLDER/tls.crt: is larger than 1048576 bytes"],
    );
    assert!(Tls::from_files(&pair.path("missing"), &pair.path("tls.key")).is_err());
    assert!(!format!("{:?}", pair.tls()).contains("PRIVATE"));
}
