//! Hashes that say when two things are the same: a run's inputs, a job's spec, a revision's plan.
//!
//! Each is the SHA-256 of canonical JSON with keys that are written out here, so that renaming a Rust field changes no
//! hash. What a version was trained from is compared with hashes of years ago: never change what goes in.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::deployment::{DeclaredDeployment, Pin};
use crate::desired::Desired;
use crate::endpoint::Endpoint;
use crate::environment::{Drift, Environment, Target};
use crate::gates::{Gates, PromotionOrder};
use crate::names::{Digest, ModelName};
use crate::training::{
    self, Command, Container, DataSource, Derivation, Feature, Fit, Holdout, Import, Rows, RunPolicy,
    Training,
};
use crate::trust::Trust;
use crate::window::Window;

/// Returns the hash of what a run is declared to be trained from (docs/design.md, "Training identity").
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

/// Returns the hash of what decides how a run ends: the spec, and of an import whose signature it needs. A run that was refused
/// for its signature is tried again once other keys are trusted.
pub fn run_hash(training: &Training, trust: Option<&Trust>) -> Digest {
    match trust {
        None => spec_hash(training),
        Some(Trust { verify, keys }) => hash(&json!({
            "spec": spec_hash(training).hex(),
            "verify": verify.as_str(),
            "keys": keys,
        })),
    }
}

/// Returns the hash of what a revision intends: all declared specs, without resolved digests or commit ids.
///
/// It is a tree of hashes, so that a commit that changes one model costs one: [`PlanHash`].
pub fn plan_hash(desired: &Desired) -> Digest {
    let mut hash = PlanHash::default();
    for (model, digest) in model_hashes(desired) {
        hash.set(&model, Some(digest));
    }
    hash.of(&desired.environment)
}

/// The hash of a plan as a tree: models go to leaves by the first byte of their name's hash, a leaf is hashed anew when
/// one of its models changed, and the whole is the hash of the leaves and the environment.
#[derive(Debug, Clone, Default)]
pub struct PlanHash {
    leaves: BTreeMap<u8, Leaf>,
}

#[derive(Debug, Clone, Default)]
struct Leaf {
    models: BTreeMap<ModelName, Digest>,
    /// Absent where a model changed since.
    hash: Option<Digest>,
}

impl PlanHash {
    /// Says what is declared of a model, as [`model_hashes`] gives it; `None` where nothing is.
    pub fn set(&mut self, model: &ModelName, declared: Option<Digest>) {
        let place = Digest::of(model.as_str().as_bytes()).as_bytes()[0];
        let leaf = self.leaves.entry(place).or_default();
        let before = match declared {
            Some(digest) => leaf.models.insert(model.clone(), digest),
            None => leaf.models.remove(model),
        };
        if before != declared {
            leaf.hash = None;
        }
        if leaf.models.is_empty() {
            self.leaves.remove(&place);
        }
    }

    /// Returns the hash of the whole.
    pub fn of(&mut self, environment: &Environment) -> Digest {
        let mut document = json!({
            "name": environment.name.as_str(),
            "suspend": environment.suspend,
            "registryPath": environment.registry_path,
            "removal": {
                "maxCount": environment.removal.max_count,
                "maxPercent": environment.removal.max_percent,
            },
        });
        // Only where they are given: what was hashed before they could be keeps its hash.
        if let Target::Kubernetes { namespace } = &environment.target {
            document["namespace"] = json!(namespace);
        }
        if environment.drift != Drift::default() {
            document["drift"] = json!(environment.drift.as_str());
        }
        if !environment.windows.is_empty() {
            document["windows"] = environment.windows.iter().map(window).collect();
        }
        if let Some(gates) = &environment.gates {
            document["gates"] = self::gates(gates);
        }
        if let Some(PromotionOrder { from, soak, status }) = &environment.promotion {
            let soak = soak.map(|soak| soak.to_string());
            document["promotion"] = json!({ "from": from.as_str(), "soak": soak });
            if let Some(status) = status {
                document["promotion"]["status"] = endpoint(status);
            }
        }
        if let Some(upstream) = &environment.upstream {
            document["upstream"] = endpoint(upstream);
        }
        let mut text = String::new();
        write_canonical(&document, &mut text);
        for (place, leaf) in &mut self.leaves {
            text.push('\n');
            text.push_str(&place.to_string());
            text.push(' ');
            text.push_str(&leaf.hash().hex());
        }
        Digest::of(text.as_bytes())
    }
}

impl Leaf {
    fn hash(&mut self) -> Digest {
        let models = &self.models;
        *self.hash.get_or_insert_with(|| {
            let lines = models
                .iter()
                .map(|(model, digest)| format!("{model} {}\n", digest.hex()));
            Digest::of(lines.collect::<String>().as_bytes())
        })
    }
}

/// Where the key lies is a matter of the machine.
fn endpoint(Endpoint { url, key_file: _ }: &Endpoint) -> Value {
    json!(url.as_str())
}

fn window(window: &Window) -> Value {
    let Window {
        kind,
        schedule,
        duration,
        reason: _,
    } = window;
    let schedule = schedule.text();
    json!({
        "type": kind.as_str(),
        "cron": schedule.cron,
        "timeZone": schedule.time_zone,
        "duration": duration.to_string(),
    })
}

fn gates(gates: &Gates) -> Value {
    let Gates {
        signature,
        metric,
        max_weight_step,
        on_unknown,
    } = gates;
    json!({
        "signature": signature.as_str(),
        "tolerancePercent": metric.map(f64::from),
        "maxWeightStep": max_weight_step.percent(),
        "onUnknown": on_unknown.as_str(),
    })
}

/// Returns the hash of what is declared of each model.
pub fn model_hashes(desired: &Desired) -> BTreeMap<ModelName, Digest> {
    let mut models: BTreeMap<&ModelName, (Vec<Value>, Vec<Value>)> = BTreeMap::new();
    for (name, declared) in &desired.deployments {
        let deployment = json!({"name": name.as_str(), "spec": deployment_document(&declared.spec)});
        models.entry(&declared.spec.model).or_default().0.push(deployment);
    }
    for (name, declared) in &desired.trainings {
        let mut spec = training_document(&declared.spec);
        spec["suspend"] = json!(declared.spec.suspend);
        let training = json!({"name": name.as_str(), "spec": spec});
        models.entry(&declared.spec.model).or_default().1.push(training);
    }
    let hashed = models.into_iter().map(|(model, (deployments, trainings))| {
        let document = json!({"deployments": deployments, "trainings": trainings});
        (model.clone(), hash(&document))
    });
    hashed.collect()
}

fn inputs(training: &Training) -> Value {
    let mut inputs = json!({
        "modelName": training.model.as_str(),
        "hyperparameters": training.hyperparameters,
        "seed": training.seed,
    });
    if let Some(Rows { dataset, evaluation }) = &training.rows {
        inputs["dataset"] = data(&dataset.source, dataset.sha256);
        inputs["features"] = dataset.features.iter().map(feature).collect();
        inputs["target"] = json!(dataset.target.as_ref().map(target));
        inputs["holdout"] = holdout(&evaluation.holdout);
        // Only where it is given: what was trained before it could be keeps its hash.
        if !dataset.exclude.is_empty() {
            inputs["exclude"] = json!(dataset.exclude);
        }
    }
    match &training.fit {
        Fit::Algorithm(algorithm) => inputs["algorithm"] = json!(algorithm.as_str()),
        Fit::Container(container) => inputs["container"] = self::container(container),
        Fit::Command(command) => inputs["command"] = self::command(command),
        Fit::Import(import) => inputs["import"] = self::import(import),
    }
    if !training.engine.is_own() {
        inputs["engine"] = json!(training.engine);
    }
    inputs
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

/// Where rows come from, whatever they are: a job that names another place has another spec.
fn source(source: &DataSource) -> Value {
    match source {
        DataSource::Builtin(name) => json!({"Builtin": name}),
        DataSource::Synthetic(name) => json!({"Synthetic": name}),
        DataSource::Committed(path) => json!({"Committed": path}),
        DataSource::Absolute(path) => json!({"Absolute": path}),
    }
}

fn container(container: &Container) -> Value {
    let Container { image, command, args } = container;
    json!({"image": image, "command": command, "args": args})
}

/// A file counts by its name too, since the program finds it by that.
fn command(command: &Command) -> Value {
    let Command { argv, files } = command;
    let files: BTreeMap<&String, Value> = files
        .iter()
        .map(|file| (&file.path, json!(file.sha256.map(|digest| digest.hex()))))
        .collect();
    json!({"argv": argv, "files": files})
}

/// What is imported is what its bytes are, wherever they lie, and what is told of them.
fn import(import: &Import) -> Value {
    let Import {
        source: _,
        digest,
        files,
        signature: _,
        told,
    } = import;
    let mut imported = json!({"digest": digest.hex()});
    if !files.is_empty() {
        imported["files"] = json!(files);
    }
    if !told.is_silent() {
        imported["told"] = json!(told);
    }
    imported
}

fn feature(feature: &Feature) -> Value {
    let Feature { name, derivation } = feature;
    match derivation {
        Derivation::Column(column) => json!({"name": name, "column": column}),
        Derivation::Ratio(columns) => json!({"name": name, "ratio": columns}),
    }
}

fn target(target: &training::Target) -> Value {
    let training::Target {
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
    if let Some(Rows { dataset, evaluation }) = &training.rows {
        document["source"] = source(&dataset.source);
        document["metric"] = json!(evaluation.metric.as_str());
        document["bound"] = json!(evaluation.bound);
    }
    if let Fit::Import(import) = &training.fit {
        document["importSource"] = json!(import.source.to_string());
        if let Some(signature) = &import.signature {
            document["importSignature"] = json!(signature.to_string());
        }
    }
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
                "concurrencyPolicy": concurrency.as_str(),
            })
        }
    };
    document["activeDeadlineSeconds"] = json!(training.active_deadline_seconds);
    if let Some(pod) = &training.pod {
        document["pod"] = json!(pod);
    }
    document
}

fn deployment_document(deployment: &DeclaredDeployment) -> Value {
    let pin =
        |pin: &Pin| json!({"version": pin.version.to_string(), "digest": pin.digest.map(|d| d.to_string())});
    let mut document = json!({
        "modelName": deployment.model.as_str(),
        "stable": pin(&deployment.stable),
        "canary": deployment.canary.as_ref().map(|canary| {
            json!({"pin": pin(&canary.pin), "weight": canary.weight.percent()})
        }),
        "suspend": deployment.suspend,
    });
    if !deployment.rejected.is_empty() {
        let rejected = deployment.rejected.iter().map(ToString::to_string);
        document["rejected"] = rejected.collect();
    }
    if !deployment.allow_breaking.is_empty() {
        let allowed = deployment.allow_breaking.iter().map(ToString::to_string);
        document["allowBreaking"] = allowed.collect();
    }
    if !deployment.engine.is_own() {
        document["engine"] = json!(deployment.engine);
    }
    let operation = deployment.operation();
    if !operation.is_default() {
        document["operation"] = json!(operation);
    }
    document
}

/// Returns the hash of a document, however the keys of its maps are ordered.
pub fn document_hash(document: &Value) -> Digest {
    hash(document)
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
