//! A model in ONNX Runtime: what it takes and gives, and its answers.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::path::Path;

use aurora_ort::protocol::{Loaded, Outlet, Ran, Run};
use engine::Type;
use ort::environment::Environment;
use ort::logging::LogLevel;
use ort::session::builder::{GraphOptimizationLevel, SessionBuilder};
use ort::session::{Session as Runtime, SessionInputValue};
use ort::value::{DynMap, DynValue, Outlet as Declared, TensorElementType, ValueType};

use crate::elements::Elements;

/// What rows are made of that stand as examples where there is no data: of the first that is answered it is told what outputs
/// look like.
const EXAMPLES: [f64; 3] = [0.0, 1.0, 0.5];
/// The most columns of one input that are tried without a value.
const MISSING_TRIED_MAX: usize = 256;

/// The library, ready for a model.
pub(crate) struct Library {
    environment: Environment,
    threads: usize,
}

impl Library {
    /// Loads it.
    ///
    /// # Errors
    ///
    /// It is not there, or another or older one.
    pub(crate) fn load(path: &Path, threads: usize) -> Result<Self, String> {
        let environment = ort::init_from(path)
            .map_err(|error| format!("{}: {error}", path.display()))?
            .with_name("aurora")
            .with_telemetry(false)
            .build()
            .map_err(|error| format!("{}: {error}", path.display()))?;
        environment.set_log_level(LogLevel::Fatal);
        Ok(Self { environment, threads })
    }
}

/// A loaded model.
pub(crate) struct Session {
    runtime: Runtime,
    inputs: Vec<Known>,
    outputs: Vec<Known>,
}

/// What is known of an input or output.
#[derive(Debug, Clone)]
struct Known {
    name: String,
    form: Form,
    element: Type,
    /// The shape of a row.
    lengths: Vec<usize>,
    /// The keys of the maps that are answered, in their order.
    keys: Keys,
}

/// What a value is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    Tensor,
    /// A list of maps, one for each row, from labels to numbers: what exporters of classifiers give by default.
    Maps,
}

/// The labels that name the columns of an output.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
enum Keys {
    #[default]
    None,
    Words(Vec<String>),
    Numbers(Vec<i64>),
}

impl Known {
    fn width(&self) -> usize {
        self.lengths.iter().product()
    }

    fn described(&self, takes_missing: bool) -> Outlet {
        let (words, numbers) = match self.keys.clone() {
            Keys::None => (Vec::new(), Vec::new()),
            Keys::Words(words) => (words, Vec::new()),
            Keys::Numbers(numbers) => (Vec::new(), numbers),
        };
        Outlet {
            name: self.name.clone(),
            datatype: self.element.protocol_name().to_owned(),
            lengths: self.lengths.iter().map(|length| *length as u64).collect(),
            takes_missing,
            words,
            numbers,
        }
    }
}

/// An output's elements, and the shape that they came in.
struct Given {
    elements: Elements,
    shape: Vec<usize>,
    keys: Keys,
}

impl Session {
    /// Loads a model, and tries it, so that all is known of what it takes and gives.
    ///
    /// # Errors
    ///
    /// ONNX Runtime refuses it, it is none of rows, or answers no row that it is tried with.
    pub(crate) fn load(library: &Library, model: &[u8]) -> Result<(Self, Loaded), String> {
        let text = |error: ort::Error| error.to_string();
        let unset = |error: ort::Error<SessionBuilder>| error.to_string();
        let builder = Runtime::builder(&library.environment).map_err(text)?;
        let builder = builder.with_intra_threads(library.threads).map_err(unset)?;
        let builder = builder.with_inter_threads(1).map_err(unset)?;
        let builder = builder.with_intra_op_spinning(false).map_err(unset)?;
        let builder = builder.with_deterministic_compute(true).map_err(unset)?;
        let builder = builder.with_optimization_level(GraphOptimizationLevel::All);
        let mut builder = builder.map_err(unset)?;
        let runtime = builder.commit_from_memory(model).map_err(text)?;
        let inputs = runtime
            .inputs()
            .iter()
            .map(input)
            .collect::<Result<Vec<_>, _>>()?;
        let outputs = runtime
            .outputs()
            .iter()
            .map(output)
            .collect::<Result<Vec<_>, _>>()?;
        let mut session = Self {
            runtime,
            inputs,
            outputs,
        };
        let example = session.learn()?;
        let missing = (0..session.inputs.len())
            .map(|input| session.takes_missing(input, example))
            .collect::<Vec<_>>();
        let described = session.inputs.iter().zip(missing);
        let described = Loaded {
            inputs: described.map(|(known, takes)| known.described(takes)).collect(),
            outputs: session
                .outputs
                .iter()
                .map(|known| known.described(false))
                .collect(),
        };
        Ok((session, described))
    }

    /// Learns the shapes of what is answered from two rows, and that they are answered each by itself; returns the number that
    /// rows were made of which it answers.
    fn learn(&mut self) -> Result<f64, String> {
        let mut first_error = None;
        for number in EXAMPLES {
            // A second row that differs: where rows are mixed, that shows.
            let rows = [number, number + 0.25];
            let both = match self.evaluate(self.examples(&rows), 2) {
                Ok(both) => both,
                Err(error) => {
                    first_error.get_or_insert(error);
                    continue;
                }
            };
            let alone = rows
                .iter()
                .map(|row| self.evaluate(self.examples(&[*row]), 1))
                .collect::<Result<Vec<_>, _>>()?;
            for (at, given) in both.iter().enumerate() {
                let known = &mut self.outputs[at];
                let [2, lengths @ ..] = &given.shape[..] else {
                    return Err(format!(
                        "output {:?} has the shape {:?} for two rows, which are to come first",
                        known.name, given.shape
                    ));
                };
                known.lengths = lengths.to_vec();
                known.keys.clone_from(&given.keys);
                for (row, alone) in alone.iter().enumerate() {
                    let alone = &alone[at];
                    let width = known.width();
                    let [1, own @ ..] = &alone.shape[..] else {
                        return Err(format!(
                            "output {:?} has the shape {:?} for one row, which is to come first",
                            known.name, alone.shape
                        ));
                    };
                    if *own != *lengths
                        || alone.keys != given.keys
                        || !given.elements.is_same(row * width, &alone.elements, width)
                    {
                        return Err(format!(
                            "output {:?} says something else of a row by itself than of one beside another: rows are not to hang \
                             together",
                            known.name
                        ));
                    }
                }
            }
            return Ok(number);
        }
        Err(first_error.unwrap_or_default())
    }

    /// Says whether a row in which something of an input is missing is answered by numbers: then that has a meaning.
    fn takes_missing(&mut self, input: usize, example: f64) -> bool {
        let known = &self.inputs[input];
        let width = known.width().min(MISSING_TRIED_MAX);
        if !matches!(known.element, Type::F32 | Type::F64) {
            return false;
        }
        let whole = known.width();
        let mut rows = self.examples(&vec![example; width]);
        for column in 0..width {
            match &mut rows[input] {
                Elements::F32(elements) => elements[column * whole + column] = f32::NAN,
                Elements::F64(elements) => elements[column * whole + column] = f64::NAN,
                _ => return false,
            }
        }
        let Ok(given) = self.evaluate(rows, width) else {
            return false;
        };
        let numbers: Vec<&Given> = given
            .iter()
            .filter(|given| given.elements.are_fractions())
            .collect();
        // Labels alone do not show it.
        !numbers.is_empty()
            && (0..width).any(|row| {
                numbers.iter().all(|given| {
                    let each = given.elements.len() / width;
                    given.elements.are_finite(row * each..(row + 1) * each)
                })
            })
    }

    /// Returns rows that are each made of one number.
    fn examples(&self, rows: &[f64]) -> Vec<Elements> {
        let each = self.inputs.iter().map(|known| {
            let numbers = rows
                .iter()
                .flat_map(|row| std::iter::repeat_n(*row, known.width()));
            #[expect(clippy::cast_possible_truncation, reason = "they are small")]
            match known.element {
                Type::F32 => Elements::F32(numbers.map(|number| number as f32).collect()),
                Type::F64 => Elements::F64(numbers.collect()),
                Type::I64 => Elements::I64(numbers.map(|number| number.round() as i64).collect()),
                Type::I32 => Elements::I32(numbers.map(|number| number.round() as i32).collect()),
                Type::Bool => Elements::Bool(numbers.map(|_| false).collect()),
                Type::Text => Elements::Text(numbers.map(|_| String::new()).collect()),
            }
        });
        each.collect()
    }

    /// Evaluates rows.
    ///
    /// # Errors
    ///
    /// They do not fit, ONNX Runtime refuses them, or what it answers is of another shape than it was.
    pub(crate) fn run(&mut self, run: &Run) -> Result<Ran, String> {
        let rows = usize::try_from(run.rows).unwrap_or(usize::MAX);
        if run.inputs.len() != self.inputs.len() || rows == 0 {
            return Err("these are no rows of the model".to_owned());
        }
        let inputs = self.inputs.iter().zip(&run.inputs);
        let inputs = inputs
            .map(|(known, values)| {
                let elements = Elements::read(known.element, values)?;
                if elements.len() != known.width().saturating_mul(rows) {
                    let (name, count) = (&known.name, elements.len());
                    return Err(format!("input {name:?} has {count} elements for {rows} rows"));
                }
                Ok(elements)
            })
            .collect::<Result<Vec<_>, _>>()?;
        let given = self.evaluate(inputs, rows)?;
        let outputs = self.outputs.iter().zip(given).map(|(known, given)| {
            if given.shape.first() != Some(&rows)
                || given.shape[1..] != known.lengths[..]
                || given.keys != known.keys
            {
                return Err(format!(
                    "output {:?} has the shape {:?} for {rows} rows, and had {:?} for each",
                    known.name, given.shape, known.lengths
                ));
            }
            Ok(given.elements.values())
        });
        Ok(Ran {
            outputs: outputs.collect::<Result<_, _>>()?,
        })
    }

    fn evaluate(&mut self, inputs: Vec<Elements>, rows: usize) -> Result<Vec<Given>, String> {
        let values = self.inputs.iter().zip(inputs).map(|(known, elements)| {
            let shape: Vec<usize> = std::iter::once(rows)
                .chain(known.lengths.iter().copied())
                .collect();
            let value = elements.tensor(shape).map_err(|error| error.to_string())?;
            Ok((Cow::Borrowed(known.name.as_str()), SessionInputValue::from(value)))
        });
        let values = values.collect::<Result<Vec<_>, String>>()?;
        let answered = self.runtime.run(values).map_err(|error| error.to_string())?;
        let given = self.outputs.iter().map(|known| {
            let value = answered
                .get(&known.name)
                .ok_or_else(|| format!("output {:?} is not answered", known.name))?;
            let dynamic: &DynValue = value;
            match known.form {
                Form::Tensor => tensor(known, dynamic),
                Form::Maps => maps(dynamic),
            }
            .map_err(|error| format!("output {:?}: {error}", known.name))
        });
        given.collect()
    }
}

fn element(declared: TensorElementType) -> Option<Type> {
    Some(match declared {
        TensorElementType::Float32 => Type::F32,
        TensorElementType::Float64 => Type::F64,
        TensorElementType::Int64 => Type::I64,
        TensorElementType::Int32 => Type::I32,
        TensorElementType::Bool => Type::Bool,
        TensorElementType::String => Type::Text,
        _ => return None,
    })
}

/// Reads what a model says of an input: the rows come first, and all else is fixed.
fn input(declared: &Declared) -> Result<Known, String> {
    let name = declared.name().to_owned();
    let ValueType::Tensor { ty, shape, .. } = declared.dtype() else {
        return Err(format!("input {name:?} is no tensor but {}", declared.dtype()));
    };
    let element = element(*ty).ok_or_else(|| {
        format!("input {name:?} is of {ty}, and float, double, int64, int32, bool and string are taken")
    })?;
    let lengths = match &shape[..] {
        [-1, lengths @ ..] => lengths
            .iter()
            .map(|length| usize::try_from(*length).ok())
            .collect(),
        _ => None,
    };
    let lengths: Vec<usize> = lengths.ok_or_else(|| {
        format!(
            "input {name:?} has the shape {:?}: the rows come first, and nothing else is open",
            &shape[..]
        )
    })?;
    Ok(Known {
        name,
        form: Form::Tensor,
        element,
        lengths,
        keys: Keys::None,
    })
}

/// Reads what a model says of an output; its shape is learnt from what it answers.
fn output(declared: &Declared) -> Result<Known, String> {
    let name = declared.name().to_owned();
    let (form, ty) = match declared.dtype() {
        ValueType::Tensor { ty, .. } => (Form::Tensor, *ty),
        ValueType::Sequence(of) => match **of {
            ValueType::Map {
                key: TensorElementType::Int64 | TensorElementType::String,
                value: ty @ TensorElementType::Float32,
            } => (Form::Maps, ty),
            _ => {
                return Err(format!(
                    "output {name:?} is {}, which is not read",
                    declared.dtype()
                ));
            }
        },
        other => return Err(format!("output {name:?} is {other}, which is not read")),
    };
    let element = element(ty).ok_or_else(|| {
        format!("output {name:?} is of {ty}, and float, double, int64, int32, bool and string are read")
    })?;
    Ok(Known {
        name,
        form,
        element,
        lengths: Vec::new(),
        keys: Keys::None,
    })
}

fn tensor(known: &Known, value: &DynValue) -> Result<Given, String> {
    let text = |error: ort::Error| error.to_string();
    let (shape, elements) = match known.element {
        Type::F32 => {
            let (shape, elements) = value.try_extract_tensor::<f32>().map_err(text)?;
            (shape, Elements::F32(elements.to_vec()))
        }
        Type::F64 => {
            let (shape, elements) = value.try_extract_tensor::<f64>().map_err(text)?;
            (shape, Elements::F64(elements.to_vec()))
        }
        Type::I64 => {
            let (shape, elements) = value.try_extract_tensor::<i64>().map_err(text)?;
            (shape, Elements::I64(elements.to_vec()))
        }
        Type::I32 => {
            let (shape, elements) = value.try_extract_tensor::<i32>().map_err(text)?;
            (shape, Elements::I32(elements.to_vec()))
        }
        Type::Bool => {
            let (shape, elements) = value.try_extract_tensor::<bool>().map_err(text)?;
            (shape, Elements::Bool(elements.to_vec()))
        }
        Type::Text => {
            let (shape, elements) = value.try_extract_strings().map_err(text)?;
            (shape, Elements::Text(elements))
        }
    };
    let shape = shape.iter().map(|length| usize::try_from(*length).unwrap_or(0));
    Ok(Given {
        shape: shape.collect(),
        elements,
        keys: Keys::None,
    })
}

/// Reads a list of maps as the table that they are: a column for each key, in the order of the keys.
fn maps(value: &DynValue) -> Result<Given, String> {
    let text = |error: ort::Error| error.to_string();
    let maps: Vec<DynMap> = value
        .try_extract_sequence::<ort::value::DynMapValueType>()
        .map_err(text)?;
    let rows = maps.len();
    let by_words = |map: &DynMap| {
        let key = TensorElementType::String;
        matches!(map.dtype(), ValueType::Map { key: own, .. } if *own == key)
    };
    let (keys, numbers) = if maps.first().is_some_and(by_words) {
        let read = |map: &DynMap| map.try_extract_key_values::<String, f32>().map_err(text);
        let (keys, numbers) = table(&maps, read)?;
        (Keys::Words(keys), numbers)
    } else {
        let read = |map: &DynMap| map.try_extract_key_values::<i64, f32>().map_err(text);
        let (keys, numbers) = table(&maps, read)?;
        (Keys::Numbers(keys), numbers)
    };
    let columns = numbers.len() / rows.max(1);
    Ok(Given {
        shape: vec![rows, columns],
        elements: Elements::F32(numbers),
        keys,
    })
}

fn table<K: Ord + Clone>(
    maps: &[DynMap],
    read: impl Fn(&DynMap) -> Result<Vec<(K, f32)>, String>,
) -> Result<(Vec<K>, Vec<f32>), String> {
    let mut keys: Option<Vec<K>> = None;
    let mut numbers = Vec::new();
    for map in maps {
        let row: BTreeMap<K, f32> = read(map)?.into_iter().collect();
        let own: Vec<K> = row.keys().cloned().collect();
        if keys.as_ref().is_some_and(|keys| *keys != own) {
            return Err("rows have different labels".to_owned());
        }
        keys.get_or_insert(own);
        numbers.extend(row.into_values());
    }
    Ok((keys.unwrap_or_default(), numbers))
}
