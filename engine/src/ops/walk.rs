//! Walks values of several shapes together, as NumPy broadcasts them.
//!
//! Source: <https://github.com/onnx/onnx/blob/main/docs/Broadcasting.md>.

use crate::node::Node;
use crate::refusal::Refusal;
use crate::types::{Dim, RANK_MAX, written};

/// Returns the shape to which all of `shapes` are stretched.
pub(crate) fn broadcast(node: &Node<'_, '_>, shapes: &[&[Dim]]) -> Result<Vec<Dim>, Refusal> {
    let rank = shapes.iter().map(|shape| shape.len()).max().unwrap_or(0);
    let mut out = vec![Dim::Fixed(1); rank];
    for shape in shapes {
        for (own, dim) in out.iter_mut().rev().zip(shape.iter().rev()) {
            *own = match (*own, *dim) {
                (Dim::Fixed(1), dim) | (dim, Dim::Fixed(1)) => dim,
                (own, dim) if own == dim => own,
                _ => {
                    let shapes: Vec<String> = shapes.iter().map(|shape| written(shape)).collect();
                    return Err(node.inconsistent(format!("takes {} together", shapes.join(" and "))));
                }
            };
        }
    }
    Ok(out)
}

/// How `N` values are read while one of a certain shape is written.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Walk<const N: usize> {
    shape: [usize; RANK_MAX],
    rank: usize,
    /// How far an entry is from the next one of an axis: 0 where the value is stretched.
    strides: [[usize; RANK_MAX]; N],
}

impl<const N: usize> Walk<N> {
    /// Prepares a walk over `shape` through values that are broadcast to it.
    pub(crate) fn new(shape: &[Dim], sources: [&[Dim]; N], rows: usize) -> Self {
        let mut walk = Self {
            shape: [1; RANK_MAX],
            rank: shape.len().max(1),
            strides: [[0; RANK_MAX]; N],
        };
        for (own, dim) in walk.shape.iter_mut().zip(shape) {
            *own = dim.at(rows);
        }
        for (strides, source) in walk.strides.iter_mut().zip(sources) {
            let mut stride = 1;
            for (place, dim) in source.iter().enumerate().rev() {
                let length = dim.at(rows);
                let axis = shape.len() - source.len() + place;
                strides[axis] = if length == 1 { 0 } else { stride };
                stride *= length;
            }
        }
        walk
    }

    /// Calls `visit` for each run along the last axis: where it starts in what is written, how long it is, and where each
    /// value starts.
    pub(crate) fn each(&self, mut visit: impl FnMut(usize, usize, [usize; N])) {
        let last = self.rank - 1;
        let length = self.shape[last];
        let runs: usize = self.shape[..last].iter().product();
        let mut at = [0; RANK_MAX];
        let mut starts = [0; N];
        for run in 0..runs {
            visit(run * length, length, starts);
            for axis in (0..last).rev() {
                at[axis] += 1;
                if at[axis] < self.shape[axis] {
                    for (start, strides) in starts.iter_mut().zip(&self.strides) {
                        *start += strides[axis];
                    }
                    break;
                }
                for (start, strides) in starts.iter_mut().zip(&self.strides) {
                    *start -= strides[axis] * (self.shape[axis] - 1);
                }
                at[axis] = 0;
            }
        }
    }

    /// Returns how far an entry of a value is from the next along the last axis: 0 or 1.
    pub(crate) const fn step(&self, value: usize) -> usize {
        let stride = self.strides[value][self.rank - 1];
        if stride == 0 { 0 } else { 1 }
    }
}
