//! `Cast` and `CastLike`.
//!
//! Source: <https://onnx.ai/onnx/operators/onnx__Cast.html>. Floats become whole numbers by dropping the fraction. What
//! does not fit, and NaN, the specification leaves open: it becomes the smallest number, as onnxruntime has it from x86-64.

use std::marker::PhantomData;

use num_traits::AsPrimitive;

use crate::build::{Classes, Fact};
use crate::node::Node;
use crate::onnx;
use crate::refusal::Refusal;
use crate::types::{Buffer, Element, Kernel, Source, Type, Values, with_number};

/// A number that becomes one of another type.
trait Becomes<U: Copy + 'static>: Element + AsPrimitive<U> {
    fn become_other(self) -> U {
        self.as_()
    }
}

macro_rules! becomes {
    ($($from:ty => $($to:ty),+;)+) => {
        $($(impl Becomes<$to> for $from {})+)+
    };
}

macro_rules! becomes_whole {
    ($($from:ty => $($to:ty),+;)+) => {
        $($(impl Becomes<$to> for $from {
            fn become_other(self) -> $to {
                let least: $from = <$to>::MIN.as_();
                // Below the least a cast stops at it by itself.
                if self < -least { self.as_() } else { <$to>::MIN }
            }
        })+)+
    };
}

becomes! {
    f32 => f32, f64;
    f64 => f32, f64;
    i32 => f32, f64, i32, i64;
    i64 => f32, f64, i32, i64;
}

becomes_whole! {
    f32 => i32, i64;
    f64 => i32, i64;
}

struct Cast<T, U> {
    source: Source,
    types: PhantomData<fn(T) -> U>,
}

impl<T: Becomes<U>, U: Element> Kernel for Cast<T, U> {
    fn run(&self, values: &Values<'_>, out: &mut [Buffer]) {
        for (out, entry) in U::of_mut(&mut out[0]).iter_mut().zip(values.of::<T>(self.source)) {
            *out = entry.become_other();
        }
    }
}

/// Truth values to numbers: 1 and 0.
struct FromTruth<U> {
    source: Source,
    types: PhantomData<fn() -> U>,
}

impl<U: Element + num_traits::One> Kernel for FromTruth<U> {
    fn run(&self, values: &Values<'_>, out: &mut [Buffer]) {
        for (out, entry) in U::of_mut(&mut out[0])
            .iter_mut()
            .zip(values.of::<bool>(self.source))
        {
            *out = if *entry { U::one() } else { U::default() };
        }
    }
}

/// Numbers to truth values: all but 0 are true.
struct ToTruth<T> {
    source: Source,
    types: PhantomData<fn(T)>,
}

impl<T: Element> Kernel for ToTruth<T> {
    fn run(&self, values: &Values<'_>, out: &mut [Buffer]) {
        for (out, entry) in bool::of_mut(&mut out[0])
            .iter_mut()
            .zip(values.of::<T>(self.source))
        {
            *out = *entry != T::default();
        }
    }
}

pub(super) fn cast(node: &mut Node<'_, '_>) -> Result<(), Refusal> {
    node.ignore(&["saturate", "round_mode"]);
    let wanted = node.int("to", 0)?;
    let input = node.input(0)?;
    let Some(element) = onnx::type_of(wanted) else {
        return Err(node.unsupported(format!("casts to ONNX type {wanted}"), onnx::ELEMENTS));
    };
    let fact = to(node, &input, element)?;
    node.give(fact);
    Ok(())
}

pub(super) fn cast_like(node: &mut Node<'_, '_>) -> Result<(), Refusal> {
    node.ignore(&["saturate", "round_mode"]);
    let (input, like) = (node.input(0)?, node.input(1)?);
    let fact = to(node, &input, like.element)?;
    node.give(fact);
    Ok(())
}

/// Says whether labels are the same numbers in all types.
fn is_exact(classes: &Classes) -> bool {
    const EXACT: std::ops::RangeInclusive<i64> = -(1 << 24)..=1 << 24;
    match classes.labels.as_ref() {
        Buffer::I64(labels) => labels.iter().all(|label| EXACT.contains(label)),
        _ => false,
    }
}

/// Returns a value with elements of a type, itself where it has them already.
pub(super) fn to(node: &mut Node<'_, '_>, fact: &Fact, element: Type) -> Result<Fact, Refusal> {
    if fact.element == element {
        return Ok(fact.clone());
    }
    let refusal = node.unsupported(
        format!("casts {} to {element}", fact.element),
        "numbers and truth values, and texts to themselves",
    );
    let source = fact.source;
    let place = node.place.clone();
    let shape = fact.shape.clone();
    let reads = [fact];
    let build = &mut *node.build;
    let mut cast = match (fact.element, element) {
        (Type::Text, _) | (_, Type::Text) => return Err(refusal),
        (Type::Bool, _) => with_number!(element, U => {
            build.emit(&place, FromTruth::<U> { source, types: PhantomData }, element, shape, &reads)?
        }, return Err(refusal)),
        (from, Type::Bool) => with_number!(from, T => {
            build.emit(&place, ToTruth::<T> { source, types: PhantomData }, element, shape, &reads)?
        }, return Err(refusal)),
        (from, to) => with_number!(from, T => with_number!(to, U => {
            build.emit(&place, Cast::<T, U> { source, types: PhantomData }, element, shape, &reads)?
        }, return Err(refusal)), return Err(refusal)),
    };
    // A shape stays one in whatever whole numbers it is written.
    if element == Type::I64 || element == Type::I32 {
        cast.extents.clone_from(&fact.extents);
    }
    let is_number = |element| !matches!(element, Type::Bool | Type::Text);
    if is_number(fact.element) && is_number(element) {
        cast.labels.clone_from(&fact.labels);
        cast.classes = fact.classes.clone().filter(is_exact);
    }
    Ok(cast)
}
