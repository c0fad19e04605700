//! Rows from wherever a manifest says, as one [`Table`]: hashed, typed and checked cell by cell while they are read.
//!
//! ```text
//! builtin ─┐
//! csv ─────┼─> Builder (one row at a time) ──> Table
//! synthetic┘
//! ```
//!
//! Only the columns that someone needs are kept. A cell that is not what its column needs is an error that says where.

mod builder;
mod builtin;
mod csv;
mod synthetic;

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use planner::names::Digest;
use planner::training::{DataSource, Target};
use registry::files::Opened;
use registry::run::Sighting;
use registry::{Store, StoreError};

use crate::features::{FeatureError, Layout};
use crate::holdout::RowHash;

pub(crate) use builder::{Cell, is_missing};
pub(crate) use csv::{each_row, header};

/// The most numbers that a table keeps: 512 MiB of doubles.
const NUMBERS_MAX: usize = 64 << 20;
/// The most bytes of texts that a table keeps, each with what it takes to keep it.
const TEXT_BYTES_MAX: usize = 512 << 20;
/// The most columns.
const COLUMNS_MAX: usize = 10_000;
/// The longest name of a column, in bytes.
const NAME_MAX: usize = 1 << 10;
/// The longest label, in bytes.
const LABEL_MAX: usize = 1 << 10;
/// The most classes.
pub(crate) const CLASSES_MAX: usize = 1_000;

/// The rows of a dataset, as far as they are needed.
#[derive(Debug)]
pub(crate) struct Table {
    /// What a manifest calls it.
    pub(crate) uri: String,
    /// All columns, in the order of the data.
    pub(crate) names: Vec<String>,
    /// The kept raw columns of numbers; each has one finite number per row, or NaN where one may be missing.
    pub(crate) columns: BTreeMap<String, Vec<f64>>,
    /// The raw columns that are kept as they are written.
    pub(crate) texts: BTreeMap<String, Vec<Box<str>>>,
    /// The target's raw values.
    pub(crate) target: RawTarget,
    /// Where each row stands: its line in a file, or its number from 1.
    pub(crate) lines: Vec<u64>,
    /// The keyed hash of each row.
    pub(crate) hashes: Vec<RowHash>,
    /// Of the file's bytes; of the canonical rows where there is no file.
    pub(crate) digest: Digest,
    /// What the file was before it was read, where it lies outside the store.
    pub(crate) sighting: Option<Sighting>,
}

/// The raw values of the target's column.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum RawTarget {
    /// What a regression predicts, before `divideBy`.
    Numbers(Vec<f64>),
    /// What a classifier predicts.
    Labels(Vec<Label>),
}

/// One class label, as the data has it. Numbers sort before words.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Label {
    /// A whole number, written as we would write it.
    Number(i64),
    /// Any other text, `01` and `1E3` too.
    Word(std::rc::Rc<str>),
}

/// Where a cell stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Place {
    /// The file, as a manifest names it.
    pub(crate) uri: String,
    /// Its line, from 1.
    pub(crate) line: u64,
    /// Its column, from 1, and that column's name.
    pub(crate) column: Option<(usize, String)>,
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}, line {}", self.uri, self.line)?;
        match &self.column {
            Some((number, name)) if name.is_empty() => write!(f, ", column {number}"),
            Some((number, name)) => write!(f, ", column {number} ({})", shown(name)),
            None => Ok(()),
        }
    }
}

/// Cuts text of a dataset to what fits a line, and takes out what would steer a terminal.
pub(crate) fn shown(text: &str) -> String {
    // What is escaped but for quotes and backslashes is nothing that is seen: controls, marks of direction, and such.
    let is_seen = |c: char| matches!(c, '"' | '\'' | '\\') || c.escape_debug().len() == 1;
    let visible = |c: char| if is_seen(c) { c } else { '\u{fffd}' };
    let mut cut: String = text.chars().take(40).map(visible).collect();
    if text.chars().nth(40).is_some() {
        cut.push('…');
    }
    cut
}

/// Says why rows could not be read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ReadError {
    /// A cell, row or header is wrong.
    #[error("{place}: {problem}")]
    At { place: Place, problem: String },
    /// The dataset as a whole is wrong.
    #[error("{uri}: {problem}")]
    Dataset { uri: String, problem: String },
    /// The header does not have what the manifest asks for.
    #[error("{uri}: {error}")]
    Layout { uri: String, error: FeatureError },
    /// The file is not the one that the manifest means.
    #[error(
        "{uri}: the file's sha256 is not the one that the manifest gives: the data changed after it was named, or another file was meant"
    )]
    OtherDigest { uri: String },
    /// The copy that was staged for the run is not the file of the commit.
    #[error("the staged copy of {uri} is missing or damaged: it is staged again before the next attempt")]
    Damaged { uri: String },
    /// The registry refused to say what it has staged.
    #[error(transparent)]
    Staged(StoreError),
    /// The operating system refused.
    #[error("{uri} ({}): {error}", path.display())]
    Io {
        uri: String,
        path: std::path::PathBuf,
        error: std::io::Error,
    },
}

/// One dataset to be read.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Request<'a> {
    /// Where the rows come from.
    pub(crate) source: &'a DataSource,
    /// The data file; absent for `builtin:` and `synthetic:`.
    pub(crate) path: Option<&'a Path>,
    /// The folders below which a file outside the repository may lie.
    pub(crate) roots: &'a [PathBuf],
    /// The digest that the file must have.
    pub(crate) sha256: Option<&'a Digest>,
    /// Where files of the commit are staged.
    pub(crate) store: Option<&'a Store>,
    /// The seed of synthetic rows.
    pub(crate) seed: u64,
    /// The key of the row hashes.
    pub(crate) hash_key: u64,
}

/// Says which columns of a header are needed; gets the dataset's own target, where it has one.
type Resolve<'a> = dyn Fn(&[String], Option<Target>) -> Result<Layout, FeatureError> + 'a;

/// What is made of rows as they come.
pub(crate) trait Sink {
    /// What is there at their end.
    type Made;

    /// Adds a row of as many cells as there are columns, which stands in this line.
    fn push(&mut self, line: u64, cells: &[Cell<'_>]) -> Result<(), ReadError>;

    /// Ends the rows; `file` is the digest of the file that they came from.
    fn finish(self, file: Option<Digest>) -> Self::Made;
}

/// Reads a dataset; `layout` is asked once the header is known.
pub(crate) fn read(request: Request<'_>, layout: &Resolve<'_>) -> Result<Table, ReadError> {
    let uri = uri(request.source);
    let open = |names: Vec<String>, own: Option<&str>| {
        let has_file = own.is_none();
        let own = own.map(|column| Target {
            column: column.to_owned(),
            divide_by: None,
            unit: None,
        });
        let layout = layout(&names, own).map_err(|error| ReadError::Layout {
            uri: uri.clone(),
            error,
        })?;
        Ok(builder::Builder::new(
            uri.clone(),
            names,
            &layout,
            request.hash_key,
            has_file,
            // Who names a file outside the repository has perhaps never seen it.
            !matches!(request.source, DataSource::Absolute(_)),
        ))
    };
    let (table, sighting) = read_into(request, open)?;
    if table.lines.is_empty() {
        let problem = "it has no rows".to_owned();
        return Err(ReadError::Dataset { uri, problem });
    }
    Ok(Table { sighting, ..table })
}

/// Reads a dataset into what `open` makes of its columns; it is given the dataset's own target, where there is no file. Returns
/// what a file outside the store was before it was read, too.
pub(crate) fn read_into<S: Sink>(
    request: Request<'_>,
    open: impl Fn(Vec<String>, Option<&str>) -> Result<S, ReadError>,
) -> Result<(S::Made, Option<Sighting>), ReadError> {
    let uri = uri(request.source);
    match (request.source, request.path) {
        (DataSource::Builtin(name), _) => Ok((builtin::read(name, &uri, open)?, None)),
        (DataSource::Synthetic(name), _) => Ok((synthetic::read(name, &uri, request.seed, open)?, None)),
        (DataSource::Committed(_) | DataSource::Absolute(_), Some(path)) => {
            read_file(path, request, &uri, open)
        }
        (DataSource::Committed(_) | DataSource::Absolute(_), None) => {
            let problem = "the run names no file for it".to_owned();
            Err(ReadError::Dataset { uri, problem })
        }
    }
}

/// Opens a data file, through no link that leads anywhere else.
fn open_file(request: Request<'_>, path: &Path, uri: &str) -> Result<(Opened, Option<Sighting>), ReadError> {
    let opened = match request.source {
        DataSource::Absolute(_) => {
            Sighting::open(request.roots, path).map(|(opened, sighting)| Some((opened, Some(sighting))))
        }
        _ => registry::files::open_file(path).map(|opened| Some((opened?, None))),
    };
    let dataset = |problem: &str| ReadError::Dataset {
        uri: uri.to_owned(),
        problem: problem.to_owned(),
    };
    match opened {
        Ok(Some(opened)) => Ok(opened),
        Ok(None) => Err(ReadError::Io {
            uri: uri.to_owned(),
            path: path.to_owned(),
            error: std::io::Error::new(std::io::ErrorKind::NotFound, "there is no such file"),
        }),
        Err(StoreError::Outside { .. }) => Err(dataset(
            "it lies in no folder that data may be read from: commit the file, or start aurora with --dataset-root \
             and the folder that holds it",
        )),
        Err(StoreError::Malformed { .. }) => Err(dataset("it is no regular file")),
        Err(StoreError::Link { .. }) => Err(dataset("it is a symbolic link")),
        Err(error) => Err(ReadError::Io {
            uri: uri.to_owned(),
            path: path.to_owned(),
            error: match error {
                StoreError::Io { error, .. } => error,
                error => error.into(),
            },
        }),
    }
}

impl ReadError {
    /// Leaves out what the manifest's author may not know, who has seen a file of the commit but perhaps no other one:
    /// all of the file but the cell that is wrong.
    fn told_to(self, source: &DataSource) -> Self {
        let hidden = || "not shown of a file outside the repository".to_owned();
        match (source, self) {
            (DataSource::Absolute(_), Self::At { mut place, problem }) => {
                place.column = place.column.map(|(number, _name)| (number, String::new()));
                Self::At { place, problem }
            }
            (DataSource::Absolute(_), Self::Layout { uri, error }) => {
                let error = match error {
                    FeatureError::NoTarget(_columns) => FeatureError::NoTarget(hidden()),
                    FeatureError::NoColumn { column, wanted, .. } => FeatureError::NoColumn {
                        column,
                        wanted,
                        columns: hidden(),
                    },
                    FeatureError::OtherColumns { .. } => FeatureError::OtherColumns {
                        missing: hidden(),
                        unknown: hidden(),
                    },
                    error => error,
                };
                Self::Layout { uri, error }
            }
            (_, error) => error,
        }
    }
}

/// Reads a file. One that the registry has staged is opened through it; where that copy is damaged, it is taken away, and
/// the run may be tried again with the next.
fn read_file<S: Sink>(
    path: &Path,
    request: Request<'_>,
    uri: &str,
    open: impl Fn(Vec<String>, Option<&str>) -> Result<S, ReadError>,
) -> Result<(S::Made, Option<Sighting>), ReadError> {
    let staged = request.store.zip(request.sha256);
    let Some((store, sha256)) = staged.filter(|(store, sha256)| store.dataset_path(sha256) == path) else {
        let (opened, sighting) = open_file(request, path, uri)?;
        return csv::read(opened.file, path, request.sha256, uri, open)
            .map(|made| (made, sighting))
            .map_err(|error| error.told_to(request.source));
    };
    let read = match store.open_dataset(sha256) {
        Ok(Some(file)) => csv::read(file, path, Some(sha256), uri, open).map_err(Some),
        Ok(None) | Err(StoreError::Link { .. } | StoreError::Malformed { .. }) => Err(None),
        Err(error) => return Err(ReadError::Staged(error)),
    };
    match read {
        Ok(made) => Ok((made, None)),
        // Whatever is wrong with its rows, the copy may be at fault.
        Err(error) => match (store.discard_damaged(sha256).map_err(ReadError::Staged)?, error) {
            (false, Some(error)) => Err(error),
            (_, _) => Err(ReadError::Damaged { uri: uri.to_owned() }),
        },
    }
}

/// Reads a dataset that must have the columns of `table`, in any order, with its layout.
pub(crate) fn read_alike(request: Request<'_>, table: &Table, layout: &Layout) -> Result<Table, ReadError> {
    read(request, &|names, _own| {
        same_columns(&table.names, names)?;
        Ok(layout.clone())
    })
}

/// Checks that a holdout has the columns of its dataset, in any order.
pub(crate) fn same_columns(dataset: &[String], holdout: &[String]) -> Result<(), FeatureError> {
    let [expected, got] = [dataset, holdout].map(|names| names.iter().collect::<BTreeSet<_>>());
    if got == expected {
        return Ok(());
    }
    let list = |names: Vec<&&String>| {
        let names: Vec<String> = names.into_iter().take(20).map(|name| shown(name)).collect();
        names.join(", ")
    };
    Err(FeatureError::OtherColumns {
        missing: list(expected.difference(&got).collect()),
        unknown: list(got.difference(&expected).collect()),
    })
}

/// Returns what a manifest calls a source.
pub(crate) fn uri(source: &DataSource) -> String {
    match source {
        DataSource::Builtin(name) => format!("builtin:{name}"),
        DataSource::Synthetic(name) => format!("synthetic:{name}"),
        DataSource::Committed(path) | DataSource::Absolute(path) => path.clone(),
    }
}

/// Checks a header: the number of its names, and that each is there once. What has no name cannot be asked for.
fn check_names(uri: &str, line: u64, names: &[String]) -> Result<(), ReadError> {
    let fail = |at: usize, problem: String| {
        let place = Place {
            uri: uri.to_owned(),
            line,
            column: Some((at + 1, names[at].clone())),
        };
        Err(ReadError::At { place, problem })
    };
    let mut seen = BTreeMap::new();
    for (at, name) in names.iter().enumerate() {
        if at >= COLUMNS_MAX {
            return fail(at, format!("there are more than {COLUMNS_MAX} columns"));
        }
        if name.len() > NAME_MAX {
            return fail(at, format!("the column's name has more than {NAME_MAX} bytes"));
        }
        if let Some(first) = seen.insert(name, at)
            && !name.is_empty()
        {
            let first = first + 1;
            return fail(
                at,
                format!("column {first} has this name too: rename one of them"),
            );
        }
    }
    Ok(())
}
