//! `logistic_regression`: multinomial, with L2, by linfa on standardised features; two classes are a softmax of two.
//!
//! On raw features linfa's L-BFGS stops far from the optimum. The scale is folded into the weights afterwards, so that
//! the artifact takes raw inputs.

use linfa::DatasetBase;
use linfa::traits::Fit as _;
use linfa_logistic::{MultiFittedLogisticRegression, MultiLogisticRegression};
use ndarray::Array1;
use planner::training::Feature;
use registry::artifact::Graph;
use registry::metadata::Labels;

use super::scale::Scale;
use super::{FitError, Fitted, Rows, Settings};

const NAME: &str = "logistic_regression";
/// L-BFGS stops where the gradient is shorter than this.
const GRADIENT_TOLERANCE: f64 = 1e-6;

pub(super) fn fit(
    train: &Rows,
    classes: &[usize],
    labels: &Labels,
    settings: &Settings,
    features: &[Feature],
) -> Result<Box<dyn Fitted>, FitError> {
    let scale = Scale::of(train, features)?;
    let data = DatasetBase::new(scale.records(train), Array1::from(classes.to_vec()));
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a whole number from 1 to 10,000"
    )]
    let iterations = settings["iterations"] as u64;
    let fitted = MultiLogisticRegression::default()
        .alpha(settings["l2"])
        .max_iterations(iterations)
        .gradient_tolerance(GRADIENT_TOLERANCE)
        .fit(&data)
        .map_err(|error| FitError::Library {
            algorithm: NAME,
            reason: error.to_string(),
        })?;
    let logistic = Logistic {
        fitted,
        scale,
        labels: labels.clone(),
    };
    match logistic.graph() {
        Graph::Logistic {
            weights, intercepts, ..
        } if weights.iter().chain(&intercepts).all(|number| number.is_finite()) => Ok(Box::new(logistic)),
        _ => Err(FitError::NotFinite { algorithm: NAME }),
    }
}

struct Logistic {
    fitted: MultiFittedLogisticRegression<f64, usize>,
    scale: Scale,
    labels: Labels,
}

impl Fitted for Logistic {
    fn graph(&self) -> Graph {
        let params = self.fitted.params();
        let mut intercepts = self.fitted.intercept().to_vec();
        let mut weights = Vec::with_capacity(params.len());
        for (at, row) in params.rows().into_iter().enumerate() {
            for (weight, intercept) in row.iter().zip(&mut intercepts) {
                weights.push(self.scale.fold(at, *weight, intercept));
            }
        }
        Graph::Logistic {
            weights,
            intercepts,
            labels: self.labels.clone(),
        }
    }

    fn predict(&self, rows: &Rows) -> Vec<f64> {
        let probabilities = self.fitted.predict_probabilities(&self.scale.records(rows));
        probabilities.iter().copied().collect()
    }
}
