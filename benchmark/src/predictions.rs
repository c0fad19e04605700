//! What a version must predict: the example that its metadata records.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};

use crate::http;

/// Predictions agree when they differ by at most this share.
const RELATIVE_ERROR_MAX: f64 = 1e-9;

/// One input row of a version and its prediction.
#[derive(Debug, Clone, PartialEq)]
pub struct Example {
    path: String,
    body: String,
    prediction: Vec<f64>,
}

impl Example {
    /// Reads the example of a version below `registry`; `None` while the version is not there.
    pub fn read(registry: &Path, model: &str, version: &str) -> Option<Self> {
        let folder = registry.join("aurora").join(model).join("versions").join(version);
        let metadata: Value = serde_json::from_slice(&fs::read(folder.join("metadata.json")).ok()?).ok()?;
        let example = &metadata["example"];
        let inputs = numbers(&example["inputs"])?;
        let tensor =
            json!({ "name": "input", "shape": [1, inputs.len()], "datatype": "FP64", "data": inputs });
        Some(Self {
            path: format!("/v2/models/{model}/infer"),
            body: json!({ "inputs": [tensor] }).to_string(),
            prediction: numbers(&example["prediction"])?,
        })
    }

    /// Returns the request as bytes; without a track it takes part in the split.
    pub fn request(&self, address: SocketAddr, track: Option<&str>) -> Vec<u8> {
        let mut request = http::post(address, &self.path, &self.body);
        if let Some(track) = track {
            let line_end = request
                .iter()
                .position(|byte| *byte == b'\n')
                .map_or(0, |at| at + 1);
            let header = format!("aurora-track: {track}\r\n").into_bytes();
            request.splice(line_end..line_end, header);
        }
        request
    }

    /// Asks for the prediction, and returns whether it is right.
    pub fn is_predicted(&self, address: SocketAddr, track: Option<&str>) -> bool {
        let request = self.request(address, track);
        match http::ask(address, &request, Duration::from_secs(2)) {
            Ok((200, body)) => self.is_in(&body),
            _ => false,
        }
    }

    /// Returns whether an answer's body holds the prediction.
    pub fn is_in(&self, body: &[u8]) -> bool {
        let Ok(answer) = serde_json::from_slice::<Value>(body) else {
            return false;
        };
        let outputs = answer["outputs"].as_array().map_or(&[][..], Vec::as_slice);
        let mut named = outputs
            .iter()
            .filter(|output| output["name"] == "prediction" || output["name"] == "probabilities");
        let Some(values) = named.next().and_then(|output| numbers(&output["data"])) else {
            return false;
        };
        let close =
            |(got, expected): (&f64, &f64)| (got - expected).abs() <= RELATIVE_ERROR_MAX * expected.abs();
        values.len() == self.prediction.len() && values.iter().zip(&self.prediction).all(close)
    }
}

fn numbers(value: &Value) -> Option<Vec<f64>> {
    value.as_array()?.iter().map(Value::as_f64).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prediction_is_compared_by_its_numbers() {
        let registry = tempfile::tempdir().unwrap();
        let folder = registry.path().join("aurora/wine/versions/v20261101-120000");
        fs::create_dir_all(&folder).unwrap();
        let metadata = r#"{ "example": { "row": {}, "inputs": [7.5, 0.25], "prediction": [5.5] } }"#;
        fs::write(folder.join("metadata.json"), metadata).unwrap();
        let example = Example::read(registry.path(), "wine", "v20261101-120000").unwrap();
        let answer = |data: &str| format!(r#"{{"outputs":[{{"name":"prediction","data":{data}}}]}}"#);
        assert!(example.is_in(answer("[5.5000000000001]").as_bytes()));
        for wrong in ["[5.50001]", "[5.5, 5.5]", "[]", "[null]"] {
            assert!(!example.is_in(answer(wrong).as_bytes()), "{wrong}");
        }
        assert_eq!(Example::read(registry.path(), "wine", "v20261102-120000"), None);
    }
}
