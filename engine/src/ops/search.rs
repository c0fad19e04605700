//! `ArgMax`, `ArgMin` and `TopK`.
//!
//! Source: <https://onnx.ai/onnx/operators/>, by the operators' names.

use std::cmp::Ordering;
use std::marker::PhantomData;

use super::elementwise::Number;
use crate::node::Node;
use crate::refusal::Refusal;
use crate::types::{Buffer, Dim, Element, Kernel, Source, Type, Values, count, with_number};

type Done = Result<(), Refusal>;

/// The place of the largest or smallest entry along an axis.
struct Best<T> {
    source: Source,
    length: usize,
    inner: Vec<Dim>,
    wants_largest: bool,
    wants_last: bool,
    types: PhantomData<fn(T)>,
}

impl<T: Number> Kernel for Best<T> {
    fn run(&self, values: &Values<'_>, out: &mut [Buffer]) {
        let entries = values.of::<T>(self.source);
        let inner = count(&self.inner, values.rows);
        for (at, out) in i64::of_mut(&mut out[0]).iter_mut().enumerate() {
            let start = (at / inner) * self.length * inner + at % inner;
            let along = entries[start..].iter().step_by(inner).take(self.length);
            *out = i64::try_from(self.best(along.copied())).unwrap_or(0);
        }
    }
}

impl<T: Number> Best<T> {
    fn best(&self, along: impl Iterator<Item = T>) -> usize {
        let mut best: Option<(usize, T)> = None;
        for (place, entry) in along.enumerate() {
            let is_better = best.is_none_or(|(_, known)| {
                let beats = if self.wants_largest {
                    entry > known
                } else {
                    entry < known
                };
                beats || (self.wants_last && entry == known)
            });
            if is_better {
                best = Some((place, entry));
            }
        }
        best.map_or(0, |(place, _)| place)
    }
}

fn best(node: &mut Node<'_, '_>, wants_largest: bool) -> Done {
    let keep = node.flag("keepdims", true)?;
    let wants_last = node.flag("select_last_index", false)?;
    let axis = node.int("axis", 0)?;
    let input = node.input(0)?;
    let axis = node.axis(axis, input.rank())?;
    let length = node.not_rows(&input, axis)?;
    if length == 0 {
        return Err(node.inconsistent("looks for the best of no entries"));
    }
    let mut shape = input.shape.clone();
    if keep {
        shape[axis] = Dim::Fixed(1);
    } else {
        shape.remove(axis);
    }
    with_number!(input.element, T => {
        let kernel = Best::<T> {
            source: input.source,
            length,
            inner: input.shape[axis + 1..].to_vec(),
            wants_largest,
            wants_last,
            types: PhantomData,
        };
        node.emit(kernel, Type::I64, shape, &[&input])?;
        if wants_largest && axis + 1 == input.rank() {
            let classes = node.build.places(length, input.source)?;
            node.choose(classes);
        }
        Ok(())
    }, Err(node.wrong_type(input.element, "numbers")))
}

pub(super) fn arg_max(node: &mut Node<'_, '_>) -> Done {
    best(node, true)
}

pub(super) fn arg_min(node: &mut Node<'_, '_>) -> Done {
    best(node, false)
}

/// The `k` largest or smallest entries along an axis, in order; of equals the one that stands first.
struct TopK<T> {
    source: Source,
    outer: Vec<Dim>,
    length: usize,
    inner: Vec<Dim>,
    k: usize,
    wants_largest: bool,
    types: PhantomData<fn(T)>,
}

impl<T: Number> Kernel for TopK<T> {
    fn run(&self, values: &Values<'_>, out: &mut [Buffer]) {
        let entries = values.of::<T>(self.source);
        let [found, places] = out else { return };
        let (found, places) = (T::of_mut(found), i64::of_mut(places));
        let inner = count(&self.inner, values.rows);
        let mut order = Vec::with_capacity(self.length);
        for outer in 0..count(&self.outer, values.rows) {
            for column in 0..inner {
                let entry = |place: usize| entries[(outer * self.length + place) * inner + column];
                let compare = |a: &usize, b: &usize| {
                    let (x, y) = (entry(*a), entry(*b));
                    let ordered = if self.wants_largest {
                        y.partial_cmp(&x)
                    } else {
                        x.partial_cmp(&y)
                    };
                    ordered.unwrap_or(Ordering::Equal).then(a.cmp(b))
                };
                order.clear();
                order.extend(0..self.length);
                if self.k < self.length {
                    order.select_nth_unstable_by(self.k, compare);
                }
                order[..self.k].sort_unstable_by(compare);
                for (rank, place) in order[..self.k].iter().enumerate() {
                    let at = (outer * self.k + rank) * inner + column;
                    found[at] = entry(*place);
                    places[at] = i64::try_from(*place).unwrap_or(i64::MAX);
                }
            }
        }
    }

    fn work(&self) -> usize {
        8 * self.length * count(&self.outer, 1) * count(&self.inner, 1)
    }
}

pub(super) fn top_k(node: &mut Node<'_, '_>) -> Done {
    node.ignore(&["sorted"]);
    let wants_largest = node.flag("largest", true)?;
    let input = node.input(0)?;
    let axis = node.int("axis", -1)?;
    let axis = node.axis(axis, input.rank())?;
    let length = node.not_rows(&input, axis)?;
    let k = if node.has("k") {
        node.int("k", 0)?
    } else {
        let k = node.input(1)?;
        node.known::<i64>(&k, "k")?.first().copied().unwrap_or(0)
    };
    let Some(k) = usize::try_from(k).ok().filter(|k| *k <= length) else {
        return Err(node.inconsistent(format!("wants {k} of {length} entries")));
    };
    let mut shape = input.shape.clone();
    shape[axis] = Dim::Fixed(k);
    with_number!(input.element, T => {
        let kernel = TopK::<T> {
            source: input.source,
            outer: input.shape[..axis].to_vec(),
            length,
            inner: input.shape[axis + 1..].to_vec(),
            k,
            wants_largest,
            types: PhantomData,
        };
        node.emit_all(kernel, vec![(input.element, shape.clone()), (Type::I64, shape)], &[&input])
    }, Err(node.wrong_type(input.element, "numbers")))
}
