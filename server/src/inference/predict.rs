//! `/predict`: `{"inputs": [[…]]}` or `{"rows": [{raw column: value}]}`, derived as in training.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;

use planner::training::Derivation;
use registry::metadata::Signature;
use serde::Deserialize;
use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::infer::numbers;
use super::literal;
use super::prepare::{Reply, Work, shown};
use super::tensor::Data;
use crate::http::reply::Failure;

/// The longest name that is compared.
const COMPARED_BYTES_MAX: usize = 80;
/// With how many known columns an unknown one is compared, so that a mistake costs no more than an answer.
const COMPARED_MAX: usize = 200;
/// How alike an unknown column and a known one must be to be worth a hint.
const ALIKE: f64 = 0.6;

/// The body of a plain request: one of the two.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct PlainRequest<'a> {
    inputs: Option<Data>,
    #[serde(borrow)]
    rows: Option<Rows<'a>>,
}

/// Rows of raw columns, one after the other in one list: a body of many small rows takes a few times its size.
#[derive(Debug, Default)]
struct Rows<'a> {
    cells: Vec<(Cow<'a, str>, Cell)>,
    /// Where each row's cells end.
    ends: Vec<usize>,
}

/// The value of a raw column.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Cell {
    Number(f64),
    Null,
    /// What it is instead of a number.
    Other(&'static str),
}

/// Checks a plain request against a signature; `within` refuses more rows than it may have.
pub(super) fn check(
    request: PlainRequest<'_>,
    signature: &Signature,
    width: usize,
    within: impl FnOnce(usize) -> Result<(), Failure>,
) -> Result<Work, Failure> {
    let (rows, count) = match (request.inputs, request.rows) {
        (Some(inputs), None) => {
            let count = match inputs.dims[..] {
                [count, columns] if columns == width && count > 0 => count,
                _ if inputs.flaw.is_some() => 0,
                _ => {
                    return Err(Failure::bad_request(format!(
                        "inputs: got lists of shape {:?}, expected [-1,{width}]: rows of {width} numbers ({})",
                        inputs.dims,
                        names(signature.features.iter().map(|feature| feature.name.as_str())),
                    )));
                }
            };
            (numbers(inputs, width, signature)?, count)
        }
        (None, Some(rows)) if !rows.ends.is_empty() => {
            // First: what is derived may be much larger than what came.
            within(rows.ends.len())?;
            (derive(&rows, signature, width)?, rows.ends.len())
        }
        (None, Some(_none)) => {
            return Err(Failure::bad_request("rows: expected at least one row".to_owned()));
        }
        (Some(_), Some(_)) => {
            return Err(Failure::bad_request(
                "expected inputs or rows, got both".to_owned(),
            ));
        }
        (None, None) => {
            return Err(Failure::bad_request(
                "expected {\"inputs\": [[number, …], …]} or {\"rows\": [{column: number, …}, …]}".to_owned(),
            ));
        }
    };
    Ok(Work {
        rows,
        count,
        reply: Reply::Plain,
        answer_bytes_max: 0,
    })
}

/// Computes each row's features from its raw columns.
fn derive(rows: &Rows<'_>, signature: &Signature, width: usize) -> Result<Vec<f64>, Failure> {
    // Column name → its place in `raw`.
    let mut columns: BTreeMap<&str, usize> = BTreeMap::new();
    for feature in &signature.features {
        let used: &[String] = match &feature.derivation {
            Derivation::Column(column) => std::slice::from_ref(column),
            Derivation::Ratio(both) => both,
        };
        for column in used {
            let next = columns.len();
            columns.entry(column).or_insert(next);
        }
    }
    let mut raw: Vec<Option<f64>> = vec![None; columns.len()];
    let mut derived = Vec::with_capacity(rows.ends.len() * width);
    let mut start = 0;
    for (number, end) in rows.ends.iter().copied().enumerate() {
        raw.fill(None);
        for (column, cell) in &rows.cells[std::mem::replace(&mut start, end)..end] {
            let place = *columns
                .get(&**column)
                .ok_or_else(|| unknown(number, column, &columns))?;
            let value = match cell {
                Cell::Number(value) => *value,
                Cell::Null if signature.missing_values => f64::NAN,
                Cell::Null => {
                    return Err(refuse(
                        number,
                        column,
                        "got null, and this model takes no missing value",
                    ));
                }
                Cell::Other(got) => {
                    return Err(refuse(number, column, &format!("got {got}, expected a number")));
                }
            };
            if raw[place].replace(value).is_some() {
                return Err(refuse(number, column, "given twice"));
            }
        }
        let value = |column: &String| {
            raw[columns[column.as_str()]].ok_or_else(|| {
                let needed = names(columns.keys().copied());
                Failure::bad_request(format!(
                    "rows[{number}]: column `{column}` is missing; needed: {needed}"
                ))
            })
        };
        for feature in &signature.features {
            derived.push(match &feature.derivation {
                Derivation::Column(column) => value(column)?,
                Derivation::Ratio([numerator, denominator]) => {
                    let (numerator, below) = (value(numerator)?, value(denominator)?);
                    if below == 0.0 {
                        let why = format!("is 0, and {} divides by it", feature.name);
                        return Err(refuse(number, denominator, &why));
                    }
                    Some(numerator / below)
                        .filter(|ratio| ratio.is_finite() || !(numerator.is_finite() && below.is_finite()))
                        .ok_or_else(|| {
                            let why = format!("is so small that {} is not finite", feature.name);
                            refuse(number, denominator, &why)
                        })?
                }
            });
        }
    }
    Ok(derived)
}

fn refuse(row: usize, column: &str, why: &str) -> Failure {
    Failure::bad_request(format!("rows[{row}]: column `{}`: {why}", shown(column)))
}

fn unknown(row: usize, column: &str, columns: &BTreeMap<&str, usize>) -> Failure {
    let column = shown(column);
    let nearest = columns
        .keys()
        .filter(|known| known.len() <= COMPARED_BYTES_MAX)
        .take(COMPARED_MAX)
        .map(|known| (strsim::jaro_winkler(known, &column), known))
        .filter(|(alike, _)| *alike >= ALIKE)
        .max_by(|(a, _), (b, _)| a.total_cmp(b));
    let hint = match nearest {
        Some((_, known)) => format!("did you mean `{known}`?"),
        None => format!("known: {}", names(columns.keys().copied())),
    };
    Failure::bad_request(format!("rows[{row}]: column `{column}` is unknown; {hint}"))
}

/// Lists names, the first few of many.
fn names<'a>(names: impl Iterator<Item = &'a str>) -> String {
    const SHOWN_MAX: usize = 30;
    let mut names: Vec<_> = names.collect();
    let more = names.len().saturating_sub(SHOWN_MAX);
    names.truncate(SHOWN_MAX);
    let listed = names.join(", ");
    if more == 0 {
        listed
    } else {
        format!("{listed} and {more} more")
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Rows<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        /// A key that stays where it is in the body unless it has escapes.
        #[derive(Deserialize)]
        struct Key<'a>(#[serde(borrow)] Cow<'a, str>);

        struct List;

        impl<'de> Visitor<'de> for List {
            type Value = Rows<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("rows: [{column: number, …}, …]")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
                let mut rows = Rows::default();
                while list.next_element_seed(Row(&mut rows.cells))?.is_some() {
                    rows.ends.push(rows.cells.len());
                }
                Ok(rows)
            }
        }

        struct Row<'r, 'de>(&'r mut Vec<(Cow<'de, str>, Cell)>);

        impl<'de> DeserializeSeed<'de> for Row<'_, 'de> {
            type Value = ();

            fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
                deserializer.deserialize_map(self)
            }
        }

        impl<'de> Visitor<'de> for Row<'_, 'de> {
            type Value = ();

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a row: {column: number, …}")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
                while let Some((Key(key), cell)) = map.next_entry()? {
                    self.0.push((key, cell));
                }
                Ok(())
            }
        }

        deserializer.deserialize_seq(List)
    }
}

impl<'de> Deserialize<'de> for Cell {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Value;

        impl<'de> Visitor<'de> for Value {
            type Value = Cell;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a number")
            }

            fn visit_f64<E>(self, value: f64) -> Result<Cell, E> {
                Ok(Cell::Number(value))
            }

            #[expect(
                clippy::cast_precision_loss,
                reason = "JSON numbers are doubles here: rounded like any other literal"
            )]
            fn visit_u64<E>(self, value: u64) -> Result<Cell, E> {
                Ok(Cell::Number(value as f64))
            }

            #[expect(
                clippy::cast_precision_loss,
                reason = "JSON numbers are doubles here: rounded like any other literal"
            )]
            fn visit_i64<E>(self, value: i64) -> Result<Cell, E> {
                Ok(Cell::Number(value as f64))
            }

            fn visit_unit<E>(self) -> Result<Cell, E> {
                Ok(Cell::Null)
            }

            fn visit_bool<E: Error>(self, _value: bool) -> Result<Cell, E> {
                Ok(Cell::Other("true or false"))
            }

            fn visit_str<E: Error>(self, value: &str) -> Result<Cell, E> {
                Ok(Cell::Other(if value == literal::MARK {
                    "NaN or Infinity, which JSON does not have"
                } else {
                    "a text"
                }))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Cell, A::Error> {
                while list.next_element::<IgnoredAny>()?.is_some() {}
                Ok(Cell::Other("a list"))
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Cell, A::Error> {
                while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
                Ok(Cell::Other("an object"))
            }
        }

        deserializer.deserialize_any(Value)
    }
}
