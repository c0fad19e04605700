//! `/openapi.json`: the control plane's paths for tools and people.
//!
//! Every path of the routing table has an entry, or this does not compile; what answers hold is described by the types that they
//! are made of. Committed as `docs/openapi.json`.

use std::sync::LazyLock;

use registry::metadata::VersionMetadata;
use schemars::generate::SchemaSettings;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde_json::{Map, Value, json};
use strum::VariantArray as _;

use super::models::{PAGE, PAGE_MAX};
use super::route::Kind;
use super::{shown, status};
use crate::http::gate::{Audience, Demands, Methods};
use crate::http::reply::ErrorBody;
use crate::signed::SignedVersion;

/// What a client may be told on every path: it says not whom it asks, or asks another, or too much is asked at once; or we fail.
const REFUSALS: [u16; 4] = [400, 403, 500, 503];
/// What it may be told besides where probes do not ask: it has no key that is known, or asks too often.
const OF_KEYS: [u16; 2] = [401, 429];
/// What it may be told where everybody may ask: it asks too often.
const OF_RATES: [u16; 1] = [429];

/// One path, as it is read.
struct Operation {
    id: &'static str,
    summary: &'static str,
    parameters: Vec<Value>,
    /// What comes with 200, by its media type.
    media: &'static str,
    schema: Schema,
    /// What else may come: a status and what it says.
    others: Vec<(u16, &'static str)>,
}

/// Returns the OpenAPI 3.1 document, indented, with a line's end.
pub fn openapi() -> &'static str {
    static TEXT: LazyLock<String> = LazyLock::new(|| {
        let mut text =
            serde_json::to_string_pretty(&document()).expect("invariant: text keys, written to memory");
        text.push('\n');
        text
    });
    &TEXT
}

fn document() -> Value {
    let settings = SchemaSettings::draft2020_12().for_serialize().with(|settings| {
        settings.definitions_path = "/components/schemas".into();
        settings.meta_schema = None;
    });
    let mut generator = settings.into_generator();
    let error = generator.subschema_for::<ErrorBody>();
    let paths: Map<String, Value> = Kind::VARIANTS
        .iter()
        .filter_map(|kind| {
            let operation = operation(*kind, &mut generator)?;
            Some((<&str>::from(*kind).to_owned(), path(*kind, operation)))
        })
        .collect();
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Aurora Control Plane",
            "version": env!("CARGO_PKG_VERSION"),
            "license": { "name": "Apache-2.0", "identifier": "Apache-2.0" },
            "description": "Reads the model registry and the state of the environment. Nothing is changed here: models \
                            change by commit.",
        },
        "security": [{ "apiKey": [] }, { "bearer": [] }],
        "paths": paths,
        "components": {
            "securitySchemes": {
                "apiKey": { "type": "apiKey", "in": "header", "name": "x-api-key" },
                "bearer": { "type": "http", "scheme": "bearer" },
            },
            "responses": {
                "Error": {
                    "description": "Why not.",
                    "content": { "application/json": { "schema": error } },
                },
            },
            "schemas": generator.take_definitions(true),
        },
    })
}

/// Describes a path; nothing where there is none.
fn operation(kind: Kind, schemas: &mut SchemaGenerator) -> Option<Operation> {
    let missing = (404, "There is no such thing.");
    Some(match kind {
        Kind::Dashboard => Operation {
            media: "text/html",
            schema: json_schema!({ "type": "string" }),
            others: vec![(304, "If-None-Match names the newest page.")],
            ..any("dashboard", "The dashboard; it needs no key, what it shows does.")
        },
        Kind::Health => json_of::<shown::Health>(schemas, "health", "Whether the control plane answers."),
        Kind::Platform => json_of::<shown::PlatformInfo>(schemas, "platformInfo", "What answers here."),
        Kind::Metrics => Operation {
            media: "text/plain",
            schema: json_schema!({ "type": "string" }),
            ..any("metrics", "Metrics in Prometheus's text format.")
        },
        Kind::OpenApi => any("openapi", "This document."),
        Kind::Models => json_of::<shown::Models>(
            schemas,
            "models",
            "Every registered model with its aliases and newest versions.",
        ),
        Kind::Model => Operation {
            parameters: vec![model(), limit(), before()],
            others: vec![missing],
            ..json_of::<shown::Model>(
                schemas,
                "model",
                "One model: aliases, a page of its versions with metrics and lineage, and the end of its history.",
            )
        },
        Kind::Version => Operation {
            parameters: vec![model(), reference()],
            others: vec![missing],
            ..json_of::<VersionMetadata>(schemas, "version", "All that is recorded of a version.")
        },
        Kind::Artifact => Operation {
            parameters: vec![model(), reference()],
            media: "application/octet-stream",
            schema: json_schema!({ "type": "string", "contentMediaType": "application/octet-stream" }),
            others: vec![
                missing,
                (206, "The part that Range asks for."),
                (304, "If-None-Match names what is there."),
                (416, "The artifact has no such part."),
            ],
            ..any(
                "artifact",
                "The bytes of a version, verified; the ETag is their digest. If-None-Match, If-Range and one Range count.",
            )
        },
        Kind::Signatures => Operation {
            parameters: vec![model(), reference()],
            others: vec![missing],
            ..json_of::<SignedVersion>(
                schemas,
                "signatures",
                "What of a version is signed besides its artifact, and its signatures, for whoever holds the keys to verify.",
            )
        },
        Kind::Status => Operation {
            others: vec![(304, "If-None-Match names the newest state.")],
            ..json_of::<status::Aged<status::All<'_>>>(
                schemas,
                "status",
                "The environment and its models at a glance, and how old the knowledge is.",
            )
        },
        Kind::StatusObjects => json_of::<status::Aged<status::Objects<'_>>>(
            schemas,
            "statusObjects",
            "The objects as they are, with their status.",
        ),
        Kind::StatusEvents => Operation {
            parameters: vec![once()],
            media: "text/event-stream",
            schema: json_schema!({ "type": "string" }),
            ..any(
                "statusEvents",
                "The changes of /status as server-sent events without end: `snapshot` or `current`, then `change` and `beat`.",
            )
        },
        Kind::StatusBadge => Operation {
            media: "image/svg+xml",
            schema: json_schema!({ "type": "string" }),
            others: vec![(304, "If-None-Match names the newest picture.")],
            ..any("statusBadge", "The environment's word as a picture.")
        },
        Kind::BadgeOfModel => Operation {
            parameters: vec![model()],
            media: "image/svg+xml",
            schema: json_schema!({ "type": "string" }),
            others: vec![(304, "If-None-Match names the newest picture.")],
            ..any(
                "badgeOfModel",
                "A model's word as a picture; `unknown` where nobody knows the model.",
            )
        },
        Kind::StatusOfModel => Operation {
            parameters: vec![model()],
            others: vec![missing],
            ..json_of::<status::Aged<status::Detail<'_>>>(
                schemas,
                "statusOfModel",
                "The state of one model: its objects, and since when its stable alias has named which version.",
            )
        },
        Kind::Nodes => json_of::<shown::Nodes>(schemas, "nodes", "The machines."),
        Kind::Classes => json_of::<shown::StorageClasses>(
            schemas,
            "storageClasses",
            "Where volumes come from, and the registry's file system.",
        ),
        Kind::Volumes => json_of::<shown::StorageVolumes>(
            schemas,
            "storageVolumes",
            "What claims storage in the environment's namespace, and the registry's file system.",
        ),
        Kind::Unknown => return None,
    })
}

/// Describes what answers with an object that no type of ours describes.
fn any(id: &'static str, summary: &'static str) -> Operation {
    Operation {
        id,
        summary,
        parameters: Vec::new(),
        media: "application/json",
        schema: json_schema!({ "type": "object" }),
        others: Vec::new(),
    }
}

fn json_of<T: JsonSchema>(
    schemas: &mut SchemaGenerator,
    id: &'static str,
    summary: &'static str,
) -> Operation {
    Operation {
        schema: schemas.subschema_for::<T>(),
        ..any(id, summary)
    }
}

/// Writes a path's methods down.
fn path(kind: Kind, operation: Operation) -> Value {
    let Operation {
        id,
        summary,
        parameters,
        media,
        schema,
        others,
    } = operation;
    let Demands { audience, methods } = kind.demands();
    assert_eq!(methods, Methods::Read, "invariant: the control plane is read");
    let with = |description: &str, media: &str| json!({ "description": description, "content": { media: { "schema": schema } } });
    let mut responses = Map::from_iter([("200".to_owned(), with("What was asked for.", media))]);
    for (status, description) in others {
        let response = match status {
            206 => with(description, media),
            304 => json!({ "description": description }),
            _ => error(),
        };
        responses.insert(status.to_string(), response);
    }
    let of_keys: &[u16] = match audience {
        Audience::Probes => &[],
        Audience::Public => &OF_RATES,
        Audience::Scrapers | Audience::Keys => &OF_KEYS,
    };
    for status in REFUSALS.iter().chain(of_keys) {
        responses.insert(status.to_string(), error());
    }
    let mut get = json!({
        "operationId": id, "summary": summary, "parameters": parameters, "responses": responses,
    });
    if matches!(audience, Audience::Probes | Audience::Public) {
        get["security"] = json!([]);
    }
    let mut head = get.clone();
    head["operationId"] = json!(format!("{id}Head"));
    bodiless(&mut head);
    let mut options = get.clone();
    options["operationId"] = json!(format!("{id}Options"));
    if let Some(parameters) = options["parameters"].as_array_mut() {
        parameters.retain(|parameter| parameter["in"] == "path");
    }
    options["responses"]["204"] = json!({});
    if let Some(responses) = options["responses"].as_object_mut() {
        responses.retain(|status, _| status.starts_with("204") || status.as_str() >= "400");
    }
    bodiless(&mut options);
    json!({ "get": get, "head": head, "options": options })
}

/// Takes the bodies out of an operation's answers, as the methods that send none have them.
fn bodiless(operation: &mut Value) {
    let responses = operation["responses"].as_object_mut();
    for (status, response) in responses.into_iter().flatten() {
        let description = match status.as_str() {
            "204" => "The methods stand in Allow.",
            _ => "As GET, without the body.",
        };
        *response = json!({ "description": description });
    }
}

fn error() -> Value {
    json!({ "$ref": "#/components/responses/Error" })
}

fn model() -> Value {
    json!({
        "name": "model", "in": "path", "required": true, "description": "A registered model.",
        "example": "iris",
        "schema": { "type": "string", "maxLength": 40, "pattern": "^[a-z0-9]([a-z0-9-]{0,38}[a-z0-9])?$" },
    })
}

fn reference() -> Value {
    json!({
        "name": "ref", "in": "path", "required": true,
        "description": "A version (v20261101-120000), an alias (stable, canary), a digest (sha256:…), or the first 8 or more digits of one.",
        "example": "stable",
        "schema": {
            "type": "string",
            "maxLength": 71,
            "pattern": "^(stable|canary|v[0-9]{8}-[0-9]{6}(-[0-9]{1,4})?|(sha256:)?[0-9a-f]{8,63}|sha256:[0-9a-f]{64})$",
        },
    })
}

fn once() -> Value {
    json!({
        "name": "once", "in": "query", "description": "Ends after the first event: what is now.",
        "allowEmptyValue": true, "schema": { "type": "string", "maxLength": 5 },
    })
}

fn limit() -> Value {
    json!({
        "name": "limit", "in": "query", "description": "How many versions.",
        "schema": { "type": "integer", "minimum": 1, "maximum": PAGE_MAX, "default": PAGE },
    })
}

fn before() -> Value {
    json!({
        "name": "before", "in": "query", "description": "Versions older than this one: the `next` of the page before.",
        "schema": { "type": "string", "maxLength": 21, "pattern": "^v[0-9]{8}-[0-9]{6}(-[0-9]{1,4})?$" },
    })
}
