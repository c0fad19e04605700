//! How inputs and predictions are distributed over the training rows: what drift is later measured against.

use planner::training::Feature;
use registry::artifact::Predictions;
use registry::metadata::{Distribution, Reference};

use crate::features::Rows;

/// The most quantile bins of a distribution.
pub(crate) const BINS: usize = 10;

/// Describes the training rows in at most `bins` bins, and what the model says of them.
pub(crate) fn describe(
    features: &[Feature],
    bins: usize,
    train: &Rows,
    predictions: &Predictions,
) -> Reference {
    let of_inputs = features
        .iter()
        .enumerate()
        .map(|(at, feature)| distribution(&feature.name, bins, train.column(at).collect()));
    let prediction = match predictions {
        Predictions::Numbers(numbers) => numbers.clone(),
        // A class that the signature does not list is below the first.
        Predictions::Classes { index, .. } => {
            let place = |index: &Option<usize>| index.map_or(-1.0, |index| index as f64);
            index.iter().map(place).collect()
        }
    };
    Reference {
        features: of_inputs.collect(),
        prediction: distribution("prediction", BINS, prediction),
    }
}

/// Sketches finite values, at least one.
fn distribution(name: &str, bins: usize, mut values: Vec<f64>) -> Distribution {
    values.sort_by(f64::total_cmp);
    let n = values.len();
    let mean = values.iter().sum::<f64>() / n as f64;
    let variance = values.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / n as f64;
    let mut edges: Vec<f64> = (1..bins).map(|bin| values[bin * n / bins]).collect();
    edges.dedup();
    // An edge at the minimum would only make an empty bin below it.
    edges.retain(|edge| *edge > values[0]);
    let starts = edges
        .iter()
        .map(|edge| values.partition_point(|value| value < edge));
    let starts: Vec<usize> = std::iter::once(0).chain(starts).chain([n]).collect();
    Distribution {
        name: name.to_owned(),
        n: n as u64,
        mean,
        std: variance.sqrt(),
        edges,
        counts: starts.windows(2).map(|pair| (pair[1] - pair[0]) as u64).collect(),
    }
}

#[cfg(test)]
mod tests {
    use expect_test::{Expect, expect};

    use super::*;

    fn check(values: &[f64], expected: &Expect) {
        let sketch = distribution("x", BINS, values.to_vec());
        assert_eq!(sketch.counts.iter().sum::<u64>(), sketch.n);
        assert_eq!(sketch.counts.len(), sketch.edges.len() + 1);
        let Distribution {
            mean,
            std,
            edges,
            counts,
            ..
        } = sketch;
        expected.assert_eq(&format!(
            "mean {mean} std {std} edges {edges:?} counts {counts:?}"
        ));
    }

    #[test]
    fn bins_are_quantiles_without_repeats() {
        let even: Vec<f64> = (0..20).rev().map(f64::from).collect();
        check(
            &even,
            &expect![
                "mean 9.5 std 5.766281297335398 edges [2.0, 4.0, 6.0, 8.0, 10.0, 12.0, 14.0, 16.0, 18.0] counts [2, 2, 2, 2, 2, 2, 2, 2, 2, 2]"
            ],
        );
        check(
            &[1.0, 1.0, 1.0, 1.0, 5.0],
            &expect!["mean 1.8 std 1.6 edges [5.0] counts [4, 1]"],
        );
        check(&[7.0, 7.0], &expect!["mean 7 std 0 edges [] counts [2]"]);
        check(&[3.0], &expect!["mean 3 std 0 edges [] counts [1]"]);
    }
}
