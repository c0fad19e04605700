//! Operators that move elements: joins, cuts, turns and look-ups.
//!
//! Source: <https://onnx.ai/onnx/operators/>, by the operators' names.

use std::marker::PhantomData;

use super::walk::broadcast;
use crate::build::{Fact, check_shape};
use crate::node::Node;
use crate::refusal::Refusal;
use crate::types::{
    Buffer, Dim, Element, Kernel, Missing, RANK_MAX, Source, Type, Values, count, with_type, written,
};

type Done = Result<(), Refusal>;

/// Along an axis of what is written, how a value is read.
#[derive(Debug, Clone, Copy)]
struct Along {
    /// The axis of the value; none where it is stretched.
    axis: Option<usize>,
    /// The entry that comes first.
    start: usize,
    /// How far it is to the next.
    step: isize,
}

/// Reads a value along axes of its own: turned, cut, stretched.
struct Strided<T> {
    source: Source,
    from: Vec<Dim>,
    shape: Vec<Dim>,
    along: Vec<Along>,
    types: PhantomData<fn(T)>,
}

impl<T: Element> Kernel for Strided<T> {
    fn run(&self, values: &Values<'_>, out: &mut [Buffer]) {
        let entries = values.of::<T>(self.source);
        let out = T::of_mut(&mut out[0]);
        let rank = self.shape.len();
        let mut strides = [0_isize; RANK_MAX];
        let mut stride = 1;
        for (axis, dim) in self.from.iter().enumerate().rev() {
            strides[axis] = stride;
            stride *= dim.at(values.rows).cast_signed();
        }
        let mut lengths = [1; RANK_MAX];
        let mut steps = [0_isize; RANK_MAX];
        let mut position = 0_isize;
        for (place, (along, dim)) in self.along.iter().zip(&self.shape).enumerate() {
            lengths[place] = dim.at(values.rows);
            if let Some(axis) = along.axis {
                steps[place] = strides[axis] * along.step;
                position += strides[axis] * along.start.cast_signed();
            }
        }
        let mut at = [0; RANK_MAX];
        for out in out {
            *out = entries[position.cast_unsigned()];
            for axis in (0..rank).rev() {
                at[axis] += 1;
                position += steps[axis];
                if at[axis] < lengths[axis] {
                    break;
                }
                position -= steps[axis] * lengths[axis].cast_signed();
                at[axis] = 0;
            }
        }
    }

    fn missing(&self) -> Missing {
        Missing::Parts
    }
}

fn strided(node: &mut Node<'_, '_>, input: &Fact, shape: Vec<Dim>, along: Vec<Along>) -> Done {
    with_type!(input.element, T => {
        let kernel = Strided::<T> {
            source: input.source,
            from: input.shape.clone(),
            shape: shape.clone(),
            along,
            types: PhantomData,
        };
        node.emit(kernel, input.element, shape, &[input])
    })
}

fn whole(axis: usize) -> Along {
    Along {
        axis: Some(axis),
        start: 0,
        step: 1,
    }
}

pub(super) fn transpose(node: &mut Node<'_, '_>) -> Done {
    let input = node.input(0)?;
    let rank = input.rank();
    let order = if node.has("perm") {
        node.ints("perm")?
            .iter()
            .map(|axis| node.axis(*axis, rank))
            .collect::<Result<Vec<_>, _>>()?
    } else {
        (0..rank).rev().collect()
    };
    let mut sorted = order.clone();
    sorted.sort_unstable();
    if sorted != (0..rank).collect::<Vec<_>>() {
        return Err(node.inconsistent(format!("turns {} by {order:?}", written(&input.shape))));
    }
    let shape = order.iter().map(|axis| input.shape[*axis]).collect();
    let along = order.into_iter().map(whole).collect();
    strided(node, &input, shape, along)
}

pub(super) fn expand(node: &mut Node<'_, '_>) -> Done {
    let (input, wanted) = (node.input(0)?, node.input(1)?);
    let Some(wanted) = node.build.extents(&wanted) else {
        return Err(node.unsupported("takes a shape from a request", "a constant, or what Shape gives"));
    };
    let shape = broadcast(node, &[&input.shape, &wanted])?;
    let missing = shape.len() - input.rank();
    let along = (0..shape.len()).map(|place| {
        let axis = place
            .checked_sub(missing)
            .filter(|axis| input.shape[*axis] != Dim::Fixed(1));
        Along {
            axis,
            start: 0,
            step: 1,
        }
    });
    let along = along.collect();
    strided(node, &input, shape, along)
}

pub(super) fn slice(node: &mut Node<'_, '_>) -> Done {
    let input = node.input(0)?;
    let (Some(starts), Some(ends)) = (node.ints_or_input("starts", 1)?, node.ints_or_input("ends", 2)?)
    else {
        return Err(node.inconsistent("lacks where it starts or ends"));
    };
    let named = node.ints_or_input("axes", 3)?;
    let named = named.unwrap_or_else(|| (0..).take(starts.len()).collect());
    let steps = match node.optional_input(4)? {
        Some(steps) => node.known::<i64>(&steps, "steps")?,
        None => vec![1; starts.len()],
    };
    if ends.len() != starts.len() || named.len() != starts.len() || steps.len() != starts.len() {
        return Err(node.inconsistent("has starts, ends, axes and steps of different lengths"));
    }
    let mut shape = input.shape.clone();
    let mut along: Vec<Along> = (0..input.rank()).map(whole).collect();
    for (((start, end), axis), step) in starts.iter().zip(&ends).zip(&named).zip(&steps) {
        let axis = node.axis(*axis, input.rank())?;
        let length = input.shape[axis];
        if length.is_rows() && *start == 0 && *step == 1 && *end >= i64::from(i32::MAX) {
            continue;
        }
        let length = i64::try_from(node.not_rows(&input, axis)?).unwrap_or(i64::MAX);
        let bound = |value: i64, least: i64, most: i64| {
            let from_start = if value < 0 {
                value.saturating_add(length)
            } else {
                value
            };
            from_start.clamp(least, most)
        };
        let (start, end) = match *step {
            0 => return Err(node.inconsistent("has a step of 0")),
            step if step > 0 => (bound(*start, 0, length), bound(*end, 0, length)),
            _ => (bound(*start, 0, length - 1), bound(*end, -1, length - 1)),
        };
        let entries = if *step > 0 {
            (end - start).max(0).div_ceil_by(*step)
        } else {
            (start - end).max(0).div_ceil_by(step.saturating_neg())
        };
        shape[axis] = Dim::Fixed(usize::try_from(entries).unwrap_or(0));
        along[axis] = Along {
            axis: Some(axis),
            start: usize::try_from(start).unwrap_or(0),
            step: isize::try_from(*step).unwrap_or(1),
        };
    }
    let cut = node
        .build
        .extents(&input)
        .filter(|_| input.rank() == 1 && input.extents.is_some());
    if let Some(extents) = cut {
        let from = along[0];
        let chosen = (0..shape[0].at(0)).map(|entry| {
            let place = from.start.cast_signed() + entry.cast_signed() * from.step;
            extents[place.cast_unsigned()]
        });
        let chosen: Vec<Dim> = chosen.collect();
        let place = node.place.clone();
        let fact = node.build.extents_value(&place, &[chosen.len()], chosen)?;
        node.give(fact);
        return Ok(());
    }
    strided(node, &input, shape, along)
}

/// Division that rounds up.
trait DivCeil {
    fn div_ceil_by(self, divisor: Self) -> Self;
}

impl DivCeil for i64 {
    fn div_ceil_by(self, divisor: Self) -> Self {
        self / divisor + Self::from(self % divisor != 0)
    }
}

pub(super) fn split(node: &mut Node<'_, '_>) -> Done {
    let input = node.input(0)?;
    let axis = node.int("axis", 0)?;
    let axis = node.axis(axis, input.rank())?;
    let length = node.not_rows(&input, axis)?;
    let outputs = node.raw.outputs.len();
    node.ignore(&["num_outputs"]);
    let parts: Vec<usize> = if let Some(parts) = node.ints_or_input("split", 1)? {
        let part = |part: &i64| usize::try_from(*part).unwrap_or(usize::MAX);
        parts.iter().map(part).collect()
    } else {
        let each = length.div_ceil(outputs.max(1));
        let part = |part: usize| each.min(length.saturating_sub(part * each));
        (0..outputs).map(part).collect()
    };
    if parts
        .iter()
        .try_fold(0_usize, |total, part| total.checked_add(*part))
        != Some(length)
    {
        return Err(node.inconsistent(format!("cuts {length} entries into {parts:?}")));
    }
    let mut start = 0;
    for part in parts {
        let mut shape = input.shape.clone();
        shape[axis] = Dim::Fixed(part);
        let mut along: Vec<Along> = (0..input.rank()).map(whole).collect();
        along[axis].start = start;
        start += part;
        strided(node, &input, shape, along)?;
    }
    Ok(())
}

pub(super) fn tile(node: &mut Node<'_, '_>) -> Done {
    let (input, repeats) = (node.input(0)?, node.input(1)?);
    let repeats = node.known::<i64>(&repeats, "repeats")?;
    if repeats.len() != input.rank() {
        return Err(node.inconsistent(format!("repeats {} by {repeats:?}", written(&input.shape))));
    }
    let mut fact = input;
    for (axis, repeat) in repeats.iter().enumerate() {
        let repeat = usize::try_from(*repeat).unwrap_or(0);
        if repeat == 1 {
            continue;
        }
        node.not_rows(&fact, axis)?;
        let copies = vec![fact.clone(); repeat.min(node.build.limits.nodes_max)];
        fact = join(node, &copies, axis)?;
    }
    node.give(fact);
    Ok(())
}

/// Values one after another along an axis.
struct Concat<T> {
    sources: Vec<Source>,
    shapes: Vec<Vec<Dim>>,
    axis: usize,
    types: PhantomData<fn(T)>,
}

impl<T: Element> Kernel for Concat<T> {
    fn run(&self, values: &Values<'_>, out: &mut [Buffer]) {
        let mut rest = T::of_mut(&mut out[0]);
        let outer = count(&self.shapes[0][..self.axis], values.rows);
        for run in 0..outer {
            for (source, shape) in self.sources.iter().zip(&self.shapes) {
                let length = count(&shape[self.axis..], values.rows);
                let (own, others) = rest.split_at_mut(length);
                own.copy_from_slice(&values.of::<T>(*source)[run * length..(run + 1) * length]);
                rest = others;
            }
        }
    }
}

fn join(node: &mut Node<'_, '_>, facts: &[Fact], axis: usize) -> Result<Fact, Refusal> {
    let first = &facts[0];
    let mut length = 0;
    for fact in facts {
        let others = |fact: &Fact| {
            let mut shape = fact.shape.clone();
            shape.remove(axis);
            shape
        };
        if fact.rank() != first.rank() || others(fact) != others(first) || fact.element != first.element {
            let problem = format!(
                "joins {} {} and {} {} along axis {axis}",
                first.element,
                written(&first.shape),
                fact.element,
                written(&fact.shape)
            );
            return Err(node.inconsistent(problem));
        }
        length += if facts.len() == 1 {
            fact.shape[axis].at(1)
        } else {
            node.not_rows(fact, axis)?
        };
    }
    let mut shape = first.shape.clone();
    shape[axis] = if shape[axis].is_rows() {
        Dim::Rows(length)
    } else {
        Dim::Fixed(length)
    };
    let place = node.place.clone();
    let reads: Vec<&Fact> = facts.iter().collect();
    with_type!(first.element, T => {
        let kernel = Concat::<T> {
            sources: facts.iter().map(|fact| fact.source).collect(),
            shapes: facts.iter().map(|fact| fact.shape.clone()).collect(),
            axis,
            types: PhantomData,
        };
        node.build.emit(&place, kernel, first.element, shape, &reads)
    })
}

pub(super) fn concat(node: &mut Node<'_, '_>) -> Done {
    let facts = node.inputs()?;
    let Some(first) = facts.first() else {
        return Err(node.inconsistent("has no input"));
    };
    let axis = node.int("axis", 1)?;
    let axis = node.axis(axis, first.rank())?;
    let extents = facts
        .iter()
        .map(|fact| node.build.extents(fact))
        .collect::<Option<Vec<_>>>();
    if first.rank() == 1
        && facts.iter().any(|fact| fact.extents.is_some())
        && let Some(extents) = extents
    {
        let extents = extents.concat();
        let place = node.place.clone();
        let fact = node.build.extents_value(&place, &[extents.len()], extents)?;
        node.give(fact);
        return Ok(());
    }
    if axis == 0 && facts.len() > 1 && facts.iter().all(|fact| fact.shape.first() == Some(&Dim::Rows(1))) {
        return stack(node, facts);
    }
    let fact = join(node, &facts, axis)?;
    node.give(fact);
    Ok(())
}

/// Puts values one after another along the rows: what is done with the result must keep each value's rows apart, which a
/// `Reshape` by their number shows, as skl2onnx writes it.
fn stack(node: &mut Node<'_, '_>, mut facts: Vec<Fact>) -> Done {
    for fact in &mut facts {
        fact.shape.insert(0, Dim::Fixed(1));
        check_shape(&node.place, &fact.shape)?;
    }
    let fact = join(node, &facts, 0)?;
    node.give(Fact {
        is_stack: true,
        ..fact
    });
    Ok(())
}

/// `FeatureVectorizer`: columns of several inputs side by side, as FP32.
pub(super) fn feature_vectorizer(node: &mut Node<'_, '_>) -> Done {
    let widths = node.ints("inputdimensions")?;
    let mut facts = Vec::new();
    for (index, fact) in node.inputs()?.iter().enumerate() {
        let fact = super::cast::to(node, fact, Type::F32)?;
        let width = fact.shape.get(1).copied().and_then(Dim::fixed);
        if fact.rank() != 2
            || widths
                .get(index)
                .is_some_and(|wanted| usize::try_from(*wanted).ok() != width)
        {
            return Err(node.wrong_shape(&fact.shape, "[rows, n] as \"inputdimensions\" says"));
        }
        facts.push(fact);
    }
    if facts.is_empty() {
        return Err(node.inconsistent("has no input"));
    }
    let fact = join(node, &facts, 1)?;
    node.give(fact);
    Ok(())
}

/// Returns a value whose `axes` stand last, the others before them in their order.
pub(super) fn turned_last(node: &mut Node<'_, '_>, input: &Fact, axes: &[usize]) -> Result<Fact, Refusal> {
    let order: Vec<usize> = (0..input.rank())
        .filter(|axis| !axes.contains(axis))
        .chain(axes.iter().copied())
        .collect();
    let shape: Vec<Dim> = order.iter().map(|axis| input.shape[*axis]).collect();
    let along: Vec<Along> = order.into_iter().map(whole).collect();
    let place = node.place.clone();
    with_type!(input.element, T => {
        let kernel = Strided::<T> {
            source: input.source,
            from: input.shape.clone(),
            shape: shape.clone(),
            along,
            types: PhantomData,
        };
        node.build.emit(&place, kernel, input.element, shape, &[input])
    })
}
