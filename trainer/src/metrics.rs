//! What is measured on the holdout.

use std::collections::BTreeMap;

use planner::training::Metric;
use registry::artifact::Predictions;

use crate::features::Answers;

/// Probabilities are not taken as smaller than this, so that one sure mistake does not make a log loss infinite.
const PROBABILITY_MIN: f64 = 1e-15;

/// Measures everything that fits the kind: r2, rmse and mae, or accuracy and log loss.
///
/// `None` where predictions and answers are of different kinds, or several numbers are predicted at once. Without
/// probabilities there is no log loss. R² of answers that are all the same is 1 if they are
/// predicted exactly, else 0, as scikit-learn has it.
pub(crate) fn measure(predictions: &Predictions, answers: &Answers) -> Option<BTreeMap<Metric, f64>> {
    match (predictions, answers) {
        (Predictions::Numbers(predicted), Answers::Numbers(actual)) if predicted.len() == actual.len() => {
            Some(of_numbers(predicted, actual))
        }
        (
            Predictions::Classes {
                index,
                probabilities,
                k,
            },
            Answers::Classes { index: actual, .. },
        ) => Some(of_classes(index, probabilities, *k, actual)),
        _ => None,
    }
}

fn of_numbers(predicted: &[f64], actual: &[f64]) -> BTreeMap<Metric, f64> {
    let n = actual.len() as f64;
    let mean = actual.iter().sum::<f64>() / n;
    let total: f64 = actual.iter().map(|y| (y - mean).powi(2)).sum();
    let errors = || predicted.iter().zip(actual).map(|(p, y)| y - p);
    let squared: f64 = errors().map(|error| error * error).sum();
    let absolute: f64 = errors().map(f64::abs).sum();
    let r2 = if total > 0.0 {
        1.0 - squared / total
    } else if squared == 0.0 {
        1.0
    } else {
        0.0
    };
    BTreeMap::from([
        (Metric::R2, r2),
        (Metric::Rmse, (squared / n).sqrt()),
        (Metric::Mae, absolute / n),
    ])
}

fn of_classes(
    predicted: &[Option<usize>],
    probabilities: &[f64],
    k: usize,
    actual: &[Option<usize>],
) -> BTreeMap<Metric, f64> {
    let n = actual.len() as f64;
    let right = predicted.iter().zip(actual);
    let right = right
        .filter(|(predicted, actual)| predicted.is_some() && predicted == actual)
        .count();
    let accuracy = (Metric::Accuracy, right as f64 / n);
    if probabilities.is_empty() {
        return BTreeMap::from([accuracy]);
    }
    let losses = probabilities.chunks_exact(k).zip(actual).map(|(row, actual)| {
        let probability = actual.map_or(0.0, |index| row[index]);
        -probability.max(PROBABILITY_MIN).ln()
    });
    let loss: f64 = losses.sum();
    BTreeMap::from([accuracy, (Metric::LogLoss, loss / n)])
}

#[cfg(test)]
mod tests {
    use expect_test::expect;
    use registry::metadata::Labels;

    use super::*;

    /// The expected values are scikit-learn's, to its printed digits.
    #[test]
    fn metrics_are_those_of_scikit_learn() {
        let numbers = measure(
            &Predictions::Numbers(vec![2.5, 0.0, 2.0, 8.0]),
            &Answers::Numbers(vec![3.0, -0.5, 2.0, 7.0]),
        );
        let classes = measure(
            &Predictions::Classes {
                index: vec![Some(0), Some(1), Some(0)],
                probabilities: vec![0.75, 0.25, 0.0, 1.0, 1.0, 0.0],
                k: 2,
            },
            &Answers::Classes {
                index: vec![Some(0), Some(1), Some(1)],
                labels: Labels::Numbers(vec![0, 1]),
            },
        );
        expect![[r#"
            Some({R2: 0.9486081370449679, Rmse: 0.6123724356957945, Mae: 0.5})
            Some({Accuracy: 0.6666666666666666, LogLoss: 11.60881948912082})
        "#]]
        .assert_eq(&format!("{numbers:?}\n{classes:?}\n"));
    }

    #[test]
    fn constant_answers_have_an_r2() {
        let r2 = |predicted: f64| of_numbers(&[predicted, 2.0], &[2.0, 2.0])[&Metric::R2];
        assert_eq!((r2(2.0), r2(1.0)), (1.0, 0.0));
    }

    #[test]
    fn a_class_that_was_never_seen_is_a_mistake() {
        let metrics = of_classes(&[Some(0)], &[1.0, 0.0], 2, &[None]);
        assert!(metrics[&Metric::Accuracy].abs() < 1e-12);
        assert!((metrics[&Metric::LogLoss] - 34.538_776).abs() < 1e-5);
    }
}
