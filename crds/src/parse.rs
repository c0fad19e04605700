//! The files of a repository → the planner's types, and findings that say where and what to do.
//!
//! ```text
//! bytes ──document──> positioned tree ──check──> against the schema ──rules──> CEL ──convert──> planner's types
//! ```
//!
//! The schema is the one that an API server gets. A document that fails a stage is not looked at by the next one; the
//! other documents of the file are. Whatever the bytes are, the answer is findings: never a panic, never a long wait.

mod check;
mod document;
mod seed;
#[cfg(test)]
mod tests;
mod unreadable;
mod words;

use std::cell::Cell;

use planner::deployment::DeclaredDeployment;
use planner::environment::Environment;
use planner::finding::{Finding, Location, Reason};
use planner::names::{ModelName, ObjectName};
use planner::training::Training;
use serde::de::DeserializeOwned;
use serde_json::Value as Json;

use crate::convert::{self, KnowsZone, Problem};
use crate::{MLDeployment, MLEnvironment, MLTrainingJob};
use document::Node;
pub(crate) use document::Position;

pub use unreadable::too_large;

/// The largest file, in bytes.
pub const FILE_BYTES_MAX: u64 = 1024 * 1024;

/// The most values (scalars, lists, mappings) in a file, aliases counted as what they stand for.
pub const NODES_MAX: usize = 20_000;

/// The most documents in a file.
pub const DOCUMENTS_MAX: usize = 1_000;

/// The most documents of a file that are no YAML; what follows them is not read.
pub const UNREADABLE_MAX: usize = 20;

/// The most findings that a file gets; the last one then says how many there are besides.
pub const FINDINGS_MAX: usize = 50;

/// The longest word, in characters, of which it is asked what was meant by it.
const WORD_LENGTH_MAX: usize = 64;

/// The deepest nesting of lists and mappings.
pub const DEPTH_MAX: usize = 32;

/// One document that is in order.
#[derive(Debug, Clone, PartialEq)]
pub struct Parsed {
    /// What it says.
    pub manifest: Manifest,
    /// The start of the document.
    pub location: Location,
    /// Canonical JSON of the document as written: equal if and only if the parsed documents are equal.
    pub canonical: Vec<u8>,
}

/// What was read of a file.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct ParsedFile {
    /// The documents that are in order, in the file's order.
    pub documents: Vec<Parsed>,
    /// What is wrong with the others.
    pub findings: Vec<Finding>,
    /// How many values (scalars, lists, mappings) it took to read the file, aliases as what they stand for: what all files
    /// of a commit may take together is for the caller to bound.
    pub values: usize,
}

/// What a document says.
#[derive(Debug, Clone, PartialEq)]
pub enum Manifest {
    /// An MLEnvironment.
    Environment(Box<Environment>),
    /// An MLDeployment.
    Deployment(ObjectName, Box<DeclaredDeployment>),
    /// An MLTrainingJob.
    Training(ObjectName, Box<Training>),
}

impl Manifest {
    /// Says whether it is the MLDeployment of a model.
    pub(crate) fn serves(&self, model: &ModelName) -> bool {
        matches!(self, Self::Deployment(_, deployment) if deployment.model == *model)
    }
}

thread_local! {
    /// How often it was asked what is meant, in the file that is being parsed: findings beyond the first ones are not
    /// shown, and their hints would cost more than all else.
    static ASKED: Cell<usize> = const { Cell::new(0) };
}

/// Parses a file of manifests; `path` is from the repository's root. Time zones are those that are compiled in.
pub fn parse_file(path: &str, bytes: &[u8]) -> ParsedFile {
    parse_file_with(path, bytes, &|_zone| false)
}

/// As [`parse_file`], with further time zones that somebody `knows`.
pub fn parse_file_with(path: &str, bytes: &[u8], knows: KnowsZone<'_>) -> ParsedFile {
    let size = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
    if size > FILE_BYTES_MAX {
        return ParsedFile {
            findings: vec![too_large(path, size)],
            ..ParsedFile::default()
        };
    }
    ASKED.set(0);
    let read = document::read(path, bytes);
    let mut documents = Vec::new();
    let mut findings = Vec::new();
    for document in read.documents {
        match document.and_then(|root| parse_document(path, &root, knows)) {
            Ok(document) => documents.push(document),
            Err(mut more) => {
                more.sort_by(|a, b| a.location.cmp(&b.location));
                findings.extend(more);
            }
        }
    }
    if let Some(besides) = findings
        .len()
        .checked_sub(FINDINGS_MAX)
        .filter(|besides| *besides > 0)
    {
        findings.truncate(FINDINGS_MAX);
        findings.extend(findings.last().map(|last| unreadable::and_more(last, besides)));
    }
    ParsedFile {
        documents,
        findings,
        values: read.values,
    }
}

/// Returns the candidate that a person most likely meant by `word`, if one is near enough.
pub fn nearest<'a>(word: &str, candidates: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let length = word.chars().count();
    let asked = ASKED.with(|asked| asked.replace(asked.get().saturating_add(1)));
    if length > WORD_LENGTH_MAX || asked >= FINDINGS_MAX {
        return None;
    }
    let near = length.max(3) / 3;
    let word = word.to_lowercase();
    candidates
        // The distance is at least what the lengths differ by; there may be hundreds of candidates, and as many words.
        .filter(|candidate| candidate.chars().count().abs_diff(length) <= near)
        .map(|candidate| {
            let distance = strsim::osa_distance(&word, &candidate.to_lowercase());
            (distance, candidate)
        })
        .filter(|(distance, _)| *distance <= near)
        .min()
        .map(|(_, candidate)| candidate)
}

/// Finds a field of the document that starts at `document`, e.g. `spec.dataset.target.column`, or the nearest that is
/// there; the document's own place where the file is another one by now.
pub fn locate(bytes: &[u8], document: &Location, field: &str) -> Location {
    let documents = document::read(&document.file, bytes)
        .documents
        .into_iter()
        .flatten();
    documents
        .filter(|root| root.position.location(&document.file) == *document)
        .map(|root| root.locate(field).location(&document.file))
        .next()
        .unwrap_or_else(|| document.clone())
}

/// Returns what the documents of a file say, as JSON; nothing where one is no YAML.
pub(crate) fn values(bytes: &[u8]) -> Option<Vec<Json>> {
    let documents = document::read("", bytes).documents.into_iter();
    documents.map(|root| Some(root.ok()?.to_json())).collect()
}

fn parse_document(path: &str, root: &Node, knows: KnowsZone<'_>) -> Result<Parsed, Vec<Finding>> {
    let subject = check::subject(root);
    let finding = |position: Position, problem: Problem| Finding {
        location: Some(position.location(path)),
        reason: Reason::InvalidManifest,
        subject: subject.clone().into(),
        message: if problem.field.is_empty() {
            problem.message
        } else {
            format!("{}: {}", problem.field, problem.message)
        },
        hint: problem.hint,
    };
    let located = |problem: Problem| finding(root.locate(&problem.field), problem);
    let kind = check::kind(root).map_err(|(position, problem)| vec![finding(position, problem)])?;
    let in_order = |faults: Vec<check::Fault>| match faults {
        none if none.is_empty() => Ok(()),
        faults => Err(faults
            .into_iter()
            .map(|(position, problem)| finding(position, problem))
            .collect::<Vec<_>>()),
    };
    in_order(check::against_schema(kind, root))?;
    let json = root.to_json();
    in_order(check::against_rules(kind, root, &json))?;
    let manifest = match kind {
        check::Kind::Environment => {
            let object: MLEnvironment = typed(&json).map_err(|problem| vec![located(problem)])?;
            let environment = convert::environment(&object).and_then(|environment| {
                check::folder(path, &environment.name).map_err(|problem| vec![problem])?;
                Ok(environment)
            });
            environment.map(Box::new).map(Manifest::Environment)
        }
        check::Kind::Deployment => {
            let object: MLDeployment = typed(&json).map_err(|problem| vec![located(problem)])?;
            convert::object_name(&object.metadata)
                .map(|name| Manifest::Deployment(name, Box::new(convert::deployment(&object))))
                .map_err(|problem| vec![problem])
        }
        check::Kind::Training => {
            let object: MLTrainingJob = typed(&json).map_err(|problem| vec![located(problem)])?;
            convert::object_name(&object.metadata)
                .map_err(|problem| vec![problem])
                .and_then(|name| {
                    Ok(Manifest::Training(
                        name,
                        Box::new(convert::training(&object, knows)?),
                    ))
                })
        }
    };
    let mut canonical = crate::canonical::to_vec(&json);
    canonical.shrink_to_fit();
    Ok(Parsed {
        manifest: manifest.map_err(|problems| problems.into_iter().map(located).collect::<Vec<_>>())?,
        location: root.position.location(path),
        canonical,
    })
}

/// Returns a document typed. What the schema's patterns let through, the types refuse: a version on 30 February.
fn typed<K: DeserializeOwned>(json: &Json) -> Result<K, Problem> {
    // Keeping the path costs more than the reading: it is asked for when there is a fault to point at.
    K::deserialize(json)
        .or_else(|_unlocated| serde_path_to_error::deserialize(json))
        .map_err(|error| {
            let field = error.path().to_string();
            Problem::new(
                field,
                error.into_inner().to_string(),
                "write a value of this form that exists",
            )
        })
}
