//! What describes a model's plain path to people and to generators of clients: OpenAPI 3.1, with the row that the version was
//! verified by as its example.

use std::collections::BTreeSet;

use hyper::StatusCode;
use planner::training::Derivation;
use registry::metadata::{Example, Labels, Signature};
use serde_json::{Value, json};
use warp::reply::Response;

use super::evaluate::named;
use crate::http::reply;
use crate::runtime::Loaded;

/// Describes `POST /predict/{model}`; `has_keys` says that a request needs one.
pub(super) fn describe(loaded: &Loaded, has_keys: bool) -> Response {
    let slot = &loaded.slot;
    let model = slot.labels.model.as_str();
    let labels = slot.model.labels();
    let mut document = json!({
        "openapi": "3.1.0",
        "info": {
            "title": model,
            "version": loaded.version_text,
            "description": format!("Version {} of the model {model}, on its {} track.", loaded.version_text, slot.labels.track),
        },
        "paths": { format!("/predict/{model}"): { "post": {
            "operationId": "predict",
            "summary": "Predicts rows of raw columns, or of the features that they derive to",
            "requestBody": { "required": true, "content": { "application/json": {
                "schema": request(&slot.signature, slot.model.width()),
                "examples": examples(&slot.example),
            } } },
            "responses": {
                "200": { "description": "One prediction for each row", "content": { "application/json": {
                    "schema": answer(labels),
                    "example": answered(&slot.example, labels),
                } } },
                "default": {
                    "description": "Why there is none: 400 what does not fit, 401 no key, 404 no such version, 413 too large, \
                                    415 not JSON, 429 and 503 try again, 500 a number that JSON cannot hold",
                    "content": { "application/json": { "schema": {
                        "type": "object", "required": ["error"], "properties": { "error": { "type": "string" } },
                    } } },
                },
            },
        } } },
    });
    if has_keys {
        document["components"] = json!({ "securitySchemes": {
            "key": { "type": "apiKey", "in": "header", "name": "x-api-key" },
            "bearer": { "type": "http", "scheme": "bearer" },
        } });
        document["security"] = json!([{ "key": [] }, { "bearer": [] }]);
    }
    named(reply::json(StatusCode::OK, &document), loaded)
}

fn request(signature: &Signature, width: usize) -> Value {
    let number = if signature.missing_values {
        json!({ "type": ["number", "null"] })
    } else {
        json!({ "type": "number" })
    };
    let columns: BTreeSet<&str> = signature
        .features
        .iter()
        .flat_map(|feature| raw(&feature.derivation))
        .collect();
    let features: Vec<_> = signature
        .features
        .iter()
        .map(|feature| feature.name.as_str())
        .collect();
    let properties: serde_json::Map<_, _> = columns
        .iter()
        .map(|column| ((*column).to_owned(), number.clone()))
        .collect();
    json!({
        "type": "object",
        "additionalProperties": false,
        "properties": {
            "rows": {
                "description": "Raw columns, derived as in training",
                "type": "array", "minItems": 1,
                "items": { "type": "object", "required": columns, "properties": properties },
            },
            "inputs": {
                "description": format!("Features, in this order: {}", features.join(", ")),
                "type": "array", "minItems": 1,
                "items": { "type": "array", "minItems": width, "maxItems": width, "items": number },
            },
            "probabilities": {
                "description": "Whether the probabilities of classes come too: of a classifier",
                "type": "boolean", "default": false,
            },
            "extra_columns": {
                "description": "Whether columns are passed over that the model does not know",
                "type": "boolean", "default": false,
            },
        },
        "oneOf": [{ "required": ["rows"] }, { "required": ["inputs"] }],
    })
}

/// Returns the raw columns that a feature is made of.
fn raw(derivation: &Derivation) -> Vec<&str> {
    match derivation {
        Derivation::Column(column) => vec![column],
        Derivation::Ratio(both) => both.iter().map(String::as_str).collect(),
    }
}

fn examples(example: &Example) -> Value {
    json!({
        "rows": { "value": { "rows": [example.row] } },
        "inputs": { "value": { "inputs": [example.inputs] } },
    })
}

fn answer(labels: Option<&Labels>) -> Value {
    let prediction = match labels {
        None => json!({ "type": "number" }),
        Some(Labels::Numbers(labels)) => json!({ "type": "integer", "enum": labels }),
        Some(Labels::Words(labels)) => json!({ "type": "string", "enum": labels }),
    };
    let mut properties = json!({ "predictions": { "type": "array", "items": prediction } });
    if labels.is_some() {
        properties["classes"] = json!({
            "description": "The classes, in the order of a row's probabilities", "type": "array", "items": prediction,
        });
        properties["probabilities"] = json!({
            "type": "array", "items": { "type": "array", "items": { "type": "number" } },
        });
    }
    json!({ "type": "object", "required": ["predictions"], "properties": properties })
}

/// Returns the example's answer: its number, or its likeliest class.
fn answered(example: &Example, labels: Option<&Labels>) -> Value {
    let Some(labels) = labels else {
        return json!({ "predictions": example.prediction });
    };
    let probabilities = example.prediction.iter().enumerate();
    let likeliest = probabilities
        .max_by(|(_, a), (_, b)| a.total_cmp(b))
        .map_or(0, |(at, _)| at);
    let label = match labels {
        Labels::Numbers(labels) => labels.get(likeliest).map(|label| json!(label)),
        Labels::Words(labels) => labels.get(likeliest).map(|label| json!(label)),
    };
    json!({ "predictions": [label] })
}
