//! Object stores: who asks, and what that says of the credential.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::*;

/// What a file for S3 says; `s3cret` is what nobody else may see.
fn s3(server: &Server, more: &str) -> String {
    format!(
        "[default]\n# ours\naws_access_key_id = AKIATEAM\naws_secret_access_key = s3cret\nregion = eu-west-1\nendpoint_url = {}\n{more}",
        server.at("")
    )
}

#[tokio::test]
async fn a_store_is_asked_by_whoever_the_file_names() {
    // Azure's client insists on the time and the tag that its server always tells.
    let told = "last-modified: Sun, 01 Nov 2026 12:00:00 GMT\r\netag: \"1\"\r\n";
    let server = Server::start(move |_path| reply("200 OK", told, b"model")).await;
    let endpoint = server.at("");
    // In the form of a key, of 64 bytes.
    let account_key = STANDARD.encode([b'k'; 64]);
    for (prefix, file, address, path, authorization) in [
        (
            "s3://team",
            s3(&server, "aws_session_token = s3cret-session\n"),
            "s3://team/wine/m.onnx",
            "/team/wine/m.onnx",
            Some("authorization: AWS4-HMAC-SHA256 Credential=AKIATEAM/"),
        ),
        (
            "s3://team/wine",
            format!("endpoint_url = {endpoint}"),
            "s3://team/wine/m~1,a+b.onnx",
            "/team/wine/m~1%2Ca%2Bb.onnx",
            None,
        ),
        (
            "gs://team",
            format!(
                r#"{{"gcs_base_url": "{endpoint}", "disable_oauth": true, "client_email": "", "private_key": "s3cret", "private_key_id": ""}}"#
            ),
            "gs://team/wine/m.onnx",
            "/team/wine/m.onnx",
            None,
        ),
        (
            "az://team/models",
            format!("account_key = {account_key}\nendpoint_url = {endpoint}\n"),
            "az://team/models/wine/m.onnx",
            "/models/wine/m.onnx",
            Some("authorization: SharedKey team:"),
        ),
        (
            "az://team",
            format!("endpoint_url = {endpoint}\n"),
            "az://team/models/m.onnx",
            "/models/m.onnx",
            None,
        ),
    ] {
        let before = server.heads().len();
        let world = World::new(&[]).with(prefix, &file);
        assert_eq!(
            world.fetch(address, b"model").await.unwrap(),
            b"model",
            "{address}"
        );
        let heads = server.heads();
        assert_eq!(heads.len(), before + 1, "{address}: one request");
        let head = &heads[before];
        assert!(head.starts_with(&format!("GET {path} ")), "{head}");
        match authorization {
            Some(who) => assert!(head.contains(who), "{head}"),
            None => assert!(!head.contains("authorization"), "{head}"),
        }
        assert!(
            !head.contains("s3cret\r\n") && !head.contains(&account_key),
            "{head}"
        );
    }
}

#[tokio::test]
async fn what_a_store_answers_says_what_happens_next() {
    let xml = b"<Error><Code>s3cret</Code></Error>";
    for (status, disposition, words) in [
        ("403 Forbidden", Disposition::Waiting, "credential"),
        (
            "404 Not Found",
            Disposition::Waiting,
            "nothing lies at s3://team/m.onnx",
        ),
        ("301 Moved Permanently", Disposition::Invalid, "301"),
        ("503 Service Unavailable", Disposition::Transient, "503"),
    ] {
        let server =
            Server::start(move |_path| reply(status, "location: http://127.0.0.1:1/m.onnx\r\n", xml)).await;
        let world = World::new(&[]).with("s3://team", &s3(&server, ""));
        world.check("s3://team/m.onnx", (disposition, words)).await;
        assert_eq!(
            server.heads().len(),
            1,
            "{status}: it is tried again by whoever asked"
        );
    }
    let truncated = Server::start(|_path| Reply {
        bytes: b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nmod".to_vec(),
        ends: true,
    })
    .await;
    let mut world = World::new(&[]).with("s3://team", &s3(&truncated, ""));
    let broken = (Disposition::Transient, "broke off");
    world.check("s3://team/m.onnx", broken).await;
    let large = Server::of(b"a model of twenty-five by").await;
    world = World::new(&[]).with("s3://team", &s3(&large, ""));
    world.limits.bytes_max = 20;
    let too_large = (Disposition::Invalid, "more than 20 bytes");
    world.check("s3://team/m.onnx", too_large).await;
}

#[tokio::test]
async fn a_file_that_says_it_wrongly_is_told_without_what_it_holds() {
    let server = Server::of(b"model").await;
    for (prefix, file, words) in [
        ("s3://team", "s3cret", "has no `name = value` in line 1"),
        (
            "s3://team",
            "s3cret = 1",
            "says something unknown in line 1; known: aws_access_key_id, aws_secret_access_key",
        ),
        (
            "s3://team",
            "aws_access_key_id = s3cret",
            "does not say all that is needed",
        ),
        ("gs://team", "s3cret", "is not the file of a service account"),
        (
            "gs://team",
            "{\"private_key\": \"s3cret\"}",
            "is not the file of a service account",
        ),
        (
            "az://team",
            "account_key = !s3cret",
            "does not say all that is needed",
        ),
    ] {
        let world = World::new(&[]).with(prefix, file);
        let address = prefix.to_owned() + "/models/m.onnx";
        world.check(&address, (Disposition::Waiting, words)).await;
    }
    // What no prefix covers is not asked for.
    let world = World::new(&[]).with("s3://team/wine", &s3(&server, ""));
    let not_allowed = (Disposition::Waiting, "--import-source");
    world.check("s3://team/beer/m.onnx", not_allowed).await;
    assert_eq!(server.heads().len(), 0);
}

/// A machine's own identity is asked for at a link-local address: nobody said that it may be used.
#[tokio::test]
async fn without_a_key_nobody_is_asked_who_the_machine_is() {
    let server = Server::start(|_path| reply("403 Forbidden", "", b"")).await;
    let file = format!("endpoint_url = {}", server.at(""));
    for (prefix, address) in [
        ("s3://team", "s3://team/m.onnx"),
        ("az://team", "az://team/models/m.onnx"),
    ] {
        let world = World::new(&[]).with(prefix, &file);
        world
            .check(address, (Disposition::Waiting, "is refused (403 Forbidden)"))
            .await;
    }
    assert_eq!(server.heads().len(), 2);
}
