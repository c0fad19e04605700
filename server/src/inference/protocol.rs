//! The Open Inference Protocol's bodies, as they are on the wire.
//!
//! Fields that the protocol does not know are skipped, as its text asks.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

use super::tensor::Data;

/// The body of an infer request.
#[derive(Debug, Deserialize)]
pub(super) struct InferRequest<'a> {
    #[serde(borrow)]
    pub(super) id: Option<Cow<'a, str>>,
    pub(super) parameters: Option<Parameters>,
    #[serde(borrow)]
    pub(super) inputs: Vec<InputTensor<'a>>,
    #[serde(borrow)]
    pub(super) outputs: Option<Vec<RequestedOutput<'a>>>,
}

/// One input tensor.
#[derive(Debug, Deserialize)]
pub(super) struct InputTensor<'a> {
    #[serde(borrow)]
    pub(super) name: Cow<'a, str>,
    pub(super) shape: Vec<u64>,
    #[serde(borrow)]
    pub(super) datatype: Cow<'a, str>,
    pub(super) parameters: Option<Parameters>,
    pub(super) data: Option<Data>,
}

/// One output that the client wants.
#[derive(Debug, Deserialize)]
pub(super) struct RequestedOutput<'a> {
    #[serde(borrow)]
    pub(super) name: Cow<'a, str>,
    pub(super) parameters: Option<Parameters>,
}

/// The parameters that would ask for the binary tensor extension; every other one is the client's own business.
#[derive(Debug, Deserialize)]
pub(super) struct Parameters {
    #[serde(rename = "binary_data")]
    output: Option<bool>,
    #[serde(rename = "binary_data_output")]
    outputs: Option<bool>,
    #[serde(rename = "binary_data_size")]
    input_bytes: Option<u64>,
}

impl Parameters {
    /// Returns whether they ask for binary tensors.
    pub(super) fn binary(&self) -> bool {
        self.output == Some(true) || self.outputs == Some(true) || self.input_bytes.is_some()
    }
}

/// The body of an answer.
#[derive(Debug, Serialize)]
pub(super) struct InferResponse<'a> {
    pub(super) model_name: &'a str,
    pub(super) model_version: &'a str,
    /// Echoed where it was given, else left out: never null.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) id: Option<&'a str>,
    pub(super) outputs: Vec<OutputTensor<'a>>,
}

/// One output tensor.
#[derive(Debug, Serialize)]
pub(super) struct OutputTensor<'a> {
    pub(super) name: &'static str,
    pub(super) shape: Vec<usize>,
    pub(super) datatype: &'static str,
    pub(super) data: OutputData<'a>,
}

/// The elements of an output tensor, row-major.
#[derive(Debug, Serialize)]
#[serde(untagged)]
pub(super) enum OutputData<'a> {
    Doubles(&'a [f64]),
    Integers(Vec<i64>),
    Texts(Vec<&'a str>),
}
