//! The signature in an artifact's own metadata: one property whose value is JSON, which other tools read too.

use prost::Message as _;
use prost::encoding::{DecodeContext, WireType, decode_key, message, skip_field};
use serde_json::Value;

use super::ArtifactError;
use super::onnx::StringStringEntryProto;
use crate::error::why;
use crate::metadata::Signature;

/// The key of the property.
pub const SIGNATURE_KEY: &str = "aurora.io/signature";

/// The field of `ModelProto` that holds the metadata.
const PROPERTIES: u32 = 14;
/// The largest value that is read, in bytes.
const BYTES_MAX: usize = 8 << 20;

/// Writes the property. The same signature gives the same bytes.
pub(super) fn property(signature: &Signature) -> StringStringEntryProto {
    let value =
        serde_json::to_value(signature).expect("invariant: a signature has text keys and cannot fail");
    let mut text = String::new();
    write(&value, &mut text);
    StringStringEntryProto {
        key: SIGNATURE_KEY.to_owned(),
        value: text,
    }
}

/// Returns an artifact of somebody else's with `signature` in its metadata, in the place of one that it may have there.
/// All else stays byte for byte.
///
/// # Errors
///
/// The bytes are no protobuf message.
pub fn with_signature(artifact: &[u8], signature: &Signature) -> Result<Vec<u8>, ArtifactError> {
    let ours = property(signature);
    let mut out = Vec::with_capacity(artifact.len() + ours.encoded_len() + 16);
    let mut rest = artifact;
    while !rest.is_empty() {
        let field = rest;
        let (tag, wire) = decode_key(&mut rest)?;
        let is_property = tag == PROPERTIES && wire == WireType::LengthDelimited;
        let own = is_property.then(|| StringStringEntryProto::decode_length_delimited(rest));
        skip_field(wire, tag, &mut rest, DecodeContext::default())?;
        let is_signature = own.is_some_and(|entry| entry.is_ok_and(|entry| entry.key == SIGNATURE_KEY));
        if !is_signature {
            out.extend_from_slice(&field[..field.len() - rest.len()]);
        }
    }
    message::encode(PROPERTIES, &ours, &mut out);
    Ok(out)
}

/// Returns the metadata of an artifact of which nothing else is read.
pub(super) fn properties(artifact: &[u8]) -> Result<Vec<(String, String)>, ArtifactError> {
    let mut properties = Vec::new();
    let mut rest = artifact;
    while !rest.is_empty() {
        let (tag, wire) = decode_key(&mut rest)?;
        if tag == PROPERTIES && wire == WireType::LengthDelimited {
            let StringStringEntryProto { key, value } =
                StringStringEntryProto::decode_length_delimited(rest)?;
            properties.push((key, value));
        }
        skip_field(wire, tag, &mut rest, DecodeContext::default())?;
    }
    Ok(properties)
}

/// Reads the property; `None` where there is none.
pub(super) fn read(properties: &[(String, String)]) -> Result<Option<Signature>, ArtifactError> {
    let fail = |problem: String| Err(ArtifactError::Property { problem });
    let mut ours = properties.iter().filter(|(key, _)| key == SIGNATURE_KEY);
    let Some((_, value)) = ours.next() else {
        return Ok(None);
    };
    if ours.next().is_some() {
        return fail("is given twice".to_owned());
    }
    if value.len() > BYTES_MAX {
        return fail(format!("has more than {BYTES_MAX} bytes"));
    }
    match serde_json::from_str(value) {
        Ok(signature) => Ok(Some(signature)),
        Err(error) => fail(format!("is no signature: {}", why(&error))),
    }
}

/// Writes JSON without spaces and with sorted keys, whatever order its maps keep.
fn write(value: &Value, out: &mut String) {
    match value {
        Value::Array(items) => {
            out.push('[');
            for (at, item) in items.iter().enumerate() {
                separate(at, out);
                write(item, out);
            }
            out.push(']');
        }
        Value::Object(fields) => {
            let mut sorted: Vec<_> = fields.iter().collect();
            sorted.sort_by_key(|(key, _)| *key);
            out.push('{');
            for (at, (key, field)) in sorted.into_iter().enumerate() {
                separate(at, out);
                out.push_str(&Value::from(key.as_str()).to_string());
                out.push(':');
                write(field, out);
            }
            out.push('}');
        }
        scalar => out.push_str(&scalar.to_string()),
    }
}

fn separate(at: usize, out: &mut String) {
    if at > 0 {
        out.push(',');
    }
}
