//! Operators that take the entries of some axes together.
//!
//! Source: <https://onnx.ai/onnx/operators/>, by the operators' names. Axes are attributes before operator set 18 (13 for
//! `ReduceSum`), inputs since.

use std::marker::PhantomData;

use num_traits::{AsPrimitive, Float};

use super::elementwise::Number;
use super::movement;
use crate::build::Fact;
use crate::node::Node;
use crate::refusal::Refusal;
use crate::types::{Buffer, Dim, Element, Kernel, Source, Values, count, with_float, with_number};

type Done = Result<(), Refusal>;

/// Takes `middle` entries together, which are `inner` apart.
struct Reduce<T, F> {
    source: Source,
    outer: Vec<Dim>,
    middle: usize,
    inner: Vec<Dim>,
    function: F,
    types: PhantomData<fn(T)>,
}

/// Entries at equal distances.
pub(super) type Strided<'a, T> = std::iter::StepBy<std::slice::Iter<'a, T>>;

impl<T: Element, F: Fn(Strided<'_, T>) -> T + Send + Sync> Kernel for Reduce<T, F> {
    fn run(&self, values: &Values<'_>, out: &mut [Buffer]) {
        let entries = values.of::<T>(self.source);
        let inner = count(&self.inner, values.rows);
        let block = self.middle * inner;
        let mut out = T::of_mut(&mut out[0]).iter_mut();
        for outer in 0..count(&self.outer, values.rows) {
            for column in 0..inner {
                let Some(out) = out.next() else { return };
                let along = entries[outer * block..(outer + 1) * block]
                    .get(column..)
                    .unwrap_or_default();
                *out = (self.function)(along.iter().step_by(inner));
            }
        }
    }

    fn work(&self) -> usize {
        self.middle * count(&self.outer, 1) * count(&self.inner, 1)
    }
}

/// Which axes are taken together, and the value with these axes side by side.
struct Axes {
    fact: Fact,
    /// Where they start and end.
    range: std::ops::Range<usize>,
    /// The shape of the result.
    shape: Vec<Dim>,
}

/// Reads the axes; `None` where nothing is to be done.
fn axes(node: &mut Node<'_, '_>) -> Result<Option<Axes>, Refusal> {
    let keep = node.flag("keepdims", true)?;
    let skips_empty = node.flag("noop_with_empty_axes", false)?;
    let input = node.input(0)?;
    let rank = input.rank();
    let named = node.ints_or_input("axes", 1)?.unwrap_or_default();
    if named.is_empty() && skips_empty {
        return Ok(None);
    }
    let mut axes = named
        .iter()
        .map(|axis| node.axis(*axis, rank))
        .collect::<Result<Vec<_>, _>>()?;
    if axes.is_empty() {
        axes = (0..rank).collect();
    }
    axes.sort_unstable();
    axes.dedup();
    for axis in &axes {
        node.not_rows(&input, *axis)?;
    }
    let shape = input
        .shape
        .iter()
        .enumerate()
        .filter_map(|(axis, dim)| match axes.contains(&axis) {
            true if keep => Some(Dim::Fixed(1)),
            true => None,
            false => Some(*dim),
        });
    let shape = shape.collect();
    let first = axes.first().copied().unwrap_or(0);
    let is_run = axes
        .iter()
        .enumerate()
        .all(|(place, axis)| *axis == first + place);
    let fact = if is_run {
        input
    } else {
        movement::turned_last(node, &input, &axes)?
    };
    let start = if is_run { first } else { rank - axes.len() };
    Ok(Some(Axes {
        range: start..start + axes.len(),
        fact,
        shape,
    }))
}

fn reduce<T: Element>(
    node: &mut Node<'_, '_>,
    axes: Axes,
    function: impl Fn(Strided<'_, T>) -> T + Send + Sync + 'static,
) -> Done {
    let Axes { fact, range, shape } = axes;
    let kernel = Reduce::<T, _> {
        source: fact.source,
        outer: fact.shape[..range.start].to_vec(),
        middle: count(&fact.shape[range.clone()], 0),
        inner: fact.shape[range.end..].to_vec(),
        function,
        types: PhantomData,
    };
    node.emit(kernel, fact.element, shape, &[&fact])
}

fn as_is(node: &mut Node<'_, '_>) -> Done {
    let input = node.input(0)?;
    node.give(input);
    Ok(())
}

/// Reductions of numbers, and of floating-point numbers alone.
macro_rules! reductions {
    ($with:ident, $supported:literal: $($name:ident: $function:expr;)+) => {
        $(pub(super) fn $name(node: &mut Node<'_, '_>) -> Done {
            let Some(axes) = axes(node)? else { return as_is(node) };
            let element = axes.fact.element;
            $with!(element, T => reduce::<T>(node, axes, $function), Err(node.wrong_type(element, $supported)))
        })+
    };
}

reductions! { with_number, "numbers":
    sum: |entries: Strided<'_, T>| Number::total(entries.copied());
    l1: |entries: Strided<'_, T>| Number::total(entries.map(|x| Number::absolute(*x)));
    sum_square: |entries: Strided<'_, T>| Number::total(entries.map(|x| Number::times(*x, *x)));
    product: |entries: Strided<'_, T>| entries.copied().reduce(Number::times).unwrap_or_else(|| 1_u8.as_());
    max: |entries: Strided<'_, T>| entries.copied().reduce(|a, b| if b > a || Number::is_missing(b) { b } else { a }).unwrap_or_default();
    min: |entries: Strided<'_, T>| entries.copied().reduce(|a, b| if b < a || Number::is_missing(b) { b } else { a }).unwrap_or_default();
}

reductions! { with_float, "FP32 or FP64":
    mean: |entries: Strided<'_, T>| {
        let count: T = entries.len().as_();
        <T as Number>::total(entries.copied()) / count
    };
    l2: |entries: Strided<'_, T>| entries.fold(0.0, |sum: T, x| sum + *x * *x).sqrt();
    log_sum: |entries: Strided<'_, T>| entries.fold(0.0, |sum: T, x| sum + *x).ln();
    log_sum_exp: log_sum_exp_of::<T>;
}

/// The logarithm of a sum of exponentials, from the largest down: it neither overflows nor loses the small ones.
fn log_sum_exp_of<T: Float>(entries: Strided<'_, T>) -> T {
    let most = entries.clone().fold(T::neg_infinity(), |most, x| most.max(*x));
    if most.is_infinite() {
        return most;
    }
    entries.fold(T::zero(), |sum, x| sum + (*x - most).exp()).ln() + most
}

/// Running sums along an axis.
struct CumSum<T> {
    source: Source,
    outer: Vec<Dim>,
    length: usize,
    inner: Vec<Dim>,
    is_exclusive: bool,
    is_reverse: bool,
    types: PhantomData<fn(T)>,
}

impl<T: Number> Kernel for CumSum<T> {
    fn run(&self, values: &Values<'_>, out: &mut [Buffer]) {
        let entries = values.of::<T>(self.source);
        let out = T::of_mut(&mut out[0]);
        let inner = count(&self.inner, values.rows);
        for outer in 0..count(&self.outer, values.rows) {
            for column in 0..inner {
                let mut sum = T::default();
                for step in 0..self.length {
                    let step = if self.is_reverse {
                        self.length - 1 - step
                    } else {
                        step
                    };
                    let at = (outer * self.length + step) * inner + column;
                    let with = sum.plus(entries[at]);
                    out[at] = if self.is_exclusive { sum } else { with };
                    sum = with;
                }
            }
        }
    }
}

pub(super) fn cum_sum(node: &mut Node<'_, '_>) -> Done {
    let (is_exclusive, is_reverse) = (node.flag("exclusive", false)?, node.flag("reverse", false)?);
    let (input, axis) = (node.input(0)?, node.input(1)?);
    let axis = super::cast::to(node, &axis, crate::types::Type::I64)?;
    let axis = node.known::<i64>(&axis, "axis")?.first().copied().unwrap_or(0);
    let axis = node.axis(axis, input.rank())?;
    let length = node.not_rows(&input, axis)?;
    with_number!(input.element, T => {
        let kernel = CumSum::<T> {
            source: input.source,
            outer: input.shape[..axis].to_vec(),
            length,
            inner: input.shape[axis + 1..].to_vec(),
            is_exclusive,
            is_reverse,
            types: PhantomData,
        };
        node.emit(kernel, input.element, input.shape.clone(), &[&input])
    }, Err(node.wrong_type(input.element, "numbers")))
}
