//! Nodes, attributes and tensors of a graph by name, each taken once, each checked as it is taken.

use std::collections::BTreeMap;

use super::super::onnx::{AttributeProto, GraphProto, NodeProto, TensorProto, attribute_type, data_type};
use super::super::{ArtifactError, INPUT};
use super::unsupported;
use crate::metadata::Labels;

/// What is left of a graph to be understood.
pub(super) struct Parts<'a> {
    nodes: BTreeMap<&'a str, &'a NodeProto>,
    tensors: BTreeMap<&'a str, &'a TensorProto>,
}

impl<'a> Parts<'a> {
    pub(super) fn new(graph: &'a GraphProto) -> Result<Self, ArtifactError> {
        let mut nodes = BTreeMap::new();
        for node in &graph.node {
            let [output] = node.output.as_slice() else {
                let problem = format!("has {} outputs instead of one", node.output.len());
                return Err(inconsistent(format!("a {} node", cut(&node.op_type)), problem));
            };
            if output == INPUT || nodes.insert(output.as_str(), node).is_some() {
                return Err(inconsistent(
                    node_place(node),
                    "its output has a second source".to_owned(),
                ));
            }
        }
        let mut tensors = BTreeMap::new();
        for tensor in &graph.initializer {
            let name = tensor.name.as_str();
            if nodes.contains_key(name) || name == INPUT || tensors.insert(name, tensor).is_some() {
                return Err(inconsistent(
                    tensor_place(name),
                    "its name is taken twice".to_owned(),
                ));
            }
        }
        Ok(Self { nodes, tensors })
    }

    /// Returns the node that makes `value`, without taking it.
    pub(super) fn producer(&self, value: &str) -> Result<&'a NodeProto, ArtifactError> {
        self.nodes
            .get(value)
            .copied()
            .ok_or_else(|| inconsistent(format!("value {:?}", cut(value)), "no node makes it".to_owned()))
    }

    /// Takes the node that makes `value`; it must be `op` of `domain` with as many inputs.
    pub(super) fn node(
        &mut self,
        value: &str,
        op: &'static str,
        domain: &'static str,
        inputs: usize,
    ) -> Result<&'a NodeProto, ArtifactError> {
        let node = self.producer(value)?;
        let same_domain = node.domain == domain || (domain.is_empty() && node.domain == "ai.onnx");
        if node.op_type != op || !same_domain {
            let found = format!("is of operator {:?} {:?}", cut(&node.domain), cut(&node.op_type));
            return Err(unsupported(node_place(node), found, op));
        }
        if node.input.len() != inputs {
            let problem = format!("has {} inputs instead of {inputs}", node.input.len());
            return Err(inconsistent(node_place(node), problem));
        }
        if matches!(op, "Add" | "MatMul") {
            Attributes::of(node).finish()?;
        }
        self.nodes.remove(value);
        Ok(node)
    }

    fn tensor(&mut self, name: &str) -> Result<&'a TensorProto, ArtifactError> {
        self.tensors
            .remove(name)
            .ok_or_else(|| inconsistent(tensor_place(name), "it is missing or used twice".to_owned()))
    }

    /// Takes an initializer of finite doubles with exactly this shape.
    pub(super) fn doubles(&mut self, name: &str, shape: &[usize]) -> Result<Vec<f64>, ArtifactError> {
        let tensor = self.tensor(name)?;
        let values = doubles(&tensor_place(name), tensor, Some(shape))?;
        match values.iter().position(|value| !value.is_finite()) {
            Some(at) => Err(inconsistent(
                tensor_place(name),
                format!("value {at} is not finite"),
            )),
            None => Ok(values),
        }
    }

    /// Takes an initializer of at least two distinct labels.
    pub(super) fn labels(&mut self, name: &str) -> Result<Labels, ArtifactError> {
        let tensor = self.tensor(name)?;
        let place = tensor_place(name);
        let labels = match tensor.data_type {
            data_type::INT64 => Labels::Numbers(integers(&place, tensor)?),
            data_type::STRING => Labels::Words(words(&place, tensor)?),
            other => {
                return Err(unsupported(
                    place,
                    format!("has data type {other}"),
                    "INT64 or STRING",
                ));
            }
        };
        let (n, distinct) = match &labels {
            Labels::Numbers(labels) => (labels.len(), distinct(labels)),
            Labels::Words(labels) => (labels.len(), distinct(labels)),
        };
        if n < 2 || n != distinct {
            let problem = format!("has {n} labels, {distinct} of them distinct");
            return Err(inconsistent(place, problem));
        }
        Ok(labels)
    }

    /// Checks that nothing is left.
    pub(super) fn finish(self) -> Result<(), ArtifactError> {
        if let Some(node) = self.nodes.values().next() {
            let problem = "is not part of a form that is read".to_owned();
            return Err(inconsistent(node_place(node), problem));
        }
        match self.tensors.keys().next() {
            Some(name) => Err(inconsistent(tensor_place(name), "nothing uses it".to_owned())),
            None => Ok(()),
        }
    }
}

/// Checks that the first input of `node` is the graph's.
pub(super) fn check_input(node: &NodeProto) -> Result<(), ArtifactError> {
    if node.input[0] == INPUT {
        return Ok(());
    }
    let found = format!("takes {:?}", cut(&node.input[0]));
    Err(unsupported(node_place(node), found, "the graph's \"input\""))
}

fn distinct<T: Ord>(items: &[T]) -> usize {
    let set: std::collections::BTreeSet<&T> = items.iter().collect();
    set.len()
}

/// What is left of a node's attributes to be understood.
pub(super) struct Attributes<'a> {
    pub(super) node: &'a NodeProto,
    left: Vec<&'a AttributeProto>,
}

impl<'a> Attributes<'a> {
    pub(super) fn of(node: &'a NodeProto) -> Self {
        Self {
            node,
            left: node.attribute.iter().collect(),
        }
    }

    fn take(&mut self, name: &'static str, kind: i32) -> Result<Option<&'a AttributeProto>, ArtifactError> {
        let Some(at) = self.left.iter().position(|attribute| attribute.name == name) else {
            return Ok(None);
        };
        let attribute = self.left.remove(at);
        if attribute.kind == kind {
            return Ok(Some(attribute));
        }
        let problem = format!("has attribute type {} instead of {kind}", attribute.kind);
        Err(inconsistent(attribute_place(self.node, name), problem))
    }

    fn required(&mut self, name: &'static str, kind: i32) -> Result<&'a AttributeProto, ArtifactError> {
        self.take(name, kind)?
            .ok_or_else(|| inconsistent(attribute_place(self.node, name), "it is missing".to_owned()))
    }

    /// Checks that a whole number has the only value that we support.
    pub(super) fn int_is(
        &mut self,
        name: &'static str,
        supported: i64,
        default: i64,
    ) -> Result<(), ArtifactError> {
        let got = self
            .take(name, attribute_type::INT)?
            .map_or(default, |attribute| attribute.i);
        if got == supported {
            return Ok(());
        }
        Err(inconsistent(
            attribute_place(self.node, name),
            format!("is {got}; supported: {supported}"),
        ))
    }

    /// Checks (name, supported, default) of all attributes. A negative axis counts from the last of two.
    pub(super) fn expect_ints(mut self, all: &[(&'static str, i64, i64)]) -> Result<(), ArtifactError> {
        for &(name, supported, default) in all {
            let got = self
                .take(name, attribute_type::INT)?
                .map_or(default, |attribute| attribute.i);
            if got != supported && !(name == "axis" && supported == 1 && got == -1) {
                let place = attribute_place(self.node, name);
                return Err(inconsistent(place, format!("is {got}; supported: {supported}")));
            }
        }
        self.finish()
    }

    /// Takes whole numbers, as many as `n` says.
    pub(super) fn ints(&mut self, name: &'static str, n: Option<usize>) -> Result<&'a [i64], ArtifactError> {
        let ints = self.required(name, attribute_type::INTS)?.ints.as_slice();
        match n {
            Some(n) if n != ints.len() => Err(inconsistent(
                attribute_place(self.node, name),
                format!("has {} values instead of {n}", ints.len()),
            )),
            _ => Ok(ints),
        }
    }

    /// Takes `n` whole numbers that are all 0.
    pub(super) fn all_zero(&mut self, name: &'static str, n: usize) -> Result<(), ArtifactError> {
        match self.ints(name, Some(n))?.iter().find(|id| **id != 0) {
            Some(id) => Err(inconsistent(
                attribute_place(self.node, name),
                format!("has {id}; supported: 0"),
            )),
            None => Ok(()),
        }
    }

    fn tensor(&mut self, name: &'static str) -> Result<&'a TensorProto, ArtifactError> {
        let attribute = self.required(name, attribute_type::TENSOR)?;
        attribute
            .t
            .as_ref()
            .ok_or_else(|| inconsistent(attribute_place(self.node, name), "it has no tensor".to_owned()))
    }

    /// Takes a tensor of doubles of one dimension.
    pub(super) fn doubles(
        &mut self,
        name: &'static str,
        shape: Option<&[usize]>,
    ) -> Result<Vec<f64>, ArtifactError> {
        let tensor = self.tensor(name)?;
        doubles(&attribute_place(self.node, name), tensor, shape)
    }

    /// Takes a tensor of `n` bytes that all have one value.
    pub(super) fn bytes_are(
        &mut self,
        name: &'static str,
        supported: u8,
        n: usize,
    ) -> Result<(), ArtifactError> {
        let tensor = self.tensor(name)?;
        let place = attribute_place(self.node, name);
        if tensor.data_type != data_type::UINT8 {
            return Err(unsupported(
                place,
                format!("has data type {}", tensor.data_type),
                "UINT8",
            ));
        }
        check_inline(&place, tensor)?;
        let values = if tensor.raw_data.is_empty() {
            tensor.int32_data.clone()
        } else {
            tensor.raw_data.iter().copied().map(i32::from).collect()
        };
        check_shape(&place, tensor, values.len(), Some(&[n]))?;
        match values.iter().find(|value| **value != i32::from(supported)) {
            Some(value) => Err(inconsistent(
                place,
                format!("has {value}; supported: {supported}"),
            )),
            None => Ok(()),
        }
    }

    /// Checks that no attribute is left.
    pub(super) fn finish(self) -> Result<(), ArtifactError> {
        match self.left.first() {
            Some(attribute) => Err(inconsistent(
                attribute_place(self.node, &cut(&attribute.name)),
                "is not supported, or given twice".to_owned(),
            )),
            None => Ok(()),
        }
    }
}

fn doubles(place: &str, tensor: &TensorProto, shape: Option<&[usize]>) -> Result<Vec<f64>, ArtifactError> {
    if tensor.data_type != data_type::DOUBLE {
        let found = format!("has data type {}", tensor.data_type);
        return Err(unsupported(place.to_owned(), found, "DOUBLE"));
    }
    let values = raw(place, tensor, f64::from_le_bytes)?.unwrap_or_else(|| tensor.double_data.clone());
    check_shape(place, tensor, values.len(), shape)?;
    Ok(values)
}

fn integers(place: &str, tensor: &TensorProto) -> Result<Vec<i64>, ArtifactError> {
    let values = raw(place, tensor, i64::from_le_bytes)?.unwrap_or_else(|| tensor.int64_data.clone());
    check_shape(place, tensor, values.len(), None)?;
    Ok(values)
}

fn words(place: &str, tensor: &TensorProto) -> Result<Vec<String>, ArtifactError> {
    check_inline(place, tensor)?;
    check_shape(place, tensor, tensor.string_data.len(), None)?;
    let words = tensor.string_data.iter().map(|word| {
        String::from_utf8(word.clone())
            .map_err(|error| inconsistent(place.to_owned(), format!("a label is not UTF-8: {error}")))
    });
    words.collect()
}

/// Returns the numbers of `raw_data`, or `None` where the tensor uses a typed field.
fn raw<T>(
    place: &str,
    tensor: &TensorProto,
    read: fn([u8; 8]) -> T,
) -> Result<Option<Vec<T>>, ArtifactError> {
    check_inline(place, tensor)?;
    if tensor.raw_data.is_empty() {
        return Ok(None);
    }
    let (numbers, rest) = tensor.raw_data.as_chunks::<8>();
    if rest.is_empty() {
        return Ok(Some(numbers.iter().copied().map(read).collect()));
    }
    let problem = format!("has {} bytes of data, no multiple of 8", tensor.raw_data.len());
    Err(inconsistent(place.to_owned(), problem))
}

fn check_inline(place: &str, tensor: &TensorProto) -> Result<(), ArtifactError> {
    if tensor.data_location == 0 {
        return Ok(());
    }
    let found = "has its data in another file".to_owned();
    Err(unsupported(
        place.to_owned(),
        found,
        "data in the artifact itself",
    ))
}

/// Checks a tensor's shape against its data, and against `expected`; without it the tensor has one dimension.
fn check_shape(
    place: &str,
    tensor: &TensorProto,
    values: usize,
    expected: Option<&[usize]>,
) -> Result<(), ArtifactError> {
    let fallback = [values];
    let expected = expected.unwrap_or(&fallback);
    let same = tensor.dims.len() == expected.len()
        && tensor
            .dims
            .iter()
            .zip(expected)
            .all(|(got, expected)| usize::try_from(*got) == Ok(*expected));
    let elements = expected
        .iter()
        .try_fold(1, |product: usize, n| product.checked_mul(*n));
    if same && elements == Some(values) {
        return Ok(());
    }
    let dims: Vec<i64> = tensor.dims.iter().take(8).copied().collect();
    let problem = format!("has shape {dims:?} and {values} values; expected shape {expected:?}");
    Err(inconsistent(place.to_owned(), problem))
}

pub(super) fn inconsistent(place: String, problem: String) -> ArtifactError {
    ArtifactError::Inconsistent { place, problem }
}

/// Names a node by what it makes, which is unique.
pub(super) fn node_place(node: &NodeProto) -> String {
    let output = node.output.first().map_or("", String::as_str);
    format!("node {} -> {:?}", cut(&node.op_type), cut(output))
}

pub(super) fn attribute_place(node: &NodeProto, attribute: &str) -> String {
    format!("attribute {attribute} of {}", node_place(node))
}

fn tensor_place(name: &str) -> String {
    format!("tensor {:?}", cut(name))
}

/// Cuts a name from outside to what fits a line.
fn cut(name: &str) -> String {
    name.chars().take(60).collect()
}
