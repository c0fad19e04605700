//! Tree ensembles.
//!
//! Source: <https://onnx.ai/onnx/operators/onnx_aionnxml_TreeEnsemble.html>, and `TreeEnsembleClassifier` and
//! `TreeEnsembleRegressor` beside it; labels and scores of two classes are those of onnxruntime, where only one has weights.

mod flat;
mod read;
mod walk;

use self::flat::{Forest, Threshold};
use super::linear::{self, Labels};
use super::transform::Transform;
use crate::build::Fact;
use crate::node::Node;
use crate::refusal::Refusal;
use crate::types::{Buffer, Dim, Element, Kernel, Missing, Source, Type, Values};

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
struct Regression<T> {
    source: Source,
    width: usize,
    forest: Forest<T>,
    aggregate: Aggregate,
    base: Vec<T>,
    transform: Transform,
}

impl<T: Threshold> Kernel for Regression<T> {
    fn run(&self, values: &Values<'_>, out: &mut [Buffer]) {
        let rows = values.of::<T>(self.source);
        let out = T::of_mut(&mut out[0]);
        out.fill(self.start());
        match self.aggregate {
            Aggregate::Sum | Aggregate::Average => {
                self.forest
                    .add(rows, self.width, out, |sum, leaf| *sum = *sum + leaf);
            }
            Aggregate::Min => self
                .forest
                .add(rows, self.width, out, |least, leaf| *least = least.min(leaf)),
            Aggregate::Max => self
                .forest
                .add(rows, self.width, out, |most, leaf| *most = most.max(leaf)),
        }
        for scores in out.chunks_exact_mut(self.forest.targets) {
            for (score, base) in scores.iter_mut().zip(&self.base) {
                *score = self.finish(*score) + *base;
            }
            self.transform.apply(scores);
        }
    }

    fn work(&self) -> usize {
        self.forest.work()
    }

    fn missing(&self) -> Missing {
        Missing::Ends
    }

    fn kept(&self) -> usize {
        self.forest.bytes()
    }
}

impl<T: Threshold> Regression<T> {
    fn start(&self) -> T {
        match self.aggregate {
            Aggregate::Sum | Aggregate::Average => T::zero(),
            Aggregate::Min => T::infinity(),
            Aggregate::Max => T::neg_infinity(),
        }
    }

    /// Makes of what the leaves came to the score; a target that no leaf speaks of has 0.
    fn finish(&self, score: T) -> T {
        match self.aggregate {
            Aggregate::Average => {
                #[expect(
                    clippy::cast_precision_loss,
                    reason = "there are fewer trees than a double counts"
                )]
                let trees = T::nearest(self.forest.trees() as f64);
                score / trees
            }
            Aggregate::Min | Aggregate::Max if score == self.start() => T::zero(),
            Aggregate::Sum | Aggregate::Min | Aggregate::Max => score,
        }
    }
}

/// What the scores of classes are made of.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Classes<T> {
    /// A sum for each class.
    Each,
    /// Of two classes only one has a sum: above the threshold it is the second one.
    Two { threshold: T, pair: Pair },
}

/// What is made of one sum for two classes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Pair {
    /// It is the second one's probability.
    Probability,
    /// The first one has the opposite.
    Opposites,
    /// It is the first one's, and the second has 0.
    First,
    /// It is the second one's, and the first has 0.
    Second,
}

impl Pair {
    /// Returns the scores.
    fn scores<T: Threshold>(self, sum: T, transform: Transform) -> [T; 2] {
        let (zero, one) = (T::zero(), T::one());
        let mut scores = match (self, transform) {
            (Self::Probability | Self::Opposites, Transform::Logistic) => [-sum, sum],
            // Nothing else is done to what is made up.
            (Self::Probability, _) => return [one - sum, sum],
            (Self::Opposites, _) => return [-sum, sum],
            (Self::First, _) => [sum, zero],
            (Self::Second, _) => [zero, sum],
        };
        transform.apply(&mut scores);
        scores
    }
}

/// Labels and scores: what `TreeEnsembleClassifier` gives.
struct Classification<T> {
    source: Source,
    width: usize,
    forest: Forest<T>,
    base: Vec<T>,
    classes: Classes<T>,
    labels: Labels,
    transform: Transform,
}

impl<T: Threshold> Kernel for Classification<T> {
    fn run(&self, values: &Values<'_>, out: &mut [Buffer]) {
        let rows = values.of::<T>(self.source);
        let [labels, probabilities, sums, scores] = out else {
            return;
        };
        let (sums, scores) = (T::of_mut(sums), T::of_mut(scores));
        sums.fill(T::zero());
        self.forest
            .add(rows, self.width, sums, |sum, leaf| *sum = *sum + leaf);
        let rows = sums
            .chunks_exact_mut(self.forest.targets)
            .zip(f32::of_mut(probabilities).chunks_exact_mut(scores.len()));
        for (row, (sums, probabilities)) in rows.enumerate() {
            let class = self.finish(sums, scores);
            self.labels.write(labels, row, class);
            for (probability, score) in probabilities.iter_mut().zip(&*scores) {
                *probability = score.narrow();
            }
        }
    }

    fn work(&self) -> usize {
        self.forest.work()
    }

    fn missing(&self) -> Missing {
        Missing::Ends
    }

    fn kept(&self) -> usize {
        self.forest.bytes()
    }
}

impl<T: Threshold> Classification<T> {
    /// Makes scores of the sums of a row; returns the class.
    fn finish(&self, sums: &mut [T], scores: &mut [T]) -> usize {
        for (sum, base) in sums.iter_mut().zip(&self.base) {
            *sum = *sum + *base;
        }
        match self.classes {
            Classes::Each => {
                let class = linear::largest(sums);
                scores.copy_from_slice(sums);
                self.transform.apply(scores);
                class
            }
            Classes::Two { threshold, pair } => {
                scores.copy_from_slice(&pair.scores(sums[0], self.transform));
                usize::from(sums[0] > threshold)
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
    let fact = if rows.element == Type::F64 {
        regression(node, &rows, width, read::ensemble::<f64>)?
    } else {
        regression(node, &rows, width, read::ensemble::<f32>)?
    };
    node.give(fact);
    Ok(())
}

pub(super) fn regressor(node: &mut Node<'_, '_>) -> Done {
    let (rows, width) = rows_of(node)?;
    let fact = if rows.element == Type::F64 {
        regression(node, &rows, width, read::regressor::<f64>)?
    } else {
        regression(node, &rows, width, read::regressor::<f32>)?
    };
    // Whatever it compares, it gives FP32.
    let fact = super::cast::to(node, &fact, Type::F32)?;
    node.give(fact);
    Ok(())
}

fn regression<T: Threshold>(
    node: &mut Node<'_, '_>,
    rows: &Fact,
    width: usize,
    read: fn(&mut Node<'_, '_>) -> Result<read::Regressor<T>, Refusal>,
) -> Result<Fact, Refusal> {
    let read::Regressor {
        ensemble,
        aggregate,
        base,
        transform,
    } = read(node)?;
    let forest = Forest::new(&ensemble, width, &node.place, node.build.limits)?;
    let shape = vec![rows.shape[0], Dim::Fixed(forest.targets)];
    let kernel = Regression::<T> {
        source: rows.source,
        width,
        forest,
        aggregate,
        base,
        transform,
    };
    let place = node.place.clone();
    node.build.emit(&place, kernel, T::TYPE, shape, &[rows])
}

pub(super) fn classifier(node: &mut Node<'_, '_>) -> Done {
    let (rows, width) = rows_of(node)?;
    if rows.element == Type::F64 {
        classification::<f64>(node, &rows, width)
    } else {
        classification::<f32>(node, &rows, width)
    }
}

fn classification<T: read::Numbers>(node: &mut Node<'_, '_>, rows: &Fact, width: usize) -> Done {
    let labels = Labels::read(node)?;
    let read::Classifier {
        ensemble,
        base,
        classes,
        transform,
    } = read::classifier::<T>(node, labels.len())?;
    let forest = Forest::new(&ensemble, width, &node.place, node.build.limits)?;
    let count = Dim::Fixed(labels.len());
    // After the two results, room for the sums of all rows and the scores of one.
    let results = vec![
        (labels.element(), vec![rows.shape[0]]),
        (Type::F32, vec![rows.shape[0], count]),
        (T::TYPE, vec![rows.shape[0], Dim::Fixed(forest.targets)]),
        (T::TYPE, vec![count]),
    ];
    let names = labels.buffer();
    let kernel = Classification::<T> {
        source: rows.source,
        width,
        forest,
        base,
        classes,
        labels,
        transform,
    };
    node.emit_classes(kernel, names, results, &[rows])
}
