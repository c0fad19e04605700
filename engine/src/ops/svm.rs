//! Support vector machines.
//!
//! Source: <https://onnx.ai/onnx/operators/onnx_aionnxml_SVMClassifier.html>, `SVMRegressor` beside it; votes and
//! probabilities as in libsvm (Wu, Lin and Weng, "Probability Estimates for Multi-class Classification by Pairwise
//! Coupling", 2004), which the operator takes its numbers from.

use super::elementwise::sigmoid_of;
use super::linear::{Labels, dot, largest, matrix};
use super::transform::Transform;
use crate::node::Node;
use crate::refusal::Refusal;
use crate::types::{Buffer, Dim, Element, Kernel, Source, Type, Values};

type Done = Result<(), Refusal>;

/// How alike a row and a vector are.
#[derive(Debug, Clone, Copy)]
enum Likeness {
    Linear,
    Polynomial,
    Radial,
    Sigmoid,
}

#[derive(Debug, Clone, Copy)]
struct KernelFunction {
    likeness: Likeness,
    gamma: f32,
    coefficient: f32,
    degree: f32,
}

impl KernelFunction {
    fn read(node: &mut Node<'_, '_>) -> Result<Self, Refusal> {
        let likeness = match node.text("kernel_type", "LINEAR")?.as_str() {
            "LINEAR" => Likeness::Linear,
            "POLY" => Likeness::Polynomial,
            "RBF" => Likeness::Radial,
            "SIGMOID" => Likeness::Sigmoid,
            other => {
                let place = node.attribute_place("kernel_type");
                return Err(Refusal::unsupported(
                    place,
                    format!("is {other:?}"),
                    "LINEAR, POLY, RBF and SIGMOID",
                ));
            }
        };
        let parameters = node.floats("kernel_params")?;
        let parameter = |index: usize| parameters.get(index).copied().unwrap_or(0.0);
        Ok(Self {
            likeness,
            gamma: parameter(0),
            coefficient: parameter(1),
            degree: parameter(2),
        })
    }

    fn of(&self, row: &[f32], vector: &[f32]) -> f32 {
        match self.likeness {
            Likeness::Linear => dot(row, vector),
            Likeness::Polynomial => (self.gamma * dot(row, vector) + self.coefficient).powf(self.degree),
            Likeness::Sigmoid => (self.gamma * dot(row, vector) + self.coefficient).tanh(),
            Likeness::Radial => {
                let apart: f32 = row.iter().zip(vector).map(|(x, y)| (x - y) * (x - y)).sum();
                (-self.gamma * apart).exp()
            }
        }
    }
}

struct Regressor {
    source: Source,
    width: usize,
    function: KernelFunction,
    vectors: Vec<f32>,
    coefficients: Vec<f32>,
    rho: f32,
    is_one_class: bool,
    transform: Transform,
}

impl Kernel for Regressor {
    fn run(&self, values: &Values<'_>, out: &mut [Buffer]) {
        let rows = values.of::<f32>(self.source).chunks_exact(self.width);
        for (row, out) in rows.zip(f32::of_mut(&mut out[0])) {
            let vectors = self.vectors.chunks_exact(self.width).zip(&self.coefficients);
            let sum: f32 = vectors
                .map(|(vector, weight)| self.function.of(row, vector) * weight)
                .sum();
            let score = sum + self.rho;
            *out = match (self.is_one_class, score > 0.0) {
                (true, true) => 1.0,
                (true, false) => -1.0,
                (false, _) => score,
            };
            self.transform.apply(std::slice::from_mut(out));
        }
    }

    fn work(&self) -> usize {
        self.vectors.len() + 16 * self.coefficients.len()
    }

    fn kept(&self) -> usize {
        size_of::<f32>() * (self.vectors.len() + self.coefficients.len())
    }
}

pub(super) fn regressor(node: &mut Node<'_, '_>) -> Done {
    let input = node.input(0)?;
    let (rows, width) = matrix(node, &input, &[])?;
    let supports = usize::try_from(node.int("n_supports", 0)?).unwrap_or(0);
    let mut function = KernelFunction::read(node)?;
    let mut coefficients = node.floats("coefficients")?;
    let mut vectors = node.floats("support_vectors")?;
    if supports == 0 {
        // Without vectors the coefficients are one, and the likeness is its product with the row.
        function.likeness = Likeness::Linear;
        vectors = std::mem::replace(&mut coefficients, vec![1.0]);
    }
    if vectors.len() != coefficients.len() * width {
        let problem = format!(
            "has {} numbers of {} vectors for rows of {width}",
            vectors.len(),
            coefficients.len()
        );
        return Err(node.inconsistent(problem));
    }
    let kernel = Regressor {
        source: rows.source,
        width,
        function,
        vectors,
        coefficients,
        rho: node.floats("rho")?.first().copied().unwrap_or(0.0),
        is_one_class: node.flag("one_class", false)?,
        transform: Transform::read(node)?,
    };
    node.emit(kernel, Type::F32, vec![rows.shape[0], Dim::Fixed(1)], &[&rows])
}

/// How labels and scores come from what the vectors say.
#[derive(Debug, PartialEq)]
enum Scheme {
    /// A linear score for each class.
    Linear,
    /// A machine for each pair of classes, which votes.
    Votes,
    /// As votes, and each machine's score becomes a probability by a logistic function of these slopes and offsets.
    Probabilities(Vec<(f32, f32)>),
}

struct Classifier {
    source: Source,
    width: usize,
    function: KernelFunction,
    vectors: Vec<f32>,
    /// How many vectors each class has.
    counts: Vec<usize>,
    coefficients: Vec<f32>,
    rho: Vec<f32>,
    scheme: Scheme,
    labels: Labels,
    transform: Transform,
    scores: usize,
}

impl Kernel for Classifier {
    fn run(&self, values: &Values<'_>, out: &mut [Buffer]) {
        let rows = values.of::<f32>(self.source).chunks_exact(self.width);
        let [labels, scores] = out else { return };
        let mut alike = vec![0.0; self.counts.iter().sum()];
        for (at, (row, scores)) in rows
            .zip(f32::of_mut(scores).chunks_exact_mut(self.scores))
            .enumerate()
        {
            let class = if self.scheme == Scheme::Linear {
                for (score, coefficients) in scores.iter_mut().zip(self.coefficients.chunks_exact(self.width))
                {
                    *score = self.function.of(row, coefficients) + self.rho[0];
                }
                let class = largest(scores);
                self.transform.apply(scores);
                class
            } else {
                for (alike, vector) in alike.iter_mut().zip(self.vectors.chunks_exact(self.width)) {
                    *alike = self.function.of(row, vector);
                }
                self.by_pairs(&alike, scores)
            };
            self.labels.write(labels, at, class);
        }
    }

    fn work(&self) -> usize {
        self.vectors.len() + self.coefficients.len() + 16 * self.counts.iter().sum::<usize>()
    }

    fn kept(&self) -> usize {
        size_of::<f32>() * (self.vectors.len() + self.coefficients.len())
    }
}

impl Classifier {
    /// Lets the machine of each pair of classes decide; returns the class with most votes, the first of equals.
    fn by_pairs(&self, alike: &[f32], scores: &mut [f32]) -> usize {
        let classes = self.counts.len();
        let mut starts = Vec::with_capacity(classes);
        let mut start = 0;
        for count in &self.counts {
            starts.push(start);
            start += count;
        }
        let total = start;
        let mut votes = vec![0; classes];
        let mut margins = Vec::with_capacity(self.rho.len());
        for first in 0..classes {
            for second in first + 1..classes {
                let part = |row: usize, class: usize| {
                    let range = starts[class]..starts[class] + self.counts[class];
                    let weights = &self.coefficients[row * total..][range.clone()];
                    weights
                        .iter()
                        .zip(&alike[range])
                        .map(|(weight, alike)| f64::from(weight * alike))
                        .sum::<f64>()
                };
                let margin =
                    part(second - 1, first) + part(first, second) + f64::from(self.rho[margins.len()]);
                votes[if margin > 0.0 { first } else { second }] += 1;
                margins.push(narrow(margin));
            }
        }
        let class = largest(&votes);
        match &self.scheme {
            Scheme::Probabilities(lines) => {
                let pairs = margins.iter().zip(lines).map(|(margin, (slope, offset))| {
                    (1.0 - sigmoid_of(margin * slope + offset)).clamp(1e-7, 1.0 - 1e-7)
                });
                couple(&pairs.collect::<Vec<f32>>(), scores);
                self.transform.apply(scores);
            }
            _ if classes == 2 => {
                let margin = margins[0];
                let pair = match self.transform {
                    Transform::None => [-margin, margin],
                    _ => [1.0 - margin, margin],
                };
                scores.copy_from_slice(&pair);
            }
            _ => {
                scores.copy_from_slice(&margins);
                self.transform.apply(scores);
            }
        }
        class
    }
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "a score is summed wide and kept narrow, as the operator says"
)]
const fn narrow(margin: f64) -> f32 {
    margin as f32
}

/// Makes probabilities of classes of those of pairs: libsvm's second method, by steps until they agree.
fn couple(pairs: &[f32], probabilities: &mut [f32]) {
    let classes = probabilities.len();
    // r[i][j] is the probability of i where it is i or j.
    let mut r = vec![0.0_f32; classes * classes];
    let mut pairs = pairs.iter();
    for i in 0..classes {
        for j in i + 1..classes {
            let probability = pairs.next().copied().unwrap_or(0.5);
            r[i * classes + j] = probability;
            r[j * classes + i] = 1.0 - probability;
        }
    }
    let mut q = vec![0.0_f32; classes * classes];
    for i in 0..classes {
        for j in 0..classes {
            if i == j {
                continue;
            }
            q[i * classes + i] += r[j * classes + i] * r[j * classes + i];
            q[i * classes + j] = -r[j * classes + i] * r[i * classes + j];
        }
    }
    #[expect(
        clippy::cast_precision_loss,
        reason = "there are fewer classes than FP32 counts"
    )]
    let share = 1.0 / classes as f32;
    probabilities.fill(share);
    let tolerance = 0.005 * share;
    let mut products = vec![0.0_f32; classes];
    for _ in 0..100 {
        for (i, product) in products.iter_mut().enumerate() {
            *product = dot(&q[i * classes..(i + 1) * classes], probabilities);
        }
        let mut whole = dot(probabilities, &products);
        // A NaN agrees with everything: shares that are none stay equal.
        let apart = products.iter().map(|product| (product - whole).abs());
        if apart.fold(0.0, f32::max) < tolerance {
            break;
        }
        for i in 0..classes {
            let own = q[i * classes + i];
            let change = (whole - products[i]) / own;
            probabilities[i] += change;
            let scale = 1.0 + change;
            whole = (whole + change * (change * own + 2.0 * products[i])) / scale / scale;
            for j in 0..classes {
                products[j] = (products[j] + change * q[i * classes + j]) / scale;
                probabilities[j] /= scale;
            }
        }
    }
}

pub(super) fn classifier(node: &mut Node<'_, '_>) -> Done {
    let input = node.input(0)?;
    let (rows, width) = matrix(node, &input, &[])?;
    let labels = Labels::read_as(node, "classlabels_ints", "classlabels_strings")?;
    let mut function = KernelFunction::read(node)?;
    let counts = node.ints("vectors_per_class")?;
    let counts: Vec<usize> = counts
        .iter()
        .map(|count| usize::try_from(*count).unwrap_or(usize::MAX))
        .collect();
    let vectors = node.floats("support_vectors")?;
    let coefficients = node.floats("coefficients")?;
    let rho = node.floats("rho")?;
    let (slopes, offsets) = (node.floats("prob_a")?, node.floats("prob_b")?);
    let transform = Transform::read(node)?;
    let classes = labels.len();
    let total = counts
        .iter()
        .try_fold(0_usize, |total, count| total.checked_add(*count));
    // Each has a number at least: what is beyond would not be told by the products below.
    let total = total.filter(|total| *total <= vectors.len());
    let total = total.ok_or_else(|| {
        node.inconsistent(format!("counts more vectors than its {} numbers", vectors.len()))
    })?;
    let pairs = classes * classes.saturating_sub(1) / 2;
    let (scheme, wanted, scores) = if total == 0 {
        function.likeness = Likeness::Linear;
        (Scheme::Linear, (0, classes * width, 1), classes)
    } else if slopes.is_empty() {
        let scores = if classes == 2 { 2 } else { pairs };
        (
            Scheme::Votes,
            (total * width, (classes - 1) * total, pairs),
            scores,
        )
    } else {
        let lines = slopes.iter().copied().zip(offsets.iter().copied()).collect();
        (
            Scheme::Probabilities(lines),
            (total * width, (classes - 1) * total, pairs),
            classes,
        )
    };
    let is_whole = (total == 0 || counts.len() == classes)
        && vectors.len() >= wanted.0
        && coefficients.len() == wanted.1
        && rho.len() >= wanted.2
        && (slopes.is_empty() || (slopes.len() >= pairs && offsets.len() >= pairs))
        && classes >= 2;
    if !is_whole {
        return Err(node.inconsistent(format!(
            "has {} numbers of vectors, {} coefficients, {} of rho and {} of prob_a for {classes} classes and rows of {width}",
            vectors.len(),
            coefficients.len(),
            rho.len(),
            slopes.len()
        )));
    }
    let results = vec![
        (labels.element(), vec![rows.shape[0]]),
        (Type::F32, vec![rows.shape[0], Dim::Fixed(scores)]),
    ];
    let names = labels.buffer();
    let kernel = Classifier {
        source: rows.source,
        width,
        function,
        vectors,
        counts,
        coefficients,
        rho,
        scheme,
        labels,
        transform,
        scores,
    };
    node.emit_classes(kernel, names, results, &[&rows])
}
