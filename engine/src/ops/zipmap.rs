//! `ZipMap`.
//!
//! Source: <https://onnx.ai/onnx/operators/onnx_aionnxml_ZipMap.html>. It makes a list of dictionaries, which no protocol
//! carries: here it stays the tensor that it is made of, and its keys become the labels of the last axis.

use std::sync::Arc;

use crate::build::Fact;
use crate::node::Node;
use crate::refusal::Refusal;
use crate::types::{Buffer, Dim};

pub(super) fn zip_map(node: &mut Node<'_, '_>) -> Result<(), Refusal> {
    let numbers = node.ints("classlabels_int64s")?;
    let texts = node.texts("classlabels_strings")?;
    let texts = node.symbols(&texts)?;
    let labels = if texts.is_empty() {
        Buffer::I64(numbers)
    } else {
        Buffer::Text(texts)
    };
    let input = node.input(0)?;
    match input.shape.as_slice() {
        [_, Dim::Fixed(columns)] if *columns == labels.len() => {}
        shape => {
            return Err(node.wrong_shape(shape, &format!("[rows, {}]", labels.len())));
        }
    }
    node.give(Fact {
        labels: Some(Arc::new(labels)),
        ..input
    });
    Ok(())
}
