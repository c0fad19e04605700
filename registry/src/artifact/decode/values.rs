//! The graph's declared inputs and outputs: names, types, shapes.

use super::super::onnx::{Dimension, TensorTypeProto, ValueInfoProto, data_type};
use super::super::{ArtifactError, Graph, INPUT, count};
use super::parts::inconsistent;
use super::unsupported;
use crate::metadata::Labels;

/// Returns `n` of the one input `input` double `[N, n]`.
pub(super) fn input_width(inputs: &[ValueInfoProto]) -> Result<usize, ArtifactError> {
    let [input] = inputs else {
        let place = "the graph's inputs".to_owned();
        return Err(unsupported(
            place,
            format!("are {}", inputs.len()),
            "one, \"input\"",
        ));
    };
    if input.name != INPUT {
        let place = "the graph's input".to_owned();
        let name: String = input.name.chars().take(60).collect();
        return Err(unsupported(place, format!("is named {name:?}"), "\"input\""));
    }
    let (elem_type, dims) = shape(input)?;
    match dims.as_slice() {
        [None, Some(width)] if elem_type == data_type::DOUBLE && *width > 0 => Ok(*width),
        _ => Err(unsupported(
            "the graph's input \"input\"".to_owned(),
            format!("has data type {elem_type} and dimensions {dims:?}"),
            "DOUBLE (11) of [rows, inputs]",
        )),
    }
}

/// Checks the declared outputs against what the graph computes.
pub(super) fn check_outputs(outputs: &[ValueInfoProto], graph: &Graph) -> Result<(), ArtifactError> {
    let expected: Vec<(i32, Vec<Option<usize>>)> = match graph {
        Graph::Linear { .. } | Graph::Trees(_) => vec![(data_type::DOUBLE, vec![None, Some(1)])],
        Graph::Logistic { labels, .. } => {
            let label = match labels {
                Labels::Numbers(_) => data_type::INT64,
                Labels::Words(_) => data_type::STRING,
            };
            vec![
                (label, vec![None]),
                (data_type::DOUBLE, vec![None, Some(count(labels))]),
            ]
        }
    };
    for (output, expected) in outputs.iter().zip(expected) {
        let got = shape(output)?;
        if got != expected {
            return Err(inconsistent(
                format!("the graph's output {:?}", output.name),
                format!(
                    "has data type {} and dimensions {:?}; expected {} and {:?}",
                    got.0, got.1, expected.0, expected.1
                ),
            ));
        }
    }
    Ok(())
}

/// Returns the element type and the dimensions, `None` where one varies.
fn shape(value: &ValueInfoProto) -> Result<(i32, Vec<Option<usize>>), ArtifactError> {
    let fail = |problem: &str| {
        let name: String = value.name.chars().take(60).collect();
        Err(inconsistent(format!("value {name:?}"), problem.to_owned()))
    };
    let tensor = value.kind.as_ref().and_then(|kind| kind.tensor_type.as_ref());
    let Some(TensorTypeProto {
        elem_type,
        shape: Some(shape),
    }) = tensor
    else {
        return fail("it has no tensor type with a shape");
    };
    if shape.dim.len() > 2 {
        return fail("it has more than two dimensions");
    }
    let mut dims = Vec::new();
    for dim in &shape.dim {
        dims.push(match &dim.value {
            Some(Dimension::Value(n)) => match usize::try_from(*n) {
                Ok(n) => Some(n),
                Err(_negative) => return fail("it has a negative dimension"),
            },
            Some(Dimension::Param(_)) | None => None,
        });
    }
    Ok((*elem_type, dims))
}
