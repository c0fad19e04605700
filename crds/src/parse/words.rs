//! How findings speak of values and of what a schema expects.

use std::borrow::Cow;

use serde_json::Value as Json;

use super::document::{Node, Value};

/// The longest text of a manifest that a finding repeats, in characters.
const TEXT_MAX: usize = 60;

/// Cuts a text of a manifest to what a line can carry.
pub(super) fn cut(text: &str) -> String {
    let text = without_user(text);
    match text.char_indices().nth(TEXT_MAX) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.into_owned(),
    }
}

/// Hides who asks in an address: that may be a secret.
fn without_user(text: &str) -> Cow<'_, str> {
    let Some((scheme, rest)) = text.split_once("://") else {
        return text.into();
    };
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    match rest[..end].rfind('@') {
        Some(at) => format!("{scheme}://…{}", &rest[at..]).into(),
        None => text.into(),
    }
}

/// Returns a value as a noun phrase.
pub(super) fn describe(node: &Node) -> String {
    match &node.value {
        Value::Null => "nothing".to_owned(),
        Value::Bool(value) => format!("the boolean {value}"),
        Value::Number(number) => format!("the number {number}"),
        Value::Unrepresentable(text) => format!("{}, which is no number that fits", cut(text)),
        Value::Text(text) => format!("the text {:?}", cut(text)),
        Value::List(_) => "a list".to_owned(),
        Value::Mapping(_) => "a mapping".to_owned(),
    }
}

/// Returns what a schema expects as a noun phrase.
pub(super) fn expected(schema: &Json) -> String {
    match (schema["title"].as_str(), schema["type"].as_str()) {
        (Some(title), _) => title.to_owned(),
        (None, Some("object")) => match schema["properties"].as_object() {
            Some(properties) => {
                let names: Vec<_> = properties.keys().map(String::as_str).collect();
                format!("a mapping with {}", names.join(", "))
            }
            None => "a mapping".to_owned(),
        },
        (None, Some("array")) => "a list".to_owned(),
        (None, Some("boolean")) => "true or false".to_owned(),
        (None, Some("number")) => "a number".to_owned(),
        (None, Some("integer")) => "a whole number".to_owned(),
        (None, _) => "text".to_owned(),
    }
}

/// Returns message and hint for a value of the wrong type.
pub(super) fn mistyped(schema: &Json, node: &Node) -> (String, String) {
    let message = format!("expected {}, got {}", expected(schema), describe(node));
    let hint = match (schema["type"].as_str(), &node.value) {
        (_, Value::Null) => "give it a value, or remove the line".to_owned(),
        (Some("string"), Value::Bool(_) | Value::Number(_) | Value::Unrepresentable(_)) => {
            "put it in quotes if it is meant as text".to_owned()
        }
        (Some("integer" | "number"), Value::Text(text)) if text.trim().parse::<f64>().is_ok() => {
            "remove the quotes".to_owned()
        }
        (Some("integer" | "number"), _) => "write it in digits, without quotes or unit".to_owned(),
        (Some("boolean"), _) => "write true or false, without quotes".to_owned(),
        (Some("object"), _) => "write its fields below it, indented".to_owned(),
        (Some("array"), _) => "write its items below it, each after '- '".to_owned(),
        _ => format!("write {}", expected(schema)),
    };
    (message, hint)
}

/// Returns message and hint for a list of the wrong length.
pub(super) fn miscounted(schema: &Json, length: usize) -> (String, String) {
    let hint = match (schema["minItems"].as_u64(), schema["maxItems"].as_u64()) {
        (Some(least), Some(most)) if least == most => format!("write exactly {most}"),
        (_, Some(most)) => format!("write at most {most}"),
        (least, None) => format!("write at least {}", least.unwrap_or(0)),
    };
    (format!("expected {}, got {length} items", expected(schema)), hint)
}

/// Returns the hint for a field that is missing.
pub(super) fn to_add(name: &str, schema: &Json) -> String {
    let required: Vec<_> = schema["required"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(Json::as_str)
        .collect();
    if required.is_empty() {
        format!(
            "add `{name}:` with {}",
            choices(schema).unwrap_or_else(|| expected(schema))
        )
    } else {
        format!("add `{name}:` with at least {}", required.join(", "))
    }
}

/// Returns the hint for a value outside of what is allowed.
pub(super) fn to_write(schema: &Json, field: &str, text: &str) -> String {
    let last = field.rsplit('.').next().unwrap_or(field);
    match (last, slug(text)) {
        ("name" | "modelName", Some(slug)) => format!("write e.g. `{slug}`"),
        ("modelName", None) => "a model's name is also its folder in the registry".to_owned(),
        ("version", _) if field == "spec.version" => {
            "name it after a time in UTC, e.g. v20261101-120000".to_owned()
        }
        ("version" | "digest", _) => {
            "`aurora model list` shows the versions that exist, with their digests".to_owned()
        }
        ("uri" | "file" | "path", _) if text.contains('\\') => "separate folders by '/'".to_owned(),
        ("sha256", _) => "write the output of `sha256sum FILE`".to_owned(),
        ("weight", _) => "0 sends no request to the canary, 100 sends every one".to_owned(),
        ("allow", _) if is_abbreviated(text) => {
            format!("write the commit's id in full and in quotes: `git rev-parse {text}` prints it")
        }
        ("allow", _) => {
            "write, in quotes, the full id of the commit that was refused, as `git rev-parse` prints it"
                .to_owned()
        }
        _ => format!("write {}", expected(schema)),
    }
}

/// Says whether a text can be the beginning of a commit's id.
fn is_abbreviated(text: &str) -> bool {
    (4..64).contains(&text.len())
        && text
            .bytes()
            .all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
}

/// Returns the name that a text comes nearest to, if there is one.
fn slug(text: &str) -> Option<String> {
    let dashed: String = text
        .chars()
        .map(|c| {
            if c.is_ascii_alphanumeric() {
                c.to_ascii_lowercase()
            } else {
                '-'
            }
        })
        .collect();
    let words: Vec<_> = dashed.split('-').filter(|word| !word.is_empty()).collect();
    let name: planner::names::ObjectName = words.join("-").parse().ok()?;
    Some(name.to_string())
}

fn choices(schema: &Json) -> Option<String> {
    let allowed: Vec<_> = schema["enum"]
        .as_array()?
        .iter()
        .filter_map(Json::as_str)
        .collect();
    Some(match allowed.as_slice() {
        [only] => (*only).to_owned(),
        all => format!("one of {}", all.join(", ")),
    })
}
