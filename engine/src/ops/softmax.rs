//! `Softmax` and `LogSoftmax`.
//!
//! Source: <https://onnx.ai/onnx/operators/onnx__Softmax.html>. Before operator set 13 all axes from the named one on are
//! taken as one, and the default is the second; since then it is one axis, by default the last.

use std::marker::PhantomData;

use num_traits::Float;

use crate::node::Node;
use crate::refusal::Refusal;
use crate::types::{Buffer, Dim, Element, Kernel, Source, Values, count, with_float};

type Done = Result<(), Refusal>;

struct Softmax<T> {
    source: Source,
    outer: Vec<Dim>,
    length: usize,
    inner: Vec<Dim>,
    is_log: bool,
    types: PhantomData<fn(T)>,
}

impl<T: Element + Float> Kernel for Softmax<T> {
    fn run(&self, values: &Values<'_>, out: &mut [Buffer]) {
        let entries = values.of::<T>(self.source);
        let out = T::of_mut(&mut out[0]);
        let inner = count(&self.inner, values.rows);
        for outer in 0..count(&self.outer, values.rows) {
            for column in 0..inner {
                let at = |place: usize| (outer * self.length + place) * inner + column;
                let places = 0..self.length;
                let most = places
                    .clone()
                    .fold(T::neg_infinity(), |most, place| most.max(entries[at(place)]));
                let mut sum = T::zero();
                for place in places.clone() {
                    let raised = (entries[at(place)] - most).exp();
                    out[at(place)] = raised;
                    sum = sum + raised;
                }
                for place in places {
                    out[at(place)] = if self.is_log {
                        entries[at(place)] - most - sum.ln()
                    } else {
                        out[at(place)] / sum
                    };
                }
            }
        }
    }

    fn work(&self) -> usize {
        16 * self.length * count(&self.outer, 1) * count(&self.inner, 1)
    }
}

fn along_axis(node: &mut Node<'_, '_>, is_log: bool) -> Done {
    let input = node.input(0)?;
    let is_old = node.version < 13;
    let axis = node.int("axis", if is_old { 1 } else { -1 })?;
    let axis = node.axis(axis, input.rank())?;
    let end = if is_old { input.rank() } else { axis + 1 };
    for axis in axis..end {
        node.not_rows(&input, axis)?;
    }
    with_float!(input.element, T => {
        let kernel = Softmax::<T> {
            source: input.source,
            outer: input.shape[..axis].to_vec(),
            length: count(&input.shape[axis..end], 0),
            inner: input.shape[end..].to_vec(),
            is_log,
            types: PhantomData,
        };
        node.emit(kernel, input.element, input.shape.clone(), &[&input])
    }, Err(node.wrong_type(input.element, "FP32 or FP64")))
}

pub(super) fn softmax(node: &mut Node<'_, '_>) -> Done {
    along_axis(node, false)
}

pub(super) fn log_softmax(node: &mut Node<'_, '_>) -> Done {
    along_axis(node, true)
}
