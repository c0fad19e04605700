//! Standardising: what the solvers see, and how their weights become those of raw features.

use ndarray::Array2;
use planner::training::Feature;

use super::{FitError, Rows};

/// Mean and standard deviation of each feature over the training rows: finite, and the deviation above 0.
pub(super) struct Scale {
    mean: Vec<f64>,
    deviation: Vec<f64>,
}

impl Scale {
    pub(super) fn of(rows: &Rows, features: &[Feature]) -> Result<Self, FitError> {
        let n = rows.len() as f64;
        let mut mean = Vec::with_capacity(rows.width);
        let mut deviation = Vec::with_capacity(rows.width);
        for (at, feature) in features.iter().enumerate() {
            let average = rows.column(at).sum::<f64>() / n;
            let squares: f64 = rows.column(at).map(|value| (value - average).powi(2)).sum();
            let spread = (squares / n).sqrt();
            if !(average.is_finite() && spread.is_normal()) {
                return Err(FitError::Unscalable(feature.name.clone()));
            }
            mean.push(average);
            deviation.push(spread);
        }
        Ok(Self { mean, deviation })
    }

    /// Returns (value − mean) / deviation, rows × features.
    pub(super) fn records(&self, rows: &Rows) -> Array2<f64> {
        Array2::from_shape_fn((rows.len(), rows.width), |(row, at)| {
            (rows.inputs[row * rows.width + at] - self.mean[at]) / self.deviation[at]
        })
    }

    /// Turns the weight of standardised feature `at` into that of the raw one, and moves the intercept accordingly.
    pub(super) fn fold(&self, at: usize, weight: f64, intercept: &mut f64) -> f64 {
        let weight = weight / self.deviation[at];
        *intercept -= weight * self.mean[at];
        weight
    }
}
