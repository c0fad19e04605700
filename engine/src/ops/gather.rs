//! Operators that look entries up: `Gather`, `GatherElements`, `ArrayFeatureExtractor`.
//!
//! Source: <https://onnx.ai/onnx/operators/>, by the operators' names.

use std::marker::PhantomData;

use super::shapes::fixed;
use crate::build::{Classes, Fact};
use crate::node::Node;
use crate::refusal::Refusal;
use crate::types::{Buffer, Dim, Element, Kernel, Missing, Source, Type, Values, count, with_type, written};

type Done = Result<(), Refusal>;

/// Entries of an axis, by an index that the model knows or a request brings.
struct Gather<T, I> {
    source: Source,
    indices: Source,
    /// The extents before, along and after the axis.
    outer: Vec<Dim>,
    length: Dim,
    inner: Vec<Dim>,
    types: PhantomData<fn(T, I)>,
}

impl<T: Element, I: Element + Into<i64>> Kernel for Gather<T, I> {
    fn run(&self, values: &Values<'_>, out: &mut [Buffer]) {
        let entries = values.of::<T>(self.source);
        let indices = values.of::<I>(self.indices);
        let (length, inner) = (self.length.at(values.rows), count(&self.inner, values.rows));
        let mut parts = T::of_mut(&mut out[0]).chunks_exact_mut(inner.max(1));
        for run in 0..count(&self.outer, values.rows) {
            for index in indices {
                let Some(part) = parts.next() else { return };
                let start = (run * length + place((*index).into(), length)) * inner;
                part.copy_from_slice(&entries[start..start + inner]);
            }
        }
    }

    fn missing(&self) -> Missing {
        Missing::Parts
    }
}

/// Returns the entry that an index means: negative ones count from the end, what is outside is the nearest.
fn place(index: i64, length: usize) -> usize {
    let last = length.saturating_sub(1);
    if index < 0 {
        let back = usize::try_from(index.unsigned_abs()).unwrap_or(usize::MAX);
        length.saturating_sub(back).min(last)
    } else {
        usize::try_from(index).unwrap_or(usize::MAX).min(last)
    }
}

fn indices_of(node: &Node<'_, '_>, indices: &Fact, length: usize) -> Done {
    if !matches!(indices.element, Type::I64 | Type::I32) {
        return Err(node.wrong_type(indices.element, "INT64 or INT32 as an index"));
    }
    let limit = i64::try_from(length).unwrap_or(i64::MAX);
    let known = node.build.known::<i64>(indices).unwrap_or_default();
    match known.iter().find(|index| !(-limit..limit).contains(index)) {
        Some(index) => Err(node.inconsistent(format!("looks up entry {index} of {length}"))),
        None if length == 0 => Err(node.inconsistent("looks up an entry of none")),
        None => Ok(()),
    }
}

fn gather_along(node: &mut Node<'_, '_>, input: &Fact, indices: &Fact, axis: usize, shape: Vec<Dim>) -> Done {
    let length = input.shape[axis];
    let reads = [input, indices];
    let classes = chosen(node, input, indices, length)?;
    with_type!(input.element, T => {
        macro_rules! gather {
            ($index:ty) => {
                Gather::<T, $index> {
                    source: input.source,
                    indices: indices.source,
                    outer: input.shape[..axis].to_vec(),
                    length,
                    inner: input.shape[axis + 1..].to_vec(),
                    types: PhantomData,
                }
            };
        }
        if indices.element == Type::I32 {
            node.emit(gather!(i32), input.element, shape, &reads)?;
        } else {
            node.emit(gather!(i64), input.element, shape, &reads)?;
        }
    });
    node.choose(classes);
    Ok(())
}

/// Returns what is chosen where the place of the largest score looks up a list of the model: that is how exporters write
/// labels.
fn chosen(
    node: &mut Node<'_, '_>,
    list: &Fact,
    indices: &Fact,
    length: Dim,
) -> Result<Option<Classes>, Refusal> {
    let (Some(classes), Source::Constant(constant)) = (&indices.classes, list.source) else {
        return Ok(None);
    };
    let (Buffer::I64(places), list) = (classes.labels.as_ref(), &node.build.constants[constant]) else {
        return Ok(None);
    };
    if list.is_empty() || Dim::Fixed(list.len()) != length {
        return Ok(None);
    }
    let at = |index: &i64| place(*index, list.len());
    let labels = match list {
        Buffer::I64(numbers) => Buffer::I64(places.iter().map(|index| numbers[at(index)]).collect()),
        Buffer::I32(numbers) => Buffer::I64(places.iter().map(|index| numbers[at(index)].into()).collect()),
        Buffer::Text(texts) => Buffer::Text(places.iter().map(|index| texts[at(index)]).collect()),
        _ => return Ok(None),
    };
    node.build.classes(labels, classes.scores).map(Some)
}

pub(super) fn gather(node: &mut Node<'_, '_>) -> Done {
    let (input, indices) = (node.input(0)?, node.input(1)?);
    let axis = node.int("axis", 0)?;
    let axis = node.axis(axis, input.rank())?;
    if input.extents.is_some()
        && let (Some(extents), Some(known)) = (node.build.extents(&input), node.build.known::<i64>(&indices))
        && !extents.is_empty()
    {
        let chosen = known
            .iter()
            .map(|index| extents[place(*index, extents.len())])
            .collect();
        let shape: Vec<usize> = indices.shape.iter().map(|dim| dim.at(0)).collect();
        let place = node.place.clone();
        let fact = node.build.extents_value(&place, &shape, chosen)?;
        node.give(fact);
        return Ok(());
    }
    let length = node.not_rows(&input, axis)?;
    indices_of(node, &indices, length)?;
    let shape = [&input.shape[..axis], &indices.shape, &input.shape[axis + 1..]].concat();
    gather_along(node, &input, &indices, axis, shape)
}

/// `ArrayFeatureExtractor`: columns by index; all indices are one list, whatever shape they have.
pub(super) fn array_feature_extractor(node: &mut Node<'_, '_>) -> Done {
    let (input, indices) = (node.input(0)?, node.input(1)?);
    let Some(axis) = input.rank().checked_sub(1) else {
        return Err(node.wrong_shape(&input.shape, "at least one axis"));
    };
    let length = node.not_rows(&input, axis)?;
    indices_of(node, &indices, length)?;
    let each: usize = indices.shape.iter().map(|dim| dim.at(1)).product();
    let chosen = if indices.rows_axis().is_some() {
        Dim::Rows(each)
    } else {
        Dim::Fixed(each)
    };
    // Rows that do not come first stand one after another here as they do in the indices.
    if indices
        .rows_axis()
        .is_some_and(|axis| indices.shape[..axis].iter().any(|dim| *dim != Dim::Fixed(1)))
    {
        return Err(node.wrong_shape(&indices.shape, "rows first"));
    }
    let shape = if input.rank() == 1 {
        vec![Dim::Fixed(1), chosen]
    } else {
        [&input.shape[..axis], &[chosen]].concat()
    };
    gather_along(node, &input, &indices, axis, shape)
}

/// One entry of an axis for each entry of the index.
struct GatherElements<T> {
    source: Source,
    indices: Source,
    length: Dim,
    inner: Vec<Dim>,
    along: Dim,
    types: PhantomData<fn(T)>,
}

impl<T: Element> Kernel for GatherElements<T> {
    fn run(&self, values: &Values<'_>, out: &mut [Buffer]) {
        let entries = values.of::<T>(self.source);
        let indices = values.of::<i64>(self.indices);
        let (length, inner) = (self.length.at(values.rows), count(&self.inner, values.rows));
        let along = self.along.at(values.rows);
        for (at, (out, index)) in T::of_mut(&mut out[0]).iter_mut().zip(indices).enumerate() {
            let (outer, column) = (at / (along * inner), at % inner);
            *out = entries[(outer * length + place(*index, length)) * inner + column];
        }
    }
}

pub(super) fn gather_elements(node: &mut Node<'_, '_>) -> Done {
    let (input, indices) = (node.input(0)?, node.input(1)?);
    let axis = node.int("axis", 0)?;
    let axis = node.axis(axis, input.rank())?;
    let length = node.not_rows(&input, axis)?;
    indices_of(node, &indices, length)?;
    let differs =
        (0..input.rank()).any(|other| other != axis && indices.shape.get(other) != Some(&input.shape[other]));
    if indices.rank() != input.rank() || differs {
        let found = format!("takes {} by {}", written(&input.shape), written(&indices.shape));
        return Err(node.unsupported(found, "shapes that differ along the axis alone"));
    }
    if indices.element != Type::I64 {
        return Err(node.wrong_type(indices.element, "INT64 as an index"));
    }
    fixed(node, indices.shape[axis], "an index")?;
    with_type!(input.element, T => {
        let kernel = GatherElements::<T> {
            source: input.source,
            indices: indices.source,
            length: input.shape[axis],
            inner: input.shape[axis + 1..].to_vec(),
            along: indices.shape[axis],
            types: PhantomData,
        };
        node.emit(kernel, input.element, indices.shape.clone(), &[&input, &indices])
    })
}
