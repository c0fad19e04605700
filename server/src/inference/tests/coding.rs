//! Bodies and answers that are compressed.

use std::io::{Read as _, Write as _};

use expect_test::expect;
use flate2::Compression;
use flate2::read::{GzDecoder, ZlibDecoder};
use flate2::write::{GzEncoder, ZlibEncoder};

use super::*;

const PATH: &str = "/v2/models/wine/infer";

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(bytes).expect("memory");
    encoder.finish().expect("memory")
}

fn zlib(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = ZlibEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(bytes).expect("memory");
    encoder.finish().expect("memory")
}

/// A request of so many rows `[1, 0.5]`.
fn rows(count: usize) -> String {
    let data = vec!["[1,0.5]"; count].join(",");
    format!(r#"{{"inputs":[{{"name":"input","shape":[{count},2],"datatype":"FP64","data":[{data}]}}]}}"#)
}

#[test]
fn a_compressed_body_is_read_and_one_that_is_none_refused() {
    let runtime = wine();
    let packed = gzip(ROW.as_bytes());
    let twice = [gzip(&ROW.as_bytes()[..10]), gzip(&ROW.as_bytes()[10..])].concat();
    let deflated = zlib(ROW.as_bytes());
    let longer = [&deflated[..], b"x"].concat();
    for (coding, body, expected) in [
        (
            "gzip",
            &packed,
            expect![[r#"
            200 aurora-track=stable aurora-model-version=v20260101-000000
            {"model_name":"wine","model_version":"v20260101-000000","outputs":[{"name":"prediction","shape":[1,1],"datatype":"FP64","data":[6.0]}]}"#]],
        ),
        (
            "gzip",
            &twice,
            expect![[r#"
            200 aurora-track=stable aurora-model-version=v20260101-000000
            {"model_name":"wine","model_version":"v20260101-000000","outputs":[{"name":"prediction","shape":[1,1],"datatype":"FP64","data":[6.0]}]}"#]],
        ),
        (
            "deflate",
            &deflated,
            expect![[r#"
            200 aurora-track=stable aurora-model-version=v20260101-000000
            {"model_name":"wine","model_version":"v20260101-000000","outputs":[{"name":"prediction","shape":[1,1],"datatype":"FP64","data":[6.0]}]}"#]],
        ),
        (
            "deflate",
            &longer,
            expect![[r#"
            400
            {"error":"the body goes on after the end of what is compressed"}"#]],
        ),
        (
            "gzip",
            &deflated,
            expect![[r#"
            400
            {"error":"the body is not what its content-encoding says: invalid gzip header"}"#]],
        ),
        (
            "gzip",
            &packed[..packed.len() - 1].to_vec(),
            expect![[r#"
            400
            {"error":"the body is not what its content-encoding says: unexpected end of file"}"#]],
        ),
        (
            "br",
            &packed,
            expect![[r#"
            415
            {"error":"content-encoding: got br, expected gzip or deflate, or none"}"#]],
        ),
    ] {
        let ask = Ask {
            headers: &[("content-encoding", coding)],
            body,
            ..post(PATH, "")
        };
        check(&runtime, ask, expected);
    }
}

/// The header counts what is decompressed.
#[test]
fn binary_tensors_may_be_compressed() {
    let json = r#"{"inputs":[{"name":"input","shape":[1,2],"datatype":"FP64","parameters":{"binary_data_size":16}}],"outputs":[{"name":"prediction","parameters":{"binary_data":true}}]}"#;
    let tensors = [1.0_f64, 0.5].map(f64::to_le_bytes).concat();
    let length = json.len().to_string();
    let ask = Ask {
        headers: &[
            ("content-encoding", "gzip"),
            ("inference-header-content-length", &length),
        ],
        body: &gzip(&[json.as_bytes(), &tensors].concat()),
        ..post(PATH, "")
    };
    check(
        &wine(),
        ask,
        expect![[r#"
        200 aurora-track=stable aurora-model-version=v20260101-000000 content-type=application/octet-stream
        {"model_name":"wine","model_version":"v20260101-000000","outputs":[{"name":"prediction","shape":[1,1],"datatype":"FP64","parameters":{"binary_data_size":8}}]}
        0000000000001840"#]],
    );
}

#[test]
fn a_body_that_decompresses_to_too_much_is_refused() {
    let limits = Limits {
        body_bytes: 300_000,
        ..Limits::default()
    };
    let ask = |body: &[u8]| {
        let options = InferenceOptions {
            limits: limits.clone(),
            ..options()
        };
        let server = Arc::new(Server::new(wine(), options));
        let ask = Ask {
            headers: &[("content-encoding", "gzip")],
            body,
            ..post(PATH, "")
        };
        let response = block_on(send(&server, ask));
        assert_eq!(server.frame.bodies.held.held(), 0);
        (response.status().as_u16(), shown(&response))
    };
    // All of it, and one byte too many.
    let padded = |bytes: usize| {
        let mut body = ROW.as_bytes().to_vec();
        body.resize(bytes, b' ');
        gzip(&body)
    };
    let packed = padded(300_000).len();
    let most = (300_000 - packed - 16..300_000 - packed + 16)
        .rev()
        .find(|bytes| bytes + padded(*bytes).len() <= 300_000)
        .expect("some size fits");
    assert_eq!(ask(&padded(most)).0, 200);
    let (status, text) = ask(&padded(most + 1));
    assert_eq!(status, 413);
    expect![[r#"
        413
        {"error":"the body has more than 300000 bytes, those that came and those that they decompress to: send fewer rows per request"}"#]].assert_eq(&text);
    assert_eq!(ask(&padded(5 << 20)).0, 413);
}

/// Small requests are answered whatever large ones hold.
#[test]
fn a_small_compressed_body_needs_no_room() {
    let limits = Limits {
        bodies_bytes: 0,
        body_bytes: 100_000,
        ..Limits::default()
    };
    let options = InferenceOptions { limits, ..options() };
    let server = Arc::new(Server::new(wine(), options));
    block_on(async {
        let mut all = server.frame.bodies.held.hold(Place::nowhere());
        all.grow_to(server.frame.bodies.held.most()).await.expect("room");
        let ask = Ask {
            headers: &[("content-encoding", "gzip")],
            body: &gzip(ROW.as_bytes()),
            ..post(PATH, "")
        };
        assert_eq!(send(&server, ask).await.status(), 200);
    });
}

#[test]
fn a_large_answer_is_compressed_where_the_client_takes_that() {
    let runtime = wine();
    let server = server(&runtime);
    let ask = |accept: &str, count: usize| {
        let body = rows(count);
        let ask = Ask {
            headers: &[("accept-encoding", accept)],
            ..post(PATH, &body)
        };
        let response = block_on(send(&server, ask));
        assert_eq!(response.status(), 200);
        let coding = response.headers().get("content-encoding").cloned();
        (coding, response.into_body())
    };
    let (coding, plain) = ask("identity", 5_000);
    assert_eq!(coding, None);
    let mut bytes = Vec::new();
    let (coding, packed) = ask("gzip, deflate", 5_000);
    assert_eq!(coding.expect("compressed"), "gzip");
    GzDecoder::new(&packed[..]).read_to_end(&mut bytes).expect("gzip");
    assert_eq!(bytes, plain);
    let (coding, packed) = ask("deflate", 5_000);
    assert_eq!(coding.expect("compressed"), "deflate");
    bytes.clear();
    ZlibDecoder::new(&packed[..])
        .read_to_end(&mut bytes)
        .expect("zlib");
    assert_eq!(bytes, plain);
    // A small one is not worth it.
    assert_eq!(ask("gzip", 10).0, None);
    assert_eq!(server.answers.held(), 0);
}
