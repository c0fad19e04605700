//! The protocol's types: how wide they are, what they are as doubles, and which of them an input takes.

use engine::Type;
use strum::{EnumString, IntoStaticStr};

/// From here on, not every whole number is a double.
const EXACT_MAX: u128 = 1 << f64::MANTISSA_DIGITS;

/// A tensor type. All values of numbers are doubles, or of whole numbers of 64 bits those that are exact.
#[derive(Debug, Clone, Copy, PartialEq, Eq, EnumString, IntoStaticStr)]
#[strum(serialize_all = "UPPERCASE")]
pub(super) enum Datatype {
    Fp64,
    Fp32,
    /// In binary only: it has no form in JSON.
    Fp16,
    Int8,
    Int16,
    Int32,
    Int64,
    Uint8,
    Uint16,
    Uint32,
    Uint64,
    Bool,
    /// Texts.
    Bytes,
}

/// A whole number that no double is, and where it stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Inexact {
    pub(super) at: usize,
    pub(super) value: i128,
}

/// Says whether a whole number is a double; `rounded` is the nearest one.
#[expect(
    clippy::cast_possible_truncation,
    reason = "rounded whole numbers of 64 bits fit"
)]
pub(super) fn is_exact(value: i128, rounded: f64) -> bool {
    value.unsigned_abs() <= EXACT_MAX || rounded as i128 == value
}

impl Datatype {
    /// Returns its name on the wire.
    pub(super) fn as_str(self) -> &'static str {
        self.into()
    }

    /// Says whether an input of this type takes all values of the datatype, or those that it holds exactly.
    pub(super) const fn widens_to(self, element: Type) -> bool {
        let is_whole = matches!(
            self,
            Self::Int8
                | Self::Int16
                | Self::Int32
                | Self::Int64
                | Self::Uint8
                | Self::Uint16
                | Self::Uint32
                | Self::Uint64
        );
        match element {
            Type::F64 => is_whole || matches!(self, Self::Fp64 | Self::Fp32 | Self::Fp16),
            Type::F32 => is_whole || matches!(self, Self::Fp32 | Self::Fp16),
            Type::I64 | Type::I32 => is_whole,
            Type::Bool => matches!(self, Self::Bool),
            Type::Text => matches!(self, Self::Bytes),
        }
    }

    /// Returns how many bytes an element takes in binary; of a text those of its length before it.
    pub(super) const fn width(self) -> usize {
        match self {
            Self::Int8 | Self::Uint8 | Self::Bool => 1,
            Self::Fp16 | Self::Int16 | Self::Uint16 => 2,
            Self::Fp32 | Self::Int32 | Self::Uint32 | Self::Bytes => 4,
            Self::Fp64 | Self::Int64 | Self::Uint64 => 8,
        }
    }

    /// Returns what an element is that JSON gives as this number; `None` where the type cannot hold it.
    pub(super) fn of_literal(self, value: f64) -> Option<f64> {
        let whole =
            |from: f64, end: f64| (value.fract() == 0.0 && (from..end).contains(&value)).then_some(value);
        let signed = |bits: i32| whole(-2_f64.powi(bits - 1), 2_f64.powi(bits - 1));
        let unsigned = |bits: i32| whole(0.0, 2_f64.powi(bits));
        match self {
            Self::Fp64 => Some(value),
            #[expect(
                clippy::cast_possible_truncation,
                reason = "the type's own rounding, as its sender meant it"
            )]
            Self::Fp32 => Some(f64::from(value as f32)).filter(|value| value.is_finite()),
            Self::Fp16 | Self::Bool | Self::Bytes => None,
            Self::Int8 => signed(8),
            Self::Int16 => signed(16),
            Self::Int32 => signed(32),
            Self::Int64 => signed(64),
            Self::Uint8 => unsigned(8),
            Self::Uint16 => unsigned(16),
            Self::Uint32 => unsigned(32),
            Self::Uint64 => unsigned(64),
        }
    }

    /// Reads numbers as the binary tensor extension sends them, little-endian.
    ///
    /// # Panics
    ///
    /// If it is no type of numbers.
    #[expect(
        clippy::cast_precision_loss,
        reason = "it is looked whether each one is exact"
    )]
    pub(super) fn decode(self, bytes: &[u8]) -> Result<Vec<f64>, Inexact> {
        match self {
            Self::Fp64 => Ok(widened(bytes, f64::from_le_bytes)),
            Self::Fp32 => Ok(widened(bytes, |element| f32::from_le_bytes(element).into())),
            Self::Fp16 => Ok(widened(bytes, |element| half(u16::from_le_bytes(element)))),
            Self::Int8 => Ok(widened(bytes, |element| i8::from_le_bytes(element).into())),
            Self::Int16 => Ok(widened(bytes, |element| i16::from_le_bytes(element).into())),
            Self::Int32 => Ok(widened(bytes, |element| i32::from_le_bytes(element).into())),
            Self::Uint8 => Ok(widened(bytes, |element| u8::from_le_bytes(element).into())),
            Self::Uint16 => Ok(widened(bytes, |element| u16::from_le_bytes(element).into())),
            Self::Uint32 => Ok(widened(bytes, |element| u32::from_le_bytes(element).into())),
            Self::Bool | Self::Bytes => {
                unreachable!("invariant: texts and truth values are read by their own")
            }
            Self::Int64 => exact(bytes, |element| {
                let value = i64::from_le_bytes(element);
                (value.into(), value as f64)
            }),
            Self::Uint64 => exact(bytes, |element| {
                let value = u64::from_le_bytes(element);
                (value.into(), value as f64)
            }),
        }
    }
}

fn widened<const WIDTH: usize>(bytes: &[u8], widen: impl Fn([u8; WIDTH]) -> f64) -> Vec<f64> {
    let (elements, _rest) = bytes.as_chunks();
    elements.iter().map(|element| widen(*element)).collect()
}

fn exact(bytes: &[u8], read: impl Fn([u8; 8]) -> (i128, f64)) -> Result<Vec<f64>, Inexact> {
    let (elements, _rest) = bytes.as_chunks();
    let read = elements.iter().map(|element| read(*element)).enumerate();
    read.map(|(at, (value, rounded))| {
        if is_exact(value, rounded) {
            Ok(rounded)
        } else {
            Err(Inexact { at, value })
        }
    })
    .collect()
}

/// Returns what the bits of a half-precision number mean.
fn half(bits: u16) -> f64 {
    let sign = if bits >> 15 == 0 { 1.0 } else { -1.0 };
    let fraction = f64::from(bits & 0x3ff);
    sign * match i32::from(bits >> 10 & 0x1f) {
        0 => fraction * 2_f64.powi(-24),
        0x1f if fraction == 0.0 => f64::INFINITY,
        0x1f => f64::NAN,
        exponent => (1024.0 + fraction) * 2_f64.powi(exponent - 25),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_type_reads_its_extremes() {
        for (datatype, bytes, expected) in [
            ("FP64", &0.1_f64.to_le_bytes()[..], vec![0.1]),
            ("FP32", &0.1_f32.to_le_bytes(), vec![f64::from(0.1_f32)]),
            // Smallest and largest of those below one, one, the largest of all, and minus infinity.
            (
                "FP16",
                &[0x01, 0x00, 0xff, 0x3b, 0x00, 0x3c, 0xff, 0x7b, 0x00, 0xfc],
                vec![
                    2_f64.powi(-24),
                    1.0 - 2_f64.powi(-11),
                    1.0,
                    65504.0,
                    f64::NEG_INFINITY,
                ],
            ),
            ("INT8", &[0x80, 0x7f], vec![-128.0, 127.0]),
            ("INT16", &[0x00, 0x80, 0xff, 0x7f], vec![-32768.0, 32767.0]),
            ("INT32", &i32::MIN.to_le_bytes(), vec![-2_147_483_648.0]),
            ("INT64", &i64::MIN.to_le_bytes(), vec![-2_f64.powi(63)]),
            ("INT64", &(1_i64 << 53).to_le_bytes(), vec![2_f64.powi(53)]),
            ("UINT8", &[0xff, 0x00], vec![255.0, 0.0]),
            ("UINT16", &[0xff, 0xff], vec![65535.0]),
            ("UINT32", &u32::MAX.to_le_bytes(), vec![4_294_967_295.0]),
            ("UINT64", &(1_u64 << 63).to_le_bytes(), vec![2_f64.powi(63)]),
        ] {
            let read: Datatype = datatype.parse().expect("a type");
            assert_eq!(read.as_str(), datatype);
            assert_eq!(read.decode(bytes), Ok(expected), "{datatype}");
        }
        let nan = Datatype::Fp16.decode(&[0x01, 0x7c]).expect("read");
        assert!(nan[0].is_nan());
    }

    #[test]
    fn whole_numbers_that_are_no_doubles_are_told() {
        for (datatype, bytes, value) in [
            (
                Datatype::Int64,
                ((1_i64 << 53) + 1).to_le_bytes(),
                (1_i128 << 53) + 1,
            ),
            (Datatype::Int64, i64::MAX.to_le_bytes(), i64::MAX.into()),
            (Datatype::Uint64, u64::MAX.to_le_bytes(), u64::MAX.into()),
        ] {
            let two = [[0; 8], bytes].concat();
            assert_eq!(datatype.decode(&two), Err(Inexact { at: 1, value }));
        }
    }

    #[test]
    fn literals_outside_of_a_type_are_none() {
        for (datatype, inside, outside) in [
            (Datatype::Int8, -128.0, 128.0),
            (Datatype::Uint8, 255.0, -1.0),
            (Datatype::Int64, -2_f64.powi(63), 2_f64.powi(63)),
            (Datatype::Uint64, 2_f64.powi(63), 2_f64.powi(64)),
            (Datatype::Int32, 5.0, 5.5),
            (Datatype::Fp32, 0.5, 1e300),
        ] {
            assert_eq!(datatype.of_literal(inside), Some(inside), "{datatype:?}");
            assert_eq!(datatype.of_literal(outside), None, "{datatype:?}");
        }
    }
}
