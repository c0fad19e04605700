//! What is refused, by which code, and where that counts.

use super::*;
use crate::http::Limits;
use crate::inference::grpc::messages::health::{HealthCheckRequest, HealthCheckResponse};
use crate::inference::grpc::oip::{ModelReadyRequest, ModelReadyResponse, RepositoryModelLoadRequest};
use crate::inference::grpc::testing::compressed;
use crate::keys::{Access, Keys};

/// A fault has the code of its status, and counts under that.
#[tokio::test]
async fn a_fault_counts_under_the_status_that_http_has_for_it() {
    let listening = Listening::start().await;
    let client = listening.client().await;
    let wrong_shape = || {
        let mut request = wine_rows(1);
        request.inputs[0].shape = vec![1, 3];
        in_frame(&request)
    };
    let of = |name: &str, version: &str| {
        in_frame(&ModelInferRequest {
            model_name: name.to_owned(),
            model_version: version.to_owned(),
            ..wine_rows(1)
        })
    };
    let load = in_frame(&RepositoryModelLoadRequest::default());
    let many = Listening::with(InferenceOptions {
        limits: Limits {
            rows: 1,
            ..Limits::default()
        },
        ..InferenceOptions::default()
    })
    .await;
    let of_many = many.client().await;
    for (listening, client, path, body, code, status, words) in [
        (
            &listening,
            &client,
            INFER,
            wrong_shape(),
            3,
            400,
            "input `input`: got shape [1, 3], expected [-1,2]",
        ),
        (
            &listening,
            &client,
            INFER,
            of("other", ""),
            5,
            404,
            "no such model; served: iris, wine",
        ),
        (
            &listening,
            &client,
            INFER,
            of("wine", "v20300101-000000"),
            5,
            404,
            "v20300101-000000",
        ),
        (
            &listening,
            &client,
            INFER,
            framed(1, |bytes| bytes.push(0xff)),
            3,
            400,
            "it is no ModelInferRequest",
        ),
        (
            &listening,
            &client,
            INFER,
            Vec::new(),
            3,
            400,
            "the call has no message",
        ),
        (
            &many,
            &of_many,
            INFER,
            in_frame(&wine_rows(2)),
            8,
            413,
            "2 rows, more than the 1",
        ),
        (
            &listening,
            &client,
            "/inference.GRPCInferenceService/RepositoryModelLoad",
            load,
            7,
            403,
            "models change by commit",
        ),
    ] {
        let before = listening.answered(path, status);
        let said = client.ask(path, &[], body).await;
        assert_eq!(said.code, code, "{said:?}");
        assert!(said.reason.contains(words), "{said:?}");
        assert_eq!(listening.answered(path, status), before + 1, "{said:?}");
    }
    let said = client
        .ask(
            "/inference.GRPCInferenceService/ModelStreamInfer",
            &[],
            in_frame(&wine_rows(1)),
        )
        .await;
    assert_eq!(
        (said.code, listening.answered("unknown", 501)),
        (12, 1),
        "{said:?}"
    );
    // A slot's refusals count for it, as those of HTTP do.
    let of_slot = |code: &str| {
        let name = format!(
            "aurora_inference_requests_total{{code=\"{code}\",model=\"wine\",track=\"stable\",version=\"{V1}\"}}"
        );
        series(listening.runtime.metrics(), &name)
    };
    assert_eq!(of_slot("400"), 1);
    let said = client.ask(INFER, &[], wrong_shape()).await;
    assert_eq!(said.header("aurora-model-version"), V1);
    assert_eq!(of_slot("400"), 2);
}

#[tokio::test]
async fn frames_that_are_none_are_refused() {
    let listening = Listening::start().await;
    let client = listening.client().await;
    let whole = in_frame(&wine_rows(1));
    let with = |at: usize, byte: u8| {
        let mut frame = whole.clone();
        frame[at] = byte;
        frame
    };
    for (body, code, words) in [
        (whole[..3].to_vec(), 3, "the call has no message"),
        (whole[..whole.len() - 1].to_vec(), 3, "a call has one message"),
        ([&whole[..], &whole].concat(), 3, "a call has one message"),
        (with(0, 2), 3, "neither 0 nor 1"),
        (with(0, 1), 12, "compressed by no coding that is known here"),
        (with(1, 255), 3, "a call has one message"),
    ] {
        let said = client.ask(INFER, &[], body).await;
        assert_eq!(said.code, code, "{said:?}");
        assert!(said.reason.contains(words), "{said:?}");
    }
    let said = client.ask(INFER, &[("grpc-encoding", "zstd")], with(0, 1)).await;
    assert_eq!(
        (said.code, said.header("grpc-accept-encoding")),
        (12, "identity,deflate,gzip")
    );
    let plain = client
        .head(INFER)
        .header("content-type", "application/json")
        .body(body_of(b"{}".to_vec()));
    // The header is there twice now, and the first is what counts.
    assert_eq!(client.call(plain.expect("a call")).await.code, 3);
    let json =
        hyper::Request::post(format!("http://{}{INFER}", client.address)).body(body_of(b"{}".to_vec()));
    assert_eq!(client.call(json.expect("a call")).await.code, 12);
}

/// What a message decompresses to is bounded as all bodies are.
#[tokio::test]
async fn messages_may_come_compressed_and_not_as_bombs() {
    let limits = Limits {
        body_bytes: 1 << 20,
        ..Limits::default()
    };
    let listening = Listening::with(InferenceOptions {
        limits,
        ..InferenceOptions::default()
    })
    .await;
    let client = listening.client().await;
    for coding in ["gzip", "deflate"] {
        let headers = [("grpc-encoding", coding)];
        let said = client
            .ask(INFER, &headers, compressed(&wine_rows(100), coding))
            .await;
        let read: ModelInferResponse = said.message();
        assert_eq!(
            read.raw_output_contents,
            [7.0_f64.to_le_bytes().repeat(100)],
            "{coding}"
        );
        let bomb = ModelInferRequest {
            raw_input_contents: vec![vec![0; 64 << 20]],
            ..wine_rows(1)
        };
        let said = client.ask(INFER, &headers, compressed(&bomb, coding)).await;
        assert_eq!(said.code, 8, "{said:?}");
    }
    let said = client.infer(&[], &wine_rows(1 << 17)).await;
    assert_eq!(said.code, 8, "{said:?}");
    assert_eq!(listening.answered(INFER, 413), 3);
}

#[tokio::test]
async fn who_has_no_key_is_told_so_and_probes_need_none() {
    let (key, line) = crate::keys::generate("test").expect("randomness");
    let file = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(file.path(), line).expect("written");
    let access = Access {
        keys: Keys::from_file(file.path()).expect("read"),
        ..Access::default()
    };
    let options = InferenceOptions {
        access,
        ..InferenceOptions::default()
    };
    let listening = Listening::with(options).await;
    let client = listening.client().await;
    assert_eq!(client.infer(&[], &wine_rows(1)).await.code, 16);
    let bearer = format!("Bearer {key}");
    for header in [("x-api-key", key.as_str()), ("authorization", &bearer)] {
        assert_eq!(client.infer(&[header], &wine_rows(1)).await.code, 0);
    }
    let asked = in_frame(&HealthCheckRequest::default());
    let said = client.ask("/grpc.health.v1.Health/Check", &[], asked).await;
    assert_eq!(said.message::<HealthCheckResponse>().status, 1);
    let reflection = "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo";
    assert_eq!(client.ask(reflection, &[], Vec::new()).await.code, 16);
    assert_eq!(
        client
            .ask(reflection, &[("x-api-key", &key)], Vec::new())
            .await
            .code,
        0
    );
    assert_eq!(listening.answered(reflection, 401), 1);
    assert_eq!(listening.answered(reflection, 200), 1);
}

/// Without keys, what protects a listener is that only this machine asks it, by one of its own names.
#[tokio::test]
async fn without_keys_another_name_is_refused() {
    let listening = Listening::start().await;
    let client = listening.client().await;
    let call = hyper::Request::post(format!("http://evil.example{INFER}"))
        .header("content-type", "application/grpc")
        .body(body_of(in_frame(&wine_rows(1))));
    let said = client.call(call.expect("a call")).await;
    assert_eq!(said.code, 7, "{said:?}");
}

#[tokio::test]
async fn a_model_that_nobody_knows_is_not_ready() {
    let listening = Listening::start().await;
    let client = listening.client().await;
    let path = "/inference.GRPCInferenceService/ModelReady";
    for (name, version, expected) in [
        ("wine", "", true),
        ("wine", V1, true),
        ("wine", "v20300101-000000", false),
        ("other", "", false),
    ] {
        let asked = ModelReadyRequest {
            name: name.to_owned(),
            version: version.to_owned(),
        };
        let said = client.ask(path, &[], in_frame(&asked)).await;
        assert_eq!(
            said.message::<ModelReadyResponse>().ready,
            expected,
            "{name} {version}"
        );
    }
    let health = |service: &str| {
        let asked = HealthCheckRequest {
            service: service.to_owned(),
        };
        client.ask("/grpc.health.v1.Health/Check", &[], in_frame(&asked))
    };
    for service in ["", "inference.GRPCInferenceService", "wine"] {
        assert_eq!(health(service).await.message::<HealthCheckResponse>().status, 1);
    }
    assert_eq!(health("other").await.code, 5);
}
