//! Bytes → YAML documents as trees in which every value knows its position.

use std::cell::Cell;
use std::fmt;

use planner::finding::{Finding, Location};
use serde::de::{self, Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::{Number, Value as Json};
use serde_yaml::{Spanned, budget};

use super::{DEPTH_MAX, DOCUMENTS_MAX, NODES_MAX, UNREADABLE_MAX, unreadable};

/// A place in a file, both 1-based; a column counts characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Position {
    pub(crate) line: u64,
    pub(crate) column: u64,
}

impl Position {
    pub(crate) fn location(self, path: &str) -> Location {
        Location {
            file: path.to_owned(),
            line: self.line,
            column: self.column,
        }
    }
}

impl From<serde_yaml::Location> for Position {
    fn from(location: serde_yaml::Location) -> Self {
        Self {
            line: location.line(),
            column: location.column(),
        }
    }
}

/// A value and where it stands.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Node {
    pub(super) position: Position,
    pub(super) value: Value,
}

/// A YAML value.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Value {
    Null,
    Bool(bool),
    /// A finite number.
    Number(Number),
    /// `.nan`, `.inf`, or a whole number beyond 64 bits: its text.
    Unrepresentable(String),
    Text(String),
    List(Vec<Node>),
    Mapping(Vec<Entry>),
}

/// A key and its value.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Entry {
    pub(super) position: Position,
    pub(super) key: String,
    pub(super) value: Node,
}

impl Node {
    /// Returns the field of a mapping.
    pub(super) fn field(&self, name: &str) -> Option<&Entry> {
        match &self.value {
            Value::Mapping(entries) => entries.iter().find(|entry| entry.key == name),
            _ => None,
        }
    }

    /// Returns the text of a field of a mapping.
    pub(super) fn text(&self, name: &str) -> Option<&str> {
        match &self.field(name)?.value.value {
            Value::Text(text) => Some(text),
            _ => None,
        }
    }

    /// Returns where a field stands, given its path (`spec.dataset.features[0].name`): a scalar's value, the key of a
    /// list or mapping, or the nearest ancestor that is there.
    pub(super) fn locate(&self, path: &str) -> Position {
        let mut at = self.position;
        let mut node = self;
        // Invariant: a hyperparameter's name may hold any character, but only as the last part of a path.
        let mut rest = path;
        while !rest.is_empty() {
            if let Some((index, after)) = rest.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
                let Value::List(items) = &node.value else {
                    return at;
                };
                let Some(item) = index.parse::<usize>().ok().and_then(|index| items.get(index)) else {
                    return at;
                };
                (node, at) = (item, item.position);
                rest = after.strip_prefix('.').unwrap_or(after);
                continue;
            }
            let Value::Mapping(entries) = &node.value else {
                return at;
            };
            let Some(entry) = entries
                .iter()
                .filter(|entry| is_part(rest, &entry.key))
                .max_by_key(|entry| entry.key.len())
            else {
                return at;
            };
            node = &entry.value;
            at = match node.value {
                Value::List(_) | Value::Mapping(_) => entry.position,
                _ => node.position,
            };
            let after = &rest[entry.key.len()..];
            rest = after.strip_prefix('.').unwrap_or(after);
        }
        at
    }

    /// Returns the value as JSON; what JSON cannot hold is text there.
    pub(super) fn to_json(&self) -> Json {
        match &self.value {
            Value::Null => Json::Null,
            Value::Bool(value) => Json::Bool(*value),
            Value::Number(number) => Json::Number(number.clone()),
            Value::Unrepresentable(text) | Value::Text(text) => Json::String(text.clone()),
            Value::List(items) => items.iter().map(Self::to_json).collect(),
            Value::Mapping(entries) => entries
                .iter()
                .map(|entry| (entry.key.clone(), entry.value.to_json()))
                .collect::<serde_json::Map<_, _>>()
                .into(),
        }
    }
}

fn is_part(path: &str, key: &str) -> bool {
    path.strip_prefix(key)
        .is_some_and(|after| after.is_empty() || after.starts_with(['.', '[']))
}

thread_local! {
    /// How many values were read of the file that is being parsed, those of documents that were refused in the end too.
    static VALUES: Cell<usize> = const { Cell::new(0) };
}

/// Counts a value that is read; one too many is an error.
fn count<E: de::Error>() -> Result<(), E> {
    let values = VALUES.get() + 1;
    VALUES.set(values);
    if values > NODES_MAX {
        return Err(E::custom("too many values"));
    }
    Ok(())
}

/// What was read of a file.
pub(super) struct Read {
    /// Empty documents are left out; each that is no YAML is a finding; the last may be a finding that speaks for the
    /// rest of the file.
    pub(super) documents: Vec<Result<Node, Vec<Finding>>>,
    /// How many values it took to read them.
    pub(super) values: usize,
}

/// Reads the documents of a file.
pub(super) fn read(path: &str, bytes: &[u8]) -> Read {
    let text = match std::str::from_utf8(bytes) {
        Ok(text) => text,
        Err(error) => {
            let finding = unreadable::not_utf8(path, bytes, error.valid_up_to());
            return Read {
                documents: vec![Err(vec![finding])],
                values: 0,
            };
        }
    };
    let mut read = match read_whole(text) {
        Some(documents) => gather(path, text, documents.into_iter().map(Ok)),
        None => gather(path, text, read_one_by_one(&mut &*bytes)),
    };
    for document in read.documents.iter_mut().flatten() {
        take_as_written(document, text);
    }
    read
}

/// The fields that hold a commit's id: some are numbers to YAML (`1e10`, `12345678`) and mean their digits.
const IDS: [&[&str]; 1] = [&["spec", "removal", "allow"]];

/// Gives the fields that hold an id the text that stands in the file.
fn take_as_written(document: &mut Node, text: &str) {
    for path in IDS {
        let mut node = Some(&mut *document);
        for name in path {
            node = node.and_then(|node| {
                match &mut node.value {
                    Value::Mapping(entries) => entries.iter_mut().find(|entry| entry.key == *name),
                    _ => None,
                }
                .map(|entry| &mut entry.value)
            });
        }
        if let Some(node) = node
            && let Value::Number(_) | Value::Unrepresentable(_) = node.value
            && let Some(written) = written(node.position, text)
        {
            node.value = Value::Text(written);
        }
    }
}

/// Returns the plain scalar that stands at a place.
fn written(position: Position, text: &str) -> Option<String> {
    let line = usize::try_from(position.line.checked_sub(1)?).ok()?;
    let column = usize::try_from(position.column.checked_sub(1)?).ok()?;
    let rest = text.lines().nth(line)?.chars().skip(column);
    let written: String = rest
        .take_while(|c| c.is_ascii_alphanumeric() || "+-._".contains(*c))
        .collect();
    (!written.is_empty()).then_some(written)
}

/// Reads all documents at once, faster than one by one; `None` where something is wrong with any of them.
pub(super) fn read_whole(text: &str) -> Option<Vec<Node>> {
    if text.starts_with('\u{feff}') {
        return None;
    }
    VALUES.set(0);
    serde_yaml::from_multiple_with_options(text, options()).ok()
}

/// Reads documents as long as they can be told apart, whatever is wrong with single ones.
pub(super) fn read_one_by_one<'a>(
    bytes: &'a mut &[u8],
) -> impl Iterator<Item = Result<Node, serde_yaml::Error>> + 'a {
    VALUES.set(0);
    serde_yaml::read_with_options::<_, Node>(bytes, options())
}

fn gather(path: &str, text: &str, read: impl Iterator<Item = Result<Node, serde_yaml::Error>>) -> Read {
    let mut documents = Vec::new();
    let mut unreadable = 0;
    for document in read {
        let position = match &document {
            Ok(document) => document.position,
            Err(error) => unreadable::position(error),
        };
        unreadable += usize::from(document.is_err());
        let passed = if VALUES.get() > NODES_MAX {
            Some(("values", NODES_MAX))
        } else if documents.len() >= DOCUMENTS_MAX {
            Some(("documents", DOCUMENTS_MAX))
        } else if unreadable > UNREADABLE_MAX {
            Some(("documents that are no YAML", UNREADABLE_MAX))
        } else {
            None
        };
        if let Some((what, most)) = passed {
            documents.push(Err(vec![unreadable::too_many(path, position, what, most)]));
            break;
        }
        documents.push(document.map_err(|error| vec![unreadable::no_yaml(path, &error)]));
    }
    let mut values = VALUES.get();
    if has_alias(text) {
        // What stands in keys was not counted: as far as its aliases may have been followed.
        values += unreadable * NODES_MAX;
    }
    Read { documents, values }
}

/// Says whether a `*` stands before a name, as it does not in a schedule or a product.
fn has_alias(text: &str) -> bool {
    let bytes = text.as_bytes();
    bytes
        .windows(2)
        .any(|two| two[0] == b'*' && !b" \t\r\n/,*'\"".contains(&two[1]))
}

fn options() -> serde_yaml::Options {
    let budget = budget! {
        max_reader_input_bytes: None,
        max_depth: DEPTH_MAX,
        flow_nesting_limit: DEPTH_MAX,
        max_nodes: NODES_MAX,
        max_events: 4 * NODES_MAX,
        max_aliases: 1_000,
        max_anchors: 1_000,
        max_recorded_anchor_events: 4 * NODES_MAX,
        max_recorded_anchor_bytes: 4 * 1024 * 1024,
        max_merge_keys: 1_000,
        max_total_scalar_bytes: 4 * 1024 * 1024,
        max_inclusion_depth: 0,
        enforce_alias_anchor_ratio: false,
    };
    serde_yaml::options! {
        budget: budget,
        duplicate_keys: serde_yaml::options::DuplicateKeyPolicy::Error,
        alias_limits: serde_yaml::alias_limits! {
            max_total_replayed_events: 2 * NODES_MAX,
            max_replay_stack_depth: DEPTH_MAX,
            max_alias_expansions_per_anchor: 1_000,
        },
        // They get a finding of their own, with the field that cannot hold them.
        non_finite_float_policy: serde_yaml::NonFiniteFloatPolicy::PassThrough,
        reject_unsupported_tags: true,
        with_snippet: false,
    }
}

impl<'de> Deserialize<'de> for Node {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        count()?;
        let spanned = Spanned::<Value>::deserialize(deserializer)?;
        Ok(Self {
            position: spanned.referenced.into(),
            value: spanned.value,
        })
    }
}

impl<'de> Deserialize<'de> for Value {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ValueVisitor)
    }
}

struct ValueVisitor;

impl<'de> Visitor<'de> for ValueVisitor {
    type Value = Value;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a YAML value")
    }

    fn visit_unit<E: de::Error>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_none<E: de::Error>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        Value::deserialize(deserializer)
    }

    fn visit_newtype_struct<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        Value::deserialize(deserializer)
    }

    fn visit_bool<E: de::Error>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E: de::Error>(self, value: i64) -> Result<Value, E> {
        Ok(Value::Number(value.into()))
    }

    fn visit_u64<E: de::Error>(self, value: u64) -> Result<Value, E> {
        Ok(Value::Number(value.into()))
    }

    fn visit_i128<E: de::Error>(self, value: i128) -> Result<Value, E> {
        Ok(Value::Unrepresentable(value.to_string()))
    }

    fn visit_u128<E: de::Error>(self, value: u128) -> Result<Value, E> {
        Ok(Value::Unrepresentable(value.to_string()))
    }

    fn visit_f64<E: de::Error>(self, value: f64) -> Result<Value, E> {
        Ok(Number::from_f64(value).map_or_else(|| Value::Unrepresentable(value.to_string()), Value::Number))
    }

    fn visit_str<E: de::Error>(self, value: &str) -> Result<Value, E> {
        Ok(Value::Text(value.to_owned()))
    }

    fn visit_string<E: de::Error>(self, value: String) -> Result<Value, E> {
        Ok(Value::Text(value))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element()? {
            list.push(item);
        }
        Ok(Value::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<Value, A::Error> {
        let mut mapping = Vec::new();
        while let Some(key) = fields.next_key::<Spanned<String>>()? {
            count()?;
            mapping.push(Entry {
                position: key.referenced.into(),
                key: key.value,
                value: fields.next_value()?,
            });
        }
        Ok(Value::Mapping(mapping))
    }
}
