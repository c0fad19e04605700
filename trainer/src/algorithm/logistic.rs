//! `logistic_regression`: multinomial, with L2, by linfa on standardised features; two classes are a softmax of two.
//!
//! On raw features linfa's L-BFGS stops far from the optimum. The scale is folded into the weights afterwards, so that
//! the artifact takes raw inputs.

use linfa::DatasetBase;
use linfa::traits::Fit as _;
use linfa_logistic::{MultiFittedLogisticRegression, MultiLogisticRegression};
use ndarray::{Array1, Array2};
use registry::artifact::Graph;
use registry::metadata::Labels;

use super::{FitError, Fitted, Rows, Scale, Settings};

const NAME: &str = "logistic_regression";
/// L-BFGS stops where the gradient is shorter than this.
const GRADIENT_TOLERANCE: f64 = 1e-6;

pub(super) fn fit(
    train: &Rows,
    classes: &[usize],
    labels: &Labels,
    settings: &Settings,
) -> Result<Box<dyn Fitted>, FitError> {
    let scale = Scale::of(train);
    let data = DatasetBase::new(records(&scale, train), Array1::from(classes.to_vec()));
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
    let finite = fitted
        .params()
        .iter()
        .chain(fitted.intercept())
        .all(|n| n.is_finite());
    if finite {
        Ok(Box::new(Logistic {
            fitted,
            scale,
            labels: labels.clone(),
        }))
    } else {
        Err(FitError::NotFinite { algorithm: NAME })
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
            for (class, weight) in row.iter().enumerate() {
                let weight = weight / self.scale.deviation[at];
                intercepts[class] -= weight * self.scale.mean[at];
                weights.push(weight);
            }
        }
        Graph::Logistic {
            weights,
            intercepts,
            labels: self.labels.clone(),
        }
    }

    fn predict(&self, rows: &Rows) -> Vec<f64> {
        let probabilities = self.fitted.predict_probabilities(&records(&self.scale, rows));
        probabilities.iter().copied().collect()
    }
}

fn records(scale: &Scale, rows: &Rows) -> Array2<f64> {
    Array2::from_shape_vec((rows.len(), rows.width), scale.apply(rows))
        .expect("invariant: inputs are rows × width")
}
