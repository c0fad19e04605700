//! Features as small whole numbers: where trees may split.

use crate::features::Rows;

/// The most bins of a feature, so that a bin is one byte.
const BINS_MAX: usize = 255;

/// Each value's bin, and what separates the bins.
#[derive(Debug)]
pub(super) struct Bins {
    /// Per feature, strictly ascending: bin `b` holds the values below `cuts[b]` that no bin before it holds.
    pub(super) cuts: Vec<Vec<f64>>,
    /// Per feature, one per row.
    pub(super) columns: Vec<Vec<u8>>,
}

impl Bins {
    /// Cuts each feature between its values where they are few, else where equally many rows lie on both sides.
    pub(super) fn of(rows: &Rows) -> Self {
        let cuts: Vec<Vec<f64>> = (0..rows.width)
            .map(|at| cuts(rows.column(at).collect()))
            .collect();
        Self {
            columns: columns(rows, &cuts),
            cuts,
        }
    }

    /// Sorts other rows into the same bins.
    pub(super) fn columns_of(&self, rows: &Rows) -> Vec<Vec<u8>> {
        columns(rows, &self.cuts)
    }
}

fn columns(rows: &Rows, cuts: &[Vec<f64>]) -> Vec<Vec<u8>> {
    let bin = |cuts: &[f64], value: f64| {
        let bin = cuts.partition_point(|cut| *cut <= value);
        u8::try_from(bin).expect("invariant: there are fewer than 256 bins")
    };
    let features = cuts.iter().enumerate();
    features
        .map(|(at, cuts)| rows.column(at).map(|value| bin(cuts, value)).collect())
        .collect()
}

fn cuts(mut values: Vec<f64>) -> Vec<f64> {
    values.sort_unstable_by(f64::total_cmp);
    let mut distinct = values.clone();
    distinct.dedup();
    let mut cuts: Vec<f64> = if distinct.len() <= BINS_MAX {
        distinct
            .windows(2)
            .map(|pair| between(pair[0], pair[1]))
            .collect()
    } else {
        let at = |bin: usize| {
            let rank = bin * values.len() / BINS_MAX;
            between(values[rank - 1], values[rank])
        };
        (1..BINS_MAX).map(at).collect()
    };
    cuts.dedup();
    // A cut at the least value would make an empty bin below it.
    cuts.retain(|cut| *cut > values[0]);
    cuts
}

/// Returns a number above `low` and at most `high`, in the middle where there is one.
fn between(low: f64, high: f64) -> f64 {
    let middle = low / 2.0 + high / 2.0;
    if middle > low && middle <= high {
        middle
    } else {
        high
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_values_are_cut_between_each_two() {
        assert_eq!(cuts(vec![3.0, 1.0, 1.0, 2.0]), [1.5, 2.5]);
        assert_eq!(cuts(vec![7.0, 7.0]), [] as [f64; 0]);
        assert_eq!(cuts(vec![0.0, -0.0, 1.0]), [0.5]);
        // Neighbours have no middle; the middle of the largest is no overflow.
        assert_eq!(cuts(vec![1.0, 1.0_f64.next_up()]), [1.0_f64.next_up()]);
        assert_eq!(cuts(vec![f64::MAX, f64::MIN]), [0.0]);
    }

    #[test]
    fn many_values_are_cut_into_bins_of_equal_size() {
        let bins = cuts((0..25_500).map(f64::from).collect());
        assert_eq!((bins.len(), bins[0], bins[253]), (254, 99.5, 25_399.5));
        // One value that most rows have takes one bin.
        let skewed = (0..10_000).map(|n| f64::from((n - 9_000).max(0)));
        let bins = cuts(skewed.collect());
        assert!(bins.is_sorted() && bins[0] > 0.0 && bins.len() < 30, "{bins:?}");
    }
}
