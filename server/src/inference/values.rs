//! What the protocol sends for one input, as the model takes it: strict, nothing is rounded that its sender did not round.

use engine::{Buffer, Symbol, Symbols, Tensor, Type};
use hyper::StatusCode;
use registry::artifact::{Model, Value};

use super::datatype::{Datatype, Inexact};
use super::prepare::shown;
use super::tensor::Data;
use crate::http::reply::Failure;
use crate::runtime::Slot;

/// One input of a model.
#[derive(Debug, Clone, Copy)]
pub(super) struct Taken<'a> {
    model: &'a Model,
    tensor: &'a Tensor,
    /// The place of its first column among all features.
    first: usize,
    takes_missing: bool,
}

impl<'a> Taken<'a> {
    /// Returns what a slot's model takes, in its order.
    pub(super) fn all(slot: &'a Slot) -> impl Iterator<Item = Self> {
        let model = &slot.model;
        let mut next = 0;
        let tensors = model.input_tensors().iter().enumerate();
        tensors.map(move |(at, tensor)| {
            let first = next;
            next += tensor.width();
            Self {
                model,
                tensor,
                first,
                takes_missing: model.takes_missing(at),
            }
        })
    }

    /// Returns what a slot's model takes where that is one input.
    pub(super) fn only(slot: &'a Slot) -> Option<Self> {
        match slot.model.input_tensors() {
            [_] => Self::all(slot).next(),
            _ => None,
        }
    }

    pub(super) fn name(&self) -> &'a str {
        &self.tensor.name
    }

    pub(super) const fn element(&self) -> Type {
        self.tensor.element
    }

    /// Returns the lengths of its shape for a number of rows.
    pub(super) fn lengths(&self, rows: usize) -> impl Iterator<Item = usize> {
        self.tensor.shape.iter().map(move |dim| dim.at(rows))
    }

    /// Returns its shape for a number of rows.
    pub(super) fn shape(&self, rows: usize) -> Vec<usize> {
        self.lengths(rows).collect()
    }

    /// Returns how many elements a row has.
    pub(super) fn width(&self) -> usize {
        self.tensor.width()
    }

    /// Returns its shape as models are described: -1 for the rows.
    pub(super) fn described(&self) -> String {
        let rest = self.shape(1);
        let rest = rest.iter().skip(1).map(ToString::to_string);
        let lengths: Vec<String> = std::iter::once("-1".to_owned()).chain(rest).collect();
        format!("[{}]", lengths.join(","))
    }

    /// Names it with its type and shape.
    pub(super) fn announced(&self) -> String {
        format!(
            "`{}` {} {}",
            self.name(),
            self.element().protocol_name(),
            self.described()
        )
    }

    /// Reads the name of a type, and refuses one that the input does not take.
    pub(super) fn datatype(&self, name: &str) -> Result<Datatype, Failure> {
        let known: Option<Datatype> = name.parse().ok();
        known
            .filter(|datatype| datatype.widens_to(self.element()))
            .ok_or_else(|| {
                let expected = match self.element() {
                    Type::F64 => {
                        "FP64 or a type that widens to it: FP32, FP16 (binary), INT8, INT16, INT32, UINT8, UINT16, UINT32, \
                         and of INT64 and UINT64 what is exact"
                    }
                    Type::F32 => {
                        "FP32 or a type that widens to it: FP16 (binary), INT8, INT16, UINT8, UINT16, and of INT32, UINT32, \
                         INT64 and UINT64 what is exact"
                    }
                    Type::I64 => {
                        "INT64 or a type that widens to it: INT8, INT16, INT32, UINT8, UINT16, UINT32, and of UINT64 what it \
                         holds"
                    }
                    Type::I32 => {
                        "INT32 or a type that widens to it: INT8, INT16, UINT8, UINT16, and of UINT32, INT64 and UINT64 what \
                         it holds"
                    }
                    Type::Bool => "BOOL",
                    Type::Text => "BYTES",
                };
                Failure::bad_request(format!(
                    "input `{}`: got {}, expected {expected}",
                    self.name(),
                    shown(name)
                ))
            })
    }

    /// Returns what JSON gave for so many rows.
    pub(super) fn of_json(
        &self,
        data: Data,
        datatype: Datatype,
        rows: usize,
        symbols: &mut Symbols,
    ) -> Result<Buffer, Failure> {
        let name = self.name();
        if datatype == Datatype::Fp16 {
            return Err(Failure::bad_request(format!(
                "input `{name}`: FP16 has no form in JSON: send it as a binary tensor, or as FP32"
            )));
        }
        let elements = self.width().saturating_mul(rows);
        if data.values.len() != elements {
            return Err(Failure::bad_request(format!(
                "input `{name}`: got {} elements, expected {elements} for shape {}",
                data.values.len(),
                listed(&self.shape(rows))
            )));
        }
        let is_nested = data.ragged.is_none() && data.dims.len() > 1;
        if is_nested && !data.dims.iter().copied().eq(self.lengths(rows)) {
            return Err(Failure::bad_request(format!(
                "input `{name}`: got data nested as {:?}, expected {} or a flat list",
                data.dims,
                listed(&self.shape(rows))
            )));
        }
        if let Some(at) = data.ragged {
            return Err(Failure::bad_request(format!(
                "input `{name}`: lists of different lengths or depths at element {at}"
            )));
        }
        if let Some(at) = data.not_finite {
            let got = "NaN or Infinity, which JSON does not have (null is a missing value)";
            return Err(self.refuse(at, got));
        }
        match self.element() {
            Type::Text => self.texts_of_json(&data, symbols),
            Type::Bool => self.truths_of_json(&data),
            Type::F32 | Type::F64 | Type::I32 | Type::I64 => self.numbers_of_json(data, datatype),
        }
    }

    fn texts_of_json(&self, data: &Data, symbols: &mut Symbols) -> Result<Buffer, Failure> {
        let texts = data.elements().enumerate().map(|(at, element)| match element {
            Value::Text(text) => self.symbol(text.as_bytes(), symbols),
            other => Err(self.refuse(at, other.kind())),
        });
        texts.collect::<Result<_, _>>().map(Buffer::Text)
    }

    fn truths_of_json(&self, data: &Data) -> Result<Buffer, Failure> {
        let truths = data.elements().enumerate().map(|(at, element)| match element {
            Value::Bool(truth) => Ok(truth),
            other => Err(self.refuse(at, other.kind())),
        });
        truths.collect::<Result<_, _>>().map(Buffer::Bool)
    }

    fn numbers_of_json(&self, data: Data, datatype: Datatype) -> Result<Buffer, Failure> {
        if let Some((at, odd)) = data.first_odd() {
            return Err(self.refuse(at, odd.kind()));
        }
        if let Some(at) = data.missing.filter(|_| !self.takes_missing) {
            return Err(self.refuse(at, "null (this model takes no missing value)"));
        }
        let inexact = data.inexact;
        let mut values = data.values;
        if datatype == Datatype::Fp64 {
            return Ok(Buffer::F64(values));
        }
        let is_wide = matches!(datatype, Datatype::Int64 | Datatype::Uint64);
        if let Some(inexact) = inexact.filter(|_| is_wide) {
            return Err(self.refuse_inexact(inexact));
        }
        for (at, value) in values.iter_mut().enumerate() {
            if !value.is_nan() {
                *value = datatype.of_literal(*value).ok_or_else(|| {
                    let place = self.place(at);
                    Failure::bad_request(format!("{place}: {value:?} is no {}", datatype.as_str()))
                })?;
            }
        }
        self.narrowed(values)
    }

    /// Returns how many bytes the elements of so many rows take in binary; [`None`] where that hangs on the texts.
    pub(super) fn binary_bytes(&self, datatype: Datatype, rows: usize) -> Option<usize> {
        let elements = self.width().saturating_mul(rows);
        (datatype != Datatype::Bytes).then(|| elements.saturating_mul(datatype.width()))
    }

    /// Returns what came as bytes, whose number is that of its shape.
    pub(super) fn of_bytes(
        &self,
        bytes: &[u8],
        datatype: Datatype,
        rows: usize,
        symbols: &mut Symbols,
    ) -> Result<Buffer, Failure> {
        match datatype {
            Datatype::Bytes => self.texts_of_bytes(bytes, self.width().saturating_mul(rows), symbols),
            Datatype::Bool => {
                let truths = bytes.iter().enumerate().map(|(at, byte)| match byte {
                    0 => Ok(false),
                    1 => Ok(true),
                    other => Err(self.refuse(at, &format!("the byte {other}"))),
                });
                truths.collect::<Result<_, _>>().map(Buffer::Bool)
            }
            numbers => {
                let values = numbers
                    .decode(bytes)
                    .map_err(|inexact| self.refuse_inexact(inexact))?;
                if !self.takes_missing
                    && let Some(at) = values.iter().position(|value| value.is_nan())
                {
                    return Err(self.refuse(at, "NaN (this model takes no missing value)"));
                }
                self.narrowed(values)
            }
        }
    }

    /// Reads texts, each with its length in four bytes before it.
    fn texts_of_bytes(
        &self,
        mut bytes: &[u8],
        count: usize,
        symbols: &mut Symbols,
    ) -> Result<Buffer, Failure> {
        let mut texts = Vec::with_capacity(count.min(bytes.len() / 4));
        while let Some((length, rest)) = bytes.split_first_chunk() {
            let length = usize::try_from(u32::from_le_bytes(*length)).unwrap_or(usize::MAX);
            let Some((text, rest)) = rest.split_at_checked(length) else {
                return Err(self.refuse(
                    texts.len(),
                    &format!("a text of {length} bytes, more than there are"),
                ));
            };
            texts.push(self.symbol(text, symbols)?);
            bytes = rest;
        }
        if !bytes.is_empty() || texts.len() != count {
            return Err(Failure::bad_request(format!(
                "input `{}`: got {} texts in binary_data_size bytes and {} bytes after them, expected {count} texts, each with \
                 its length in four bytes before it",
                self.name(),
                texts.len(),
                bytes.len()
            )));
        }
        Ok(Buffer::Text(texts))
    }

    fn symbol(&self, text: &[u8], symbols: &mut Symbols) -> Result<Symbol, Failure> {
        let symbol = self.model.symbol(text, symbols);
        symbol.ok_or_else(|| {
            Failure::bad_request(format!(
                "input `{}`: more different texts than one request may have",
                self.name()
            ))
        })
    }

    /// Makes the input's elements of doubles, which it must hold exactly.
    fn narrowed(&self, values: Vec<f64>) -> Result<Buffer, Failure> {
        let inexact = |at: usize, value: f64| {
            let (place, held) = (self.place(at), self.element().protocol_name());
            Failure::bad_request(format!(
                "{place}: got {value:?}, expected a number that is exact as {held}"
            ))
        };
        let each = values.iter().copied().enumerate();
        match self.element() {
            Type::F32 => {
                #[expect(clippy::cast_possible_truncation, reason = "it is looked whether it is exact")]
                let singles = each.map(|(at, value)| {
                    let single = value as f32;
                    let is_exact = value.is_nan() || f64::from(single).to_bits() == value.to_bits();
                    is_exact.then_some(single).ok_or_else(|| inexact(at, value))
                });
                singles.collect::<Result<_, _>>().map(Buffer::F32)
            }
            Type::I64 => {
                let wholes = each.map(|(at, value)| whole(value).ok_or_else(|| inexact(at, value)));
                wholes.collect::<Result<_, _>>().map(Buffer::I64)
            }
            Type::I32 => {
                let wholes = each.map(|(at, value)| {
                    let whole = whole(value).and_then(|whole| i32::try_from(whole).ok());
                    whole.ok_or_else(|| inexact(at, value))
                });
                wholes.collect::<Result<_, _>>().map(Buffer::I32)
            }
            Type::F64 | Type::Bool | Type::Text => Ok(Buffer::F64(values)),
        }
    }

    /// Names an element.
    fn place(&self, at: usize) -> String {
        let width = self.width().max(1);
        let (row, column) = (at / width, at % width);
        let features = &self.model.signature().features;
        let named = features.get(self.first + column);
        match named.filter(|feature| feature.name != self.name()) {
            Some(feature) => format!(
                "input `{}`, row {row}, column {column} ({})",
                self.name(),
                feature.name
            ),
            None => format!("input `{}`, row {row}, column {column}", self.name()),
        }
    }

    fn refuse(&self, at: usize, got: &str) -> Failure {
        let expected = match self.element() {
            Type::Text => "a text",
            Type::Bool => "true or false",
            Type::F32 | Type::F64 | Type::I32 | Type::I64 => "a number",
        };
        Failure::new(
            StatusCode::BAD_REQUEST,
            format!("{}: got {got}, expected {expected}", self.place(at)),
        )
    }

    fn refuse_inexact(&self, Inexact { at, value }: Inexact) -> Failure {
        Failure::bad_request(format!(
            "{}: got {value}, expected a whole number that is exact as FP64",
            self.place(at)
        ))
    }
}

/// Returns a whole number of 64 bits.
fn whole(value: f64) -> Option<i64> {
    let end = 2_f64.powi(63);
    let is_whole = value.fract() == 0.0 && (-end..end).contains(&value);
    #[expect(clippy::cast_possible_truncation, reason = "it is whole and in range")]
    is_whole.then_some(value as i64)
}

/// Writes lengths as the protocol does.
pub(super) fn listed(shape: &[usize]) -> String {
    let lengths: Vec<String> = shape.iter().map(ToString::to_string).collect();
    format!("[{}]", lengths.join(","))
}
