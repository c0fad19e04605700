//! `MatMul` and `Gemm`.
//!
//! Source: <https://onnx.ai/onnx/operators/onnx__MatMul.html>, <https://onnx.ai/onnx/operators/onnx__Gemm.html>.

use std::marker::PhantomData;

use num_traits::{AsPrimitive, Float};
use pulp::{Arch, NullaryFnOnce};

use super::walk::{Walk, broadcast};
use crate::build::Fact;
use crate::node::Node;
use crate::refusal::Refusal;
use crate::types::{Buffer, Dim, Element, Kernel, Real, Source, Values, count, with_float, written};

type Done = Result<(), Refusal>;

/// Products of matrices; the axes before the last two are a batch, stretched where one side has fewer.
struct MatMul<T> {
    sources: [Source; 2],
    /// The batch of the result and of both sides.
    batch: Vec<Dim>,
    batches: [Vec<Dim>; 2],
    height: Dim,
    depth: usize,
    width: Dim,
    types: PhantomData<fn(T)>,
}

impl<T: Real> Kernel for MatMul<T> {
    fn run(&self, values: &Values<'_>, out: &mut [Buffer]) {
        let (left, right) = (values.of::<T>(self.sources[0]), values.of::<T>(self.sources[1]));
        let out = T::of_mut(&mut out[0]);
        let (height, width) = (self.height.at(values.rows), self.width.at(values.rows));
        let walk = Walk::new(&self.batch, [&self.batches[0], &self.batches[1]], values.rows);
        let steps = [walk.step(0), walk.step(1)];
        walk.each(|start, length, [a, b]| {
            for place in 0..length {
                let (a, b) = (a + place * steps[0], b + place * steps[1]);
                let out = &mut out[(start + place) * height * width..][..height * width];
                let left = &left[a * height * self.depth..][..height * self.depth];
                let right = &right[b * self.depth * width..][..self.depth * width];
                multiply(left, right, self.depth, width, out);
            }
        });
    }

    fn work(&self) -> usize {
        count(&self.batch, 1) * self.height.at(1) * self.depth * self.width.at(1)
    }
}

/// The largest right side whose products of FP32 are added with one rounding a step, as onnxruntime's fused kernels do: what
/// it costs is little, and where a sum cancels, what is left is the same. A double holds such a product whole.
const FUSED_MAX: usize = 256;
/// How many rows are added up in step there: each sum waits for itself alone.
const FUSED_ROWS: usize = 8;

/// Multiplies matrices, compiled for each kind of processor. Each entry of the result is added up in the order of the depth,
/// with the same roundings, wherever it is done.
pub(super) fn multiply<T: Real>(left: &[T], right: &[T], depth: usize, width: usize, out: &mut [T]) {
    out.fill(T::zero());
    if depth == 0 || width == 0 {
        return;
    }
    let product = Product {
        left,
        right,
        depth,
        width,
        out,
    };
    Arch::new().dispatch(product);
}

/// A product of matrices, for any processor.
struct Product<'a, T> {
    left: &'a [T],
    right: &'a [T],
    depth: usize,
    width: usize,
    out: &'a mut [T],
}

#[expect(
    clippy::inline_always,
    reason = "it is compiled for the processor of who calls it"
)]
impl<T: Real> NullaryFnOnce for Product<'_, T> {
    type Output = ();

    #[inline(always)]
    fn call(self) {
        let is_alone = self.left.len() == self.depth;
        match (self.right.len() <= FUSED_MAX, is_alone) {
            (true, true) => self.fused::<1>(),
            (true, false) => self.fused::<FUSED_ROWS>(),
            (false, true) => self.tiled::<1, LONE_COLUMNS>(),
            (false, false) => self.tiled::<TILE_ROWS, TILE_COLUMNS>(),
        }
    }
}

/// How many rows and columns of the result are kept in registers: with 8 of FP32 in each, 12 of 16.
const TILE_ROWS: usize = 6;
const TILE_COLUMNS: usize = 16;
/// How many columns of a row that is alone.
const LONE_COLUMNS: usize = 32;

#[expect(
    clippy::inline_always,
    reason = "they are compiled for the processor of who calls them"
)]
impl<T: Real> Product<'_, T> {
    /// A few rows at a time, column by column.
    #[inline(always)]
    fn fused<const ROWS: usize>(self) {
        let Self {
            left,
            right,
            depth,
            width,
            out,
        } = self;
        for (left, out) in left.chunks(depth * ROWS).zip(out.chunks_mut(width * ROWS)) {
            let rows = rows::<T, ROWS>(left, depth);
            for column in 0..width {
                let mut sums = [T::zero(); ROWS];
                for (at, entry) in right[column..].iter().step_by(width).enumerate() {
                    for (sum, row) in sums.iter_mut().zip(rows) {
                        *sum = T::nearest(sum.wide() + row[at].wide() * entry.wide());
                    }
                }
                for (sum, out) in sums.iter().zip(out.chunks_exact_mut(width)) {
                    out[column] = *sum;
                }
            }
        }
    }

    /// As many rows and columns at a time as registers hold; what is over, row by row.
    #[inline(always)]
    fn tiled<const ROWS: usize, const COLUMNS: usize>(self) {
        let Self {
            left,
            right,
            depth,
            width,
            out,
        } = self;
        let whole = width - width % COLUMNS;
        for (left, out) in left.chunks(depth * ROWS).zip(out.chunks_mut(width * ROWS)) {
            let rows = rows::<T, ROWS>(left, depth);
            for first in (0..whole).step_by(COLUMNS) {
                let mut tile = [[T::zero(); COLUMNS]; ROWS];
                for (at, right) in right.chunks_exact(width).enumerate() {
                    let Some(entries) = right[first..].first_chunk::<COLUMNS>() else {
                        break;
                    };
                    for (row, sums) in rows.iter().zip(&mut tile) {
                        let factor = row[at];
                        for (sum, entry) in sums.iter_mut().zip(entries) {
                            *sum = *sum + factor * *entry;
                        }
                    }
                }
                for (sums, out) in tile.iter().zip(out.chunks_exact_mut(width)) {
                    out[first..first + COLUMNS].copy_from_slice(sums);
                }
            }
            for (row, out) in left.chunks_exact(depth).zip(out.chunks_exact_mut(width)) {
                let out = &mut out[whole..];
                for (factor, right) in row.iter().zip(right.chunks_exact(width)) {
                    for (out, entry) in out.iter_mut().zip(&right[whole..]) {
                        *out = *out + *factor * *entry;
                    }
                }
            }
        }
    }
}

/// Returns rows of a matrix; where there are fewer, the last one several times.
#[inline(always)]
#[expect(
    clippy::inline_always,
    reason = "it is compiled for the processor of who calls it"
)]
fn rows<T, const ROWS: usize>(left: &[T], depth: usize) -> [&[T]; ROWS] {
    let last = left.len() / depth - 1;
    std::array::from_fn(|row| &left[row.min(last) * depth..][..depth])
}

fn product(node: &mut Node<'_, '_>, left: &Fact, right: &Fact) -> Result<Fact, Refusal> {
    if left.element != right.element || left.rank() == 0 || right.rank() == 0 {
        let found = format!(
            "multiplies {} {} and {} {}",
            left.element,
            written(&left.shape),
            right.element,
            written(&right.shape)
        );
        return Err(node.unsupported(found, "matrices or vectors of one type"));
    }
    // A vector stands for a row on the left, for a column on the right.
    let mut left_shape = left.shape.clone();
    let mut right_shape = right.shape.clone();
    if left.rank() == 1 {
        left_shape.insert(0, Dim::Fixed(1));
    }
    if right.rank() == 1 {
        right_shape.push(Dim::Fixed(1));
    }
    let (left_batch, left_matrix) = left_shape.split_at(left_shape.len() - 2);
    let (right_batch, right_matrix) = right_shape.split_at(right_shape.len() - 2);
    let depth = match (left_matrix[1], right_matrix[0]) {
        (Dim::Fixed(a), Dim::Fixed(b)) if a == b => a,
        _ => {
            let problem = format!(
                "multiplies {} and {}",
                written(&left.shape),
                written(&right.shape)
            );
            return Err(node.inconsistent(problem));
        }
    };
    let (height, width) = (left_matrix[0], right_matrix[1]);
    let batch = broadcast(node, &[left_batch, right_batch])?;
    let mut shape = batch.clone();
    if left.rank() > 1 {
        shape.push(height);
    }
    if right.rank() > 1 {
        shape.push(width);
    }
    let place = node.place.clone();
    with_float!(left.element, T => {
        let kernel = MatMul::<T> {
            sources: [left.source, right.source],
            batch,
            batches: [left_batch.to_vec(), right_batch.to_vec()],
            height,
            depth,
            width,
            types: PhantomData,
        };
        node.build.emit(&place, kernel, left.element, shape, &[left, right])
    }, Err(node.wrong_type(left.element, "FP32 or FP64")))
}

pub(super) fn matmul(node: &mut Node<'_, '_>) -> Done {
    node.at_most(2)?;
    let (left, right) = (node.input(0)?, node.input(1)?);
    let fact = product(node, &left, &right)?;
    node.give(fact);
    Ok(())
}

/// `alpha · product + beta · bias`, entry by entry.
struct Scaled<T> {
    product: Source,
    bias: Option<Source>,
    shape: Vec<Dim>,
    bias_shape: Vec<Dim>,
    alpha: T,
    beta: T,
}

impl<T: Element + Float> Kernel for Scaled<T> {
    fn run(&self, values: &Values<'_>, out: &mut [Buffer]) {
        let product = values.of::<T>(self.product);
        let out = T::of_mut(&mut out[0]);
        let Some(bias) = self.bias else {
            for (out, product) in out.iter_mut().zip(product) {
                *out = self.alpha * *product;
            }
            return;
        };
        let bias = values.of::<T>(bias);
        let walk = Walk::new(&self.shape, [&self.bias_shape], values.rows);
        let step = walk.step(0);
        walk.each(|start, length, [at]| {
            let entries = out[start..start + length]
                .iter_mut()
                .zip(&product[start..start + length]);
            for (place, (out, product)) in entries.enumerate() {
                *out = self.alpha * *product + self.beta * bias[at + place * step];
            }
        });
    }
}

pub(super) fn gemm(node: &mut Node<'_, '_>) -> Done {
    let (turns_left, turns_right) = (node.flag("transA", false)?, node.flag("transB", false)?);
    let (alpha, beta) = (node.float("alpha", 1.0)?, node.float("beta", 1.0)?);
    let (mut left, mut right) = (node.input(0)?, node.input(1)?);
    if left.rank() != 2 || right.rank() != 2 {
        return Err(node.wrong_shape(&left.shape, "two matrices"));
    }
    if turns_left {
        left = super::movement::turned_last(node, &left, &[0])?;
    }
    if turns_right {
        right = super::movement::turned_last(node, &right, &[0])?;
    }
    let product = product(node, &left, &right)?;
    let bias = node.optional_input(2)?;
    if let Some(bias) = &bias
        && (bias.element != product.element
            || broadcast(node, &[&product.shape, &bias.shape])? != product.shape)
    {
        return Err(node.wrong_shape(
            &bias.shape,
            &format!("what stretches to {}", written(&product.shape)),
        ));
    }
    let mut reads = vec![&product];
    reads.extend(&bias);
    with_float!(product.element, T => {
        let kernel = Scaled::<T> {
            product: product.source,
            bias: bias.as_ref().map(|bias| bias.source),
            shape: product.shape.clone(),
            bias_shape: bias.as_ref().map(|bias| bias.shape.clone()).unwrap_or_default(),
            alpha: alpha.as_(),
            beta: beta.as_(),
        };
        node.emit(kernel, product.element, product.shape.clone(), &reads)
    }, Err(node.wrong_type(product.element, "FP32 or FP64")))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whatever is taken together, each entry is the sum that one loop makes, to the bit.
    #[test]
    fn a_product_has_the_bits_of_one_loop_for_all_shapes() {
        let entry = |at: usize| {
            let at = u16::try_from(at).unwrap();
            (f32::from(at) * 0.37).sin() * 10_f32.powi(i32::from(at % 5) - 2)
        };
        for height in [1, 2, 5, 6, 7, 13] {
            for depth in [1, 3, 16, 17] {
                for width in [1, 2, 15, 16, 17, 32, 33, 64, 70] {
                    let left: Vec<f32> = (0..height * depth).map(entry).collect();
                    let right: Vec<f32> = (7..7 + depth * width).map(entry).collect();
                    let mut out = vec![f32::NAN; height * width];
                    multiply(&left, &right, depth, width, &mut out);
                    for (row, out) in out.chunks(width).enumerate() {
                        for (column, out) in out.iter().enumerate() {
                            let pairs =
                                (0..depth).map(|at| (left[row * depth + at], right[at * width + column]));
                            let expected = pairs.fold(0.0_f32, |sum, (a, b)| {
                                if right.len() <= FUSED_MAX {
                                    f32::nearest(f64::from(sum) + f64::from(a) * f64::from(b))
                                } else {
                                    sum + a * b
                                }
                            });
                            assert_eq!(out.to_bits(), expected.to_bits(), "{height} × {depth} × {width}");
                        }
                    }
                }
            }
        }
    }

    #[test]
    fn products_of_single_numbers_are_added_with_one_rounding_each() {
        let (left, right) = ([1000.1_f32, -999.9, 0.3], [0.7_f32, 0.700_14, 0.1]);
        let mut out = [0.0];
        multiply(&left, &right, 3, 1, &mut out);
        let pairs = || left.iter().zip(&right);
        let fused: f32 = pairs().fold(0.0, |sum, (a, b)| a.mul_add(*b, sum));
        let twice: f32 = pairs().fold(0.0, |sum, (a, b)| a * b + sum);
        assert_eq!(out[0].to_bits(), fused.to_bits());
        assert_ne!(twice.to_bits(), fused.to_bits(), "it tells them apart");
    }
}
