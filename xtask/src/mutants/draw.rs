//! The draw: which of a list are in the sample, and in which order.

use crate::random::Random;

/// Draws `count` of `list`, or all of a shorter one. A smaller count with the same seed draws the beginning of it.
pub(super) fn draw<T>(mut list: Vec<T>, count: usize, seed: u64) -> Vec<T> {
    let mut random = Random::new(seed);
    let count = count.min(list.len());
    for place in 0..count {
        let left = list.len() - place;
        list.swap(place, place + random.below(left));
    }
    list.truncate(count);
    list
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn numbers() -> Vec<u32> {
        (0..100).collect()
    }

    #[test]
    fn a_seed_draws_one_sample_without_repeating() {
        let drawn = draw(numbers(), 30, 7);
        assert_eq!(drawn, draw(numbers(), 30, 7));
        assert_eq!(drawn.iter().collect::<BTreeSet<_>>().len(), 30);
        assert_ne!(drawn, draw(numbers(), 30, 8));
        assert_ne!(drawn, numbers()[..30]);
    }

    #[test]
    fn a_smaller_sample_is_the_beginning_of_a_larger_one() {
        assert_eq!(draw(numbers(), 30, 7)[..10], draw(numbers(), 10, 7));
    }

    #[test]
    fn a_sample_larger_than_the_list_is_the_whole_list() {
        let mut drawn = draw(numbers(), 1000, 7);
        drawn.sort_unstable();
        assert_eq!(drawn, numbers());
        assert!(draw(Vec::<u32>::new(), 10, 7).is_empty());
    }
}
