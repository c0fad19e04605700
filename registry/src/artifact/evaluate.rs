//! Evaluates a checked [`Graph`] over rows. One thread, no waiting, no allocation per row.

use super::{Graph, Trees};

/// What a model says of `n` rows.
#[derive(Debug, Clone, PartialEq)]
pub enum Predictions {
    /// A regression: one number per row.
    Numbers(Vec<f64>),
    /// A classification.
    Classes {
        /// The index of each row's label.
        index: Vec<usize>,
        /// Row-major, `n × k`; each row adds up to 1.
        probabilities: Vec<f64>,
        /// How many labels there are.
        k: usize,
    },
}

impl Predictions {
    /// Returns how many rows were predicted.
    pub fn rows(&self) -> usize {
        match self {
            Self::Numbers(numbers) => numbers.len(),
            Self::Classes { index, .. } => index.len(),
        }
    }

    /// Returns the numbers of all rows, row-major: predictions, or probabilities.
    pub fn numbers(&self) -> &[f64] {
        match self {
            Self::Numbers(numbers) => numbers,
            Self::Classes { probabilities, .. } => probabilities,
        }
    }
}

/// Rows that go through one tree before the next tree's turn: its nodes stay in the cache.
const BLOCK: usize = 64;

pub(super) fn predict(graph: &Graph, rows: &[f64]) -> Predictions {
    let width = graph.width();
    assert!(
        rows.len().is_multiple_of(width),
        "{} values are no whole rows of {width}",
        rows.len()
    );
    match graph {
        Graph::Linear { weights, intercept } => {
            let predict = |row: &[f64]| dot(row, weights) + intercept;
            Predictions::Numbers(rows.chunks_exact(width).map(predict).collect())
        }
        Graph::Trees(trees) => Predictions::Numbers(sum_leaves(trees, rows)),
        Graph::Logistic {
            weights, intercepts, ..
        } => classify(weights, intercepts, width, rows),
    }
}

fn dot(row: &[f64], weights: &[f64]) -> f64 {
    row.iter().zip(weights).map(|(x, weight)| x * weight).sum()
}

fn sum_leaves(trees: &Trees, rows: &[f64]) -> Vec<f64> {
    let mut sums = vec![0.0; rows.len() / trees.width];
    let blocks = rows.chunks(BLOCK * trees.width).zip(sums.chunks_mut(BLOCK));
    for (rows, sums) in blocks {
        for root in &trees.roots {
            for (row, sum) in rows.chunks_exact(trees.width).zip(sums.iter_mut()) {
                *sum += trees.leaf(*root, row);
            }
        }
    }
    for sum in &mut sums {
        *sum += trees.base;
    }
    sums
}

fn classify(weights: &[f64], intercepts: &[f64], width: usize, rows: &[f64]) -> Predictions {
    let k = intercepts.len();
    let n = rows.len() / width;
    let mut probabilities = vec![0.0; n * k];
    let mut index = Vec::with_capacity(n);
    for (row, out) in rows.chunks_exact(width).zip(probabilities.chunks_exact_mut(k)) {
        for (x, weights) in row.iter().zip(weights.chunks_exact(k)) {
            for (logit, weight) in out.iter_mut().zip(weights) {
                *logit += x * weight;
            }
        }
        for (logit, intercept) in out.iter_mut().zip(intercepts) {
            *logit += intercept;
        }
        softmax(out);
        index.push(largest(out));
    }
    Predictions::Classes {
        index,
        probabilities,
        k,
    }
}

fn softmax(logits: &mut [f64]) {
    let max = logits.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    for logit in logits.iter_mut() {
        *logit = (*logit - max).exp();
    }
    let sum: f64 = logits.iter().sum();
    for logit in logits {
        *logit /= sum;
    }
}

/// Returns the index of the largest value, the first of equals.
fn largest(values: &[f64]) -> usize {
    let mut best = 0;
    for (index, value) in values.iter().enumerate() {
        if *value > values[best] {
            best = index;
        }
    }
    best
}
