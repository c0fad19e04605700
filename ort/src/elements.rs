//! The elements of tensors, as they are sent and as ONNX Runtime has them.

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
        Ok(match element {
            Type::F32 => Self::F32(values.elements()?),
            Type::F64 => Self::F64(values.elements()?),
            Type::I64 => Self::I64(values.elements()?),
            Type::I32 => Self::I32(values.elements()?),
            Type::Bool => Self::Bool(values.elements()?),
            Type::Text => {
                let text = |text: &[u8]| {
                    let text = str::from_utf8(text).map_err(|_not_utf_8| "a text is not UTF-8".to_owned());
                    text.map(str::to_owned)
                };
                Self::Text(values.texts(text)?)
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
    pub(crate) fn values(&self) -> Values {
        match self {
            Self::F32(elements) => Values::of(elements),
            Self::F64(elements) => Values::of(elements),
            Self::I64(elements) => Values::of(elements),
            Self::I32(elements) => Values::of(elements),
            Self::Bool(elements) => Values::of(elements),
            Self::Text(elements) => Values::of_texts(elements.iter().map(String::as_bytes)),
        }
    }
}
