//! Plain requests: `/predict`'s `{"inputs": [[…]]}` or `{"rows": [{raw column: value}]}`, and the shapes that clients of
//! KServe's first protocol and of MLflow send. Raw columns are derived as in training.

use engine::Type;
use registry::artifact::{Filling, Gives, Inputs, Model, Value};
use serde::Deserialize;

use super::prepare::{Reply, Work, shown};
use super::rows::{Cell, Columns, Instances, Rows, Split};
use super::tensor::Data;
use crate::http::reply::Failure;
use crate::runtime::{Made, RawColumns, Slot};

/// The longest name that is compared.
const COMPARED_BYTES_MAX: usize = 80;
/// With how many known columns an unknown one is compared, so that a mistake costs no more than an answer.
const COMPARED_MAX: usize = 200;
/// How alike an unknown column and a known one must be to be worth a hint.
const ALIKE: f64 = 0.6;

/// The body of `/predict`: one of inputs and rows.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct PlainRequest<'a> {
    inputs: Option<Data>,
    #[serde(borrow)]
    rows: Option<Rows<'a>>,
    #[serde(default)]
    probabilities: bool,
    #[serde(default)]
    extra_columns: bool,
}

/// The body of KServe's first protocol. What else a client says is skipped.
#[derive(Debug, Deserialize)]
pub(super) struct InstancesRequest<'a> {
    #[serde(borrow)]
    instances: Instances<'a>,
}

/// The body of MLflow's scoring protocol: one of four shapes.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Invocation<'a> {
    #[serde(borrow)]
    dataframe_split: Option<Split<'a>>,
    #[serde(borrow)]
    dataframe_records: Option<Rows<'a>>,
    #[serde(borrow)]
    instances: Option<Instances<'a>>,
    #[serde(borrow)]
    inputs: Option<Columns<'a>>,
    params: Option<Params>,
}

/// The parameters of an invocation; as MLflow does, others are skipped.
#[derive(Debug, Default, Deserialize)]
struct Params {
    #[serde(default)]
    probabilities: bool,
}

/// What a plain request gives, whatever its shape.
#[derive(Debug)]
pub(super) struct Plain<'a> {
    /// What its shape calls the rows.
    name: &'static str,
    given: Given<'a>,
    /// Whether it wants the probabilities of classes too.
    probabilities: bool,
    /// Whether columns are passed over that the model does not know.
    extra_columns: bool,
}

#[derive(Debug)]
enum Given<'a> {
    Inputs(Data),
    Rows(Rows<'a>),
    Split(Split<'a>),
    Columns(Columns<'a>),
    Instances(Instances<'a>),
}

impl<'a> TryFrom<PlainRequest<'a>> for Plain<'a> {
    type Error = Failure;

    fn try_from(request: PlainRequest<'a>) -> Result<Self, Failure> {
        let (name, given) = match (request.inputs, request.rows) {
            (Some(inputs), None) => ("inputs", Given::Inputs(inputs)),
            (None, Some(rows)) => ("rows", Given::Rows(rows)),
            (Some(_), Some(_)) => {
                return Err(Failure::bad_request(
                    "expected inputs or rows, got both".to_owned(),
                ));
            }
            (None, None) => {
                return Err(Failure::bad_request(
                    "expected {\"inputs\": [[number, …], …]} or {\"rows\": [{column: number, …}, …]}"
                        .to_owned(),
                ));
            }
        };
        Ok(Self {
            name,
            given,
            probabilities: request.probabilities,
            extra_columns: request.extra_columns,
        })
    }
}

impl<'a> From<InstancesRequest<'a>> for Plain<'a> {
    fn from(request: InstancesRequest<'a>) -> Self {
        Self {
            name: "instances",
            given: Given::Instances(request.instances),
            probabilities: false,
            extra_columns: false,
        }
    }
}

impl<'a> TryFrom<Invocation<'a>> for Plain<'a> {
    type Error = Failure;

    fn try_from(request: Invocation<'a>) -> Result<Self, Failure> {
        let given = [
            request
                .dataframe_split
                .map(|split| ("dataframe_split", Given::Split(split))),
            request
                .dataframe_records
                .map(|rows| ("dataframe_records", Given::Rows(rows))),
            request
                .instances
                .map(|instances| ("instances", Given::Instances(instances))),
            request.inputs.map(|columns| ("inputs", Given::Columns(columns))),
        ];
        let mut given = given.into_iter().flatten();
        let (Some((name, given)), None) = (given.next(), given.next()) else {
            return Err(Failure::bad_request(
                "expected one of dataframe_split, dataframe_records, instances and inputs".to_owned(),
            ));
        };
        Ok(Self {
            name,
            given,
            probabilities: request.params.unwrap_or_default().probabilities,
            // As MLflow, whose models have a signature too.
            extra_columns: true,
        })
    }
}

/// Checks a plain request against what a slot takes; `within` refuses more rows than it may have.
pub(super) fn check(
    plain: Plain<'_>,
    slot: &Slot,
    within: impl FnOnce(usize, &Reply) -> Result<(), Failure>,
) -> Result<Work, Failure> {
    let Plain {
        name,
        given,
        probabilities,
        extra_columns,
    } = plain;
    if probabilities {
        let why = match slot.model.gives() {
            Gives::Numbers { .. } => Some("this model predicts numbers, and has none"),
            Gives::Classes {
                probabilities: None, ..
            } => Some("this model gives none"),
            Gives::Classes { .. } => None,
        };
        if let Some(why) = why {
            return Err(Failure::bad_request(format!("probabilities: {why}")));
        }
    }
    let reply = Reply::Plain { probabilities };
    let deriving = Deriving {
        name,
        model: &slot.model,
        columns: &slot.columns,
        extra_columns,
    };
    // First: what is derived may be much larger than what came.
    let within = |count| within(count, &reply);
    let (inputs, count) = match given {
        Given::Inputs(data) | Given::Columns(Columns::Numbers(data)) => deriving.inputs(data, within)?,
        Given::Rows(rows) => deriving.rows(&rows, within)?,
        Given::Instances(instances) => match (instances.numbers.values.is_empty(), instances.rows.len()) {
            (_, 0) => deriving.inputs(instances.numbers, within)?,
            (true, _) => deriving.rows(&instances.rows, within)?,
            (false, _) => {
                return Err(Failure::bad_request(format!(
                    "{name}: expected lists of numbers or {{column: number, …}}, got both"
                )));
            }
        },
        Given::Split(split) => {
            if let Some((row, got)) = split.uneven() {
                let columns = split.columns();
                return Err(Failure::bad_request(format!(
                    "{name}: data[{row}] has {got} values, expected {columns}, one for each of columns"
                )));
            }
            deriving.derive(split.iter(), split.len(), within)?
        }
        Given::Columns(Columns::Named(columns)) => {
            let count = columns.len();
            if let Some((column, got)) = columns.uneven() {
                return Err(Failure::bad_request(format!(
                    "{name}: column `{}` has {got} values, expected {count} as the first has",
                    shown(column)
                )));
            }
            deriving.derive(columns.iter(), count, within)?
        }
    };
    Ok(Work {
        inputs,
        count,
        reply,
        answer_bytes_max: 0,
    })
}

/// What rows become features by, and what is said of those that do not.
#[derive(Debug, Clone, Copy)]
struct Deriving<'a> {
    name: &'static str,
    model: &'a Model,
    columns: &'a RawColumns,
    extra_columns: bool,
}

/// The model's inputs for so many rows.
type Counted = (Inputs, usize);

impl Deriving<'_> {
    /// Returns features that are given as they are, and how many rows they are.
    fn inputs(
        &self,
        data: Data,
        within: impl FnOnce(usize) -> Result<(), Failure>,
    ) -> Result<Counted, Failure> {
        let (width, features) = (self.model.width(), &self.model.signature().features);
        let name = self.name;
        if let Some(at) = data.ragged {
            return Err(Failure::bad_request(format!(
                "{name}: lists of different lengths or depths at element {at}"
            )));
        }
        let count = match data.dims[..] {
            [count, columns] if columns == width && count > 0 => count,
            _ => {
                return Err(Failure::bad_request(format!(
                    "{name}: got lists of shape {:?}, expected [-1,{width}]: rows of {width} values ({})",
                    data.dims,
                    names(features.iter().map(|feature| feature.name.as_str())),
                )));
            }
        };
        within(count)?;
        let refuse = |at: usize, why: String| {
            let (row, feature) = (at / width, &features[at % width].name);
            Failure::bad_request(format!("{name}[{row}]: {feature}: {why}"))
        };
        if let Some(at) = data.not_finite {
            let why = "got NaN or Infinity, which JSON does not have (null is a missing value)";
            return Err(refuse(at, why.to_owned()));
        }
        if let [only] = self.model.input_tensors()
            && only.element == Type::F64
            && data.is_of_numbers()
            && data.missing.is_none()
        {
            return Ok((Inputs::of_numbers(data.values), count));
        }
        let mut filling = Filling::new(self.model, count);
        for (at, value) in data.elements().enumerate() {
            filling
                .push(at % width, value)
                .map_err(|expected| refuse(at, got(value, expected)))?;
        }
        Ok((filling.finish(), count))
    }

    fn rows(
        &self,
        rows: &Rows<'_>,
        within: impl FnOnce(usize) -> Result<(), Failure>,
    ) -> Result<Counted, Failure> {
        self.derive(rows.iter(), rows.len(), within)
    }

    /// Computes each row's features from its raw columns.
    fn derive<'r, R: Iterator<Item = (&'r str, &'r Cell<'r>)>>(
        &self,
        rows: impl Iterator<Item = R>,
        count: usize,
        within: impl FnOnce(usize) -> Result<(), Failure>,
    ) -> Result<Counted, Failure> {
        if count == 0 {
            return Err(Failure::bad_request(format!(
                "{}: expected at least one row",
                self.name
            )));
        }
        within(count)?;
        let columns = self.columns;
        let mut raw: Vec<Option<Value<'r>>> = vec![None; columns.len()];
        let mut filling = Filling::new(self.model, count);
        for (number, row) in rows.enumerate() {
            raw.fill(None);
            for (nth, (column, cell)) in row.enumerate() {
                let Some(place) = columns.place(column, nth) else {
                    if self.extra_columns {
                        continue;
                    }
                    return Err(self.unknown(number, column));
                };
                let value = match cell {
                    Cell::Number(value) => Value::Number(*value),
                    Cell::Text(text) => Value::Text(text),
                    Cell::Bool(truth) => Value::Bool(*truth),
                    Cell::Null => Value::Missing,
                    Cell::Other(other) => {
                        return Err(self.refuse(number, column, &format!("got {other}, expected a value")));
                    }
                };
                if raw[place].replace(value).is_some() {
                    return Err(self.refuse(number, column, "given twice"));
                }
            }
            let value = |place: usize| raw[place].ok_or_else(|| self.missing(number, place));
            for (at, made) in columns.features().iter().enumerate() {
                let (place, value) = match *made {
                    Made::Column(place) => (place, value(place)?),
                    Made::Ratio([above, below]) => {
                        let both = [(above, value(above)?), (below, value(below)?)];
                        (above, self.ratio(number, at, both)?)
                    }
                };
                filling
                    .push(at, value)
                    .map_err(|expected| self.refuse(number, columns.name(place), &got(value, expected)))?;
            }
        }
        Ok((filling.finish(), count))
    }

    /// Divides one raw column by another.
    fn ratio<'v>(
        &self,
        row: usize,
        feature: usize,
        both: [(usize, Value<'v>); 2],
    ) -> Result<Value<'v>, Failure> {
        let mut numbers = [0.0; 2];
        for ((place, value), number) in both.iter().zip(&mut numbers) {
            *number = match value {
                Value::Number(number) => *number,
                Value::Missing => f64::NAN,
                other => return Err(self.refuse(row, self.columns.name(*place), &got(*other, "a number"))),
            };
        }
        let [above, below] = numbers;
        let refuse = |why: String| Err(self.refuse(row, self.columns.name(both[1].0), &why));
        let feature = || &self.model.signature().features[feature].name;
        if below == 0.0 {
            return refuse(format!("is 0, and {} divides by it", feature()));
        }
        // What is missing makes what is computed of it missing, where the model takes that.
        if above.is_nan() || below.is_nan() {
            return Ok(Value::Missing);
        }
        let ratio = above / below;
        if ratio.is_finite() || !(above.is_finite() && below.is_finite()) {
            return Ok(Value::Number(ratio));
        }
        refuse(format!("is so small that {} is not finite", feature()))
    }

    fn refuse(&self, row: usize, column: &str, why: &str) -> Failure {
        Failure::bad_request(format!("{}[{row}]: column `{}`: {why}", self.name, shown(column)))
    }

    fn missing(&self, row: usize, place: usize) -> Failure {
        Failure::bad_request(format!(
            "{}[{row}]: column `{}` is missing; needed: {}",
            self.name,
            self.columns.name(place),
            names(self.columns.names())
        ))
    }

    fn unknown(&self, row: usize, column: &str) -> Failure {
        let column = shown(column);
        let nearest = self
            .columns
            .names()
            .filter(|known| known.len() <= COMPARED_BYTES_MAX)
            .take(COMPARED_MAX)
            .map(|known| (strsim::jaro_winkler(known, &column), known))
            .filter(|(alike, _)| *alike >= ALIKE)
            .max_by(|(a, _), (b, _)| a.total_cmp(b));
        let hint = match nearest {
            Some((_, known)) => format!("did you mean `{known}`?"),
            None => format!("known: {}", names(self.columns.names())),
        };
        Failure::bad_request(format!(
            "{}[{row}]: column `{column}` is unknown; {hint}",
            self.name
        ))
    }
}

/// Says what came, and what a column takes.
fn got(value: Value<'_>, expected: &str) -> String {
    match value {
        Value::Missing if expected.starts_with("a number") => {
            "got null, and this model takes no missing value".to_owned()
        }
        Value::Missing => format!("got null, expected {expected}"),
        Value::Number(number) if expected.starts_with("a number that") => {
            format!("got {number:?}, expected {expected}")
        }
        other => format!("got {}, expected {expected}", other.kind()),
    }
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
