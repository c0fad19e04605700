//! Against a server on loopback that answers as it is told, over TLS with an authority of its own.

mod server;

use std::time::{Duration, Instant};

use planner::finding::Disposition;
use server::{Reply, Server};
use web::{Client, Limits, Method, Plain, Proxies, Request, Response, Settings, Url, WebError, header};

fn client(server: &Server, proxies: Proxies) -> Client {
    let settings = Settings {
        ca_file: Some(server.ca_file()),
        proxies,
    };
    Client::new(settings).expect("an authority")
}

fn get(address: &str) -> Request {
    Request::new(
        Method::GET,
        Url::parse(address, Plain::Loopback).expect("an address"),
    )
}

async fn send(server: &Server, request: &Request) -> Result<Response, WebError> {
    client(server, Proxies::default()).send(request).await
}

/// Asks, and expects words that tell why there is no answer.
async fn refused(server: &Server, request: &Request, disposition: Disposition, words: &str) {
    let answered = send(server, request).await.and_then(Response::success);
    let error = answered.expect_err(words);
    assert_eq!(error.disposition(), disposition, "{error}");
    assert!(error.to_string().contains(words), "{error}");
    assert!(
        !format!("{error} {error:?} {request:?}").contains("s3cret"),
        "{error:?}"
    );
}

#[tokio::test]
async fn an_answer_comes_whole_over_tls() {
    let server = Server::tls(|_asked| Reply::of("201 Created", "hello").header("etag: \"1\"")).await;
    let request = Request {
        method: Method::POST,
        ..get(&server.address("/api?x=1"))
    };
    let request = request.body("application/json", "{}").bearer("s3cret").unwrap();
    let answer = send(&server, &request).await.unwrap().success().unwrap();
    assert_eq!(
        (answer.status.as_u16(), &answer.body[..]),
        (201, b"hello".as_slice())
    );
    assert_eq!(answer.headers[header::ETAG], "\"1\"");
    let asked = server.asked();
    assert_eq!(asked.len(), 1);
    for part in [
        "POST /api?x=1 HTTP/1.1\r\n",
        "authorization: Bearer s3cret\r\n",
        "content-type: application/json\r\n",
        "user-agent: aurora/",
        "\r\n\r\n{}",
    ] {
        assert!(asked[0].contains(part), "{part}: {}", asked[0]);
    }
    assert!(!format!("{request:?}").contains("s3cret"), "{request:?}");
}

#[tokio::test]
async fn a_stranger_is_not_trusted() {
    let (server, other) = (
        Server::tls(|_| Reply::of("200 OK", "")).await,
        Server::tls(|_| Reply::of("200 OK", "")).await,
    );
    let request = get(&server.address("/s3cret"));
    refused(&other, &request, Disposition::Invalid, "--ca-file").await;
    let by_name = get(&server.address("/").replace("127.0.0.1", "localhost"));
    refused(&server, &by_name, Disposition::Invalid, "not trusted").await;
    assert_eq!(server.asked().len(), 0);
}

#[tokio::test]
async fn a_file_without_certificates_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("ca.pem");
    for (content, words) in [
        (None, "No such file"),
        (Some("no PEM"), "no certificate"),
        (
            Some("-----BEGIN CERTIFICATE-----\n!\n-----END CERTIFICATE-----\n"),
            "ca.pem",
        ),
    ] {
        if let Some(content) = content {
            std::fs::write(&file, content).unwrap();
        }
        let made = Client::new(Settings {
            ca_file: Some(file.clone()),
            ..Settings::default()
        });
        assert!(
            made.as_ref()
                .is_err_and(|error| error.to_string().contains(words)),
            "{words}: {made:?}"
        );
    }
}

#[tokio::test]
async fn what_a_status_says_decides_what_comes_next() {
    let cases = [
        ("401 Unauthorized", Disposition::Invalid, None),
        ("404 Not Found", Disposition::Invalid, None),
        ("408 Request Timeout", Disposition::Transient, None),
        ("429 Too Many Requests", Disposition::Transient, Some(7)),
        ("500 Internal Server Error", Disposition::Transient, None),
        ("503 Service Unavailable", Disposition::Transient, Some(3600)),
    ];
    for (status, disposition, wait) in cases {
        let server = Server::tls(move |_| {
            let reply = Reply::of(status, "no\r\nmore words");
            wait.into_iter().fold(reply, |reply, wait| {
                reply.header(&format!(
                    "retry-after: {}",
                    wait * if wait > 60 { 100 } else { 1 }
                ))
            })
        })
        .await;
        let error = send(&server, &get(&server.address("/s3cret")))
            .await
            .unwrap()
            .success()
            .unwrap_err();
        assert_eq!(
            (error.disposition(), error.retry_after()),
            (disposition, wait.map(Duration::from_secs)),
            "{status}"
        );
        assert_eq!(
            error.to_string(),
            format!("{} answers {status}: no more words", server.address(""))
        );
    }
}

#[tokio::test]
async fn a_redirect_within_the_server_is_followed_and_no_other() {
    let elsewhere = Server::tls(|_| Reply::of("200 OK", "stolen")).await;
    let to = elsewhere.address("/s3cret");
    let server = Server::tls(move |asked| match asked.split(' ').nth(1).unwrap() {
        "/old" => Reply::of("301 Moved Permanently", "").header("location: /new"),
        "/seen" => Reply::of("303 See Other", "").header("location: /new"),
        "/round" => Reply::of("302 Found", "").header("location: /round"),
        "/away" => Reply::of("307 Temporary Redirect", "").header(&format!("location: {to}")),
        _ => Reply::of("200 OK", "new"),
    })
    .await;
    let with_token = |path: &str| get(&server.address(path)).bearer("s3cret").unwrap();
    let answer = send(&server, &with_token("/old")).await.unwrap();
    assert_eq!(&answer.body[..], b"new");
    let posted = Request {
        method: Method::POST,
        ..with_token("/old")
    }
    .body("text/plain", "again");
    assert_eq!(&send(&server, &posted).await.unwrap().body[..], b"new");
    assert!(server.asked().last().unwrap().ends_with("again"));
    // A question that would become another one is not asked.
    let posted = Request {
        method: Method::POST,
        ..with_token("/seen")
    };
    assert_eq!(send(&server, &posted).await.unwrap().status.as_u16(), 303);
    refused(
        &server,
        &with_token("/round"),
        Disposition::Invalid,
        "itself more than 3 times",
    )
    .await;
    refused(
        &server,
        &with_token("/away"),
        Disposition::Invalid,
        "redirects to https://127.0.0.1",
    )
    .await;
    assert_eq!(elsewhere.asked().len(), 0);
}

#[tokio::test]
async fn an_answer_is_bounded_in_size_and_time() {
    let limits = Limits {
        stall: Duration::from_millis(200),
        deadline: Duration::from_millis(600),
        body_bytes_max: 100,
        ..Limits::default()
    };
    let large = Server::tls(|_| Reply::of("200 OK", &"x".repeat(101))).await;
    refused(
        &large,
        &get(&large.address("/")).limits(limits),
        Disposition::Invalid,
        "more than 100 bytes",
    )
    .await;
    let unsaid = Server::tls(|_| Reply::raw("HTTP/1.1 200 OK\r\n\r\n").then(&"x".repeat(101)).end()).await;
    refused(
        &unsaid,
        &get(&unsaid.address("/")).limits(limits),
        Disposition::Invalid,
        "more than 100 bytes",
    )
    .await;
    let silent = Server::tls(|_| Reply::raw("")).await;
    refused(
        &silent,
        &get(&silent.address("/")).limits(limits),
        Disposition::Transient,
        "to begin its answer",
    )
    .await;
    let stalled = Server::tls(|_| Reply::raw("HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nabc")).await;
    refused(
        &stalled,
        &get(&stalled.address("/")).limits(limits),
        Disposition::Transient,
        "to send more",
    )
    .await;
    // Each byte comes in time, and all of them too late.
    let trickle = Server::tls(|_| {
        (0..99).fold(
            Reply::raw("HTTP/1.1 200 OK\r\ncontent-length: 99\r\n\r\n"),
            |reply, _| reply.pause(Duration::from_millis(50)).then("x"),
        )
    })
    .await;
    let begin = Instant::now();
    refused(
        &trickle,
        &get(&trickle.address("/")).limits(limits),
        Disposition::Transient,
        "to answer",
    )
    .await;
    assert!(begin.elapsed() < Duration::from_secs(3));
    let heads =
        Server::tls(|_| Reply::raw(&format!("HTTP/1.1 200 OK\r\nx: {}\r\n\r\n", "x".repeat(1 << 20))).end())
            .await;
    refused(
        &heads,
        &get(&heads.address("/")),
        Disposition::Transient,
        "broke off",
    )
    .await;
    let cut = Server::tls(|_| Reply::raw("HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nabc").end()).await;
    refused(&cut, &get(&cut.address("/")), Disposition::Transient, "broke off").await;
    let other = Server::tls(|_| Reply::raw("SSH-2.0-OpenSSH\r\n").end()).await;
    refused(
        &other,
        &get(&other.address("/")),
        Disposition::Transient,
        "broke off",
    )
    .await;
}

#[tokio::test]
async fn a_large_answer_comes_in_parts() {
    let server = Server::tls(|_| {
        Reply::raw("HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\nabc")
            .pause(Duration::from_millis(50))
            .then("def")
    })
    .await;
    let client = client(&server, Proxies::default());
    // Only a stall ends it, not the time that all of it takes.
    let limits = Limits {
        deadline: Duration::ZERO,
        ..Limits::default()
    };
    let mut answer = client
        .open(&get(&server.address("/")).limits(limits))
        .await
        .unwrap();
    let mut parts = Vec::new();
    while let Some(part) = answer.chunk().await.unwrap() {
        parts.push(part);
    }
    assert_eq!(parts.concat(), b"abcdef");
}

#[tokio::test]
async fn nobody_listens() {
    let server = Server::tls(|_| Reply::of("200 OK", "")).await;
    let port = std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port();
    let request = get(&format!("https://127.0.0.1:{port}/s3cret"));
    refused(&server, &request, Disposition::Transient, "cannot be reached").await;
    let request = get("https://nobody.invalid/s3cret");
    refused(&server, &request, Disposition::Transient, "cannot be reached").await;
}

#[tokio::test]
async fn plain_http_is_asked_on_loopback() {
    let server = Server::plain(|_| Reply::of("200 OK", "plain")).await;
    let answer = send(&server, &get(&server.address("/"))).await.unwrap();
    assert_eq!(&answer.body[..], b"plain");
}

#[tokio::test]
async fn a_proxy_is_asked_for_the_connection_alone() {
    let server = Server::tls(|_| Reply::of("200 OK", "through")).await;
    let proxy = Server::proxy("dXNlcjpwYXNz").await;
    let address = proxy.address("").replace("http://", "http://user:pass@");
    let request = get(&server.address("/s3cret")).bearer("s3cret").unwrap();
    let answer = client(&server, Proxies::new(&address, ""))
        .send(&request)
        .await
        .unwrap();
    assert_eq!(&answer.body[..], b"through");
    let asked = proxy.asked();
    assert_eq!(asked.len(), 1);
    assert!(
        asked[0].starts_with(&server.address("").replace("https://", "CONNECT ")),
        "{}",
        asked[0]
    );
    assert!(!asked[0].contains("s3cret"), "{}", asked[0]);
    client(&server, Proxies::new(&address, "example.org,127.0.0.0/8"))
        .send(&request)
        .await
        .unwrap();
    assert_eq!(proxy.asked().len(), 1);
    let error = client(&server, Proxies::new(&proxy.address(""), ""))
        .send(&request)
        .await
        .unwrap_err();
    assert_eq!(error.disposition(), Disposition::Invalid);
    assert!(error.to_string().contains("407"), "{error}");
}
