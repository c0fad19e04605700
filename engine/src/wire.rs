//! Protobuf's wire format, read in place: nothing is copied and nothing is allocated.
//!
//! Source: <https://protobuf.dev/programming-guides/encoding/>.

use crate::refusal::{Limits, Refusal};

/// The most entries of a list that take more memory than they take in the file: 256 MiB of whole numbers.
pub(crate) const ENTRIES_MAX: usize = 32 << 20;

/// The value of a field.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Wire<'a> {
    /// A whole number, or whole numbers of another width and sign.
    Varint(u64),
    /// Four bytes, little-endian.
    Fixed32([u8; 4]),
    /// Eight bytes, little-endian.
    Fixed64([u8; 8]),
    /// A text, bytes, a message, or packed numbers.
    Bytes(&'a [u8]),
}

/// The fields of a message, in their order.
#[derive(Debug, Clone)]
pub(crate) struct Fields<'a> {
    rest: &'a [u8],
}

impl<'a> Fields<'a> {
    pub(crate) const fn of(message: &'a [u8]) -> Self {
        Self { rest: message }
    }

    fn take(&mut self, count: usize) -> Result<&'a [u8], Refusal> {
        let (taken, rest) = self
            .rest
            .split_at_checked(count)
            .ok_or_else(|| Refusal::malformed("a field ends after its message"))?;
        self.rest = rest;
        Ok(taken)
    }

    fn varint(&mut self) -> Result<u64, Refusal> {
        varint(&mut self.rest)
    }

    fn field(&mut self) -> Result<(u32, Wire<'a>), Refusal> {
        let key = self.varint()?;
        let tag =
            u32::try_from(key >> 3).map_err(|_large| Refusal::malformed("a field's number is too large"))?;
        let value = match key & 7 {
            0 => Wire::Varint(self.varint()?),
            1 => Wire::Fixed64(array(self.take(8)?)),
            2 => {
                let length = usize::try_from(self.varint()?)
                    .map_err(|_large| Refusal::malformed("a field ends after its message"))?;
                Wire::Bytes(self.take(length)?)
            }
            5 => Wire::Fixed32(array(self.take(4)?)),
            3 | 4 => return Err(Refusal::malformed("a protobuf group, which ONNX does not use")),
            _ => return Err(Refusal::malformed("a field of no known wire type")),
        };
        Ok((tag, value))
    }
}

impl<'a> Iterator for Fields<'a> {
    type Item = Result<(u32, Wire<'a>), Refusal>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let field = self.field();
        if field.is_err() {
            self.rest = &[];
        }
        Some(field)
    }
}

/// Reads one varint from the front of `bytes`.
fn varint(bytes: &mut &[u8]) -> Result<u64, Refusal> {
    let mut value = 0;
    for (place, byte) in bytes.iter().enumerate().take(10) {
        value |= u64::from(byte & 0x7f) << (7 * place);
        if byte & 0x80 == 0 {
            *bytes = &bytes[place + 1..];
            return Ok(value);
        }
    }
    Err(Refusal::malformed("a whole number does not end"))
}

fn array<const N: usize>(bytes: &[u8]) -> [u8; N] {
    bytes.try_into().expect("invariant: as many bytes were taken")
}

impl<'a> Wire<'a> {
    /// Returns a text or message.
    pub(crate) fn bytes(self) -> Result<&'a [u8], Refusal> {
        match self {
            Self::Bytes(bytes) => Ok(bytes),
            _ => Err(Refusal::malformed("a number where a text or message belongs")),
        }
    }

    /// Returns a text.
    pub(crate) fn text(self) -> Result<&'a str, Refusal> {
        str::from_utf8(self.bytes()?).map_err(|_bytes| Refusal::malformed("a name is not UTF-8"))
    }

    /// Returns a whole number.
    pub(crate) fn int(self) -> Result<i64, Refusal> {
        match self {
            Self::Varint(value) => Ok(value.cast_signed()),
            _ => Err(Refusal::malformed("a text where a whole number belongs")),
        }
    }

    /// Returns a float.
    pub(crate) fn float(self) -> Result<f32, Refusal> {
        match self {
            Self::Fixed32(bytes) => Ok(f32::from_le_bytes(bytes)),
            _ => Err(Refusal::malformed("no float where one belongs")),
        }
    }

    /// Adds the whole numbers of a repeated field, packed or not.
    pub(crate) fn ints(self, into: &mut Vec<i64>) -> Result<(), Refusal> {
        match self {
            Self::Bytes(mut packed) => {
                // Each varint has exactly one byte without the continuation bit.
                let count = packed.iter().filter(|byte| **byte < 0x80).count();
                Limits::check("whole numbers in a list", into.len() + count, ENTRIES_MAX)?;
                into.reserve(count);
                while !packed.is_empty() {
                    into.push(varint(&mut packed)?.cast_signed());
                }
                Ok(())
            }
            value => {
                Limits::check("whole numbers in a list", into.len() + 1, ENTRIES_MAX)?;
                into.push(value.int()?);
                Ok(())
            }
        }
    }

    /// Adds the floats of a repeated field, packed or not.
    pub(crate) fn floats(self, into: &mut Vec<f32>) -> Result<(), Refusal> {
        match self {
            Self::Bytes(packed) => numbers(packed, f32::from_le_bytes, into),
            value => {
                into.push(value.float()?);
                Ok(())
            }
        }
    }

    /// Adds the doubles of a repeated field, packed or not.
    pub(crate) fn doubles(self, into: &mut Vec<f64>) -> Result<(), Refusal> {
        match self {
            Self::Bytes(packed) => numbers(packed, f64::from_le_bytes, into),
            Self::Fixed64(bytes) => {
                into.push(f64::from_le_bytes(bytes));
                Ok(())
            }
            _ => Err(Refusal::malformed("no double where one belongs")),
        }
    }
}

/// Adds numbers of a fixed width that stand one after another.
pub(crate) fn numbers<const N: usize, T>(
    packed: &[u8],
    read: fn([u8; N]) -> T,
    into: &mut Vec<T>,
) -> Result<(), Refusal> {
    let (whole, rest) = packed.as_chunks::<N>();
    if !rest.is_empty() {
        return Err(Refusal::malformed("packed numbers end in the middle of one"));
    }
    into.extend(whole.iter().map(|bytes| read(*bytes)));
    Ok(())
}
