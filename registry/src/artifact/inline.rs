//! Large tensors that an exporter left in files beside the model, taken into it: a version is one file.
//!
//! Source: `TensorProto.external_data` of `onnx.proto`, and <https://onnx.ai/onnx/repo-docs/ExternalData.html>. Messages are not
//! decoded as a whole: whatever lies in no other file stays byte for byte.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use prost::Message as _;
use prost::encoding::{
    DecodeContext, WireType, decode_key, decode_varint, encode_key, encode_varint, encoded_len_varint,
    key_len, skip_field,
};

use super::onnx::StringStringEntryProto;
use super::{ArtifactError, Limits};

/// How deep messages may lie in each other: graphs in attributes of nodes of graphs.
const DEPTH_MAX: usize = 40;
/// The most files that a model may refer to.
const FILES_MAX: usize = 64;
/// The fields of `TensorProto` that hold its values, that say where else they lie, and that they do.
const RAW_DATA: u32 = 9;
const EXTERNAL_DATA: u32 = 13;
const DATA_LOCATION: u32 = 14;

/// Returns the names of the files that a model's tensors lie in: of most models none.
///
/// # Errors
///
/// The bytes are no protobuf message, or refer to more files than are taken.
pub fn files_of(artifact: &[u8]) -> Result<BTreeSet<String>, ArtifactError> {
    let mut names = BTreeSet::new();
    collect(artifact, Kind::Model, 0, &mut names)?;
    Ok(names)
}

/// Returns a model with those tensors in it that lie in `files`, by their names; one of which none does stays as it is.
///
/// # Errors
///
/// A file is missing, has not what a tensor says to lie there, or is none that the model refers to; or the model would be
/// larger than one may be.
pub fn with_files(
    artifact: Vec<u8>,
    files: &BTreeMap<String, Vec<u8>>,
    limits: &Limits,
) -> Result<Vec<u8>, ArtifactError> {
    let named = files_of(&artifact)?;
    if let Some(missing) = named.iter().find(|name| !files.contains_key(*name)) {
        return fail(format!(
            "a tensor lies in the file {missing:?}, which is not given"
        ));
    }
    if let Some(unknown) = files.keys().find(|name| !named.contains(*name)) {
        return fail(format!("no tensor of the model lies in the file {unknown:?}"));
    }
    if named.is_empty() {
        return Ok(artifact);
    }
    let mut lengths = Vec::new();
    let bytes = measure(&artifact, Kind::Model, files, &mut lengths)?;
    if bytes > limits.bytes_max {
        return fail(format!(
            "with its files the model has {bytes} bytes, and at most {} are taken",
            limits.bytes_max
        ));
    }
    let mut out = Vec::with_capacity(bytes);
    write(&artifact, Kind::Model, files, &mut lengths.into_iter(), &mut out)?;
    Ok(out)
}

fn fail<T>(problem: String) -> Result<T, ArtifactError> {
    Err(ArtifactError::External { problem })
}

/// A message that a tensor may lie in, or a tensor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Model,
    Graph,
    Node,
    Attribute,
    Tensor,
}

impl Kind {
    /// Returns what a field of it holds, where tensors may lie in that.
    const fn of_field(self, tag: u32) -> Option<Self> {
        Some(match (self, tag) {
            (Self::Model, 7) | (Self::Attribute, 6 | 11) => Self::Graph,
            (Self::Graph, 1) => Self::Node,
            (Self::Node, 5) => Self::Attribute,
            (Self::Graph, 5) | (Self::Attribute, 5 | 10) => Self::Tensor,
            _ => return None,
        })
    }
}

/// A field of a message.
struct Field<'a> {
    tag: u32,
    /// All of it.
    whole: &'a [u8],
    value: Value<'a>,
}

enum Value<'a> {
    Held(&'a [u8]),
    Number(u64),
    Other,
}

impl<'a> Field<'a> {
    /// Takes the first field from the rest of a message.
    fn take(rest: &mut &'a [u8]) -> Result<Self, ArtifactError> {
        let whole = *rest;
        let (tag, wire) = decode_key(rest)?;
        let mut value = *rest;
        skip_field(wire, tag, rest, DecodeContext::default())?;
        let value = match wire {
            WireType::LengthDelimited => {
                decode_varint(&mut value)?;
                Value::Held(&value[..value.len() - rest.len()])
            }
            WireType::Varint => Value::Number(decode_varint(&mut value)?),
            _ => Value::Other,
        };
        Ok(Self {
            tag,
            whole: &whole[..whole.len() - rest.len()],
            value,
        })
    }

    /// Returns the message that it holds, where tensors may lie in that.
    fn inner(&self, kind: Kind) -> Option<(Kind, &'a [u8])> {
        match (kind.of_field(self.tag), &self.value) {
            (Some(inner), Value::Held(message)) => Some((inner, message)),
            _ => None,
        }
    }
}

/// Where the values of a tensor lie that has none itself.
struct Place {
    file: String,
    offset: u64,
    /// Absent: to the end of the file.
    length: Option<u64>,
}

impl Place {
    fn of(tensor: &[u8]) -> Result<Option<Self>, ArtifactError> {
        let mut is_external = false;
        let mut entries = BTreeMap::new();
        let mut rest = tensor;
        while !rest.is_empty() {
            let field = Field::take(&mut rest)?;
            match (field.tag, field.value) {
                (EXTERNAL_DATA, Value::Held(entry)) => {
                    is_external = true;
                    let StringStringEntryProto { key, value } = StringStringEntryProto::decode(entry)?;
                    entries.insert(key, value);
                }
                (DATA_LOCATION, Value::Number(location)) => is_external |= location != 0,
                _ => {}
            }
        }
        if !is_external {
            return Ok(None);
        }
        let number = |key: &str| match entries.get(key).map(|text| text.parse::<u64>()) {
            None => Ok(None),
            Some(Ok(number)) => Ok(Some(number)),
            Some(Err(_)) => fail(format!("the {key} of a tensor in its file is no whole number")),
        };
        let [offset, length] = [number("offset")?, number("length")?];
        match entries.remove("location") {
            Some(file) => Ok(Some(Self {
                file,
                offset: offset.unwrap_or(0),
                length,
            })),
            None => fail("a tensor lies in a file that it does not name".to_owned()),
        }
    }

    /// Returns the values. Invariant: the file is there.
    fn values<'f>(&self, files: &'f BTreeMap<String, Vec<u8>>) -> Result<&'f [u8], ArtifactError> {
        let file = &files[&self.file];
        match self.range(file.len()).and_then(|range| file.get(range)) {
            Some(values) => Ok(values),
            None => fail(format!(
                "{:?} has {} bytes, and a tensor is to lie beyond them",
                self.file,
                file.len()
            )),
        }
    }

    fn range(&self, bytes: usize) -> Option<Range<usize>> {
        let start = usize::try_from(self.offset).ok()?;
        let end = match self.length {
            Some(length) => start.checked_add(usize::try_from(length).ok()?)?,
            None => bytes,
        };
        Some(start..end)
    }
}

fn collect(
    message: &[u8],
    kind: Kind,
    depth: usize,
    names: &mut BTreeSet<String>,
) -> Result<(), ArtifactError> {
    if depth > DEPTH_MAX {
        return fail(format!(
            "its graphs lie in each other more than {DEPTH_MAX} messages deep"
        ));
    }
    if kind == Kind::Tensor {
        names.extend(Place::of(message)?.map(|place| place.file));
        if names.len() > FILES_MAX {
            return fail(format!("it refers to more than {FILES_MAX} files"));
        }
        return Ok(());
    }
    let mut rest = message;
    while !rest.is_empty() {
        if let Some((inner, message)) = Field::take(&mut rest)?.inner(kind) {
            collect(message, inner, depth + 1, names)?;
        }
    }
    Ok(())
}

/// Returns how long a message becomes; `lengths` gets those of the messages in it, in the order in which they begin. It is not
/// deeper than was found by then.
fn measure(
    message: &[u8],
    kind: Kind,
    files: &BTreeMap<String, Vec<u8>>,
    lengths: &mut Vec<usize>,
) -> Result<usize, ArtifactError> {
    let place = if kind == Kind::Tensor {
        Place::of(message)?
    } else {
        None
    };
    let mut bytes = 0;
    let mut rest = message;
    while !rest.is_empty() {
        let field = Field::take(&mut rest)?;
        if let Some((inner, message)) = field.inner(kind) {
            let at = lengths.len();
            lengths.push(0);
            lengths[at] = measure(message, inner, files, lengths)?;
            bytes += delimited(field.tag, lengths[at]);
        } else if place.is_none() || !is_replaced(field.tag) {
            bytes += field.whole.len();
        }
    }
    if let Some(place) = place {
        bytes += delimited(RAW_DATA, place.values(files)?.len());
    }
    Ok(bytes)
}

fn write(
    message: &[u8],
    kind: Kind,
    files: &BTreeMap<String, Vec<u8>>,
    lengths: &mut impl Iterator<Item = usize>,
    out: &mut Vec<u8>,
) -> Result<(), ArtifactError> {
    let place = if kind == Kind::Tensor {
        Place::of(message)?
    } else {
        None
    };
    let mut rest = message;
    while !rest.is_empty() {
        let field = Field::take(&mut rest)?;
        if let Some((inner, message)) = field.inner(kind) {
            begin(
                field.tag,
                lengths.next().expect("invariant: each was measured"),
                out,
            );
            write(message, inner, files, lengths, out)?;
        } else if place.is_none() || !is_replaced(field.tag) {
            out.extend_from_slice(field.whole);
        }
    }
    if let Some(place) = place {
        let values = place.values(files)?;
        begin(RAW_DATA, values.len(), out);
        out.extend_from_slice(values);
    }
    Ok(())
}

/// Says whether a field of a tensor gives way to the values that lie elsewhere.
const fn is_replaced(tag: u32) -> bool {
    matches!(tag, RAW_DATA | EXTERNAL_DATA | DATA_LOCATION)
}

/// Returns how long a field is that holds so many bytes.
fn delimited(tag: u32, length: usize) -> usize {
    key_len(tag) + encoded_len_varint(length as u64) + length
}

fn begin(tag: u32, length: usize, out: &mut Vec<u8>) {
    encode_key(tag, WireType::LengthDelimited, out);
    encode_varint(length as u64, out);
}
