//! Writes ONNX files: those fields of `onnx.proto` that the tests need.

use engine::{Buffer, Limits, Program, Refusal, Scratch, Symbol, Type};

/// A value of an attribute or constant.
#[derive(Debug, Clone)]
pub(crate) enum Value {
    Int(i64),
    Float(f32),
    Text(&'static str),
    Ints(Vec<i64>),
    Floats(Vec<f32>),
    Texts(Vec<&'static str>),
    Tensor(Vec<i64>, Elements),
    /// The body of a loop.
    Graph(Box<Model>),
}

/// Elements of a tensor.
#[derive(Debug, Clone)]
pub(crate) enum Elements {
    F32(Vec<f32>),
    F64(Vec<f64>),
    I64(Vec<i64>),
    Bytes(Vec<u8>),
    Texts(Vec<&'static str>),
}

/// A graph under construction.
#[derive(Debug, Clone)]
pub(crate) struct Model {
    graph: Vec<u8>,
    opsets: Vec<(&'static str, i64)>,
    nodes: usize,
}

pub(crate) const ML: &str = "ai.onnx.ml";

const fn number(element: Type) -> u64 {
    match element {
        Type::F32 => 1,
        Type::I32 => 6,
        Type::I64 => 7,
        Type::Text => 8,
        Type::Bool => 9,
        Type::F64 => 11,
    }
}

fn varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(u8::try_from(value & 0x7f).unwrap() | 0x80);
        value >>= 7;
    }
    out.push(u8::try_from(value).unwrap());
}

fn int(out: &mut Vec<u8>, tag: u64, value: i64) {
    varint(out, tag << 3);
    varint(out, value.cast_unsigned());
}

fn bytes(out: &mut Vec<u8>, tag: u64, value: &[u8]) {
    varint(out, tag << 3 | 2);
    varint(out, u64::try_from(value.len()).unwrap());
    out.extend_from_slice(value);
}

fn tensor(name: &str, dims: &[i64], elements: &Elements) -> Vec<u8> {
    let mut out = Vec::new();
    for dim in dims {
        int(&mut out, 1, *dim);
    }
    let (kind, raw) = match elements {
        Elements::F32(values) => (1, values.iter().flat_map(|value| value.to_le_bytes()).collect()),
        Elements::F64(values) => (11, values.iter().flat_map(|value| value.to_le_bytes()).collect()),
        Elements::I64(values) => (7, values.iter().flat_map(|value| value.to_le_bytes()).collect()),
        Elements::Bytes(values) => (2, values.clone()),
        Elements::Texts(texts) => {
            for text in texts {
                bytes(&mut out, 6, text.as_bytes());
            }
            (8, Vec::new())
        }
    };
    int(&mut out, 2, kind);
    bytes(&mut out, 8, name.as_bytes());
    if !matches!(elements, Elements::Texts(_)) {
        bytes(&mut out, 9, &raw);
    }
    out
}

fn attribute(name: &str, value: &Value) -> Vec<u8> {
    let mut out = Vec::new();
    bytes(&mut out, 1, name.as_bytes());
    let kind = match value {
        Value::Float(value) => {
            varint(&mut out, 2 << 3 | 5);
            out.extend_from_slice(&value.to_le_bytes());
            1
        }
        Value::Int(value) => {
            int(&mut out, 3, *value);
            2
        }
        Value::Text(text) => {
            bytes(&mut out, 4, text.as_bytes());
            3
        }
        Value::Tensor(dims, elements) => {
            bytes(&mut out, 5, &tensor("", dims, elements));
            4
        }
        Value::Graph(body) => {
            bytes(&mut out, 6, &body.graph);
            5
        }
        Value::Floats(values) => {
            let packed: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
            bytes(&mut out, 7, &packed);
            6
        }
        Value::Ints(values) => {
            // Not packed, as some exporters write them.
            for value in values {
                int(&mut out, 8, *value);
            }
            7
        }
        Value::Texts(texts) => {
            for text in texts {
                bytes(&mut out, 9, text.as_bytes());
            }
            8
        }
    };
    int(&mut out, 20, kind);
    out
}

/// A value's name, type and shape; `-1` is open.
fn value(name: &str, element: Type, shape: &[i64]) -> Vec<u8> {
    let mut dims = Vec::new();
    for dim in shape {
        let mut extent = Vec::new();
        if *dim >= 0 {
            int(&mut extent, 1, *dim);
        }
        bytes(&mut dims, 1, &extent);
    }
    let mut tensor = Vec::new();
    int(&mut tensor, 1, number(element).cast_signed());
    bytes(&mut tensor, 2, &dims);
    let mut kind = Vec::new();
    bytes(&mut kind, 1, &tensor);
    let mut out = Vec::new();
    bytes(&mut out, 1, name.as_bytes());
    bytes(&mut out, 2, &kind);
    out
}

impl Model {
    /// Begins one that imports these versions of `ai.onnx` and `ai.onnx.ml`.
    pub(crate) fn new(standard: i64, ml: i64) -> Self {
        Self {
            graph: Vec::new(),
            opsets: vec![("", standard), (ML, ml)],
            nodes: 0,
        }
    }

    /// Imports another operator set too.
    pub(crate) fn imports(mut self, domain: &'static str, version: i64) -> Self {
        self.opsets.push((domain, version));
        self
    }

    pub(crate) fn input(mut self, name: &str, element: Type, shape: &[i64]) -> Self {
        bytes(&mut self.graph, 11, &value(name, element, shape));
        self
    }

    pub(crate) fn constant(mut self, name: &str, dims: &[i64], elements: &Elements) -> Self {
        bytes(&mut self.graph, 5, &tensor(name, dims, elements));
        self
    }

    /// Adds a node; an operator of `ai.onnx.ml` is written with its domain, `ai.onnx.ml.Scaler`.
    pub(crate) fn node(
        mut self,
        operator: &str,
        inputs: &[&str],
        outputs: &[&str],
        attributes: &[(&str, Value)],
    ) -> Self {
        let (domain, operator) = operator.rsplit_once('.').unwrap_or(("", operator));
        let mut out = Vec::new();
        for name in inputs {
            bytes(&mut out, 1, name.as_bytes());
        }
        for name in outputs {
            bytes(&mut out, 2, name.as_bytes());
        }
        bytes(&mut out, 3, format!("n{}", self.nodes).as_bytes());
        bytes(&mut out, 4, operator.as_bytes());
        for (name, value) in attributes {
            bytes(&mut out, 5, &attribute(name, value));
        }
        bytes(&mut out, 7, domain.as_bytes());
        bytes(&mut self.graph, 1, &out);
        self.nodes += 1;
        self
    }

    /// Adds an output, whose type it leaves open.
    pub(crate) fn output(mut self, name: &str) -> Self {
        let mut out = Vec::new();
        bytes(&mut out, 1, name.as_bytes());
        bytes(&mut self.graph, 12, &out);
        self
    }

    /// Adds an output and says its type.
    pub(crate) fn output_as(mut self, name: &str, element: Type) -> Self {
        bytes(&mut self.graph, 12, &value(name, element, &[]));
        self
    }

    pub(crate) fn bytes(&self) -> Vec<u8> {
        let mut out = Vec::new();
        int(&mut out, 1, 8);
        bytes(&mut out, 7, &self.graph);
        for (domain, version) in &self.opsets {
            let mut opset = Vec::new();
            bytes(&mut opset, 1, domain.as_bytes());
            int(&mut opset, 2, *version);
            bytes(&mut out, 8, &opset);
        }
        out
    }

    pub(crate) fn read(&self) -> Result<Program, Refusal> {
        Program::read(&self.bytes(), &Limits::default())
    }
}

/// What a request brings.
#[derive(Debug, Clone)]
pub(crate) enum Given {
    F32(Vec<f32>),
    F64(Vec<f64>),
    I64(Vec<i64>),
    Texts(Vec<&'static str>),
}

impl Given {
    pub(crate) fn buffer(&self, program: &Program) -> Buffer {
        match self {
            Self::F32(values) => Buffer::F32(values.clone()),
            Self::F64(values) => Buffer::F64(values.clone()),
            Self::I64(values) => Buffer::I64(values.clone()),
            Self::Texts(texts) => {
                Buffer::Text(texts.iter().map(|text| program.symbol(text.as_bytes())).collect())
            }
        }
    }
}

/// Answers rows, and writes the outputs as a person reads them: `FP32 [2, 1]: 1 2`.
pub(crate) fn answer(model: &Model, rows: usize, given: &[Given]) -> String {
    let program = match model.read() {
        Ok(program) => program,
        Err(refusal) => return refusal.to_string(),
    };
    let inputs: Vec<Buffer> = given.iter().map(|given| given.buffer(&program)).collect();
    let outputs = match program.run(&mut Scratch::default(), &inputs, rows) {
        Ok(outputs) => outputs,
        Err(refused) => return refused.to_string(),
    };
    let written = program.outputs().iter().zip(&outputs).map(|(tensor, buffer)| {
        let shape: Vec<String> = tensor.shape.iter().map(|dim| dim.at(rows).to_string()).collect();
        format!(
            "{} [{}]: {}",
            tensor.element,
            shape.join(", "),
            elements(&program, buffer)
        )
    });
    written.collect::<Vec<_>>().join("; ")
}

fn elements(program: &Program, buffer: &Buffer) -> String {
    let text = |symbol: &Symbol| match program.text(*symbol) {
        Some(text) => String::from_utf8_lossy(text).into_owned(),
        None => "?".to_owned(),
    };
    let all: Vec<String> = match buffer {
        Buffer::F32(values) => values.iter().map(f32::to_string).collect(),
        Buffer::F64(values) => values.iter().map(f64::to_string).collect(),
        Buffer::I64(values) => values.iter().map(i64::to_string).collect(),
        Buffer::I32(values) => values.iter().map(i32::to_string).collect(),
        Buffer::Bool(values) => values.iter().map(bool::to_string).collect(),
        Buffer::Text(symbols) => symbols.iter().map(text).collect(),
    };
    all.join(" ")
}
