//! `linear_regression`: ordinary least squares by linfa.

use linfa::DatasetBase;
use linfa::traits::{Fit as _, Predict as _};
use linfa_linear::{FittedLinearRegression, LinearRegression};
use ndarray::{Array1, ArrayView2};
use planner::training::Feature;
use registry::artifact::Graph;

use super::{FitError, Fitted, Rows, Scale};

const NAME: &str = "linear_regression";
/// A standardised feature of which the others leave less than this share of its squared length is one of their
/// combinations: below it rounding decides the weights.
const DEPENDENT: f64 = 1e-10;

pub(super) fn fit(train: &Rows, answers: &[f64], features: &[Feature]) -> Result<Box<dyn Fitted>, FitError> {
    let needed = train.width + 1;
    if train.len() < needed {
        return Err(FitError::TooFewRows {
            rows: train.len(),
            features: train.width,
            needed,
        });
    }
    if let Some(at) = dependent_column(train) {
        return Err(FitError::DependentFeature(features[at].name.clone()));
    }
    let data = DatasetBase::new(records(train), Array1::from(answers.to_vec()));
    let fitted = LinearRegression::new()
        .fit(&data)
        .map_err(|error| FitError::Library {
            algorithm: NAME,
            reason: error.to_string(),
        })?;
    if fitted.intercept().is_finite() && fitted.params().iter().all(|weight| weight.is_finite()) {
        Ok(Box::new(Linear(fitted)))
    } else {
        Err(FitError::NotFinite { algorithm: NAME })
    }
}

struct Linear(FittedLinearRegression<f64>);

impl Fitted for Linear {
    fn graph(&self) -> Graph {
        Graph::Linear {
            weights: self.0.params().to_vec(),
            intercept: self.0.intercept(),
        }
    }

    fn predict(&self, rows: &Rows) -> Vec<f64> {
        self.0.predict(&records(rows)).to_vec()
    }
}

fn records(rows: &Rows) -> ArrayView2<'_, f64> {
    ArrayView2::from_shape((rows.len(), rows.width), &rows.inputs)
        .expect("invariant: inputs are rows × width")
}

/// Returns the first column that those before it and the intercept make up, by orthogonalising them in turn.
fn dependent_column(rows: &Rows) -> Option<usize> {
    let n = rows.len();
    let scaled = Scale::of(rows).apply(rows);
    let mut basis: Vec<Vec<f64>> = Vec::with_capacity(rows.width);
    for at in 0..rows.width {
        let mut column: Vec<f64> = scaled.iter().skip(at).step_by(rows.width).copied().collect();
        for other in &basis {
            let share = dot(&column, other);
            for (value, other) in column.iter_mut().zip(other) {
                *value -= share * other;
            }
        }
        let left = dot(&column, &column);
        if left < DEPENDENT * n as f64 {
            return Some(at);
        }
        let length = left.sqrt();
        for value in &mut column {
            *value /= length;
        }
        basis.push(column);
    }
    None
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}
