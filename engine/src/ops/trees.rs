//! Tree ensembles.
//!
//! Source: <https://onnx.ai/onnx/operators/onnx_aionnxml_TreeEnsemble.html>, and `TreeEnsembleClassifier` and
//! `TreeEnsembleRegressor` beside it; labels of two classes are chosen as onnxruntime does, where only one has weights.

mod flat;
mod read;

use std::marker::PhantomData;

use num_traits::AsPrimitive;

use self::flat::{Forest, Threshold};
use super::elementwise::sigmoid_of;
use super::linear::{self, Labels};
use super::transform::Transform;
use crate::build::Fact;
use crate::node::Node;
use crate::refusal::Refusal;
use crate::types::{Buffer, Dim, Element, Kernel, Source, Type, Values};

type Done = Result<(), Refusal>;

/// How the leaves of several trees are taken together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Aggregate {
    Sum,
    Average,
    Min,
    Max,
}

/// Scores of targets: what `TreeEnsemble` and `TreeEnsembleRegressor` give.
struct Regression<T, U> {
    source: Source,
    width: usize,
    forest: Forest<T>,
    aggregate: Aggregate,
    base: Vec<T>,
    transform: Transform,
    types: PhantomData<fn() -> U>,
}

impl<T: Threshold + AsPrimitive<U>, U: Element> Kernel for Regression<T, U>
where
    f64: AsPrimitive<T>,
{
    fn run(&self, values: &Values<'_>, out: &mut [Buffer]) {
        let rows = values.of::<T>(self.source);
        let out = U::of_mut(&mut out[0]);
        // Scores are summed in the type of the leaves, then written in the type of the result.
        let mut scores = vec![self.start(); out.len()];
        match self.aggregate {
            Aggregate::Sum | Aggregate::Average => {
                self.forest
                    .add(rows, self.width, &mut scores, |sum, leaf| *sum = *sum + leaf);
            }
            Aggregate::Min => self.forest.add(rows, self.width, &mut scores, |least, leaf| {
                *least = least.min(leaf)
            }),
            Aggregate::Max => self
                .forest
                .add(rows, self.width, &mut scores, |most, leaf| *most = most.max(leaf)),
        }
        let trees: T = (self.forest.trees() as f64).as_();
        for scores in scores.chunks_exact_mut(self.forest.targets) {
            for (score, base) in scores.iter_mut().zip(&self.base) {
                if self.aggregate == Aggregate::Average {
                    *score = *score / trees;
                }
                *score = if score.is_infinite() && *score == self.start() {
                    *base
                } else {
                    *score + *base
                };
            }
            self.transform.apply(scores);
        }
        for (out, score) in out.iter_mut().zip(scores) {
            *out = score.as_();
        }
    }

    fn work(&self) -> usize {
        self.forest.work()
    }

    fn kept(&self) -> usize {
        self.forest.bytes()
    }
}

impl<T: Threshold, U> Regression<T, U> {
    fn start(&self) -> T {
        match self.aggregate {
            Aggregate::Sum | Aggregate::Average => T::zero(),
            Aggregate::Min => T::infinity(),
            Aggregate::Max => T::neg_infinity(),
        }
    }
}

/// What two classes are made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Classes {
    /// A score for each class.
    Each,
    /// One score: above 0.5 it is the second class, whose probability it is.
    Probability,
    /// One score: above 0 it is the second class.
    Margin,
    /// One score, of which the first class has the opposite.
    Opposites,
}

/// Labels and scores: what `TreeEnsembleClassifier` gives.
struct Classification<T> {
    source: Source,
    width: usize,
    forest: Forest<T>,
    base: Vec<T>,
    classes: Classes,
    labels: Labels,
    transform: Transform,
}

impl<T: Threshold + AsPrimitive<f32>> Kernel for Classification<T>
where
    f64: AsPrimitive<T>,
{
    fn run(&self, values: &Values<'_>, out: &mut [Buffer]) {
        let rows = values.of::<T>(self.source);
        let [labels, probabilities] = out else { return };
        let probabilities = f32::of_mut(probabilities);
        let k = self.labels.len();
        let count = probabilities.len() / k;
        let mut sums = vec![T::zero(); count * self.forest.targets];
        self.forest
            .add(rows, self.width, &mut sums, |sum, leaf| *sum = *sum + leaf);
        let mut scores = vec![T::zero(); k];
        for (row, out) in probabilities.chunks_exact_mut(k).enumerate() {
            let sums = &mut sums[row * self.forest.targets..][..self.forest.targets];
            let label = self.finish(sums, &mut scores);
            self.labels.write(labels, row, label);
            for (out, score) in out.iter_mut().zip(&scores) {
                *out = score.as_();
            }
        }
    }

    fn work(&self) -> usize {
        self.forest.work()
    }

    fn kept(&self) -> usize {
        self.forest.bytes()
    }
}

impl<T: Threshold> Classification<T>
where
    f64: AsPrimitive<T>,
{
    /// Makes scores of the sums of a row; returns the class.
    fn finish(&self, sums: &mut [T], scores: &mut [T]) -> usize {
        for (sum, base) in sums.iter_mut().zip(&self.base) {
            *sum = *sum + *base;
        }
        let sum = sums[0];
        match self.classes {
            Classes::Each => {
                let class = linear::largest(sums);
                scores.copy_from_slice(sums);
                self.transform.apply(scores);
                class
            }
            Classes::Opposites => {
                scores.copy_from_slice(&[-sum, sum]);
                self.transform.apply(scores);
                usize::from(sum > T::zero())
            }
            Classes::Probability => {
                let half: T = 0.5.as_();
                scores.copy_from_slice(&[T::one() - sum, sum]);
                usize::from(sum > half)
            }
            Classes::Margin => {
                let is_second = sum > T::zero();
                let pair = match self.transform {
                    Transform::Logistic => [sigmoid_of(-sum), sigmoid_of(sum)],
                    _ if is_second => [-sum, sum],
                    _ => [sum, -sum],
                };
                scores.copy_from_slice(&pair);
                usize::from(is_second)
            }
        }
    }
}

/// Returns the input as thresholds compare it: FP64 stays, all else becomes FP32.
fn rows_of(node: &mut Node<'_, '_>) -> Result<(Fact, usize), Refusal> {
    node.at_most(1)?;
    let input = node.input(0)?;
    linear::matrix(node, &input, &[Type::F64])
}

pub(super) fn ensemble(node: &mut Node<'_, '_>) -> Done {
    let (rows, width) = rows_of(node)?;
    if rows.element == Type::F64 {
        regression::<f64, f64>(node, &rows, width, read::ensemble::<f64>)
    } else {
        regression::<f32, f32>(node, &rows, width, read::ensemble::<f32>)
    }
}

pub(super) fn regressor(node: &mut Node<'_, '_>) -> Done {
    let (rows, width) = rows_of(node)?;
    if rows.element == Type::F64 {
        regression::<f64, f32>(node, &rows, width, read::regressor::<f64>)
    } else {
        regression::<f32, f32>(node, &rows, width, read::regressor::<f32>)
    }
}

fn regression<T: Threshold + AsPrimitive<U>, U: Element>(
    node: &mut Node<'_, '_>,
    rows: &Fact,
    width: usize,
    read: fn(&mut Node<'_, '_>) -> Result<read::Regressor<T>, Refusal>,
) -> Done
where
    f64: AsPrimitive<T>,
{
    let read::Regressor {
        ensemble,
        aggregate,
        base,
        transform,
    } = read(node)?;
    let forest = Forest::new(&ensemble, width, &node.place, node.build.limits)?;
    let shape = vec![rows.shape[0], Dim::Fixed(forest.targets)];
    let kernel = Regression::<T, U> {
        source: rows.source,
        width,
        forest,
        aggregate,
        base,
        transform,
        types: PhantomData,
    };
    node.emit(kernel, U::TYPE, shape, &[rows])
}

pub(super) fn classifier(node: &mut Node<'_, '_>) -> Done {
    let (rows, width) = rows_of(node)?;
    if rows.element == Type::F64 {
        classification::<f64>(node, &rows, width)
    } else {
        classification::<f32>(node, &rows, width)
    }
}

fn classification<T: Threshold + AsPrimitive<f32>>(node: &mut Node<'_, '_>, rows: &Fact, width: usize) -> Done
where
    f64: AsPrimitive<T>,
    f32: AsPrimitive<T>,
    T: read::Numbers,
{
    let labels = Labels::read(node)?;
    let read::Classifier {
        ensemble,
        base,
        classes,
        transform,
    } = read::classifier::<T>(node, labels.len())?;
    let forest = Forest::new(&ensemble, width, &node.place, node.build.limits)?;
    let results = vec![
        (labels.element(), vec![rows.shape[0]]),
        (Type::F32, vec![rows.shape[0], Dim::Fixed(labels.len())]),
    ];
    let kernel = Classification::<T> {
        source: rows.source,
        width,
        forest,
        base,
        classes,
        labels,
        transform,
    };
    node.emit_all(kernel, results, &[rows])
}
