//! `linear_regression`: ordinary least squares by linfa on standardised features, the scale folded in afterwards.
//!
//! On raw features far from 0, a time stamp for one, the solver would lose most of its digits.

use linfa::DatasetBase;
use linfa::traits::{Fit as _, Predict as _};
use linfa_linear::{FittedLinearRegression, LinearRegression};
use ndarray::{Array1, Array2};
use planner::training::Feature;
use registry::artifact::Graph;

use super::scale::Scale;
use super::{FitError, Fitted, Rows};

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
    let scale = Scale::of(train, features)?;
    let records = scale.records(train);
    if let Some(at) = dependent_column(&records) {
        return Err(FitError::DependentFeature(features[at].name.clone()));
    }
    let data = DatasetBase::new(records, Array1::from(answers.to_vec()));
    let fitted = LinearRegression::new()
        .fit(&data)
        .map_err(|error| FitError::Library {
            algorithm: NAME,
            reason: error.to_string(),
        })?;
    let linear = Linear { fitted, scale };
    match linear.graph() {
        Graph::Linear { weights, intercept }
            if intercept.is_finite() && weights.iter().all(|weight| weight.is_finite()) =>
        {
            Ok(Box::new(linear))
        }
        _ => Err(FitError::NotFinite { algorithm: NAME }),
    }
}

struct Linear {
    fitted: FittedLinearRegression<f64>,
    scale: Scale,
}

impl Fitted for Linear {
    fn graph(&self) -> Graph {
        let mut intercept = self.fitted.intercept();
        let params = self.fitted.params().iter().enumerate();
        let weights = params.map(|(at, weight)| self.scale.fold(at, *weight, &mut intercept));
        Graph::Linear {
            weights: weights.collect(),
            intercept,
        }
    }

    fn predict(&self, rows: &Rows) -> Vec<f64> {
        self.fitted.predict(&self.scale.records(rows)).to_vec()
    }
}

/// Returns the first standardised column that those before it make up, by orthogonalising them in turn.
fn dependent_column(records: &Array2<f64>) -> Option<usize> {
    let mut basis: Vec<Array1<f64>> = Vec::with_capacity(records.ncols());
    for (at, column) in records.columns().into_iter().enumerate() {
        let mut column = column.to_owned();
        for other in &basis {
            let share = column.dot(other);
            column.scaled_add(-share, other);
        }
        let left = column.dot(&column);
        if left < DEPENDENT * records.nrows() as f64 {
            return Some(at);
        }
        column /= left.sqrt();
        basis.push(column);
    }
    None
}
