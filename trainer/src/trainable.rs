//! The rows of a job that a model may be fitted to which is made elsewhere: its dataset without what is held out, as a file of
//! the same columns. Whoever fits to that file names its digest in the model, and is believed: docs/importing.md.
//!
//! The file depends on the cells alone, not on how they were quoted or lines ended, so that it is the same wherever it is written.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use planner::names::Digest;
use planner::training::{Holdout, Rows};
use registry::Store;
use registry::artifact::Model;
use sha2::{Digest as _, Sha256};

use crate::dataset::{Cell, ReadError, Request, Sink, read_into, same_columns, uri};
use crate::external::field;
use crate::holdout::{RowHash, RowHasher, SplitError, is_held_out};

/// What begins a digest in a model's metadata; the 64 digits after it are enough too.
const PREFIX: &str = "sha256:";

/// The rows of a job, and where they lie.
#[derive(Debug, Clone, Copy)]
pub struct JobRows<'a> {
    /// The rows.
    pub rows: &'a Rows,
    /// The dataset's file, where it has one.
    pub dataset: Option<&'a Path>,
    /// The file of a holdout that has one of its own.
    pub holdout: Option<&'a Path>,
    /// The folders below which a file outside the repository may lie.
    pub roots: &'a [PathBuf],
    /// The seed of synthetic rows.
    pub seed: u64,
}

/// A file of rows to fit to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Trainable {
    /// Its SHA-256.
    pub digest: Digest,
    /// How many rows it has.
    pub rows: usize,
    /// How many are held out.
    pub held_out: usize,
}

/// Why there is no such file.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub struct TrainableError(#[from] Fault);

#[derive(Debug, thiserror::Error)]
pub(crate) enum Fault {
    #[error("failed to read the data: {0}")]
    Read(#[from] ReadError),
    #[error("failed to split off the holdout: {0}")]
    Split(#[from] SplitError),
    #[error("failed to write the rows: {0}")]
    Write(#[from] io::Error),
}

/// Writes the rows that a model may be fitted to: CSV (RFC 4180), a header and the raw columns as the data has them.
///
/// # Errors
///
/// The rows cannot be read, one side of the split has none, or `out` takes nothing more.
pub fn write_trainable(declared: JobRows<'_>, out: &mut dyn Write) -> Result<Trainable, TrainableError> {
    Ok(write(declared, None, out)?)
}

/// Says whether a model names the rows that it may have been fitted to: the digest of the file that [`write_trainable`] writes
/// stands in a property of its metadata, whatever that is called.
///
/// # Errors
///
/// The rows cannot be read a second time.
pub(crate) fn is_attested(model: &Model, declared: JobRows<'_>, store: &Store) -> Result<bool, Fault> {
    let properties = model.properties().iter();
    let named: BTreeSet<Digest> = properties.filter_map(|(_key, value)| digest_in(value)).collect();
    if named.is_empty() {
        return Ok(false);
    }
    let written = write(declared, Some(store), &mut io::sink())?;
    Ok(named.contains(&written.digest))
}

fn digest_in(value: &str) -> Option<Digest> {
    let digits = value.trim().trim_start_matches(PREFIX).to_ascii_lowercase();
    format!("{PREFIX}{digits}").parse().ok()
}

fn write(declared: JobRows<'_>, store: Option<&Store>, out: &mut dyn Write) -> Result<Trainable, Fault> {
    let Rows { dataset, evaluation } = declared.rows;
    let of = |source, path, sha256| Request {
        source,
        path,
        roots: declared.roots,
        sha256,
        store,
        seed: declared.seed,
        hash_key: 0,
    };
    let (side, key) = match &evaluation.holdout {
        Holdout::Percent { percent, seed } => (Side::Percent(*percent), *seed),
        Holdout::File { source, sha256 } => {
            let file = of(source, declared.holdout, sha256.as_ref());
            let (held_out, _sighting) = read_into(file, |names, _own| {
                Ok(HeldOut {
                    uri: uri(source),
                    hasher: RowHasher::new(0, &names),
                    names,
                    hashes: BTreeSet::new(),
                    rows: 0,
                })
            })?;
            (Side::Of(Box::new(held_out)), 0)
        }
    };
    let out = RefCell::new(CsvHash::new(out));
    let data = of(&dataset.source, declared.dataset, dataset.sha256.as_ref());
    let ([train, held_out], _sighting) = read_into(data, |names, _own| {
        side.check(&names)?;
        out.borrow_mut().row(names.iter().map(|name| Cell::Text(name)));
        Ok(Sides {
            hasher: RowHasher::new(key, &names),
            side: &side,
            out: &out,
            train: 0,
            held_out: 0,
        })
    })?;
    let digest = out.into_inner().finish()?;
    let held_out = match side {
        Side::Percent(percent) if held_out == 0 => {
            return Err(SplitError::NoHoldout { percent, rows: train }.into());
        }
        Side::Percent(_) => held_out,
        Side::Of(held_out) => held_out.rows,
    };
    if train == 0 {
        return Err(SplitError::NoTraining(held_out).into());
    }
    Ok(Trainable {
        digest,
        rows: train,
        held_out,
    })
}

/// Which rows are held out.
enum Side {
    /// Those whose hash falls below a percentage.
    Percent(u8),
    /// Those of a file.
    Of(Box<HeldOut>),
}

impl Side {
    fn holds(&self, hash: &RowHash) -> bool {
        match self {
            Self::Percent(percent) => is_held_out(hash, *percent),
            Self::Of(held_out) => held_out.hashes.contains(hash),
        }
    }

    /// Refuses columns that the held-out rows do not have.
    fn check(&self, names: &[String]) -> Result<(), ReadError> {
        match self {
            Self::Percent(_) => Ok(()),
            Self::Of(held_out) => same_columns(names, &held_out.names).map_err(|error| ReadError::Layout {
                uri: held_out.uri.clone(),
                error,
            }),
        }
    }
}

/// The rows of a holdout's own file.
struct HeldOut {
    uri: String,
    names: Vec<String>,
    hasher: RowHasher,
    hashes: BTreeSet<RowHash>,
    rows: usize,
}

impl Sink for HeldOut {
    type Made = Self;

    fn push(&mut self, _line: u64, cells: &[Cell<'_>]) -> Result<(), ReadError> {
        self.hashes.insert(self.hasher.hash(cells));
        self.rows += 1;
        Ok(())
    }

    fn finish(self, _file: Option<Digest>) -> Self {
        self
    }
}

/// Writes the rows of one side, and counts both.
struct Sides<'a, 'b> {
    hasher: RowHasher,
    side: &'a Side,
    out: &'a RefCell<CsvHash<'b>>,
    train: usize,
    held_out: usize,
}

impl Sink for Sides<'_, '_> {
    /// How many rows each side has: those to fit to, and those that are held out.
    type Made = [usize; 2];

    fn push(&mut self, _line: u64, cells: &[Cell<'_>]) -> Result<(), ReadError> {
        if self.side.holds(&self.hasher.hash(cells)) {
            self.held_out += 1;
        } else {
            self.train += 1;
            self.out.borrow_mut().row(cells.iter().copied());
        }
        Ok(())
    }

    fn finish(self, _file: Option<Digest>) -> [usize; 2] {
        [self.train, self.held_out]
    }
}

/// Writes CSV and hashes it. The first error is kept, and nothing is written after it.
struct CsvHash<'a> {
    out: &'a mut dyn Write,
    sha256: Sha256,
    line: String,
    written: io::Result<()>,
}

impl<'a> CsvHash<'a> {
    fn new(out: &'a mut dyn Write) -> Self {
        Self {
            out,
            sha256: Sha256::new(),
            line: String::new(),
            written: Ok(()),
        }
    }

    fn row<'c>(&mut self, cells: impl Iterator<Item = Cell<'c>>) {
        self.line.clear();
        for (at, cell) in cells.enumerate() {
            if at > 0 {
                self.line.push(',');
            }
            match cell {
                Cell::Number(number) => self.line += &number.to_string(),
                Cell::Written(_, text) | Cell::Text(text) => self.line += &field(text),
            }
        }
        // A blank line would be no row.
        if self.line.is_empty() {
            self.line += "\"\"";
        }
        self.line += "\r\n";
        self.sha256.update(&self.line);
        if self.written.is_ok() {
            self.written = self.out.write_all(self.line.as_bytes());
        }
    }

    fn finish(self) -> io::Result<Digest> {
        self.written?;
        self.out.flush()?;
        Ok(Digest::from_bytes(self.sha256.finalize().into()))
    }
}
