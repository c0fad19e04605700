//! What the columns of a data file hold, for whoever writes a job for it.

use std::collections::BTreeSet;
use std::path::Path;

use crate::dataset::{Cell, ReadError, each_row};

/// How many different values of a column are counted.
const DISTINCT_MAX: usize = 1_001;

/// A data file, as far as a job for it needs to know.
#[derive(Debug, Clone, PartialEq)]
pub struct Profile {
    /// How many rows it has.
    pub rows: u64,
    /// Its columns, in its order.
    pub columns: Vec<ColumnProfile>,
}

/// A column of a data file.
#[derive(Debug, Clone, PartialEq)]
pub struct ColumnProfile {
    /// Its name.
    pub name: String,
    /// Whether each cell is a finite number.
    pub is_number: bool,
    /// Whether each cell is a whole number.
    pub is_whole: bool,
    /// How many different texts its cells have; of more than a thousand: that many and one.
    pub distinct: usize,
}

/// Why a data file cannot be looked at: what is wrong, with line and column.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub struct ProfileError(#[from] ReadError);

/// Looks through a CSV file; `shown` is what errors call it.
///
/// # Errors
///
/// It cannot be read, or is no CSV that a run would take.
pub fn profile(path: &Path, shown: &str) -> Result<Profile, ProfileError> {
    let mut rows = 0;
    let unseen = |names: &[String]| {
        let columns = names.iter().map(|name| (name.clone(), Seen::default()));
        Ok(columns.collect::<Vec<_>>())
    };
    let columns = each_row(path, shown, unseen, |columns, _at, cells| {
        rows += 1;
        for ((_, column), text) in columns.iter_mut().zip(cells) {
            column.see(text);
        }
        Ok(())
    })?;
    let columns = columns.into_iter().map(|(name, seen)| ColumnProfile {
        name,
        is_number: !seen.has_text,
        is_whole: !seen.has_text && !seen.has_fraction,
        distinct: seen.distinct.len(),
    });
    Ok(Profile {
        rows,
        columns: columns.collect(),
    })
}

/// What was seen of a column.
#[derive(Debug, Default)]
struct Seen {
    has_text: bool,
    has_fraction: bool,
    distinct: BTreeSet<String>,
}

impl Seen {
    fn see(&mut self, text: &str) {
        match Cell::parse(text) {
            Cell::Number(number) | Cell::Written(number, _) if number.is_finite() => {
                self.has_fraction |= number.fract() != 0.0;
            }
            _ => self.has_text = true,
        }
        if self.distinct.len() < DISTINCT_MAX && !self.distinct.contains(text) {
            self.distinct.insert(text.to_owned());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(content: &str, expected: Result<&[&str], &str>) {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), content).unwrap();
        let told = profile(file.path(), "a.csv").map(|Profile { rows, columns }| {
            let columns = columns.into_iter().map(|column| {
                let kind = match (column.is_whole, column.is_number) {
                    (true, _) => "whole",
                    (false, true) => "number",
                    (false, false) => "text",
                };
                format!("{} {kind} {}/{rows}", column.name, column.distinct)
            });
            columns.collect::<Vec<_>>()
        });
        let told = told.map_err(|error| error.to_string());
        let expected = expected.map(|columns| columns.iter().map(|&column| column.to_owned()).collect());
        assert_eq!(told, expected.map_err(str::to_owned), "{content}");
    }

    #[test]
    fn columns_are_told_by_all_their_cells() {
        check(
            "a,b,c,d\n1,1.5,x,\n2,2,y,3\n2,3,x,4\n",
            Ok(&["a whole 2/3", "b number 3/3", "c text 2/3", "d text 3/3"]),
        );
        check("a,b\n", Ok(&["a whole 0/0", "b whole 0/0"]));
        check("a\nNaN\ninf\n", Ok(&["a text 2/2"]));
        check(
            "",
            Err("a.csv: it is empty; the first line must name the columns"),
        );
        check(
            "a,b\n1\n",
            Err("a.csv, line 2: the row has 1 cell, and the header 2"),
        );
        check(
            "a;b\n1;2\n",
            Err("a.csv, line 1: the header has semicolons and no comma: separate the cells by commas"),
        );
    }

    #[test]
    fn different_values_are_counted_as_far_as_it_matters() {
        let lines: Vec<_> = (0..2_000).map(|number| number.to_string()).collect();
        check(&format!("a\n{}", lines.join("\n")), Ok(&["a whole 1001/2000"]));
    }
}
