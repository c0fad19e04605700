//! The elements of tensors, as they are sent and as ONNX Runtime has them.

use std::collections::HashMap;
use std::ops::Range;

use aurora_ort::protocol::Values;
use engine::Type;
use ort::value::{DynValue, Tensor};

/// How far, relative to the larger, an answer may be from that of the same row beside another one.
const SAME: f64 = 1e-4;

/// The elements of a tensor.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Elements {
    F32(Vec<f32>),
    F64(Vec<f64>),
    I64(Vec<i64>),
    I32(Vec<i32>),
    Bool(Vec<bool>),
    Text(Vec<String>),
}

impl Elements {
    /// Reads what was sent for an input of a type.
    pub(crate) fn read(element: Type, values: &Values) -> Result<Self, String> {
        fn numbers<T, const N: usize>(bytes: &[u8], read: impl Fn([u8; N]) -> T) -> Vec<T> {
            let whole = bytes.as_chunks::<N>().0;
            whole.iter().map(|bytes| read(*bytes)).collect()
        }
        let bytes = &values.numbers[..];
        Ok(match element {
            Type::F32 => Self::F32(numbers(bytes, f32::from_le_bytes)),
            Type::F64 => Self::F64(numbers(bytes, f64::from_le_bytes)),
            Type::I64 => Self::I64(numbers(bytes, i64::from_le_bytes)),
            Type::I32 => Self::I32(numbers(bytes, i32::from_le_bytes)),
            Type::Bool => Self::Bool(bytes.iter().map(|byte| *byte != 0).collect()),
            Type::Text => {
                let known = values.known.iter().map(|text| String::from_utf8(text.clone()));
                let known = known.collect::<Result<Vec<_>, _>>();
                let known = known.map_err(|_not_utf_8| "a text is not UTF-8".to_owned())?;
                let texts = values.texts.iter().map(|place| {
                    let text = known.get(usize::try_from(*place).unwrap_or(usize::MAX));
                    text.cloned().ok_or_else(|| "a text is not there".to_owned())
                });
                Self::Text(texts.collect::<Result<_, _>>()?)
            }
        })
    }

    pub(crate) fn len(&self) -> usize {
        match self {
            Self::F32(elements) => elements.len(),
            Self::F64(elements) => elements.len(),
            Self::I64(elements) => elements.len(),
            Self::I32(elements) => elements.len(),
            Self::Bool(elements) => elements.len(),
            Self::Text(elements) => elements.len(),
        }
    }

    pub(crate) const fn are_fractions(&self) -> bool {
        matches!(self, Self::F32(_) | Self::F64(_))
    }

    pub(crate) fn are_finite(&self, range: Range<usize>) -> bool {
        match self {
            Self::F32(elements) => elements[range].iter().all(|element| element.is_finite()),
            Self::F64(elements) => elements[range].iter().all(|element| element.is_finite()),
            _ => true,
        }
    }

    /// Says whether `width` elements from `at` on are those of another one, as near as the order of sums allows.
    pub(crate) fn is_same(&self, at: usize, other: &Self, width: usize) -> bool {
        fn near(a: f64, b: f64) -> bool {
            a.to_bits() == b.to_bits()
                || (a.is_nan() && b.is_nan())
                || (a - b).abs() <= SAME * a.abs().max(b.abs()).max(1.0)
        }
        let range = at..at + width;
        if self.len() < range.end || other.len() != width {
            return false;
        }
        match (self, other) {
            (Self::F32(a), Self::F32(b)) => {
                let mut both = a[range].iter().zip(b);
                both.all(|(a, b)| near(f64::from(*a), f64::from(*b)))
            }
            (Self::F64(a), Self::F64(b)) => a[range].iter().zip(b).all(|(a, b)| near(*a, *b)),
            (Self::I64(a), Self::I64(b)) => a[range] == b[..],
            (Self::I32(a), Self::I32(b)) => a[range] == b[..],
            (Self::Bool(a), Self::Bool(b)) => a[range] == b[..],
            (Self::Text(a), Self::Text(b)) => a[range] == b[..],
            _ => false,
        }
    }

    pub(crate) fn tensor(self, shape: Vec<usize>) -> ort::Result<DynValue> {
        Ok(match self {
            Self::F32(elements) => Tensor::from_array((shape, elements))?.into_dyn(),
            Self::F64(elements) => Tensor::from_array((shape, elements))?.into_dyn(),
            Self::I64(elements) => Tensor::from_array((shape, elements))?.into_dyn(),
            Self::I32(elements) => Tensor::from_array((shape, elements))?.into_dyn(),
            Self::Bool(elements) => Tensor::from_array((shape, elements))?.into_dyn(),
            Self::Text(elements) => Tensor::from_string_array((shape, &elements[..]))?.into_dyn(),
        })
    }

    /// Returns them as they are sent.
    pub(crate) fn values(self) -> Values {
        fn bytes<T, const N: usize>(elements: Vec<T>, write: impl Fn(T) -> [u8; N]) -> Values {
            Values {
                numbers: elements.into_iter().flat_map(write).collect(),
                ..Values::default()
            }
        }
        match self {
            Self::F32(elements) => bytes(elements, f32::to_le_bytes),
            Self::F64(elements) => bytes(elements, f64::to_le_bytes),
            Self::I64(elements) => bytes(elements, i64::to_le_bytes),
            Self::I32(elements) => bytes(elements, i32::to_le_bytes),
            Self::Bool(elements) => bytes(elements, |truth| [u8::from(truth)]),
            Self::Text(elements) => {
                let mut places: HashMap<String, u32> = HashMap::new();
                let mut known = Vec::new();
                let texts = elements.into_iter().map(|text| {
                    *places.entry(text).or_insert_with_key(|text| {
                        known.push(text.clone().into_bytes());
                        u32::try_from(known.len() - 1).unwrap_or(u32::MAX)
                    })
                });
                let texts = texts.collect();
                Values {
                    numbers: Vec::new(),
                    texts,
                    known,
                }
            }
        }
    }
}
