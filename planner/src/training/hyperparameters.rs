//! The settings that each algorithm knows: names, defaults and ranges, as plain data.

use super::Algorithm;

/// One setting of an algorithm.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Hyperparameter {
    /// Its name in a manifest.
    pub name: &'static str,
    /// What is taken where a manifest does not name it.
    pub default: f64,
    /// The smallest value.
    pub minimum: f64,
    /// The largest value; infinite where there is none.
    pub maximum: f64,
    /// Which of the range's values are allowed.
    pub values: Values,
}

/// Which values of a range are allowed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Values {
    /// Whole numbers, both ends included.
    Whole,
    /// All numbers, both ends included.
    Any,
    /// All numbers above the minimum, the maximum included.
    AboveMinimum,
}

impl Hyperparameter {
    /// Says whether a manifest may give this value.
    pub fn allows(&self, value: f64) -> bool {
        let within = value.is_finite() && value >= self.minimum && value <= self.maximum;
        within
            && match self.values {
                Values::Whole => value.fract() == 0.0,
                Values::Any => true,
                Values::AboveMinimum => value > self.minimum,
            }
    }

    /// Returns what is allowed as a noun phrase, e.g. `a whole number from 1 to 5000`.
    pub fn expected(&self) -> String {
        let Self { minimum, maximum, .. } = self;
        match self.values {
            Values::Whole => format!("a whole number from {minimum} to {maximum}"),
            Values::Any if maximum.is_infinite() => format!("a number of at least {minimum}"),
            Values::Any => format!("a number from {minimum} to {maximum}"),
            Values::AboveMinimum => format!("a number above {minimum}, at most {maximum}"),
        }
    }
}

const fn setting(
    name: &'static str,
    default: f64,
    minimum: f64,
    maximum: f64,
    values: Values,
) -> Hyperparameter {
    Hyperparameter {
        name,
        default,
        minimum,
        maximum,
        values,
    }
}

const GRADIENT_BOOSTING: &[Hyperparameter] = &[
    setting("trees", 100.0, 1.0, 5000.0, Values::Whole),
    setting("max_leaves", 31.0, 2.0, 1024.0, Values::Whole),
    setting("learning_rate", 0.1, 0.0, 1.0, Values::AboveMinimum),
    setting("max_depth", 64.0, 1.0, 64.0, Values::Whole),
    setting("min_leaf_weight", 20.0, 0.0, f64::INFINITY, Values::Any),
    setting("l2", 0.0, 0.0, f64::INFINITY, Values::Any),
    setting("subsample", 1.0, 0.0, 1.0, Values::AboveMinimum),
    setting("column_sample", 1.0, 0.0, 1.0, Values::AboveMinimum),
];

const LOGISTIC_REGRESSION: &[Hyperparameter] = &[
    setting("l2", 1.0, 0.0, f64::INFINITY, Values::Any),
    setting("iterations", 500.0, 1.0, 10_000.0, Values::Whole),
];

impl Algorithm {
    /// Returns the settings that the algorithm knows, in the order in which documentation lists them.
    pub const fn hyperparameters(self) -> &'static [Hyperparameter] {
        match self {
            Self::LinearRegression => &[],
            Self::GradientBoosting => GRADIENT_BOOSTING,
            Self::LogisticRegression => LOGISTIC_REGRESSION,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_default_is_allowed() {
        for algorithm in Algorithm::ALL {
            for setting in algorithm.hyperparameters() {
                assert!(setting.allows(setting.default), "{algorithm:?} {setting:?}");
            }
        }
    }

    #[test]
    fn ranges_are_closed_but_for_rates() {
        let find = |name: &str| {
            *Algorithm::GradientBoosting
                .hyperparameters()
                .iter()
                .find(|setting| setting.name == name)
                .unwrap()
        };
        let trees = find("trees");
        assert!(trees.allows(1.0) && trees.allows(5000.0));
        assert!(!trees.allows(0.0) && !trees.allows(5001.0) && !trees.allows(1.5) && !trees.allows(f64::NAN));
        let rate = find("learning_rate");
        assert!(rate.allows(1.0) && !rate.allows(0.0) && !rate.allows(1.1));
        assert!(find("l2").allows(0.0) && !find("l2").allows(f64::INFINITY));
        assert_eq!(trees.expected(), "a whole number from 1 to 5000");
        assert_eq!(rate.expected(), "a number above 0, at most 1");
        assert_eq!(find("l2").expected(), "a number of at least 0");
        let bounded = Hyperparameter {
            maximum: 2.0,
            ..find("l2")
        };
        assert_eq!(bounded.expected(), "a number from 0 to 2");
        assert!(bounded.allows(2.0) && !bounded.allows(2.1) && !bounded.allows(-0.1));
    }
}
