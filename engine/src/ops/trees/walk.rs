//! Nodes as they lie in memory, and walks from roots to leaves: several in step, so that one does not wait for the memory of
//! another, and those that have come to a leaf leave their place to others.

use std::hint::select_unpredictable;

use crate::types::Real;

/// How many walks are taken in step.
pub(super) const LANES: usize = 8;
/// Among how many it is chosen.
pub(super) const BLOCK: usize = 64;
/// How many steps are taken by those that have further to go than most, before it is looked again who is at a leaf.
const MORE_STEPS: u32 = 3;

/// A split or leaf, as it is walked.
pub(super) trait Node<T>: Copy {
    fn threshold(self) -> T;

    fn feature(self) -> usize;

    /// Returns the three bits below; whatever else may be in it.
    fn bits(self) -> u32;

    /// Returns where the walk goes on from here if the comparison holds; the other way is the next one.
    fn next(self, at: u32) -> u32;
}

/// 12 bytes for FP32: any feature, any distance.
#[derive(Debug, Clone, Copy)]
pub(super) struct Far<T> {
    pub(super) threshold: T,
    /// The feature, and the bits below.
    pub(super) feature: u32,
    pub(super) next: u32,
}

/// 8 bytes for FP32: what nearly every ensemble fits into, and a third more of it into the caches.
#[derive(Debug, Clone, Copy)]
pub(super) struct Near<T> {
    threshold: T,
    /// The bits below, the feature, and how far on the walk goes.
    packed: u32,
}

/// A NaN goes where the comparison holds.
pub(super) const MISSING_IS_TRUE: u32 = 1 << 31;
/// It compares for equality.
pub(super) const IS_EQUAL: u32 = 1 << 30;
/// It is a split: a leaf leads to itself, whatever a row says.
pub(super) const IS_SPLIT: u32 = 1 << SPLIT_BIT;
const SPLIT_BIT: u32 = 29;
pub(super) const FEATURE: u32 = IS_SPLIT - 1;
/// Of a node of 8 bytes: 16 bits of distance, and above them 13 of the feature.
const NEAR_BITS: u32 = 16;
const NEAR: u32 = (1 << NEAR_BITS) - 1;
const NEAR_FEATURE: u32 = FEATURE >> NEAR_BITS;

impl<T: Copy> Node<T> for Far<T> {
    #[inline]
    fn threshold(self) -> T {
        self.threshold
    }

    #[inline]
    fn feature(self) -> usize {
        (self.feature & FEATURE) as usize
    }

    #[inline]
    fn bits(self) -> u32 {
        self.feature
    }

    #[inline]
    fn next(self, _at: u32) -> u32 {
        self.next
    }
}

impl<T: Copy> Node<T> for Near<T> {
    #[inline]
    fn threshold(self) -> T {
        self.threshold
    }

    #[inline]
    fn feature(self) -> usize {
        (self.packed >> NEAR_BITS & NEAR_FEATURE) as usize
    }

    #[inline]
    fn bits(self) -> u32 {
        self.packed
    }

    #[inline]
    fn next(self, at: u32) -> u32 {
        at + (self.packed & NEAR)
    }
}

/// All nodes of an ensemble.
#[derive(Debug)]
pub(super) enum Nodes<T> {
    Near(Vec<Near<T>>),
    Far(Vec<Far<T>>),
}

impl<T: Copy> Nodes<T> {
    /// Brings them to the smaller form where all fit.
    pub(super) fn packed(far: Vec<Far<T>>) -> Self {
        let near = |(at, node): (usize, &Far<T>)| {
            let distance = node.next.checked_sub(u32::try_from(at).ok()?)?;
            let feature = node.feature & FEATURE;
            let fits = distance <= NEAR && feature <= NEAR_FEATURE;
            fits.then_some(Near {
                threshold: node.threshold,
                packed: node.feature & !FEATURE | feature << NEAR_BITS | distance,
            })
        };
        let near: Option<Vec<Near<T>>> = far.iter().enumerate().map(near).collect();
        near.map_or(Self::Far(far), Self::Near)
    }

    pub(super) fn bytes(&self) -> usize {
        match self {
            Self::Near(nodes) => size_of_val(nodes.as_slice()),
            Self::Far(nodes) => size_of_val(nodes.as_slice()),
        }
    }
}

/// Takes one row through at most [`BLOCK`] trees, each from where it is to its leaf. Most walks have about so many steps, some
/// many more: those that have come to a leaf leave their place to others.
pub(super) fn ragged_down<T: Real, N: Node<T>>(
    nodes: &[N],
    is_plain: bool,
    row: &[T],
    steps: u32,
    at: &mut [u32],
) {
    if is_plain {
        ragged_down_as::<true, T, N>(nodes, row, steps, at);
    } else {
        ragged_down_as::<false, T, N>(nodes, row, steps, at);
    }
}

#[inline]
fn ragged_down_as<const IS_PLAIN: bool, T: Real, N: Node<T>>(
    nodes: &[N],
    row: &[T],
    mut steps: u32,
    at: &mut [u32],
) {
    // Those that are not at a leaf, at the front.
    let mut open: [usize; BLOCK] = std::array::from_fn(|walk| walk);
    let mut left = at.len();
    while left > 0 {
        let mut still = 0;
        for first in (0..left).step_by(LANES) {
            let length = LANES.min(left - first);
            // Where there are fewer, the last one is taken several times.
            let walks: [usize; LANES] = std::array::from_fn(|lane| open[first + lane.min(length - 1)]);
            let mut lanes = walks.map(|walk| at[walk]);
            for _ in 0..steps {
                for lane in &mut lanes {
                    *lane = step::<IS_PLAIN, T, N>(nodes, *lane, row);
                }
            }
            for (walk, lane) in walks.into_iter().zip(lanes).take(length) {
                at[walk] = lane;
                open[still] = walk;
                still += usize::from(nodes[lane as usize].bits() & IS_SPLIT != 0);
            }
        }
        left = still;
        steps = MORE_STEPS;
    }
}

/// Takes one row through trees of about one depth.
pub(super) fn trees_down<T: Real, N: Node<T>>(
    nodes: &[N],
    is_plain: bool,
    row: &[T],
    depth: u32,
    at: [u32; LANES],
) -> [u32; LANES] {
    if is_plain {
        in_step(depth, at, |_lane, at| step::<true, T, N>(nodes, at, row))
    } else {
        in_step(depth, at, |_lane, at| step::<false, T, N>(nodes, at, row))
    }
}

/// Takes several rows, at most [`LANES`], through one tree.
pub(super) fn rows_down<T: Real, N: Node<T>>(
    nodes: &[N],
    is_plain: bool,
    root: u32,
    depth: u32,
    rows: &[T],
    width: usize,
) -> [u32; LANES] {
    let mut each = rows.chunks_exact(width);
    // Where there are fewer, the walks of the others mean nothing.
    let each: [&[T]; LANES] = std::array::from_fn(|_lane| each.next().unwrap_or(&rows[..width]));
    if is_plain {
        in_step(depth, [root; LANES], |lane, at| {
            step::<true, T, N>(nodes, at, each[lane])
        })
    } else {
        in_step(depth, [root; LANES], |lane, at| {
            step::<false, T, N>(nodes, at, each[lane])
        })
    }
}

/// Takes steps until all are at leaves: few walks are as long as the longest.
#[inline]
fn in_step(depth: u32, mut at: [u32; LANES], step: impl Fn(usize, u32) -> u32) -> [u32; LANES] {
    for _ in 0..depth {
        let mut moved = 0;
        for (lane, at) in at.iter_mut().enumerate() {
            let next = step(lane, *at);
            moved |= next ^ *at;
            *at = next;
        }
        if moved == 0 {
            break;
        }
    }
    at
}

#[inline]
fn step<const IS_PLAIN: bool, T: Real, N: Node<T>>(nodes: &[N], at: u32, row: &[T]) -> u32 {
    let node = nodes[at as usize];
    let x = row[node.feature()];
    let bits = node.bits();
    let holds = if !IS_PLAIN && bits & IS_EQUAL != 0 {
        x == node.threshold()
    } else {
        x <= node.threshold()
    };
    let holds = holds || (!IS_PLAIN && x.is_nan() && bits & MISSING_IS_TRUE != 0);
    // Nobody can tell beforehand: a branch would be guessed wrong half of the time.
    let other = select_unpredictable(holds, 0, bits >> SPLIT_BIT & 1);
    node.next(at) + other
}

#[cfg(test)]
mod tests {
    use std::cmp::Ordering;

    use proptest::prelude::*;

    use super::*;

    /// Trees of a test.
    #[derive(Debug, Clone)]
    struct Grown {
        far: Vec<Far<f32>>,
        roots: Vec<u32>,
        depth: u32,
    }

    /// Grows trees of what is drawn: splits one below the other, so that the ways of a tree differ in length.
    fn grown(trees: &[Vec<(u32, f32)>], width: u32) -> Grown {
        let mut grown = Grown {
            far: Vec::new(),
            roots: Vec::new(),
            depth: 0,
        };
        for splits in trees {
            let root = grown.far.len();
            grown.roots.push(u32::try_from(root).unwrap());
            let leaf = |at: usize| Far {
                threshold: 0.0,
                feature: 0,
                next: u32::try_from(at).unwrap(),
            };
            grown.far.push(leaf(root));
            let (mut at, mut depth) = (root, 0);
            for (feature, threshold) in splits {
                let next = grown.far.len();
                grown.far[at] = Far {
                    threshold: *threshold,
                    feature: (feature % width) | IS_SPLIT | (feature & (MISSING_IS_TRUE | IS_EQUAL)),
                    next: u32::try_from(next).unwrap(),
                };
                grown.far.extend([leaf(next), leaf(next + 1)]);
                depth += 1;
                // One side goes on, the other is a leaf.
                at = if feature & 4 == 0 { next } else { next + 1 };
            }
            grown.depth = grown.depth.max(depth);
        }
        grown
    }

    /// One walk, step by step.
    fn walked(far: &[Far<f32>], root: u32, row: &[f32]) -> u32 {
        let mut at = root;
        loop {
            let node = far[at as usize];
            if node.feature & IS_SPLIT == 0 {
                return at;
            }
            let x = row[(node.feature & FEATURE) as usize];
            let holds = match x.partial_cmp(&node.threshold) {
                None => node.feature & MISSING_IS_TRUE != 0,
                Some(Ordering::Equal) => true,
                Some(Ordering::Less) => node.feature & IS_EQUAL == 0,
                Some(Ordering::Greater) => false,
            };
            at = node.next + u32::from(!holds);
        }
    }

    fn numbers() -> impl Strategy<Value = f32> {
        prop_oneof![-3.0_f32..3.0, Just(f32::NAN), Just(0.5)]
    }

    fn check<N: Node<f32>>(nodes: &[N], grown: &Grown, rows: &[f32], width: usize) {
        let is_plain = false;
        for row in rows.chunks_exact(width) {
            let expected: Vec<u32> = grown
                .roots
                .iter()
                .map(|root| walked(&grown.far, *root, row))
                .collect();
            for steps in [0, 1, 4] {
                let mut at = grown.roots.clone();
                for at in at.chunks_mut(BLOCK) {
                    ragged_down(nodes, is_plain, row, steps, at);
                }
                assert_eq!(at, expected);
            }
            let (groups, _rest) = grown.roots.as_chunks();
            for (roots, expected) in groups.iter().zip(expected.chunks(LANES)) {
                assert_eq!(trees_down(nodes, is_plain, row, grown.depth, *roots), expected);
            }
        }
        for root in &grown.roots {
            for rows in rows.chunks(width * LANES) {
                let at = rows_down(nodes, is_plain, *root, grown.depth, rows, width);
                let expected = rows.chunks_exact(width).map(|row| walked(&grown.far, *root, row));
                assert!(expected.zip(at).all(|(expected, at)| expected == at));
            }
        }
    }

    proptest! {
        #[test]
        fn walks_in_step_end_where_one_alone_does(
            trees in prop::collection::vec(prop::collection::vec((any::<u32>(), numbers().prop_filter("a threshold", |x| !x.is_nan())), 0..20), 1..80),
            rows in prop::collection::vec(numbers(), 3..60),
        ) {
            let width = 3;
            let rows = &rows[..rows.len() / width * width];
            let grown = grown(&trees, 3);
            check(&grown.far, &grown, rows, width);
            let Nodes::Near(near) = Nodes::packed(grown.far.clone()) else {
                panic!("they are near");
            };
            check(&near, &grown, rows, width);
        }
    }

    #[test]
    fn what_does_not_fit_the_smaller_form_keeps_the_larger() {
        let node = |feature, next| Far {
            threshold: 0.0_f32,
            feature,
            next,
        };
        let is_near = |nodes| matches!(Nodes::packed(nodes), Nodes::Near(_));
        assert!(is_near(vec![node(
            NEAR_FEATURE | IS_SPLIT | IS_EQUAL | MISSING_IS_TRUE,
            NEAR
        )]));
        assert!(!is_near(vec![node(NEAR_FEATURE + 1, 1)]));
        assert!(!is_near(vec![node(0, NEAR + 1)]));
        let last = NEAR_FEATURE | IS_SPLIT | MISSING_IS_TRUE;
        let Nodes::Near(near) = Nodes::packed(vec![node(0, 7), node(last, 5)]) else {
            panic!("they are near");
        };
        assert_eq!(
            (near[0].feature(), near[0].next(0), near[0].bits() >> SPLIT_BIT),
            (0, 7, 0)
        );
        assert_eq!(near[1].feature(), NEAR_FEATURE as usize);
        assert_eq!((near[1].next(1), near[1].bits() >> SPLIT_BIT), (5, 0b101));
    }
}
