//! Linear models, and what classical operators have in common: rows of numbers, and labels.
//!
//! Source: <https://onnx.ai/onnx/operators/onnx_aionnxml_LinearClassifier.html>,
//! <https://onnx.ai/onnx/operators/onnx_aionnxml_LinearRegressor.html>.

use super::elementwise::sigmoid_of;
use super::transform::Transform;
use crate::build::Fact;
use crate::node::Node;
use crate::refusal::Refusal;
use crate::types::{Buffer, Dim, Element, Kernel, Source, Symbol, Type, Values};

type Done = Result<(), Refusal>;

/// Returns an input as rows of numbers, and how many a row has: types that are not among `kept` become FP32, and a list is
/// one row where nothing depends on a request.
pub(super) fn matrix(node: &mut Node<'_, '_>, input: &Fact, kept: &[Type]) -> Result<(Fact, usize), Refusal> {
    let fact = if kept.contains(&input.element) {
        input.clone()
    } else {
        super::cast::to(node, input, Type::F32)?
    };
    let shape = match fact.shape.as_slice() {
        [rows, Dim::Fixed(width)] if *width > 0 => vec![*rows, Dim::Fixed(*width)],
        [Dim::Fixed(width)] if *width > 0 => vec![Dim::Fixed(1), Dim::Fixed(*width)],
        [Dim::Rows(1)] => vec![Dim::Rows(1), Dim::Fixed(1)],
        shape => return Err(node.wrong_shape(shape, "[rows, n]")),
    };
    let width = shape[1].at(0);
    Ok((Fact { shape, ..fact }, width))
}

/// The labels of a classifier.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Labels {
    Numbers(Vec<i64>),
    Texts(Vec<Symbol>),
}

impl Labels {
    /// Reads the attributes.
    pub(super) fn read(node: &mut Node<'_, '_>) -> Result<Self, Refusal> {
        Self::read_as(node, "classlabels_int64s", "classlabels_strings")
    }

    /// Reads the attributes of operators that name them otherwise.
    pub(super) fn read_as(
        node: &mut Node<'_, '_>,
        numbers: &'static str,
        texts: &'static str,
    ) -> Result<Self, Refusal> {
        let numbers = node.ints(numbers)?;
        let texts = node.texts(texts)?;
        match (numbers.is_empty(), texts.is_empty()) {
            (false, true) => Ok(Self::Numbers(numbers)),
            (true, false) => Ok(Self::Texts(node.symbols(&texts)?)),
            _ => Err(node.inconsistent("has no labels, or both numbers and texts")),
        }
    }

    pub(super) fn len(&self) -> usize {
        match self {
            Self::Numbers(labels) => labels.len(),
            Self::Texts(labels) => labels.len(),
        }
    }

    pub(super) fn element(&self) -> Type {
        match self {
            Self::Numbers(_) => Type::I64,
            Self::Texts(_) => Type::Text,
        }
    }

    /// Returns them as elements.
    pub(super) fn buffer(&self) -> Buffer {
        match self {
            Self::Numbers(labels) => Buffer::I64(labels.clone()),
            Self::Texts(labels) => Buffer::Text(labels.clone()),
        }
    }

    /// Writes the label of a row.
    pub(super) fn write(&self, out: &mut Buffer, row: usize, class: usize) {
        match self {
            Self::Numbers(labels) => i64::of_mut(out)[row] = labels[class],
            Self::Texts(labels) => Symbol::of_mut(out)[row] = labels[class],
        }
    }
}

/// Returns the index of the largest score, the first of equals.
pub(super) fn largest<T: PartialOrd + Copy>(scores: &[T]) -> usize {
    let mut best = 0;
    for (class, score) in scores.iter().enumerate() {
        if *score > scores[best] {
            best = class;
        }
    }
    best
}

/// Returns what a row and coefficients give.
pub(super) fn dot(row: &[f32], coefficients: &[f32]) -> f32 {
    row.iter()
        .zip(coefficients)
        .map(|(x, coefficient)| x * coefficient)
        .sum()
}

/// Reads coefficients, a row of them for each score, and intercepts.
fn coefficients(
    node: &mut Node<'_, '_>,
    scores: usize,
    width: usize,
) -> Result<(Vec<f32>, Vec<f32>), Refusal> {
    let coefficients = node.floats("coefficients")?;
    if scores == 0 || coefficients.len() != scores * width {
        let place = node.attribute_place("coefficients");
        let problem = format!("has {} entries, not {scores} × {width}", coefficients.len());
        return Err(Refusal::inconsistent(place, problem));
    }
    let mut intercepts = node.floats("intercepts")?;
    if intercepts.is_empty() {
        intercepts.resize(scores, 0.0);
    }
    if intercepts.len() != scores {
        let place = node.attribute_place("intercepts");
        return Err(Refusal::inconsistent(
            place,
            format!("has {} entries, not {scores}", intercepts.len()),
        ));
    }
    Ok((coefficients, intercepts))
}

struct Regressor {
    source: Source,
    width: usize,
    coefficients: Vec<f32>,
    intercepts: Vec<f32>,
    transform: Transform,
}

impl Kernel for Regressor {
    fn run(&self, values: &Values<'_>, out: &mut [Buffer]) {
        let rows = values.of::<f32>(self.source);
        let scores = f32::of_mut(&mut out[0]);
        let targets = self.intercepts.len();
        let (blocks, rest) = rows.split_at(rows.len() - rows.len() % (self.width * ROWS));
        let (of_blocks, of_rest) = scores.split_at_mut(blocks.len() / self.width * targets);
        let in_blocks = blocks
            .chunks_exact(self.width * ROWS)
            .zip(of_blocks.chunks_exact_mut(targets * ROWS));
        for (rows, scores) in in_blocks {
            score_rows(rows, &self.coefficients, &self.intercepts, scores);
        }
        for (row, scores) in rest
            .chunks_exact(self.width)
            .zip(of_rest.chunks_exact_mut(targets))
        {
            score(row, &self.coefficients, &self.intercepts, scores);
        }
        for scores in scores.chunks_exact_mut(targets) {
            self.transform.apply(scores);
        }
    }

    fn work(&self) -> usize {
        self.coefficients.len()
    }

    fn kept(&self) -> usize {
        size_of_val(self.coefficients.as_slice())
    }
}

/// How many rows are added up in step: each sum waits for itself alone.
const ROWS: usize = 8;

/// Scores [`ROWS`] rows, each as [`score`] does alone, to the bit.
fn score_rows(rows: &[f32], coefficients: &[f32], intercepts: &[f32], scores: &mut [f32]) {
    let width = rows.len() / ROWS;
    let rows: [&[f32]; ROWS] = std::array::from_fn(|row| &rows[row * width..][..width]);
    let models = coefficients.chunks_exact(width).zip(intercepts);
    for (model, (coefficients, intercept)) in models.enumerate() {
        // What an empty sum is.
        let mut sums = [-0.0; ROWS];
        for (at, coefficient) in coefficients.iter().enumerate() {
            for (sum, row) in sums.iter_mut().zip(rows) {
                *sum += row[at] * coefficient;
            }
        }
        for (sum, scores) in sums.iter().zip(scores.chunks_exact_mut(intercepts.len())) {
            scores[model] = sum + intercept;
        }
    }
}

fn score(row: &[f32], coefficients: &[f32], intercepts: &[f32], scores: &mut [f32]) {
    let models = coefficients.chunks_exact(row.len()).zip(intercepts);
    for (score, (coefficients, intercept)) in scores.iter_mut().zip(models) {
        *score = dot(row, coefficients) + intercept;
    }
}

pub(super) fn regressor(node: &mut Node<'_, '_>) -> Done {
    node.at_most(1)?;
    let input = node.input(0)?;
    let (rows, width) = matrix(node, &input, &[])?;
    let targets = usize::try_from(node.int("targets", 1)?).unwrap_or(0);
    let (coefficients, intercepts) = coefficients(node, targets, width)?;
    let kernel = Regressor {
        source: rows.source,
        width,
        coefficients,
        intercepts,
        transform: Transform::read(node)?,
    };
    node.emit(
        kernel,
        Type::F32,
        vec![rows.shape[0], Dim::Fixed(targets)],
        &[&rows],
    )
}

struct Classifier {
    source: Source,
    width: usize,
    coefficients: Vec<f32>,
    intercepts: Vec<f32>,
    labels: Labels,
    transform: Transform,
}

impl Kernel for Classifier {
    fn run(&self, values: &Values<'_>, out: &mut [Buffer]) {
        let rows = values.of::<f32>(self.source).chunks_exact(self.width);
        let [labels, probabilities] = out else { return };
        let k = self.labels.len();
        for (at, (row, scores)) in rows
            .zip(f32::of_mut(probabilities).chunks_exact_mut(k))
            .enumerate()
        {
            let class = if self.intercepts.len() == 1 {
                let margin = dot(row, &self.coefficients) + self.intercepts[0];
                let pair = match self.transform {
                    Transform::Logistic => [sigmoid_of(-margin), sigmoid_of(margin)],
                    _ => [1.0 - margin, margin],
                };
                scores.copy_from_slice(&pair);
                usize::from(margin > 0.0)
            } else {
                score(row, &self.coefficients, &self.intercepts, scores);
                let class = largest(scores);
                self.transform.apply(scores);
                class
            };
            self.labels.write(labels, at, class);
        }
    }

    fn work(&self) -> usize {
        self.coefficients.len()
    }

    fn kept(&self) -> usize {
        size_of_val(self.coefficients.as_slice())
    }
}

pub(super) fn classifier(node: &mut Node<'_, '_>) -> Done {
    node.at_most(1)?;
    node.ignore(&["multi_class"]);
    let input = node.input(0)?;
    let (rows, width) = matrix(node, &input, &[])?;
    let labels = Labels::read_as(node, "classlabels_ints", "classlabels_strings")?;
    let models = node.floats("coefficients")?.len() / width;
    let models = if models == 1 && labels.len() == 2 {
        1
    } else {
        labels.len()
    };
    let (coefficients, intercepts) = coefficients(node, models, width)?;
    let results = vec![
        (labels.element(), vec![rows.shape[0]]),
        (Type::F32, vec![rows.shape[0], Dim::Fixed(labels.len())]),
    ];
    let names = labels.buffer();
    let kernel = Classifier {
        source: rows.source,
        width,
        coefficients,
        intercepts,
        labels,
        transform: Transform::read(node)?,
    };
    node.emit_classes(kernel, names, results, &[&rows])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_in_step_have_the_scores_that_each_has_alone() {
        let number = |at: usize| (f32::from(u16::try_from(at).unwrap()) * 0.73).sin() * 100.0;
        for width in [1, 2, 7, 8, 9] {
            for targets in [1, 3] {
                for sign in [1.0, 0.0, -0.0] {
                    let rows: Vec<f32> = (0..ROWS * width).map(|at| number(at) * sign).collect();
                    let coefficients: Vec<f32> = (9..9 + targets * width).map(number).collect();
                    let intercepts: Vec<f32> = (0..targets).map(|target| number(target) * sign).collect();
                    let mut together = vec![f32::NAN; ROWS * targets];
                    score_rows(&rows, &coefficients, &intercepts, &mut together);
                    let mut alone = vec![f32::NAN; ROWS * targets];
                    for (row, scores) in rows.chunks(width).zip(alone.chunks_mut(targets)) {
                        score(row, &coefficients, &intercepts, scores);
                    }
                    let bits =
                        |scores: &[f32]| scores.iter().map(|score| score.to_bits()).collect::<Vec<_>>();
                    assert_eq!(bits(&together), bits(&alone), "{width} {targets} {sign}");
                }
            }
        }
    }
}
