//! What a data file's header lacks for a job, found before any row is read.

use planner::training::{Rows, Training};

use crate::dataset::header;
use crate::features::raw_columns;

/// How many columns are named as near.
const NEAR_MAX: usize = 5;

/// A column that a job names and a header has not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MissingColumn {
    /// The field of the manifest that names it, e.g. `spec.dataset.features[2].column`.
    pub field: String,
    /// Its name.
    pub column: String,
    /// The header's columns, the nearest first, at most 5.
    pub near: Vec<String>,
    /// How many columns the header has.
    pub columns: usize,
}

/// Says which columns a job names that the header of a data file has not. `line` is the file's first;
/// where it is no header there is nothing to say: the run says what is wrong with it.
pub fn missing_columns(line: &[u8], training: &Training) -> Vec<MissingColumn> {
    let Some(names) = header(line) else {
        return Vec::new();
    };
    let Some(Rows { dataset, .. }) = &training.rows else {
        return Vec::new();
    };
    let target = dataset
        .target
        .iter()
        .map(|target| ("spec.dataset.target.column".to_owned(), &target.column));
    let features = dataset.features.iter().enumerate().flat_map(|(at, feature)| {
        let columns = raw_columns(feature);
        let is_ratio = columns.len() > 1;
        columns.iter().enumerate().map(move |(part, column)| {
            let field = if is_ratio {
                format!("spec.dataset.features[{at}].ratio[{part}]")
            } else {
                format!("spec.dataset.features[{at}].column")
            };
            (field, column)
        })
    });
    let exclude = dataset.exclude.iter().enumerate();
    let exclude = exclude.map(|(at, column)| (format!("spec.dataset.exclude[{at}]"), column));
    let missing = target
        .chain(features)
        .chain(exclude)
        .filter(|(_, column)| !names.contains(column));
    missing
        .map(|(field, column)| MissingColumn {
            field,
            near: nearest(column, &names),
            column: column.clone(),
            columns: names.len(),
        })
        .collect()
}

/// Returns the names, the nearest first: by how many letters would have to change, then as the file has them.
fn nearest(column: &str, names: &[String]) -> Vec<String> {
    let distance = |name: &str| strsim::damerau_levenshtein(&cut(name), &cut(column));
    let mut near: Vec<_> = names.iter().map(|name| (distance(name), name)).collect();
    near.sort_by_key(|(distance, _)| *distance);
    near.into_iter()
        .take(NEAR_MAX)
        .map(|(_, name)| name.clone())
        .collect()
}

/// The cost of comparing grows with the square of the length.
fn cut(name: &str) -> String {
    name.chars().take(60).flat_map(char::to_lowercase).collect()
}

#[cfg(test)]
mod tests {
    use planner::training::{
        Algorithm, DataSource, Dataset, Derivation, Evaluation, Feature, Fit, Holdout, Metric, Rows,
        RunPolicy, Target,
    };

    use super::*;

    fn training(features: &[(&str, &[&str])], target: &str) -> Training {
        let feature = |(name, columns): &(&str, &[&str])| Feature {
            name: (*name).to_owned(),
            derivation: match columns {
                [above, below] => Derivation::Ratio([(*above).to_owned(), (*below).to_owned()]),
                columns => Derivation::Column(columns[0].to_owned()),
            },
        };
        Training {
            model: "m".parse().unwrap(),
            runs: RunPolicy::PerInputs,
            rows: Some(Rows {
                dataset: Dataset {
                    source: DataSource::Committed("a.csv".to_owned()),
                    sha256: None,
                    features: features.iter().map(feature).collect(),
                    exclude: Vec::new(),
                    target: Some(Target {
                        column: target.to_owned(),
                        divide_by: None,
                        unit: None,
                    }),
                },
                evaluation: Evaluation {
                    metric: Metric::R2,
                    bound: None,
                    holdout: Holdout::Percent { percent: 20, seed: 0 },
                },
            }),
            fit: Fit::Algorithm(Algorithm::LinearRegression),
            engine: planner::engine::Engine::Aurora,
            hyperparameters: std::collections::BTreeMap::new(),
            seed: 0,
            active_deadline_seconds: 60,
            suspend: false,
            pod: None,
        }
    }

    fn fields(line: &[u8], training: &Training) -> Vec<String> {
        let missing = missing_columns(line, training).into_iter();
        missing
            .map(|missing| format!("{} {}: {}", missing.field, missing.column, missing.near.join(" ")))
            .collect()
    }

    #[test]
    fn missing_columns_are_named_with_their_field_and_the_nearest() {
        let training = training(&[("a", &["area"]), ("r", &["area", "roms"])], "Price");
        assert_eq!(
            fields(b"area, rooms,\"price\"", &training),
            [
                "spec.dataset.target.column Price: price area rooms",
                "spec.dataset.features[1].ratio[1] roms: rooms area price",
            ]
        );
        assert!(fields(b"area,roms,Price", &training).is_empty());
    }

    #[test]
    fn what_is_left_out_must_be_there_too() {
        let mut training = training(&[], "y");
        training.rows.as_mut().unwrap().dataset.exclude = vec!["a".to_owned(), "idd".to_owned()];
        assert_eq!(
            fields(b"id,a,y", &training),
            ["spec.dataset.exclude[1] idd: id a y"]
        );
    }

    #[test]
    fn what_is_no_header_is_left_to_the_run() {
        let training = training(&[], "y");
        for line in [&b""[..], b"a,a", b"a;b", b"\xff,b"] {
            assert!(fields(line, &training).is_empty(), "{line:?}");
        }
    }
}
