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
use registry::metadata::Labels;

use crate::dataset::shown;
use crate::features::{Answers, Rows};

/// What came out of a fit.
pub(crate) trait Fitted {
    /// Returns the model as the artifact will hold it.
    fn graph(&self) -> Graph;

    /// Predicts by the fitting library's own code, row-major: numbers or probabilities. It is what the artifact's
    /// predictions are checked against.
    fn predict(&self, rows: &Rows) -> Vec<f64>;
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
    #[error("feature {0:?} has the same value in every training row: remove it")]
    ConstantFeature(String),
    /// A feature says what the ones before it say.
    #[error("feature {0:?} is a linear combination of the features before it: remove one of them")]
    DependentFeature(String),
    /// There is nothing to predict.
    #[error("the target {column:?} is {value} in every training row: there is nothing to predict")]
    ConstantTarget { column: String, value: String },
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
    #[error("the values of feature {0:?} are too large or too close together to compute with: scale it")]
    Unscalable(String),
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

/// Returns the library that fits an algorithm.
pub(crate) fn framework(algorithm: Algorithm) -> &'static str {
    match algorithm {
        Algorithm::LinearRegression | Algorithm::LogisticRegression => "linfa",
        Algorithm::GradientBoosting => "forust",
    }
}

/// Fits `algorithm` to the training rows; `settings` come from [`settings`].
pub(crate) fn fit(
    algorithm: Algorithm,
    settings: &Settings,
    seed: u64,
    train: &Rows,
    features: &[Feature],
    target: &str,
) -> Result<Box<dyn Fitted>, FitError> {
    check_rows(train, features, target)?;
    match (&train.answers, algorithm) {
        (Answers::Numbers(answers), Algorithm::LinearRegression) => linear::fit(train, answers, features),
        (Answers::Numbers(answers), Algorithm::GradientBoosting) => {
            boosting::fit(train, answers, settings, seed)
        }
        (Answers::Classes { index, labels }, Algorithm::LogisticRegression) => {
            // Invariant: the labels are those of the training rows.
            let index: Vec<usize> = index.iter().copied().flatten().collect();
            logistic::fit(train, &index, labels, settings, features)
        }
        _ => Err(FitError::OtherKind(algorithm.as_str())),
    }
}

/// Refuses what no algorithm can learn from.
#[expect(clippy::float_cmp, reason = "constant means the very same value")]
fn check_rows(train: &Rows, features: &[Feature], target: &str) -> Result<(), FitError> {
    let constant = |value: String| FitError::ConstantTarget {
        column: target.to_owned(),
        value,
    };
    match &train.answers {
        Answers::Numbers(numbers) if numbers.iter().all(|number| *number == numbers[0]) => {
            return Err(constant(numbers[0].to_string()));
        }
        Answers::Classes { index, labels } => {
            let seen: BTreeSet<usize> = index.iter().copied().flatten().collect();
            if seen.len() < 2 {
                let label = match labels {
                    Labels::Numbers(labels) => labels.first().map(i64::to_string),
                    Labels::Words(labels) => labels.first().map(|label| format!("{:?}", shown(label))),
                };
                return Err(constant(label.unwrap_or_default()));
            }
        }
        Answers::Numbers(_) => {}
    }
    for (at, feature) in features.iter().enumerate() {
        let first = train.inputs[at];
        if train.column(at).all(|value| value == first) {
            return Err(FitError::ConstantFeature(feature.name.clone()));
        }
    }
    Ok(())
}
