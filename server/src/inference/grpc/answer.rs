//! A `ModelInferResponse`, written once into its frame.

use engine::Buffer;
use prost::encoding::{WireType, encode_key, encode_varint, encoded_len_varint};

use super::frames::framed;
use crate::inference::protocol::{Elements, InferResponse, OutputTensor};

/// The length of a key: all of the protocol's fields have numbers below 16.
const KEY_BYTES: usize = 1;

/// Writes an answer; the elements of its outputs as bytes, or as numbers in the field of their type.
pub(in crate::inference) fn answer(response: &InferResponse<'_>, raw: bool) -> Vec<u8> {
    let InferResponse {
        model_name,
        model_version,
        id,
        outputs,
    } = response;
    let id = id.unwrap_or_default();
    let outputs: Vec<Output<'_>> = outputs.iter().map(|output| Output::of(output, raw)).collect();
    let length = text_len(model_name) + text_len(model_version) + text_len(id);
    let length = outputs.iter().fold(length, |length, output| {
        length + nested_len(output.length()) + output.raw.map_or(0, nested_len)
    });
    framed(length, |bytes| {
        write_text(bytes, 1, model_name);
        write_text(bytes, 2, model_version);
        write_text(bytes, 3, id);
        for output in &outputs {
            output.write(bytes);
        }
        for output in &outputs {
            if let Some(length) = output.raw {
                begin(bytes, 6, length);
                output.elements.append_to(bytes);
            }
        }
    })
}

/// An output, and what its parts take.
struct Output<'a> {
    tensor: &'a OutputTensor<'a>,
    elements: Elements<'a>,
    shape: usize,
    /// The length of its elements where they come as bytes.
    raw: Option<usize>,
    /// That of its `InferTensorContents` otherwise.
    contents: Option<usize>,
}

impl<'a> Output<'a> {
    fn of(tensor: &'a OutputTensor<'a>, is_raw: bool) -> Self {
        let elements = tensor.data.expect("invariant: a message has all elements");
        let lengths = tensor
            .shape
            .iter()
            .map(|length| encoded_len_varint(*length as u64));
        Self {
            raw: is_raw.then(|| elements.binary_bytes()),
            contents: (!is_raw).then(|| contents_len(elements)),
            shape: lengths.sum(),
            elements,
            tensor,
        }
    }

    fn length(&self) -> usize {
        let shape = if self.shape == 0 {
            0
        } else {
            nested_len(self.shape)
        };
        text_len(self.tensor.name)
            + text_len(self.tensor.datatype)
            + shape
            + self.contents.map_or(0, nested_len)
    }

    fn write(&self, bytes: &mut Vec<u8>) {
        begin(bytes, 5, self.length());
        write_text(bytes, 1, self.tensor.name);
        write_text(bytes, 2, self.tensor.datatype);
        if self.shape > 0 {
            begin(bytes, 3, self.shape);
            for length in &self.tensor.shape {
                encode_varint(*length as u64, bytes);
            }
        }
        if let Some(length) = self.contents {
            begin(bytes, 5, length);
            write_contents(self.elements, bytes);
        }
    }
}

/// Returns what a tensor's elements take in the field of their type.
fn contents_len(elements: Elements<'_>) -> usize {
    match elements.buffer {
        Buffer::Text(symbols) => symbols
            .iter()
            .map(|symbol| nested_len(elements.text(*symbol).len()))
            .sum(),
        numbers if numbers.is_empty() => 0,
        numbers => nested_len(packed_len(numbers)),
    }
}

/// Returns what numbers take one behind the other.
fn packed_len(numbers: &Buffer) -> usize {
    match numbers {
        Buffer::F32(numbers) => size_of_val(&numbers[..]),
        Buffer::F64(numbers) => size_of_val(&numbers[..]),
        Buffer::Bool(truths) => truths.len(),
        Buffer::I32(numbers) => numbers.iter().map(|number| whole_len((*number).into())).sum(),
        Buffer::I64(numbers) => numbers.iter().map(|number| whole_len(*number)).sum(),
        Buffer::Text(_) => 0,
    }
}

fn write_contents(elements: Elements<'_>, bytes: &mut Vec<u8>) {
    let field = match elements.buffer {
        Buffer::Text(symbols) => {
            for symbol in symbols {
                let text = elements.text(*symbol);
                begin(bytes, 8, text.len());
                bytes.extend_from_slice(text);
            }
            return;
        }
        numbers if numbers.is_empty() => return,
        Buffer::Bool(_) => 1,
        Buffer::I32(_) => 2,
        Buffer::I64(_) => 3,
        Buffer::F32(_) => 6,
        Buffer::F64(_) => 7,
    };
    begin(bytes, field, packed_len(elements.buffer));
    match elements.buffer {
        Buffer::I32(numbers) => {
            for number in numbers {
                encode_varint(i64::from(*number).cast_unsigned(), bytes);
            }
        }
        Buffer::I64(numbers) => {
            for number in numbers {
                encode_varint(number.cast_unsigned(), bytes);
            }
        }
        // As they are: little-endian, a truth value in a byte.
        _ => elements.append_to(bytes),
    }
}

fn whole_len(number: i64) -> usize {
    encoded_len_varint(number.cast_unsigned())
}

/// Returns what a part of this length takes, with its key and its length.
fn nested_len(length: usize) -> usize {
    KEY_BYTES + encoded_len_varint(length as u64) + length
}

/// Returns what a text takes: an empty one is left out.
fn text_len(text: &str) -> usize {
    if text.is_empty() {
        0
    } else {
        nested_len(text.len())
    }
}

fn begin(bytes: &mut Vec<u8>, field: u32, length: usize) {
    encode_key(field, WireType::LengthDelimited, bytes);
    encode_varint(length as u64, bytes);
}

fn write_text(bytes: &mut Vec<u8>, field: u32, text: &str) {
    if !text.is_empty() {
        begin(bytes, field, text.len());
        bytes.extend_from_slice(text.as_bytes());
    }
}

#[cfg(test)]
mod tests;
