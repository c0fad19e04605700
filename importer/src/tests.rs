//! Against servers on loopback that answer as they are told.

mod registries;
mod signatures;
mod stores;

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use planner::finding::Disposition;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio::task::AbortHandle;

use super::*;

const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";

/// Listens until it is dropped; each request is answered with what is made of its head.
struct Server {
    port: u16,
    heads: Arc<Mutex<Vec<String>>>,
    task: AbortHandle,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// What is written, and whether the connection ends then.
struct Reply {
    bytes: Vec<u8>,
    ends: bool,
}

fn reply(status: &str, headers: &str, body: &[u8]) -> Reply {
    let head = format!(
        "HTTP/1.1 {status}\r\n{headers}content-length: {}\r\n\r\n",
        body.len()
    );
    Reply {
        bytes: [head.as_bytes(), body].concat(),
        ends: true,
    }
}

fn redirect(to: &str) -> Reply {
    reply("302 Found", &format!("location: {to}\r\n"), b"")
}

impl Server {
    async fn start(answers: impl Fn(&str) -> Reply + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let port = listener.local_addr().expect("its address").port();
        let heads = Arc::new(Mutex::new(Vec::new()));
        let kept = Arc::clone(&heads);
        let task = tokio::spawn(async move {
            while let Ok((mut stream, _peer)) = listener.accept().await {
                let mut head = Vec::new();
                while !head.ends_with(b"\r\n\r\n") && stream.read_buf(&mut head).await.unwrap_or(0) > 0 {}
                let head = String::from_utf8_lossy(&head).into_owned();
                let Reply { bytes, ends } = answers(head.split(' ').nth(1).unwrap_or_default());
                kept.lock().unwrap().push(head);
                // Who has read enough is gone.
                let _written = stream.write_all(&bytes).await;
                if !ends {
                    let _left = stream.read(&mut [0]).await;
                }
            }
        });
        Self {
            port,
            heads,
            task: task.abort_handle(),
        }
    }

    /// Answers every path with the same model.
    async fn of(model: &'static [u8]) -> Self {
        Self::start(move |_path| reply("200 OK", "", model)).await
    }

    fn at(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.port)
    }

    fn heads(&self) -> Vec<String> {
        self.heads.lock().unwrap().clone()
    }
}

struct World {
    folder: TempDir,
    sources: Vec<Source>,
    limits: Limits,
    hub: Option<Url>,
}

impl World {
    fn new(prefixes: &[String]) -> Self {
        Self {
            folder: TempDir::new().unwrap(),
            sources: prefixes.iter().map(|prefix| prefix.parse().unwrap()).collect(),
            limits: Limits::default(),
            hub: None,
        }
    }

    fn secret(&self, name: &str, secret: &str) -> PathBuf {
        let file = self.folder.path().join(name);
        fs::write(&file, secret).unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
        file
    }

    fn with(mut self, prefix: &str, secret: &str) -> Self {
        let file = self.secret(&self.sources.len().to_string(), secret);
        self.sources
            .push(format!("{prefix}={}", file.display()).parse().unwrap());
        self
    }

    async fn fetch(&self, address: &str, model: &[u8]) -> Result<Vec<u8>, ImportError> {
        self.fetch_part(address, None, model).await
    }

    /// Fetches a file beside an address.
    async fn fetch_part(
        &self,
        address: &str,
        beside: Option<&str>,
        bytes: &[u8],
    ) -> Result<Vec<u8>, ImportError> {
        let sources = Sources::new(self.sources.clone());
        let mut importer = Importer::new(sources, Settings::default(), self.limits)?;
        if let Some(hub) = &self.hub {
            importer.hub = hub.clone();
        }
        let beside = beside.map(|name| name.parse().unwrap());
        importer
            .fetch(&address.parse().unwrap(), beside.as_ref(), &Digest::of(bytes))
            .await
    }

    /// Fetches in vain, and compares what is told.
    async fn check(&self, address: &str, expected: (Disposition, &str)) {
        let error = self.fetch(address, b"model").await.unwrap_err();
        let (disposition, words) = expected;
        assert!(error.to_string().contains(words), "{error}");
        assert_eq!(error.disposition(), disposition, "{error}");
        assert!(!format!("{error} {error:?}").contains("s3cret"), "{error:?}");
    }
}

/// A file beside a model is one of the same folder, below the same prefix, and has a digest of its own.
#[tokio::test]
async fn a_file_beside_a_model_comes_from_the_same_folder() {
    let server = Server::of(b"tensors").await;
    let world = World::new(&[server.at("/team")]);
    let address = server.at("/team/a/m.onnx");
    let fetched = world.fetch_part(&address, Some("m.data"), b"tensors").await;
    assert_eq!(fetched.unwrap(), b"tensors");
    assert!(
        server.heads()[0].starts_with("GET /team/a/m.data HTTP/1.1"),
        "{:?}",
        server.heads()
    );
    let error = world
        .fetch_part(&address, Some("m.data"), b"other")
        .await
        .unwrap_err();
    let told = format!(
        "{} is not what import.files[m.data] names",
        server.at("/team/a/m.data")
    );
    assert!(error.to_string().contains(&told), "{error}");
    // A prefix that is the model's own address covers nothing beside it.
    let world = World::new(std::slice::from_ref(&address));
    let error = world
        .fetch_part(&address, Some("m.data"), b"tensors")
        .await
        .unwrap_err();
    assert!(error.to_string().contains("--import-source"), "{error}");
}

#[tokio::test]
async fn the_bytes_that_the_digest_names_come_from_below_a_prefix() {
    let server = Server::of(b"model").await;
    let world = World::new(&[server.at("/team")]);
    let address = server.at("/team/a/m.onnx");
    assert_eq!(world.fetch(&address, b"model").await.unwrap(), b"model");
    world
        .check(
            &server.at("/teams/m.onnx"),
            (Disposition::Waiting, "--import-source"),
        )
        .await;
    assert_eq!(server.heads().len(), 1, "what is not allowed is not asked");
    let error = world.fetch(&address, b"other").await.unwrap_err();
    assert_eq!(error.disposition(), Disposition::Invalid);
    assert!(
        error.to_string().contains(&Digest::of(b"model").to_string()),
        "{error}"
    );
}

#[tokio::test]
async fn what_is_answered_says_what_happens_next() {
    for (status, disposition, words) in [
        ("401 Unauthorized", Disposition::Waiting, "credential"),
        ("403 Forbidden", Disposition::Waiting, "credential"),
        ("404 Not Found", Disposition::Waiting, "nothing lies at"),
        ("410 Gone", Disposition::Waiting, "nothing lies at"),
        ("400 Bad Request", Disposition::Invalid, "400"),
        ("206 Partial Content", Disposition::Invalid, "206"),
        ("429 Too Many Requests", Disposition::Transient, "429"),
        ("503 Service Unavailable", Disposition::Transient, "503"),
    ] {
        let server = Server::start(move |_path| reply(status, "", b"s3cret")).await;
        let world = World::new(&[]).with(&server.at(""), "s3cret");
        world.check(&server.at("/m.onnx"), (disposition, words)).await;
    }
}

#[tokio::test]
async fn what_breaks_off_is_slow_or_endless_is_tried_again_and_what_is_too_large_is_not() {
    let truncated = Server::start(|_path| Reply {
        bytes: b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nmod".to_vec(),
        ends: true,
    })
    .await;
    let world = World::new(&[truncated.at("")]);
    world
        .check(&truncated.at("/m.onnx"), (Disposition::Transient, "broke off"))
        .await;

    let stalled = Server::start(|_path| Reply {
        bytes: b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nmod".to_vec(),
        ends: false,
    })
    .await;
    let mut world = World::new(&[stalled.at("")]);
    world.limits.stall = Duration::from_millis(50);
    world
        .check(&stalled.at("/m.onnx"), (Disposition::Transient, "to send more"))
        .await;
    world.limits = Limits {
        deadline: Duration::from_millis(50),
        ..Limits::default()
    };
    world
        .check(
            &stalled.at("/m.onnx"),
            (Disposition::Transient, "takes more than 50ms"),
        )
        .await;

    // One tells how much it sends, the other never ends.
    for head in ["content-length: 1000\r\n", "transfer-encoding: chunked\r\n"] {
        let large = Server::start(move |_path| Reply {
            bytes: format!("HTTP/1.1 200 OK\r\n{head}\r\n{}", "5\r\nmodel\r\n".repeat(100)).into_bytes(),
            ends: false,
        })
        .await;
        let mut world = World::new(&[large.at("")]);
        world.limits.bytes_max = 100;
        world
            .check(
                &large.at("/m.onnx"),
                (Disposition::Invalid, "more than 100 bytes"),
            )
            .await;
    }
    drop(truncated.heads());
    let gone = truncated.at("/m.onnx");
    let world = World::new(&[truncated.at("")]);
    drop(truncated);
    world.check(&gone, (Disposition::Transient, "127.0.0.1")).await;
}

#[tokio::test]
async fn a_credential_goes_to_its_prefix_alone() {
    let other = Server::of(b"model").await;
    let elsewhere = other.at("/cdn/m.onnx?signed=1");
    let server = Server::start(move |path| match path {
        "/team/moved.onnx" => redirect("/team/m.onnx"),
        "/team/out.onnx" => redirect("/others/m.onnx"),
        "/team/up.onnx" => redirect("/team/../others/m.onnx"),
        "/team/hidden.onnx" => redirect("/team/%2e%2e/others/m.onnx"),
        "/team/cdn.onnx" => redirect(&elsewhere),
        "/team/round.onnx" => redirect("/team/round.onnx"),
        "/team/metadata.onnx" => redirect("http://169.254.169.254/latest/meta-data"),
        _ => reply("200 OK", "", b"model"),
    })
    .await;
    let world = World::new(&[]).with(&server.at("/team"), "s3cret");
    for path in ["/team/m.onnx", "/team/moved.onnx"] {
        assert_eq!(world.fetch(&server.at(path), b"model").await.unwrap(), b"model");
    }
    for (path, words) in [
        ("/team/out.onnx", "redirects to http://127.0.0.1"),
        ("/team/up.onnx", "redirects to http://127.0.0.1"),
        ("/team/hidden.onnx", "redirects to http://127.0.0.1"),
        ("/team/cdn.onnx", "redirects to http://127.0.0.1"),
        ("/team/round.onnx", "more than 5 times"),
        ("/team/metadata.onnx", "no address that may be asked"),
    ] {
        world.check(&server.at(path), (Disposition::Invalid, words)).await;
    }
    assert_eq!(other.heads().len(), 0);
    for head in server.heads() {
        assert!(head.contains("authorization: Bearer s3cret\r\n"), "{head}");
        assert!(head.starts_with("GET /team/"), "{head}");
    }

    // Where the other place is a prefix too, it is asked by whoever asks there.
    let world = World {
        sources: [world.sources.clone(), vec![other.at("/cdn").parse().unwrap()]].concat(),
        ..world
    };
    assert_eq!(
        world.fetch(&server.at("/team/cdn.onnx"), b"model").await.unwrap(),
        b"model"
    );
    let heads = other.heads();
    assert!(heads[0].starts_with("GET /cdn/m.onnx?signed=1 "), "{heads:?}");
    assert!(!heads[0].contains("authorization"), "{heads:?}");
}

#[tokio::test]
async fn a_credential_is_a_token_or_a_user_and_read_at_each_use() {
    let server = Server::of(b"model").await;
    let world = World::new(&[]).with(&server.at(""), "token\n");
    let file = world.folder.path().join("0");
    let address = server.at("/m.onnx");
    world.fetch(&address, b"model").await.unwrap();
    fs::write(&file, "me:s3cret").unwrap();
    world.fetch(&address, b"model").await.unwrap();
    let heads = server.heads();
    assert!(heads[0].contains("authorization: Bearer token\r\n"), "{heads:?}");
    assert!(
        heads[1].contains("authorization: Basic bWU6czNjcmV0\r\n"),
        "{heads:?}"
    );
    for content in ["", "s3cret\nmore"] {
        fs::write(&file, content).unwrap();
        world
            .check(&address, (Disposition::Waiting, "one credential"))
            .await;
    }
    fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).unwrap();
    world.check(&address, (Disposition::Waiting, "chmod 600")).await;
    fs::remove_file(&file).unwrap();
    world
        .check(&address, (Disposition::Waiting, "cannot be used"))
        .await;
    assert_eq!(server.heads().len(), 2, "without its credential nothing is asked");
}

/// As the Hub answers: a small file by a redirect within itself, a large one by one to where it keeps those.
#[tokio::test]
async fn a_model_of_the_hub_is_asked_for_by_its_commit() {
    let store = Server::of(b"model").await;
    let kept = store.at("/lfs/m.onnx?signature=1");
    let hub = Server::start(move |path| {
        if path == format!("/team/wine/resolve/{COMMIT}/onnx/small.onnx") {
            redirect("/api/resolve-cache/models/team/wine/small.onnx")
        } else if path.starts_with("/api/resolve-cache/") {
            reply("200 OK", "", b"model")
        } else if path == format!("/team/wine/resolve/{COMMIT}/large.onnx") {
            redirect(&kept)
        } else {
            reply("404 Not Found", "", b"")
        }
    })
    .await;
    let mut world = World::new(&[]).with("hf://team/", "s3cret");
    world.hub = Some(Url::parse(&hub.at(""), Plain::Loopback).unwrap());
    let at = |file: &str| format!("hf://team/wine@{COMMIT}/{file}");
    assert_eq!(
        world.fetch(&at("onnx/small.onnx"), b"model").await.unwrap(),
        b"model"
    );
    for head in hub.heads() {
        assert!(head.contains("authorization: Bearer s3cret\r\n"), "{head}");
    }
    world
        .check(
            &at("large.onnx"),
            (Disposition::Invalid, "redirects to http://127.0.0.1"),
        )
        .await;
    world.sources.push(store.at("").parse().unwrap());
    assert_eq!(world.fetch(&at("large.onnx"), b"model").await.unwrap(), b"model");
    assert!(!store.heads()[0].contains("authorization"));
    world
        .check(
            &at("none.onnx"),
            (Disposition::Waiting, "nothing lies at hf://team/wine@"),
        )
        .await;
}

#[test]
fn a_source_is_a_prefix_and_a_file() {
    let check = |text: &str, expected: &str| {
        let parsed = text.parse::<Source>();
        let shown = parsed.map_or_else(|error| error.to_string(), |source| source.to_string());
        assert!(shown.contains(expected), "{text}: {shown}");
    };
    check("https://h/team=/keys/team", "https://h/team=/keys/team");
    check("https://h", "https://h/");
    check("https://h=", "no file follows");
    check("https://169.254.169.254/", "link-local");
    check("ftp://h/", "beginning of an address");
    let refused = "https://me:s3cret@h/".parse::<Source>().unwrap_err();
    assert!(!format!("{refused} {refused:?}").contains("s3cret"));
}
