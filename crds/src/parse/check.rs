//! A document against the schema of its kind: every fault, each with the position of the field that is at fault.

use std::collections::BTreeSet;
use std::sync::LazyLock;

use kube::core::cel::{CompiledSchema, SchemaFormat, compile_schema, validate_compiled};
use planner::names::EnvironmentName;
use planner::training::Algorithm;
use serde_json::{Map, Value as Json, json};

use super::document::{Entry, Node, Position, Value};
use super::{nearest, seed, words};
use crate::convert::Problem;
use crate::schema::object_schema;
use crate::{API_VERSION, MLDeployment, MLEnvironment, MLTrainingJob, rules, wire};

/// The kinds that Aurora knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Environment,
    Deployment,
    Training,
}

const KINDS: [(&str, Kind); 3] = [
    ("MLEnvironment", Kind::Environment),
    ("MLDeployment", Kind::Deployment),
    ("MLTrainingJob", Kind::Training),
];

/// What a document of one kind must look like.
struct Shape {
    /// The schema of a whole document.
    schema: Json,
    /// The rules over more than one field, as a schema of the spec.
    rules: CompiledSchema,
}

impl Shape {
    /// Adds to the schema of a custom resource what the API server checks by itself, and takes out the status.
    fn new(object: Json) -> Self {
        let mut rules = compile_schema(&object)
            .properties
            .remove("spec")
            .expect("invariant: each kind has a spec");
        prune(&mut rules);
        let mut schema = object;
        if let Some(Json::Object(properties)) = schema.get_mut("properties") {
            properties.remove("status");
            for name in ["apiVersion", "kind"] {
                properties.insert(name.to_owned(), json!({ "type": "string" }));
            }
            properties["metadata"]["required"] = json!(["name"]);
        }
        schema["required"] = json!(["metadata", "spec"]);
        Self { schema, rules }
    }
}

/// Cuts off what no rule stands in and what has the same value for the rules around it without a schema. Says whether
/// something is left.
///
/// The evaluation makes a scope and a copy for each value that has a schema, rules or not.
fn prune(schema: &mut CompiledSchema) -> bool {
    schema.properties.retain(|_, field| prune(field));
    for inner in [&mut schema.items, &mut schema.additional_properties] {
        if inner.as_deref_mut().is_some_and(|inner| !prune(inner)) {
            *inner = None;
        }
    }
    let holds_something = !schema.properties.is_empty()
        || schema.items.is_some()
        || schema.additional_properties.is_some()
        || !(schema.all_of.is_empty() && schema.one_of.is_empty() && schema.any_of.is_empty());
    // A default stands in for a value, a format gives it a type, and a map keeps its keys as they are.
    let changes_the_value = schema.default.is_some()
        || schema.format != SchemaFormat::None
        || schema.is_map
        || schema.embedded_resource
        || schema.preserve_unknown_fields;
    holds_something || changes_the_value || !schema.validations.is_empty()
}

impl Kind {
    fn shape(self) -> &'static Shape {
        static ENVIRONMENT: LazyLock<Shape> = LazyLock::new(|| Shape::new(object_schema::<MLEnvironment>()));
        static DEPLOYMENT: LazyLock<Shape> = LazyLock::new(|| Shape::new(object_schema::<MLDeployment>()));
        static TRAINING: LazyLock<Shape> = LazyLock::new(|| Shape::new(object_schema::<MLTrainingJob>()));
        match self {
            Self::Environment => &ENVIRONMENT,
            Self::Deployment => &DEPLOYMENT,
            Self::Training => &TRAINING,
        }
    }
}

/// A fault and where it stands.
pub(super) type Fault = (Position, Problem);

/// Returns what a finding about this document is about: `Kind/name` as far as they are known.
pub(super) fn subject(root: &Node) -> String {
    let kind = root
        .text("kind")
        .filter(|kind| KINDS.iter().any(|(known, _)| known == kind));
    let name = root
        .field("metadata")
        .and_then(|metadata| metadata.value.text("name"));
    match (kind, name) {
        (Some(kind), Some(name)) => format!("{kind}/{}", words::cut(name)),
        (Some(kind), None) => kind.to_owned(),
        (None, _) => String::new(),
    }
}

/// Returns the kind of a document.
pub(super) fn kind(root: &Node) -> Result<Kind, Fault> {
    let all = "MLEnvironment, MLDeployment and MLTrainingJob";
    let Value::Mapping(_) = root.value else {
        let message = format!("expected a manifest, got {}", words::describe(root));
        let hint = format!("a manifest has apiVersion, kind, metadata and spec; the kinds are {all}");
        return Err((root.position, Problem::new("", message, hint)));
    };
    let Some(entry) = root.field("kind") else {
        let hint = format!("add `kind:` with one of {all}");
        return Err((root.position, Problem::new("", "`kind` is missing", hint)));
    };
    let Value::Text(text) = &entry.value.value else {
        let message = format!(
            "expected the name of a kind, got {}",
            words::describe(&entry.value)
        );
        let problem = Problem::new("kind", message, format!("the kinds are {all}"));
        return Err((entry.value.position, problem));
    };
    let Some((_, kind)) = KINDS.iter().find(|(name, _)| name == text) else {
        let hint = match nearest(text, KINDS.iter().map(|(name, _)| *name)) {
            Some(near) => format!("did you mean `{near}`?"),
            None => format!(
                "the kinds are {all}; other files of the folder may have any name that does not end in .yaml or .yml"
            ),
        };
        let message = format!("{:?} is no kind that Aurora knows", words::cut(text));
        return Err((entry.value.position, Problem::new("kind", message, hint)));
    };
    match root.field("apiVersion") {
        None => {
            let problem = Problem::new(
                "",
                "`apiVersion` is missing",
                format!("add `apiVersion: {API_VERSION}`"),
            );
            Err((root.position, problem))
        }
        Some(entry) if matches!(&entry.value.value, Value::Text(text) if text == API_VERSION) => Ok(*kind),
        Some(entry) => {
            let message = format!("expected {API_VERSION}, got {}", words::describe(&entry.value));
            let problem = Problem::new(
                "apiVersion",
                message,
                format!("write `apiVersion: {API_VERSION}`"),
            );
            Err((entry.value.position, problem))
        }
    }
}

/// Checks that an environment is named like its folder.
pub(super) fn folder(path: &str, name: &EnvironmentName) -> Result<(), Problem> {
    let folder = path
        .strip_prefix("environments/")
        .and_then(|rest| rest.split_once('/'));
    match folder {
        Some((folder, _)) if folder != name.as_str() => Err(Problem::new(
            "metadata.name",
            format!(
                "the environment is named {:?}, its folder {folder:?}",
                name.as_str()
            ),
            format!("write `name: {folder}`, or rename the folder"),
        )),
        _ => Ok(()),
    }
}

/// Checks a document against the schema of its kind.
pub(super) fn against_schema(kind: Kind, root: &Node) -> Vec<Fault> {
    let mut walk = Walk {
        kind,
        faults: Vec::new(),
    };
    walk.value(&kind.shape().schema, root, root.position, "");
    walk.faults
}

/// Checks a document that keeps to its schema against the rules over more than one field; `json` is `root`.
pub(super) fn against_rules(kind: Kind, root: &Node, json: &Json) -> Vec<Fault> {
    let (rules, spec) = (&kind.shape().rules, &json["spec"]);
    if !may_be_broken(rules, spec) {
        return Vec::new();
    }
    let Err(errors) = validate_compiled(rules, spec, None) else {
        return Vec::new();
    };
    errors
        .into_iter()
        .map(|error| {
            let field = format!("spec.{}", error.field_path.trim_matches('.'));
            let field = field.trim_end_matches('.').to_owned();
            (
                root.locate(&field),
                Problem::new(field, error.message, rules::hint(&error.rule)),
            )
        })
        .collect()
}

/// Says whether any rule may be false, without evaluating it: most are about a field that is not there.
fn may_be_broken(schema: &CompiledSchema, value: &Json) -> bool {
    let is_there = |field: &str| {
        let has_default = |schema: &CompiledSchema| schema.default.is_some();
        value.get(field).is_some() || schema.properties.get(field).is_some_and(has_default)
    };
    let is_due = schema.validations.iter().any(|compiled| match compiled {
        Ok(compiled) => rules::only_with(&compiled.rule.rule).is_none_or(is_there),
        Err(_uncompiled) => true,
    });
    let is_simple = schema.items.is_none()
        && schema.additional_properties.is_none()
        && schema.all_of.is_empty()
        && schema.one_of.is_empty()
        && schema.any_of.is_empty();
    let mut inner = schema.properties.iter();
    is_due
        || !is_simple
        || inner.any(|(name, field)| match (value.get(name), &field.default) {
            (Some(value), _) | (None, Some(value)) => may_be_broken(field, value),
            (None, None) => false,
        })
}

/// One walk through a document.
struct Walk {
    kind: Kind,
    faults: Vec<Fault>,
}

impl Walk {
    fn fault(
        &mut self,
        position: Position,
        field: &str,
        message: impl Into<String>,
        hint: impl Into<String>,
    ) {
        self.faults.push((position, Problem::new(field, message, hint)));
    }

    /// Checks a value; `key` is where its key stands: the position of what is missing in it.
    fn value(&mut self, schema: &Json, node: &Node, key: Position, field: &str) {
        if let Some(Json::Array(allowed)) = schema.get("enum") {
            return self.choice(allowed, node, field);
        }
        match (schema["type"].as_str(), &node.value) {
            (Some("object"), Value::Mapping(entries)) => self.mapping(schema, entries, key, field),
            (Some("array"), Value::List(items)) => self.list(schema, items, key, field),
            (Some("string"), Value::Text(text)) => self.text(schema, text, node.position, field),
            (Some("boolean"), Value::Bool(_)) => {}
            (Some("integer"), Value::Number(number)) if number.is_f64() => {
                self.out_of_range(schema, number, node.position, field);
            }
            (Some("integer" | "number"), Value::Number(number)) => {
                self.number(schema, number, node.position, field);
            }
            _ if is_unknown_hyperparameter(field) => self.fault(
                node.position,
                field,
                "no algorithm has a hyperparameter of this name",
                "remove the line",
            ),
            _ => {
                let (message, hint) = words::mistyped(schema, node);
                let hint = seed::value_hint(self.kind, field, node).map_or(hint, str::to_owned);
                self.fault(node.position, field, message, hint);
            }
        }
    }

    fn mapping(&mut self, schema: &Json, entries: &[Entry], key: Position, field: &str) {
        let none = Map::new();
        let properties = schema
            .get("properties")
            .and_then(Json::as_object)
            .unwrap_or(&none);
        let others = schema
            .get("additionalProperties")
            .filter(|others| others.is_object());
        if let Some(most) = schema["maxProperties"].as_u64()
            && entries.len() as u64 > most
            && !field.ends_with(".hyperparameters")
        {
            let (message, hint) = (
                format!("expected {}, got {}", words::expected(schema), entries.len()),
                format!("write at most {most}"),
            );
            self.fault(key, field, message, hint);
        }
        // A misspelt field is one fault, not an unknown and a missing one.
        let mut meant = Vec::new();
        for entry in entries {
            let path = if field.is_empty() {
                entry.key.clone()
            } else {
                format!("{field}.{}", entry.key)
            };
            match properties.get(&entry.key).or(others) {
                Some(schema) => self.value(schema, &entry.value, entry.position, &path),
                None => meant.extend(self.unknown(properties, entries, entry, field)),
            }
        }
        for name in schema["required"]
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(Json::as_str)
        {
            if entries.iter().all(|entry| entry.key != name) && !meant.contains(&name) {
                let hint = words::to_add(name, &properties[name]);
                self.fault(key, field, format!("`{name}` is missing"), hint);
            }
        }
    }

    /// Reports an unknown field and returns the one that was most likely meant.
    fn unknown<'a>(
        &mut self,
        known: &'a Map<String, Json>,
        entries: &[Entry],
        entry: &Entry,
        field: &str,
    ) -> Option<&'a str> {
        let absent = known
            .keys()
            .map(String::as_str)
            .filter(|name| entries.iter().all(|entry| entry.key != *name));
        let near = nearest(&entry.key, absent);
        let hint = match (seed::field_hint(self.kind, field, entry), near) {
            (Some(hint), _) => hint.to_owned(),
            (None, Some(near)) => format!("did you mean `{near}`?"),
            (None, None) => {
                let names: Vec<_> = known.keys().map(String::as_str).collect();
                format!("remove it; the fields here are {}", names.join(", "))
            }
        };
        self.fault(
            entry.position,
            field,
            format!("unknown field `{}`", words::cut(&entry.key)),
            hint,
        );
        near
    }

    fn list(&mut self, schema: &Json, items: &[Node], key: Position, field: &str) {
        let length = items.len() as u64;
        let limit = |name: &str| schema[name].as_u64();
        if limit("minItems").is_some_and(|least| length < least)
            || limit("maxItems").is_some_and(|most| length > most)
        {
            let (message, hint) = words::miscounted(schema, items.len());
            self.fault(key, field, message, hint);
        }
        self.repeated(schema, items, field);
        for (index, item) in items.iter().enumerate() {
            self.value(
                &schema["items"],
                item,
                item.position,
                &format!("{field}[{index}]"),
            );
        }
    }

    /// Reports each item that an earlier one is named like, in the words of the API server.
    fn repeated(&mut self, schema: &Json, items: &[Node], field: &str) {
        let (key, hint) = match schema["x-kubernetes-list-type"].as_str() {
            Some("set") => (None, "remove one of the two"),
            Some("map") => (
                schema["x-kubernetes-list-map-keys"][0].as_str(),
                "rename or remove one of the two",
            ),
            _ => return,
        };
        let mut seen = BTreeSet::new();
        for (index, item) in items.iter().enumerate() {
            let named = match (key, &item.value) {
                (None, Value::Text(text)) => Some((text.as_str(), item.position, json!(text))),
                (Some(key), Value::Mapping(_)) => {
                    item.field(key).and_then(|entry| match &entry.value.value {
                        Value::Text(text) => {
                            Some((text.as_str(), entry.value.position, json!({ key: text })))
                        }
                        _ => None,
                    })
                }
                _ => None,
            };
            if let Some((text, position, value)) = named
                && !seen.insert(text)
            {
                let message = format!("Duplicate value: {value}");
                self.fault(position, &format!("{field}[{index}]"), message, hint);
            }
        }
    }

    fn text(&mut self, schema: &Json, text: &str, position: Position, field: &str) {
        let length = text.chars().count() as u64;
        let fits = schema["minLength"].as_u64().is_none_or(|least| length >= least)
            && schema["maxLength"].as_u64().is_none_or(|most| length <= most)
            && schema["pattern"]
                .as_str()
                .is_none_or(|pattern| wire::matches(pattern, text));
        if !fits {
            let message = format!("{:?} is not {}", words::cut(text), words::expected(schema));
            self.fault(position, field, message, words::to_write(schema, field, text));
        }
    }

    fn number(&mut self, schema: &Json, number: &serde_json::Number, position: Position, field: &str) {
        let value = number.as_f64().unwrap_or(f64::NAN);
        let within = schema["minimum"].as_f64().is_none_or(|least| value >= least)
            && schema["maximum"].as_f64().is_none_or(|most| value <= most);
        if !within {
            self.out_of_range(schema, number, position, field);
        }
    }

    fn out_of_range(&mut self, schema: &Json, number: &serde_json::Number, position: Position, field: &str) {
        let message = format!("{number} is not {}", words::expected(schema));
        self.fault(position, field, message, words::to_write(schema, field, ""));
    }

    fn choice(&mut self, allowed: &[Json], node: &Node, field: &str) {
        let allowed: Vec<&str> = allowed.iter().filter_map(Json::as_str).collect();
        let text = match &node.value {
            Value::Text(text) if allowed.contains(&text.as_str()) => return,
            Value::Text(text) => Some(text),
            _ => None,
        };
        let all = allowed.join(", ");
        let message = format!("{} is not one of {all}", words::describe(node));
        let near = text.and_then(|text| nearest(text, allowed.iter().copied()));
        let hint = match (seed::value_hint(self.kind, field, node), near) {
            (Some(hint), _) => hint.to_owned(),
            (None, Some(near)) => format!("did you mean `{near}`?"),
            (None, None) if allowed.len() == 1 => format!("write `{all}`"),
            (None, None) if matches!(node.value, Value::Bool(false)) && allowed.contains(&"Off") => {
                "write \"Off\", in quotes: without, YAML reads it as false".to_owned()
            }
            (None, None) => "write one of these".to_owned(),
        };
        self.fault(node.position, field, message, hint);
    }
}

/// Says whether a field is a hyperparameter that no algorithm has: then its type is not what is wrong.
fn is_unknown_hyperparameter(field: &str) -> bool {
    let is_known = |name: &str| {
        let mut settings = Algorithm::ALL
            .iter()
            .flat_map(|algorithm| algorithm.hyperparameters());
        settings.any(|setting| setting.name == name)
    };
    field
        .strip_prefix("spec.hyperparameters.")
        .is_some_and(|name| !is_known(name))
}
