//! The weighted split: a golden-ratio sequence instead of chance.
//!
//! Any 1,000 requests in a row are within 2 of the weight, a client that is every tenth request gets its share, and
//! 0 and 100 are exact.

use planner::names::Weight;

/// 2^64 divided by the golden ratio, made odd.
const GOLDEN: u64 = 0x9E37_79B9_7F4A_7C15;

/// Returns whether the `n`-th routed request of a model goes to the canary: n × golden mod 2^64 < w/100 × 2^64.
pub(crate) fn to_canary(n: u64, weight: Weight) -> bool {
    let position = u128::from(n.wrapping_mul(GOLDEN));
    position * 100 < u128::from(weight.percent()) << 64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn weights() -> impl Iterator<Item = Weight> {
        (0..=100).map(|percent| Weight::try_from(percent).expect("a percent"))
    }

    #[test]
    fn any_1000_in_a_row_are_within_2_of_the_weight() {
        for start in [1, 777, 1 << 40, u64::MAX - 3000] {
            for weight in weights() {
                let taken: Vec<u64> = (0..3000)
                    .map(|i| u64::from(to_canary(start.wrapping_add(i), weight)))
                    .collect();
                let mut sum: u64 = taken[..1000].iter().sum();
                for i in 0..=2000 {
                    if i > 0 {
                        sum = sum + taken[i + 999] - taken[i - 1];
                    }
                    let expected = u64::from(weight.percent()) * 10;
                    assert!(
                        sum.abs_diff(expected) <= 2,
                        "weight {weight}, from n = {start} + {i}: {sum}"
                    );
                    assert!(!matches!(weight.percent(), 0 | 100) || sum == expected);
                }
            }
        }
    }

    #[test]
    fn a_client_that_is_every_tenth_request_gets_its_share() {
        for weight in weights() {
            for phase in 0..10 {
                let hits = (0..1000_u32)
                    .filter(|i| to_canary(u64::from(i * 10 + phase + 1), weight))
                    .count();
                let share = f64::from(u32::try_from(hits).expect("at most 1000")) / 10.0;
                assert!(
                    (share - f64::from(weight.percent())).abs() <= 1.0,
                    "weight {weight}, phase {phase}: {share} %"
                );
            }
        }
    }
}
