//! Hashes that say when two things are the same: a run's inputs, a job's spec, a revision's plan.
//!
//! Each is the SHA-256 of canonical JSON with keys that are written out here, so that renaming a Rust field changes no
//! hash. What a version was trained from is compared with hashes of years ago: never change what goes in.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::deployment::{DeclaredDeployment, Pin};
use crate::desired::Desired;
use crate::names::Digest;
use crate::training::{DataSource, Derivation, Feature, Holdout, RunPolicy, Target, Training};

/// Returns the hash of what a run is declared to be trained from (DESIGN §11.7).
///
/// Two trainings with one hash give the same artifact. The trainer's version, default values, the bound of the metric,
/// deadline, schedule, version and suspension do not count.
pub fn inputs_hash(training: &Training) -> Digest {
    hash(&inputs(training))
}

/// Returns the hash of everything that a job says but `suspend`: a run that failed is not tried again until it changes.
pub fn spec_hash(training: &Training) -> Digest {
    hash(&training_document(training))
}

/// Returns the hash of what a revision intends: all declared specs, without resolved digests or commit ids.
pub fn plan_hash(desired: &Desired) -> Digest {
    let mut models: BTreeMap<&str, (Vec<Value>, Vec<Value>)> = BTreeMap::new();
    for (name, declared) in &desired.deployments {
        let deployment = json!({"name": name.as_str(), "spec": deployment_document(&declared.spec)});
        models
            .entry(declared.spec.model.as_str())
            .or_default()
            .0
            .push(deployment);
    }
    for (name, declared) in &desired.trainings {
        let mut spec = training_document(&declared.spec);
        spec["suspend"] = json!(declared.spec.suspend);
        let training = json!({"name": name.as_str(), "spec": spec});
        models
            .entry(declared.spec.model.as_str())
            .or_default()
            .1
            .push(training);
    }
    let models: serde_json::Map<String, Value> = models
        .into_iter()
        .map(|(model, (deployments, trainings))| {
            (
                model.to_owned(),
                json!({"deployments": deployments, "trainings": trainings}),
            )
        })
        .collect();
    let environment = &desired.environment;
    hash(&json!({
        "environment": {
            "name": environment.name.as_str(),
            "suspend": environment.suspend,
            "registryPath": environment.registry_path,
            "removal": {
                "maxCount": environment.removal.max_count,
                "maxPercent": environment.removal.max_percent,
            },
        },
        "models": models,
    }))
}

fn inputs(training: &Training) -> Value {
    let dataset = &training.dataset;
    json!({
        "modelName": training.model.as_str(),
        "dataset": data(&dataset.source, dataset.sha256),
        "features": dataset.features.iter().map(feature).collect::<Vec<_>>(),
        "target": dataset.target.as_ref().map(target),
        "algorithm": training.algorithm.as_str(),
        "hyperparameters": training.hyperparameters,
        "seed": training.seed,
        "holdout": holdout(&training.evaluation.holdout),
    })
}

/// A file is what its bytes are, wherever it lies; data that Aurora brings along is what its name says.
fn data(source: &DataSource, sha256: Option<Digest>) -> Value {
    match (source, sha256) {
        (_, Some(digest)) => json!({"sha256": digest.hex()}),
        (DataSource::Builtin(name), None) => json!({"builtin": name}),
        (DataSource::Synthetic(name), None) => json!({"synthetic": name}),
        (DataSource::Committed(path) | DataSource::Absolute(path), None) => json!({"path": path}),
    }
}

fn feature(feature: &Feature) -> Value {
    let Feature { name, derivation } = feature;
    match derivation {
        Derivation::Column(column) => json!({"name": name, "column": column}),
        Derivation::Ratio(columns) => json!({"name": name, "ratio": columns}),
    }
}

fn target(target: &Target) -> Value {
    let Target {
        column,
        divide_by,
        unit,
    } = target;
    json!({"column": column, "divideBy": divide_by, "unit": unit})
}

fn holdout(holdout: &Holdout) -> Value {
    match holdout {
        Holdout::Percent { percent, seed } => json!({"percent": percent, "seed": seed}),
        Holdout::File { source, sha256 } => json!({"file": data(source, *sha256)}),
    }
}

fn training_document(training: &Training) -> Value {
    let mut document = inputs(training);
    document["source"] =
        serde_json::to_value(&training.dataset.source).expect("invariant: an enum of strings is JSON");
    document["runs"] = match &training.runs {
        RunPolicy::Fixed(version) => json!({"version": version.to_string()}),
        RunPolicy::PerInputs => json!({}),
        RunPolicy::Scheduled {
            schedule,
            starting_deadline_seconds,
            concurrency,
        } => {
            let text = schedule.text();
            json!({
                "cron": text.cron,
                "timeZone": text.time_zone,
                "startingDeadlineSeconds": starting_deadline_seconds,
                "concurrencyPolicy": format!("{concurrency:?}"),
            })
        }
    };
    document["metric"] = json!(training.evaluation.metric.as_str());
    document["bound"] = json!(training.evaluation.bound);
    document["activeDeadlineSeconds"] = json!(training.active_deadline_seconds);
    document
}

fn deployment_document(deployment: &DeclaredDeployment) -> Value {
    let pin =
        |pin: &Pin| json!({"version": pin.version.to_string(), "digest": pin.digest.map(|d| d.to_string())});
    json!({
        "modelName": deployment.model.as_str(),
        "stable": pin(&deployment.stable),
        "canary": deployment.canary.as_ref().map(|canary| {
            json!({"pin": pin(&canary.pin), "weight": canary.weight.percent()})
        }),
        "suspend": deployment.suspend,
    })
}

fn hash(value: &Value) -> Digest {
    let mut text = String::new();
    write_canonical(value, &mut text);
    Digest::of(text.as_bytes())
}

/// Writes JSON without spaces and with sorted keys. serde_json's own order depends on its features, which any crate of
/// the build may switch.
fn write_canonical(value: &Value, text: &mut String) {
    match value {
        Value::Array(items) => {
            text.push('[');
            for (index, item) in items.iter().enumerate() {
                if index > 0 {
                    text.push(',');
                }
                write_canonical(item, text);
            }
            text.push(']');
        }
        Value::Object(fields) => {
            let fields: BTreeMap<&String, &Value> = fields.iter().collect();
            text.push('{');
            for (index, (key, field)) in fields.into_iter().enumerate() {
                if index > 0 {
                    text.push(',');
                }
                text.push_str(&Value::from(key.as_str()).to_string());
                text.push(':');
                write_canonical(field, text);
            }
            text.push('}');
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {
            text.push_str(&value.to_string());
        }
    }
}
