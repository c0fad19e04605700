//! A model's inputs, filled row by row with what people and files hold.

use engine::{Buffer, Symbols, Type};

use super::Model;

/// One value of a row, as whoever asks writes it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Value<'a> {
    /// A number.
    Number(f64),
    /// A text.
    Text(&'a str),
    /// True or false.
    Bool(bool),
    /// Nothing.
    Missing,
}

impl Value<'_> {
    /// Returns what it is, in words.
    pub const fn kind(self) -> &'static str {
        match self {
            Self::Number(_) => "a number",
            Self::Text(_) => "a text",
            Self::Bool(_) => "true or false",
            Self::Missing => "missing",
        }
    }
}

/// Rows as a model takes them.
#[derive(Debug, Default)]
pub struct Inputs {
    /// One for each input, row-major.
    pub buffers: Vec<Buffer>,
    /// The texts in them, of a model that does not know its own; then also those of its answers.
    pub symbols: Symbols,
}

impl Inputs {
    /// Returns the rows of a model that takes them as one tensor of doubles.
    pub fn of_numbers(rows: Vec<f64>) -> Self {
        Self {
            buffers: vec![Buffer::F64(rows)],
            symbols: Symbols::default(),
        }
    }
}

/// Fills a model's inputs row by row, each value rounded to what its input holds.
#[derive(Debug)]
pub struct Filling<'a> {
    model: &'a Model,
    inputs: Inputs,
}

impl<'a> Filling<'a> {
    /// Begins with room for a number of rows.
    pub fn new(model: &'a Model, rows: usize) -> Self {
        let tensors = model.input_tensors();
        Self {
            model,
            inputs: Inputs {
                buffers: tensors
                    .iter()
                    .map(|tensor| with_room(tensor.element, tensor.width().saturating_mul(rows)))
                    .collect(),
                symbols: Symbols::default(),
            },
        }
    }

    /// Adds the next value, which is that of a feature: in the order of the signature, row after row.
    ///
    /// # Errors
    ///
    /// What would have to stand there.
    pub fn push(&mut self, feature: usize, value: Value<'_>) -> Result<(), &'static str> {
        let input = self.model.input_of(feature);
        let Inputs { buffers, symbols } = &mut self.inputs;
        let is_missing = match value {
            Value::Missing => true,
            Value::Number(number) => number.is_nan(),
            Value::Text(_) | Value::Bool(_) => false,
        };
        if is_missing && !self.model.takes_missing(input) {
            return Err(match buffers[input] {
                Buffer::Text(_) => "a text (\"\" where there is none)",
                Buffer::Bool(_) => "true or false",
                _ => "a number (it takes no missing value)",
            });
        }
        match (&mut buffers[input], value) {
            (Buffer::F64(values), Value::Number(number)) => values.push(number),
            (Buffer::F64(values), Value::Missing) => values.push(f64::NAN),
            (Buffer::F32(values), Value::Number(number)) => {
                #[expect(clippy::cast_possible_truncation, reason = "rounded to what the input holds")]
                let single = number as f32;
                if single.is_infinite() && number.is_finite() {
                    return Err("a number that FP32 holds");
                }
                values.push(single);
            }
            (Buffer::F32(values), Value::Missing) => values.push(f32::NAN),
            (Buffer::I64(values), Value::Number(number)) => {
                values.push(whole(number, 63).ok_or("a number that INT64 holds")?);
            }
            (Buffer::I32(values), Value::Number(number)) => {
                let whole = whole(number, 31).and_then(|whole| i32::try_from(whole).ok());
                values.push(whole.ok_or("a number that INT32 holds")?);
            }
            (Buffer::Bool(values), Value::Bool(bool)) => values.push(bool),
            (Buffer::Bool(values), Value::Number(number)) => match whole(number, 63) {
                Some(truth @ (0 | 1)) if number.fract() == 0.0 => values.push(truth == 1),
                _ => return Err("true or false"),
            },
            (Buffer::Bool(_), _) => return Err("true or false"),
            (Buffer::Text(values), Value::Text(text)) => {
                let symbol = self.model.symbol(text.as_bytes(), symbols);
                values.push(symbol.ok_or("fewer different texts in one request")?);
            }
            (Buffer::Text(_), _) => return Err("a text"),
            (_, Value::Text(_) | Value::Bool(_) | Value::Missing) => return Err("a number"),
        }
        Ok(())
    }

    /// Returns what it was filled with.
    pub fn finish(self) -> Inputs {
        self.inputs
    }
}

/// Returns the nearest whole number, where so many bits hold it.
fn whole(number: f64, bits: i32) -> Option<i64> {
    let rounded = number.round_ties_even();
    let end = 2_f64.powi(bits);
    #[expect(clippy::cast_possible_truncation, reason = "it is whole and in range")]
    (-end..end).contains(&rounded).then_some(rounded as i64)
}

fn with_room(element: Type, count: usize) -> Buffer {
    match element {
        Type::F32 => Buffer::F32(Vec::with_capacity(count)),
        Type::F64 => Buffer::F64(Vec::with_capacity(count)),
        Type::I64 => Buffer::I64(Vec::with_capacity(count)),
        Type::I32 => Buffer::I32(Vec::with_capacity(count)),
        Type::Bool => Buffer::Bool(Vec::with_capacity(count)),
        Type::Text => Buffer::Text(Vec::with_capacity(count)),
    }
}
