//! `logistic_regression`: solved to its optimum on standardised features; two classes are a softmax of two.
//!
//! What is minimised is scikit-learn's `LogisticRegression(C=1/l2)` after a `StandardScaler`: the sum of −ln p over the
//! rows plus `l2` / 2 × the sum of the squared weights, intercepts free, and with two classes one column of weights.
//! The scale is folded into the weights afterwards, so that the artifact takes raw inputs.

mod newton;

use ndarray::{Array2, Axis, s};
use planner::training::Feature;
use registry::artifact::Graph;
use registry::metadata::{Fit, Labels};

use self::newton::{Failure, Optimum, Problem};
use super::scale::Scale;
use super::{FitError, Fitted, Rows, Settings};

const NAME: &str = "logistic_regression";
/// The most probabilities that the solver keeps, rows × classes: 512 MiB.
const PROBABILITIES_MAX: usize = 64 << 20;
/// The most weights, features × classes: 32 MiB in each of the solver's vectors and in the artifact.
const WEIGHTS_MAX: usize = 4 << 20;

pub(super) fn fit(
    train: &Rows,
    classes: &[usize],
    labels: &Labels,
    settings: &Settings,
    features: &[Feature],
) -> Result<Box<dyn Fitted>, FitError> {
    let count = match labels {
        Labels::Numbers(labels) => labels.len(),
        Labels::Words(labels) => labels.len(),
    };
    check_size(train, count)?;
    let scale = Scale::of(train, features)?;
    let records = scale.records(train);
    let problem = Problem {
        inputs: records.view(),
        classes,
        columns: if count == 2 { 1 } else { count },
        l2: settings["l2"],
    };
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a whole number from 1 to 10,000"
    )]
    let iterations = settings["iterations"] as u64;
    let optimum = newton::minimise(&problem, iterations).map_err(|failure| match failure {
        Failure::Separable => FitError::Separable,
        Failure::NotConverged { iterations, gradient } => FitError::NotConverged {
            algorithm: NAME,
            iterations,
            gradient,
            wanted: newton::GRADIENT_MAX,
        },
    })?;
    let logistic = Logistic::new(&optimum, scale, labels.clone());
    match logistic.graph() {
        Graph::Logistic {
            weights, intercepts, ..
        } if weights.iter().chain(&intercepts).all(|number| number.is_finite()) => Ok(Box::new(logistic)),
        _ => Err(FitError::NotFinite { algorithm: NAME }),
    }
}

/// Refuses what would not fit into memory, before anything is computed.
fn check_size(train: &Rows, classes: usize) -> Result<(), FitError> {
    let too_large = |what, size, max| FitError::TooLarge {
        algorithm: NAME,
        what,
        size,
        max,
    };
    let probabilities = train.len().saturating_mul(classes);
    if probabilities > PROBABILITIES_MAX {
        return Err(too_large("rows × classes", probabilities, PROBABILITIES_MAX));
    }
    let weights = train.width.saturating_mul(classes);
    if weights > WEIGHTS_MAX {
        return Err(too_large("features × classes", weights, WEIGHTS_MAX));
    }
    Ok(())
}

struct Logistic {
    /// Of standardised features, features × classes.
    weights: Array2<f64>,
    /// One per class.
    intercepts: Vec<f64>,
    scale: Scale,
    labels: Labels,
    fit: Fit,
}

impl Logistic {
    /// Spreads one column over two classes, and centres several: only differences between classes matter, and the
    /// optimum of a penalty is centred.
    fn new(optimum: &Optimum, scale: Scale, labels: Labels) -> Self {
        let solved = &optimum.weights;
        let whole = if solved.ncols() == 1 {
            Array2::from_shape_fn((solved.nrows(), 2), |(row, class)| {
                solved[[row, 0]] * if class == 1 { 0.5 } else { -0.5 }
            })
        } else {
            let means = solved.sum_axis(Axis(1)) / solved.ncols() as f64;
            solved - &means.insert_axis(Axis(1))
        };
        let features = whole.nrows() - 1;
        Self {
            intercepts: whole.row(features).to_vec(),
            weights: whole.slice(s![..features, ..]).to_owned(),
            scale,
            labels,
            fit: Fit {
                iterations: Some(optimum.iterations),
                gradient_norm: Some(optimum.gradient),
                loss: Fit::curve(&optimum.losses),
                ..Fit::default()
            },
        }
    }
}

impl Fitted for Logistic {
    fn graph(&self) -> Graph {
        let mut intercepts = self.intercepts.clone();
        let mut weights = Vec::with_capacity(self.weights.len());
        for (at, row) in self.weights.rows().into_iter().enumerate() {
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
        let mut scores = self.scale.records(rows).dot(&self.weights);
        for mut row in scores.rows_mut() {
            row.iter_mut()
                .zip(&self.intercepts)
                .for_each(|(score, intercept)| *score += intercept);
            let most = row.fold(f64::NEG_INFINITY, |most, score| most.max(*score));
            row.mapv_inplace(|score| (score - most).exp());
            let sum = row.sum();
            row /= sum;
        }
        scores.iter().copied().collect()
    }

    fn fit(&self) -> Fit {
        self.fit.clone()
    }
}
