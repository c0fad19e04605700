//! `builtin:NAME`: data that ships in the binary, by `linfa-datasets`.
//!
//! | name | rows | columns | target |
//! |---|---|---|---|
//! | `wine-quality` | 1,599 red wines (240 of them duplicates) | 11 measurements | `quality`, a mark from 3 to 8 |
//! | `iris` | 150 flowers | 4 lengths in cm | `species`, a word |

use ndarray::Array2;

use super::builder::Cell;
use super::{ReadError, Sink};

/// The names, for the message that a name is none of them.
const NAMES: [&str; 2] = ["wine-quality", "iris"];
/// What the numbers of `linfa_datasets::iris` stand for.
const SPECIES: [&str; 3] = ["setosa", "versicolor", "virginica"];

pub(super) fn read<S: Sink>(
    name: &str,
    uri: &str,
    open: impl Fn(Vec<String>, Option<&str>) -> Result<S, ReadError>,
) -> Result<S::Made, ReadError> {
    match name {
        "wine-quality" => {
            let data = linfa_datasets::winequality();
            let marks: Vec<Cell<'_>> = data.targets.iter().map(|mark| number(*mark)).collect();
            fill(&data.records, data.feature_names(), "quality", &marks, open)
        }
        "iris" => {
            let data = linfa_datasets::iris();
            let species = data.targets.iter().map(|index| Cell::Text(SPECIES[*index]));
            let species: Vec<Cell<'_>> = species.collect();
            fill(&data.records, data.feature_names(), "species", &species, open)
        }
        _ => Err(ReadError::Dataset {
            uri: uri.to_owned(),
            problem: format!(
                "there is no such builtin dataset; there are {}",
                NAMES.join(" and ")
            ),
        }),
    }
}

fn number(mark: usize) -> Cell<'static> {
    Cell::Number(f64::from(u32::try_from(mark).unwrap_or(u32::MAX)))
}

fn fill<S: Sink>(
    records: &Array2<f64>,
    features: &[String],
    target: &str,
    targets: &[Cell<'_>],
    open: impl Fn(Vec<String>, Option<&str>) -> Result<S, ReadError>,
) -> Result<S::Made, ReadError> {
    let names = features.iter().cloned().chain([target.to_owned()]).collect();
    let mut sink = open(names, Some(target))?;
    for ((line, row), target) in (1..).zip(records.rows()).zip(targets) {
        let cells = row.iter().map(|value| Cell::Number(*value)).chain([*target]);
        sink.push(line, &cells.collect::<Vec<_>>())?;
    }
    Ok(sink.finish(None))
}
