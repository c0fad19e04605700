//! The signature in an artifact's own metadata: one property whose value is JSON, which other tools read too.

use serde_json::Value;

use super::ArtifactError;
use super::onnx::StringStringEntryProto;
use crate::error::why;
use crate::metadata::Signature;

/// The key of the property.
pub const SIGNATURE_KEY: &str = "aurora.io/signature";

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

/// Reads the property; `None` where there is none.
pub(super) fn read(properties: &[StringStringEntryProto]) -> Result<Option<Signature>, ArtifactError> {
    let fail = |problem: String| {
        Err(ArtifactError::Inconsistent {
            place: format!("property {SIGNATURE_KEY:?}"),
            problem,
        })
    };
    let mut ours = properties.iter().filter(|property| property.key == SIGNATURE_KEY);
    let Some(property) = ours.next() else {
        return Ok(None);
    };
    if ours.next().is_some() {
        return fail("is given twice".to_owned());
    }
    if property.value.len() > BYTES_MAX {
        return fail(format!("has more than {BYTES_MAX} bytes"));
    }
    match serde_json::from_str(&property.value) {
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
