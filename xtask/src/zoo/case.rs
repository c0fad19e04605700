//! A model of the zoo: its file, what is asked, and what should be answered.

use std::fs;
use std::path::Path;

use anyhow::{Context as _, bail};
use engine::{Buffer, Program, Type};
use serde::Deserialize;

/// A model and its reference.
#[derive(Debug)]
pub(crate) struct Case {
    pub(crate) name: String,
    pub(crate) kind: String,
    pub(crate) exporter: String,
    pub(crate) model: Vec<u8>,
    /// Why onnxruntime does not run it.
    pub(crate) refused: Option<String>,
    /// Whether some of it is computed in FP32 whatever its types are.
    pub(crate) computes_singles: bool,
    /// How many of the rows are random; edges follow.
    pub(crate) random_rows: usize,
    pub(crate) rows: usize,
    pub(crate) inputs: Vec<Tensor>,
    /// None where nobody answered.
    pub(crate) outputs: Vec<Tensor>,
}

/// A tensor of the request or of the reference's answer.
#[derive(Debug)]
pub(crate) struct Tensor {
    pub(crate) name: String,
    pub(crate) element: String,
    pub(crate) values: Values,
    /// The names of the columns.
    pub(crate) labels: Option<Vec<String>>,
}

/// The elements, row-major.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Values {
    Floats(Vec<f64>),
    Whole(Vec<i64>),
    Texts(Vec<String>),
}

#[derive(Debug, Deserialize)]
struct Said {
    name: String,
    kind: String,
    exporter: String,
    refused: Option<String>,
    computes_singles: bool,
    random_rows: usize,
    inputs: Vec<SaidTensor>,
    outputs: Vec<SaidTensor>,
}

#[derive(Debug, Deserialize)]
struct SaidTensor {
    name: String,
    r#type: String,
    shape: Vec<usize>,
    at: Option<usize>,
    texts: Option<Vec<String>>,
    labels: Option<Vec<String>>,
}

impl Case {
    /// Reads `model.onnx`, `case.json` and `data.bin` of a folder.
    pub(crate) fn read(folder: &Path) -> anyhow::Result<Self> {
        let read = |name: &str| {
            let path = folder.join(name);
            fs::read(&path).with_context(|| format!("read {}", path.display()))
        };
        let said: Said = serde_json::from_slice(&read("case.json")?)
            .with_context(|| format!("read case.json of {}", folder.display()))?;
        let data = read("data.bin")?;
        let tensors = |tensors: Vec<SaidTensor>| {
            tensors
                .into_iter()
                .map(|tensor| tensor.read(&data))
                .collect::<anyhow::Result<Vec<_>>>()
        };
        let rows = said.inputs.first().and_then(|tensor| tensor.shape.first());
        let rows = *rows.with_context(|| format!("{} asks nothing", said.name))?;
        Ok(Self {
            rows,
            name: said.name,
            kind: said.kind,
            exporter: said.exporter,
            model: read("model.onnx")?,
            refused: said.refused,
            computes_singles: said.computes_singles,
            random_rows: said.random_rows,
            inputs: tensors(said.inputs)?,
            outputs: tensors(said.outputs)?,
        })
    }
}

impl SaidTensor {
    fn read(self, data: &[u8]) -> anyhow::Result<Tensor> {
        let values = match (self.texts, self.at) {
            (Some(texts), _) => Values::Texts(texts),
            (None, Some(at)) => numbers(&self.r#type, self.shape.iter().product(), &data[at..])?,
            (None, None) => bail!("{} has no values", self.name),
        };
        Ok(Tensor {
            name: self.name,
            element: self.r#type,
            values,
            labels: self.labels,
        })
    }
}

fn numbers(element: &str, count: usize, data: &[u8]) -> anyhow::Result<Values> {
    fn all<const N: usize, T>(
        data: &[u8],
        count: usize,
        of: impl Fn([u8; N]) -> T,
    ) -> anyhow::Result<Vec<T>> {
        let (whole, _) = data.as_chunks::<N>();
        let whole = whole.get(..count).context("data.bin ends too early")?;
        Ok(whole.iter().map(|bytes| of(*bytes)).collect())
    }
    Ok(match element {
        "FP32" => Values::Floats(all(data, count, |bytes| f64::from(f32::from_le_bytes(bytes)))?),
        "FP64" => Values::Floats(all(data, count, f64::from_le_bytes)?),
        "INT64" => Values::Whole(all(data, count, i64::from_le_bytes)?),
        "INT32" => Values::Whole(all(data, count, |bytes| i64::from(i32::from_le_bytes(bytes)))?),
        "BOOL" => Values::Whole(all(data, count, |[byte]: [u8; 1]| i64::from(byte))?),
        other => bail!("data.bin has no {other}"),
    })
}

impl Values {
    /// Returns what a program takes of them as the elements of a type, which is the one that they were written with.
    pub(crate) fn buffer(&self, element: Type, program: &Program) -> Option<Buffer> {
        #[expect(clippy::cast_possible_truncation, reason = "they were of this type before")]
        Some(match (self, element) {
            (Self::Floats(floats), Type::F32) => Buffer::F32(floats.iter().map(|x| *x as f32).collect()),
            (Self::Floats(floats), Type::F64) => Buffer::F64(floats.clone()),
            (Self::Whole(whole), Type::I64) => Buffer::I64(whole.clone()),
            (Self::Whole(whole), Type::I32) => Buffer::I32(whole.iter().map(|x| *x as i32).collect()),
            (Self::Whole(whole), Type::Bool) => Buffer::Bool(whole.iter().map(|x| *x != 0).collect()),
            (Self::Texts(texts), Type::Text) => {
                Buffer::Text(texts.iter().map(|text| program.symbol(text.as_bytes())).collect())
            }
            _ => return None,
        })
    }

    /// Returns what a program has answered.
    pub(crate) fn of(buffer: &Buffer, program: &Program) -> Self {
        let text = |text: &[u8]| String::from_utf8_lossy(text).into_owned();
        match buffer {
            Buffer::F32(floats) => Self::Floats(floats.iter().map(|x| f64::from(*x)).collect()),
            Buffer::F64(floats) => Self::Floats(floats.clone()),
            Buffer::I64(whole) => Self::Whole(whole.clone()),
            Buffer::I32(whole) => Self::Whole(whole.iter().map(|x| i64::from(*x)).collect()),
            Buffer::Bool(truths) => Self::Whole(truths.iter().map(|x| i64::from(*x)).collect()),
            Buffer::Text(symbols) => {
                let texts = symbols
                    .iter()
                    .map(|symbol| program.text(*symbol).map_or_else(String::new, text));
                Self::Texts(texts.collect())
            }
        }
    }

    pub(crate) fn len(&self) -> usize {
        match self {
            Self::Floats(floats) => floats.len(),
            Self::Whole(whole) => whole.len(),
            Self::Texts(texts) => texts.len(),
        }
    }
}
