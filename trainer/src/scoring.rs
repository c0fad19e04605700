//! The rows of a file as a model takes them: raw columns by name, derived and typed as its signature says.
//!
//! ```text
//! CSV ── columns by name ── derive, type ──> Batch ── model ──> what it says of each row
//! ```

use std::collections::BTreeMap;
use std::path::Path;

use engine::Type;
use planner::training::Derivation;
use registry::artifact::{Filling, Inputs, Model, Value};

use crate::dataset::{Cell, Place, ReadError, each_row, is_missing, shown};
pub use crate::external::field;

/// How many rows are handed over at a time.
pub const BATCH_ROWS: usize = 1_000;
/// How many of a file's columns an error names.
const COLUMNS_SHOWN_MAX: usize = 20;

/// Why the rows of a file cannot be scored: what is wrong, with line and column.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub struct ScoreError(#[from] ReadError);

/// Some rows of a file, one after the other.
#[derive(Debug)]
pub struct Batch<'a> {
    /// The line of each.
    pub lines: &'a [u64],
    /// For each model what it takes.
    pub inputs: &'a [Inputs],
    /// The cells of the columns that were asked for beside, row-major.
    pub beside: &'a [String],
    /// How much of the file was read by then, in bytes.
    pub bytes: u64,
}

/// Reads a CSV file and hands its rows over, at most [`BATCH_ROWS`] at a time, as each of `models` takes them; `called` is what
/// errors call the file. `beside` are columns that are wanted as they are written.
///
/// An empty cell, or a word that other tools write for one, is a missing value of an input of numbers. Text is taken as it is.
///
/// # Errors
///
/// The file cannot be read, lacks a column, or has a cell that a model does not take.
pub fn each_batch(
    path: &Path,
    called: &str,
    models: &[&Model],
    beside: &[String],
    take: &mut dyn FnMut(&Batch<'_>),
) -> Result<u64, ScoreError> {
    let begin = |names: &[String]| Rows::new(called, names, models, beside);
    let mut rows = each_row(path, called, begin, |rows, at, cells| {
        rows.push(at.line, cells)?;
        rows.bytes = at.bytes;
        if rows.lines.len() == BATCH_ROWS {
            rows.hand_over(take);
        }
        Ok(())
    })?;
    rows.hand_over(take);
    Ok(rows.count)
}

/// Says which columns a file has.
///
/// # Errors
///
/// It cannot be read, or its first line is no header.
pub fn columns(path: &Path, called: &str) -> Result<Vec<String>, ScoreError> {
    // The header is all that is wanted: the first row ends the reading.
    struct Ended;
    let mut found = Vec::new();
    let read = each_row(
        path,
        called,
        |names| {
            found = names.to_vec();
            Ok(Ended)
        },
        |_ended, at, _cells| {
            let place = Place {
                uri: called.to_owned(),
                line: at.line,
                column: None,
            };
            Err(ReadError::At {
                place,
                problem: "is not looked at".to_owned(),
            })
        },
    );
    match read {
        Err(error) if found.is_empty() => Err(error.into()),
        _ => Ok(found),
    }
}

/// Rows on their way to models.
struct Rows<'m> {
    uri: &'m str,
    names: Vec<String>,
    intakes: Vec<Intake<'m>>,
    /// The places of the columns that are wanted beside.
    wanted: Vec<usize>,
    lines: Vec<u64>,
    beside: Vec<String>,
    count: u64,
    bytes: u64,
}

/// What one model takes of a row.
struct Intake<'m> {
    model: &'m Model,
    sources: Vec<Source>,
    /// The type of each feature.
    types: Vec<Type>,
    filling: Filling<'m>,
}

/// Where a feature comes from, by the places of columns.
#[derive(Debug, Clone, Copy)]
enum Source {
    Column(usize),
    Ratio { above: usize, below: usize },
}

impl<'m> Rows<'m> {
    fn new(
        uri: &'m str,
        names: &[String],
        models: &[&'m Model],
        beside: &[String],
    ) -> Result<Self, ReadError> {
        let places: BTreeMap<&str, usize> = names.iter().map(String::as_str).zip(0..).collect();
        let find = |column: &String, wanted: &str| {
            places.get(column.as_str()).copied().ok_or_else(|| {
                let some = names.iter().take(COLUMNS_SHOWN_MAX).map(|name| shown(name));
                let more = if names.len() > COLUMNS_SHOWN_MAX {
                    ", …"
                } else {
                    ""
                };
                let columns = some.collect::<Vec<_>>().join(", ");
                ReadError::Dataset {
                    uri: uri.to_owned(),
                    problem: format!(
                        "there is no column {:?}, which {wanted} needs; the columns: {columns}{more}",
                        shown(column)
                    ),
                }
            })
        };
        let intakes = models.iter().map(|model| {
            let features = model.signature().features.iter();
            let sources = features.map(|feature| match &feature.derivation {
                Derivation::Column(column) => find(column, "the model").map(Source::Column),
                Derivation::Ratio([above, below]) => Ok(Source::Ratio {
                    above: find(above, "the model")?,
                    below: find(below, "the model")?,
                }),
            });
            let inputs = model.input_tensors().iter();
            Ok(Intake {
                model,
                sources: sources.collect::<Result<_, ReadError>>()?,
                types: inputs
                    .flat_map(|input| std::iter::repeat_n(input.element, input.width()))
                    .collect(),
                filling: Filling::new(model, BATCH_ROWS),
            })
        });
        let wanted = beside.iter().map(|column| find(column, "the output"));
        Ok(Self {
            intakes: intakes.collect::<Result<_, ReadError>>()?,
            wanted: wanted.collect::<Result<_, _>>()?,
            names: names.to_vec(),
            uri,
            lines: Vec::new(),
            beside: Vec::new(),
            count: 0,
            bytes: 0,
        })
    }

    fn push(&mut self, line: u64, cells: &[&str]) -> Result<(), ReadError> {
        let (uri, names) = (self.uri, &self.names);
        let refuse = |at: usize, problem: String| ReadError::At {
            place: Place {
                uri: uri.to_owned(),
                line,
                column: Some((at + 1, names[at].clone())),
            },
            problem,
        };
        for intake in &mut self.intakes {
            for (feature, source) in intake.sources.iter().enumerate() {
                let (at, value) = match *source {
                    Source::Column(at) => {
                        let read = read(cells[at], intake.types[feature]);
                        (at, read.map_err(|problem| refuse(at, problem))?)
                    }
                    Source::Ratio { above, below } => {
                        let number = |at: usize| match read(cells[at], Type::F64) {
                            Ok(Value::Number(number)) => Ok(number),
                            Ok(_missing) => Ok(f64::NAN),
                            Err(problem) => Err(refuse(at, problem)),
                        };
                        let (numerator, denominator) = (number(above)?, number(below)?);
                        if denominator == 0.0 {
                            let feature = &intake.model.signature().features[feature].name;
                            let problem = format!("feature {feature:?} divides by this cell, which is 0");
                            return Err(refuse(below, problem));
                        }
                        (above, Value::Number(numerator / denominator))
                    }
                };
                intake.filling.push(feature, value).map_err(|expected| {
                    let got = if cells[at].is_empty() {
                        "the cell is empty".to_owned()
                    } else {
                        format!("{:?} is there", shown(cells[at]))
                    };
                    refuse(at, format!("{got}, and the model takes {expected}"))
                })?;
            }
        }
        self.beside
            .extend(self.wanted.iter().map(|at| cells[*at].to_owned()));
        self.lines.push(line);
        self.count += 1;
        Ok(())
    }

    fn hand_over(&mut self, take: &mut dyn FnMut(&Batch<'_>)) {
        if self.lines.is_empty() {
            return;
        }
        let inputs: Vec<Inputs> = self
            .intakes
            .iter_mut()
            .map(|intake| {
                let next = Filling::new(intake.model, BATCH_ROWS);
                std::mem::replace(&mut intake.filling, next).finish()
            })
            .collect();
        take(&Batch {
            lines: &self.lines,
            inputs: &inputs,
            beside: &self.beside,
            bytes: self.bytes,
        });
        self.lines.clear();
        self.beside.clear();
    }
}

/// Reads a cell for an input of a type.
fn read(text: &str, element: Type) -> Result<Value<'_>, String> {
    match element {
        Type::Text => Ok(Value::Text(text)),
        Type::Bool => match text {
            "true" | "True" | "TRUE" | "1" => Ok(Value::Bool(true)),
            "false" | "False" | "FALSE" | "0" => Ok(Value::Bool(false)),
            other => Err(format!("{:?} is neither true nor false", shown(other))),
        },
        Type::F32 | Type::F64 | Type::I32 | Type::I64 => match Cell::parse(text) {
            Cell::Number(number) | Cell::Written(number, _) if number.is_finite() => {
                Ok(Value::Number(number))
            }
            cell if is_missing(cell) => Ok(Value::Missing),
            Cell::Number(_) | Cell::Written(..) => Err(format!("{:?} is not a finite number", shown(text))),
            Cell::Text(_) => Err(format!("{:?} is not a number", shown(text))),
        },
    }
}

#[cfg(test)]
mod tests {
    use expect_test::{Expect, expect};
    use registry::artifact::Limits;

    use super::*;

    const SURVIVAL: &[u8] = include_bytes!("../../registry/tests/models/survival.onnx");

    #[expect(clippy::needless_pass_by_value, reason = "expect! makes a value")]
    fn check(content: &str, expected: Expect) {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), content).unwrap();
        let model = Model::read(SURVIVAL, &Limits::default()).unwrap();
        let mut told = Vec::new();
        let read = each_batch(
            file.path(),
            "a.csv",
            &[&model],
            &["id".to_owned()],
            &mut |batch| {
                let said = model.predictions(&batch.inputs[0], batch.lines.len()).unwrap();
                told.push(format!("{:?} {:?} {said:.3?}", batch.lines, batch.beside));
            },
        );
        match read {
            Ok(rows) => told.push(format!("{rows} rows")),
            Err(error) => told.push(error.to_string()),
        }
        expected.assert_eq(&told.join("\n"));
    }

    #[test]
    fn rows_are_taken_by_the_names_of_their_columns() {
        check(
            "id,port,sex,fare,age\n7,Southampton,male,7.25,22\n8,,nobody,10,4\n9,Cherbourg,female,80,\n",
            expect![[r#"
                [2, 3, 4] ["7", "8", "9"] Classes { index: [Some(0), Some(0), Some(1)], probabilities: [0.817, 0.183, 0.511, 0.489, 0.189, 0.811], k: 2 }
                3 rows"#]],
        );
        check("id,port,sex,fare,age\n", expect!["0 rows"]);
    }

    #[test]
    fn what_no_model_takes_is_refused_by_its_cell() {
        check(
            "id,port,sex,fare\n7,Southampton,male,7.25\n",
            expect![[
                r#"a.csv: there is no column "age", which the model needs; the columns: id, port, sex, fare"#
            ]],
        );
        check(
            "port,sex,fare,age\nSouthampton,male,7.25,22\n",
            expect![[
                r#"a.csv: there is no column "id", which the output needs; the columns: port, sex, fare, age"#
            ]],
        );
        check(
            "id,port,sex,fare,age\n7,Southampton,male,cheap,22\n",
            expect![[r#"a.csv, line 2, column 4 (fare): "cheap" is not a number"#]],
        );
        check(
            "id,port,sex,fare,age\n7,Southampton,male,1e300,22\n",
            expect![[
                r#"a.csv, line 2, column 4 (fare): "1e300" is there, and the model takes a number that FP32 holds"#
            ]],
        );
        check(
            "id,port,sex,fare,age\n7,Southampton,male,inf,22\n",
            expect![[r#"a.csv, line 2, column 4 (fare): "inf" is not a finite number"#]],
        );
    }

    #[test]
    fn many_rows_come_in_parts() {
        let rows = (0..2_500).map(|row| format!("{row},Southampton,male,7.25,{}", row % 80));
        let lines: Vec<String> = std::iter::once("id,port,sex,fare,age".to_owned())
            .chain(rows)
            .collect();
        let content = lines.join("\n");
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), content).unwrap();
        let model = Model::read(SURVIVAL, &Limits::default()).unwrap();
        let mut parts = Vec::new();
        let rows = each_batch(file.path(), "a.csv", &[&model, &model], &[], &mut |batch| {
            assert_eq!(batch.inputs[0].buffers, batch.inputs[1].buffers);
            parts.push((batch.lines[0], batch.lines.len()));
        });
        assert_eq!(rows.unwrap(), 2_500);
        assert_eq!(parts, [(2, 1_000), (1_002, 1_000), (2_002, 500)]);
        assert_eq!(
            columns(file.path(), "a.csv").unwrap(),
            ["id", "port", "sex", "fare", "age"]
        );
    }
}
