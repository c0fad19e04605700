//! What vouches for a model: it has no digest of its own, and comes through the same door.

use super::*;

impl World {
    /// Fetches what a digest does not name, of at most 100 bytes.
    async fn fetch_within(&self, address: &str) -> Result<Vec<u8>, ImportError> {
        let sources = Sources::new(self.sources.clone());
        let importer = Importer::new(sources, Settings::default(), self.limits)?;
        importer.fetch_within(100, &address.parse().unwrap()).await
    }

    async fn check_within(&self, address: &str, (disposition, words): (Disposition, &str)) {
        let error = self.fetch_within(address).await.unwrap_err();
        assert!(error.to_string().contains(words), "{error}");
        assert_eq!(error.disposition(), disposition, "{error}");
        assert!(!format!("{error} {error:?}").contains("s3cret"), "{error:?}");
    }
}

#[tokio::test]
async fn whatever_lies_there_comes_from_below_a_prefix_with_its_credential_alone() {
    let other = Server::of(b"signature").await;
    let elsewhere = other.at("/cdn/m.sig");
    let server = Server::start(move |path| match path {
        "/team/cdn.sig" => redirect(&elsewhere),
        "/team/gone.sig" => reply("404 Not Found", "", b""),
        "/team/denied.sig" => reply("403 Forbidden", "", b""),
        _ => reply("200 OK", "", b"signature"),
    })
    .await;
    let world = World::new(&[]).with(&server.at("/team"), "s3cret");
    assert_eq!(
        world.fetch_within(&server.at("/team/m.sig")).await.unwrap(),
        b"signature"
    );
    assert!(server.heads()[0].contains("authorization: Bearer s3cret\r\n"));
    for (path, expected) in [
        ("/other/m.sig", (Disposition::Waiting, "--import-source")),
        ("/team/gone.sig", (Disposition::Waiting, "nothing lies at")),
        ("/team/denied.sig", (Disposition::Waiting, "credential")),
        (
            "/team/cdn.sig",
            (Disposition::Invalid, "redirects to http://127.0.0.1"),
        ),
    ] {
        world.check_within(&server.at(path), expected).await;
    }
    assert_eq!(other.heads().len(), 0);
    // Below a prefix that has no credential, none is shown.
    let world = World {
        sources: [world.sources.clone(), vec![other.at("/cdn").parse().unwrap()]].concat(),
        ..world
    };
    assert_eq!(
        world.fetch_within(&other.at("/cdn/m.sig")).await.unwrap(),
        b"signature"
    );
    assert!(!other.heads()[0].contains("authorization"), "{:?}", other.heads());
}

#[tokio::test]
async fn what_is_endless_or_slow_or_no_file_does_not_come() {
    for head in ["content-length: 1000\r\n", "transfer-encoding: chunked\r\n"] {
        let large = Server::start(move |_path| Reply {
            bytes: format!("HTTP/1.1 200 OK\r\n{head}\r\n{}", "5\r\nmodel\r\n".repeat(100)).into_bytes(),
            ends: false,
        })
        .await;
        let world = World::new(&[large.at("")]);
        let expected = (Disposition::Invalid, "more than 100 bytes");
        world.check_within(&large.at("/m.sig"), expected).await;
    }
    let stalled = Server::start(|_path| Reply {
        bytes: b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nsig".to_vec(),
        ends: false,
    })
    .await;
    let mut world = World::new(&[stalled.at(""), "oci://h".to_owned(), "mlflow://h".to_owned()]);
    world.limits.deadline = Duration::from_millis(50);
    let expected = (Disposition::Transient, "takes more than 50ms");
    world.check_within(&stalled.at("/m.sig"), expected).await;
    // A manifest does not get here with these.
    for address in ["oci://h/team/wine", "mlflow://h/wine/3"] {
        world
            .check_within(address, (Disposition::Invalid, "the path of no file"))
            .await;
    }
}
