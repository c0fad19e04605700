//! Whatever comes, the answer is JSON and is counted once.

use planner::names::Weight;
use proptest::prelude::*;

use super::*;
use crate::metrics::Page;
use crate::testing;

/// JSON of any shape, near the shape of requests.
fn bodies() -> impl Strategy<Value = String> {
    let word = prop_oneof![
        Just("inputs"),
        Just("rows"),
        Just("name"),
        Just("input"),
        Just("shape"),
        Just("datatype"),
        Just("data"),
        Just("FP64"),
        Just("FP32"),
        Just("INT8"),
        Just("outputs"),
        Just("prediction"),
        Just("a"),
        Just("b"),
        Just("c"),
        Just("id"),
        Just("parameters"),
        Just("binary_data"),
        Just("binary_data_size"),
        Just("binary_data_output"),
        Just("instances"),
        Just("dataframe_records"),
        Just("dataframe_split"),
        Just("columns"),
        Just("probabilities"),
        Just("extra_columns"),
        Just("é\u{1F600}"),
    ];
    let leaf = prop_oneof![
        word.clone().prop_map(serde_json::Value::from),
        any::<i64>().prop_map(serde_json::Value::from),
        (0..4_u64).prop_map(serde_json::Value::from),
        any::<f64>().prop_map(serde_json::Value::from),
        any::<bool>().prop_map(serde_json::Value::from),
        Just(serde_json::Value::Null),
    ];
    let json = leaf.prop_recursive(6, 64, 6, move |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..6).prop_map(serde_json::Value::from),
            proptest::collection::btree_map(word.clone().prop_map(str::to_owned), inner, 0..6)
                .prop_map(|map| serde_json::Value::Object(map.into_iter().collect())),
        ]
    });
    let shaped = (
        proptest::collection::vec(0..4_u64, 0..4),
        prop_oneof![Just("FP64"), Just("FP32"), Just("UINT8"), Just("BOOL")],
        json.clone(),
    )
        .prop_map(|(shape, datatype, data)| {
            serde_json::json!({ "inputs": [{ "name": "input", "shape": shape, "datatype": datatype, "data": data }] })
        });
    let fitting = proptest::collection::vec(any::<f64>(), 2)
        .prop_map(|data| serde_json::json!({ "inputs": [{ "name": "input", "shape": [1, 2], "datatype": "FP64", "data": data }] }));
    let binary = (0..40_u64, any::<bool>(), prop_oneof![Just("FP64"), Just("FP16"), Just("INT64")])
        .prop_map(|(size, all, datatype)| {
            serde_json::json!({
                "parameters": { "binary_data_output": all },
                "inputs": [{ "name": "input", "shape": [1, 2], "datatype": datatype, "parameters": { "binary_data_size": size } }],
            })
        });
    let valid = prop_oneof![json, shaped, fitting, binary].prop_map(|value| value.to_string());
    prop_oneof![
        4 => valid.clone(),
        1 => (valid, any::<proptest::sample::Index>())
            .prop_map(|(text, cut)| text.chars().take(cut.index(text.len())).collect::<String>()),
        1 => any::<String>(),
    ]
}

#[test]
fn any_body_gets_json_and_outcomes_add_up_to_started() {
    let runtime = wine();
    add_iris(&runtime);
    runtime.set_weight(&testing::model("wine"), Weight::try_from(50).expect("a percent"));
    let server = server(&runtime);
    let executor = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    let paths = [
        "/v2/models/wine/infer",
        "/predict/wine",
        "/v2/models/iris/infer",
        "/v1/models/wine:predict",
        "/predict",
        "/invocations",
    ];
    // Counted, as the seeds of failures that were saved come before the cases.
    let sent = std::cell::Cell::new(0_u64);
    proptest!(ProptestConfig::with_cases(1500), |(
        body in bodies(),
        tensors in proptest::option::of(proptest::collection::vec(any::<u8>(), 0..24)),
        path in 0..paths.len(),
        track in any::<bool>(),
    )| {
        let length = body.len().to_string();
        let mut headers = Vec::new();
        if track {
            headers.push(("aurora-track", "stable"));
        }
        if tensors.is_some() {
            headers.push(("inference-header-content-length", &length));
        }
        let body = [body.as_bytes(), &tensors.unwrap_or_default()].concat();
        let ask = Ask { headers: &headers, body: &body, ..post(paths[path], "") };
        sent.set(sent.get() + 1);
        let response = executor.block_on(send(&server, ask));
        if response.headers()["content-type"] == "application/octet-stream" {
            prop_assert_eq!(response.status(), 200);
            return Ok(());
        }
        prop_assert_eq!(&response.headers()["content-type"], "application/json");
        let answer: serde_json::Value = serde_json::from_slice(response.body()).expect("every answer is JSON");
        if response.status() == 200 {
            prop_assert!(answer["predictions"].is_array() || answer["outputs"].is_array());
        } else {
            prop_assert!(matches!(response.status().as_u16(), 400 | 500), "{}", response.status());
            prop_assert!(answer["error"].is_string());
        }
    });
    let sum = |prefix: &str| -> u64 {
        let text = runtime.metrics().render(Page::Inference);
        let values = text.lines().filter(|line| line.starts_with(prefix));
        values
            .filter_map(|line| line.rsplit_once(' ')?.1.parse::<u64>().ok())
            .sum()
    };
    let started = sum("aurora_inference_started_total{");
    assert!(started > 100, "{started} requests came as far as a slot");
    assert_eq!(sum("aurora_inference_outcomes_total{"), started);
    assert_eq!(sum("aurora_inference_request_latency_seconds_count{"), started);
    assert_eq!(sum("aurora_inference_requests_total{"), sent.get());
}
