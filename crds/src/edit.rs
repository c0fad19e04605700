//! Changing a manifest as a person would: the scalars or the one entry that is meant, and no other byte.
//!
//! ```text
//! text ──tree──> nodes with their bytes ──splice──> text ──read again──> equal but for what was meant, or refused
//! ```
//!
//! Nothing is written anew but what changes: comments, order, quotes, blanks and line breaks stay. What cannot be changed
//! so (an alias, an anchor, what is merged, a block of text) is refused with its place.

mod deployment;
mod splice;
#[cfg(test)]
mod tests;
mod tree;

use std::fmt;

use planner::finding::Location;
use planner::names::ModelName;
use serde_json::{Map, Value as Json};

use crate::parse::{self, Position};
pub use deployment::{pin_canary, pin_stable, roll_back, withdraw_canary};
use splice::Obstacle;
use tree::Node;

/// A value without anything below it. Its text needs no escape in quotes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Scalar {
    /// A name, a version or a digest.
    Text(String),
    /// A whole number.
    Whole(u64),
}

/// One change of a document; a path leads from its root through fields.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Edit {
    /// A field says this; where it is not there yet it is written behind the first of `after` that is.
    Set {
        /// The field.
        path: &'static [&'static str],
        /// What it says.
        value: Scalar,
        /// Its neighbours.
        after: &'static [&'static str],
    },
    /// There is one more mapping, behind the first of `after` that is there and in its style.
    Insert {
        /// The field, which is not there yet.
        path: &'static [&'static str],
        /// What it holds.
        fields: Vec<(&'static str, Scalar)>,
        /// Its neighbours, which are mappings.
        after: &'static [&'static str],
    },
    /// A list has one more entry; where there is no list it is written behind the first of `after` that is there.
    Add {
        /// The list.
        path: &'static [&'static str],
        /// The entry.
        value: Scalar,
        /// Its neighbours.
        after: &'static [&'static str],
    },
    /// A field is gone.
    Remove {
        /// The field; it may be missing.
        path: &'static [&'static str],
    },
}

/// Why a manifest cannot be edited; a person must act.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EditError {
    /// No document of the file declares the model, or several do.
    #[error(
        "{file}: {count} MLDeployments of {model} are in order here, and one is needed: run aurora validate"
    )]
    Documents {
        /// The file.
        file: String,
        /// The model.
        model: ModelName,
        /// How many there are.
        count: usize,
    },
    /// It cannot be changed in its place without changing more.
    #[error("{location}: cannot be edited in its place: {why}; change it by hand")]
    Refused {
        /// Where.
        location: Location,
        /// Why.
        why: String,
    },
}

impl Scalar {
    /// Returns it as it is written where no quotes stand.
    fn plain(&self) -> String {
        match self {
            Self::Text(text) if !is_plain(text) => format!("\"{text}\""),
            _ => self.to_string(),
        }
    }

    /// Returns it as it is written where nothing stood.
    fn fresh(&self) -> String {
        match self {
            Self::Text(text) if text.contains(':') => format!("\"{text}\""),
            _ => self.plain(),
        }
    }

    fn json(&self) -> Json {
        match self {
            Self::Text(text) => text.as_str().into(),
            Self::Whole(number) => (*number).into(),
        }
    }
}

impl fmt::Display for Scalar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(text) => f.write_str(text),
            Self::Whole(number) => write!(f, "{number}"),
        }
    }
}

/// Says whether a text without quotes is that text to every reader of YAML, 1.1 or 1.2, in blocks and in flow.
fn is_plain(text: &str) -> bool {
    const WORDS: [&str; 9] = ["y", "n", "yes", "no", "on", "off", "true", "false", "null"];
    let is_inner = |c: char| c.is_ascii_alphanumeric() || "-._".contains(c);
    let starts = text.starts_with(|c: char| c.is_ascii_alphabetic());
    let colons = text
        .split(':')
        .all(|part| !part.is_empty() && part.chars().all(is_inner));
    starts && colons && !WORDS.contains(&text.to_ascii_lowercase().as_str())
}

/// Returns a file in which the MLDeployment of a model is changed; `path` is the file's own, for what is said of it.
///
/// # Errors
///
/// The file has not exactly one MLDeployment of the model that is in order, or an edit would change more than it means.
pub fn edit(path: &str, text: &str, model: &ModelName, edits: &[Edit]) -> Result<String, EditError> {
    let refused = |at: usize, why: String| EditError::Refused {
        location: position(text, at).location(path),
        why,
    };
    let documents = parse::parse_file(path, text.as_bytes()).documents;
    let declare = documents
        .iter()
        .filter(|document| document.manifest.serves(model));
    let count = declare.count();
    let ambiguous = EditError::Documents {
        file: path.to_owned(),
        model: model.clone(),
        count,
    };
    if count != 1 {
        return Err(ambiguous);
    }
    if let Some(at) = lone_return(text) {
        return Err(refused(
            at,
            "this line break is no line break to most programs".to_owned(),
        ));
    }
    let nodes = tree::read(text).map_err(|error| refused(0, error.to_string()))?;
    let Some(document) = nodes.iter().find(|node| is_of(node, model)) else {
        return Err(refused(0, "kind or model stand behind an alias".to_owned()));
    };
    let splices = edits.iter().map(|edit| splice::splice(text, document, edit));
    let splices: Result<Vec<_>, Obstacle> = splices.filter_map(Result::transpose).collect();
    let mut splices = splices.map_err(|Obstacle { at, why }| refused(at, why))?;
    // Stable: what is written in one place keeps its order.
    splices.sort_by_key(|splice| (splice.at.start, splice.at.end));
    let mut edited = String::with_capacity(text.len() + 128);
    let mut done = 0;
    for splice in splices {
        let Some(kept) = text.get(done..splice.at.start) else {
            return Err(refused(splice.at.start, "two changes meet here".to_owned()));
        };
        edited.push_str(kept);
        edited.push_str(&splice.with);
        done = splice.at.end;
    }
    edited.push_str(&text[done..]);
    let Some(meant) = means(text, model, edits) else {
        return Err(refused(0, "another document of the file is no YAML".to_owned()));
    };
    if parse::values(edited.as_bytes()) != Some(meant) {
        let why = "something else would change with it: is it used elsewhere by an alias?";
        return Err(refused(document.span.start, why.to_owned()));
    }
    Ok(edited)
}

/// Returns the byte of a carriage return that is not followed by a newline.
fn lone_return(text: &str) -> Option<usize> {
    let bytes = text.as_bytes();
    let is_lone = |at: &usize| bytes[*at] == b'\r' && bytes.get(at + 1) != Some(&b'\n');
    (0..bytes.len()).find(is_lone)
}

fn is_of(node: &Node, model: &ModelName) -> bool {
    let says = |path: &[&str], text: &str| node.at(path).and_then(Node::text) == Some(text);
    says(&["kind"], "MLDeployment") && says(&["spec", "modelName"], model.as_str())
}

/// Returns what all documents of a file are to say once a model's is edited.
fn means(text: &str, model: &ModelName, edits: &[Edit]) -> Option<Vec<Json>> {
    let mut documents = parse::values(text.as_bytes())?;
    let document = documents.iter_mut().find(|document| {
        document["kind"] == "MLDeployment" && document["spec"]["modelName"] == model.as_str()
    })?;
    for edit in edits {
        match edit {
            Edit::Set { path, value, .. } => {
                let (fields, name) = fields(document, path)?;
                fields.insert(name.to_owned(), value.json());
            }
            Edit::Insert {
                path, fields: new, ..
            } => {
                let (fields, name) = fields(document, path)?;
                let new = new
                    .iter()
                    .map(|(field, value)| ((*field).to_owned(), value.json()));
                fields.insert(name.to_owned(), Json::Object(new.collect()));
            }
            Edit::Add { path, value, .. } => {
                let (fields, name) = fields(document, path)?;
                let list = fields.entry(name).or_insert_with(|| Json::Array(Vec::new()));
                list.as_array_mut()?.push(value.json());
            }
            Edit::Remove { path } => {
                let (fields, name) = fields(document, path)?;
                fields.remove(name);
            }
        }
    }
    Some(documents)
}

fn fields<'a, 'b>(document: &'a mut Json, path: &[&'b str]) -> Option<(&'a mut Map<String, Json>, &'b str)> {
    let (name, above) = path.split_last()?;
    let mut node = document;
    for part in above {
        node = node.get_mut(part)?;
    }
    Some((node.as_object_mut()?, name))
}

fn position(text: &str, at: usize) -> Position {
    let before = &text[..at];
    let line = before.matches('\n').count() + 1;
    let column = before.rsplit('\n').next().unwrap_or(before).chars().count() + 1;
    let counted = |n: usize| u64::try_from(n).unwrap_or(u64::MAX);
    Position {
        line: counted(line),
        column: counted(column),
    }
}
