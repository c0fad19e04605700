//! What describes a model's plain path to people and to generators of clients: OpenAPI 3.1, with the row that the version was
//! verified by as its example.

use std::collections::BTreeMap;

use engine::Type;
use hyper::StatusCode;
use planner::training::Derivation;
use registry::artifact::{Gives, Model};
use registry::metadata::{Example, Labels};
use serde_json::{Value, json};
use warp::reply::Response;

use super::evaluate::named;
use crate::http::reply;
use crate::runtime::Loaded;

/// Describes `POST /predict/{model}`; `has_keys` says that a request needs one.
pub(super) fn describe(loaded: &Loaded, has_keys: bool) -> Response {
    let slot = &loaded.slot;
    let model = slot.labels.model.as_str();
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
                "schema": request(&slot.model),
                "examples": examples(&slot.example),
            } } },
            "responses": {
                "200": { "description": "One prediction for each row", "content": { "application/json": {
                    "schema": answer(&slot.model),
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
    if let Some(example) = answered(&slot.example, &slot.model) {
        let path = format!("/predict/{model}");
        document["paths"][path]["post"]["responses"]["200"]["content"]["application/json"]["example"] =
            example;
    }
    if has_keys {
        document["components"] = json!({ "securitySchemes": {
            "key": { "type": "apiKey", "in": "header", "name": "x-api-key" },
            "bearer": { "type": "http", "scheme": "bearer" },
        } });
        document["security"] = json!([{ "key": [] }, { "bearer": [] }]);
    }
    named(reply::json(StatusCode::OK, &document), loaded)
}

fn request(model: &Model) -> Value {
    let signature = model.signature();
    let inputs = model.input_tensors().iter().enumerate();
    let of_features: Vec<Value> = inputs
        .flat_map(|(at, input)| {
            let schema = of_cell(input.element, model.takes_missing(at));
            std::iter::repeat_n(schema, input.width())
        })
        .collect();
    let mut columns: BTreeMap<&str, Value> = BTreeMap::new();
    for (feature, schema) in signature.features.iter().zip(&of_features) {
        match &feature.derivation {
            Derivation::Column(column) => {
                columns.insert(column, schema.clone());
            }
            Derivation::Ratio(both) => {
                for column in both {
                    columns.entry(column).or_insert_with(|| schema.clone());
                }
            }
        }
    }
    let names: Vec<_> = signature
        .features
        .iter()
        .map(|feature| feature.name.as_str())
        .collect();
    let width = names.len();
    let first = of_features.first();
    let is_alike = of_features.iter().all(|schema| Some(schema) == first);
    // Where all are alike, one schema says it for a thousand.
    let row = match first.filter(|_| is_alike) {
        Some(schema) => json!({ "type": "array", "minItems": width, "maxItems": width, "items": schema }),
        None => json!({ "type": "array", "minItems": width, "maxItems": width, "prefixItems": of_features }),
    };
    let required: Vec<&str> = columns.keys().copied().collect();
    json!({
        "type": "object",
        "additionalProperties": false,
        "properties": {
            "rows": {
                "description": "Raw columns, derived as in training",
                "type": "array", "minItems": 1,
                "items": { "type": "object", "required": required, "properties": columns },
            },
            "inputs": {
                "description": format!("Features, in this order: {}", names.join(", ")),
                "type": "array", "minItems": 1,
                "items": row,
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

fn of_cell(element: Type, takes_missing: bool) -> Value {
    match element {
        Type::Text => json!({ "type": "string" }),
        Type::Bool => json!({ "type": "boolean" }),
        Type::F32 | Type::F64 | Type::I32 | Type::I64 if takes_missing => {
            json!({ "type": ["number", "null"] })
        }
        Type::F32 | Type::F64 | Type::I32 | Type::I64 => json!({ "type": "number" }),
    }
}

fn examples(example: &Example) -> Value {
    json!({
        "rows": { "value": { "rows": [example.row] } },
        "inputs": { "value": { "inputs": [example.inputs] } },
    })
}

fn answer(model: &Model) -> Value {
    let width = |place: usize| model.output_tensors()[place].width();
    let prediction = match (model.gives(), model.labels()) {
        (Gives::Numbers { prediction }, _) if width(prediction) == 1 => json!({ "type": "number" }),
        (Gives::Numbers { prediction }, _) => json!({
            "type": "array", "items": { "type": "number" }, "minItems": width(prediction), "maxItems": width(prediction),
        }),
        (_, Some(Labels::Numbers(labels))) => json!({ "type": "integer", "enum": labels }),
        (_, Some(Labels::Words(labels))) => json!({ "type": "string", "enum": labels }),
        (Gives::Classes { .. }, None) => json!({ "type": ["integer", "string", "boolean"] }),
    };
    let mut properties = json!({ "predictions": { "type": "array", "items": prediction } });
    if let Gives::Classes {
        probabilities: Some(_),
        ..
    } = model.gives()
    {
        properties["classes"] = json!({
            "description": "The classes, in the order of a row's probabilities", "type": "array", "items": prediction,
        });
        properties["probabilities"] = json!({
            "type": "array", "items": { "type": "array", "items": { "type": "number" } },
        });
    }
    json!({ "type": "object", "required": ["predictions"], "properties": properties })
}

/// Returns the example's answer: its numbers, or its likeliest class; [`None`] where the record does not say which that is.
fn answered(example: &Example, model: &Model) -> Option<Value> {
    let labels = match (model.gives(), model.labels()) {
        (
            Gives::Classes {
                probabilities: Some(_),
                ..
            },
            Some(labels),
        ) => labels,
        (Gives::Classes { .. }, _) => return None,
        (Gives::Numbers { .. }, _) if example.prediction.len() == 1 => {
            return Some(json!({ "predictions": example.prediction }));
        }
        (Gives::Numbers { .. }, _) => return Some(json!({ "predictions": [example.prediction] })),
    };
    let probabilities = example.prediction.iter().enumerate();
    let likeliest = probabilities
        .max_by(|(_, a), (_, b)| a.total_cmp(b))
        .map_or(0, |(at, _)| at);
    let label = match labels {
        Labels::Numbers(labels) => labels.get(likeliest).map(|label| json!(label)),
        Labels::Words(labels) => labels.get(likeliest).map(|label| json!(label)),
    };
    label.map(|label| json!({ "predictions": [label] }))
}
