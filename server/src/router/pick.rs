//! Which of several endpoints is asked: of two that chance draws, the one with less under way. That is nearly as even as
//! looking at all of them, and routers that know nothing of each other do not run after the same one.

use std::sync::atomic::{AtomicU64, Ordering};

/// The step of the sequence that [`Dice`] mixes.
const STEP: u64 = 0x9E37_79B9_7F4A_7C15;

/// What is known of an endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Load {
    /// How many requests it has under way from here.
    pub(super) under_way: usize,
    /// Whether it failed a moment ago.
    pub(super) is_out: bool,
}

/// Returns which one to ask; of those that are out only where all are. None where there is nobody.
pub(super) fn pick(loads: &[Load], random: u64) -> Option<usize> {
    let all_out = loads.iter().all(|load| load.is_out);
    let able = loads
        .iter()
        .enumerate()
        .filter(|(_, load)| all_out || !load.is_out);
    let able: Vec<_> = able.map(|(at, load)| (at, load.under_way)).collect();
    let count = u64::try_from(able.len()).ok().filter(|count| *count > 0)?;
    let nth = |n: u64| usize::try_from(n % count).ok().and_then(|n| able.get(n).copied());
    let (high, low) = (random >> 32, random & u64::from(u32::MAX));
    let first = nth(low)?;
    if count == 1 {
        return Some(first.0);
    }
    let second = nth(low % count + 1 + high % (count - 1))?;
    Some(if second.1 < first.1 { second.0 } else { first.0 })
}

/// Numbers that follow from a seed (SplitMix64).
#[derive(Debug)]
pub(super) struct Dice(AtomicU64);

impl Dice {
    pub(super) fn new(seed: u64) -> Self {
        Self(AtomicU64::new(seed))
    }

    pub(super) fn roll(&self) -> u64 {
        let mut mixed = self.0.fetch_add(STEP, Ordering::Relaxed).wrapping_add(STEP);
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns how often each of so loaded endpoints is picked in 10,000 rolls; `x` is one that is out.
    fn picked(loads: &str) -> Vec<usize> {
        let loads: Vec<_> = loads
            .split_whitespace()
            .map(|word| Load {
                under_way: word.trim_start_matches('x').parse().expect("a number"),
                is_out: word.starts_with('x'),
            })
            .collect();
        let dice = Dice::new(7);
        let mut counts = vec![0; loads.len()];
        for _ in 0..10_000 {
            if let Some(at) = pick(&loads, dice.roll()) {
                counts[at] += 1;
            }
        }
        counts
    }

    #[test]
    fn equals_get_equal_shares() {
        for loads in ["0 0", "3 3 3", "1 1 1 1 1 1 1"] {
            let counts = picked(loads);
            let fair = 10_000 / counts.len();
            for count in &counts {
                assert!(count.abs_diff(fair) < fair / 10, "{loads}: {counts:?}");
            }
        }
    }

    #[test]
    fn the_busiest_is_never_picked_and_who_is_out_only_where_all_are() {
        for (loads, expected) in [
            ("", vec![]),
            ("5", vec![10_000]),
            ("x5", vec![10_000]),
            ("5 4", vec![0, 10_000]),
            ("x0 4", vec![0, 10_000]),
            ("x9 x8", vec![0, 10_000]),
            ("x0 9 8", vec![0, 0, 10_000]),
        ] {
            assert_eq!(picked(loads), expected, "{loads}");
        }
        assert_eq!(picked("0 0 9")[2], 0);
        assert!(picked("x0 1 1").iter().skip(1).all(|count| *count > 4_500));
    }

    #[test]
    fn the_same_seed_gives_the_same_rolls() {
        let rolls = |seed| {
            let dice = Dice::new(seed);
            [dice.roll(), dice.roll(), dice.roll()]
        };
        assert_eq!(rolls(1), rolls(1));
        assert_ne!(rolls(1), rolls(2));
    }
}
