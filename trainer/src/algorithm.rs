//! The algorithms, each behind one trait: rows in, a graph out. The same rows, settings and seed give the same graph.

mod boosting;
mod linear;
mod logistic;
mod scale;

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};

use planner::training::{Algorithm, Feature};
use registry::artifact::Graph;
use registry::metadata::{Fit, Labels};

use crate::dataset::shown;
use crate::features::{Answers, Rows};

/// What came out of a fit.
pub(crate) trait Fitted {
    /// Returns the model as the artifact will hold it.
    fn graph(&self) -> Graph;

    /// Predicts by the fitting code's own means, row-major: numbers or probabilities. It is what the artifact's
    /// predictions are checked against.
    fn predict(&self, rows: &Rows) -> Vec<f64>;

    /// Says how the fit went.
    fn fit(&self) -> Fit {
        Fit::default()
    }
}

/// Says why nothing could be fitted.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FitError {
    /// The algorithm has no such setting.
    #[error("{algorithm} has no hyperparameter {name:?}; it has: {known}")]
    UnknownSetting {
        algorithm: &'static str,
        name: String,
        known: String,
    },
    /// A setting's value is not allowed.
    #[error("hyperparameter {name} is {value}; it must be {expected}")]
    BadSetting {
        name: String,
        value: f64,
        expected: String,
    },
    /// A feature says nothing.
    #[error(
        "feature {:?} has the same value in every training row: leave it out (`dataset.exclude`)", shown(.0)
    )]
    ConstantFeature(String),
    /// A feature says what the ones before it say.
    #[error(
        "feature {:?} is a linear combination of the features before it: leave one of them out (`dataset.exclude`)",
        shown(.0)
    )]
    DependentFeature(String),
    /// There is nothing to predict.
    #[error("the target {column:?} is {value} in every training row: there is nothing to predict")]
    ConstantTarget { column: String, value: String },
    /// The target's numbers are too large or too small to compute with.
    #[error(
        "the target {column:?} {problem}: bring it near 1 by `dataset.target.divideBy` (about {by:e}), and give `unit`"
    )]
    TargetScale {
        column: String,
        problem: String,
        by: f64,
    },
    /// The target's numbers differ in their last digits only.
    #[error(
        "the target {column:?} varies by {deviation:.2e} around {mean:.2e}, too little to tell from rounding: subtract an \
         offset from the data"
    )]
    TargetOffset {
        column: String,
        deviation: f64,
        mean: f64,
    },
    /// There are more unknowns than rows.
    #[error("{rows} training rows are not enough for {features} features: at least {needed} are needed")]
    TooFewRows {
        rows: usize,
        features: usize,
        needed: usize,
    },
    /// The share of columns rounds to none.
    #[error("column_sample {share} of {features} features is less than one of them")]
    NoColumns { share: f64, features: usize },
    /// Targets and the algorithm are of different kinds.
    #[error("{0} does not predict this kind of target")]
    OtherKind(&'static str),
    /// Squares of a feature's values are no finite numbers above 0.
    #[error(
        "the values of feature {:?} are too large or too close together to compute with: scale it, or leave it out \
         (`dataset.exclude`)", shown(.0)
    )]
    Unscalable(String),
    /// The classes can be told apart, and without a penalty the weights have no end.
    #[error(
        "some classes can be told apart without any doubt, so that without a penalty there is no optimum: set \
         hyperparameter l2 above 0 (1 is the default)"
    )]
    Separable,
    /// The optimum was not reached.
    #[error(
        "{algorithm} did not reach its optimum: after {iterations} iterations the gradient's norm is {gradient:.1e}, and \
         {wanted:e} is needed. Raise hyperparameter iterations or l2, or leave out features that nearly repeat others \
         (`dataset.exclude`)"
    )]
    NotConverged {
        algorithm: &'static str,
        iterations: u64,
        gradient: f64,
        wanted: f64,
    },
    /// It would take more memory than a run may have, or more than an artifact may hold.
    #[error("{algorithm} would need {size} ({what}), and at most {max} are allowed: give fewer of either")]
    TooLarge {
        algorithm: &'static str,
        what: &'static str,
        size: usize,
        max: usize,
    },
    /// The library gave up.
    #[error("{algorithm} failed: {reason}")]
    Library { algorithm: &'static str, reason: String },
    /// The result is no model.
    #[error("{algorithm} did not converge to finite numbers: scale the features or the target")]
    NotFinite { algorithm: &'static str },
}

/// The settings in force by name, defaults included.
pub(crate) type Settings = BTreeMap<String, f64>;

/// Checks the manifest's hyperparameters and fills in defaults.
pub(crate) fn settings(algorithm: Algorithm, given: &BTreeMap<String, f64>) -> Result<Settings, FitError> {
    let known = algorithm.hyperparameters();
    for (name, value) in given {
        let Some(setting) = known.iter().find(|setting| setting.name == name) else {
            let names: Vec<&str> = known.iter().map(|setting| setting.name).collect();
            return Err(FitError::UnknownSetting {
                algorithm: algorithm.as_str(),
                name: shown(name),
                known: if names.is_empty() {
                    "none".to_owned()
                } else {
                    names.join(", ")
                },
            });
        };
        if !setting.allows(*value) {
            return Err(FitError::BadSetting {
                name: name.clone(),
                value: *value,
                expected: setting.expected(),
            });
        }
    }
    let value = |name: &str, default: f64| given.get(name).copied().unwrap_or(default);
    let settings = known
        .iter()
        .map(|setting| (setting.name.to_owned(), value(setting.name, setting.default)));
    Ok(settings.collect())
}

/// Returns what fits an algorithm: a library's name, or ours.
pub(crate) fn framework(algorithm: Algorithm) -> &'static str {
    match algorithm {
        Algorithm::LinearRegression => "linfa",
        Algorithm::GradientBoosting | Algorithm::LogisticRegression => "aurora",
    }
}

/// The target's largest value and its least deviation: far from what doubles can hold, and far from any unit that people
/// read. Beyond, squares and their sums lose what there is to learn.
const TARGET_MAX: f64 = 1e18;
/// A deviation below this share of the target's size is rounding.
const TARGET_DIGITS: f64 = 1e-10;

/// Fits `algorithm` to the training rows, and says how it went; `settings` come from [`settings`].
pub(crate) fn fit(
    algorithm: Algorithm,
    settings: &Settings,
    seed: u64,
    train: &Rows,
    features: &[Feature],
    target: &str,
) -> Result<(Box<dyn Fitted>, Fit), FitError> {
    check_target(train, target)?;
    let constant = constant_features(train);
    let grows_trees = matches!(algorithm, Algorithm::GradientBoosting);
    if let Some(at) = constant.first()
        && !grows_trees
    {
        return Err(FitError::ConstantFeature(features[*at].name.clone()));
    }
    let fitted = match (&train.answers, algorithm) {
        (Answers::Numbers(answers), Algorithm::LinearRegression) => linear::fit(train, answers, features)?,
        (Answers::Numbers(answers), Algorithm::GradientBoosting) => {
            boosting::fit(train, answers, settings, seed)?
        }
        (Answers::Classes { index, labels }, Algorithm::LogisticRegression) => {
            // Invariant: the labels are those of the training rows.
            let index: Vec<usize> = index.iter().copied().flatten().collect();
            logistic::fit(train, &index, labels, settings, features)?
        }
        _ => return Err(FitError::OtherKind(algorithm.as_str())),
    };
    let mut fit = fitted.fit();
    if !constant.is_empty() {
        fit.warnings.push(constant_warning(&constant, features));
    }
    Ok((fitted, fit))
}

/// Refuses a target that no algorithm can learn.
#[expect(clippy::float_cmp, reason = "constant means the very same value")]
fn check_target(train: &Rows, target: &str) -> Result<(), FitError> {
    let column = || shown(target);
    match &train.answers {
        Answers::Numbers(numbers) if numbers.iter().all(|number| *number == numbers[0]) => {
            Err(FitError::ConstantTarget {
                column: column(),
                value: numbers[0].to_string(),
            })
        }
        Answers::Classes { index, labels } => {
            let seen: BTreeSet<usize> = index.iter().copied().flatten().collect();
            if seen.len() >= 2 {
                return Ok(());
            }
            let label = match labels {
                Labels::Numbers(labels) => labels.first().map(i64::to_string),
                Labels::Words(labels) => labels.first().map(|label| format!("{:?}", shown(label))),
            };
            Err(FitError::ConstantTarget {
                column: column(),
                value: label.unwrap_or_default(),
            })
        }
        Answers::Numbers(numbers) => check_scale(numbers, &column()),
    }
}

/// Refuses numbers whose squares or differences doubles do not hold.
fn check_scale(numbers: &[f64], column: &str) -> Result<(), FitError> {
    let largest = numbers
        .iter()
        .fold(0.0, |largest: f64, number| largest.max(number.abs()));
    let scale = |problem: String, by: f64| FitError::TargetScale {
        column: column.to_owned(),
        problem,
        by: 10_f64.powf(by.log10().round()),
    };
    if largest > TARGET_MAX {
        return Err(scale(format!("reaches {largest:.2e}"), largest));
    }
    let n = numbers.len() as f64;
    // Invariant: divided by the largest, no square overflows or vanishes.
    let mean = numbers.iter().map(|number| number / largest).sum::<f64>() / n;
    let squares: f64 = numbers
        .iter()
        .map(|number| (number / largest - mean).powi(2))
        .sum();
    let relative = (squares / n).sqrt();
    let deviation = relative * largest;
    if deviation < 1.0 / TARGET_MAX {
        return Err(scale(format!("varies by {deviation:.2e} only"), largest));
    }
    if relative < TARGET_DIGITS {
        return Err(FitError::TargetOffset {
            column: column.to_owned(),
            deviation,
            mean: mean * largest,
        });
    }
    Ok(())
}

/// Returns the features that have one value in all training rows.
#[expect(clippy::float_cmp, reason = "constant means the very same value")]
fn constant_features(train: &Rows) -> Vec<usize> {
    (0..train.width)
        .filter(|at| train.column(*at).all(|value| value == train.inputs[*at]))
        .collect()
}

fn constant_warning(constant: &[usize], features: &[Feature]) -> String {
    let names: Vec<String> = constant
        .iter()
        .take(10)
        .map(|at| shown(&features[*at].name))
        .collect();
    let more = match constant.len() {
        0..=10 => String::new(),
        n => format!(" and {} more", n - 10),
    };
    format!(
        "features with the same value in every training row, which say nothing: {}{more}",
        names.join(", ")
    )
}
