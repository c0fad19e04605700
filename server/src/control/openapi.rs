//! `/openapi.json`: the control plane's paths for tools and people.

use serde_json::{Value, json};

/// Returns the OpenAPI 3.1 document.
pub(super) fn document() -> Value {
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Aurora Control Plane",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "Reads the model registry and the state of the environment. Nothing is changed here: models \
                            change by commit. Errors are {\"error\": \"…\"}.",
        },
        "security": [{ "apiKey": [] }, { "bearer": [] }],
        "paths": {
            "/health": operation("Whether the control plane answers; needs no key.", &[], &[]),
            "/platform/info": operation("What answers here.", &[], &[]),
            "/metrics": text("Metrics in Prometheus's text format."),
            "/openapi.json": operation("This document.", &[], &[]),
            "/models": operation("Every registered model with its aliases and newest versions.", &[], &[]),
            "/models/{model}": operation("One model: aliases, versions, history.", &[MODEL], &["404"]),
            "/models/{model}/{ref}": operation("The metadata of a version.", &[MODEL, REF], &["404"]),
            "/models/{model}/{ref}/artifact": artifact(),
            "/status": operation("The environment and its models at a glance, and how old the knowledge is.", &[], &[]),
            "/status/objects": operation("The objects as they are, with their status.", &[], &[]),
            "/status/events": text("The changes of /status as server-sent events: `snapshot` or `current`, then `change` and `beat`."),
            "/status/badge.svg": text("The environment's word as a picture."),
            "/status/models/{model}/badge.svg": text("A model's word as a picture."),
            "/cluster/nodes": operation("The machines: name, ready, roles, version, capacity, allocatable; `unknown` says why not.", &[], &[]),
            "/storage/classes": operation(
                "Where volumes come from (name, provisioner, default, expansion, binding mode; `unknown` says why not), and the registry's volume in bytes.",
                &[],
                &[],
            ),
            "/storage/volumes": operation("What claims storage in the environment's namespace; `unknown` says why not.", &[], &[]),
            "/status/models/{model}": operation(
                "The state of one model: its objects, and since when its stable alias has named which version.",
                &[MODEL],
                &["404"],
            ),
        },
        "components": {
            "securitySchemes": {
                "apiKey": { "type": "apiKey", "in": "header", "name": "x-api-key" },
                "bearer": { "type": "http", "scheme": "bearer" },
            },
            "schemas": {
                "Error": { "type": "object", "required": ["error"], "properties": { "error": { "type": "string" } } },
            },
        },
    })
}

const MODEL: (&str, &str) = ("model", "A registered model.");
const REF: (&str, &str) = (
    "ref",
    "A version (v20261101-120000), an alias (stable, canary) or a digest (sha256:…).",
);

fn operation(summary: &str, parameters: &[(&str, &str)], errors: &[&str]) -> Value {
    let ok =
        json!({ "description": "OK", "content": { "application/json": { "schema": { "type": "object" } } } });
    described(summary, parameters, errors, &ok)
}

fn text(summary: &str) -> Value {
    let ok = &json!({ "description": "OK", "content": { "text/plain": { "schema": { "type": "string" } } } });
    described(summary, &[], &[], ok)
}

fn artifact() -> Value {
    let ok = &json!({
        "description": "The ONNX file; ETag is its digest.",
        "content": { "application/octet-stream": { "schema": { "type": "string", "format": "binary" } } },
    });
    let mut artifact = described(
        "The bytes of a version, verified; If-None-Match and one Range are honoured.",
        &[MODEL, REF],
        &["404", "416"],
        ok,
    );
    let responses = &mut artifact["get"]["responses"];
    responses["206"] = json!({ "description": "The wanted part." });
    responses["304"] = json!({ "description": "The client has it already." });
    artifact
}

fn described(summary: &str, parameters: &[(&str, &str)], errors: &[&str], ok: &Value) -> Value {
    let parameters: Vec<Value> = parameters
        .iter()
        .map(|(name, description)| {
            json!({
                "name": name, "in": "path", "required": true, "description": description,
                "schema": { "type": "string" },
            })
        })
        .collect();
    let error = json!({
        "description": "Why not.",
        "content": { "application/json": { "schema": { "$ref": "#/components/schemas/Error" } } },
    });
    let mut responses = json!({ "200": ok, "401": error });
    for code in errors {
        responses[*code] = error.clone();
    }
    json!({ "get": { "summary": summary, "parameters": parameters, "responses": responses } })
}
