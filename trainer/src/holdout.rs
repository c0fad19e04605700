//! Which rows the fit never sees: docs/design.md, "Holdout".
//!
//! A row's side depends on the key and on its own raw values alone: duplicates stay together, rows that are added later
//! never move others, and the choice of features does not matter.

#[cfg(test)]
mod tests;

use std::collections::BTreeSet;

use planner::names::Digest;
use sha2::{Digest as _, Sha256};

use crate::dataset::{Cell, Table};

/// The keyed SHA-256 of a row's raw values.
pub(crate) type RowHash = [u8; 32];

/// Hashes rows: key ‖ all cells in the order of the columns' names.
#[derive(Debug)]
pub(crate) struct RowHasher {
    order: Vec<usize>,
    start: Sha256,
}

impl RowHasher {
    /// Makes the hasher of rows with these columns.
    pub(crate) fn new(key: u64, names: &[String]) -> Self {
        let mut order: Vec<usize> = (0..names.len()).collect();
        order.sort_by_key(|at| &names[*at]);
        let start = Sha256::new_with_prefix(key.to_be_bytes());
        Self { order, start }
    }

    /// Hashes a row, given in the order of the data.
    pub(crate) fn hash(&self, cells: &[Cell<'_>]) -> RowHash {
        let mut hash = self.start.clone();
        for at in &self.order {
            add_cell(&mut hash, cells[*at]);
        }
        hash.finalize().into()
    }
}

/// Hashes a whole dataset that has no file: the columns' names, then all rows as they come.
#[derive(Debug)]
pub(crate) struct RowsHasher(Sha256);

impl RowsHasher {
    pub(crate) fn new(names: &[String]) -> Self {
        let mut hash = Sha256::new();
        for name in names {
            add_cell(&mut hash, Cell::Text(name));
        }
        Self(hash)
    }

    pub(crate) fn add(&mut self, cells: &[Cell<'_>]) {
        for cell in cells {
            add_cell(&mut self.0, *cell);
        }
    }

    pub(crate) fn finish(self) -> Digest {
        Digest::from_bytes(self.0.finalize().into())
    }
}

/// Numbers as the big-endian bits of the double, with −0 as 0 and one NaN; text after its length.
fn add_cell(hash: &mut Sha256, cell: Cell<'_>) {
    match cell {
        Cell::Number(value) | Cell::Written(value, _) => {
            let canonical = if value.is_nan() {
                f64::NAN
            } else if value == 0.0 {
                0.0
            } else {
                value
            };
            hash.update(canonical.to_bits().to_be_bytes());
        }
        Cell::Text(text) => {
            hash.update((text.len() as u64).to_be_bytes());
            hash.update(text.as_bytes());
        }
    }
}

/// Says whether a row is held out at this percentage, 0 to 100.
pub(crate) fn is_held_out(hash: &RowHash, percent: u8) -> bool {
    let (first, _) = hash.split_first_chunk().expect("invariant: a hash has 32 bytes");
    let first = u64::from_be_bytes(*first);
    // first < percent × 2^64 / 100, exactly.
    u128::from(first) * 100 < u128::from(percent) << 64
}

/// The rows to fit on and the rows to measure on, as indices into their tables.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Split {
    /// Rows of the dataset.
    pub(crate) train: Vec<usize>,
    /// Rows of the dataset, or of the holdout's own table.
    pub(crate) held_out: Vec<usize>,
    /// The hash of the sorted row hashes of the holdout.
    pub(crate) digest: Digest,
}

/// Says why there is nothing to fit or to measure on.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SplitError {
    /// No row is left for the fit.
    #[error("the holdout takes every row ({0} in all): give more rows, or hold out less")]
    NoTraining(usize),
    /// No row is held out.
    #[error(
        "the holdout of {percent} % is empty: no row falls into it ({rows} in all); give more rows, hold out more, or try another holdout seed"
    )]
    NoHoldout { percent: u8, rows: usize },
}

/// Splits a table by its row hashes.
pub(crate) fn by_percent(table: &Table, percent: u8) -> Result<Split, SplitError> {
    let rows = table.hashes.len();
    let (held_out, train): (Vec<usize>, Vec<usize>) =
        (0..rows).partition(|row| is_held_out(&table.hashes[*row], percent));
    if held_out.is_empty() {
        return Err(SplitError::NoHoldout { percent, rows });
    }
    finish(train, held_out, &table.hashes, rows)
}

/// Takes another table as the holdout; rows of the dataset that are in it too are not fitted on.
pub(crate) fn by_table(table: &Table, holdout: &Table) -> Result<Split, SplitError> {
    let held: BTreeSet<&RowHash> = holdout.hashes.iter().collect();
    let rows = table.hashes.len();
    let train = (0..rows).filter(|row| !held.contains(&table.hashes[*row]));
    finish(
        train.collect(),
        (0..holdout.hashes.len()).collect(),
        &holdout.hashes,
        rows,
    )
}

fn finish(
    train: Vec<usize>,
    held_out: Vec<usize>,
    hashes: &[RowHash],
    rows: usize,
) -> Result<Split, SplitError> {
    if train.is_empty() {
        return Err(SplitError::NoTraining(rows));
    }
    let mut sorted: Vec<&RowHash> = held_out.iter().map(|row| &hashes[*row]).collect();
    sorted.sort_unstable();
    let mut hash = Sha256::new();
    for row in sorted {
        hash.update(row);
    }
    Ok(Split {
        train,
        held_out,
        digest: Digest::from_bytes(hash.finalize().into()),
    })
}
