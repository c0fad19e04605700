//! Registries of models and of images: who is asked for what, and with which credential.

use std::sync::atomic::{AtomicUsize, Ordering};

use super::*;

/// Answers for a blob that it wants a token, and once it was asked for one, where the blob lies.
async fn registry(realm: String, blob: String) -> Server {
    let asked = AtomicUsize::new(0);
    Server::start(move |path| {
        assert!(path.starts_with("/v2/"), "{path}");
        match asked.fetch_add(1, Ordering::SeqCst) {
            0 => {
                let challenge = format!(
                    "www-authenticate: Bearer realm=\"{realm}\",service=\"registry.example\",scope=\"repository:a:pull\"\r\n"
                );
                reply("401 Unauthorized", &challenge, b"")
            }
            _ => redirect(&blob),
        }
    })
    .await
}

#[tokio::test]
async fn a_registry_of_images_hands_out_a_token_and_says_where_the_blob_lies() {
    let tokens = Server::of(br#"{"token": "t0ken"}"#).await;
    let blobs = Server::of(b"model").await;
    let server = registry(tokens.at("/token"), blobs.at("/blobs/a?signed=1")).await;
    let place = format!("oci+http://127.0.0.1:{}", server.port);
    let address = format!("{place}/team/wine");
    let mut world = World::new(&[]).with(&format!("{place}/team"), "me:s3cret");
    // Neither who hands out tokens nor where blobs lie is the registry: each needs a prefix.
    let refused = |to: &Server| format!("redirects to http://127.0.0.1:{}", to.port);
    let told = refused(&tokens);
    world.check(&address, (Disposition::Invalid, &told)).await;
    assert_eq!(tokens.heads().len(), 0);

    let server = registry(tokens.at("/token"), blobs.at("/blobs/a?signed=1")).await;
    let place = format!("oci+http://127.0.0.1:{}", server.port);
    let address = format!("{place}/team/wine");
    world = World::new(&[blobs.at("/blobs")])
        .with(&format!("{place}/team"), "me:s3cret")
        .with(&tokens.at("/token"), "you:hunter2");
    assert_eq!(world.fetch(&address, b"model").await.unwrap(), b"model");
    let digest = Digest::of(b"model");
    let heads = server.heads();
    assert!(
        heads[0].starts_with(&format!("GET /v2/team/wine/blobs/{digest} ")),
        "{heads:?}"
    );
    assert!(
        heads[0].contains("authorization: Basic bWU6czNjcmV0\r\n"),
        "{heads:?}"
    );
    assert!(heads[1].contains("authorization: Bearer t0ken\r\n"), "{heads:?}");
    let asked = &tokens.heads()[0];
    let wanted = "GET /token?service=registry.example&scope=repository:team/wine:pull ";
    assert!(asked.starts_with(wanted), "{asked}");
    assert!(
        asked.contains("authorization: Basic eW91Omh1bnRlcjI=\r\n"),
        "{asked}"
    );
    assert!(!blobs.heads()[0].contains("authorization"), "{:?}", blobs.heads());
}

#[tokio::test]
async fn what_a_registry_of_models_has_instead_of_an_onnx_file_is_told() {
    for (place, logged, words) in [
        (
            r#"{"artifact_uri": "s3://bucket/1/s3cret"}"#,
            "",
            "its artifacts lie at s3, and not at the server: start that with --serve-artifacts",
        ),
        (
            r#"{"error": "s3cret"}"#,
            "",
            "does not say where its artifacts lie",
        ),
        (
            r#"{"artifact_uri": "mlflow-artifacts:/1/a"}"#,
            "flavors:\n  sklearn: { pickled_model: s3cret }\n",
            "it has no ONNX flavour: log the model with mlflow.onnx.log_model",
        ),
        (
            r#"{"artifact_uri": "mlflow-artifacts:/1/a"}"#,
            "flavors: { onnx: { data: ../../s3cret } }",
            "names a file that is not below it",
        ),
        (
            r#"{"artifact_uri": "mlflow-artifacts:/1/a"}"#,
            "s3cret: [",
            "does not say as what it was logged",
        ),
    ] {
        let server = Server::start(move |path| match path {
            "/api/2.0/mlflow/model-versions/get-download-uri?name=wine%2Bred&version=3" => {
                reply("200 OK", "", place.as_bytes())
            }
            "/api/2.0/mlflow-artifacts/artifacts/1/a/MLmodel" => reply("200 OK", "", logged.as_bytes()),
            _ => reply("404 Not Found", "", b""),
        })
        .await;
        let place = format!("mlflow+http://127.0.0.1:{}", server.port);
        let world = World::new(&[]).with(&place, "s3cret");
        world
            .check(&format!("{place}/wine+red/3"), (Disposition::Invalid, words))
            .await;
        for head in server.heads() {
            assert!(head.contains("authorization: Bearer s3cret\r\n"), "{head}");
        }
    }
}

/// MLflow leaves large tensors in a file beside the model, wherever in the version's folder that lies.
#[tokio::test]
async fn a_registry_of_models_has_files_beside_the_model() {
    for (data, folder) in [("model.onnx", ""), ("data/model.onnx", "data/")] {
        let logged = format!("flavors: {{ onnx: {{ data: {data} }} }}");
        let server =
            Server::start(
                move |path| match path.strip_prefix("/api/2.0/mlflow-artifacts/artifacts/1/a/") {
                    None => reply("200 OK", "", br#"{"artifact_uri": "mlflow-artifacts:/1/a"}"#),
                    Some("MLmodel") => reply("200 OK", "", logged.as_bytes()),
                    Some(file) => match file.strip_prefix(folder) {
                        Some("model.onnx") => reply("200 OK", "", b"model"),
                        Some("0f1e2d3c-tensors") => reply("200 OK", "", b"tensors"),
                        _ => reply("404 Not Found", "", b""),
                    },
                },
            )
            .await;
        let place = format!("mlflow+http://127.0.0.1:{}", server.port);
        let world = World::new(std::slice::from_ref(&place));
        let address = format!("{place}/wine/3");
        assert_eq!(world.fetch(&address, b"model").await.unwrap(), b"model", "{data}");
        let tensors = world
            .fetch_part(&address, Some("0f1e2d3c-tensors"), b"tensors")
            .await;
        assert_eq!(tensors.unwrap(), b"tensors", "{data}");
    }
}
