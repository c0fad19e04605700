//! The messages of `onnx.proto` that a model is made of, as views over the file's bytes.
//!
//! Source: <https://github.com/onnx/onnx/blob/main/onnx/onnx.proto>. Large values are read from the bytes only when an
//! operator asks for them.

use crate::refusal::{Limits, Refusal};
use crate::types::{Buffer, Symbols, Type};
use crate::wire::{self, Fields, Wire};

/// `ModelProto`.
#[derive(Debug, Default)]
pub(crate) struct Model<'a> {
    /// Domain and version of each operator set.
    pub(crate) opsets: Vec<(&'a str, i64)>,
    pub(crate) graph: Option<Graph<'a>>,
    pub(crate) properties: Vec<(&'a str, &'a str)>,
}

/// `GraphProto`.
#[derive(Debug, Default)]
pub(crate) struct Graph<'a> {
    pub(crate) nodes: Vec<Node<'a>>,
    pub(crate) initializers: Vec<Tensor<'a>>,
    pub(crate) inputs: Vec<ValueInfo<'a>>,
    pub(crate) outputs: Vec<ValueInfo<'a>>,
}

/// `NodeProto`.
#[derive(Debug, Default)]
pub(crate) struct Node<'a> {
    pub(crate) name: &'a str,
    pub(crate) operator: &'a str,
    pub(crate) domain: &'a str,
    pub(crate) inputs: Vec<&'a str>,
    pub(crate) outputs: Vec<&'a str>,
    pub(crate) attributes: Vec<Attribute<'a>>,
}

/// `AttributeProto`; its values are read when they are asked for.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Attribute<'a> {
    pub(crate) name: &'a str,
    body: &'a [u8],
}

/// `TensorProto`; its values are read when they are asked for.
#[derive(Debug, Clone, Default)]
pub(crate) struct Tensor<'a> {
    pub(crate) name: &'a str,
    pub(crate) dims: Vec<i64>,
    data_type: i64,
    is_external: bool,
    body: &'a [u8],
}

/// `ValueInfoProto`.
#[derive(Debug, Default)]
pub(crate) struct ValueInfo<'a> {
    pub(crate) name: &'a str,
    /// Element type and shape of a tensor; `None` for a sequence, a map or what is not said.
    pub(crate) tensor: Option<(i64, Vec<Extent<'a>>)>,
}

/// `TensorShapeProto.Dimension`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Extent<'a> {
    Fixed(i64),
    Named(&'a str),
    Open,
}

impl<'a> Model<'a> {
    /// Reads the frame of a file; values stay in its bytes.
    pub(crate) fn read(bytes: &'a [u8], limits: &Limits) -> Result<Self, Refusal> {
        Limits::check("bytes", bytes.len(), limits.bytes_max)?;
        let mut model = Self::default();
        for field in Fields::of(bytes) {
            match field? {
                (7, graph) => model.graph = Some(Graph::read(graph.bytes()?, limits)?),
                (8, opset) => {
                    let mut entry = ("", 0);
                    for field in Fields::of(opset.bytes()?) {
                        match field? {
                            (1, domain) => entry.0 = domain.text()?,
                            (2, version) => entry.1 = version.int()?,
                            _ => {}
                        }
                    }
                    model.opsets.push(entry);
                }
                (14, property) => model.properties.push(property_of(property)?),
                (25, _) => {
                    return Err(Refusal::unsupported(
                        "the model",
                        "has functions of its own",
                        "operators of ONNX",
                    ));
                }
                _ => {}
            }
            Limits::check(
                "operator sets and properties",
                model.opsets.len() + model.properties.len(),
                10_000,
            )?;
        }
        Ok(model)
    }
}

fn property_of(property: Wire<'_>) -> Result<(&str, &str), Refusal> {
    let mut entry = ("", "");
    for field in Fields::of(property.bytes()?) {
        match field? {
            (1, key) => entry.0 = key.text()?,
            (2, value) => entry.1 = value.text()?,
            _ => {}
        }
    }
    Ok(entry)
}

impl<'a> Graph<'a> {
    pub(crate) fn read(bytes: &'a [u8], limits: &Limits) -> Result<Self, Refusal> {
        let mut graph = Self::default();
        for field in Fields::of(bytes) {
            match field? {
                (1, node) => graph.nodes.push(Node::read(node.bytes()?, limits)?),
                (5, tensor) => graph.initializers.push(Tensor::read(tensor.bytes()?)?),
                (11, value) => graph.inputs.push(ValueInfo::read(value.bytes()?)?),
                (12, value) => graph.outputs.push(ValueInfo::read(value.bytes()?)?),
                (15, _) => {
                    return Err(Refusal::unsupported(
                        "the graph",
                        "has a sparse initializer",
                        "dense ones",
                    ));
                }
                _ => {}
            }
            Limits::check("nodes", graph.nodes.len(), limits.nodes_max)?;
            let values = graph.initializers.len() + graph.inputs.len() + graph.outputs.len();
            Limits::check("inputs, outputs and constants", values, 10 * limits.nodes_max)?;
        }
        Ok(graph)
    }
}

impl<'a> Node<'a> {
    fn read(bytes: &'a [u8], limits: &Limits) -> Result<Self, Refusal> {
        let mut node = Self::default();
        for field in Fields::of(bytes) {
            match field? {
                (1, input) => node.inputs.push(input.text()?),
                (2, output) => node.outputs.push(output.text()?),
                (3, name) => node.name = name.text()?,
                (4, operator) => node.operator = operator.text()?,
                (5, attribute) => node.attributes.push(Attribute::read(attribute.bytes()?)?),
                (7, domain) => node.domain = domain.text()?,
                _ => {}
            }
            let parts = node.inputs.len() + node.outputs.len() + node.attributes.len();
            Limits::check(
                "inputs, outputs and attributes of a node",
                parts,
                limits.nodes_max,
            )?;
        }
        if node.domain == "ai.onnx" {
            node.domain = "";
        }
        Ok(node)
    }

    /// Names it in an error.
    pub(crate) fn place(&self) -> String {
        let operator = self.operator;
        match (self.name, self.outputs.first()) {
            ("", Some(output)) => format!("the {operator} that gives {output:?}"),
            (name, _) => format!("{operator} {name:?}"),
        }
    }
}

impl<'a> Attribute<'a> {
    fn read(body: &'a [u8]) -> Result<Self, Refusal> {
        let mut attribute = Self { name: "", body };
        for field in Fields::of(body) {
            match field? {
                (1, name) => attribute.name = name.text()?,
                (21, name) if !name.text()?.is_empty() => {
                    return Err(Refusal::unsupported(
                        "an attribute",
                        "refers to one of a function",
                        "values",
                    ));
                }
                _ => {}
            }
        }
        Ok(attribute)
    }

    fn values(&self, tag: u32) -> impl Iterator<Item = Result<Wire<'a>, Refusal>> {
        Fields::of(self.body).filter_map(move |field| match field {
            Ok((found, value)) if found == tag => Some(Ok(value)),
            Ok(_) => None,
            Err(refusal) => Some(Err(refusal)),
        })
    }

    fn last(&self, tag: u32) -> Result<Option<Wire<'a>>, Refusal> {
        self.values(tag).last().transpose()
    }

    /// Returns its float; 0 where it holds none, as protobuf leaves a zero out.
    pub(crate) fn float(&self) -> Result<f32, Refusal> {
        self.last(2)?.map_or(Ok(0.0), Wire::float)
    }

    /// Returns its whole number; 0 where it holds none.
    pub(crate) fn int(&self) -> Result<i64, Refusal> {
        self.last(3)?.map_or(Ok(0), Wire::int)
    }

    /// Returns its text or bytes.
    pub(crate) fn bytes(&self) -> Result<&'a [u8], Refusal> {
        self.last(4)?.map_or(Ok(&[]), Wire::bytes)
    }

    /// Returns its tensor.
    pub(crate) fn tensor(&self) -> Result<Option<Tensor<'a>>, Refusal> {
        self.last(5)?
            .map(|tensor| Tensor::read(tensor.bytes()?))
            .transpose()
    }

    /// Returns its graph, the body of a loop.
    pub(crate) fn graph(&self, limits: &Limits) -> Result<Option<Graph<'a>>, Refusal> {
        self.last(6)?
            .map(|graph| Graph::read(graph.bytes()?, limits))
            .transpose()
    }

    /// Returns its floats.
    pub(crate) fn floats(&self) -> Result<Vec<f32>, Refusal> {
        let mut floats = Vec::new();
        for value in self.values(7) {
            value?.floats(&mut floats)?;
        }
        Ok(floats)
    }

    /// Returns its whole numbers.
    pub(crate) fn ints(&self) -> Result<Vec<i64>, Refusal> {
        let mut ints = Vec::new();
        for value in self.values(8) {
            value?.ints(&mut ints)?;
        }
        Ok(ints)
    }

    /// Returns its texts.
    pub(crate) fn texts(&self) -> Result<Vec<&'a [u8]>, Refusal> {
        let mut texts = Vec::new();
        for value in self.values(9) {
            Limits::check("texts in a list", texts.len() + 1, wire::ENTRIES_MAX)?;
            texts.push(value?.bytes()?);
        }
        Ok(texts)
    }
}

impl<'a> ValueInfo<'a> {
    fn read(bytes: &'a [u8]) -> Result<Self, Refusal> {
        let mut value = Self::default();
        for field in Fields::of(bytes) {
            match field? {
                (1, name) => value.name = name.text()?,
                (2, kind) => {
                    for field in Fields::of(kind.bytes()?) {
                        if let (1, tensor) = field? {
                            value.tensor = Some(tensor_type(tensor.bytes()?)?);
                        }
                    }
                }
                _ => {}
            }
        }
        Ok(value)
    }
}

fn tensor_type(bytes: &[u8]) -> Result<(i64, Vec<Extent<'_>>), Refusal> {
    let mut tensor = (0, Vec::new());
    for field in Fields::of(bytes) {
        match field? {
            (1, element) => tensor.0 = element.int()?,
            (2, shape) => {
                for field in Fields::of(shape.bytes()?) {
                    if let (1, extent) = field? {
                        tensor.1.push(extent_of(extent.bytes()?)?);
                    }
                }
            }
            _ => {}
        }
    }
    Ok(tensor)
}

fn extent_of(bytes: &[u8]) -> Result<Extent<'_>, Refusal> {
    let mut extent = Extent::Open;
    for field in Fields::of(bytes) {
        match field? {
            (1, value) => extent = Extent::Fixed(value.int()?),
            (2, name) if !name.text()?.is_empty() => extent = Extent::Named(name.text()?),
            _ => {}
        }
    }
    Ok(extent)
}

impl<'a> Tensor<'a> {
    fn read(body: &'a [u8]) -> Result<Self, Refusal> {
        let mut tensor = Self {
            body,
            ..Self::default()
        };
        for field in Fields::of(body) {
            match field? {
                (1, dims) => dims.ints(&mut tensor.dims)?,
                (2, kind) => tensor.data_type = kind.int()?,
                (8, name) => tensor.name = name.text()?,
                (13, _) => tensor.is_external = true,
                (14, location) => tensor.is_external |= location.int()? != 0,
                _ => {}
            }
        }
        Ok(tensor)
    }

    fn place(&self) -> String {
        format!("tensor {:?}", self.name)
    }

    /// Reads its shape and values; texts become symbols.
    pub(crate) fn values(
        &self,
        symbols: &mut Symbols,
        limits: &Limits,
    ) -> Result<(Vec<usize>, Buffer), Refusal> {
        if self.is_external {
            let found = "lies in a file of its own";
            return Err(Refusal::unsupported(
                self.place(),
                found,
                "one file: see `files` of an import",
            ));
        }
        let element = type_of(self.data_type).ok_or_else(|| {
            let found = format!("has elements of ONNX type {}", self.data_type);
            Refusal::unsupported(self.place(), found, ELEMENTS)
        })?;
        let dims = self.dims.iter().map(|dim| usize::try_from(*dim).ok());
        let dims: Option<Vec<usize>> = dims.collect();
        let count = dims.as_ref().and_then(|dims| {
            dims.iter()
                .try_fold(1_usize, |count, dim| count.checked_mul(*dim))
        });
        let (Some(dims), Some(count)) = (dims, count) else {
            return Err(Refusal::inconsistent(
                self.place(),
                format!("has shape {:?}", self.dims),
            ));
        };
        Limits::check("numbers in a tensor", count, limits.constants_max)?;
        let values = self.elements(element, symbols, limits)?;
        if values.len() != count {
            let problem = format!("has shape {dims:?} and {} values", values.len());
            return Err(Refusal::inconsistent(self.place(), problem));
        }
        Ok((dims, values))
    }

    fn elements(&self, element: Type, symbols: &mut Symbols, limits: &Limits) -> Result<Buffer, Refusal> {
        let mut raw: &[u8] = &[];
        let mut floats = Vec::new();
        let mut doubles = Vec::new();
        let mut narrow = Vec::new();
        let mut wide = Vec::new();
        let mut texts = Vec::new();
        for field in Fields::of(self.body) {
            match field? {
                (4, value) => value.floats(&mut floats)?,
                (5, value) => value.ints(&mut narrow)?,
                (6, value) => texts.push(symbols.add(value.bytes()?, limits)?),
                (7 | 11, value) => value.ints(&mut wide)?,
                (9, value) => raw = value.bytes()?,
                (10, value) => value.doubles(&mut doubles)?,
                _ => {}
            }
        }
        let has_raw = !raw.is_empty();
        Ok(match element {
            Type::F32 if has_raw => Buffer::F32(packed(raw, f32::from_le_bytes)?),
            Type::F32 => Buffer::F32(floats),
            Type::F64 if has_raw => Buffer::F64(packed(raw, f64::from_le_bytes)?),
            Type::F64 => Buffer::F64(doubles),
            Type::I64 if has_raw => Buffer::I64(packed(raw, i64::from_le_bytes)?),
            Type::I64 => Buffer::I64(wide),
            Type::I32 if has_raw && self.data_type == onnx_type::INT32 => {
                Buffer::I32(packed(raw, i32::from_le_bytes)?)
            }
            Type::I32 if has_raw => Buffer::I32(raw.iter().map(|byte| i32::from(*byte)).collect()),
            Type::I32 => Buffer::I32(narrow.iter().map(|value| truncated(*value)).collect()),
            Type::Bool if has_raw => Buffer::Bool(raw.iter().map(|byte| *byte != 0).collect()),
            Type::Bool => Buffer::Bool(narrow.iter().map(|value| *value != 0).collect()),
            Type::Text => Buffer::Text(texts),
        })
    }
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "an int32 is sent as a varint of 64 bits, sign extended"
)]
const fn truncated(value: i64) -> i32 {
    value as i32
}

fn packed<const N: usize, T>(raw: &[u8], read: fn([u8; N]) -> T) -> Result<Vec<T>, Refusal> {
    let mut values = Vec::with_capacity(raw.len() / N);
    wire::numbers(raw, read, &mut values)?;
    Ok(values)
}

/// `TensorProto.DataType`.
pub(crate) mod onnx_type {
    pub(crate) const FLOAT: i64 = 1;
    pub(crate) const UINT8: i64 = 2;
    pub(crate) const INT32: i64 = 6;
    pub(crate) const INT64: i64 = 7;
    pub(crate) const STRING: i64 = 8;
    pub(crate) const BOOL: i64 = 9;
    pub(crate) const DOUBLE: i64 = 11;
}

/// The element types that [`type_of`] knows, in words.
pub(crate) const ELEMENTS: &str = "FP32, FP64, INT64, INT32, BOOL and BYTES";

/// Returns the type of an element by its number; a byte is kept as a wider whole number.
pub(crate) const fn type_of(data_type: i64) -> Option<Type> {
    Some(match data_type {
        onnx_type::FLOAT => Type::F32,
        onnx_type::DOUBLE => Type::F64,
        onnx_type::INT64 => Type::I64,
        onnx_type::INT32 | onnx_type::UINT8 => Type::I32,
        onnx_type::BOOL => Type::Bool,
        onnx_type::STRING => Type::Text,
        _ => return None,
    })
}
